package site

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"

	"github.com/openlockbox/lockbox/pkg/refusal"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
)

// slow answers nothing before it is told to.
type slow struct {
	Caller
	begun, ended chan string
}

func (s slow) Do(_ context.Context, token string, c *lockboxv1.Command) (*lockboxv1.CommandReply, error) {
	s.begun <- token + c.GetTenant()
	s.ended <- token + c.GetTenant()
	return new(lockboxv1.CommandReply), nil
}

// Whoever floods the way that needs no token, under whatever names, is turned away, and takes up nothing of those who
// are signed in, nor all of what is there for others.
func TestStrangersAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		is := slow{begun: make(chan string, 1000), ended: make(chan string)}
		site := &Site{Caller: is}
		if err := site.Prepare(); err != nil {
			t.Fatal(err)
		}
		refused := make(chan error, 1000)
		send := func(ctx context.Context, token, tenant string) {
			go func() {
				if _, err := site.Caller.Do(ctx, token, &lockboxv1.Command{Tenant: tenant}); err != nil {
					refused <- err
				}
			}()
		}
		const sent = 400
		for i := range sent {
			send(t.Context(), "", fmt.Sprint("name ", i))
		}
		synctest.Wait()
		if under, away := len(is.begun), len(refused); under > strangersAtOnce || under == 0 ||
			away != sent-under-strangersWaiting {
			t.Errorf("%d are under way, %d were turned away", under, away)
		}
		for len(refused) > 0 {
			if err := <-refused; refusal.Of(err).GetCode() != lockboxv1.RefusalCode_REFUSAL_CODE_UNAVAILABLE {
				t.Errorf("turned away with %v", err)
			}
		}
		under := len(is.begun)
		send(t.Context(), "token", "bank")
		synctest.Wait()
		if len(is.begun) != under+1 {
			t.Error("somebody who is signed in waits for strangers")
		}

		// Who gives up while waiting leaves no slot taken.
		for range strangersWaiting + under + 1 {
			<-is.ended
		}
		synctest.Wait()
		for range strangersAtOnce {
			send(t.Context(), "", "bank")
		}
		synctest.Wait()
		ctx, cancel := context.WithCancel(t.Context())
		send(ctx, "", "bank")
		synctest.Wait()
		cancel()
		synctest.Wait()
		if err := <-refused; !errors.Is(err, context.Canceled) {
			t.Errorf("gave up: %v", err)
		}
		for range strangersAtOnce {
			<-is.ended
		}
		send(t.Context(), "", "bank")
		if last := <-is.ended; last != "bank" {
			t.Error(last)
		}
		synctest.Wait()
	})
}
