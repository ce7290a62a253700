package journaltest

import (
	"os"
	"sync"
	"testing"
)

// Shared is one bus for the tests of a package that have a tenant of their own (NewTenant), look at nothing but their
// own, and leave streams, rights and the server alone. Whoever counts or follows everything, or stops the server, needs
// a bus of its own.
type Shared struct {
	once sync.Once
	dir  string
	bus  *Bus
}

// Run runs a package's tests, as its TestMain. The bus ends with them.
func (s *Shared) Run(m *testing.M) {
	m.Run()
	if s.bus != nil {
		s.bus.Stop()
	}
	_ = os.RemoveAll(s.dir)
}

// Bus is started for the first test that asks for it.
func (s *Shared) Bus(t testing.TB) *Bus {
	t.Helper()
	s.once.Do(func() {
		var err error
		if s.dir, err = os.MkdirTemp("", "lockbox-test"); err != nil {
			t.Fatal(err)
		}
		s.bus = Start(outlived{t, s.dir}, 1)
	})
	if s.bus == nil {
		t.Fatal("the shared bus did not start")
	}
	return s.bus
}

// outlived is a test that ends before what it starts.
type outlived struct {
	testing.TB
	dir string
}

func (o outlived) TempDir() string { return o.dir }
func (outlived) Cleanup(func())    {}
