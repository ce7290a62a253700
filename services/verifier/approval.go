package verifier

import (
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/openlockbox/lockbox/pkg/approval"
	"github.com/openlockbox/lockbox/pkg/approval/logged"
	"github.com/openlockbox/lockbox/pkg/fact"
	"github.com/openlockbox/lockbox/pkg/merkle"
)

// ApprovalHelp explains what checking an approval file proves.
const ApprovalHelp = `checks it, offline, with nothing but public keys and the fingerprint of your organisation's keys: that people of yours approved
exactly this request, each with a key that counted where the approval stands in the log, and as many as were needed. Nobody at
the provider can make such an approval. --pin is the fingerprint that your administrators compared: twelve words, or 64
hexadecimal digits. Without it, the file itself says whose keys these are, and all rests on that.`

// Approval is what an approval file proves, as written with --json.
type Approval struct {
	Trusted string `json:"trusted"`
	Tenant  string `json:"tenant"`
	Request string `json:"request"`
	Log     string `json:"log"`
	// Fingerprint is that of the tenant's keys, Words the same for people; Pinned says that it was given.
	Fingerprint string `json:"fingerprint"`
	Words       string `json:"words"`
	Pinned      bool   `json:"pinned"`
	// Terms are what was asked for.
	Terms ApprovalTerms `json:"terms"`
	// Approvals are the customer's decisions on it: those that approve are verified, or nothing is.
	Approvals []Statement `json:"approvals"`
	// Others are the customer's further decisions about the request: unsigned approvals, denials, revocations.
	Others []Statement `json:"others"`
	Demand string      `json:"demand"`
	// PublishedBy is when a quorum of the witnesses that the keys name had seen the last approval, and OnTime says that
	// this is before the deadline; otherwise it is not proven either way.
	PublishedBy time.Time `json:"published_by"`
	Deadline    time.Time `json:"deadline"`
	OnTime      bool      `json:"on_time"`
	// KeysAsOf is up to when the keys are proven to be all, and KeysSize the size of the tenant's tree then.
	KeysAsOf time.Time `json:"keys_as_of"`
	KeysSize uint64    `json:"keys_size"`
	// EvaluationWithheld says that what was evaluated is not shown.
	EvaluationWithheld bool `json:"evaluation_withheld"`
	// RequestComplete says that the log committed to the request's events being all as of its checkpoint.
	RequestComplete bool     `json:"request_complete"`
	Later           []string `json:"later_events"`
	WritersChecked  bool     `json:"writers_checked"`
	Signed          string   `json:"signed"`
	// Table is what is proven, in sentences.
	Table []Sentence `json:"table"`
	// NotProven is what is not.
	NotProven []string `json:"not_proven"`

	approvals []approval.Signed
	verdict   approval.Verdict
}

// ApprovalTerms are what an approved request asked for.
type ApprovalTerms struct {
	Subscription string   `json:"subscription,omitempty"`
	ResourceType string   `json:"resource_type"`
	Scenario     string   `json:"scenario"`
	Engineer     string   `json:"engineer"`
	Resources    []string `json:"resources"`
	Required     uint64   `json:"required_approvals"`
}

// Sentence is one line of the table.
type Sentence struct {
	About string `json:"about"`
	Says  string `json:"says"`
}

// CheckApproval checks an approval file. pin may be empty. The error is ErrNotProven if it does not hold, and
// ErrNotTrusted if nothing but witnesses is missing.
func CheckApproval(name string, trust Trust, pin string) (*Approval, error) {
	trusted, from, err := trust.receipts()
	if err != nil {
		return nil, err
	}
	compared, err := ReadPin(pin)
	if err != nil {
		return nil, err
	}
	file, err := readFile(name, approval.MaxFile)
	if err != nil {
		return nil, err
	}
	a, err := checkApproval(file, trusted, compared)
	if err != nil {
		return nil, unproven(name, err)
	}
	a.TrustedBy(from)
	return a, nil
}

// TrustedBy says whose signatures were trusted, and words what is proven.
func (a *Approval) TrustedBy(whom string) {
	a.Trusted, a.Table, a.NotProven = whom, nil, nil
	a.sentences()
}

