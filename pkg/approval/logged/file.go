package logged

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/openlockbox/lockbox/pkg/approval"
	"github.com/openlockbox/lockbox/pkg/approval/sighted"
	"github.com/openlockbox/lockbox/pkg/approval/terms"
	"github.com/openlockbox/lockbox/pkg/fact"
	"github.com/openlockbox/lockbox/pkg/merkle"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"google.golang.org/protobuf/proto"
)

const (
	// mostKeys is how many events about keys are read at most: each witness's evidence takes signatures to verify.
	mostKeys = 1 << 12
	// maxReceipt is how large a receipt is at most, in bytes.
	maxReceipt = 64 << 20
)

// File makes an approval file of two receipts, without verifying them.
func File(requestReceipt, keysReceipt []byte) ([]byte, error) {
	request, err := statements(requestReceipt)
	if err != nil {
		return nil, fmt.Errorf("the request's receipt: %w", err)
	}
	keys, err := statements(keysReceipt)
	if err != nil {
		return nil, fmt.Errorf("the keys' receipt: %w", err)
	}
	f := approval.File{Approvals: []approval.Signed{}, Keys: []approval.Signed{},
		RequestReceipt: base64url.EncodeToString(requestReceipt), KeysReceipt: base64url.EncodeToString(keysReceipt)}
	for _, e := range request {
		if e.GetCustomerApproved() != nil && e.GetSigned() != nil {
			f.Approvals = append(f.Approvals, FromProto(e.GetSigned()))
		}
	}
	for _, e := range keys {
		if s := chained(e); s != nil {
			f.Keys = append(f.Keys, FromProto(s))
		}
	}
	return f.Encode()
}

// statements are the events that a receipt shows.
func statements(receipt []byte) (events []*lockboxv1.Event, err error) {
	r, err := merkle.ParseReceipt(receipt)
	if err != nil {
		return nil, err
	}
	for _, e := range r.Events {
		is := new(lockboxv1.Event)
		if err := proto.Unmarshal(e.Bytes, is); err != nil {
			return nil, err
		}
		events = append(events, is)
	}
	return events, nil
}

// chained is the statement of a chain of keys in an event; nil if it adds none to it.
func chained(e *lockboxv1.Event) *lockboxv1.SignedStatement {
	switch {
	case e.GetKeyChainBegan() != nil:
		return e.GetKeyChainBegan().GetGenesis()
	case e.GetKeyChainChanged() != nil:
		return e.GetKeyChainChanged().GetChange()
	}
	return nil
}

// Pack is what a service answers of two receipts, and Unpack the approval file that is made of it.
func Pack(name string, requestReceipt, keysReceipt []byte) (*lockboxv1.ApprovalFile, error) {
	request, err := compressed(requestReceipt)
	if err != nil {
		return nil, err
	}
	keys, err := compressed(keysReceipt)
	return &lockboxv1.ApprovalFile{FileName: name, RequestReceipt: request, KeysReceipt: keys}, err
}

// Unpack makes the approval file of an answer.
func Unpack(a *lockboxv1.ApprovalFile) ([]byte, error) {
	request, err := expanded(a.GetRequestReceipt())
	if err != nil {
		return nil, err
	}
	keys, err := expanded(a.GetKeysReceipt())
	if err != nil {
		return nil, err
	}
	return File(request, keys)
}

func compressed(data []byte) ([]byte, error) {
	var out bytes.Buffer
	w, err := gzip.NewWriterLevel(&out, gzip.BestCompression)
	if err != nil {
		return nil, err
	}
	_, err = w.Write(data)
	err = errors.Join(err, w.Close())
	return out.Bytes(), err
}

func expanded(data []byte) ([]byte, error) {
	r, err := gzip.NewReader(bytes.NewReader(data))
	if err != nil {
		return nil, err
	}
	all, err := io.ReadAll(io.LimitReader(r, maxReceipt+1))
	if err == nil && len(all) > maxReceipt {
		err = errors.New("it is larger than any receipt")
	}
	return all, err
}

// Shown is what the receipts in an approval file prove.
type Shown struct {
	Request, Keys merkle.Report
	// Facts are what package approval judges a file by.
	Facts approval.Facts
	// Decisions are the events of the request by which the customer's people decided, signed or not.
	Decisions []Decided
	// Withheld: what was evaluated is not shown, and the statements alone say which event it was.
	Withheld bool
}

