package keychain

import (
	"os"
	"strings"
	"testing"
	"time"

	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/tenant"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/durationpb"
)

// Every verb about a tenant, a subscription or an ownership stands in the table, and in the paper; one that is new has
// to be thought of, and is signed until then.
func TestEveryVerbIsSignedOrSaysWhyNot(t *testing.T) {
	paper, err := os.ReadFile("../approval/README.md")
	if err != nil {
		t.Fatal(err)
	}
	known := map[protoreflect.Name]bool{}
	fields := (*lockboxv1.Command)(nil).ProtoReflect().Descriptor().Oneofs().ByName("action").Fields()
	for i := range fields.Len() {
		f := fields.Get(i)
		c := &lockboxv1.Command{Tenant: "contoso", AggregateId: "018f3a00-aaaa-7000-8000-000000000001"}
		c.ProtoReflect().Mutable(f)
		about, _ := aggregate.Of(c)
		switch about.Kind {
		case aggregate.KindTenant, aggregate.KindSubscription, aggregate.KindOwnership:
		default:
			if _, is := verbs[f.Name()]; is {
				t.Errorf("%s is not decided here", f.Name())
			}
			continue
		}
		known[f.Name()] = true
		is, stands := verbs[f.Name()]
		if !stands || is.change == "" && is.why == "" {
			t.Errorf("%s is not in the table", f.Name())
		}
		if !strings.Contains(string(paper), "`"+string(f.Name())+"`") {
			t.Errorf("%s is not in pkg/approval/README.md", f.Name())
		}
		if Signs(c) == (is.change == "") {
			t.Errorf("%s: signed %v", f.Name(), Signs(c))
		}
	}
	for name := range verbs {
		if !known[name] {
			t.Errorf("there is no %s", name)
		}
	}
	delete(verbs, "sign_in") // as if it were new
	defer func() { verbs["sign_in"] = verb{why: "says that somebody is here; it can only stop a recovery"} }()
	if c := (&lockboxv1.Command{Action: &lockboxv1.Command_SignIn{}}); !Needs(tenant.State{}, c) {
		t.Error("a verb that nobody thought of is not signed")
	}
}

// Each setting is signed, but those that ask for more or decide nothing.
func TestSettingsThatGetAroundNothingAreNotSigned(t *testing.T) {
	was := &lockboxv1.TenantSettings{DefaultLanguage: "en", RequiredApprovals: 2,
		Fallback:             lockboxv1.Fallback_FALLBACK_GLOBAL_ADMINISTRATORS,
		MaxAuthenticationAge: durationpb.New(time.Hour), AccessEndsWithTicket: true,
		Alternates: []*lockboxv1.AlternateAddress{{Email: "soc@bank.example"}}}
	free := map[protoreflect.Name]bool{"default_language": true, "time_zone": true, "deciders_shown": true}
	fields := was.ProtoReflect().Descriptor().Fields()
	for i := range fields.Len() {
		f := fields.Get(i)
		next := proto.CloneOf(was)
		switch m := next.ProtoReflect(); {
		case m.Has(f):
			m.Clear(f)
		case f.Kind() == protoreflect.BoolKind:
			m.Set(f, protoreflect.ValueOfBool(true))
		case f.Kind() == protoreflect.EnumKind:
			m.Set(f, protoreflect.ValueOfEnum(2))
		default:
			m.Set(f, protoreflect.ValueOfString("Europe/Paris"))
		}
		if f.Name() == "fallback" {
			next.Fallback = lockboxv1.Fallback_FALLBACK_TENANT_LOCKBOX_APPROVERS
		}
		if got := needs(was, next); got == free[f.Name()] {
			t.Errorf("%s: signed %v", f.Name(), got)
		}
	}
	edit := func(change func(*lockboxv1.TenantSettings)) *lockboxv1.TenantSettings {
		next := proto.CloneOf(was)
		change(next)
		return next
	}
	for name, row := range map[string]struct {
		next *lockboxv1.TenantSettings
		want bool
	}{
		"more approvals":  {edit(func(s *lockboxv1.TenantSettings) { s.RequiredApprovals = 3 }), false},
		"fewer approvals": {edit(func(s *lockboxv1.TenantSettings) { s.RequiredApprovals = 1 }), true},
		"more approvals, another address": {edit(func(s *lockboxv1.TenantSettings) {
			s.RequiredApprovals, s.Alternates = 3, nil
		}), true},
		"a more recent sign-in": {edit(func(s *lockboxv1.TenantSettings) {
			s.MaxAuthenticationAge = durationpb.New(time.Minute)
		}), false},
		"an older sign-in": {edit(func(s *lockboxv1.TenantSettings) {
			s.MaxAuthenticationAge = durationpb.New(2 * time.Hour)
		}), true},
	} {
		if got := needs(was, row.next); got != row.want {
			t.Errorf("%s: signed %v", name, got)
		}
	}
	less := edit(func(s *lockboxv1.TenantSettings) { s.AccessEndsWithTicket, s.MaxAuthenticationAge = false, nil })
	if needs(less, was) {
		t.Error("to ask for more is signed")
	}
}

