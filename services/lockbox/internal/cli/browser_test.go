package cli_test

import (
	"errors"
	"fmt"
	"html"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"regexp"
	"time"
)

var (
	choiceForm  = regexp.MustCompile(`<form method="post">`) // to the page's own address
	hiddenField = regexp.MustCompile(`<input type="hidden" name="([^"]*)" value="([^"]*)">`)
)

// clickPersona is a person at a browser with cookies: it opens a page, presses the button of a persona (none: Cancel),
// goes where it is sent, and returns what the last page says.
func clickPersona(address, persona string) (string, error) {
	jar, err := cookiejar.New(nil)
	if err != nil {
		return "", err
	}
	browser := &http.Client{Jar: jar, Timeout: 10 * time.Second}
	response, err := browser.Get(address)
	if err != nil {
		return "", err
	}
	page, err := pageOf(response)
	if err != nil {
		return "", err
	}
	if !choiceForm.MatchString(page) || !regexp.MustCompile(fmt.Sprintf(`<button[^>]* name="persona" value=%q>`,
		persona)).MatchString(page) {
		return "", fmt.Errorf("no button for %q: %s", persona, page)
	}
	form := url.Values{"persona": {persona}}
	for _, field := range hiddenField.FindAllStringSubmatch(page, -1) {
		form.Set(field[1], html.UnescapeString(field[2]))
	}
	if response, err = browser.PostForm(response.Request.URL.String(), form); err != nil {
		return "", err
	}
	return pageOf(response)
}

func pageOf(response *http.Response) (string, error) {
	body, err := io.ReadAll(response.Body)
	return string(body), errors.Join(err, response.Body.Close())
}