// Decided is a decision of the customer's as an event of the request has it.
type Decided struct {
	// Sequence is the event's place in the tenant's tree.
	Sequence uint64
	Event    *lockboxv1.Event
	// Signed is the statement; nil if the event has none.
	Signed *approval.Signed
}

// Read verifies the receipts in a file, under the policy and the writers' key of whoever asks, and returns what they
// show. What is refused is a *merkle.ProofError, a *merkle.ConvictionError or an *approval.Error.
func Read(f approval.File, trust merkle.Trust) (*Shown, error) {
	request, err := base64url.DecodeString(f.RequestReceipt)
	if err != nil {
		return nil, approval.Refuse("requestReceipt", approval.RuleForm, "%v", err)
	}
	keys, err := base64url.DecodeString(f.KeysReceipt)
	if err != nil {
		return nil, approval.Refuse("keysReceipt", approval.RuleForm, "%v", err)
	}
	return Receipts(request, keys, trust)
}

// Receipts is Read for two receipts.
func Receipts(requestReceipt, keysReceipt []byte, trust merkle.Trust) (*Shown, error) {
	s := new(Shown)
	about, err := opened(requestReceipt, trust, &s.Request)
	if err != nil {
		return nil, fmt.Errorf("the request's receipt: %w", err)
	}
	own, err := opened(keysReceipt, trust, &s.Keys)
	if err != nil {
		return nil, fmt.Errorf("the keys' receipt: %w", err)
	}
	tenant, origin := s.Request.Tenant, s.Request.Signed.Origin
	switch {
	case kindOf(s.Request.About) != fact.KindRequest:
		return nil, proof("requestReceipt", "it is about %s, and no request of %s", s.Request.About, tenant)
	case s.Keys.Tenant != tenant || s.Keys.About != sighted.Subject(tenant) || s.Keys.Signed.Origin != origin:
		return nil, proof("keysReceipt", "it is about %s in the log %s, and not about the keys of %s in %s", s.Keys.About,
			s.Keys.Signed.Origin, tenant, origin)
	}
	if err := merkle.Contradict(about, own, trust.Policy); err != nil {
		return nil, err
	}
	s.Facts = approval.Facts{Origin: origin, Tenant: tenant}
	if s.Keys.Complete() {
		s.Facts.KeysSize = uint64(s.Keys.Tree.N) // #nosec G115 -- the opening was checked
	}
	if err := s.chain(); err != nil {
		return nil, err
	}
	if err := s.sightings(about, own, trust.Policy); err != nil {
		return nil, err
	}
	return s, s.decided()
}

// kindOf is the kind of what a verified receipt is about.
func kindOf(about string) string {
	if tokens := strings.Split(about, "."); len(tokens) == 5 {
		return tokens[3]
	}
	return ""
}

// cosigned are the times that the witnesses of a policy vouch for whose names are their keys.
func cosigned(s merkle.Signed) (all []approval.Cosigned) {
	for _, c := range s.Cosigned {
		if c.SaysTime() {
			all = append(all, approval.Cosigned{Witness: c.Name, At: c.At})
		}
	}
	return all
}

// opened verifies a receipt, and returns what was seen of the log with it.
func opened(file []byte, trust merkle.Trust, report *merkle.Report) (seen merkle.Seen, err error) {
	if *report, err = trust.VerifyReceipt(file); err != nil {
		return seen, err
	}
	r, err := merkle.ParseReceipt(file)
	return merkle.Seen{Tenant: r.Tenant, Checkpoint: r.Checkpoint, Opening: r.Opening, Directory: r.Directory}, err
}

// chain takes the statements about keys. None of these events may be withheld: it could be a removal.
func (s *Shown) chain() error {
	if len(s.Keys.Events) > mostKeys {
		return proof("keysReceipt", "more than %d events about keys", mostKeys)
	}
	for _, e := range s.Keys.Events {
		if e.Withheld {
			return proof("keysReceipt", "an event about keys is withheld, which could be a removal")
		}
		if is := chained(e.Event); is != nil {
			s.Facts.Keys = append(s.Facts.Keys, approval.Stored{Sequence: e.TenantSequence, Signed: FromProto(is)})
		}
	}
	if len(s.Facts.Keys) == 0 {
		return approval.Refuse("keys", approval.RuleGenesis, "there is no genesis")
	}
	return nil
}

