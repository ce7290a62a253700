package doctor

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/openlockbox/lockbox/services/lockbox/internal/cli/render"
)

const (
	// leastRoom and leastShare are how much of a disk has to be free.
	leastRoom  = 1 << 30
	leastShare = 5 // per cent
	// soonShare is when to see to it.
	soonShare = 10 // per cent
)

// space is how full a file system is, and of which kind.
type space struct {
	free, total uint64
	kind        kind
}

// kind is a kind of file system, as far as it matters.
type kind struct {
	name string
	// fit says whether what is written there is there after a power failure.
	fit fitness
}

type fitness int

const (
	fits fitness = iota
	doubtful
	unfit
)

// directories are those that Lockbox writes to and that are on this machine. Before installing, one that is not there
// yet stands for the nearest above it.
func (e *exam) directories() (dirs []string) {
	all := append(slices.Clone(e.Stores), e.Data)
	for _, s := range e.Services {
		all = append(all, s.Dirs...)
	}
	for _, dir := range all {
		for e.Before && dir != "" && !exists(dir) && filepath.Dir(dir) != dir {
			dir = filepath.Dir(dir)
		}
		if dir != "" && exists(dir) && !slices.Contains(dirs, dir) {
			dirs = append(dirs, dir)
		}
	}
	return dirs
}

const noDirectory = "no directory was named with --data, --store or --config"

func (e *exam) space(context.Context) (found []render.Finding) {
	dirs := e.directories()
	if len(dirs) == 0 {
		return one(skipped(noDirectory))
	}
	const cure = "make room there or give it a larger disk: when it is full, nothing can be decided or recorded"
	for _, dir := range dirs {
		s, err := e.disk(dir)
		if err != nil || s.total == 0 {
			found = append(found, unknown("look with df", "%s: nobody says how full it is (%v)", dir, err))
			continue
		}
		share := 100 * float64(s.free) / float64(s.total)
		says := fmt.Sprintf("%s: %.1f GB are free, %.0f %%", dir, float64(s.free)/(1<<30), share)
		switch {
		case s.free < leastRoom || share < leastShare:
			found = append(found, failed(cure, "%s; at least 1 GB and %d %% have to be", says, leastShare))
		case share < soonShare:
			found = append(found, mind(cure, "%s", says))
		default:
			found = append(found, well("%s", says))
		}
	}
	return found
}

func (e *exam) filesystem(context.Context) (found []render.Finding) {
	dirs := e.directories()
	if len(dirs) == 0 {
		return one(skipped(noDirectory))
	}
	for _, dir := range dirs {
		s, err := e.disk(dir)
		switch {
		case err != nil:
			found = append(found, unknown("look with df -T", "%s: %v", dir, err))
		case s.kind.fit == unfit:
			found = append(found, failed("use a disk of this machine (ext4 or XFS)",
				"%s lies on %s: what was acknowledged can be lost there", dir, s.kind.name))
		case s.kind.fit == doubtful:
			found = append(found, mind("use a disk or a volume of this machine (ext4 or XFS)",
				"%s lies on %s: nobody knows whether what was acknowledged outlives it", dir, s.kind.name))
		default:
			found = append(found, well("%s lies on %s", dir, s.kind.name))
		}
	}
	return found
}

const (
	// syncs is how often is written and synced to see how long that takes; tooFast is less than any disk needs, tooSlow
	// what people would notice.
	syncs   = 32
	tooFast = 30 * time.Microsecond
	tooSlow = 50 * time.Millisecond
)

// sync writes a file and removes it. A disk that says sooner than it can that data is safe does not tell the truth; one
// that takes the time may still not.
func (e *exam) sync(context.Context) (found []render.Finding) {
	dirs := e.directories()
	if len(dirs) == 0 {
		return one(skipped(noDirectory))
	}
	for _, dir := range dirs {
		took, err := syncing(dir)
		switch {
		case errors.Is(err, os.ErrPermission):
			found = append(found, unknown("run this as the user that Lockbox will be", "%v", err))
		case err != nil:
			found = append(found, failed("look at the disk and at the kernel's log", "%v", err))
		case took < tooFast:
			found = append(found, mind("use a disk that waits until data is safe: no write cache without a battery",
				"%s: data is said to be safe after %v, which is sooner than any disk can", dir, took))
		case took > tooSlow:
			found = append(found, mind("use a local SSD: every decision waits for this",
				"%s: it takes %v until data is safe", dir, took.Round(time.Millisecond)))
		default:
			found = append(found, well("%s: data is safe after %v", dir, took.Round(time.Microsecond)))
		}
	}
	return found
}

