package stack_test

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/openlockbox/lockbox/pkg/approval"
	"github.com/openlockbox/lockbox/pkg/approval/approvaltest"
	"github.com/openlockbox/lockbox/pkg/keychain"
	"github.com/openlockbox/lockbox/pkg/keychain/keychaintest"
	"github.com/openlockbox/lockbox/pkg/request"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"github.com/openlockbox/lockbox/services/lockbox/demo"
	"github.com/openlockbox/lockbox/services/portal"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
)

const enough = "The incident is over."

// revokes sends a revocation to the portal without a token, and returns what it says of it but for ids of its own.
func (s *signing) revokes(id string, signed *lockboxv1.SignedStatement) (int, map[string]any) {
	s.Helper()
	statement, err := protojson.Marshal(signed)
	must(s, err)
	body, err := json.Marshal(map[string]any{"reason": enough, "signed": json.RawMessage(statement)})
	must(s, err)
	return s.revokesAs(id, string(body))
}

func (s *signing) revokesAs(id, body string) (int, map[string]any) {
	s.Helper()
	r, err := http.NewRequestWithContext(s.Context(), http.MethodPost,
		s.stack.PortalURL()+"/lockbox/v1/requests/"+id+"/revoke", strings.NewReader(body))
	must(s, err)
	r.Header.Set("Content-Type", "application/json")
	reply, err := http.DefaultClient.Do(r)
	must(s, err)
	defer func() { _ = reply.Body.Close() }()
	data, err := io.ReadAll(reply.Body)
	must(s, err)
	said := map[string]any{}
	must(s, json.Unmarshal(data, &said))
	return reply.StatusCode, said
}

// resigned changes a statement of a decision, and signs it with a key.
func resigned(
	t testing.TB, of *lockboxv1.SignedStatement, key *approvaltest.Key, change func(*approval.Decision),
) *lockboxv1.SignedStatement {
	t.Helper()
	d, err := approval.ParseDecision(of.GetStatement())
	must(t, err)
	change(&d)
	statement, err := d.Bytes()
	must(t, err)
	signed := keychain.ToProto(approvaltest.Signed(approval.FormatDecision, statement, key))
	signed.CommentSalt = of.GetCommentSalt()
	return signed
}

// R64: without a token, access is taken away by a key of the customer's alone. Nobody else learns more than that: not
// whether there is such a request, nor whether a key or a customer is known.
func TestR64WithoutATokenNothingIsToldToWhoHasNoKey(t *testing.T) {
	t.Parallel()
	is := start(t, request.DefaultTerms())
	is.config.Portal = &portal.Config{Listen: "127.0.0.1:0", Organisations: demo.Organisations(is.issuer)}
	is.restart(0)
	l := begun(is, approval.DemandSignatures, keychaintest.Witnesses())
	active := func() string {
		id := l.requested(l.intent("erin"), request.CustomerNotified)
		l.does("otto", l.signs(l.otto, approve(id)))
		l.reaches(id, request.Active)
		return id
	}
	id, other, waiting := active(), active(), l.requested(l.intent("erin"), request.CustomerNotified)
	good := l.statement(l.otto, revoke(id, enough))
	mallory := approvaltest.New("mallory", approvaltest.SKEd25519)
	nothing := func(*approval.Decision) {}

	forged := proto.CloneOf(good)
	forged.Signatures[0].Signature = bytes.Repeat([]byte{1}, len(forged.Signatures[0].Signature))
	code, want := l.revokes(id, forged)
	if code != http.StatusUnauthorized {
		t.Errorf("a wrong signature: %d %v", code, want)
	}
	absent := newID(t)
	for name, c := range map[string]struct {
		id     string
		signed *lockboxv1.SignedStatement
	}{
		"by a stranger's key": {id, resigned(t, good, mallory, func(d *approval.Decision) {
			d.Key = mallory.ID()
		})},
		"by a stranger, who names a key": {id, resigned(t, good, mallory, nothing)},
		"another request's":              {other, good},
		"of no request": {absent, resigned(t, good, mallory, func(d *approval.Decision) {
			d.Request, d.Key = absent, mallory.ID()
		})},
		"at no customer's": {id, resigned(t, good, mallory, func(d *approval.Decision) {
			d.Tenant, d.Key = "nobody", mallory.ID()
		})},
		"an approval": {waiting, l.statement(l.otto, approve(waiting))},
	} {
		got, said := l.revokes(c.id, c.signed)
		if diff := cmp.Diff(want, said); got != code || diff != "" {
			t.Errorf("%s: %d, and tells something (-wrong signature +this):\n%s", name, got, diff)
		}
	}
	if code, said := l.revokesAs(id, `{"reason": "`+strings.Repeat("x", 2<<20)+`"}`); code !=
		http.StatusRequestEntityTooLarge {
		t.Errorf("a large body: %d %v", code, said)
	}
	for _, size := range []int{1000, 2 << 20} {
		form := url.Values{"saved": {strings.Repeat("x", size)}}
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, l.stack.PortalURL()+"/revoke",
			strings.NewReader(form.Encode()))
		must(t, err)
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.Header.Set("Origin", l.stack.PortalURL())
		page, err := http.DefaultClient.Do(r)
		must(t, err)
		must(t, page.Body.Close())
		if page.StatusCode != http.StatusBadRequest {
			t.Errorf("a form of %d bytes: %d", size, page.StatusCode)
		}
	}

	old := resigned(t, good, l.otto.key, func(d *approval.Decision) {
		d.IssuedAt = approval.TimeText(time.Now().UTC().Add(-11 * time.Minute))
	})
	if code, said := l.revokes(id, old); code != http.StatusForbidden {
		t.Errorf("too old: %d %v", code, said)
	}
	for _, of := range []string{id, other} {
		if now := l.state(of).Status; now != request.Active {
			t.Fatalf("access is %v", now)
		}
	}

	if code, said := l.revokes(id, good); code != http.StatusOK {
		t.Errorf("by a key alone: %d %v", code, said)
	}
	l.reaches(id, request.Revoked)
	version := l.state(id).Version
	l.revokes(id, good)
	if s := l.state(id); s.Version != version || l.state(other).Status != request.Active {
		t.Errorf("after a replay: %v", s.Status)
	}
}
