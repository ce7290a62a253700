// Package client connects the command line to the bus. It sends commands and queries on behalf of the user, publishes
// intents as the engineering tool "console", and opens the journal for the compliance team, each with its own key. It
// passes tokens on without verifying them: that is up to the services.
package client

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/openlockbox/lockbox/pkg/bus"
	"github.com/openlockbox/lockbox/pkg/config"
	"github.com/openlockbox/lockbox/pkg/journal"
	"github.com/openlockbox/lockbox/pkg/keystore"
	"github.com/openlockbox/lockbox/pkg/refusal"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"go.uber.org/zap"
	"google.golang.org/protobuf/proto"
)

// Tool is the command line's name as an engineering tool.
const Tool = "console"

// DefaultTimeout is the default of Config.Timeout.
const DefaultTimeout = bus.DefaultTimeout

const rule = "I11"

// ErrNotRunning reports that nothing answers at the address of the bus.
var ErrNotRunning = errors.New("no Lockbox answers there")

// Config configures a Client.
type Config struct {
	URL string
	// KeysDir holds <identity>.nk, or <identity>/<identity>.nk if each key has its own directory. Without it, a single
	// <identity>@<copy>.nk is used.
	KeysDir string
	// CA is the file of the authority that signed the bus's certificate; empty: the system's.
	CA string
	// Tokens returns the caller's token; nil: nobody is signed in.
	Tokens TokenSource
	// ErasableKey is the file of the key store's secret (R63), with which the journal is read; empty: the one among the
	// bus keys, if it is there and may be read. Without it, what is encrypted is not read.
	ErasableKey string
	// Timeout is the time to wait for one answer; 0: DefaultTimeout.
	Timeout time.Duration
}

// Client connects lazily, once for each identity that it needs.
type Client struct {
	config Config

	mu       sync.Mutex
	conns    map[bus.Identity]*nats.Conn
	journals []*journal.Journal
}

// New returns a client. The caller must close it.
func New(c Config) *Client {
	if c.Timeout <= 0 {
		c.Timeout = DefaultTimeout
	}
	return &Client{config: c, conns: map[bus.Identity]*nats.Conn{}}
}

// Close closes all connections.
func (c *Client) Close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for id, nc := range c.conns {
		nc.Close()
		delete(c.conns, id)
	}
}

func (c *Client) connect(id bus.Identity) (*nats.Conn, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if nc, ok := c.conns[id]; ok {
		return nc, nil
	}
	as, file := c.seedFile(id)
	nc, err := bus.Connect(bus.Connection{URL: c.config.URL, Identity: as, SeedFile: file, CA: c.config.CA})
	var key *bus.KeyError
	var trust *bus.TrustError
	switch {
	case errors.As(err, &trust):
		return nil, err
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, fs.ErrPermission):
		return nil, refusal.Forbidden("keys", "bus", "there is no readable key %s.nk in %s", id, c.config.KeysDir)
	case errors.Is(err, nats.ErrAuthorization):
		return nil, refusal.Forbidden("keys", "bus", "the bus at %s does not know the key %s.nk in %s", c.config.URL, as,
			c.config.KeysDir)
	case errors.As(err, &key):
		return nil, refusal.Forbidden("keys", "bus", "the key of %s in %s: %v", as, file, key.Err)
	case err != nil:
		return nil, fmt.Errorf("%w: %s: %w", ErrNotRunning, c.config.URL, err)
	}
	c.conns[id] = nc
	return nc, nil
}

// seedFile returns the file of an identity's key, and as whom it connects: the identity, or its only copy here.
func (c *Client) seedFile(id bus.Identity) (as bus.Identity, file string) {
	for _, name := range []string{string(id), string(id.Copy("*"))} {
		for _, pattern := range []string{filepath.Join(name, name), name} {
			found, err := filepath.Glob(filepath.Join(c.config.KeysDir, pattern+".nk"))
			if err == nil && len(found) == 1 {
				return bus.Identity(strings.TrimSuffix(filepath.Base(found[0]), ".nk")), found[0]
			}
		}
	}
	return id, filepath.Join(c.config.KeysDir, bus.SeedFile(id))
}

// Token returns the caller's token; UNAUTHENTICATED if nobody is signed in.
func (c *Client) Token(ctx context.Context) (string, error) {
	if c.config.Tokens == nil {
		return "", refusal.Unauthenticated("token", "R13", "nobody is signed in")
	}
	return c.config.Tokens.Token(ctx)
}

// Do sends a command with the caller's token and returns the reply; see caller.Do.
func (c *Client) Do(ctx context.Context, command *lockboxv1.Command) (*lockboxv1.CommandReply, error) {
	token, by, err := c.caller(ctx)
	if err != nil {
		return nil, err
	}
	return by.Do(ctx, token, command)
}

// Ask sends a query with the caller's token and returns the reply; see caller.Ask.
func (c *Client) Ask(ctx context.Context, query *lockboxv1.Query) (*lockboxv1.QueryReply, error) {
	token, by, err := c.caller(ctx)
	if err != nil {
		return nil, err
	}
	return by.Ask(ctx, token, query)
}

