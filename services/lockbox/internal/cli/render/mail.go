package render

import (
	"strings"
	"time"
)

// Mail is one line in the list of mails.
type Mail struct {
	ID       string
	Received time.Time
	To       string
	Subject  string
}

// Mails renders a list of mails.
func Mails(l Look, list []Mail) string {
	var rows [][]cell
	for _, m := range list {
		rows = append(rows, []cell{{Clean(m.ID), accent}, {l.In(m.Received), dim}, text(m.To), text(m.Subject)})
	}
	return l.table([]column{{title: "MAIL", drop: 1}, {title: "RECEIVED"}, {title: "TO", min: 20},
		{title: "SUBJECT", min: 30}}, rows)
}

// Stamp formats a time in the user's time zone.
func Stamp(l Look, t time.Time) string { return l.local(t).Format(longForm) }

// Paragraphs renders untrusted text, wrapped at the terminal's width.
func Paragraphs(l Look, s string) string { return Sentence(l, strings.TrimSuffix(CleanText(s), "\n")) }

// Sentence wraps clean text, which may contain colours, at the terminal's width.
func Sentence(l Look, s string) string {
	return strings.Join(wrap(s, l.Width), "\n") + "\n"
}
