package answer_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	mathrand "math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/openlockbox/lockbox/pkg/bus"
	"github.com/openlockbox/lockbox/pkg/fair"
	"github.com/openlockbox/lockbox/pkg/identity"
	"github.com/openlockbox/lockbox/pkg/journal"
	"github.com/openlockbox/lockbox/pkg/repository"
	"github.com/openlockbox/lockbox/pkg/request"
	"github.com/openlockbox/lockbox/pkg/story"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"github.com/openlockbox/lockbox/services/audit-projector/internal/answer"
	"github.com/openlockbox/lockbox/services/audit-projector/internal/projection"
	"go.uber.org/zap"
	"google.golang.org/protobuf/proto"
)

const (
	// requestsOfTheCrowd are those that are decided or expired; as many wait at the first tenant as mostWaiting.
	requestsOfTheCrowd = 87_500
	mostWaiting        = 10_000
	readersAtOnce      = 50
)

// crowded is an answerer in front of a projection with 100,000 requests.
type crowded struct {
	b        *testing.B
	key      *ecdsa.PrivateKey
	store    *projection.Store
	answerer *answer.Answerer
	now      time.Time
	ids      []string // of the first tenant's requests
	tokens   sync.Map
}

func newCrowded(b *testing.B) *crowded {
	b.Helper()
	c := &crowded{b: b}
	var err error
	c.key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	c.must(err)
	c.store, err = projection.Open(context.Background(), b.TempDir(), projection.Options{Log: zap.NewNop()})
	c.must(err)
	b.Cleanup(func() { _ = c.store.Close() })
	s := story.Telling{
		Requests: requestsOfTheCrowd, Undecided: mostWaiting * 5 / 4, Take: c.take,
		Issuer: func(t string) *lockboxv1.TenantIssuer {
			return &lockboxv1.TenantIssuer{Url: "https://login." + t + ".example", Audience: "lockbox", Jwks: c.jwks()}
		},
	}.Tell()
	c.must(c.store.Complete(context.Background()))
	verifier, err := identity.NewVerifier([]identity.Issuer{{
		URL: "https://login.nimbus.example", Audience: "lockbox", JWKS: c.jwks(), Side: lockboxv1.Side_SIDE_PROVIDER,
	}})
	c.must(err)
	c.now = s.Now
	c.answerer = &answer.Answerer{
		Store: c.store, Verifier: verifier, Catalogue: repository.CatalogueInForce(), Now: func() time.Time { return c.now },
		Healthy: func() error { return nil }, Callers: fair.NewCallers(),
	}
	return c
}

func (c *crowded) must(err error) {
	c.b.Helper()
	if err != nil {
		c.b.Fatal(err)
	}
}

func (c *crowded) take(entries []journal.Entry) {
	batch := make([]projection.Event, len(entries))
	for i, e := range entries {
		batch[i] = projection.Event{Sequence: e.Seq, Bytes: e.Data, Event: e.Event}
		if e.Event.GetAccessRequested() != nil && e.Event.GetTenant() == bank {
			c.ids = append(c.ids, e.Event.GetAggregateId())
		}
	}
	c.must(c.store.Apply(context.Background(), batch))
}

func base64url(data []byte) string { return base64.RawURLEncoding.EncodeToString(data) }

func (c *crowded) jwks() []byte {
	point, err := c.key.PublicKey.Bytes()
	c.must(err)
	return fmt.Appendf(nil, `{"keys":[{"kty":"EC","crv":"P-256","alg":"ES256","use":"sig","kid":"1","x":%q,"y":%q}]}`,
		base64url(point[1:33]), base64url(point[33:]))
}

// token signs somebody in, once.
func (c *crowded) token(issuer, who string, groups ...string) string {
	if token, known := c.tokens.Load(issuer + who); known {
		return token.(string) //nolint:forcetypeassert,errcheck // nothing else is put there
	}
	claims, err := json.Marshal(map[string]any{
		"iss": "https://login." + issuer + ".example", "sub": who, "aud": "lockbox", "groups": groups, "name": who,
		"iat": c.now.Unix(), "exp": c.now.Add(time.Hour).Unix(),
	})
	c.must(err)
	text := base64url([]byte(`{"alg":"ES256","kid":"1"}`)) + "." + base64url(claims)
	sum := sha256.Sum256([]byte(text))
	r, s, err := ecdsa.Sign(rand.Reader, c.key, sum[:])
	c.must(err)
	token := text + "." + base64url(append(r.FillBytes(make([]byte, 32)), s.FillBytes(make([]byte, 32))...))
	c.tokens.Store(issuer+who, token)
	return token
}

// ask asks as it comes from the bus, and makes what goes back.
func (c *crowded) ask(token string, q *lockboxv1.Query) *lockboxv1.QueryReply {
	q.Token = token
	data, err := proto.Marshal(q)
	c.must(err)
	reply, err := c.answerer.Answer(context.Background(), bus.QuerySubject(bus.Client, bus.QueryName(q)), data)
	if err != nil {
		c.b.Error(err)
	}
	if _, err := proto.Marshal(reply); err != nil {
		c.b.Error(err)
	}
	return reply
}

