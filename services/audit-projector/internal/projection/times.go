package projection

import (
	"time"

	"github.com/openlockbox/lockbox/pkg/request"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// times are the moments of a request that figures are made from, in nanoseconds since 1970; 0 for what did not happen.
type times struct{ asked, decided, began, over int64 }

func timesOf(s request.State) (t times) {
	if !s.NotifiedAt.IsZero() {
		t.asked = s.NotifiedAt.UnixNano()
	}
	if n := len(s.CustomerDecisions); n > 0 && decisionComplete(s) {
		t.decided = stamped(s.CustomerDecisions[n-1].GetTime())
	}
	if s.Grant != nil {
		t.began, t.over = stamped(s.Grant.GetStartsAt()), stamped(s.Grant.GetEndsAt())
		if !s.EndedAt.IsZero() {
			t.over = min(t.over, s.EndedAt.UnixNano())
		}
	}
	return t
}

// decisionComplete reports whether the customer decided, so that nobody else has to.
func decisionComplete(s request.State) bool {
	switch s.Status {
	case request.Approved, request.Active, request.Completed, request.Released, request.Revoked, request.Lapsed,
		request.Denied:
		return s.Waiver() == lockboxv1.Waiver_WAIVER_UNSPECIFIED
	default:
		return false
	}
}

func stamped(t *timestamppb.Timestamp) int64 { return nanoseconds(t.GetSeconds(), int(t.GetNanos())) }

// moment is the time of nanoseconds since 1970; zero for 0.
func moment(ns int64) time.Time {
	if ns == 0 {
		return time.Time{}
	}
	return time.Unix(0, ns)
}
