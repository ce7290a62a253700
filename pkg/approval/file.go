package approval

import (
	"crypto/subtle"
	"encoding/hex"
	"slices"
	"strings"
	"time"
)

// FormatFile is the format of a file that carries an approval to whoever verifies it offline.
const FormatFile = "lockbox-approval-file/v1"

// MaxFile is the size in bytes of the largest file that is read.
const MaxFile = 64 << 20

// File is an approval with all that verifying it needs, apart from the pin and the policy for the log's signatures.
type File struct {
	Format string `json:"format"`
	// Approvals are the signed decisions of one request, in the order of the log.
	Approvals []Signed `json:"approvals"`
	// Keys are the chain: genesis and every change of keys, in the order of the log.
	Keys []Signed `json:"keys"`
	// RequestReceipt is the receipt of the request, KeysReceipt that of the tenant's keys: base64url without padding. This
	// package does not read them.
	RequestReceipt string `json:"requestReceipt"`
	KeysReceipt    string `json:"keysReceipt"`
}

// Encode writes a file in its only spelling.
func (f File) Encode() ([]byte, error) {
	f.Format = FormatFile
	return canonical(f)
}

// ParseFile reads a file in its only spelling.
func ParseFile(data []byte) (f File, err error) {
	if err := parse(data, MaxFile, &f); err != nil {
		return File{}, err
	}
	if f.Format != FormatFile {
		return File{}, refuse("format", RuleForm, "%q is not %s", f.Format, FormatFile)
	}
	return f, nil
}

// Facts are what whoever calls has verified of the log: from the receipts in the file, under the policy that they
// trust. What is not among them is not believed.
type Facts struct {
	// Origin and Tenant are whose log it is.
	Origin, Tenant string
	// Approvals are the decisions in the request's events, Keys the statements in the events of the tenant's keys.
	Approvals []Given
	Keys      []Stored
	// KeysSize is the size of the tenant's tree at the checkpoint as of which the log committed to Keys being all of
	// them; 0 if it did not.
	KeysSize uint64
	// Terms are what the request's events say.
	Terms Terms
	// Sightings are checkpoints with valid cosignatures: as many as there are, at least that of KeysSize.
	Sightings []Sighting
}

// Given is a decision as an event of the request holds it.
type Given struct {
	Stored
	// Version is the event's, in the request.
	Version uint64
}

// AsOf says up to when a verdict has seen everything. What came afterwards, such as a revocation or the removal of a
// key, it cannot know.
type AsOf struct {
	// Size is that of the tenant's tree.
	Size uint64
	// Time is when a quorum of the tenant's witnesses had cosigned it.
	Time time.Time
}

// Verdict is what a file proves.
type Verdict struct {
	// Fingerprint is that of the tenant's keys. Pinned is false if it was taken from the file: then everything rests on
	// it, "trusted on first use".
	Fingerprint [32]byte
	Pinned      bool
	// Approvals are by different people, as many as were needed.
	Approvals []Approval
	// Demand is what the tenant demanded at that place.
	Demand Demand
	AsOf   AsOf
	// PublishedBy is when a quorum of witnesses had seen the last approval. OnTime is true if that is before the deadline;
	// else it is not proven either way.
	PublishedBy time.Time
	OnTime      bool
}

// Verify verifies a file offline: that its approvals are enough, signed with keys that counted where they stand, over
// exactly the terms that the log shows. pin is the fingerprint that was compared by other means; nil takes the
// file's, and the verdict says so. It needs no clock, and nothing of the provider's.
func Verify(file []byte, pin *[32]byte, facts Facts) (Verdict, error) {
	f, err := ParseFile(file)
	if err != nil {
		return Verdict{}, err
	}
	if err := shown("keys", f.Keys, facts.Keys); err != nil {
		return Verdict{}, err
	}
	given := make([]Stored, len(facts.Approvals))
	for i, g := range facts.Approvals {
		given[i] = g.Stored
	}
	if err := shown("approvals", f.Approvals, given); err != nil {
		return Verdict{}, err
	}
	chain, err := Fold(facts.Keys, facts.Sightings)
	if err != nil {
		return Verdict{}, err
	}
	v := Verdict{Fingerprint: chain.Fingerprint(), Pinned: pin != nil}
	switch g := chain.genesis; {
	case pin != nil && subtle.ConstantTimeCompare(pin[:], v.Fingerprint[:]) == 0:
		return Verdict{}, refuse("keys.0", RulePin, "the keys are those of %s", hex.EncodeToString(v.Fingerprint[:]))
	case g.Origin != facts.Origin || g.Tenant != facts.Tenant:
		return Verdict{}, refuse("keys.0", RuleProof, "the log is another one, or another tenant's")
	case len(facts.Approvals) == 0:
		return Verdict{}, refuse("approvals", RulePeople, "there is none")
	}
	return v, v.judge(chain, facts)
}

// shown refuses statements that are not exactly those which the log shows.
func shown(field string, claimed []Signed, stored []Stored) error {
	if !slices.EqualFunc(claimed, stored, func(c Signed, s Stored) bool {
		return c.Statement == s.Statement && slices.Equal(c.Signatures, s.Signatures)
	}) {
		return refuse(field, RuleProof, "are not those that the log shows")
	}
	return nil
}

func (v *Verdict) judge(chain *Chain, facts Facts) error {
	for _, g := range facts.Approvals {
		a, err := chain.Approves(g.Stored)
		if err != nil {
			return at("approvals", err)
		}
		if a.Decision.Decision != Approve {
			return refuse("approvals.decision", RuleOther, "it is to %s", a.Decision.Decision)
		}
		if err := a.Decision.Within(facts.Terms, g.Version); err != nil {
			return at("approvals", err)
		}
		v.Approvals = append(v.Approvals, a)
	}
	last := facts.Approvals[len(facts.Approvals)-1].Sequence
	v.Demand = chain.Demand(last)
	if err := v.Demand.Enough(v.Approvals, facts.Terms.Approvals); err != nil {
		return err
	}
	seen, is := chain.clock.published(facts.KeysSize)
	if facts.KeysSize < last || !is {
		return refuse("keys", RuleAsOf, "it is not proven that these are all keys as of the approval")
	}
	v.AsOf = AsOf{facts.KeysSize, seen}
	deadline := v.Approvals[0].Decision.Deadline()
	if after, is := chain.clock.after(last); is && !after.Before(deadline) {
		return refuse("approvals.answerBy", RuleLate, "it was not in the log at %s", TimeText(after))
	}
	if v.PublishedBy, is = chain.clock.published(last); !is {
		return refuse("approvals", RuleAsOf, "no quorum of the tenant's witnesses has seen it")
	}
	v.OnTime = v.PublishedBy.Before(deadline)
	return nil
}

// Text is a fingerprint or digest as words, for people.
func Text(digest [32]byte, words int) string { return strings.Join(Words(digest, words), " ") }
