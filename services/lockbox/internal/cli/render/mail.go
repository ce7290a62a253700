package render

import (
	"strings"
	"time"
)

// Mail is one line of a list of mails.
type Mail struct {
	ID       string
	Received time.Time
	To       string
	Subject  string
}

// Mails is a list of mails.
func Mails(l Look, list []Mail) string {
	var rows [][]cell
	for _, m := range list {
		rows = append(rows, []cell{{Clean(m.ID), accent}, {l.In(m.Received), dim}, text(m.To), text(m.Subject)})
	}
	return l.table([]column{{title: "MAIL", drop: 1}, {title: "RECEIVED"}, {title: "TO", min: 20},
		{title: "SUBJECT", min: 30}}, rows)
}

// Stamp is a moment in the reader's zone.
func Stamp(l Look, t time.Time) string { return l.local(t).Format(longForm) }

// Paragraphs is text from outside, its lines broken where the terminal ends.
func Paragraphs(l Look, s string) string { return Sentence(l, strings.TrimSuffix(CleanText(s), "\n")) }

// Sentence is clean text, colours and all, its lines broken where the terminal ends.
func Sentence(l Look, s string) string {
	return strings.Join(wrap(s, l.Width), "\n") + "\n"
}
