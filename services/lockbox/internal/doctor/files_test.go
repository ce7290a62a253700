package doctor

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/openlockbox/lockbox/pkg/bus"
	"github.com/openlockbox/lockbox/pkg/bus/devca"
	"github.com/openlockbox/lockbox/pkg/writerkeys"
	"github.com/openlockbox/lockbox/services/audit-projector/logkeys"
	"github.com/openlockbox/lockbox/services/lockbox/internal/cli/render"
)

func TestWhatIsWrongWithFiles(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		// spoil makes it wrong; in is the path of a file in the directory of keys.
		spoil      func(t *testing.T, o *Options, in func(string) string)
		check      string
		state      render.State
		says, cure string
	}{
		"a file that others read": {
			spoil: func(t *testing.T, _ *Options, in func(string) string) {
				must(t, os.Chmod(in("notifier.nk"), 0o644)) // #nosec G302 -- this is what is found
			},
			check: "secrets", state: render.Failed, says: `notifier\.nk: others may read or write it \(mode 0644\)`,
			cure: "chmod 600 ",
		},
		"a key of the log that others read": {
			spoil: func(t *testing.T, _ *Options, in func(string) string) {
				must(t, os.Chmod(in(logkeys.SigningKeyFile), 0o604)) // #nosec G302 -- this is what is found
			},
			check: "secrets", state: render.Failed, says: `log\.key: others`, cure: "chmod 600 ",
		},
		"a directory that others write to": {
			spoil: func(t *testing.T, o *Options, _ func(string) string) {
				must(t, os.Chmod(o.Keys, 0o777)) // #nosec G302 -- this is what is found
			},
			check: "secrets", state: render.Failed, says: "others may put keys into", cure: "chmod 700 ",
		},
		"a secret that is missing": {
			spoil: func(_ *testing.T, o *Options, in func(string) string) {
				o.Services = []Service{{File: "notifier.yaml", Secrets: []string{in("smtp-password")}}}
			},
			check: "secrets", state: render.Failed, says: "smtp-password is not there", cure: "put it there",
		},
		"an empty secret": {
			spoil: func(t *testing.T, o *Options, in func(string) string) {
				o.Services = []Service{{Secrets: []string{write(t, in("password"), "", 0o600)}}}
			},
			check: "secrets", state: render.Failed, says: "password is empty", cure: "put the secret there",
		},
		"a secret of another machine": {
			spoil: func(_ *testing.T, o *Options, _ func(string) string) {
				o.Services = []Service{{Secrets: []string{"/nowhere/at/all/password"}}}
			},
			check: "secrets", state: render.NotChecked, says: "1 file named and not on this machine",
		},
		"a configuration that is wrong": {
			spoil: func(_ *testing.T, o *Options, _ func(string) string) {
				o.Services = []Service{{File: "notifier.yaml", Err: errors.New(`notifier.yaml:2: unknown key "smpt"`)}}
			},
			check: "configuration", state: render.Failed, says: `unknown key "smpt"`,
			cure: "lockbox config check notifier.yaml",
		},
		"a key that is missing": {
			spoil: func(t *testing.T, _ *Options, in func(string) string) { must(t, os.Remove(in("portal.nk"))) },
			check: "keys", state: render.Failed, says: `portal\.nk is not in`, cure: "lockbox keys --dir ",
		},
		"a public half of another key": {
			spoil: func(t *testing.T, _ *Options, in func(string) string) {
				other, err := os.ReadFile(in("client.pub"))
				must(t, err)
				write(t, in("notifier.pub"), string(other), 0o644)
			},
			check: "keys", state: render.Failed, says: "notifier.pub is not the public half of notifier.nk",
			cure: "lockbox keys --dir ",
		},
		"a key that is none": {
			spoil: func(t *testing.T, _ *Options, in func(string) string) { write(t, in("portal.nk"), "x", 0o600) },
			check: "keys", state: render.Failed, says: "the key of portal in", cure: "replace the file",
		},
		"a key of nobody": {
			spoil: func(t *testing.T, _ *Options, in func(string) string) {
				seed, err := bus.NewSeed()
				must(t, err)
				write(t, in("somebody.nk"), string(seed), 0o600)
			},
			check: "keys", state: render.Warning, says: `somebody\.nk is nobody's`, cure: "remove it",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			keys, err := bus.GenerateKeys()
			must(t, err)
			o := Options{Keys: keysOf(t, keys), Before: true}
			before := patient(o).examined(t)
			expects(t, before["secrets"], render.OK, "nobody else can read")
			expects(t, before["keys"], render.OK, "8 keys in")
			c.spoil(t, &o, func(name string) string { return filepath.Join(o.Keys, name) })
			cured(t, patient(o).examined(t)[c.check], c.state, c.says, c.cure)
		})
	}
}

