package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// patience is how long the server may take to start or to stop.
const patience = time.Minute

// cluster is a private PostgreSQL server in a temporary directory. It listens on a socket that only its own user, and
// root, can reach.
type cluster struct {
	dir    string
	server *exec.Cmd
	said   *bytes.Buffer
	ended  chan error
}

const missing = "PostgreSQL is not installed, which the bench starts for itself; " +
	"as root: apt-get install --no-install-recommends postgresql"

// programs returns the directory of the newest PostgreSQL, as Debian installs it, or of the one in PATH.
func programs() (string, error) {
	found, err := filepath.Glob("/usr/lib/postgresql/*/bin/initdb")
	if err != nil {
		return "", err
	}
	if len(found) > 0 {
		version := func(path string) int {
			n, _ := strconv.Atoi(filepath.Base(filepath.Dir(filepath.Dir(path))))
			return n
		}
		return filepath.Dir(slices.MaxFunc(found, func(a, b string) int { return version(a) - version(b) })), nil
	}
	initdb, err := exec.LookPath("initdb")
	if err != nil {
		return "", errors.New(missing)
	}
	return filepath.Dir(initdb), nil
}

// unprivileged returns the user as whom the server runs if this is root, as whom PostgreSQL refuses to run.
func unprivileged() (*syscall.Credential, error) {
	if os.Getuid() != 0 {
		return nil, nil
	}
	u, err := user.Lookup("postgres")
	if err != nil {
		return nil, fmt.Errorf("PostgreSQL does not run as root, and there is no other user for it: %w", err)
	}
	uid, err := strconv.ParseUint(u.Uid, 10, 32)
	if err != nil {
		return nil, err
	}
	gid, err := strconv.ParseUint(u.Gid, 10, 32)
	return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, err
}

func startCluster(ctx context.Context, parent string) (_ *cluster, err error) {
	bin, err := programs()
	if err != nil {
		return nil, err
	}
	as, err := unprivileged()
	if err != nil {
		return nil, err
	}
	c := &cluster{said: new(bytes.Buffer), ended: make(chan error, 1)}
	if c.dir, err = os.MkdirTemp(parent, "lockbox-peers-"); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.RemoveAll(c.dir))
		}
	}()
	if as != nil {
		if err := os.Chown(c.dir, int(as.Uid), int(as.Gid)); err != nil {
			return nil, err
		}
	}
	command := func(name string, args ...string) *exec.Cmd {
		cmd := exec.CommandContext(ctx, filepath.Join(bin, name), args...) // #nosec G204 -- one of PostgreSQL's own
		cmd.Dir = c.dir
		// It does not outlive this program, whatever happens.
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: as, Pdeathsig: syscall.SIGINT}
		// A fast shutdown: sessions are ended, and everything is on disk.
		cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGINT) }
		return cmd
	}
	made, err := command("initdb", "-D", "data", "-U", superuser, "-A", "trust", "-E", "UTF8",
		"--no-locale").CombinedOutput()
	if err != nil {
		return nil, fmt.Errorf("initdb in %s: %w\n%s", c.dir, err, made)
	}
	// Everything else is as it is shipped.
	c.server = command("postgres", "-D", "data", "-k", c.dir, "-c", "listen_addresses=", "-c", "synchronous_commit=on",
		"-c", "fsync=on", "-c", "max_connections=300")
	c.server.Stdout, c.server.Stderr = c.said, c.said
	if err := c.server.Start(); err != nil {
		return nil, err
	}
	go func() { c.ended <- c.server.Wait() }()
	return c, nil
}

// superuser creates the tables; application is what the peers are, and may not change what is in the audit table.
const superuser, application = "postgres", "application"

// address is how to connect as a user.
func (c *cluster) address(as string) string {
	return fmt.Sprintf("host=%s user=%s dbname=postgres", c.dir, as)
}

// stop ends the server and removes its files.
func (c *cluster) stop() error {
	_ = c.server.Process.Signal(syscall.SIGINT) // it may have ended
	var err error
	select {
	case err = <-c.ended:
	case <-time.After(patience):
		err = errors.Join(errors.New("the server does not stop"), c.server.Process.Kill())
	}
	if err != nil {
		err = fmt.Errorf("the server: %w\n%s", err, c.said)
	}
	return errors.Join(err, os.RemoveAll(c.dir))
}

// cpu returns the CPU time so far of this process and of the server with all of its processes, ended ones included.
func (c *cluster) cpu() (time.Duration, error) {
	var self syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &self); err != nil {
		return 0, err
	}
	total := time.Duration(self.Utime.Nano() + self.Stime.Nano())
	main := strconv.Itoa(c.server.Process.Pid)
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return 0, err
	}
	for _, file := range stats {
		text, err := os.ReadFile(file) // #nosec G304 -- one of the kernel's
		if err != nil {
			continue // it has ended
		}
		// The name, in brackets, may hold anything; after it come state and parent (proc(5)).
		fields := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:]))
		pid := filepath.Base(filepath.Dir(file))
		if len(fields) < 15 || pid != main && fields[1] != main {
			continue
		}
		used := fields[11:13] // user, system
		if pid == main {
			used = fields[11:15] // and of the children that have ended
		}
		for _, ticks := range used {
			n, err := strconv.ParseInt(ticks, 10, 64)
			if err != nil {
				return 0, err
			}
			total += time.Duration(n) * tick
		}
	}
	return total, nil
}

// tick is the kernel's unit of CPU time for programs (USER_HZ).
const tick = 10 * time.Millisecond
