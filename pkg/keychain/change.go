package keychain

import (
	"encoding/hex"
	"slices"
	"time"

	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/approval"
	"github.com/openlockbox/lockbox/pkg/refusal"
	"github.com/openlockbox/lockbox/pkg/tenant"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// verb is what a demand for signatures means for one verb.
type verb struct {
	// change is what a statement calls it; empty if it is not signed.
	change string
	// why is why it need not be signed, or only sometimes.
	why string
}

// verbs are those of commands about tenants, subscriptions and ownerships, and what each means while a customer demands
// signatures. One that is not here has to be signed, as a change of settings.
var verbs = map[protoreflect.Name]verb{
	"disable_lockbox":        {change: approval.SwitchOff},
	"sign_off_preview":       {change: approval.LeavePreview},
	"change_settings":        {change: approval.Settings, why: "not if it asks for more, or decides nothing: mayAsk"},
	"assign_role":            {change: approval.Roles},
	"remove_role":            {change: approval.Roles}, // without its people, the customer is locked out
	"invite_role":            {change: approval.Roles},
	"confirm_invitation":     {change: approval.Roles},
	"propose_sign_in_change": {change: approval.SignIn},
	"confirm_sign_in_change": {change: approval.SignIn},
	"end_former_sign_in":     {change: approval.SignIn}, // without it, the customer is locked out
	"transfer_subscription":  {change: approval.Transfer},

	"enable_lockbox":        {why: "asks for more"},
	"sign_up_preview":       {why: "asks for more"},
	"stop_sign_in_change":   {why: "leaves the sign-in as it is; it can be proposed again"},
	"end_invitation":        {why: "gives no role; they can be invited again"},
	"redeem_invitation":     {why: "counts only once it is confirmed, which is signed"},
	"activate_role":         {why: "of a role that was given with a signature; whoever has it decides with a key"},
	"deactivate_role":       {why: "gives one's own role back; it can be activated again"},
	"sign_in":               {why: "says that somebody is here; it can only stop a recovery"},
	"add_webhook":           {why: "tells somebody more, nothing of which decides; every administrator is told"},
	"remove_webhook":        {why: "decides nothing; mails and the log still tell"},
	"register_subscription": {why: "gives the customer more to decide about; it is nobody else's"},
	"change_support_plan":   {why: "is the provider's; no access is waived by it"},
	"create_tenant":         {why: "refused for a customer that exists; a new one has no keys"},
}

// Signs reports whether a verb can be signed, and so has to be if its customer demands signatures; but for
// change_settings, which not always has to be.
func Signs(c *lockboxv1.Command) bool { return of(c).change != "" }

func of(c *lockboxv1.Command) verb {
	if is, known := verbs[verbOf(c).Name()]; known {
		return is
	}
	return verb{change: approval.Settings}
}

func verbOf(c *lockboxv1.Command) protoreflect.FieldDescriptor {
	m := c.ProtoReflect()
	return m.WhichOneof(m.Descriptor().Oneofs().ByName("action"))
}

// Needs reports whether a command has to be signed while the customer demands signatures, as the tenant is now.
func Needs(t tenant.State, c *lockboxv1.Command) bool {
	if s := c.GetChangeSettings().GetSettings(); s != nil && mayAsk(t.Settings, s) {
		return false
	}
	return Signs(c)
}

// mayAsk reports whether new settings get around nothing: they ask for more approvals or more recent sign-ins, have
// access end with its ticket, or change how times and names are shown. All other settings, and new ones, count as if
// they could.
func mayAsk(was, next *lockboxv1.TenantSettings) bool {
	was, next = tenant.Whole(was), tenant.Whole(next)
	next.DefaultLanguage, next.TimeZone, next.DecidersShown = was.DefaultLanguage, was.TimeZone, was.DecidersShown
	if next.RequiredApprovals > was.RequiredApprovals {
		next.RequiredApprovals = was.RequiredApprovals
	}
	if age := next.GetMaxAuthenticationAge(); age != nil &&
		(was.GetMaxAuthenticationAge() == nil || age.AsDuration() < was.GetMaxAuthenticationAge().AsDuration()) {
		next.MaxAuthenticationAge = was.GetMaxAuthenticationAge()
	}
	next.AccessEndsWithTicket = was.GetAccessEndsWithTicket() && next.GetAccessEndsWithTicket()
	return proto.Equal(was, next)
}

// Change returns what a statement about a command's change says of it: which kind of change, and all of it by name. It
// is the same at whoever signs and at whoever verifies. salt hides texts that can be erased. The rest of the statement
// is left empty. It refuses what is not signed.
func Change(c *lockboxv1.Command, salt []byte) (approval.Change, error) {
	is := approval.Change{Head: approval.Head{Format: approval.FormatChange}, Change: of(c).change}
	if is.Change == "" {
		return is, refuse("change", approval.RuleValue, "%s is not signed", verbOf(c).Name())
	}
	content, err := contentOf(c, salt)
	is.Content = content
	return is, err
}

// ComposeChange makes the statement that somebody signs for a change, from the last event of what changes, as they were
// shown it. of is the kind and id of that: the tenant's, or a subscription's; of a transfer, the subscription as the
// customer has it who gives it up. text is as for Compose, and so is the salt, which goes beside the signature if
// there are texts.
func ComposeChange(
	v *lockboxv1.SigningView, kind, id string, c *lockboxv1.Command, choice Choice, text func(approval.Change) string,
) (approval.Change, error) {
	is, err := Change(c, choice.Salt[:])
	if err != nil {
		return is, err
	}
	if len(v.GetEvents()) == 0 {
		return is, refuse("follows", approval.RuleProof, "no event is shown that it could follow")
	}
	last := v.GetEvents()[len(v.GetEvents())-1]
	is.Head = approval.Head{
		Format: approval.FormatChange, Origin: v.GetOrigin(), Genesis: hex.EncodeToString(v.GetGenesis()),
		Tenant: v.GetTenant(), By: choice.By, Key: choice.Key, Language: choice.Language,
		IssuedAt: approval.TimeText(choice.Now), Nonce: hex.EncodeToString(choice.Nonce[:]),
	}
	is.Kind, is.ID = kind, id
	is.Follows = approval.Event{SHA256: hex.EncodeToString(last.GetSha256()), Type: last.GetType(),
		Version: last.GetVersion()}
	if stored := last.GetStored(); len(stored) > 0 &&
		approval.EventOf(last.GetVersion(), last.GetType(), stored) != is.Follows {
		return is, refuse("follows", approval.RuleProof, "version %d is not what its hash says", last.GetVersion())
	}
	is.Text = approval.TextHash(text(is))
	return is, nil
}

// Permit verifies what is signed for the change that a command makes to an aggregate with these events, of which only
// the last matters. It refuses a command that has to be signed and is not (R42). t is the tenant that it names. Of a
// transfer these are the keys of whoever gives the subscription up: one of their administrators signs it, and the
// provider's onboarding sends it. It reports whether something was signed.
func (s State) Permit(
	c aggregate.Command, t tenant.State, of aggregate.Key, events []Exact, now time.Time,
) (signed bool, err error) {
	a := Asked{Signed: c.GetSigned(), By: c.By.GetPerson(), Place: Now}
	if c.GetTransferSubscription() != nil {
		a.By = nil
	}
	if a.Signed == nil {
		return false, s.unsigned(c, t)
	}
	salt, _ := hex.DecodeString(a.Signed.GetCommentSalt()) // without one, a text is refused
	if a.Change, err = Change(c.Command, salt); err != nil {
		return false, Refusal("signed", err)
	}
	if a.Kind, a.ID = of.Kind, of.ID; s.Chain != nil {
		if len(events) == 0 {
			return false, refusal.Unavailable("aggregate_id", "I11", "the last stored event of %s was not read", of)
		}
		last := events[len(events)-1]
		a.Follows = approval.EventOf(last.Version, last.Type, last.Data)
	}
	is, err := s.Verify(a)
	if err == nil {
		err = is.InTime(now)
	}
	if err != nil {
		return false, Refusal("signed", err)
	}
	return true, nil
}

// unsigned refuses a command without a signature, if it needs one.
func (s State) unsigned(c aggregate.Command, t tenant.State) error {
	switch {
	case !Needs(t, c.Command):
		return nil
	case s.Fault != nil:
		return refusal.OfKind(refusal.Unavailable("tenant", rule,
			"the history of the customer's keys contradicts itself, so nothing that they sign is accepted"), "keys-history")
	case s.Demand(Now) == approval.DemandNone:
		return nil
	case !aggregate.Customer(c.By):
		return refusal.OfKind(refusal.Forbidden("signed", rule,
			"the customer demands signatures: an administrator of theirs has to sign this"), "unsigned-provider")
	case !slices.ContainsFunc(s.KeysOf(c.By.GetPerson(), Now),
		func(k approval.Enrolled) bool { return k.Role == approval.Administrator }):
		return refusal.OfKind(refusal.Forbidden("signed", rule, ofYours), "unsigned-no-key")
	}
	return refusal.OfKind(refusal.Forbidden("signed", rule, ofYours), "unsigned")
}

const ofYours = "this has to be signed with a key of yours"

// Asked is a change that is to be made, or was.
type Asked struct {
	// Change is what it has to be: of which kind, of what, and all that changes; and what it follows, of which a hash that
	// is empty is not compared, and version 0 stands for any.
	approval.Change
	Signed *lockboxv1.SignedStatement
	// By is who makes it; nil: whoever signs.
	By *lockboxv1.Person
	// Place is where it stands; Now if it is yet to be stored.
	Place uint64
}

// Verify verifies a signed change: that an administrator's key which counts at its place signed exactly what is asked.
// If the customer demands signatures of the command line, that key has to be one of it. The error is an
// *approval.Error.
func (s State) Verify(a Asked) (approval.Change, error) {
	if s.Chain == nil || s.Fault != nil {
		return approval.Change{}, refuse("keys", approval.RuleGenesis, "there is no chain of keys that holds")
	}
	is, key, err := s.Chain.Changes(approval.Stored{Sequence: a.Place, Signed: FromProto(a.Signed)})
	if err != nil {
		return is, err
	}
	same := func(one, other approval.Named) bool {
		return one == other || one.Name == other.Name && other.Value == gone
	}
	switch {
	case key.Role != approval.Administrator:
		return is, refuse("key", approval.RuleAuthority, "a change is signed with an administrator's key")
	case s.Demand(a.Place) == approval.DemandCommandLine && key.Key.Kind != approval.KindSSH:
		return is, refuse("key", approval.RuleDemand, "a change has to be signed at the command line here")
	case a.By != nil && is.By != AccountOf(a.By):
		return is, refuse("by", approval.RuleOther, "signed by %s, not by %s", is.By.Subject, a.By.GetSubject())
	case is.Change != a.Change.Change:
		return is, refuse("change", approval.RuleOther, "signed for %s, not for %s", is.Change, a.Change.Change)
	case is.Kind != a.Kind || is.ID != a.ID:
		return is, refuse("id", approval.RuleOther, "signed for %s %s, not for %s %s", is.Kind, is.ID, a.Kind, a.ID)
	case a.Follows.Version != 0 && (is.Follows.Version != a.Follows.Version ||
		a.Follows.SHA256 != "" && is.Follows != a.Follows):
		return is, refuse("follows", approval.RuleFollows, "signed to follow version %d; %d is the last", is.Follows.Version,
			a.Follows.Version)
	case !slices.EqualFunc(is.Content, a.Content, same):
		return is, refuse("content", approval.RuleOther, "something else changes than is signed")
	}
	return is, nil
}

// signable is what the statement about a change that is stored had to say; false if nobody verifies such events.
func signable(e *lockboxv1.Event) (*lockboxv1.Command, bool) {
	switch f := e.GetFact().(type) {
	case *lockboxv1.Event_LockboxDisabled:
		return &lockboxv1.Command{Action: &lockboxv1.Command_DisableLockbox{
			DisableLockbox: &lockboxv1.DisableLockbox{Reason: f.LockboxDisabled.GetReason()}}}, true
	case *lockboxv1.Event_PreviewSignedOff:
		return &lockboxv1.Command{Action: &lockboxv1.Command_SignOffPreview{
			SignOffPreview: &lockboxv1.SignOffPreview{ResourceType: f.PreviewSignedOff.GetResourceType()}}}, true
	case *lockboxv1.Event_SettingsChanged:
		return &lockboxv1.Command{Action: &lockboxv1.Command_ChangeSettings{
			ChangeSettings: &lockboxv1.ChangeSettings{Settings: f.SettingsChanged.GetSettings()}}}, true
	case *lockboxv1.Event_OwnershipTransferred:
		t := f.OwnershipTransferred
		return &lockboxv1.Command{Tenant: t.GetOwner().GetTenant(), Action: &lockboxv1.Command_TransferSubscription{
			TransferSubscription: &lockboxv1.TransferSubscription{From: t.GetFrom(),
				DisplayName: t.GetOwner().GetDisplayName(), Reason: t.GetReason()}}}, true
	}
	return nil, false
}

// Holds reports whether a stored change may be believed: the customer demanded nothing where it stands, or it is signed
// as they demanded. The fold takes whatever the orchestrator's key writes, so whoever would waive an approval because
// of it asks here first (R42). Of a tenant's own changes, a signature is good for one place: a version is never
// rewritten.
func (s State) Holds(of tenant.Stored) bool {
	return s.holds(of, "tenant", s.Tenant, of.Event.GetVersion()-1)
}

// HoldsTransfer is Holds for a transfer from this customer, who called the subscription by that id. before are the
// transfers that came earlier: a signature is good for one.
func (s State) HoldsTransfer(of tenant.Stored, id string, before []tenant.Stored) bool {
	signed := string(of.Event.GetSigned().GetStatement())
	return s.holds(of, "subscription", id, 0) && !slices.ContainsFunc(before, func(b tenant.Stored) bool {
		return signed != "" && string(b.Event.GetSigned().GetStatement()) == signed
	})
}

func (s State) holds(of tenant.Stored, kind, id string, follows uint64) bool {
	if s.Fault != nil {
		return false
	}
	if s.Demand(of.Sequence) == approval.DemandNone {
		return true
	}
	c, known := signable(of.Event)
	if !known {
		return false
	}
	a := Asked{Signed: of.Event.GetSigned(), Place: of.Sequence}
	salt, _ := hex.DecodeString(a.Signed.GetCommentSalt()) // without it, a text is not what was signed
	var err error
	if a.Change, err = Change(c, salt); err != nil {
		return false
	}
	if a.Kind, a.ID, a.Follows.Version = kind, id, follows; kind == "tenant" {
		a.By = of.Event.GetActor().GetPerson()
	}
	_, err = s.Verify(a)
	return err == nil
}

// Enabled reports whether the customer is asked: Lockbox is on, or was switched off without the signature that this
// takes.
func (s State) Enabled(t tenant.State) bool {
	return t.Enabled || t.Off.Event != nil && !s.Holds(t.Off)
}

// SignedUp reports, in the same way, whether the customer takes part in the preview of a resource type.
func (s State) SignedUp(t tenant.State, resourceType string) bool {
	left := t.Left(resourceType)
	return t.SignedUp(resourceType) || left.Event != nil && !s.Holds(left)
}

// Required is how many different people had to approve what was asked at a place: as many as were last demanded there,
// by whoever may. Asking for fewer may take a signature.
func (s State) Required(t tenant.State, place uint64) int {
	required := 1
	for _, r := range t.Required {
		n := int(tenant.Whole(r.Event.GetSettingsChanged().GetSettings()).GetRequiredApprovals())
		if r.Sequence < place && (n > required || s.Holds(r)) {
			required = n
		}
	}
	return required
}
