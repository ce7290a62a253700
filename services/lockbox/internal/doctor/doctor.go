// Package doctor checks an installation of Lockbox: its files, its machine, the bus with its streams and keys, what the
// services work off, and who can approve. Each check says what it found and what cures it. Nothing is changed by
// looking, except that the checks before installing write a file and remove it.
//
// A check that could not be made is never well: it is unknown, with the reason. What has nothing to be checked, or was
// not asked for, was not checked, and says why.
package doctor

import (
	"context"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/openlockbox/lockbox/pkg/bus"
	"github.com/openlockbox/lockbox/pkg/lease"
	"github.com/openlockbox/lockbox/services/lockbox/internal/cli/render"
	"github.com/openlockbox/lockbox/services/lockbox/internal/up/runinfo"
)

// Options say what is examined. What they do not name is not checked.
type Options struct {
	// Services are the configurations of services.
	Services []Service
	// URL and CA reach the bus. Keys is a directory of keys, each of which is tried; those of Services are too.
	URL, CA, Keys string
	// Data is the data directory of `lockbox up`; Running says how to reach it, nil: it does not run.
	Data    string
	Running *runinfo.Info
	// Stores are directories of streams.
	Stores []string
	// Replicas is how many copies of each stream there have to be; 0: as many as there are.
	Replicas int
	// Listen are addresses that have to be free, Health those where services say whether they are ready.
	Listen, Health []string
	// Before examines what can be known before anything is installed or runs, and nothing else.
	Before bool
	// Thorough tries everything with each key. The bus logs each refusal.
	Thorough bool
	// Now is the machine's clock.
	Now func() time.Time
	// Step is called with the name of each check before it is made; nil: nobody is told.
	Step func(check string)
}

// exam is one examination.
type exam struct {
	Options
	conns *connections
	// disk says how full the file system of a path is.
	disk func(path string) (space, error)
	// synchronised reports whether the machine's clock is kept by others.
	synchronised func() (bool, error)
	// moving is how long is waited to see whether a consumer's work goes on, hearing how long for a lease.
	moving, hearing time.Duration
}

// check is a row of the table of checks.
type check struct {
	group, id, name string
	// see is the section of the manual that says more.
	see string
	// before and while say whether it is made before installing and while Lockbox runs.
	before, while bool
	run           func(context.Context) []render.Finding
}

// The groups.
const (
	files        = "Files"
	machine      = "This machine"
	certificates = "Certificates"
	others       = "Other servers"
	onTheBus     = "Bus"
	work         = "Work"
	people       = "Approvers"
)

const manual = "deploy/README.md#"

// Sections of the manual.
const (
	seeBus     = manual + "the-bus"
	seeConfig  = manual + "configuration"
	seeIssuers = manual + "issuers-and-their-keys"
	seeErasing = manual + "erasing"
	seeWrong   = manual + "when-things-go-wrong"
	seeWell    = manual + "is-it-all-right"
	seeTrust   = manual + "whom-to-trust-with-what"
	seeTLS     = manual + "tls-for-people"
)

// patience is how long another machine may take to answer.
const patience = 15 * time.Second

func (e *exam) checks() []check {
	return []check{
		{files, "configuration", "Configuration", seeConfig, true, true, e.configuration},
		{files, "secrets", "Secrets", seeBus, true, true, e.secrets},
		{files, "keys", "Keys", seeBus, true, true, e.completeness},
		{machine, "disk", "Disk space", seeWell, true, true, e.space},
		{machine, "filesystem", "File system", seeWell, true, true, e.filesystem},
		{machine, "sync", "Writing", seeWell, true, false, e.sync},
		{machine, "clock-source", "Clock source", seeWell, true, false, e.clockSource},
		{machine, "ports", "Ports", seeConfig, true, false, e.ports},
		{machine, "names", "Names", seeConfig, true, true, e.names},
		{certificates, "certificates", "Bus", seeBus, true, true, e.busCertificates},
		{certificates, "writers", "Writers", seeBus, true, true, e.writerCertificates},
		{certificates, "https", "Web servers", seeTLS, true, true, e.webCertificates},
		{others, "issuers", "Issuers", seeIssuers, true, true, e.issuers},
		{others, "issuer-cache", "Kept keys", seeIssuers, false, true, e.keptKeys},
		{others, "mail", "Mail", seeConfig, true, true, e.mail},
		{others, "services", "Services", seeConfig, false, true, e.services},
		{others, "versions", "Versions", seeWell, false, true, e.versions},
		{onTheBus, "reach", "Connection", seeBus, false, true, e.reach},
		{onTheBus, "rights", "Key rights", seeBus, false, true, e.rights},
		{onTheBus, "streams", "Streams", seeBus, false, true, e.streams},
		{onTheBus, "replicas", "Replicas", seeBus, false, true, e.replicas},
		{onTheBus, "consumers", "Consumers", seeBus, false, true, e.consumers},
		{onTheBus, "clock", "Clock", seeWell, false, true, e.clock},
		{work, "lease", "Lease", seeWrong, false, true, e.lease},
		{work, "checkpoint", "Checkpoint", seeWrong, false, true, e.checkpoint},
		{work, "witnesses", "Witnesses", seeTrust, false, true, e.witnesses},
		{work, "lag", "Waiting work", seeWell, false, true, e.lag},
		{work, "deadlines", "Deadlines", seeWell, false, true, e.deadlines},
		{work, "dead-letters", "Dead letters", seeWrong, false, true, e.deadLetters},
		{work, "key-store", "Key store", seeErasing, false, true, e.keyStore},
		{work, "backup", "Backups", "", false, true, e.backups},
		{people, "groups", "Your groups", seeConfig, true, true, e.groups},
		{people, "customers", "Customers", seeWrong, false, true, e.customers},
	}
}

