package logkeys_test

import (
	"bytes"
	"errors"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"unsafe"

	"github.com/openlockbox/lockbox/pkg/merkle"
	"github.com/openlockbox/lockbox/services/audit-projector/logkeys"
)

const (
	origin = "log.example/lockbox"
	// childDir makes this test program a process that only makes keys in that directory.
	childDir = "LOGKEYS_TEST_DIR"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(childDir); dir != "" {
		if _, err := logkeys.LoadOrCreate(dir, origin); err != nil {
			panic(err)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// secrets are the files that must never change once they exist.
var secrets = []string{logkeys.SigningKeyFile, logkeys.SaltsFile}

func load(t *testing.T, dir string) logkeys.Keys {
	t.Helper()
	k, err := logkeys.LoadOrCreate(dir, origin)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// files reads everything in a directory.
func files(t *testing.T, dir string) map[string]string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]string{}
	for _, e := range entries {
		data, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		all[e.Name()] = string(data)
	}
	return all
}

func TestKeysAreMadeOnceAndReadAgain(t *testing.T) {
	dir := t.TempDir()
	first := load(t, dir)
	before := files(t, dir)
	if len(before) != 3 || strings.TrimSpace(before[logkeys.PublicKeyFile]) != first.Verifiers[0] ||
		first.Signers[0].Name() != origin {
		t.Fatalf("the directory holds %v for %s", before, first.Verifiers[0])
	}
	for name := range before {
		info, err := os.Stat(filepath.Join(dir, name))
		if err != nil || info.Mode() != 0o600 {
			t.Errorf("%s: %v, %v", name, info.Mode(), err)
		}
	}
	if again := load(t, dir); again.Verifiers[0] != first.Verifiers[0] {
		t.Errorf("read again: %s, then %s", first.Verifiers[0], again.Verifiers[0])
	}
	// The public key is not a secret that could be lost.
	if err := os.Remove(filepath.Join(dir, logkeys.PublicKeyFile)); err != nil {
		t.Fatal(err)
	}
	if again := load(t, dir); again.Verifiers[0] != first.Verifiers[0] {
		t.Errorf("without the public key: %s, then %s", first.Verifiers[0], again.Verifiers[0])
	}
}

// R41: without its salts, a tree cannot be rebuilt; without its key, a log cannot go on.
func TestALostSecretIsNeverReplaced(t *testing.T) {
	for _, lost := range [][]string{{logkeys.SigningKeyFile}, {logkeys.SaltsFile}, secrets} {
		dir := t.TempDir()
		load(t, dir)
		for _, name := range lost {
			if err := os.Remove(filepath.Join(dir, name)); err != nil {
				t.Fatal(err)
			}
		}
		before := files(t, dir)
		_, err := logkeys.LoadOrCreate(dir, origin)
		if err == nil {
			t.Fatalf("without %v the keys are made anew", lost)
		}
		for _, name := range lost {
			if !strings.Contains(err.Error(), "missing: ") || !strings.Contains(err.Error(), filepath.Join(dir, name)) ||
				!strings.Contains(err.Error(), "backup") {
				t.Errorf("without %v: %v", lost, err)
			}
		}
		if after := files(t, dir); !maps.Equal(before, after) {
			t.Errorf("without %v: %v became %v", lost, before, after)
		}
	}
}

func TestKeysThatContradictThoseBeingMadeAreLeftAlone(t *testing.T) {
	dir, other := t.TempDir(), t.TempDir()
	load(t, dir)
	load(t, other)
	theirs := files(t, other)
	pending := theirs[logkeys.SigningKeyFile] + theirs[logkeys.SaltsFile]
	if err := os.WriteFile(filepath.Join(dir, "log.new"), []byte(pending), 0o600); err != nil {
		t.Fatal(err)
	}
	before := files(t, dir)
	if _, err := logkeys.LoadOrCreate(dir, origin); err == nil || !strings.Contains(err.Error(), "different keys") {
		t.Errorf("got %v", err)
	}
	if after := files(t, dir); !maps.Equal(before, after) {
		t.Errorf("%v became %v", before, after)
	}
}

// A process is killed at each system call with which it makes the keys. Whatever it left behind, the next one ends with
// a pair of secrets, and what was there is kept.
func TestKilledAtEveryStep(t *testing.T) {
	halfway := killedAtEveryStep(t, func(*testing.T, string) {})
	if halfway < 0 {
		t.Fatal("no process was killed with the salts in place and their temporary name not yet removed")
	}
	// And so is the one that finishes the work.
	killedAtEveryStep(t, func(t *testing.T, dir string) { trace(t, dir, halfway) })
}

// killedAtEveryStep returns the step at which the salts had two names.
func killedAtEveryStep(t *testing.T, prepare func(t *testing.T, dir string)) (halfway int) {
	t.Helper()
	halfway = -1
	alone := false
	for step := 0; ; step++ {
		dir := t.TempDir()
		prepare(t, dir)
		before := files(t, dir)
		_, killed := trace(t, dir, step)
		left := files(t, dir)
		alone = alone || left[logkeys.SigningKeyFile] == "" && left[logkeys.SaltsFile] != ""
		if temporary, _ := filepath.Glob(filepath.Join(dir, "."+logkeys.SaltsFile+".*")); halfway < 0 &&
			left[logkeys.SaltsFile] != "" && len(temporary) > 0 {
			halfway = step
		}
		load(t, dir)
		after := files(t, dir)
		for _, name := range secrets {
			for _, earlier := range []map[string]string{before, left} {
				if was, ok := earlier[name]; ok && was != after[name] {
					t.Fatalf("killed at step %d: %s was replaced", step, name)
				}
				if made, ok := earlier["log.new"]; ok && !strings.Contains(made, after[name]) {
					t.Fatalf("killed at step %d: %s is not the one that was being made", step, name)
				}
			}
			if was, ok := before[name]; ok && left[name] != was {
				t.Fatalf("killed at step %d: %s was touched", step, name)
			}
		}
		if len(after) != 3 {
			t.Errorf("killed at step %d: there are %v", step, after)
		}
		load(t, dir)
		if again := files(t, dir); !maps.Equal(after, again) {
			t.Fatalf("killed at step %d: %v became %v", step, after, again)
		}
		if !killed {
			if step < 15 || !alone {
				t.Errorf("%d steps, the salts alone in place: %v", step, alone)
			}
			return halfway
		}
	}
}

// Before a file gets its name its bytes are on disk, and before anything else is done so is the name.
func TestEveryFileIsSyncedBeforeAndAfterItIsNamed(t *testing.T) {
	calls, _ := trace(t, t.TempDir(), -1)
	named := 0
	for i, call := range calls {
		if call != syscall.SYS_LINKAT {
			continue
		}
		named++
		after := calls[i+1:]
		if next := slices.Index(after, syscall.SYS_LINKAT); next >= 0 {
			after = after[:next]
		}
		// The last sync before the name is the new file's own: nothing was opened or written since.
		if i == 0 || calls[i-1] != syscall.SYS_FSYNC || !slices.Contains(after, syscall.SYS_FSYNC) {
			t.Errorf("file %d is not named between two syncs: %v", named, calls)
		}
	}
	if named != 4 {
		t.Errorf("%d files were named: %v", named, calls)
	}
}

// Of struct ptrace_syscall_info (ptrace(2)), as far as it is needed here.
type syscallInfo struct {
	op     uint8
	_      [3]uint8
	_      uint32
	_, _   uint64
	number uint64
	_      [6]uint64
}

const (
	ptraceGetSyscallInfo = 0x420e
	syscallEntry         = 1
)

// writing are the system calls that change files.
var writing = []uint64{
	syscall.SYS_OPENAT, syscall.SYS_WRITE, syscall.SYS_FSYNC, syscall.SYS_LINKAT, syscall.SYS_RENAMEAT,
	syscall.SYS_UNLINKAT,
}

// trace makes keys in a process of its own, which is killed before it carries out the one of its file system calls with
// that index (none, if there are fewer or it is negative), and returns the calls that were carried out.
func trace(t *testing.T, dir string, killAt int) (calls []uint64, killed bool) {
	t.Helper()
	runtime.LockOSThread() // the tracer is a thread
	defer runtime.UnlockOSThread()
	var output bytes.Buffer
	c := exec.Command(os.Args[0]) // #nosec G204 -- this program
	c.Env = append(os.Environ(), childDir+"="+dir)
	c.Stderr = &output
	c.SysProcAttr = &syscall.SysProcAttr{Ptrace: true}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	process := c.Process.Pid
	var status syscall.WaitStatus
	if _, err := syscall.Wait4(process, &status, 0, nil); err != nil || !status.Stopped() {
		t.Fatalf("%v: %v", status, err)
	}
	const exitKill = 0x100000 // PTRACE_O_EXITKILL
	if err := syscall.PtraceSetOptions(process,
		syscall.PTRACE_O_TRACECLONE|syscall.PTRACE_O_TRACESYSGOOD|exitKill); err != nil {
		t.Fatal(err)
	}
	locked := false
	for thread, signal := process, 0; ; {
		if err := syscall.PtraceSyscall(thread, signal); err != nil && !errors.Is(err, syscall.ESRCH) {
			t.Fatal(err)
		}
		var err error
		if thread, err = syscall.Wait4(-1, &status, syscall.WALL, nil); err != nil {
			t.Fatal(err)
		}
		signal = 0
		switch {
		case status.Exited() || status.Signaled():
			if thread != process {
				continue
			}
			if !killed && status.ExitStatus() != 0 {
				t.Fatalf("%v: %s", status, output.String())
			}
			return calls, killed
		case status.StopSignal() == syscall.SIGTRAP|0x80:
			var info syscallInfo
			size := unsafe.Sizeof(info)
			if _, _, err := syscall.Syscall6(syscall.SYS_PTRACE, ptraceGetSyscallInfo, uintptr(thread), size,
				uintptr(unsafe.Pointer(&info)), 0, 0); err != 0 {
				t.Fatal(err)
			}
			if info.op != syscallEntry {
				continue
			}
			locked = locked || info.number == syscall.SYS_FLOCK // the first thing that is done in the directory
			if !locked || !slices.Contains(writing, info.number) {
				continue
			}
			if len(calls) == killAt {
				killed = true
				if err := syscall.Kill(process, syscall.SIGKILL); err != nil {
					t.Fatal(err)
				}
				continue
			}
			calls = append(calls, info.number)
		case status.StopSignal() != syscall.SIGTRAP && status.StopSignal() != syscall.SIGSTOP:
			signal = int(status.StopSignal())
		}
	}
}

func TestALogsKeyIsReplacedWithAnOverlap(t *testing.T) {
	dir := t.TempDir()
	first := load(t, dir)
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	signed := func(k logkeys.Keys) []byte {
		t.Helper()
		note, err := merkle.Sign(merkle.Checkpoint{Origin: origin, Tree: merkle.EmptyTree()}, k.Signers...)
		must(err)
		return note
	}
	accepts := func(k logkeys.Keys, note []byte) bool {
		t.Helper()
		p, err := k.Policy()
		must(err)
		_, err = p.Open(note)
		return err == nil
	}
	if err := logkeys.Finish(dir); err == nil {
		t.Error("a change was finished that never began")
	}
	must(logkeys.Rotate(dir))
	overlap := load(t, dir)
	if len(overlap.Signers) != 2 || overlap.Verifiers[1] != first.Verifiers[0] ||
		overlap.Verifiers[0] == first.Verifiers[0] {
		t.Fatalf("during the change: %v", overlap.Verifiers)
	}
	if err := logkeys.Rotate(dir); err == nil {
		t.Error("a second change began before the first was finished")
	}
	must(logkeys.Finish(dir))
	after := load(t, dir)
	if len(after.Signers) != 1 || len(after.Verifiers) != 2 || after.Verifiers[0] != overlap.Verifiers[0] {
		t.Fatalf("after the change: %d sign, %v verify", len(after.Signers), after.Verifiers)
	}
	if strings.Count(files(t, dir)[logkeys.SigningKeyFile], "PRIVATE") != 1 {
		t.Error("the former key is still there")
	}
	if got := files(t, dir)[logkeys.PublicKeyFile]; got != strings.Join(after.Verifiers, "\n")+"\n" {
		t.Errorf("published: %q", got)
	}
	for _, c := range []struct {
		name   string
		by     logkeys.Keys
		signed []byte
		want   bool
	}{
		{"whoever pins the old key, during the change", first, signed(overlap), true},
		{"whoever pins the old key, after it", first, signed(after), false},
		{"whoever has both, what the old one signed", after, signed(first), true},
	} {
		if got := accepts(c.by, c.signed); got != c.want {
			t.Errorf("%s: %t, want %t", c.name, got, c.want)
		}
	}
}
