package form_test

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/openlockbox/lockbox/pkg/input"
	"github.com/openlockbox/lockbox/pkg/refusal"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"github.com/openlockbox/lockbox/services/portal/internal/form"
)

func posted(t *testing.T, values url.Values) *form.Form {
	t.Helper()
	r := httptest.NewRequest(http.MethodPost, "/?reason=address", strings.NewReader(values.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if err := r.ParseForm(); err != nil {
		t.Fatal(err)
	}
	return form.Sent(r)
}

func TestWhatIsDoneIsInTheBodyOnly(t *testing.T) {
	f := posted(t, url.Values{"text": {" one\r\ntwo\r\n"}})
	if f.Value("text") != "one\ntwo" || f.Value("reason") != "" {
		t.Errorf("%q %q", f.Value("text"), f.Value("reason"))
	}
}

func TestMomentsAreReadAsBrowsersAndPeopleWriteThem(t *testing.T) {
	field := form.Field{Name: "from", Label: "x"}
	want := time.Date(2026, 8, 3, 9, 30, 0, 0, time.UTC)
	for text, want := range map[string]time.Time{
		"": {}, "2026-08-03T09:30": want, "2026-08-03T09:30:00": want, " 2026-08-03 09:30 ": want,
		"2026-08-03T11:30:00+02:00": want,
		"2026-08-03":                want.Truncate(24 * time.Hour),
	} {
		f := form.Empty("from", text)
		if got := f.Moment(field, time.UTC); !got.Equal(want) || f.Wrong("from") != nil {
			t.Errorf("%q: %s, %v", text, got, f.Problems)
		}
	}
	paris, err := time.LoadLocation("Europe/Paris")
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{"2026-08-03T11:30", "2026-08-03T09:30:00Z"} {
		if got := form.Empty("from", text).Moment(field, paris); !got.Equal(want) {
			t.Errorf("in Paris, %q is %s", text, got)
		}
	}
	f := form.Empty("from", "03/08/2026")
	if got := f.Moment(field, time.UTC); !got.IsZero() || f.Wrong("from") == nil || f.Wrong("until") != nil {
		t.Errorf("%s, %v", got, f.Problems)
	}
}

func TestACommandsIDIsTheFormsAndWhatIsInIt(t *testing.T) {
	id, err := form.NewID()
	if err != nil {
		t.Fatal(err)
	}
	made := func(command, name string) string {
		t.Helper()
		got, err := posted(t, url.Values{"command": {command}, "name": {name}}).CommandID()
		if err != nil {
			t.Fatal(err)
		}
		if err := input.UUIDv7("id", got); err != nil {
			t.Error(err)
		}
		return got
	}
	other, _ := form.NewID()
	if a := made(id, "Otto"); a != made(id, "Otto") || a == made(id, "Fleur") || a == made(other, "Otto") {
		t.Error("the same form sent twice is one command, and no other is")
	}
	for _, name := range append([]string{form.LinkSecret}, form.Signed...) {
		signed, err := posted(t, url.Values{"command": {id}, "name": {"Otto"}, name: {"x"}}).CommandID()
		if err != nil || signed != made(id, "Otto") {
			t.Errorf("with %s, it is another command: %v", name, err)
		}
	}
	for _, wrong := range []string{"", "x", strings.ToUpper(id), "9f5d6e1c-3d0a-4c6e-8a8e-2f6d3f1f4a11"} {
		if _, err := posted(t, url.Values{"command": {wrong}}).CommandID(); !refusal.Is(err,
			lockboxv1.RefusalCode_REFUSAL_CODE_INVALID) {
			t.Errorf("%q: %v", wrong, err)
		}
	}
}

func TestOnlyWhatCanBeCorrectedStaysInTheForm(t *testing.T) {
	fields := map[string]form.Field{"x.email": {Name: "email", Label: "y"}}
	for _, c := range []struct {
		err     error
		kept    bool
		problem string
		changed bool
	}{
		{refusal.Invalid("x.email", "R", "no address"), true, "no address", false},
		{refusal.Invalid("x.other", "R", "no"), false, "", false},
		{refusal.Conflict("seen_version", "R29", "changed"), true, "", true},
		{refusal.Precondition("x", "R2", "the last one"), true, "", false},
		{refusal.Forbidden("token", "R2", "no"), false, "", false},
		{refusal.NotFound("", "I9", "no"), false, "", false},
		{http.ErrBodyNotAllowed, false, "", false},
	} {
		f := form.Empty()
		kept := f.Refused(c.err, fields)
		problem := ""
		if p := f.Wrong("email"); p != nil {
			problem = p.Refusal.GetMessage()
		}
		if kept != c.kept || problem != c.problem || f.Changed() != c.changed {
			t.Errorf("%v: kept %t, %q, changed %t", c.err, kept, problem, f.Changed())
		}
	}
}

func TestNumbersAreThePagesOwn(t *testing.T) {
	for text, want := range map[string]uint64{"7": 7, "": 0, "0": 0, "-1": 0, "x": 0} {
		if n, err := form.Empty("seen", text).Number("seen"); n != want || (err == nil) != (want > 0) {
			t.Errorf("%q: %d, %v", text, n, err)
		}
	}
}
