package evaluator

import (
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/openlockbox/lockbox/pkg/policy"
	"github.com/openlockbox/lockbox/pkg/refusal"
	"github.com/openlockbox/lockbox/pkg/request"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"go.uber.org/zap"
)

// What is not counted is not known (I11): a look that was under way when the evaluation began may have passed over what
// was stored before it.
func TestAnEvaluationWaitsForALookThatBeganAfterIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var hurried atomic.Int32
		h := &histories{log: zap.NewNop(), hurry: func() { hurried.Add(1) }, counted: policy.NewHistories()}
		underWay := time.Now()
		time.Sleep(time.Millisecond)
		begun := time.Now()
		wait := h.look(t.Context())
		h.looked(underWay, 6)
		r, is := refusal.As(wait())
		if !is || r.GetCode() != lockboxv1.RefusalCode_REFUSAL_CODE_UNAVAILABLE || time.Since(begun) != behind {
			t.Fatalf("%v after %v", r, time.Since(begun))
		}
		var waiting sync.WaitGroup
		for range 2 {
			waiting.Go(func() {
				if err := h.look(t.Context())(); err != nil {
					t.Error(err)
				}
			})
		}
		synctest.Wait()
		h.looked(time.Now(), 7)
		waiting.Wait()
		if len(h.awaited) != 0 || hurried.Load() != 3 {
			t.Errorf("%d are still awaited, and it was hurried %d times", len(h.awaited), hurried.Load())
		}
		if through := h.known(request.State{}, time.Now()).GetAsOfSequence(); through != 7 {
			t.Errorf("counted through %d", through)
		}
	})
}
