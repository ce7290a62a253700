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
		rows = append(rows, []cell{{l.mailID(m.ID), accent}, {l.In(m.Received), dim}, text(m.To), text(m.Subject)})
	}
	return l.table([]column{{title: "MAIL"}, {title: "RECEIVED"}, {title: "TO", min: 20},
		{title: "SUBJECT", min: 30, lines: 2}}, rows)
}

// mailID returns a mail's id, which is a time: whole, or on a terminal that has no room for that its end.
func (l Look) mailID(id string) string {
	if at := strings.LastIndexByte(id, '.'); at >= 0 && l.Width > 0 && l.Width < 132 {
		id = id[at+1:]
	}
	return Clean(id)
}

// Stamp formats a time in the user's time zone.
func Stamp(l Look, t time.Time) string { return l.local(t).Format(longForm) }

// Paragraphs renders untrusted text, wrapped at the terminal's width.
func Paragraphs(l Look, s string) string { return Sentence(l, strings.TrimSuffix(CleanText(s), "\n")) }

// Sentence wraps clean text, which may contain colours, at the terminal's width.
func Sentence(l Look, s string) string {
	return strings.Join(wrap(s, l.Width), "\n") + "\n"
}
