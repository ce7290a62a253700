package render

import (
	"slices"
	"strings"
	"testing"

	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
)

// However narrow the terminal is, lists break no word and cut nothing that a row is called by.
func TestListsBreakNoWord(t *testing.T) {
	lists := map[string]struct {
		view func(Look) string
		// names are what rows are called by; once each on a line, whole.
		names []string
	}{
		"requests": {views()["requests-mine"], []string{ShortID(notifiedRequest().GetRequestId()),
			ShortID(activeRequest().GetRequestId())}},
		"roles": {views()["roles"], nil}, "tickets": {views()["tickets"], []string{"SR-2"}},
		"mails":      {views()["mails"], []string{"otto@meadowbank.example", "kenji@sakura.example"}},
		"activities": {views()["activities"], nil}, "access": {views()["access"], nil},
		"disclosures": {views()["disclosures"], []string{"0000000000ba", "0000000000bc"}},
		"approvers":   {views()["approvers"], nil},
	}
	for _, a := range sakura().GetSubscriptions()[0].GetAssignments() {
		entry := lists["roles"]
		entry.names = append(entry.names, a.GetAssignment().GetId())
		lists["roles"] = entry
	}
	for name, list := range lists {
		whole := list.view(Look{Unicode: true, Zone: berlin(t), Now: now})
		for columns := 40; columns <= 132; columns += 4 {
			text := list.view(Look{Unicode: true, Width: columns, Zone: berlin(t), Now: now})
			for n, line := range strings.Split(text, "\n") {
				if width(line) > columns {
					t.Errorf("%s at %d columns: line %d takes %d: %s", name, columns, n+1, width(line), line)
				}
				for word := range strings.FieldsSeq(line) {
					if !wideIn(word) && !strings.Contains(word, "/") && word != "…" && !strings.Contains(whole, word) &&
						!slices.Contains([]string{"tenant"}, word) {
						t.Errorf("%s at %d columns: %q is no word of the list", name, columns, word)
					}
				}
			}
			for _, id := range list.names {
				if !strings.Contains(text, id) {
					t.Errorf("%s at %d columns does not say %s:\n%s", name, columns, id, text)
				}
			}
		}
	}
}

func TestWordsAreBrokenOnlyWhereNothingElseHelps(t *testing.T) {
	for text, want := range map[string][]string{
		"two words":                       {"two words"},
		"several words on two":            {"several words", "on two"},
		"to /subscribed/a/b/c":            {"to", "/subscribed/a/", "b/c"},
		"SR-2026-0001 of SR-2026-0002":    {"SR-2026-0001", "of", "SR-2026-0002"},
		"    indented":                    {"    indented"},
		"incomprehensibilities":           {"incomprehensib", "ilities"},
		"承認をお待ちしています。":                    {"承認をお待ちし", "ています。"},
		"承認をお待ちし。":                        {"承認をお待ち", "し。"},
		"\x1b[31mseveral\x1b[0m words on": {"\x1b[31mseveral\x1b[0m words", "on"},
	} {
		if got := wrap(text, 14); !slices.Equal(got, want) {
			t.Errorf("%q is broken into %q, want %q", text, got, want)
		}
	}
}

func TestWhatIsCutEndsWithAWord(t *testing.T) {
	l := Look{Unicode: true}
	for text, want := range map[string]string{
		"short": "short", "Memory dump of a running machine": "Memory dump of a …",
		"incomprehensibilitiesofsorts": "incomprehensibilit…",
	} {
		if got := l.clip(text, 19); got != want {
			t.Errorf("%q is cut to %q, want %q", text, got, want)
		}
	}
}

// Without a terminal each row is one line, so that it can be searched.
func TestAPipeHasOneLineForEachRow(t *testing.T) {
	list := []*lockboxv1.RequestView{notifiedRequest(), deniedRequest()}
	if got := strings.Count(Requests(Look{Now: now}, list, nil), "\n"); got != 1+len(list) {
		t.Errorf("%d lines", got)
	}
}