// BenchmarkReaders measures answers for fifty readers at once, who ask again as soon as they are answered, in front of
// 100,000 requests of which 10,000 wait at one tenant. The floor is to read one event by its sequence through the same
// pool of connections.
func BenchmarkReaders(b *testing.B) {
	c := newCrowded(b)
	admin, chief := c.token("meadowbank", "admin"), c.token("meadowbank", "chief")
	manager, officer := c.token("nimbus", "derek", "devops-managers"), c.token("nimbus", "olga", "security-officers")
	requests := func(ask *lockboxv1.ListRequests) *lockboxv1.Query {
		ask.Limit = 50
		return listRequests(bank, ask)
	}
	pending := []request.Status{request.CustomerNotified}
	ended := []request.Status{request.Revoked, request.Denied, request.Withdrawn}
	owner := func() string {
		return c.token("meadowbank", fmt.Sprintf("owner-%02d-%d", mathrand.IntN(10), mathrand.IntN(2)))
	}
	for _, row := range []struct {
		name string
		ask  func() int // how many it found
	}{
		{"floor", func() int {
			_, err := c.store.Event(context.Background(), 1)
			c.must(err)
			return 1
		}},
		{"self", func() int { return len(c.ask(owner(), getSelf(bank)).GetSelf().GetRoles()) }},
		{"requests", func() int {
			return len(c.ask(admin,
				requests(&lockboxv1.ListRequests{})).GetRequests().GetRequests())
		}},
		{"requests, counted", func() int {
			return int(c.ask(admin, requests(&lockboxv1.ListRequests{Count: true})).GetRequests().GetTotal())
		}},
		{"pending, counted", func() int {
			return int(c.ask(admin, requests(&lockboxv1.ListRequests{Statuses: pending, Count: true})).GetRequests().GetTotal())
		}},
		{"ended, counted", func() int {
			return int(c.ask(admin, requests(&lockboxv1.ListRequests{Statuses: ended, Count: true})).GetRequests().GetTotal())
		}},
		{"awaiting the chief", func() int {
			return len(c.ask(chief, requests(&lockboxv1.ListRequests{AwaitingMe: true})).GetRequests().GetRequests())
		}},
		{"awaiting the chief, counted", func() int {
			return int(c.ask(chief, requests(&lockboxv1.ListRequests{AwaitingMe: true, Count: true})).GetRequests().GetTotal())
		}},
		{"an owner's, counted", func() int {
			return int(c.ask(owner(), requests(&lockboxv1.ListRequests{Count: true})).GetRequests().GetTotal())
		}},
		{"an owner's pending, counted", func() int {
			return int(c.ask(owner(), requests(&lockboxv1.ListRequests{Statuses: pending,
				Count: true})).GetRequests().GetTotal())
		}},
		{"a group's, counted", func() int {
			return int(c.ask(manager, listRequests("",
				&lockboxv1.ListRequests{Limit: 50, Count: true})).GetRequests().GetTotal())
		}},
		{"everybody's, counted", func() int {
			return int(c.ask(officer, listRequests("",
				&lockboxv1.ListRequests{Limit: 50, Count: true})).GetRequests().GetTotal())
		}},
		{"the overview", func() int {
			return int(c.ask(admin, getOverview(bank, &lockboxv1.GetOverview{})).GetOverview().GetOpen().GetWaiting())
		}},
		{"the overview of an engineer", func() int {
			return int(c.ask(admin, getOverview(bank, &lockboxv1.GetOverview{
				Engineer: "erin"})).GetOverview().GetOpen().GetWaiting())
		}},
		{"an owner's overview", func() int {
			return int(c.ask(owner(), getOverview(bank, &lockboxv1.GetOverview{})).GetOverview().GetOpen().GetWaiting())
		}},
		{"the dashboard", func() int {
			d := c.ask(officer, getDashboard("", &lockboxv1.GetDashboard{})).GetDashboard()
			return int(d.GetTotal().GetOpen().GetWaiting())
		}},
		{"a request", func() int {
			return len(c.ask(admin, getRequest(bank, c.ids[mathrand.IntN(len(c.ids))])).GetRequest().GetTimeline())
		}},
		{"activity", func() int {
			return len(c.ask(admin, listActivity(bank, &lockboxv1.ListActivity{Limit: 50})).GetActivity().GetActivities())
		}},
		{"an owner's activity", func() int {
			return len(c.ask(owner(), listActivity(bank, &lockboxv1.ListActivity{Limit: 50})).GetActivity().GetActivities())
		}},
	} {
		b.Run(row.name, func(b *testing.B) {
			found, took := atomic.Int64{}, make([][]time.Duration, readersAtOnce)
			var readers sync.WaitGroup
			used := processorTime(b)
			for r := range readersAtOnce {
				readers.Go(func() {
					for range max(1, b.N/readersAtOnce) {
						start := time.Now()
						found.Store(int64(row.ask()))
						took[r] = append(took[r], time.Since(start))
					}
				})
			}
			readers.Wait()
			all := slices.Sorted(slices.Values(slices.Concat(took...)))
			ms := func(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
			b.ReportMetric(ms(all[len(all)/2]), "ms-p50")
			b.ReportMetric(ms(all[len(all)*99/100]), "ms-p99")
			b.ReportMetric(ms(processorTime(b)-used)/float64(len(all)), "cpu-ms/answer")
			b.ReportMetric(float64(found.Load()), "found")
			b.ReportMetric(0, "ns/op")
		})
	}
}

func processorTime(b *testing.B) time.Duration {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
