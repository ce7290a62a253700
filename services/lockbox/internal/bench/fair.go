package bench

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"

	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/bus"
	"github.com/openlockbox/lockbox/pkg/journal"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"github.com/openlockbox/lockbox/services/lockbox/internal/stack"
	"golang.org/x/sync/errgroup"
)

// Fair is how long one customer's requests take beside what another causes, and alone right before. They are carried
// one after the other from intent to access.
type Fair struct {
	Beside string `json:"beside"`
	// Requests is the number of requests that were measured beside.
	Requests int `json:"requests"`
	// Approval is the time from the approval to access, Whole that from the intent on.
	ApprovalAlone Latency `json:"approval_alone"`
	Approval      Latency `json:"approval"`
	WholeAlone    Latency `json:"whole_alone"`
	Whole         Latency `json:"whole"`
	// The ratios are of the medians.
	ApprovalRatio float64 `json:"approval_ratio"`
	WholeRatio    float64 `json:"whole_ratio"`
}

// callsAtOnce is how many of one customer's calls are open at once.
const callsAtOnce = 256

func (b *bench) fair(ctx context.Context) error {
	s, err := newSite(ctx, filepath.Join(b.dir, "fair"), "")
	if err != nil {
		return err
	}
	n := b.scale.crowded
	if _, err := b.populate(ctx, s, n, func(int) fate { return pending }); err != nil {
		return err
	}
	if err := s.with(ctx, none, func(running *stack.Stack) error { return skipAll(ctx, running) }); err != nil {
		return err
	}
	hanging, err := hang(ctx)
	if err != nil {
		return err
	}
	defer hanging.stop()
	for _, c := range []struct {
		name, what string
		loud       func(context.Context, *bench, *site, *client) error
	}{
		{"keys", "32 commands wait for keys that never come", hanging.commands},
		{"role", fmt.Sprintf("a role is lost for which %d requests wait", n), loseRoles},
		{"flood", fmt.Sprintf("%d intents, %d open at once", n, callsAtOnce), flood},
	} {
		b.say("beside another customer: %s", c.what)
		err := s.with(ctx, workflowServices, func(running *stack.Stack) error {
			f, err := b.measureBeside(ctx, s, running, "fair-"+c.name,
				func(ctx context.Context, loud *client) error { return c.loud(ctx, b, s, loud) })
			f.Beside = c.what
			b.report.Fair = append(b.report.Fair, f)
			return err
		})
		if err != nil {
			return fmt.Errorf("%s: %w", c.what, err)
		}
	}
	return nil
}

// measureBeside carries the quiet customer's requests, for a while alone and then until loud returns.
func (b *bench) measureBeside(
	ctx context.Context, s *site, running *stack.Stack, profile string, loud func(context.Context, *client) error,
) (f Fair, err error) {
	quiet, err := newClientOf(ctx, s, running, clinic)
	if err != nil {
		return f, err
	}
	defer quiet.Close()
	noisy, err := newClient(ctx, s, running)
	if err != nil {
		return f, err
	}
	defer noisy.Close()
	during := func(over func() bool) (approval, whole Latency, n int, err error) {
		var approvals, wholes []time.Duration
		for len(wholes) == 0 || !over() {
			begun := time.Now()
			took, err := quiet.carryTimed(ctx)
			if err != nil {
				return approval, whole, 0, err
			}
			approvals, wholes = append(approvals, took.granted), append(wholes, time.Since(begun))
		}
		return latency(approvals), latency(wholes), len(wholes), nil
	}
	until := func(d time.Duration) func() bool {
		end := time.Now().Add(d)
		return func() bool { return time.Now().After(end) }
	}
	if _, _, _, err := during(until(b.scale.warmUp)); err != nil {
		return f, err
	}
	if f.ApprovalAlone, f.WholeAlone, _, err = during(until(b.scale.beside)); err != nil {
		return f, err
	}
	stop, err := profileInto(b.profile(profile))
	if err != nil {
		return f, err
	}
	var over atomic.Bool
	var making errgroup.Group
	making.Go(func() error {
		defer over.Store(true)
		return loud(ctx, noisy)
	})
	f.Approval, f.Whole, f.Requests, err = during(over.Load)
	if err := errors.Join(err, making.Wait(), stop()); err != nil {
		return f, err
	}
	f.ApprovalRatio, f.WholeRatio = f.Approval.P50/f.ApprovalAlone.P50, f.Whole.P50/f.WholeAlone.P50
	return f, nil
}