// ReadPin reads a fingerprint that somebody compared; nil if it is empty.
func ReadPin(text string) (*approval.Pin, error) {
	if strings.TrimSpace(text) == "" {
		return nil, nil //nolint:nilnil // there is none
	}
	pin, err := approval.ParsePin(text)
	if err != nil {
		return nil, usage("--pin: %v", err)
	}
	return &pin, nil
}

// readFile reads a file that somebody gave us: so much of it, and no more.
func readFile(name string, most int64) ([]byte, error) {
	opened, err := os.Open(name) // #nosec G304 -- the user names it
	if err != nil {
		return nil, err
	}
	data, err := io.ReadAll(io.LimitReader(opened, most+1))
	if err = errors.Join(err, opened.Close()); err != nil {
		return nil, err
	}
	if int64(len(data)) > most {
		return nil, fmt.Errorf("%w: %s is longer than %d bytes", ErrNotProven, name, most)
	}
	return data, nil
}

// unproven is the verdict on a file that was refused.
func unproven(name string, err error) error {
	var convicted *merkle.ConvictionError
	var is *merkle.ProofError
	switch {
	case errors.As(err, &convicted):
		return fmt.Errorf("%w: %s: %w; the log signed both: keep this file", ErrContradiction, name, err)
	case errors.As(err, &is) && is.Part == merkle.Cosignatures, approval.RuleOf(err) == approval.RuleAsOf:
		return fmt.Errorf("%w: %s: %w; ask for a newer file", ErrNotTrusted, name, err)
	}
	return fmt.Errorf("%w: %s: %w", ErrNotProven, name, err)
}

func checkApproval(file []byte, trust merkle.Trust, pin *approval.Pin) (*Approval, error) {
	file = []byte(strings.TrimSuffix(string(asWritten(file)), "\n"))
	f, err := approval.ParseFile(file)
	if err != nil {
		return nil, err
	}
	shown, err := logged.Read(f, trust)
	if err != nil {
		return nil, err
	}
	var whole *[32]byte
	if pin != nil {
		first := approval.Digest(approval.FormatGenesis, []byte(shown.Facts.Keys[0].Statement))
		if whole = &first; !pin.Matches(first) {
			return nil, approval.Refuse("keys.0", approval.RulePin,
				"the keys are those of %q, and not the ones that you pinned", approval.Text(first, approval.FingerprintWords))
		}
	}
	v, err := approval.Verify(file, whole, shown.Facts)
	if err != nil {
		return nil, err
	}
	chain, err := approval.Fold(shown.Facts.Keys, shown.Facts.Sightings)
	if err != nil {
		return nil, err
	}
	a := &Approval{
		Tenant: shown.Facts.Tenant, Request: shown.Facts.Terms.Request, Log: shown.Facts.Origin,
		Fingerprint: hex.EncodeToString(v.Fingerprint[:]), Words: approval.Text(v.Fingerprint, approval.FingerprintWords),
		Pinned: v.Pinned, Demand: string(v.Demand), PublishedBy: v.PublishedBy, OnTime: v.OnTime,
		Deadline: v.Approvals[0].Decision.Deadline(), KeysAsOf: v.AsOf.Time, KeysSize: v.AsOf.Size,
		EvaluationWithheld: shown.Withheld, RequestComplete: shown.Request.Complete(),
		Approvals: []Statement{}, Others: []Statement{},
		WritersChecked: shown.Request.Judged && shown.Keys.Judged, Signed: shown.Keys.Claims().Signed,
		Later: []string{}, approvals: f.Approvals, verdict: v,
	}
	t := shown.Facts.Terms
	a.Terms = ApprovalTerms{t.Subscription, t.ResourceType, t.Scenario, t.Engineer.Subject, t.Resources, t.Approvals}
	last := uint64(0)
	for _, d := range shown.Decisions {
		s, err := readStatement(d, chain, t)
		switch {
		case s.Decision != approval.Approve || !s.Signed:
			a.Others = append(a.Others, s)
		case err != nil:
			return nil, fmt.Errorf("approvals: %w", err)
		default:
			a.Approvals, last = append(a.Approvals, s), s.Place
		}
	}
	for _, e := range shown.Request.Events {
		if e.TenantSequence > last && !e.Withheld {
			a.Later = append(a.Later, fact.TypeOf(e.Event))
		}
	}
	return a, nil
}

