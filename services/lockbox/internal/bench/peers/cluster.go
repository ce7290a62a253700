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

	"github.com/jackc/pgx/v5"
)

// patience is how long the server may take to start or to stop.
const patience = time.Minute

// cluster is a private PostgreSQL server in a temporary directory. It listens on a socket that only its own user, and
// root, can reach.
type cluster struct {
	dir     string
	command func(name string, args ...string) *exec.Cmd
	// servers are the one that is asked and its standbys.
	servers []*postgres
}

// postgres is a server that runs.
type postgres struct {
	cmd   *exec.Cmd
	said  *bytes.Buffer
	ended chan error
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
	c := &cluster{}
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
	c.command = func(name string, args ...string) *exec.Cmd {
		cmd := exec.CommandContext(ctx, filepath.Join(bin, name), args...) // #nosec G204 -- one of PostgreSQL's own
		cmd.Dir = c.dir
		// It does not outlive this program, whatever happens.
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: as, Pdeathsig: syscall.SIGINT}
		// A fast shutdown: sessions are ended, and everything is on disk.
		cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGINT) }
		return cmd
	}
	if err := c.run("initdb", "-D", "data", "-U", superuser, "-A", "trust", "-E", "UTF8", "--no-locale"); err != nil {
		return nil, err
	}
	return c, c.start("data", firstPort)
}

// firstPort is the server's, and names its socket; each standby has the next one.
const firstPort = 5432

// start starts a server on a data directory.
func (c *cluster) start(data string, port int) error {
	p := &postgres{said: new(bytes.Buffer), ended: make(chan error, 1)}
	// Everything else is as it is shipped.
	p.cmd = c.command("postgres", "-D", data, "-k", c.dir, "-p", strconv.Itoa(port), "-c", "listen_addresses=",
		"-c", "synchronous_commit=on", "-c", "fsync=on", "-c", "max_connections=300")
	p.cmd.Stdout, p.cmd.Stderr = p.said, p.said
	if err := p.cmd.Start(); err != nil {
		return err
	}
	go func() { p.ended <- p.cmd.Wait() }()
	c.servers = append(c.servers, p)
	return nil
}

func (c *cluster) run(name string, args ...string) error {
	said, err := c.command(name, args...).CombinedOutput()
	if err != nil {
		err = fmt.Errorf("%s in %s: %w\n%s", name, c.dir, err, said)
	}
	return err
}

// replicate has the server wait for standbys, which it starts: names is a synchronous_standby_names such as "2 (a,b)".
func (c *cluster) replicate(ctx context.Context, admin *pgx.Conn, names string) error {
	_, list, _ := strings.Cut(strings.TrimSuffix(names, ")"), "(")
	all := strings.Split(list, ",")
	for i, name := range all {
		// With -R it follows the server under its application_name.
		from := c.address(superuser) + " application_name=" + name
		if err := c.run("pg_basebackup", "-D", name, "-R", "-c", "fast", "-d", from); err != nil {
			return err
		}
		if err := c.start(name, firstPort+1+i); err != nil {
			return err
		}
	}
	for _, sql := range []string{
		"alter system set synchronous_standby_names = '" + names + "'", "select pg_reload_conf()",
	} {
		if _, err := admin.Exec(ctx, sql); err != nil {
			return err
		}
	}
	for deadline := time.Now().Add(patience); ; time.Sleep(20 * time.Millisecond) {
		synchronous := 0
		err := admin.QueryRow(ctx, "select count(*) from pg_stat_replication where sync_state in ('sync', 'quorum')").
			Scan(&synchronous)
		if err != nil || synchronous == len(all) {
			return err
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("%d of %d standbys follow\n%s", synchronous, len(all), c.servers[len(c.servers)-1].said)
		}
	}
}

// superuser creates the tables; application is what the peers are, and may not change what is in the audit table.
const superuser, application = "postgres", "application"

// address is how to connect as a user.
func (c *cluster) address(as string) string {
	return fmt.Sprintf("host=%s user=%s dbname=postgres", c.dir, as)
}

// stop ends the servers, the one that is asked first, and removes their files.
func (c *cluster) stop() (err error) {
	for _, p := range c.servers {
		err = errors.Join(err, p.stop())
	}
	return errors.Join(err, os.RemoveAll(c.dir))
}

func (p *postgres) stop() (err error) {
	_ = p.cmd.Process.Signal(syscall.SIGINT) // it may have ended
	select {
	case err = <-p.ended:
	case <-time.After(patience):
		err = errors.Join(errors.New("the server does not stop"), p.cmd.Process.Kill())
	}
	if err != nil {
		err = fmt.Errorf("the server: %w\n%s", err, p.said)
	}
	return err
}

// cpu returns the CPU time so far of this process and of the servers with all of their processes, ended ones included.
func (c *cluster) cpu() (time.Duration, error) {
	var self syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &self); err != nil {
		return 0, err
	}
	total := time.Duration(self.Utime.Nano() + self.Stime.Nano())
	main := map[string]bool{}
	for _, p := range c.servers {
		main[strconv.Itoa(p.cmd.Process.Pid)] = true
	}
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
		if len(fields) < 15 || !main[pid] && !main[fields[1]] {
			continue
		}
		used := fields[11:13] // user, system
		if main[pid] {
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
