package bench

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/openlockbox/lockbox/pkg/durable"
)

// usage is the resource usage so far, of this process and possibly others.
type usage struct {
	cpu time.Duration
	// written is the number of bytes that this process sent to disk, as counted by the kernel in pages; stored is the
	// total size of the store's files.
	written, stored int64
}

// cpuTime returns the CPU time of this process, user and system.
func cpuTime() (time.Duration, error) {
	var self syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &self); err != nil {
		return 0, fmt.Errorf("getrusage: %w", err)
	}
	return time.Duration(self.Utime.Nano() + self.Stime.Nano()), nil
}

// tick is the kernel's unit of CPU time for programs (USER_HZ).
const tick = 10 * time.Millisecond

// cpu returns the CPU time of a child process so far.
func (o *childProcess) cpu() (total time.Duration, err error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", o.process.Pid)) // #nosec G304 -- one of the kernel's
	if err != nil {
		return 0, err
	}
	// The name, in brackets, may hold anything; user and system time are the 14th and 15th field (proc(5)).
	fields := strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:]))
	if len(fields) < 13 {
		return 0, fmt.Errorf("the kernel says %q of a process", text)
	}
	for _, ticks := range fields[11:13] {
		n, err := strconv.ParseInt(ticks, 10, 64)
		if err != nil {
			return 0, err
		}
		total += time.Duration(n) * tick
	}
	return total, nil
}

func readUsage(store string) (u usage, err error) {
	if u.cpu, err = cpuTime(); err != nil {
		return u, err
	}
	if u.written, err = procField("/proc/self/io", "write_bytes"); err != nil {
		return u, err
	}
	u.stored, err = dirSize(store)
	return u, err
}

// usage is that of this process and of the processes of the site's servers.
func (s *site) usage() (usage, error) {
	u, err := readUsage(s.dir)
	for _, o := range s.servers {
		used, err := o.cpu()
		if err != nil {
			return u, err
		}
		u.cpu += used
	}
	return u, err
}

func (u usage) since(before usage) usage {
	return usage{u.cpu - before.cpu, u.written - before.written, u.stored - before.stored}
}

// memory returns this process's resident memory in bytes.
func memory() (int64, error) {
	resident, err := procField("/proc/self/status", "VmRSS")
	return resident << 10, err
}

// procField reads a number from a file of "name: number [unit]" lines.
func procField(file, name string) (int64, error) {
	text, err := os.ReadFile(file) // #nosec G304 -- one of the kernel's
	if err != nil {
		return 0, err
	}
	return field(string(text), name)
}

func field(text, name string) (int64, error) {
	for line := range strings.Lines(text) {
		if rest, found := strings.CutPrefix(line, name+":"); found {
			number, _, _ := strings.Cut(strings.TrimSpace(rest), " ")
			return strconv.ParseInt(number, 10, 64)
		}
	}
	return 0, fmt.Errorf("there is no %s", name)
}

// dirSize returns the total size of all files in bytes. Files that disappear meanwhile are ignored.
func dirSize(dir string) (int64, error) {
	var size int64
	err := filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			var info fs.FileInfo
			if info, err = d.Info(); err == nil {
				size += info.Size()
			}
		}
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return err
	})
	return size, err
}

// checkDisk rejects a directory in memory.
func checkDisk(dir string) error {
	space, err := durable.SpaceIn(dir)
	if err == nil && space.InMemory {
		err = fmt.Errorf("%s is in memory (tmpfs), where a sync costs nothing: name a directory on a disk with --dir", dir)
	}
	return err
}

// load returns the one-minute load average.
func load() (float64, error) {
	text, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return 0, err
	}
	first, _, _ := strings.Cut(string(text), " ")
	return strconv.ParseFloat(first, 64)
}
