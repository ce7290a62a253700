package aggregate

import (
	"time"

	"github.com/openlockbox/lockbox/pkg/reason"
	"github.com/openlockbox/lockbox/pkg/refusal"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
)

// Changed is who changed last what matters of an aggregate, when, and with which version.
type Changed struct {
	By      *lockboxv1.Actor
	At      time.Time
	Version uint64
}

// ChangedBy is the change that an event made.
func ChangedBy(e *lockboxv1.Event) Changed {
	return Changed{e.GetActor(), e.GetTime().AsTime(), e.GetVersion()}
}

// Since adds to a refusal because of the version seen who has changed it since, and when (R29): whoever comes second
// must not have to guess whose change they would have overwritten. Other errors are returned as they are.
func (c Changed) Since(of Command, err error) error {
	r, is := refusal.As(err)
	if !is || r.GetField() != "seen_version" || r.GetCode() != lockboxv1.RefusalCode_REFUSAL_CODE_CONFLICT ||
		of.GetSeenVersion() >= c.Version || c.By.GetPerson() == nil {
		return err
	}
	who := c.By.GetPerson().GetDisplayName()
	if who == "" {
		who = c.By.GetPerson().GetSubject()
	}
	at := c.At.UTC().Format(time.RFC3339)
	return refusal.Because(refusal.Conflict(r.GetField(), r.GetRule(), "%s; %s changed it at %s", r.GetMessage(), who, at),
		reason.Of(lockboxv1.ReasonCode_REASON_CODE_CHANGED_SINCE_SEEN, "by", who, "at", at))
}
