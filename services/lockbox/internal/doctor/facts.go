package doctor

import (
	"cmp"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"

	"github.com/openlockbox/lockbox/pkg/bus"
	"github.com/openlockbox/lockbox/pkg/config"
	"github.com/openlockbox/lockbox/pkg/service"
	projector "github.com/openlockbox/lockbox/services/audit-projector"
	"github.com/openlockbox/lockbox/services/forwarder"
	evaluator "github.com/openlockbox/lockbox/services/jit-evaluator"
	orchestrator "github.com/openlockbox/lockbox/services/lockbox-orchestrator"
	"github.com/openlockbox/lockbox/services/notifier"
	"github.com/openlockbox/lockbox/services/portal"
)

// Service is what a configuration file says that can be checked.
type Service struct {
	// File and Name are the file and the service that it is for. Err is what is wrong with it; the rest is then unknown.
	File, Name string
	Err        error

	Key     Key
	Issuers []service.Issuer
	// Listen are its own addresses, Web the public https ones.
	Listen, Web []string
	// Secrets are files that nobody else may read; Dirs what it writes to.
	Secrets, Dirs []string
	// KeySecret is the file of the key store's secret. ReadsEvents says that the service needs it once others have it.
	KeySecret   string
	ReadsEvents bool
	// Mail is nil unless it sends mails.
	Mail *notifier.Config
	// Witnesses is the file of the log's policy, LogAddress where the log is served.
	Witnesses, LogAddress string
}

// Key is a key of the bus, and where it is used.
type Key struct {
	Identity      bus.Identity
	File, URL, CA string
}

// Of returns what a service's configuration says: a *service.File of its settings, as its program reads it, or else
// what is wrong with it.
func Of(file, name string, read any, err error) Service {
	s := Service{File: file, Name: name, Err: err}
	if err != nil {
		return s
	}
	switch f := read.(type) {
	case *service.File[evaluator.Config]:
		common(&s, f, bus.Evaluator)
	case *service.File[orchestrator.Config]:
		common(&s, f, bus.Orchestrator)
	case *service.File[notifier.Config]:
		common(&s, f, bus.Notifier)
		s.Mail = &f.Service
		s.Web = append(s.Web, f.Service.PortalURL)
	case *service.File[projector.Config]:
		common(&s, f, bus.Projector)
		s.Dirs = append(s.Dirs, f.Service.Dir)
		s.Witnesses, s.LogAddress = f.Service.Log.PolicyFile, f.Service.Log.Listen
		s.Listen = append(s.Listen, f.Service.Log.Listen)
	case *service.File[portal.Config]:
		common(&s, f, bus.Portal)
		s.AddPortal(f.Service)
	case *service.File[forwarder.Config]:
		common(&s, f, bus.Compliance)
		s.Dirs = append(s.Dirs, f.Service.Cursors)
	}
	s.Listen = slices.DeleteFunc(s.Listen, func(a string) bool { return a == "" })
	return s
}

func common[C any](s *Service, f *service.File[C], id bus.Identity) {
	if f.NATS.Copy != "" {
		id = id.Copy(f.NATS.Copy)
	}
	s.Key = Key{id, string(f.NATS.SeedFile), f.NATS.URL, f.NATS.TLS.CA}
	s.Issuers = f.Issuers
	s.Listen = append(s.Listen, f.Observe.Listen)
	s.KeySecret, s.ReadsEvents = string(f.Erasure.SecretFile), id.Of() != bus.Portal
	s.AddSecrets(f)
}

// AddPortal adds what a portal's settings say.
func (s *Service) AddPortal(c portal.Config) {
	s.Listen = append(s.Listen, c.Listen)
	s.Web = append(s.Web, c.URL)
	for _, o := range c.Organisations {
		s.Issuers = append(s.Issuers, service.Issuer{URL: o.Issuer, Audience: o.ClientID, Discovery: true,
			CAFile: o.CAFile})
	}
}

// AddSecrets adds the files of secrets that settings name, wherever they stand in them.
func (s *Service) AddSecrets(settings any) { s.secrets(reflect.ValueOf(settings)) }

func (s *Service) secrets(v reflect.Value) {
	if file, is := reflect.TypeAssert[config.SecretFile](v); is {
		if file != "" {
			s.Secrets = append(s.Secrets, string(file))
		}
		return
	}
	switch v.Kind() {
	case reflect.Pointer:
		if !v.IsNil() {
			s.secrets(v.Elem())
		}
	case reflect.Struct:
		for i := range v.NumField() {
			if v.Type().Field(i).IsExported() {
				s.secrets(v.Field(i))
			}
		}
	case reflect.Slice:
		for i := range v.Len() {
			s.secrets(v.Index(i))
		}
	default: // no settings have secrets elsewhere
	}
}

// keysIn returns the keys that lie in a directory, or in one of its own for each identity, as they are handed out.
func keysIn(dir string) (keys []Key) {
	for _, path := range inKeys(dir, bus.SeedFile("*")) {
		id := bus.Identity(strings.TrimSuffix(filepath.Base(path), bus.SeedFile("")))
		if !slices.ContainsFunc(keys, func(k Key) bool { return k.Identity == id }) {
			keys = append(keys, Key{Identity: id, File: path})
		}
	}
	return keys
}

// inKeys returns the files of a pattern in a directory of keys and in those for each identity.
func inKeys(dir, pattern string) []string {
	if dir == "" {
		return nil
	}
	flat, _ := filepath.Glob(filepath.Join(dir, pattern)) // the patterns are good
	handedOut, _ := filepath.Glob(filepath.Join(dir, "*", pattern))
	return append(flat, handedOut...)
}

// keyring returns every key that can be tried: those of the directory, and those that services are configured with and
// that are here.
func (o Options) keyring() (keys []Key) {
	url, ca := o.URL, o.CA
	for _, s := range o.Services {
		if url == "" && s.Key.URL != "" {
			url, ca = s.Key.URL, cmp.Or(ca, s.Key.CA)
		}
	}
	if o.Keys != "" {
		keys = keysIn(o.Keys)
		for i := range keys {
			keys[i].URL, keys[i].CA = url, ca
		}
	}
	for _, s := range o.Services {
		if _, err := os.Stat(s.Key.File); s.Key.File == "" || err != nil {
			continue
		}
		key := s.Key
		key.URL, key.CA = cmp.Or(o.URL, key.URL), cmp.Or(o.CA, key.CA)
		if !slices.ContainsFunc(keys, func(k Key) bool { return k.Identity == key.Identity }) {
			keys = append(keys, key)
		}
	}
	return keys
}

// operated reports whether an installation is examined, and not only what a person at a command line has of it.
func (o Options) operated() bool { return len(o.Services) > 0 || Operates(o.Keys) }
