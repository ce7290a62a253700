package guard

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/openlockbox/lockbox/pkg/bus"
	"github.com/openlockbox/lockbox/pkg/journal"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"go.uber.org/zap"
)

func (slow) Replay(context.Context, journal.Replay, func(journal.Entry) error) error { return nil }

// told is a stream of subjects, in which messages that say so are no events. It stores alarms.
type told struct {
	*forged
	messages []journal.Stored
	alarms   []*lockboxv1.DifferenceFound
}

func (s *told) Judge(_ context.Context, m journal.Stored) (journal.Misfit, bool, error) {
	return journal.Misfit{Seq: m.Sequence}, string(m.Data) == "no event", nil
}

func (s *told) Replay(_ context.Context, r journal.Replay, handle func(journal.Entry) error) error {
	prefix := strings.Join([]string{"lockbox.event", r.Tenant, r.Kind, r.ID, ""}, ".")
	for _, m := range s.messages {
		if strings.HasPrefix(m.Subject, prefix) {
			if err := handle(journal.Entry{Seq: m.Sequence, Subject: m.Subject, Data: m.Data}); err != nil {
				return err
			}
		}
	}
	return nil
}

func (s *told) Report(_ context.Context, e *lockboxv1.Event) (uint64, bool, error) {
	subject, err := bus.EventSubject(e)
	if err != nil {
		return 0, false, err
	}
	for _, m := range s.messages {
		if m.Subject == subject {
			return m.Sequence, false, nil
		}
	}
	s.alarms = append(s.alarms, e.GetDifferenceFound())
	return s.add(subject, ""), true, nil
}

func (s *told) add(subject, data string) uint64 {
	m := journal.Stored{Sequence: uint64(len(s.messages)) + 1, Subject: subject, Data: []byte(data)}
	s.messages = append(s.messages, m)
	return m.Sequence
}

// Events of one aggregate are versions 1, 2, 3 … once each; what is no event does not count. The alarm is recorded
// once, whoever finds it and however often.
func TestAHistoryThatContradictsItselfIsRecordedOnce(t *testing.T) {
	const about = "lockbox.event.bank.request.r1"
	for name, row := range map[string]struct {
		versions []string
		wrong    string
	}{
		"in order":                      {[]string{"1.A", "2.B", "3.C"}, ""},
		"a message that is no event":    {[]string{"1.A", "2.X no event", "2.B", "9.Y no event", "3.C"}, ""},
		"a second one":                  {[]string{"1.A", "2.B", "2.C", "3.D"}, "2.C"},
		"one missing":                   {[]string{"1.A", "3.C"}, "3.C"},
		"an earlier one later":          {[]string{"1.A", "2.B", "3.C", "1.A2"}, "1.A2"},
		"the first one missing":         {[]string{"2.B"}, "2.B"},
		"a second one, and no event":    {[]string{"1.A", "1.X no event", "1.B"}, "1.B"},
		"the same type a second time":   {[]string{"1.A", "1.A"}, "1.A"},
		"a second one after a decision": {[]string{"1.A", "2.CustomerDenied", "2.CustomerApproved"}, "2.CustomerApproved"},
	} {
		s := &told{forged: &forged{}}
		s.add("lockbox.event.bank.request.r2.1.A", "")
		for range 2 { // the second one starts again
			g := &Guard{Stream: s, Ledger: uptodate{}, Log: zap.NewNop(), Now: time.Now, Alarm: func() {}}
			if len(s.messages) == 1 {
				for _, v := range row.versions {
					version, data, _ := strings.Cut(v, " ")
					s.add(about+"."+version, data)
				}
			}
			for _, m := range s.messages {
				if err := g.Order(t.Context(), m); err != nil {
					t.Fatal(err)
				}
			}
			through, err := g.Say(t.Context())
			if err != nil || (row.wrong == "") != (through == 0) {
				t.Errorf("%s: through %d, %v", name, through, err)
			}
			if row.wrong != "" && through != s.messages[len(s.messages)-1].Sequence {
				t.Errorf("%s: the alarm is not the last message", name)
			}
		}
		if want := map[bool]int{true: 0, false: 1}[row.wrong == ""]; len(s.alarms) != want {
			t.Errorf("%s: %d alarms", name, len(s.alarms))
		} else if want == 1 && fmt.Sprint(s.alarms[0].GetSubjects()) != "["+about+"."+row.wrong+"]" {
			t.Errorf("%s: it names %v", name, s.alarms[0].GetSubjects())
		}
	}
}