// loseRoles removes the roles of all who could decide the bank's requests, and waits until each request says so.
func loseRoles(ctx context.Context, b *bench, s *site, c *client) error {
	token, err := s.issuer.Token(administrator, time.Now())
	if err != nil {
		return err
	}
	p := c.peers[bus.Compliance]
	copies, err := p.Copies(ctx)
	if err != nil {
		return err
	}
	for _, assignment := range []string{"otto-owner", "fleur-approver"} {
		id, err := newID()
		if err != nil {
			return err
		}
		remove := &lockboxv1.RemoveRole{AssignmentId: assignment}
		if err := c.command(ctx, &lockboxv1.Command{Id: id, Tenant: bank.tenant, AggregateId: bank.subscription,
			Token: token, Action: &lockboxv1.Command_RemoveRole{RemoveRole: remove}}); err != nil {
			return err
		}
	}
	left := b.scale.crowded
	ctx, cancel := context.WithTimeoutCause(ctx, 10*patience, errTimeout)
	defer cancel()
	said := journal.Replay{From: copies.Last + 1, Tenant: bank.tenant, Type: approversUnavailable, Follow: true,
		Undecoded: true}
	err = p.Replay(ctx, said, func(journal.Entry) error {
		if left--; left == 0 {
			return errAll
		}
		return nil
	})
	if !errors.Is(err, errAll) {
		return errors.Join(err, context.Cause(ctx))
	}
	return nil
}

var approversUnavailable = aggregate.TypeOf(&lockboxv1.Event{Fact: &lockboxv1.Event_ApproversUnavailable{}})

// flood submits the bank's intents, and waits until each is evaluated.
func flood(ctx context.Context, b *bench, _ *site, c *client) error {
	submitting, ctx := errgroup.WithContext(ctx)
	submitting.SetLimit(callsAtOnce)
	for range b.scale.crowded {
		submitting.Go(func() error {
			id, err := newID()
			if err != nil {
				return err
			}
			stored := c.expect(id)
			if err := c.submit(ctx, id); err != nil {
				return err
			}
			return await(ctx, stored.notified)
		})
	}
	return submitting.Wait()
}

// hanging is an issuer whose keys are asked for and never come.
type hanging struct {
	server *http.Server
	url    string
}

func hang(ctx context.Context) (*hanging, error) {
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	h := &hanging{url: "http://" + listener.Addr().String(), server: &http.Server{
		ReadHeaderTimeout: patience, Handler: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			<-r.Context().Done()
		}),
	}}
	go func() { _ = h.server.Serve(listener) }() // ends with the server
	return h, nil
}

func (h *hanging) stop() { _ = h.server.Close() }

// commands creates a customer of this issuer, and keeps as many commands of it open as may wait for keys.
func (h *hanging) commands(ctx context.Context, b *bench, s *site, c *client) error {
	const tenant, waiting = "lagoon", 32
	onboarding, err := s.issuer.Token("onboarding", time.Now())
	if err != nil {
		return err
	}
	id, err := newID()
	if err != nil {
		return err
	}
	create := &lockboxv1.CreateTenant{
		DisplayName: "Lagoon", Plan: lockboxv1.SupportPlan_SUPPORT_PLAN_STANDARD, DefaultLanguage: "en",
		Issuer:        &lockboxv1.TenantIssuer{Url: h.url, Audience: "lockbox", JwksUrl: h.url + "/keys"},
		Administrator: &lockboxv1.Person{Issuer: h.url, Subject: "gus", DisplayName: "Gus", Email: "gus@lagoon.example"},
	}
	if err := c.command(ctx, &lockboxv1.Command{Id: id, Tenant: tenant, Token: onboarding,
		Action: &lockboxv1.Command_CreateTenant{CreateTenant: create}}); err != nil {
		return err
	}
	token, err := h.token(c.decider)
	if err != nil {
		return err
	}
	crowd := startCrowd(ctx, waiting, func(ctx context.Context) error {
		id, err := newID()
		if err != nil {
			return err
		}
		err = c.command(ctx, &lockboxv1.Command{Id: id, Tenant: tenant, Token: token,
			Action: &lockboxv1.Command_EnableLockbox{EnableLockbox: &lockboxv1.EnableLockbox{}}})
		if err == nil {
			return errors.New("a command was accepted whose token nobody can verify")
		}
		time.Sleep(pollEvery) // while it is known that there are none, the answer comes at once
		return nil
	})
	return errors.Join(crowd.during(b.scale.beside), crowd.stop())
}

// token makes a token of this issuer, which only its keys would show to be forged, from another.
func (h *hanging) token(other string) (string, error) {
	claims, err := json.Marshal(map[string]any{"iss": h.url, "aud": "lockbox", "sub": "gus",
		"exp": time.Now().Add(time.Hour).Unix()})
	if err != nil {
		return "", err
	}
	parts := strings.Split(other, ".")
	parts[1] = base64.RawURLEncoding.EncodeToString(claims)
	return strings.Join(parts, "."), nil
}
