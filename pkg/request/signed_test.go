package request_test

import (
	"strings"
	"testing"

	"github.com/openlockbox/lockbox/pkg/refusal"
	"github.com/openlockbox/lockbox/pkg/request"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"google.golang.org/protobuf/proto"
)

// Tools in other languages build these bytes: they never change.
func TestWhatAToolSigns(t *testing.T) {
	const want = `lockbox intent v1
tool ticketing
tenant meadowbank
dry-run false
token-sha256 3c469e9d6c5875d37a43f353d4f88e61fcf812c66eee3457465a40b0da4153e0
body-sha256 44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a
`
	if got := string(request.SignedStatement("ticketing", "meadowbank", false, "token", []byte("{}"))); got != want {
		t.Error(got)
	}
	if got := string(request.SignedStatement("ticketing", "meadowbank", true, "token", []byte("{}"))); got ==
		want || !strings.Contains(got, "dry-run true\n") {
		t.Error(got)
	}
}

// R62: what a tool signed is the whole intent, and nothing beside it counts.
func TestASignedIntentIsWhatCounts(t *testing.T) {
	sealed := func(body string, changes ...func(*lockboxv1.AccessIntent)) *lockboxv1.AccessIntent {
		in := &lockboxv1.AccessIntent{Tenant: "meadowbank", Token: "t", SignedBy: "ticketing", Signature: []byte("s"),
			Signed: []byte(body)}
		for _, change := range changes {
			change(in)
		}
		return in
	}
	for body, want := range map[string]*lockboxv1.AccessIntent{
		`{"scenario": "memory-dump"}`: {Tenant: "meadowbank", Token: "t", Scenario: "memory-dump"},
		`{"tenant": "sakura"}`:        {Tenant: "sakura", Token: "t"}, // which is refused later: it is not the subject's
		`{}`:                          {Tenant: "meadowbank", Token: "t"},
	} {
		if got, err := request.Unwrap(sealed(body)); err != nil || !proto.Equal(got, want) {
			t.Errorf("%s: %v, %v", body, got, err)
		}
	}
	dry := sealed(`{}`, func(in *lockboxv1.AccessIntent) { in.DryRun = true })
	if got, err := request.Unwrap(dry); err != nil || !got.GetDryRun() {
		t.Errorf("a dry run: %v, %v", got, err)
	}
	plain := &lockboxv1.AccessIntent{Tenant: "meadowbank", Scenario: "memory-dump"}
	if got, err := request.Unwrap(plain); err != nil || got != plain {
		t.Errorf("one that is not signed: %v, %v", got, err)
	}
	for name, in := range map[string]*lockboxv1.AccessIntent{
		"no JSON":             sealed(`{`),
		"an unknown member":   sealed(`{"tenent": "meadowbank"}`),
		"a token inside":      sealed(`{"token": "x"}`),
		"a signature inside":  sealed(`{"signedBy": "x"}`),
		"a dry run inside":    sealed(`{"dryRun": true}`),
		"an intent beside":    sealed(`{}`, func(in *lockboxv1.AccessIntent) { in.Scenario = "memory-dump" }),
		"an id beside":        sealed(`{}`, func(in *lockboxv1.AccessIntent) { in.Id = "x" }),
		"a signature alone":   {Signature: []byte("s"), Scenario: "memory-dump"},
		"a signer alone":      {SignedBy: "ticketing", Scenario: "memory-dump"},
		"more than is signed": sealed(strings.Repeat(" ", request.MaxSigned+1)),
	} {
		_, err := request.Unwrap(in)
		if r, refused := refusal.As(err); !refused || r.GetField() == "" || r.GetRule() == "" {
			t.Errorf("%s: %v", name, err)
		}
	}
}
