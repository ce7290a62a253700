package mail

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"mime"
	"mime/multipart"
	"mime/quotedprintable"
	"net/mail"
	"net/textproto"
	"strings"
	"unicode/utf8"
)

// headers are those of a mail, in the order in which they stand there.
type headers struct{ strings.Builder }

// widest is how long a line of a header is that can be folded; one with an encoded word is no longer (RFC 2047 §2).
const widest = 76

// words adds a header that is folded between its words. The first stays beside the name: a line of nothing else is
// allowed (RFC 5322 §2.2.3), but some mail servers mend it, which breaks the mail's signature.
func (h *headers) words(name string, words ...string) {
	line := name + ":"
	for i, word := range words {
		if i > 0 && len(line)+1+len(word) > widest {
			_, _ = h.WriteString(line + "\r\n")
			line = ""
		}
		line += " " + word
	}
	_, _ = h.WriteString(line + "\r\n")
}

// text adds a header that people read, as it is if it is ASCII and nothing that a mail client would decode.
func (h *headers) text(name, s string) {
	if plain(s) {
		h.words(name, strings.Fields(s)...)
		return
	}
	h.words(name, encoded(s, widest-len(name+": "))...)
}

// address adds an address with the name of its owner; without it if that is empty.
func (h *headers) address(name, owner, address string) {
	switch {
	case owner == "":
		h.words(name, "<"+address+">")
	case plain(owner):
		h.words(name, (&mail.Address{Name: owner, Address: address}).String())
	default:
		h.words(name, append(encoded(owner, widest-len(name+": ")), "<"+address+">")...)
	}
}

func plain(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r > '~' }) && !strings.Contains(s, "=?")
}

// encoded returns a text as encoded words (RFC 2047), of which the first has no more than that room.
func encoded(s string, room int) (words []string) {
	latin := 0
	for _, r := range s {
		if r < utf8.RuneSelf {
			latin++
		}
	}
	encode := base64Word
	if 2*latin > utf8.RuneCountInString(s) {
		encode = quotedWord
	}
	from := 0
	for at, r := range s {
		if len(encode(s[from:at+utf8.RuneLen(r)])) > room {
			words = append(words, encode(s[from:at]))
			from, room = at, widest-1
		}
	}
	return append(words, encode(s[from:]))
}

func base64Word(s string) string {
	return "=?UTF-8?B?" + base64.StdEncoding.EncodeToString([]byte(s)) + "?="
}

// quotedWord leaves readable what may stand there in a name, too (RFC 2047 §5).
func quotedWord(s string) string {
	var b strings.Builder
	for _, c := range []byte(s) {
		switch {
		case c == ' ':
			b.WriteByte('_')
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '-', c == '/':
			b.WriteByte(c)
		default:
			fmt.Fprintf(&b, "=%02X", c)
		}
	}
	return "=?UTF-8?Q?" + b.String() + "?="
}

// body returns the two parts of a mail and their Content-Type.
func body(plain, html string) (contentType string, content []byte, err error) {
	var b bytes.Buffer
	b.Grow(2 * (len(plain) + len(html))) // what is encoded is mostly shorter
	parts := multipart.NewWriter(&b)
	if err := parts.SetBoundary(boundary(plain, html)); err != nil {
		return "", nil, err
	}
	for _, part := range []struct{ kind, text string }{{"text/plain", plain}, {"text/html", html}} {
		w, err := parts.CreatePart(textproto.MIMEHeader{
			"Content-Type":              {mime.FormatMediaType(part.kind, map[string]string{"charset": "UTF-8"})},
			"Content-Transfer-Encoding": {"quoted-printable"},
		})
		if err != nil {
			return "", nil, err
		}
		q := quotedprintable.NewWriter(w)
		if _, err := q.Write([]byte(strings.ReplaceAll(part.text, "\n", "\r\n"))); err != nil {
			return "", nil, err
		}
		if err := q.Close(); err != nil {
			return "", nil, err
		}
	}
	if err := parts.Close(); err != nil {
		return "", nil, err
	}
	return "multipart/alternative; boundary=" + parts.Boundary(), b.Bytes(), nil
}
