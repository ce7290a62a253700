package doctor

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/openlockbox/lockbox/pkg/bus"
	"github.com/openlockbox/lockbox/pkg/journal/journaltest"
	"github.com/openlockbox/lockbox/pkg/keystore"
	"github.com/openlockbox/lockbox/pkg/sealed"
	"github.com/openlockbox/lockbox/services/audit-projector/logkeys"
	"github.com/openlockbox/lockbox/services/lockbox/internal/cli/render"
)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func write(t testing.TB, path, text string, mode os.FileMode) string {
	t.Helper()
	must(t, os.WriteFile(path, []byte(text), mode))
	must(t, os.Chmod(path, mode))
	return path
}

// patient is an exam that does not wait for what will not come.
func patient(o Options) *exam {
	if o.Now == nil {
		o.Now = time.Now
	}
	e := newExam(o)
	e.moving, e.hearing = 50*time.Millisecond, 50*time.Millisecond
	return e
}

// onBus is an exam of a real bus, with all its keys in a directory.
func onBus(t *testing.T, b *journaltest.Bus) *exam {
	t.Helper()
	return patient(Options{URL: b.URL(), Keys: keysOf(t, b.Keys)})
}

func keysOf(t *testing.T, keys bus.Keys) string {
	t.Helper()
	dir := t.TempDir()
	must(t, os.Chmod(dir, 0o700)) // #nosec G302 -- a directory
	public, err := keys.Public()
	must(t, err)
	for id, seed := range keys {
		write(t, filepath.Join(dir, bus.SeedFile(id)), string(seed), 0o600)
		write(t, filepath.Join(dir, bus.PublicKeyFile(id)), public[id]+"\n", 0o644)
	}
	_, err = logkeys.LoadOrCreate(dir, "lockbox.localhost/log")
	must(t, err)
	must(t, sealed.LoadOrCreate(dir, webhookKeys))
	_, err = keystore.LoadOrCreate(dir)
	must(t, err)
	return dir
}

// examined makes all checks, and returns them by their ids.
func (e *exam) examined(t *testing.T) map[string]render.Check {
	t.Helper()
	var all render.Checkup
	e.run(t.Context(), &all)
	found := map[string]render.Check{}
	for _, g := range all.Groups {
		for _, c := range g.Checks {
			found[c.ID] = c
		}
	}
	return found
}

// expects looks for a finding of a check, and that it says what cures it unless all is well.
func expects(t *testing.T, c render.Check, state render.State, says string) {
	t.Helper()
	for _, f := range c.Findings {
		if f.State == state && regexp.MustCompile(says).MatchString(f.Says) {
			if f.Cure == "" && (state == render.Failed || state == render.Warning) {
				t.Errorf("%s: nothing cures %q", c.ID, f.Says)
			}
			return
		}
	}
	t.Errorf("%s: no %s that says %q: %+v", c.ID, state, says, c.Findings)
}

// cured is expects with what the cure says.
func cured(t *testing.T, c render.Check, state render.State, says, cure string) {
	t.Helper()
	expects(t, c, state, says)
	for _, f := range c.Findings {
		if f.State == state && strings.Contains(f.Cure, cure) {
			return
		}
	}
	t.Errorf("%s: no cure says %q: %+v", c.ID, cure, c.Findings)
}

// A check that could not be made is never well.
func TestWithoutAnythingNothingIsWell(t *testing.T) {
	t.Parallel()
	for id, c := range patient(Options{}).examined(t) {
		if c.State != render.NotChecked {
			t.Errorf("%s is %s: %+v", id, c.State, c.Findings)
		}
	}
}

func TestABusThatIsAwayIsNotWell(t *testing.T) {
	t.Parallel()
	keys, err := bus.GenerateKeys()
	must(t, err)
	e := patient(Options{URL: "nats://127.0.0.1:1", Keys: keysOf(t, keys)})
	found := e.examined(t)
	cured(t, found["reach"], render.Failed, "127.0.0.1:1|no servers|refused", "lockbox nats")
	for _, id := range []string{"rights", "streams", "replicas", "consumers", "clock", "lease", "checkpoint", "lag",
		"deadlines", "dead-letters", "customers"} {
		expects(t, found[id], render.Unknown, "was not reached")
	}
	data := t.TempDir()
	e = patient(Options{Data: data, Keys: filepath.Join(data, "keys")})
	found = e.examined(t)
	cured(t, found["reach"], render.Failed, "nothing runs", "lockbox up --data "+data)
	expects(t, found["lease"], render.Unknown, "was not reached")
}

