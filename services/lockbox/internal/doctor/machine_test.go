package doctor

import (
	"errors"
	"net"
	"path/filepath"
	"testing"

	"github.com/openlockbox/lockbox/pkg/service"
	"github.com/openlockbox/lockbox/services/lockbox/internal/cli/render"
)

func TestWhatIsWrongWithTheMachine(t *testing.T) {
	t.Parallel()
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	t.Cleanup(func() { _ = taken.Close() })
	const gb = 1 << 30
	ext4 := kind{"ext4", fits}
	full := func(free, total uint64, k kind) func(*exam) {
		return func(e *exam) { e.disk = func(string) (space, error) { return space{free, total, k}, nil } }
	}
	kept := func(kept bool, err error) func(*exam) {
		return func(e *exam) { e.synchronised = func() (bool, error) { return kept, err } }
	}
	listens := func(at string) func(*exam) { return func(e *exam) { e.Listen = []string{at} } }
	errNobody := errors.New("nobody knows")
	for name, c := range map[string]struct {
		spoil      func(*exam)
		check      string
		state      render.State
		says, cure string
	}{
		"room":                  {full(50*gb, 100*gb, ext4), "disk", render.OK, "50.0 GB are free, 50 %", ""},
		"a disk that gets full": {full(8*gb, 100*gb, ext4), "disk", render.Warning, "8.0 GB are free, 8 %", "make room"},
		"a disk that is full": {full(4*gb, 100*gb, ext4), "disk", render.Failed, "4.0 GB are free, 4 %; at least",
			"make room"},
		"a disk that is small": {full(gb/2, gb, ext4), "disk", render.Failed, "0.5 GB are free, 50 %", "make room"},
		"a disk nobody knows": {func(e *exam) {
			e.disk = func(string) (space, error) { return space{}, errNobody }
		}, "disk", render.Unknown, "nobody knows", ""},
		"a disk of another": {full(gb, gb, kind{"NFS", unfit}), "filesystem", render.Failed, "lies on NFS", "ext4"},
		"a disk that may forget": {full(gb, gb, kind{"FUSE", doubtful}), "filesystem", render.Warning, "lies on FUSE",
			"ext4"},
		"a disk of this machine":  {full(gb, gb, ext4), "filesystem", render.OK, "lies on ext4", ""},
		"a clock that is kept":    {kept(true, nil), "clock-source", render.OK, "kept", ""},
		"a clock nobody keeps":    {kept(false, nil), "clock-source", render.Warning, "not kept", "chrony"},
		"a clock nobody knows of": {kept(true, errNobody), "clock-source", render.Unknown, "nobody knows", "chrony"},
		"a port that is taken": {listens(taken.Addr().String()), "ports", render.Failed, "is taken",
			"another port"},
		"an address of another": {listens("192.0.2.1:0"), "ports", render.Failed, "no address of this machine", "0.0.0.0"},
		"a port that is free":   {listens("127.0.0.1:0"), "ports", render.OK, "1 address, all free", ""},
		"a name nobody knows": {func(e *exam) {
			e.Services = []Service{{Key: Key{URL: "tls://bus.invalid:4222"}}}
		}, "names", render.Failed, "bus.invalid is not known here", "DNS"},
		"a name": {func(e *exam) {
			e.Services = []Service{{Issuers: []service.Issuer{{URL: "https://localhost:1/x", Discovery: true}}}}
		}, "names", render.OK, "1 name, all known here", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := patient(Options{Before: true, Stores: []string{t.TempDir()}})
			c.spoil(e)
			cured(t, e.examined(t)[c.check], c.state, c.says, c.cure)
		})
	}
}

// What the kernel says of a directory can be read.
func TestTheMachineIsAsked(t *testing.T) {
	t.Parallel()
	s, err := spaceOf(t.TempDir())
	if err != nil || s.total == 0 || s.free > s.total || s.kind.name == "" {
		t.Errorf("%+v, %v", s, err)
	}
	if _, err := spaceOf(filepath.Join(t.TempDir(), "none")); err == nil {
		t.Error("a directory that is not there has room")
	}
	if took, err := syncing(t.TempDir()); err != nil || took <= 0 {
		t.Errorf("%v, %v", took, err)
	}
}