// A certificate is looked at as it stands in its file, by this machine's clock.
func TestCertificatesOfTheBus(t *testing.T) {
	t.Parallel()
	const day = 24 * time.Hour
	now := time.Date(2026, 11, 29, 12, 0, 0, 0, time.UTC)
	for name, c := range map[string]struct {
		// made is how long ago the certificates were made.
		made       time.Duration
		state      render.State
		says, cure string
	}{
		"new":                 {0, render.OK, `tls\.crt is good for 36[45] days yet`, ""},
		"with two weeks left": {350 * day, render.OK, `tls\.crt is good for 15 days yet`, ""},
		"with less":           {352 * day, render.Warning, `tls\.crt expires in 13 days`, "lockbox bus init --dir "},
		"expired": {367 * day, render.Failed, `tls\.crt expired 2 days ago, on 2026-11-27`,
			"lockbox bus init --dir "},
		"of an authority that ends": {10*365*day - 80*day, render.Warning, `ca\.crt expires in 80 days`, "give everybody"},
		"made tomorrow":             {-day, render.Failed, "tls.crt is not good before 2026-11-30", "clock"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			_, err := devca.Create(dir, nil, now.Add(-c.made))
			must(t, err)
			e := patient(Options{Keys: dir, Before: true, Now: func() time.Time { return now }})
			cured(t, e.examined(t)["certificates"], c.state, c.says, c.cure)
		})
	}
	t.Run("of another authority", func(t *testing.T) {
		t.Parallel()
		dir, other := t.TempDir(), t.TempDir()
		for _, d := range []string{dir, other} {
			_, err := devca.Create(d, nil, now)
			must(t, err)
		}
		foreign, err := os.ReadFile(filepath.Join(other, bus.CAFile))
		must(t, err)
		write(t, filepath.Join(dir, bus.CAFile), string(foreign), 0o644)
		e := patient(Options{Keys: dir, Before: true, Now: func() time.Time { return now }})
		cured(t, e.examined(t)["certificates"], render.Failed, "not signed by any authority here", bus.CAFile)
		write(t, filepath.Join(dir, bus.CertificateFile), "x", 0o644)
		cured(t, e.examined(t)["certificates"], render.Failed, "holds no certificate", "lockbox bus init")
	})
}

func TestCertificatesOfWriters(t *testing.T) {
	t.Parallel()
	const day = 24 * time.Hour
	now := time.Date(2026, 11, 29, 12, 0, 0, 0, time.UTC)
	for name, c := range map[string]struct {
		made       time.Duration
		state      render.State
		says, cure string
	}{
		"new":               {0, render.OK, `6 certificates that are good for 400 days yet`, ""},
		"with a month left": {369 * day, render.OK, `good for 31 days yet`, ""},
		"with less": {371 * day, render.Warning, `notifier\.certificate expires in 29 days`,
			"rotate writer notifier"},
		"expired": {402 * day, render.Failed, `audit-projector@b\.certificate expired 2 days ago`, "audit-projector@b"},
		"without the deployment's key": {-1, render.Failed, `writers\.vkey`,
			"put the deployment's public key there"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			_, err := writerkeys.Maker{Dir: dir, Origin: "log.example/lockbox", Now: now.Add(-c.made)}.Make(
				append(bus.Identities(), bus.Projector.Copy("b")))
			must(t, err)
			if c.made < 0 {
				must(t, os.Remove(filepath.Join(dir, writerkeys.PublicKeyFile)))
			}
			e := patient(Options{Keys: dir, Before: true, Now: func() time.Time { return now }})
			cured(t, e.examined(t)["writers"], c.state, c.says, c.cure)
		})
	}
}
