package keychain_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/approval"
	at "github.com/openlockbox/lockbox/pkg/approval/approvaltest"
	"github.com/openlockbox/lockbox/pkg/keychain"
	"github.com/openlockbox/lockbox/pkg/keychain/keychaintest"
	"github.com/openlockbox/lockbox/pkg/refusal"
	"github.com/openlockbox/lockbox/pkg/story"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
)

const bank = "contoso"

var monday = time.Date(2026, 11, 2, 9, 0, 0, 0, time.UTC)

func keyholder(name, algorithm string) story.Keyholder {
	return story.Keyholder{By: story.Customer(bank, name), Key: at.New(name, algorithm)}
}

// told is a customer with two administrators, and Carl, who has no role of theirs.
func told(t *testing.T) (s *story.Story, anna, otto, carl story.Keyholder) {
	t.Helper()
	s = story.New(monday)
	anna, otto, carl = keyholder("anna", at.ES256), keyholder("otto", at.SKEd25519), keyholder("carl", at.Ed25519)
	s.Create(bank, "Contoso", nil, anna.By)
	s.Assign(anna.By, bank, "", "a", otto.By, lockboxv1.Role_ROLE_GLOBAL_ADMINISTRATOR, false)
	return s, anna, otto, carl
}

func kind(err error) string {
	r, _ := refusal.As(err)
	for _, p := range r.GetCodedReason().GetParameters() {
		if p.GetName() == refusal.Kind {
			return p.GetValue()
		}
	}
	return refusal.Of(err).GetField()
}

