// Package durabletest gives tests a disk that they can fill.
package durabletest

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/openlockbox/lockbox/pkg/durable"
)

// Disk mounts an empty file system of that many MB, in memory, until the test ends, and returns its directory. It needs
// the right to mount.
func Disk(t testing.TB, megabytes int) (dir string) {
	t.Helper()
	dir = t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, fmt.Sprintf("size=%dm,mode=0700", megabytes)); err != nil {
		t.Fatalf("this test fills a small disk, so it must be allowed to mount one: run it as root (%v)", err)
	}
	t.Cleanup(func() {
		// Lazily, so that a process that is still there cannot keep the test's directory from being removed.
		if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
			t.Errorf("unmount %s: %v", dir, err)
		}
	})
	return dir
}

// Fill fills a disk to the last block. free makes room again.
func Fill(t testing.TB, dir string) (free func()) {
	t.Helper()
	name := filepath.Join(dir, "filler")
	file, err := os.Create(name) // #nosec G304 -- the test's own
	if err != nil {
		t.Fatal(err)
	}
	data := make([]byte, 1<<20)
	for len(data) > 0 {
		n, err := file.Write(data)
		switch {
		case durable.Full(err):
			data = data[:len(data)/2]
		case err != nil:
			t.Fatal(errors.Join(err, file.Close()))
		case n < len(data):
			t.Fatal("short, without an error")
		}
	}
	if err := file.Close(); err != nil {
		t.Fatal(err)
	}
	return func() {
		t.Helper()
		if err := os.Remove(name); err != nil {
			t.Fatal(err)
		}
	}
}
