package invariant_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/openlockbox/lockbox/pkg/invariant"
	"github.com/openlockbox/lockbox/pkg/request"
	"github.com/openlockbox/lockbox/pkg/story"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"
)

const longest = time.Hour

// demand is the command that two approve and, unless it is 0, that whoever decides has signed in at most so long
// before.
func demand(d time.Duration) *lockboxv1.Command {
	s := &lockboxv1.TenantSettings{DefaultLanguage: "en", RequiredApprovals: 2}
	if d != 0 {
		s.MaxAuthenticationAge = durationpb.New(d)
	}
	return &lockboxv1.Command{Action: &lockboxv1.Command_ChangeSettings{
		ChangeSettings: &lockboxv1.ChangeSettings{Settings: s}}}
}

// signedIn is somebody whose token says that they signed in so long after the start.
func signedIn(a *lockboxv1.Actor, after time.Duration) *lockboxv1.Actor {
	a = proto.CloneOf(a)
	a.AuthenticatedAt = timestamppb.New(start.Add(after))
	return a
}

// fresh is an honest story. Otto approves before there is a demand, with a token that says nothing of his sign-in; then
// gina demands a fresh one, and olga approves, or denies, as late after her own sign-in as she may.
func fresh(olgas *lockboxv1.Command) []invariant.Recorded {
	s := asked()
	s.At(start.Add(2*time.Hour)).Command(otto, approve)
	s.Command(signedIn(gina, 0), demand(longest))
	s.At(start.Add(3*time.Hour)).Command(signedIn(olga, 3*time.Hour-longest), olgas)
	if olgas.GetApprove() != nil {
		perform(s, request.Grant, start.Add(4*time.Hour))
	}
	return s.History()
}

// administered is an honest story of everything that an administrator may change with a fresh sign-in only, and of the
// end of the demand, after which any will do.
func administered() []invariant.Recorded {
	s := story.Case(gina, start)
	s.Command(gina, &lockboxv1.Command{Action: &lockboxv1.Command_SignUpPreview{
		SignUpPreview: &lockboxv1.SignUpPreview{ResourceType: "compute/disks"}}})
	recent := signedIn(gina, 0)
	s.Command(recent, demand(longest))
	for _, c := range []*lockboxv1.Command{
		story.Assign("lena", lena, lockboxv1.Role_ROLE_AUDITOR, lockboxv1.AssignmentScope_ASSIGNMENT_SCOPE_TENANT),
		{Action: &lockboxv1.Command_RemoveRole{RemoveRole: &lockboxv1.RemoveRole{AssignmentId: "lena"}}},
		{Action: &lockboxv1.Command_SignOffPreview{SignOffPreview: &lockboxv1.SignOffPreview{ResourceType: "compute/disks"}}},
		{Action: &lockboxv1.Command_DisableLockbox{
			DisableLockbox: &lockboxv1.DisableLockbox{Reason: "quiet"}}},
		demand(0),
	} {
		s.At(start.Add(longest)).Command(recent, c)
	}
	s.At(start.Add(2*longest)).Command(gina,
		&lockboxv1.Command{Action: &lockboxv1.Command_EnableLockbox{EnableLockbox: &lockboxv1.EnableLockbox{}}})
	s.Command(recent, demand(2*longest))
	return s.History()
}

func TestR25AnOldSignInIsFound(t *testing.T) {
	stories := map[string][]invariant.Recorded{"approved": fresh(approve), "denied": fresh(deny),
		"administered": administered()}
	tried := map[string]bool{}
	for name, history := range stories {
		if broken := invariant.Check(history); len(broken) > 0 {
			t.Errorf("%s, honestly: %v", name, broken)
		}
		demanded := false
		for i, r := range history {
			was := demanded
			if c := r.Event.GetSettingsChanged(); c != nil {
				demanded = c.GetSettings().GetMaxAuthenticationAge() != nil
			}
			if !was || r.Event.GetActor().GetAuthenticatedAt() == nil {
				continue // made while nothing was demanded, or by Lockbox
			}
			tried[factName(r.Event)] = true
			at := r.Event.GetTime().AsTime()
			for how, c := range map[string]struct {
				signedIn *timestamppb.Timestamp
				found    bool
			}{
				"no word of it":   {nil, true},
				"at the limit":    {timestamppb.New(at.Add(-longest)), false},
				"a moment before": {timestamppb.New(at.Add(-longest - 1)), true},
				"clocks apart":    {timestamppb.New(at.Add(2 * time.Second)), false},
				"afterwards":      {timestamppb.New(at.Add(2*time.Second + 1)), true},
			} {
				e := proto.CloneOf(r.Event)
				e.Actor.AuthenticatedAt = c.signedIn
				forged := slices.Clone(history)
				forged[i].Event = e
				broken := invariant.BasisHeld(forged)
				if len(broken) > 0 != c.found || c.found &&
					(broken[0].Invariant != "I1" || broken[0].Sequence != r.Sequence ||
						!strings.Contains(broken[0].What, "had not signed in within 1h0m0s")) {
					t.Errorf("%s, %s, %s: %v", name, factName(r.Event), how, broken)
				}
			}
		}
	}
	for _, fact := range []string{"CustomerApproved", "CustomerDenied", "SettingsChanged", "LockboxDisabled",
		"PreviewSignedOff", "RoleAssigned", "RoleRemoved"} {
		if !tried[fact] {
			t.Errorf("no story has a %s under a demand", fact)
		}
	}
}
