package embedded_test

import (
	"errors"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/openlockbox/lockbox/pkg/bus"
	"github.com/openlockbox/lockbox/pkg/bus/embedded"
)

func options(t *testing.T) (bus.ServerOptions, bus.Keys) {
	t.Helper()
	keys, err := bus.GenerateKeys()
	if err != nil {
		t.Fatal(err)
	}
	public, err := keys.Public()
	if err != nil {
		t.Fatal(err)
	}
	return bus.ServerOptions{StoreDir: filepath.Join(t.TempDir(), `with "quotes" and spaces`), PublicKeys: public}, keys
}

func start(t *testing.T, o bus.ServerOptions) *embedded.Server {
	t.Helper()
	s, err := embedded.Start(t.Context(), o, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Shutdown)
	return s
}

func TestInProcessOnly(t *testing.T) {
	o, keys := options(t)
	s := start(t, o)
	if url := s.ClientURL(); url != "" {
		t.Errorf("it listens on %s", url)
	}
	nc, err := bus.Connect(bus.Connection{InProcess: s, Identity: bus.Provisioner, Seed: keys[bus.Provisioner]})
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	if err := bus.Provision(t.Context(), nc, 1); err != nil {
		t.Error(err)
	}
}

func TestPortTaken(t *testing.T) {
	o, _ := options(t)
	o.Host, o.Port = "127.0.0.1", -1
	first := start(t, o)
	if !strings.HasPrefix(first.ClientURL(), "nats://127.0.0.1:") {
		t.Errorf("clients connect to %s", first.ClientURL())
	}
	other, _ := options(t)
	other.Host = "127.0.0.1"
	other.Port = portOf(t, first.ClientURL())
	s, err := embedded.Start(t.Context(), other, nil)
	if err == nil {
		s.Shutdown()
		t.Fatal("two servers on one port")
	}
	if !strings.Contains(err.Error(), "address already in use") {
		t.Errorf("the error does not say why: %v", err)
	}
}

func TestStoreInUse(t *testing.T) {
	o, _ := options(t)
	first := start(t, o)
	s, err := embedded.Start(t.Context(), o, nil)
	if err == nil {
		s.Shutdown()
		t.Fatal("two servers on one store")
	}
	if !errors.Is(err, syscall.EWOULDBLOCK) || !strings.Contains(err.Error(), "in use") {
		t.Errorf("the error does not say why: %v", err)
	}
	first.Shutdown()
	start(t, o)
}

func portOf(t *testing.T, url string) int {
	t.Helper()
	var port int
	for _, digit := range url[strings.LastIndex(url, ":")+1:] {
		port = port*10 + int(digit-'0')
	}
	return port
}
