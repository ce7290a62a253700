// Package up implements `lockbox up`: all of Lockbox in one process, with a persistent data directory.
package up

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/openlockbox/lockbox/pkg/bus"
	"github.com/openlockbox/lockbox/pkg/writerkeys"
	"github.com/openlockbox/lockbox/services/audit-projector/logkeys"
	"github.com/openlockbox/lockbox/services/lockbox/demo"
	"github.com/openlockbox/lockbox/services/lockbox/demo/devissuer"
	"github.com/openlockbox/lockbox/services/lockbox/internal/stack"
	"github.com/openlockbox/lockbox/services/lockbox/internal/up/runinfo"
)

// Options are the options of `lockbox up`.
type Options struct {
	// Dir is the data directory.
	Dir string
	// Demo adds the demo issuer and two customers, whose people can sign in to the portal if there is one.
	Demo bool
	// IssuerAddr is the demo issuer's address on the first run; later runs keep the first address.
	IssuerAddr string
	// IssuerShape is the kind of identity provider whose tokens it writes; empty: as before, or the plain one.
	IssuerShape string
	Stack       stack.Config
	// Out receives messages for the user; Program is the name by which the program was called.
	Out     io.Writer
	Program string
}

// Run runs until ctx ends or something fails.
func Run(ctx context.Context, o Options) (err error) {
	started := time.Now()
	if err := os.MkdirAll(o.Dir, 0o700); err != nil {
		return err
	}
	o.Stack.Dir = o.Dir
	info := runinfo.Info{KeysDir: filepath.Join(o.Dir, "keys")}
	var issuer *devissuer.Issuer
	if o.Demo {
		dir := filepath.Join(o.Dir, "demo")
		var stop func() error
		if issuer, stop, err = serveIssuer(dir, o.IssuerAddr, o.IssuerShape); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, stop()) }()
		o.Stack.Issuers = append(o.Stack.Issuers, issuer.ProviderIssuer())
		if o.Stack.LogPolicy == "" {
			var end func() error
			if o.Stack.LogPolicy, end, err = serveWitness(dir, info.KeysDir); err != nil {
				return err
			}
			defer func() { err = errors.Join(err, end()) }()
		}
		if o.Stack.Portal != nil {
			with := *o.Stack.Portal
			with.Organisations = slices.Concat(with.Organisations, demo.Organisations(issuer))
			with.Environment = cmp.Or(with.Environment, "Demo")
			o.Stack.Portal = &with
		}
		info.Demo = &runinfo.Demo{IssuerURL: issuer.URL(), SecretFile: filepath.Join(dir, "secret"),
			Shape: issuer.Shape()}
	}
	if len(o.Stack.Issuers) == 0 {
		return errors.New("nobody could sign in: configure the provider's issuers with --config, or try it out with --demo")
	}
	s, err := stack.Start(ctx, o.Stack)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	if issuer != nil {
		if err := seed(ctx, s, issuer); err != nil {
			return err
		}
	}
	if tls := o.Stack.TLS; tls != nil {
		if info.CAFile, err = filepath.Abs(tls.CA); err != nil {
			return err
		}
	}
	info.NATSURL, info.MailboxDir, info.MailboxURL, info.PortalURL = s.URL(), s.MailboxDir(), s.MailboxURL(), s.PortalURL()
	info.LogURL, info.LogKey = s.LogURL(), filepath.Join(info.KeysDir, logkeys.PublicKeyFile)
	info.WritersKey = filepath.Join(info.KeysDir, writerkeys.PublicKeyFile)
	if err := runinfo.Write(o.Dir, info); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, runinfo.Remove(o.Dir)) }()
	if err := o.greet(info, time.Since(started)); err != nil {
		return err
	}
	<-s.Done()
	return s.Err()
}

func (o Options) greet(info runinfo.Info, took time.Duration) error {
	mail := info.MailboxURL
	if mail == "" {
		mail = "through the configured mail server"
	}
	if _, err := fmt.Fprintf(o.Out,
		"Lockbox is up after %s. Stop it with Ctrl-C; nothing is lost.\n\n  data     %s\n  bus      %s\n  mail     %s\n",
		took.Round(time.Millisecond), o.Dir, info.NATSURL, mail); err != nil {
		return err
	}
	if info.PortalURL != "" {
		if _, err := fmt.Fprintf(o.Out, "  portal   %s\n", info.PortalURL); err != nil {
			return err
		}
	}
	if info.LogURL != "" {
		if _, err := fmt.Fprintf(o.Out, "  log      %s\n", info.LogURL); err != nil {
			return err
		}
	}
	if info.Demo == nil {
		return nil
	}
	if _, err := fmt.Fprintf(o.Out, "  sign-in  %s\n", info.Demo.IssuerURL); err != nil {
		return err
	}
	named, err := filepath.Abs(o.Dir)
	if usual, none := runinfo.DefaultDir(os.Getenv); err != nil || none == nil && usual == named {
		named = ""
	}
	return demo.Guide(o.Out, o.Program, named, info.PortalURL)
}

// serveIssuer serves the demo issuer at the address that its tokens name: addr on the first run, and the same one ever
// after.
func serveIssuer(dir, addr, shape string) (_ *devissuer.Issuer, stop func() error, err error) {
	if kept, err := os.ReadFile(filepath.Join(dir, "url")); err == nil { // #nosec G304 -- the user names the directory
		addr = strings.TrimPrefix(strings.TrimSpace(string(kept)), "http://")
	}
	listener, err := new(net.ListenConfig).Listen(context.Background(), "tcp", addr)
	if err != nil {
		return nil, nil, fmt.Errorf("the demo issuer cannot listen on %s: %w; stop what is there, or begin with an empty --data directory and another --issuer", addr, err)
	}
	issuer, err := devissuer.New(devissuer.Config{
		Demo: true, Dir: dir, URL: "http://" + listener.Addr().String(), Shape: shape,
	})
	if err != nil {
		return nil, nil, errors.Join(err, listener.Close())
	}
	server := &http.Server{Handler: issuer.Handler(), ReadHeaderTimeout: 5 * time.Second}
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(listener) }()
	return issuer, func() error {
		err := server.Close()
		if served := <-ended; !errors.Is(served, http.ErrServerClosed) {
			err = errors.Join(err, served)
		}
		return err
	}, nil
}

func seed(ctx context.Context, s *stack.Stack, issuer *devissuer.Issuer) error {
	nc, err := s.Connect(bus.Client)
	if err != nil {
		return err
	}
	defer nc.Close()
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	return demo.Seed(ctx, nc, issuer, time.Now)
}
