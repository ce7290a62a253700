package portal_test

import (
	"html"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/openlockbox/lockbox/pkg/request"
	"github.com/openlockbox/lockbox/services/lockbox/demo/visitor"
	"github.com/openlockbox/lockbox/services/portal"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest"
)

var (
	// foreign are the parts of a page that need not be in the reader's language: they say so, or somebody wrote or named
	// them. Elements of one kind do not stand in each other.
	foreign = []*regexp.Regexp{
		regexp.MustCompile(`(?s)<head>.*?</head>|<script.*?</script>|<style.*?</style>`),
		regexp.MustCompile(`(?s)<(\w+)[^>]* lang="[a-z]+"[^>]*>[^<]*</`),
		regexp.MustCompile(`(?s)<blockquote.*?</blockquote>|<bdi.*?</bdi>|<textarea.*?</textarea>|<code.*?</code>`),
		regexp.MustCompile(`(?s)<(\w+)[^>]* class="[^"]*mono[^"]*"[^>]*>[^<]*</`),
	}
	quoted = regexp.MustCompile(`“[^”]*”|«[^»]*»|「[^」]*」`)
	// wordsOfEnglish are such as no sentence does without, and that neither French nor Japanese has.
	wordsOfEnglish = regexp.MustCompile(`(?i)\b(the|of|and|with|was|were|is|are|has|have|had|you|your|this|that|` +
		`from|which|not|been|will|who|when|by|to|until|request|requests|role|roles|approved|denied|view|show|back)\b`)
)

// names are what programs call things: the number of a requirement, the value of an enumeration, a group or a type.
var names = regexp.MustCompile(`\b[RI][1-9][0-9]?\b|\b[A-Z]{2,}_[A-Z_]{2,}\b|\bcompute/[a-z-]+|` +
	`\b(?:support-engineers|customer-support-leads|devops-managers|security-officers|emergency-responders)\b`)

// englishIn returns the pieces of a page in another language that read like English, or like a program.
func englishIn(body string) (left []string) {
	_, body, _ = strings.Cut(body, "<html")
	for _, part := range foreign {
		body = part.ReplaceAllString(body, " <")
	}
	for _, text := range strings.Split(markup.ReplaceAllString(body, "\x00"), "\x00") {
		text = quoted.ReplaceAllString(html.UnescapeString(text), " ")
		if text = strings.TrimSpace(text); (wordsOfEnglish.MatchString(text) || names.MatchString(text)) &&
			!slices.Contains(left, text) {
			left = append(left, text)
		}
	}
	return left
}

// Nobody who reads another language is left with words of English, but for what people wrote and named: neither on any
// page, nor where nothing is there, something was entered wrongly, refused by a rule, or not found.
func TestNoEnglishIsLeftOnPagesInOtherLanguages(t *testing.T) {
	t.Parallel()
	w := startLogging(t, zaptest.NewLogger(t, zaptest.Level(zap.ErrorLevel)))
	pages, err := portal.Pages()
	must(t, err)
	refused := w.requested("sam", intent(), request.Refused)
	sides := append(w.lookers(t),
		looker{"hana", "/t/sakura", func(p portal.Page) bool { return p.Customers && !strings.Contains(p.Path, "{") },
			place{}},
		looker{"olga", "/provider", func(p portal.Page) bool { return p.Provider && p.Path == "/requests/{id}" },
			place{request: refused}})
	for _, side := range sides {
		for _, language := range []string{"fr", "ja"} {
			client, err := visitor.SignIn(t.Context(), w.info.PortalURL+side.base+"?lang="+language, side.who)
			must(t, err)
			shown := 0
			for _, p := range pages {
				if !isPage(p) || !side.is(p) {
					continue
				}
				shown++
				_, body := w.sees(t, client, side.base+side.place.in(p.Path))
				if left := englishIn(body); len(left) > 0 {
					t.Errorf("%s of %s says in English, or as programs: %q", p.Path, language, left)
				}
			}
			for _, path := range side.wrong() {
				if _, body := w.sees(t, client, path); len(englishIn(body)) > 0 {
					t.Errorf("%s of %s says in English: %q", path, language, englishIn(body))
				}
			}
			if shown == 0 {
				t.Errorf("%s saw no page", side.who)
			}
		}
	}
}

func TestEnglishIsFoundAndNothingElse(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]int{
		"<p>Demande de Rina</p><p>Tried to approve</p>":                                          1,
		`<p>Refus : <span lang="en">the token is wrong</span></p><td class="x mono">to/the</td>`: 0,
		"<li>Otto a demandé : « Is this the one? »</li><li>Filter: awaiting by role</li>":        1,
		"<p>要求を閲覧しました（statuses=denied）</p>":                                                      1,
		"<blockquote dir=auto>Why is that?</blockquote><p>承認待ち</p>":                              0,
		"<p>Évaluation (R15)</p><p>État : REQUEST_STATUS_DENIED</p><p>devops-managers</p>":       3,
	} {
		if got := englishIn("<html>" + text); len(got) != want {
			t.Errorf("%s: %q", text, got)
		}
	}
}

// wrong are pages that a person comes to by what they entered wrongly, or by what is not there.
func (l looker) wrong() []string {
	var list []string
	for _, path := range []string{"/nowhere", "/requests/nothing", "/requests?page=nonsense", "/requests?status=nonsense",
		"/activity?from=yesterday", "/activity?person=a%09b", "/activity?action=nonsense", "/access?kind=nonsense",
		"/tickets/nothing", "/settings/nonsense", "/subscriptions/nothing", "/roles/remove?assignment=nothing",
		"/previews/leave?type=nothing", "/webhooks/remove?webhook=nothing", "/activity?page=nonsense",
		"/requests?engineer=a%09b", "/requests?subscription=nothing", "/requests?ticket=nothing"} {
		list = append(list, l.base+path)
	}
	return list
}
