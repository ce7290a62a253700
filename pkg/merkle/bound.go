package merkle

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// Writers judges who wrote an event, by the keys of a deployment's writers. pkg/signed has one.
type Writers interface {
	// Certified returns who judges by these certificates, or an error if one of them is not the deployment's.
	Certified(certificates []string) (JudgeWriter, error)
}

// JudgeWriter returns who signed an event, or an error unless that is the one who writes events of its type. Before is
// what was stored as the version before it; nil for the first version, and if it is withheld.
type JudgeWriter = func(subject string, is *lockboxv1.Event, stored, before []byte) (writer string, err error)

const (
	legalDemand = "LegalDemandDisclosed"
	disclosure  = "disclosure"
	provider    = "_" // stands for the tenant of what concerns the provider itself
)

// reportedKinds have keys instead of versions, so nothing can be versions 1 to n of one.
var reportedKinds = []string{"delivery", "checkpoint", "alarm", "digest", "attempt", "session"}

// checkSubjects checks that a receipt is about one aggregate of the tenant in whose tree it is.
func checkSubjects(r Receipt) error {
	about := strings.Split(r.About, ".")
	if len(about) != subjectTokens || about[0] != "lockbox" || about[1] != "event" || !isTenant(about[2]) ||
		!isKind(about[3]) || !isID(about[4]) {
		return broken(Subject, "%q is not lockbox.event.<tenant>.<kind>.<id>", r.About)
	}
	tenant, kind := about[2], about[3]
	if slices.Contains(reportedKinds, kind) {
		return broken(Subject, "a %s has no versions", kind)
	}
	for _, e := range r.Events {
		typ := e.Subject[strings.LastIndexByte(e.Subject, '.')+1:]
		of := tenant
		if typ == legalDemand {
			of = provider // under an embargo, the tenant's own tree must not even grow
			if kind != disclosure {
				return brokenAt(Subject, e.TenantSequence, "a legal demand is a disclosure, and not a %s", kind)
			}
		}
		if r.Tenant != of {
			return brokenAt(Subject, e.TenantSequence, "it is of %s, and stands in the tree of %s, which is not theirs",
				of, r.Tenant)
		}
	}
	return nil
}

func isTenant(s string) bool {
	if s == provider {
		return true
	}
	ok := len(s) >= 3 && len(s) <= 40 && s[0] != '-' && s[len(s)-1] != '-'
	for i := 0; ok && i < len(s); i++ {
		ok = s[i] >= 'a' && s[i] <= 'z' || s[i] >= '0' && s[i] <= '9' || s[i] == '-'
	}
	return ok
}

func isKind(s string) bool {
	return s != "" && strings.Trim(s, "abcdefghijklmnopqrstuvwxyz") == ""
}

func isID(s string) bool {
	ok := len(s) >= 1 && len(s) <= 128
	for i := 0; ok && i < len(s); i++ {
		c := s[i]
		ok = c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' || c == '_'
	}
	return ok
}

// bind checks that what is shown of each event is the event of its subject, and who signed it.
func (r *Report) bind(of Receipt, writers Writers) error {
	var judge JudgeWriter
	if writers != nil {
		var err error
		if judge, err = writers.Certified(of.Writers); err != nil {
			return broken(Writer, "%v", err)
		}
	}
	var before []byte
	for i := range r.Events {
		e := &r.Events[i]
		if e.Withheld {
			before = nil
			continue
		}
		is, err := eventOn(e.Subject, e.Bytes)
		if err != nil {
			return brokenAt(Binding, e.TenantSequence, "%v", err)
		}
		if judge != nil {
			if e.Writer, err = judge(e.Subject, is, e.Bytes, before); err != nil {
				return brokenAt(Writer, e.TenantSequence, "%v", err)
			}
		}
		e.Event, before = is, e.Bytes
	}
	r.Judged = judge != nil
	return nil
}

// eventOn returns the event that stored bytes are, if it is that of a subject.
func eventOn(subject string, stored []byte) (*lockboxv1.Event, error) {
	is, err := eventOf(stored)
	if err != nil {
		return nil, err
	}
	typ := string(is.ProtoReflect().WhichOneof(facts).Message().Name())
	key, other := strconv.FormatUint(is.GetVersion(), 10), is.GetReportKey() != ""
	if slices.Contains(reportedKinds, is.GetKind()) {
		key, other = is.GetReportKey(), is.GetVersion() != 0
	}
	says := strings.Join([]string{"lockbox", "event", is.GetTenant(), is.GetKind(), is.GetAggregateId(), key, typ}, ".")
	if says != subject || other {
		return nil, fmt.Errorf("it is recorded so, and is not what its subject says: it is %q, on %q", says, subject)
	}
	return is, nil
}

var (
	eventFields = (*lockboxv1.Event)(nil).ProtoReflect().Descriptor().Fields()
	facts       = (*lockboxv1.Event)(nil).ProtoReflect().Descriptor().Oneofs().ByName("fact")
)

// unreadable says why stored bytes are no event.
type unreadable string

func (u unreadable) Error() string { return "it is recorded so, and cannot be read: " + string(u) }

// eventOf reads stored bytes, without the signature. What a subject is made of must stand in them once: of what stands
// there twice, one reader takes the first and another the last.
func eventOf(stored []byte) (*lockboxv1.Event, error) {
	seen := map[protowire.Number]bool{}
	fact := false
	for rest := stored; len(rest) > 0; {
		number, kind, n := protowire.ConsumeTag(rest)
		size := -1
		if n >= 0 {
			size = protowire.ConsumeFieldValue(number, kind, rest[n:])
		}
		if size < 0 {
			return nil, unreadable("it is no message")
		}
		rest = rest[n+size:]
		field := eventFields.ByNumber(number)
		if field == nil || field.Cardinality() == protoreflect.Repeated {
			continue
		}
		is := field.ContainingOneof() != nil
		switch {
		case seen[number] || is && fact:
			return nil, unreadable("it says twice what it is")
		case kind != protowire.BytesType && field.Kind() != protoreflect.Uint64Kind,
			kind != protowire.VarintType && field.Kind() == protoreflect.Uint64Kind:
			return nil, unreadable("it is no event")
		}
		seen[number], fact = true, fact || is
	}
	is := new(lockboxv1.Event)
	if err := proto.Unmarshal(stored, is); err != nil {
		return nil, unreadable("it is no event")
	}
	if is.GetFact() == nil {
		return nil, unreadable("its fact is missing, or of a later version of Lockbox")
	}
	is.Signature = nil
	return is, nil
}