func TestWithoutTheKeyThatItTakesNothingIsKnown(t *testing.T) {
	t.Parallel()
	b := journaltest.Start(t, 1)
	e := onBus(t, b)
	for _, id := range []bus.Identity{bus.Provisioner, bus.Orchestrator} {
		must(t, os.Remove(filepath.Join(e.Keys, bus.SeedFile(id))))
	}
	found := e.examined(t)
	expects(t, found["reach"], render.OK, "answers in")
	expects(t, found["rights"], render.OK, "none can do more")
	for id, key := range map[string]string{"streams": "provisioner.nk", "lag": "provisioner.nk",
		"lease": "lockbox-orchestrator.nk"} {
		expects(t, found[id], render.Unknown, key)
	}
	for _, id := range []bus.Identity{bus.Compliance, bus.Notifier, bus.Evaluator, bus.Projector} {
		must(t, os.Remove(filepath.Join(e.Keys, bus.SeedFile(id))))
	}
	found = e.examined(t)
	expects(t, found["checkpoint"], render.Unknown, "compliance.nk or notifier.nk")
	expects(t, found["customers"], render.Unknown, "compliance.nk or notifier.nk")
	expects(t, found["clock"], render.Unknown, "it takes provisioner.nk")
}

// Everybody who is told to read on finds the place.
func TestEveryCheckLeadsToASectionOfTheManual(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../../../../deploy/README.md")
	must(t, err)
	anchors := map[string]bool{"": true}
	for _, m := range regexp.MustCompile(`(?m)^#+ (.+)$`).FindAllStringSubmatch(string(text), -1) {
		name := regexp.MustCompile(`[^a-z0-9 _-]`).ReplaceAllString(strings.ToLower(m[1]), "")
		anchors[manual+strings.ReplaceAll(name, " ", "-")] = true
	}
	ids := map[string]bool{}
	for _, c := range newExam(Options{}).checks() {
		if !anchors[c.see] {
			t.Errorf("%s leads to %s, which is not there", c.id, c.see)
		}
		if ids[c.id] || c.id == "" || !c.before && !c.while || len(c.name) > 14 {
			t.Errorf("%+v: there is another of this id, it is never made, or its name is too long", c)
		}
		ids[c.id] = true
	}
}

// Before installing, what needs a bus or a service that runs is not asked for.
func TestBeforeInstalling(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	e := patient(Options{Before: true, Keys: dir, Stores: []string{filepath.Join(dir, "not", "yet")},
		Now: func() time.Time { return time.Now() }})
	found := e.examined(t)
	cured(t, found["keys"], render.Failed, "holds no keys", "lockbox bus init --dir "+dir)
	for _, id := range []string{"reach", "rights", "streams", "lease", "backup", "customers", "services"} {
		if _, made := found[id]; made {
			t.Errorf("%s was checked", id)
		}
	}
	if c := found["sync"]; c.State == render.Failed || c.State == render.NotChecked {
		t.Errorf("writing: %+v", c.Findings)
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) > 0 {
		t.Errorf("it left %v behind (%v)", entries, err)
	}
}

// What is said while the work goes on is what is being done.
func TestEachCheckIsAnnounced(t *testing.T) {
	t.Parallel()
	var steps []string
	var all render.Checkup
	step := func(name string) { steps = append(steps, name) }
	Run(t.Context(), Options{Now: time.Now, Before: true, Step: step}, &all)
	checks := 0
	for _, g := range all.Groups {
		checks += len(g.Checks)
	}
	if len(steps) != checks || steps[0] != "Configuration" {
		t.Errorf("%d checks, announced were %v", checks, steps)
	}
}