func (c *Client) caller(ctx context.Context) (token string, by bus.Caller, err error) {
	if token, err = c.Token(ctx); err != nil {
		return "", by, err
	}
	nc, err := c.connect(bus.Client)
	return token, bus.Caller{Conn: nc, Timeout: c.config.Timeout}, err
}

// Reach connects, and returns how to ask without a token, and how long the bus takes to answer.
func (c *Client) Reach() (bus.Caller, time.Duration, error) {
	nc, err := c.connect(bus.Client)
	if err != nil {
		return bus.Caller{}, 0, err
	}
	took, err := nc.RTT()
	return bus.Caller{Conn: nc, Timeout: c.config.Timeout}, took, err
}

// Submit publishes an intent with the caller's token and waits for its outcome, which may be a refusal. The outcome is
// nil if there is none within wait: the intent is stored nevertheless, and will be evaluated.
func (c *Client) Submit(
	ctx context.Context, intent *lockboxv1.AccessIntent, wait time.Duration,
) (*lockboxv1.IntentOutcome, error) {
	token, err := c.Token(ctx)
	if err != nil {
		return nil, err
	}
	intent = proto.CloneOf(intent)
	intent.Token = token
	nc, err := c.connect(bus.Tool(Tool))
	if err != nil {
		return nil, err
	}
	subject, err := bus.OutcomeSubject(Tool, intent.GetId())
	if err != nil {
		return nil, err
	}
	outcomes, err := nc.SubscribeSync(subject)
	if err != nil {
		return nil, fmt.Errorf("listening on %s: %w", subject, err)
	}
	defer func() { _ = outcomes.Unsubscribe() }()
	if err := nc.FlushTimeout(c.config.Timeout); err != nil {
		return nil, fmt.Errorf("listening on %s: %w", subject, err)
	}
	if err := c.publish(ctx, nc, intent); err != nil || wait <= 0 {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	msg, err := outcomes.NextMsgWithContext(ctx)
	if errors.Is(err, context.DeadlineExceeded) {
		return nil, nil //nolint:nilnil // no outcome yet, which is not an error
	}
	if err != nil {
		return nil, err
	}
	outcome := new(lockboxv1.IntentOutcome)
	if err := proto.Unmarshal(msg.Data, outcome); err != nil {
		return nil, refusal.Unavailable("", rule, "the answer is not an outcome")
	}
	return outcome, nil
}

// publish stores the intent. Storing it twice is harmless: duplicates become one request.
func (c *Client) publish(ctx context.Context, nc *nats.Conn, intent *lockboxv1.AccessIntent) error {
	j, err := journal.Open(ctx, nc, journal.WithTimeout(c.config.Timeout))
	if err != nil {
		return err
	}
	defer j.Close()
	if _, err = j.SubmitIntent(ctx, Tool, intent); errors.Is(err, journal.ErrUnknown) {
		_, err = j.SubmitIntent(ctx, Tool, intent)
	}
	if errors.Is(err, journal.ErrUnknown) {
		return fmt.Errorf("%w: %w", refusal.Unavailable("", rule,
			"the bus did not say whether it keeps the intent; submit it again"), err)
	}
	return err
}

// Journal opens the event stream for reading, with the compliance team's key. The caller must close it. What can be
// erased is decrypted if the secret for it is there, until ctx ends.
func (c *Client) Journal(ctx context.Context, options ...journal.Option) (*journal.Journal, error) {
	nc, err := c.connect(bus.Compliance)
	if err != nil {
		return nil, err
	}
	secret, err := c.secret()
	if err != nil {
		return nil, err
	}
	if secret != nil {
		keys, err := keystore.New(ctx, nc, *secret, zap.NewNop())
		if err != nil {
			return nil, err
		}
		options = append(options, journal.WithDetails(keys))
	}
	j, err := journal.Open(ctx, nc, options...)
	if err == nil {
		c.mu.Lock()
		c.journals = append(c.journals, j)
		c.mu.Unlock()
	}
	return j, err
}

// Unread reports whether a journal had something encrypted that it could not read.
func (c *Client) Unread() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.ContainsFunc(c.journals, (*journal.Journal).Unread)
}

// secret reads the secret of the key store; nil if there is none to be had.
func (c *Client) secret() (*keystore.Secret, error) {
	file := c.config.ErasableKey
	if file == "" {
		file = filepath.Join(c.config.KeysDir, keystore.SecretFile)
	}
	secret, err := keystore.ReadSecret(config.SecretFile(file))
	switch {
	case err == nil:
		return &secret, nil
	case c.config.ErasableKey == "" && (errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission)):
		return nil, nil //nolint:nilnil // what is encrypted is not read
	}
	return nil, refusal.Forbidden("erasable_key", "bus", "the secret of the key store cannot be read: %v", err)
}
