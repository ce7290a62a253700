package signin

import (
	"html/template"
	"net/http"
)

var lastPage = template.Must(template.New("page").Parse(`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Lockbox</title>
<style>
:root { color-scheme: light dark; }
body { margin: 0; min-height: 90vh; display: grid; place-content: center; padding: 1.5rem; font: 1rem/1.5 Inter, system-ui, sans-serif; }
h1 { margin: 0; font-size: 1.6rem; font-weight: 650; letter-spacing: -.02em; }
p { margin: .5rem 0 0; opacity: .75; }
</style>
</head>
<body><main><h1>{{.Title}}</h1><p>{{.Text}}</p></main></body>
</html>
`))

// page renders the page that the browser shows after the sign-in.
func page(w http.ResponseWriter, status int, title, text string) {
	h := w.Header()
	h.Set("Content-Security-Policy",
		"default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'")
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Cache-Control", "no-store")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	_ = lastPage.Execute(w, struct{ Title, Text string }{title, text}) // fails only if the browser is gone
}