// Run makes all checks, and adds them to a checkup.
func Run(ctx context.Context, o Options, into *render.Checkup) {
	newExam(o).run(ctx, into)
}

func newExam(o Options) *exam {
	return &exam{Options: o, disk: spaceOf, synchronised: clockIsKept, moving: 5 * time.Second, hearing: lease.Lifetime}
}

func (e *exam) run(ctx context.Context, into *render.Checkup) {
	e.conns = newConnections(e.Options)
	defer e.conns.close()
	for _, c := range e.checks() {
		if e.Before && !c.before || !e.Before && !c.while {
			continue
		}
		if e.Step != nil {
			e.Step(c.name)
		}
		into.Add(c.group, render.Check{ID: c.id, Name: c.name, Findings: c.run(ctx), See: c.see})
	}
}

func well(says string, args ...any) render.Finding {
	return render.Finding{State: render.OK, Says: fmt.Sprintf(says, args...)}
}

func skipped(says string, args ...any) render.Finding {
	return render.Finding{State: render.NotChecked, Says: fmt.Sprintf(says, args...)}
}

func mind(cure, says string, args ...any) render.Finding {
	return render.Finding{State: render.Warning, Says: fmt.Sprintf(says, args...), Cure: cure}
}

func unknown(cure, says string, args ...any) render.Finding {
	return render.Finding{State: render.Unknown, Says: fmt.Sprintf(says, args...), Cure: cure}
}

func failed(cure, says string, args ...any) render.Finding {
	return render.Finding{State: render.Failed, Says: fmt.Sprintf(says, args...), Cure: cure}
}

// or returns what was found, or else that all is well.
func or(found []render.Finding, otherwise render.Finding) []render.Finding {
	if len(found) == 0 {
		return []render.Finding{otherwise}
	}
	return found
}

func one(f render.Finding) []render.Finding { return []render.Finding{f} }

// count is a number with its noun, whose plural is irregular if there is one.
func count(n int, noun string, plural ...string) string {
	switch {
	case n == 1:
		return "1 " + noun
	case len(plural) > 0:
		return fmt.Sprintf("%d %s", n, plural[0])
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

// span is a length of time for people.
func span(d time.Duration) string {
	const day = 24 * time.Hour
	switch d = d.Abs(); {
	case d >= 2*day:
		return fmt.Sprintf("%d days", d/day)
	case d >= 2*time.Hour:
		return fmt.Sprintf("%d hours", d/time.Hour)
	case d >= 2*time.Minute:
		return fmt.Sprintf("%d minutes", d/time.Minute)
	case d >= time.Second:
		return d.Round(100 * time.Millisecond).String()
	}
	return d.Round(10 * time.Microsecond).String()
}

func shut(c io.Closer) { _ = c.Close() } // what was read is read

// operators are the identities whose keys an operator has, and nobody else.
func operators(id bus.Identity) bool {
	return id.Account() != bus.Client.Account()
}

// Operates reports whether a directory holds keys that only an operator has.
func Operates(keys string) bool {
	return slices.ContainsFunc(keysIn(keys), func(k Key) bool { return operators(k.Identity) })
}

// Asks reports whether a directory holds a key of a command line.
func Asks(keys string) bool {
	return slices.ContainsFunc(keysIn(keys), func(k Key) bool { return k.Identity.Of() == bus.Client })
}
