package durable_test

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/openlockbox/lockbox/pkg/durable"
)

func TestReplaceWritesAndOverwrites(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state")
	for _, content := range []string{"first", "the second, which is longer", "3"} {
		if err := durable.Replace(path, []byte(content), 0o640); err != nil {
			t.Fatal(err)
		}
		wantFile(t, path, content, 0o640)
	}
	wantOnly(t, path)
}

func TestCreateNeverOverwrites(t *testing.T) {
	path := filepath.Join(t.TempDir(), "key")
	if err := durable.Create(path, []byte("first"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := durable.Create(path, []byte("second"), 0o644); !errors.Is(err, fs.ErrExist) {
		t.Fatalf("a second Create: %v", err)
	}
	wantFile(t, path, "first", 0o600)
	wantOnly(t, path)
}

func TestCreateDoesNotFollowALink(t *testing.T) {
	dir := t.TempDir()
	path, elsewhere := filepath.Join(dir, "key"), filepath.Join(t.TempDir(), "elsewhere")
	if err := os.Symlink(elsewhere, path); err != nil {
		t.Fatal(err)
	}
	if err := durable.Create(path, []byte("key"), 0o600); !errors.Is(err, fs.ErrExist) {
		t.Errorf("Create over a dangling link: %v", err)
	}
	if _, err := os.Lstat(elsewhere); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("what the link points at: %v", err)
	}
}

func TestOneOfSeveralCreates(t *testing.T) {
	path := filepath.Join(t.TempDir(), "key")
	var mu sync.Mutex
	var winners []string
	var all sync.WaitGroup
	for i := range 16 {
		all.Go(func() {
			content := string(bytes.Repeat([]byte{byte('a' + i)}, 4096))
			err := durable.Create(path, []byte(content), 0o600)
			mu.Lock()
			defer mu.Unlock()
			switch {
			case err == nil:
				winners = append(winners, content)
			case !errors.Is(err, fs.ErrExist):
				t.Error(err)
			}
		})
	}
	all.Wait()
	if len(winners) != 1 {
		t.Fatalf("%d of 16 created the file", len(winners))
	}
	wantFile(t, path, winners[0], 0o600)
	wantOnly(t, path)
}

func TestAFailureLeavesNothing(t *testing.T) {
	dir := t.TempDir()
	taken := filepath.Join(dir, "taken")
	if err := os.MkdirAll(filepath.Join(taken, "by a directory"), 0o700); err != nil {
		t.Fatal(err)
	}
	for name, write := range writers {
		if err := write(taken, []byte("x"), 0o600); err == nil {
			t.Errorf("%s over a directory succeeded", name)
		}
		if err := write(filepath.Join(dir, "missing", "file"), []byte("x"), 0o600); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s in a directory that does not exist: %v", name, err)
		}
	}
	wantOnly(t, taken)
	if err := durable.Sync(filepath.Join(dir, "missing")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Sync of what does not exist: %v", err)
	}
}

// Killed at any moment, the writer leaves all of one content or the file that was there before.
func TestAKilledWriterLeavesAWholeFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state")
	if os.Getenv(killedEnv) != "" {
		for i := 0; ; i++ {
			if err := durable.Replace(os.Getenv(killedEnv), killedContent(byte('a'+i%26)), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	for round := range 10 {
		_ = os.Remove(path) // from the round before

		writer := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$") // #nosec G204 -- this test itself
		writer.Env = append(os.Environ(), killedEnv+"="+path)
		if err := writer.Start(); err != nil {
			t.Fatal(err)
		}
		for began := time.Now(); ; time.Sleep(100 * time.Microsecond) {
			if _, err := os.Stat(path); err == nil {
				break
			} else if time.Since(began) > 30*time.Second {
				t.Fatal("the writer writes nothing")
			}
		}
		time.Sleep(time.Duration(round) * time.Millisecond / 3)
		if err := writer.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		_ = writer.Wait() // killed
		got, err := os.ReadFile(path)
		if err != nil || len(got) == 0 || !bytes.Equal(got, killedContent(got[0])) {
			t.Fatalf("round %d: %d bytes, %v", round, len(got), err)
		}
	}
}

const killedEnv = "LOCKBOX_DURABLE_TEST_PATH"

func killedContent(b byte) []byte { return bytes.Repeat([]byte{b}, 1<<20) }

var writers = map[string]func(string, []byte, fs.FileMode) error{"Replace": durable.Replace, "Create": durable.Create}

func wantFile(t *testing.T, path, content string, mode fs.FileMode) {
	t.Helper()
	got, err := os.ReadFile(path)
	if err != nil || string(got) != content {
		t.Errorf("%s holds %.40q, %v; want %.40q", filepath.Base(path), got, err, content)
	}
	if info, err := os.Stat(path); err != nil || info.Mode() != mode {
		t.Errorf("%s: mode %v, %v; want %v", filepath.Base(path), info.Mode(), err, mode)
	}
}

// wantOnly is that nothing else was left in the directory.
func wantOnly(t *testing.T, path string) {
	t.Helper()
	entries, err := os.ReadDir(filepath.Dir(path))
	if err != nil || len(entries) != 1 || entries[0].Name() != filepath.Base(path) {
		t.Errorf("the directory holds %v, %v", entries, err)
	}
}