// Text formats it for people.
func (a *Approval) Text() string {
	var b strings.Builder
	b.WriteString("The approval holds: the customer gave it, with keys of its own.\n\n")
	for _, s := range a.Table {
		fmt.Fprintf(&b, "%-9s %s\n", s.About, clean(s.Says))
	}
	b.WriteString("\nNot proven:\n")
	for _, s := range a.NotProven {
		fmt.Fprintf(&b, "- %s\n", clean(s))
	}
	return b.String()
}

// sentences says what is proven, and what is not.
func (a *Approval) sentences() {
	add := func(about, format string, args ...any) {
		a.Table = append(a.Table, Sentence{about, fmt.Sprintf(format, args...)})
	}
	gap := func(what string) { a.NotProven = append(a.NotProven, what) }
	for i, s := range a.Approvals {
		d := a.verdict.Approvals[i].Decision
		add("Approved", "by %s", accountText(d.By))
		add("", "with %s, key %s", s.With, s.Key)
		add("", "eight words: %s", s.Words)
		add("", "for %v at most, %d of %d resources: %s", time.Duration(d.Seconds)*time.Second, // #nosec G115 -- checked
			len(d.Resources), len(a.Terms.Resources), strings.Join(d.Resources, ", "))
		if s.RemovedAt != 0 {
			add("", "this key was removed afterwards, by event %d of the customer; the approval is event %d", s.RemovedAt,
				s.Place)
		}
	}
	add("Request", "%s of %s: %s of %s, asked for by %s", a.Request, a.Tenant, a.Terms.Scenario,
		a.Terms.ResourceType, a.Terms.Engineer)
	add("Enough", "%d of %d different people; the customer demanded then: %s", people(a.verdict.Approvals),
		max(a.Terms.Required, 1), demandText(approval.Demand(a.Demand)))
	if a.Pinned {
		add("Keys", "those of the fingerprint that you gave: %s", a.Words)
	} else {
		add("Keys", "TRUSTED ON FIRST USE: the file says that they are those of %s", a.Words)
		gap("That these are your organisation's keys: compare the fingerprint with your administrators', and give it " +
			"with --pin.")
	}
	add("All keys", "as of %s, when enough of the customer's witnesses had cosigned the log at its event %d",
		utc(a.KeysAsOf), a.KeysSize)
	add("Published", "no later than %s, by the customer's witnesses", utc(a.PublishedBy))
	if a.OnTime {
		add("In time", "yes: the deadline was %s", utc(a.Deadline))
	} else {
		add("In time", "not proven: the deadline was %s", utc(a.Deadline))
		gap("Whether it was given before the deadline: no witness had seen it by then, and none says that it was not " +
			"there.")
	}
	for _, s := range a.Others {
		add("Also", "%s", s.Text())
	}
	if len(a.Later) > 0 {
		add("Then", "%s", strings.Join(a.Later, ", "))
	}
	add("Signed", "%s", a.Signed)
	if a.WritersChecked {
		add("Written", "each event shown is signed by the part of Lockbox that writes such events")
	} else {
		add("Written", "not checked; the approvals do not rest on it")
	}
	add("Trusted", "%s", a.Trusted)
	if a.EvaluationWithheld {
		gap("What Lockbox evaluated: it is withheld here, and which event it was is said by what was signed alone.")
	}
	if !a.RequestComplete {
		gap("That these are all events of the request: the log counts more.")
	}
	gap("What came after: a newer file shows whether the access was revoked, or a key removed.")
	gap("That the log does not lie about these being all keys: only a monitor that reads its entries sees that.")
	gap("That whoever held a key was its owner, and saw what they signed: a page can lie, and keys can be stolen.")
	gap("That the engineer did only this: what happened on the machines is not recorded here.")
}

// people is how many different people approved.
func people(all []approval.Approval) (n int) {
	for i, a := range all {
		if !slices.ContainsFunc(all[:i], func(b approval.Approval) bool { return a.Person.Same(b.Person) }) {
			n++
		}
	}
	return n
}

func demandText(d approval.Demand) string {
	switch d {
	case approval.DemandSignatures:
		return "every approval is signed"
	case approval.DemandCommandLine:
		return "every approval is signed, at least one of each request at the command line"
	}
	return "no signatures"
}

func accountText(a approval.Account) string { return a.Subject + " (" + a.Issuer + ")" }
