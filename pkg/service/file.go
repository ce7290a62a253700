package service

import (
	"cmp"
	"context"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go"
	"github.com/openlockbox/lockbox/pkg/bus"
	"github.com/openlockbox/lockbox/pkg/config"
	"github.com/openlockbox/lockbox/pkg/keystore"
	"github.com/openlockbox/lockbox/pkg/observe"
	"github.com/openlockbox/lockbox/pkg/observe/trace"
	"github.com/openlockbox/lockbox/pkg/refusal"
	"github.com/openlockbox/lockbox/pkg/signed"
	"github.com/openlockbox/lockbox/pkg/writerkeys"
)

// File is a service's configuration file: the common settings and, under `service`, the service's own.
type File[C any] struct {
	NATS struct {
		// URL of the server or, separated by commas, of several.
		URL string `yaml:"url"`
		// SeedFile holds the service's own nkey.
		SeedFile config.SecretFile `yaml:"seed_file"`
		// Copy is the name of this replica, if it has a key of its own, "<service>@<copy>"; empty: it has the service's.
		Copy string `yaml:"copy"`
		// StagedInMemory says that the server was started with --stage-in, so that it pays to write fewer events at once. It
		// changes nothing but the speed.
		StagedInMemory bool `yaml:"staged_in_memory"`
		TLS            struct {
			// CA is the file of the authorities that sign the servers' certificates; empty: the system's.
			CA string `yaml:"ca"`
		} `yaml:"tls"`
	} `yaml:"nats"`
	Signing struct {
		// KeyFile holds the key with which the service signs the events that it writes, and its certificate. Empty: nothing
		// is signed, and no signature is looked at.
		KeyFile config.SecretFile `yaml:"key_file"`
		// DeploymentKeyFile holds the deployment's public key, under which all certificates must be. Who reads events and
		// writes none has it alone; empty: it takes every event for genuine.
		DeploymentKeyFile string `yaml:"deployment_key_file"`
		// BeganAt is the sequence of the event from which on every event is signed, which `lockbox audit verify --stream`
		// shows; 0: what deployment_key_file says, where `lockbox keys` wrote it for a new bus, or else what the stream says.
		// With it, nobody who runs the bus can keep that event from a service that starts.
		BeganAt uint64 `yaml:"began_at"`
	} `yaml:"signing"`
	Erasure struct {
		// SecretFile holds the secret of the key store, the same in all services but the portal, which needs none. With it,
		// what people write and their names and addresses are stored encrypted, and can be erased. Empty: they are stored as
		// they are, and the service reads no event of which something is encrypted.
		SecretFile config.SecretFile `yaml:"secret_file"`
	} `yaml:"erasure"`
	// Issuers are where the provider's people sign in.
	Issuers []Issuer `yaml:"issuers"`
	Observe struct {
		// Listen serves /metrics, /livez, /readyz and /healthz, for example on 127.0.0.1:9090; empty: not at all.
		Listen string `yaml:"listen"`
		// Log is the log level: debug, info, warn or error.
		Log string `yaml:"log"`
		// Traces are those of requests.
		Traces trace.Config `yaml:"traces"`
	} `yaml:"observe"`
	Service C `yaml:"service"`
}

const rule = "configuration"

func (f *File[C]) check() error {
	switch {
	case f.NATS.URL == "":
		return refusal.Invalid("nats.url", rule, "is required: the address of the bus")
	case f.NATS.SeedFile == "":
		return refusal.Invalid("nats.seed_file", rule,
			"is required: the file of the service's key, which `lockbox keys` makes")
	}
	if _, err := observe.NewLogger(observe.LogOptions{Level: f.Observe.Log}); err != nil {
		return refusal.Invalid("observe.log", rule, "%v", err)
	}
	if f.Signing.KeyFile != "" && f.Signing.DeploymentKeyFile == "" {
		return refusal.Invalid("signing.deployment_key_file", rule, "goes with signing.key_file; `lockbox keys` makes both")
	}
	if f.Signing.BeganAt != 0 && f.Signing.DeploymentKeyFile == "" {
		return refusal.Invalid("signing.began_at", rule, "goes with signing.deployment_key_file")
	}
	if err := f.Observe.Traces.Check(); err != nil {
		return under("observe.traces.", err)
	}
	for i, iss := range f.Issuers {
		if err := iss.check(); err != nil {
			return refusal.Invalid(fmt.Sprintf("issuers[%d]", i), rule, "%s: %v", iss.URL, err)
		}
	}
	c, is := any(&f.Service).(config.Checker)
	if !is {
		return nil
	}
	return under("service.", c.Check())
}

// writer reads the key with which an identity signs; nil if none is configured.
func (f *File[C]) writer(id bus.Identity) (*writerkeys.Keys, error) {
	if f.Signing.KeyFile == "" {
		return nil, nil //nolint:nilnil // nothing is signed
	}
	keys, err := writerkeys.Read(string(f.Signing.KeyFile), f.Signing.DeploymentKeyFile, id)
	if err != nil {
		return nil, err
	}
	keys.Deployment.BeganAt = cmp.Or(f.Signing.BeganAt, keys.Deployment.BeganAt)
	return &keys, nil
}

// keyring judges for a service that writes nothing; nil if no deployment is configured.
func (f *File[C]) keyring() (*signed.Keyring, error) {
	if f.Signing.DeploymentKeyFile == "" {
		return nil, nil //nolint:nilnil // nothing is judged
	}
	d, err := writerkeys.ReadDeployment(f.Signing.DeploymentKeyFile)
	if err != nil {
		return nil, err
	}
	d.BeganAt = cmp.Or(f.Signing.BeganAt, d.BeganAt)
	return d.Keyring(), nil
}

// secret reads the key store's secret; nil if none is configured.
func (f *File[C]) secret() (*keystore.Secret, error) {
	if f.Erasure.SecretFile == "" {
		return nil, nil //nolint:nilnil // nothing is encrypted
	}
	secret, err := keystore.ReadSecret(f.Erasure.SecretFile)
	return &secret, err
}

// under names the field of a refusal with the section in which it stands.
func under(section string, err error) error {
	if r, refused := refusal.As(err); refused {
		return refusal.New(r.GetCode(), section+r.GetField(), r.GetRule(), "%s", r.GetMessage())
	}
	return err
}

// observed runs a service and its metrics and health server, until either ends or the bus withdraws the service's key.
func observed[C any](
	ctx context.Context, f *File[C], m *observe.Metrics, c bus.Connection, rt *Connected, checks map[string]observe.Check,
	run func(context.Context) error,
) error {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	closed := func(nc *nats.Conn) { stop(c.Explain(nc.LastError())) }
	rt.Conn.SetClosedHandler(closed)
	if rt.Conn.IsClosed() { // before there was a handler
		closed(rt.Conn)
	}
	checks["bus"] = func(context.Context) error { return reachable(rt.Conn) }
	rt.Counters.Read(observe.PartState, observe.Parts(checks))
	watching := make(chan error, 1)
	go func() { watching <- m.Serve(ctx, f.Observe.Listen, checks) }()
	c.Log.Info("ready")
	err := Outlive(ctx, c.Log, run)
	if why := context.Cause(ctx); bus.Permanent(why) {
		err = why // the rest follows from it
	}
	stop(nil)
	return errors.Join(err, <-watching)
}