// syncing returns the median time of writing and syncing 4 KiB.
func syncing(dir string) (took time.Duration, err error) {
	f, err := os.CreateTemp(dir, ".lockbox-doctor-*")
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, f.Close(), os.Remove(f.Name())) }()
	times, block := make([]time.Duration, syncs), make([]byte, 4096)
	for i := range times {
		began := time.Now()
		if _, err := f.Write(block); err != nil {
			return 0, err
		}
		if err := f.Sync(); err != nil {
			return 0, err
		}
		times[i] = time.Since(began)
	}
	slices.Sort(times)
	return times[len(times)/2], nil
}

func (e *exam) clockSource(context.Context) []render.Finding {
	kept, err := e.synchronised()
	switch {
	case err != nil:
		return one(unknown("see that chrony or systemd-timesyncd runs", "nobody says whether the clock is kept: %v", err))
	case !kept:
		return one(mind("run chrony or systemd-timesyncd: a service that is 2 s off refuses to decide",
			"this machine's clock is not kept by a time server"))
	}
	return one(well("this machine's clock is kept by a time server"))
}

func (e *exam) ports(ctx context.Context) (found []render.Finding) {
	addresses := slices.Clone(e.Listen)
	for _, s := range e.Services {
		addresses = append(addresses, s.Listen...)
	}
	if len(addresses) == 0 {
		return one(skipped("no address was named with --listen or --config"))
	}
	// In containers of their own, several services have the same.
	slices.Sort(addresses)
	addresses = slices.Compact(addresses)
	for _, a := range addresses {
		l, err := new(net.ListenConfig).Listen(ctx, "tcp", a)
		switch {
		case err == nil:
			shut(l)
		case errors.Is(err, syscall.EADDRINUSE):
			found = append(found, failed("end what listens there, or choose another port", "%s is taken", a))
		case errors.Is(err, syscall.EADDRNOTAVAIL):
			found = append(found, failed("name an address of this machine, or 0.0.0.0 for all of them",
				"%s is no address of this machine", a))
		case errors.Is(err, syscall.EACCES):
			found = append(found, failed("choose a port above 1023, or permit the service this one",
				"%s may not be used by this user", a))
		default:
			found = append(found, failed("correct the address", "%s: %v", a, err))
		}
	}
	return or(found, well("%s, all free", count(len(addresses), "address", "addresses")))
}

// names looks whether the names of other machines are known here.
func (e *exam) names(ctx context.Context) (found []render.Finding) {
	var hosts []string
	add := func(host string) {
		if _, err := netip.ParseAddr(host); host != "" && err != nil && !slices.Contains(hosts, host) {
			hosts = append(hosts, host)
		}
	}
	urls := strings.Split(e.URL, ",")
	for _, s := range e.Services {
		if s.Mail != nil {
			add(s.Mail.SMTP.Host)
		}
		for _, iss := range s.Issuers {
			if iss.JWKSFile == "" {
				urls = append(urls, iss.URL, iss.JWKSURL)
			}
		}
		urls = slices.Concat(urls, strings.Split(s.Key.URL, ","), s.Web)
	}
	for _, address := range urls {
		if u, err := url.Parse(address); err == nil {
			add(u.Hostname())
		}
	}
	if len(hosts) == 0 {
		return one(skipped("no other machine is named"))
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for _, host := range hosts {
		if _, err := net.DefaultResolver.LookupHost(ctx, host); err != nil {
			found = append(found, failed("correct the name, or have DNS know it on this machine",
				"%s is not known here: %v", host, err))
		}
	}
	return or(found, well("%s, all known here", count(len(hosts), "name")))
}