// sightings takes what the genesis's witnesses vouch for: both receipts' checkpoints, and the evidence among the events
// about keys. A quorum has to have seen both trees, whatever the policy demands: else a log that is shown to nobody
// else could leave out a removal, or move an approval to before it. Evidence of another tree says nothing about these.
func (s *Shown) sightings(about, own merkle.Seen, policy *merkle.Policy) error {
	g, err := approval.ParseGenesis([]byte(s.Facts.Keys[0].Statement))
	if err != nil {
		return err
	}
	among, err := policy.Among(g.Witnesses)
	if err != nil {
		return approval.Refuse("keys.0.witnesses", approval.RuleValue, "%v", err)
	}
	for i, seen := range []merkle.Seen{own, about} {
		field := []string{"keysReceipt", "requestReceipt"}[i]
		signed, err := seen.Verify(among)
		if err != nil {
			return err
		}
		vouched := cosigned(signed)
		if uint64(len(vouched)) < g.Quorum && (i == 0 || seen.Opening.Tree() != own.Opening.Tree()) {
			return approval.Refuse(field, approval.RuleAsOf,
				"%d of the witnesses that the genesis names have cosigned its checkpoint, and %d have to",
				len(vouched), g.Quorum)
		}
		s.Facts.Sightings = append(s.Facts.Sightings,
			approval.Sighting{Size: uint64(seen.Opening.Size), Cosigned: vouched}) // #nosec G115 -- the opening was checked
	}
	s.evidence(g)
	return nil
}

// evidence takes what the events about keys show of what witnesses saw.
func (s *Shown) evidence(g approval.Genesis) {
	for _, e := range s.Keys.Events {
		if f := e.Event.GetKeysSighted(); f != nil {
			if seen, _, err := sighted.Verify(g, f); err == nil { // else it proves nothing, and nothing rests on it
				s.Facts.Sightings = append(s.Facts.Sightings, seen)
			}
		}
	}
}

// Chain folds the events about keys that whoever follows the log has read and proven, all of them.
func Chain(keys []merkle.Proven) (*approval.Chain, error) {
	s := &Shown{Keys: merkle.Report{Events: keys}}
	if err := s.chain(); err != nil {
		return nil, err
	}
	g, err := approval.ParseGenesis([]byte(s.Facts.Keys[0].Statement))
	if err != nil {
		return nil, err
	}
	s.evidence(g)
	return approval.Fold(s.Facts.Keys, s.Facts.Sightings)
}

// Decisions are those in a request's events, version 1 first and none left out, with the terms that they are about.
func Decisions(request []merkle.Proven) ([]Decided, approval.Terms, error) {
	s := &Shown{Request: merkle.Report{Events: request}}
	err := s.decided()
	return s.Decisions, s.Facts.Terms, err
}

// DecidedIn is the decision that a proven event is, if it is one.
func DecidedIn(e merkle.Proven) (d Decided, is bool) {
	if e.Withheld || VerbOf(e.Event) == "" {
		return d, false
	}
	d = Decided{Sequence: e.TenantSequence, Event: e.Event}
	if e.Event.GetSigned() != nil {
		signed := FromProto(e.Event.GetSigned())
		d.Signed = &signed
	}
	return d, true
}

// decided takes the decisions, and what the request's events say of their terms.
func (s *Shown) decided() error {
	named := map[uint64]approval.Event{} // what the statements call what is withheld
	for _, e := range s.Request.Events {
		d, is := DecidedIn(e)
		if !is {
			continue
		}
		if d.Signed != nil {
			is := *d.Signed
			if e.Event.GetCustomerApproved() != nil {
				s.Facts.Approvals = append(s.Facts.Approvals, approval.Given{Version: e.Event.GetVersion(),
					Stored: approval.Stored{Sequence: e.TenantSequence, Signed: is}})
			}
			if statement, err := approval.ParseDecision([]byte(is.Statement)); err == nil {
				for _, e := range statement.Events {
					if _, is := named[e.Version]; !is {
						named[e.Version] = e
					}
				}
			}
		}
		s.Decisions = append(s.Decisions, d)
	}
	var shown []terms.Shown
	for i, e := range s.Request.Events {
		version, typ := uint64(i)+1, e.Subject[strings.LastIndexByte(e.Subject, '.')+1:]
		one := terms.Shown{Stored: e.Bytes, Event: approval.Event{Type: typ, Version: version}}
		if e.Withheld {
			s.Withheld = s.Withheld || typ == "AccessEvaluated"
			one.Event.SHA256 = named[version].SHA256
		}
		shown = append(shown, one)
	}
	about, err := terms.OfShown(shown)
	s.Facts.Terms = about
	return err
}

func proof(field, format string, args ...any) error {
	return approval.Refuse(field, approval.RuleProof, format, args...)
}
