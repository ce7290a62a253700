package foreign

import (
	"regexp"
	"strings"
	"unicode"
)

// linkSchemes end with a scheme of which mail clients make links without two slashes, linkHosts with the beginning of a
// host name of which they make links whatever follows.
var (
	linkSchemes = regexp.MustCompile(`(?i)\b(mailto|tel|sms|sips?|im|xmpp|callto|skype|facetime(-audio)?|maps|geo|file|` +
		`news|outlook|onenote|notes|webcal|magnet|javascript|data|ms-[a-z-]+)$`)
	linkHosts = regexp.MustCompile(`(?i)\b(www\d*|ftp)$`)
)

// longestScheme is how far back a scheme is looked for, in runes.
const longestScheme = 24

// Unlink breaks everything in a text of which a mail client, or a chat, would make a link: addresses with a scheme,
// host names, mail addresses, and the network paths of Windows. Clients do so in the text part and in the HTML part
// alike, and a link in a mail of Lockbox's would be taken for Lockbox's. What people wrote is shown as those who write
// about attacks do it, `https[:]//elsewhere[.]example`: invisible characters would hide the change from whoever copies
// it, and clients differ in which of them end a link. A dot is broken wherever a top-level domain could follow, whether
// or not there is one of that name, because there are new ones every year.
func Unlink(s string) string {
	if !strings.ContainsAny(s, `.．｡:@\`) {
		return s
	}
	runes := []rune(s)
	var b strings.Builder
	for i, r := range runes {
		before, after := runes[:i], runes[i+1:]
		if len(after) > 0 && !unicode.IsSpace(after[0]) && linked(before, r, after) {
			b.WriteString("[" + string(r) + "]")
		} else {
			b.WriteRune(r)
		}
	}
	return b.String()
}

// linked reports whether a mail client might make a link of the text because of the rune r in it.
func linked(before []rune, r rune, after []rune) bool {
	if r == '\\' {
		return after[0] == '\\'
	}
	if len(before) == 0 || ends(before[len(before)-1]) {
		return false
	}
	word := func() string { return string(before[max(0, len(before)-longestScheme):]) }
	switch r {
	case '@':
		return true
	case ':':
		return len(after) > 1 && after[0] == '/' && after[1] == '/' || linkSchemes.MatchString(word())
	case '.', '．', '｡':
		return topLevel(after) || linkHosts.MatchString(word())
	}
	return false
}

// ends reports whether a rune ends a name.
func ends(r rune) bool {
	return unicode.IsSpace(r) || strings.ContainsRune(`./\([{<>"'“”‘’«»|,;`, r)
}

// topLevel reports whether a text begins as a top-level domain may: with a letter, and one more letter or digit.
func topLevel(s []rune) bool {
	return len(s) > 1 && unicode.IsLetter(s[0]) &&
		(unicode.IsLetter(s[1]) || unicode.IsNumber(s[1]) || unicode.IsMark(s[1]) || s[1] == '-')
}