func TestPeopleOfferKeysOfTheirOwn(t *testing.T) {
	t.Parallel()
	s, anna, otto, carl := told(t)
	borrowed := story.Keyholder{By: carl.By, Key: otto.Key}
	enrolment, err := story.Keyholder{By: otto.By, Key: carl.Key}.Enrolment(approval.Approver).Bytes()
	if err != nil {
		t.Fatal(err)
	}
	offer := func(label string, enrolment []byte) *lockboxv1.Command {
		return &lockboxv1.Command{Tenant: bank, Action: &lockboxv1.Command_OfferKey{OfferKey: &lockboxv1.OfferKey{
			Enrolment: enrolment, Label: label}}}
	}
	own, err := carl.Enrolment(approval.Approver).Bytes()
	if err != nil {
		t.Fatal(err)
	}
	before := len(s.Entries)
	for name, row := range map[string]struct {
		err  error
		want string
	}{
		"another's":          {s.Try(carl.By, offer("key", enrolment)), "key-not-yours"},
		"an administrator's": {s.Offer(carl, bank, approval.Administrator), "key-not-administrator"},
		"an officer's": {s.Try(story.Provider("olga", aggregate.SecurityOfficers), offer("key", own)),
			"keys-customer-only"},
		"no key":               {s.Try(carl.By, offer("key", []byte("{}"))), "signature"},
		"without a name":       {s.Try(carl.By, offer("", own)), "offer_key.label"},
		"with too long a name": {s.Try(carl.By, offer(strings.Repeat("k", 101), own)), "offer_key.label"},
	} {
		if kind(row.err) != row.want {
			t.Errorf("%s: %v", name, row.err)
		}
	}
	if len(s.Entries) != before {
		t.Error("what was refused is stored")
	}
	for range 2 { // the second takes the first one's place
		if err := s.Offer(carl, bank, approval.Approver); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Offer(borrowed, bank, approval.Approver); err != nil { // who has it is shown when they sign
		t.Fatal(err)
	}
	if offers := s.States.Keys(bank).Offers; len(offers) != 2 || offers[0].Person.Account != keychain.AccountOf(
		carl.By.GetPerson()) || offers[0].Label != "Key of carl" {
		t.Errorf("%+v", offers)
	}
	s.Genesis(bank, approval.DemandNone, anna, otto)
	if err := s.Offer(borrowed, bank, approval.Approver); kind(err) != "key-known" {
		t.Errorf("a key that is enrolled: %v", err)
	}
	if offers := s.States.Keys(bank).Offers; len(offers) != 1 {
		t.Errorf("after genesis: %+v", offers)
	}
}

func TestAGenesisTakesEffectWithTheLastSignature(t *testing.T) {
	t.Parallel()
	s, anna, otto, _ := told(t)
	g := s.Clone().Genesis(bank, approval.DemandSignatures, anna, otto)
	statement, err := g.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	sign := func(by story.Keyholder, keys ...*at.Key) error {
		return s.SignKeys(by.By, bank, approval.FormatGenesis, statement, keys...)
	}
	if err := sign(anna, anna.Key); kind(err) != "key-not-offered" {
		t.Errorf("before the keys were offered: %v", err)
	}
	for _, h := range []story.Keyholder{anna, otto} {
		if err := s.Offer(h, bank, approval.Administrator); err != nil {
			t.Fatal(err)
		}
	}
	if err := sign(anna, at.New("mallory", at.ES256)); kind(err) != "signature" {
		t.Errorf("a stranger's signature: %v", err)
	}
	for i, keys := range [][]*at.Key{{anna.Key}, {anna.Key, otto.Key}, {story.Recovery()}} {
		if k := s.States.Keys(bank); k.Chain != nil || len(k.Open) != min(i, 1) {
			t.Fatalf("after %d: %+v", i, k.Open)
		}
		if err := sign(anna, keys...); err != nil {
			t.Fatal(err)
		}
	}
	k := s.States.Keys(bank)
	if k.Chain == nil || len(k.Open) != 0 || k.Demand(keychain.Now) != approval.DemandSignatures ||
		len(k.KeysOf(anna.By.GetPerson(), keychain.Now)) != 1 || k.Labels[anna.Key.ID()] != "Key of anna" {
		t.Errorf("%+v", k)
	}
	if err := sign(anna, anna.Key, otto.Key, story.Recovery()); kind(err) != "keys-begun" {
		t.Errorf("a second time: %v", err)
	}
}

func TestNoMoreWaitsThanPeopleCanRead(t *testing.T) {
	t.Parallel()
	s, anna, otto, _ := told(t)
	s.Genesis(bank, approval.DemandNone, anna, otto)
	var err error
	for i := 0; err == nil && i < 100; i++ {
		s.At(s.Now.Add(time.Second)) // another statement each time
		err = s.SignKeys(anna.By, bank, approval.FormatKeys, s.ChangeOf(bank, approval.KeyChange{Change: approval.AddKey,
			Keys: []approval.Enrolment{keyholder("carl", at.ES256).Enrolment(approval.Approver)}}), anna.Key)
	}
	if open := len(s.States.Keys(bank).Open); kind(err) != "keys-waiting" || open != 16 {
		t.Errorf("%d are open: %v", open, err)
	}
	// One that takes effect clears all that could not follow it.
	remove := s.ChangeOf(bank, approval.KeyChange{Change: approval.RemoveKey, Remove: otto.Key.ID()})
	if err := s.SignKeys(anna.By, bank, approval.FormatKeys, remove, anna.Key); err != nil {
		t.Fatal(err)
	}
	if open := s.States.Keys(bank).Open; len(open) != 0 {
		t.Errorf("%d are open", len(open))
	}
}

// Whoever drafts without signing replaces their own draft: neither do drafts keep others from changing keys, nor does
// anybody take away what somebody else drafted, or what is signed.
func TestADraftTakesThePlaceOfThePersonsLast(t *testing.T) {
	t.Parallel()
	s, anna, otto, carl := told(t)
	s.Genesis(bank, approval.DemandNone, anna, otto)
	s.Assign(anna.By, bank, "", "c", carl.By, lockboxv1.Role_ROLE_LOCKBOX_APPROVER, false)
	draft := func(by story.Keyholder, keys ...*at.Key) []byte {
		s.At(s.Now.Add(time.Second)) // another statement each time
		statement := s.ChangeOf(bank, approval.KeyChange{Change: approval.AddKey,
			Keys: []approval.Enrolment{keyholder("carl", at.ES256).Enrolment(approval.Approver)}})
		if err := s.SignKeys(by.By, bank, approval.FormatKeys, statement, keys...); err != nil {
			t.Fatal(err)
		}
		return statement
	}
	waiting := func() (list []string) {
		for _, o := range s.States.Keys(bank).Open {
			list = append(list, o.Statement)
		}
		return list
	}
	first := draft(carl)
	ottos, signed := draft(otto), draft(carl, anna.Key)
	if want := []string{string(ottos), string(signed)}; !slices.Equal(waiting(), want) {
		t.Fatalf("%d wait: the draft that was replaced, or another's is not there", len(waiting()))
	}
	for range 30 {
		draft(carl)
	}
	last := draft(carl)
	if want := []string{string(ottos), string(signed), string(last)}; !slices.Equal(waiting(), want) {
		t.Errorf("%d wait", len(waiting()))
	}
	// What was replaced can still be signed by whoever has it.
	if err := s.SignKeys(otto.By, bank, approval.FormatKeys, first, otto.Key); err != nil {
		t.Fatal(err)
	}
	if open := s.States.Keys(bank).Open; len(open) != 3 || open[2].Statement != string(first) ||
		len(open[2].Signatures) != 1 {
		t.Errorf("signed after all: %+v", open)
	}
	// With all places taken by what is signed, a draft is refused until one of them takes effect.
	for len(waiting()) < 16 {
		draft(anna, anna.Key)
	}
	s.At(s.Now.Add(time.Second))
	err := s.SignKeys(carl.By, bank, approval.FormatKeys, s.ChangeOf(bank, approval.KeyChange{Change: approval.RemoveKey,
		Remove: otto.Key.ID()}))
	if open := len(waiting()); err != nil || open != 16 {
		t.Errorf("in the place of a draft of one's own: %d wait, %v", open, err)
	}
}

// What witnesses saw is wanted when something waits that it would move, and at no other time.
func TestSightingsAreWantedWhileSomethingWaits(t *testing.T) {
	t.Parallel()
	s, anna, otto, carl := told(t)
	wants := func() bool {
		k := s.States.Keys(bank)
		return k.Wants(k.Version, s.Now)
	}
	if wants() {
		t.Error("before there are keys")
	}
	s.Genesis(bank, approval.DemandSignatures, anna, otto)
	if wants() {
		t.Error("a genesis waits for nothing")
	}
	if err := s.Offer(carl, bank, approval.Approver); err != nil {
		t.Fatal(err)
	}
	add := s.ChangeOf(bank, approval.KeyChange{Change: approval.AddKey,
		Keys: []approval.Enrolment{carl.Enrolment(approval.Approver)}})
	if err := s.SignKeys(anna.By, bank, approval.FormatKeys, add, anna.Key, otto.Key, carl.Key); err != nil {
		t.Fatal(err)
	}
	added := s.States.Keys(bank).Chain.Keys()[2]
	if k := s.States.Keys(bank); !wants() || k.Wants(k.Version-1, s.Now) {
		t.Error("a new key that nobody has seen, and a tree that does not have it")
	}
	s.Sighted(bank)
	if from, waits := s.States.Keys(bank).CountsFrom(added); wants() || !waits || !from.After(s.Now) {
		t.Errorf("seen; it counts from %v", from)
	}
	s.At(s.Now.Add(story.KeyDelay + time.Minute))
	if !wants() {
		t.Error("the delay is over")
	}
	s.Sighted(bank)
	if wants() || len(s.States.Keys(bank).KeysOf(carl.By.GetPerson(), keychain.Now)) != 1 {
		t.Error("it counts")
	}
}

// Whoever has the projector's key says that witnesses saw what they did not.
func TestWhatWitnessesDidNotSeeCountsForNothing(t *testing.T) {
	t.Parallel()
	s, anna, otto, carl := told(t)
	s.Genesis(bank, approval.DemandSignatures, anna, otto)
	add := s.ChangeOf(bank, approval.KeyChange{Change: approval.AddKey,
		Keys: []approval.Enrolment{carl.Enrolment(approval.Approver)}})
	log := keychaintest.New(bank)
	for _, e := range s.Entries {
		log.Add(e.Subject, e.Data)
	}
	earlier := log.See(s.Now.Add(-48 * time.Hour)) // before the key was added
	if err := s.SignKeys(anna.By, bank, approval.FormatKeys, add, anna.Key, otto.Key, carl.Key); err != nil {
		t.Fatal(err)
	}
	for _, e := range s.Entries[log.Size():] {
		log.Add(e.Subject, e.Data)
	}
	now := log.See(s.Now)
	other := keychaintest.New("fabrikam")
	other.Add(strings.ReplaceAll(s.Entries[len(s.Entries)-1].Subject, bank, "fabrikam"), nil)
	damaged := log.See(s.Now.Add(72 * time.Hour))
	damaged.Seen = slices.Replace(slices.Clone(damaged.Seen), 40, 41, damaged.Seen[40]^1)
	for name, f := range map[string]*lockboxv1.KeysSighted{
		"nothing": {}, "of before": earlier, "damaged": damaged, "another customer's": other.See(s.Now.Add(72 * time.Hour)),
		"with another's head": {LogKeys: now.LogKeys, Seen: now.Seen, Head: other.See(s.Now).Head},
		"by one witness":      log.See(s.Now.Add(72*time.Hour), "beta"),
	} {
		c := s.Clone()
		c.Sees(bank, f)
		c.Sees(bank, now)
		if keys := c.States.Keys(bank).KeysOf(carl.By.GetPerson(), keychain.Now); len(keys) != 0 {
			t.Errorf("%s: the new key counts", name)
		}
	}
}
