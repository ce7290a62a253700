package verifier

import (
	"fmt"
	"strings"
	"time"

	"github.com/openlockbox/lockbox/pkg/approval"
	"github.com/openlockbox/lockbox/pkg/approval/logged"
	"github.com/openlockbox/lockbox/pkg/merkle"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
)

// Statement is a decision of the customer's in a request's events, and what is known of its signature.
type Statement struct {
	// Decision is approve, deny or revoke; By is who the event says decided.
	Decision string `json:"decision"`
	By       string `json:"by"`
	// Place is the event's place among the tenant's events.
	Place uint64 `json:"tenant_sequence,string"`
	// Signed says that there is a statement. Key is the key's id and Words stand for the statement, as people compare
	// them; both are what it says of itself until Verified.
	Signed bool   `json:"signed"`
	Key    string `json:"key,omitempty"`
	With   string `json:"with,omitempty"`
	Words  string `json:"words,omitempty"`
	// Verified says that the signature was verified under the customer's keys, over this request and at this place. Why
	// says what is wrong otherwise; empty if the keys are not known.
	Verified bool   `json:"verified"`
	Why      string `json:"why,omitempty"`
	// RemovedAt is where the key was removed later; 0 if it was not, as far as is shown.
	RemovedAt uint64 `json:"key_removed_at,string,omitempty"`
}

// readStatement says what is known of a decision, and why its signature does not hold. Without a chain, no key is
// known.
func readStatement(d logged.Decided, chain *approval.Chain, terms approval.Terms) (s Statement, err error) {
	s = Statement{Decision: logged.VerbOf(d.Event), By: d.Event.GetActor().GetPerson().GetSubject(), Place: d.Sequence,
		Signed: d.Signed != nil}
	if d.Event.GetActor().GetSide() != lockboxv1.Side_SIDE_TENANT {
		s.By = who(d.Event.GetActor())
	}
	if d.Signed == nil {
		return s, nil
	}
	digest := approval.Digest(approval.FormatDecision, []byte(d.Signed.Statement))
	s.Words = approval.Text(digest, approval.DecisionWords)
	if len(d.Signed.Signatures) > 0 {
		s.Key = d.Signed.Signatures[0].Key
	}
	if chain == nil {
		return s, nil
	}
	a, err := chain.Approves(approval.Stored{Sequence: d.Sequence, Signed: *d.Signed})
	if err == nil {
		err = a.Decision.Within(terms, d.Event.GetVersion())
	}
	if err == nil {
		err = logged.Says(a.Decision, d.Event)
	}
	if err != nil {
		s.Why = err.Error()
		return s, err
	}
	s.By, s.With, s.RemovedAt, s.Verified = a.Decision.By.Subject, keyKind(a.Key), a.RemovedAt, true
	return s, nil
}

// Text says it in a sentence.
func (s Statement) Text() string {
	verb := map[string]string{approval.Approve: "approved", approval.Deny: "denied",
		approval.Revoke: "revoked"}[s.Decision]
	text := fmt.Sprintf("%s by %s (event %d)", verb, s.By, s.Place)
	switch {
	case !s.Signed:
		return text + ": not signed"
	case s.Verified:
		text += fmt.Sprintf(": signed with %s %s; eight words: %s", s.With, s.Key, s.Words)
		if s.RemovedAt != 0 {
			text += fmt.Sprintf("; this key was removed afterwards, by event %d", s.RemovedAt)
		}
		return text
	case s.Why != "":
		return text + ": WHAT IS SIGNED DOES NOT HOLD: " + s.Why
	}
	return text + fmt.Sprintf(": carries a signature of the key %s; eight words: %s", s.Key, s.Words)
}

// keyKind names a kind of key.
func keyKind(k approval.Key) string {
	if k.Kind == approval.KindWebAuthn {
		return "the passkey or security key for " + k.RelyingParty
	}
	algorithm, _, _ := strings.Cut(sshLine(k), " ")
	if strings.HasPrefix(algorithm, "sk-") {
		return "the security key at the command line (" + algorithm + ")"
	}
	return "the SSH key (" + algorithm + ")"
}

// unverified are the customer's decisions that a receipt shows, as they say of themselves.
func unverified(report merkle.Report) (all []Statement) {
	for _, e := range report.Events {
		if d, is := logged.DecidedIn(e); is && d.Event.GetActor().GetSide() == lockboxv1.Side_SIDE_TENANT {
			s, _ := readStatement(d, nil, approval.Terms{}) // without keys, nothing is refused
			all = append(all, s)
		}
	}
	return all
}

// CheckSigned is CheckWatched for a request's receipt with that of the customer's keys: it verifies each signed
// decision under these keys. pin may be empty. The error is ErrNotProven if one of them does not hold.
func CheckSigned(name, keys string, trust Trust, pin, state string, now time.Time) (*Receipt, error) {
	r, err := CheckWatched(name, trust, state, now)
	if err != nil {
		return nil, err
	}
	trusted, _, err := trust.receipts()
	if err != nil {
		return nil, err
	}
	compared, err := ReadPin(pin)
	if err != nil {
		return nil, err
	}
	var files [2][]byte
	for i, path := range []string{name, keys} {
		if files[i], err = readFile(path, mostFile); err != nil {
			return nil, err
		}
		files[i] = asWritten(files[i])
	}
	if err := r.under(files[0], files[1], trusted, compared); err != nil {
		return nil, unproven(name, err)
	}
	return r, nil
}

// under verifies the statements under the keys of another receipt.
func (r *Receipt) under(file, keys []byte, trust merkle.Trust, pin *approval.Pin) error {
	proven, err := logged.Receipts(file, keys, trust)
	if err != nil {
		return err
	}
	chain, err := approval.Fold(proven.Facts.Keys, proven.Facts.Sightings)
	if err != nil {
		return err
	}
	fingerprint := chain.Fingerprint()
	r.Keys, r.Pinned = approval.Text(fingerprint, approval.FingerprintWords), pin != nil
	if pin != nil && !pin.Matches(fingerprint) {
		return approval.Refuse("keys.0", approval.RulePin,
			"the keys are those of %q, and not the ones that you pinned", r.Keys)
	}
	r.Statements = nil
	for _, d := range proven.Decisions {
		s, err := readStatement(d, chain, proven.Facts.Terms)
		if err != nil {
			return err
		}
		if s.Signed && proven.Facts.KeysSize < s.Place {
			return approval.Refuse("keysReceipt", approval.RuleAsOf,
				"it is not proven that these are all keys as of event %d", s.Place)
		}
		if d.Event.GetActor().GetSide() == lockboxv1.Side_SIDE_TENANT {
			r.Statements = append(r.Statements, s)
		}
	}
	return nil
}

// signatures says whose signatures the decisions carry.
func (r *Receipt) signatures(b *strings.Builder) {
	if len(r.Statements) == 0 {
		return
	}
	b.WriteString("\nThe customer's decisions:\n")
	signed := false
	for _, s := range r.Statements {
		signed = signed || s.Signed
		fmt.Fprintf(b, "  %s\n", clean(s.Text()))
	}
	switch {
	case !signed:
	case r.Keys == "":
		b.WriteString("Whose keys these are is not proven by this receipt: verify the approval file, or give the keys' " +
			"receipt with --keys.\n")
	case r.Pinned:
		fmt.Fprintf(b, "Verified under the keys of the fingerprint that you gave: %s\n", r.Keys)
	default:
		fmt.Fprintf(b, "Verified under keys TRUSTED ON FIRST USE, which the receipt says are those of %s\n", r.Keys)
	}
}
