package approval

import "slices"

// Demand is what a tenant demands of decisions.
type Demand string

// The demands, each more than the one before.
const (
	// DemandNone: signatures are verified and shown where there are any.
	DemandNone Demand = "none"
	// DemandSignatures: what approves, and what could get around that, is signed.
	DemandSignatures Demand = "signatures"
	// DemandCommandLine: the same, and at least one of an approval's signatures is made at the command line, where no web
	// page comes between the reader and what is signed.
	DemandCommandLine Demand = "command-line"
)

var demands = []Demand{DemandNone, DemandSignatures, DemandCommandLine}

func (d Demand) rank() int { return slices.Index(demands, d) }

// Less reports whether less is demanded than by another.
func (d Demand) Less(than Demand) bool { return d.rank() < than.rank() }

func (d Demand) check(field string) error {
	if d.rank() < 0 {
		return refuse(field, RuleValue, "%q is no demand", d)
	}
	return nil
}

// Needs reports whether what somebody does has to be signed: a verb of a decision, or a change. Revoking never has to
// be, denying only by whoever has a key. A standing approval always has to be.
func (d Demand) Needs(act string, hasKey bool) bool {
	switch act {
	case Revoke:
		return false
	case Deny:
		return hasKey
	case StandingApproval:
		return true
	}
	return d != DemandNone
}

// Approval is an approval that counts: who gave it, with which key.
type Approval struct {
	Decision Decision
	Digest   [32]byte
	// Key is the key as it was enrolled; Person is of the same enrolment.
	Key    Key
	KeyID  string
	Person Person
	// Counter is the authenticator's; 0 if it has none.
	Counter uint32
	// Sequence is the tenant's sequence of the event that holds it.
	Sequence uint64
	// RemovedAt is the tenant's sequence at which the key was removed later; 0 if it was not, as far as was shown.
	RemovedAt uint64
}

// Enough refuses approvals that are given by too few different people, or not as demanded. All are of one request.
func (d Demand) Enough(approvals []Approval, required uint64) error {
	var people []Person
	commandLine := false
	for _, a := range approvals {
		commandLine = commandLine || a.Key.Kind == KindSSH
		if !slices.ContainsFunc(people, a.Person.Same) {
			people = append(people, a.Person)
		}
	}
	if uint64(len(people)) < max(required, 1) {
		return refuse("approvals", RulePeople, "%d of %d different people signed", len(people), max(required, 1))
	}
	if d == DemandCommandLine && !commandLine {
		return refuse("approvals", RuleDemand, "none is signed at the command line")
	}
	return nil
}