func needs(was, next *lockboxv1.TenantSettings) bool {
	return Needs(tenant.State{Settings: was}, &lockboxv1.Command{Action: &lockboxv1.Command_ChangeSettings{
		ChangeSettings: &lockboxv1.ChangeSettings{Settings: next}}})
}

// All that a command changes is in the statement, each field by its path; but no text that can be erased.
func TestContentIsAllThatChanges(t *testing.T) {
	salt := make([]byte, 32)
	c := &lockboxv1.Command{Tenant: "contoso", Action: &lockboxv1.Command_ProposeSignInChange{
		ProposeSignInChange: &lockboxv1.ProposeSignInChange{Route: lockboxv1.SignInRoute_SIGN_IN_ROUTE_CUSTOMER,
			Change: &lockboxv1.SignInChange{
				Issuer: &lockboxv1.TenantIssuer{Url: "https://login.bank.example", Jwks: make([]byte, 100),
					GroupMap: []*lockboxv1.MappedGroup{{Id: "1", Name: "Approvers"}, {Id: "2"}}, Leeway: durationpb.New(time.Second)},
				Administrators: []*lockboxv1.Person{{Issuer: "https://login.bank.example", Subject: "dora", DisplayName: "Dora D",
					Email: "dora@bank.example"}},
				Reason: "We moved.",
			}}}}
	is, err := Change(c, salt)
	if err != nil {
		t.Fatal(err)
	}
	var lines strings.Builder
	for _, part := range is.Content {
		lines.WriteString(part.Name + " = " + part.Value + "\n")
	}
	const want = `change = set
change.administrators.0 = set
change.administrators.0.display_name = (detail)
change.administrators.0.email = (detail)
change.administrators.0.issuer = https://login.bank.example
change.administrators.0.subject = dora
change.issuer = set
change.issuer.group_map.0 = set
change.issuer.group_map.0.id = 1
change.issuer.group_map.0.name = Approvers
change.issuer.group_map.1 = set
change.issuer.group_map.1.id = 2
change.issuer.jwks = sha256:cd00e292c5970d3c5e2f0ffa5171e555bc46bfc4faddfb4a418b6840b86e79a3
change.issuer.leeway = 1s
change.issuer.url = https://login.bank.example
change.reason = `
	if got := lines.String(); !strings.HasPrefix(got, want) || strings.Contains(got, "moved") ||
		strings.Contains(got, "Dora") ||
		!strings.Contains(got, "\ncommand = propose_sign_in_change\nroute = SIGN_IN_ROUTE_CUSTOMER\n") {
		t.Error(got)
	}
	if _, err := Change(c, nil); err == nil {
		t.Error("a text needs a salt")
	}
	if _, err := Change(&lockboxv1.Command{Action: &lockboxv1.Command_EnableLockbox{}}, salt); err == nil {
		t.Error("what is not signed has no statement")
	}
	if ends, err := Change(&lockboxv1.Command{Action: &lockboxv1.Command_EndFormerSignIn{}}, nil); err != nil ||
		len(ends.Content) != 1 {
		t.Errorf("%v, %v", ends, err)
	}
	unknown := proto.CloneOf(c)
	unknown.GetProposeSignInChange().ProtoReflect().SetUnknown(protoreflect.RawFields{0xf8, 0x07, 0x01})
	if _, err := Change(unknown, salt); err == nil {
		t.Error("a field that this version does not know is signed unseen")
	}
}
