package ops

import (
	"bytes"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/openlockbox/lockbox/pkg/service"
	"github.com/spf13/cobra"
)

const (
	systemdDir = "../../../../deploy/systemd"
	configDir  = "../../../../deploy/config"
	// exposure is what systemd-analyze security rates the units at, at most, in tenths: of 100.
	exposure = "13"
)

// unit is a file of systemd's: by section and key, the values in their order.
type unit map[string]map[string][]string

func readUnit(t *testing.T, into unit, path string) {
	t.Helper()
	text, err := os.ReadFile(path)
	must(t, err)
	section := ""
	for line := range strings.Lines(strings.ReplaceAll(string(text), "\\\n", "")) {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		if name, is := strings.CutPrefix(line, "["); is {
			section = strings.TrimSuffix(name, "]")
			if into[section] == nil {
				into[section] = map[string][]string{}
			}
			continue
		}
		key, value, found := strings.Cut(line, "=")
		if !found || section == "" {
			t.Fatalf("%s: %q", path, line)
		}
		if value == "" { // which takes back what was said before
			into[section][key] = nil
			continue
		}
		into[section][key] = append(into[section][key], value)
	}
}

func (u unit) one(t *testing.T, section, key string) string {
	t.Helper()
	if values := u[section][key]; len(values) == 1 {
		return values[0]
	}
	t.Fatalf("%s has %d values", key, len(u[section][key]))
	return ""
}

// variables are the lines of a file of variables.
func variables(t *testing.T, path string) []string {
	t.Helper()
	text, err := os.ReadFile(path)
	must(t, err)
	var lines []string
	for line := range strings.Lines(string(text)) {
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "#") {
			lines = append(lines, line)
		}
	}
	return lines
}

// deployment is one way to install the units.
type deployment struct {
	units map[string]unit
	env   map[string]string // the files of variables, by their path on the machine
}

func deployments(t *testing.T) map[string]deployment {
	t.Helper()
	all := map[string]deployment{}
	for name, dir := range map[string]string{"one machine": "", "three machines": "three"} {
		d := deployment{units: map[string]unit{}, env: map[string]string{
			"/etc/lockbox/bus.env":  filepath.Join(systemdDir, dir, "bus.env"),
			"/etc/lockbox/nats.env": filepath.Join(systemdDir, "three", "nats.env")}}
		files, err := filepath.Glob(filepath.Join(systemdDir, "*.service"))
		must(t, err)
		for _, file := range files {
			u := unit{}
			readUnit(t, u, file)
			readUnit(t, u, filepath.Join(systemdDir, "lockbox-.service.d", "hardening.conf"))
			base := filepath.Base(file)
			if dir != "" && base == "lockbox-nats.service" {
				readUnit(t, u, filepath.Join(systemdDir, dir, "lockbox-nats.service.d", "cluster.conf"))
			}
			d.units[base] = u
		}
		if len(d.units) < 9 {
			t.Fatalf("there are %d units", len(d.units))
		}
		all[name] = d
	}
	return all
}

// environment is what a unit's process is started with.
func (d deployment) environment(t *testing.T, name string) []string {
	t.Helper()
	service := d.units[name]["Service"]
	env := slices.Clone(service["Environment"])
	for _, file := range service["EnvironmentFile"] {
		if strings.HasPrefix(file, "-") {
			continue // it need not be there
		}
		if d.env[file] == "" {
			t.Errorf("%s reads %s, which is not shipped", name, file)
			continue
		}
		env = append(env, variables(t, d.env[file])...)
	}
	for i := range env {
		env[i] = expand(name, env[i])
	}
	return env
}

func expand(name, text string) string {
	base := strings.TrimSuffix(name, ".service")
	return strings.NewReplacer("%d", "/run/credentials/"+name, "%N", base, "%p", base).Replace(text)
}

// command is a unit's command line, without the program.
func (d deployment) command(t *testing.T, name string) (program string, args []string) {
	t.Helper()
	line := expand(name, d.units[name].one(t, "Service", "ExecStart"))
	env := d.environment(t, name)
	words := strings.Fields(line)
	for _, word := range words[1:] {
		args = append(args, regexp.MustCompile(`\$\{(\w+)\}`).ReplaceAllStringFunc(word, func(use string) string {
			for _, e := range slices.Backward(env) {
				if value, is := strings.CutPrefix(e, use[2:len(use)-1]+"="); is {
					return value
				}
			}
			t.Errorf("%s: nothing sets %s", name, use)
			return ""
		}))
	}
	if dir, base := filepath.Split(words[0]); dir != "/usr/local/bin/" {
		t.Errorf("%s runs %s", name, words[0])
	} else {
		program = base
	}
	return program, args
}

// handedOut makes the keys as deploy/systemd/README.md says, and returns the directory that stands for /etc/lockbox.
func handedOut(t *testing.T) (etc string) {
	t.Helper()
	etc = t.TempDir()
	c := initCommand()
	c.SetOut(new(bytes.Buffer))
	c.SetArgs([]string{"--dir", filepath.Join(t.TempDir(), "bus"), "--host", "a.bus.example.org", "--tool", "ticketing",
		"--hand-out", etc})
	must(t, c.Execute())
	return etc
}

// Every program takes the command line, the variables and the shipped configuration that its unit gives it, and finds
// its keys where they are handed out.
func TestEveryUnitStartsWhatItSays(t *testing.T) {
	t.Parallel()
	etc := handedOut(t)
	for way, d := range deployments(t) {
		run := map[string]bool{}
		listens := map[string]string{}
		for name := range d.units {
			program, args := d.command(t, name)
			run[program] = true
			if program != "lockbox" {
				if want := []string{"--config", "/etc/lockbox/" + program + ".yaml"}; !slices.Equal(args, want) {
					t.Errorf("%s: %s with %q", name, program, args)
				}
				i := slices.IndexFunc(programs(), func(p service.Program) bool { return p.Name == program })
				if i < 0 {
					t.Errorf("%s: there is no service %s", name, program)
					continue
				}
				env := d.environment(t, name)
				if err := programs()[i].Check(filepath.Join(configDir, program+".yaml"), env); err != nil {
					t.Errorf("%s, %s: %v", way, name, err)
				}
				for _, e := range env {
					if key, at, _ := strings.Cut(e, "="); strings.HasSuffix(key, "_LISTEN") {
						if listens[at] != "" || !strings.HasPrefix(at, "127.0.0.1:") {
							t.Errorf("%s and %s listen on %s", name, listens[at], at)
						}
						listens[at] = name
					}
				}
			} else {
				d.accepted(t, etc, name, args)
			}
			d.keys(t, etc, name)
		}
		for _, p := range programs() {
			if !run[p.Name] {
				t.Errorf("%s: no unit runs %s", way, p.Name)
			}
		}
	}
	if out, err := check(filepath.Join(systemdDir, "lockbox.yaml")); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

// accepted checks a command line of lockbox. That of the bus is carried out, up to its configuration.
func (d deployment) accepted(t *testing.T, etc, name string, args []string) {
	t.Helper()
	if args[0] != "nats" {
		c := map[string]*cobra.Command{"provision": provisionCommand(), "up": upCommand(),
			"keystore": keystoreBackupCommand()}[args[0]]
		if c == nil {
			t.Errorf("%s: lockbox %s", name, args[0])
			return
		}
		c.Flags().String("ca", "", "") // these two are of all commands
		c.Flags().String("data", "", "")
		if err := c.ParseFlags(args[1:]); err != nil || args[0] != "keystore" && c.Flags().NArg() > 0 {
			t.Errorf("%s: %v, %q is left", name, err, c.Flags().Args())
		}
		return
	}
	c := natsCommand()
	var out bytes.Buffer
	c.SetOut(&out)
	c.SetErr(&out)
	for i := range args {
		args[i] = strings.ReplaceAll(args[i], "/etc/lockbox", etc)
	}
	c.SetArgs(append(args[1:], "--print-config"))
	if err := c.Execute(); err != nil || !strings.Contains(out.String(), `store_dir: "/var/lib/lockbox-nats"`) {
		t.Errorf("%s: %v\n%s", name, err, out.String())
	}
}

// keys checks that a unit is handed keys that there are, for its own eyes, and names all of them in its variables.
func (d deployment) keys(t *testing.T, etc, name string) {
	t.Helper()
	service := d.units[name]["Service"]
	used := strings.Join(slices.Concat(service["Environment"], service["ExecStart"]), " ")
	handed := map[string]bool{}
	for _, credential := range service["LoadCredential"] {
		id, path, _ := strings.Cut(credential, ":")
		handed[id] = true
		file := strings.Replace(path, "/etc/lockbox", etc, 1)
		if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: no key is handed out as %s: %v", name, path, err)
		}
		if !strings.Contains(used, "%d/"+id) && !strings.HasSuffix(path, "/provisioner.nk") &&
			!strings.HasSuffix(path, "/compliance.nk") {
			t.Errorf("%s: nothing names the key %s", name, id)
		}
	}
	for _, use := range regexp.MustCompile(`%d/([\w.]+)`).FindAllStringSubmatch(used, -1) {
		if !handed[use[1]] {
			t.Errorf("%s: no key is handed out as %s", name, use[1])
		}
	}
}

// Each unit has its own user, and limits; whoever starts it again does so for as long as it takes.
func TestEveryUnitIsLimited(t *testing.T) {
	t.Parallel()
	users, err := os.ReadFile(filepath.Join(systemdDir, "lockbox.sysusers.conf"))
	must(t, err)
	seen := map[string]bool{}
	for name, u := range deployments(t)["one machine"].units {
		user := u.one(t, "Service", "User")
		if seen[user] || user != strings.TrimSuffix(name, ".service") ||
			!regexp.MustCompile(`(?m)^u `+user+` `).Match(users) {
			t.Errorf("%s runs as %s", name, user)
		}
		seen[user] = true
		for _, key := range []string{"MemoryMax", "TasksMax", "Restart", "RestartSec"} {
			u.one(t, "Service", key)
		}
		if !slices.ContainsFunc(u["Service"]["Environment"], func(e string) bool {
			return strings.HasPrefix(e, "GOMEMLIMIT=")
		}) {
			t.Errorf("%s: Go does not know the limit of memory", name)
		}
	}
}

// systemd finds nothing wrong with the units, and nothing that is open.
func TestSystemdTakesTheUnits(t *testing.T) {
	t.Parallel()
	for way, three := range map[string]bool{"one machine": false, "three machines": true} {
		dir := t.TempDir()
		must(t, os.CopyFS(dir, os.DirFS(systemdDir)))
		if three {
			must(t, os.Rename(filepath.Join(dir, "three", "lockbox-nats.service.d"),
				filepath.Join(dir, "lockbox-nats.service.d")))
		}
		must(t, os.RemoveAll(filepath.Join(dir, "three")))
		// The programs are not installed here.
		must(t, filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
			if err != nil || e.IsDir() {
				return err
			}
			text, err := os.ReadFile(path)
			must(t, err)
			return os.WriteFile(path, bytes.ReplaceAll(text, []byte("/usr/local/bin/"), []byte(dir+"/bin/")), 0o600)
		}))
		must(t, os.Mkdir(filepath.Join(dir, "bin"), 0o700))
		for _, name := range append(slices.Collect(maps.Keys(configured())), "lockbox") {
			// #nosec G306 -- a program
			must(t, os.WriteFile(filepath.Join(dir, "bin", name), []byte("#!/bin/true\n"), 0o700))
		}
		units, err := filepath.Glob(filepath.Join(dir, "*.service"))
		must(t, err)
		analyze := func(args ...string) {
			t.Helper()
			out, err := exec.Command("systemd-analyze", args...).CombinedOutput()
			if err != nil || args[0] == "verify" && len(out) > 0 {
				t.Errorf("%s: systemd-analyze %s: %v\n%s", way, strings.Join(args, " "), err, out)
			}
		}
		analyze(slices.Concat([]string{"verify", "--man=no"}, units, []string{filepath.Join(dir, "lockbox.target")})...)
		for _, u := range units {
			analyze("security", "--offline=yes", "--no-pager", "--threshold="+exposure, u)
		}
	}
}

func configured() map[string]bool {
	names := map[string]bool{}
	for _, p := range programs() {
		names[p.Name] = true
	}
	return names
}

// What the README names is there: files of the repository, and paths that a unit or a snippet names.
func TestTheReadmeOfTheUnitsNamesWhatThereIs(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile(filepath.Join(systemdDir, "README.md"))
	must(t, err)
	readme := string(text)
	var said strings.Builder
	must(t, filepath.WalkDir(systemdDir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() || e.Name() == "README.md" {
			return err
		}
		data, err := os.ReadFile(path)
		said.Write(data)
		said.WriteByte('\n')
		if !strings.Contains(readme, e.Name()) && !strings.Contains(readme, "deploy/systemd/*"+filepath.Ext(path)) {
			t.Errorf("the README does not name %s", path)
		}
		return err
	}))
	inUnits := said.String()
	braces := regexp.MustCompile(`^(.*)\{([^}]*)\}(.*)$`)
	named := 0
	for _, path := range regexp.MustCompile(`(?:deploy|/etc/lockbox|/etc/systemd|/var/lib|/usr/local/bin)/[\w./@*{},-]+`).
		FindAllString(readme, -1) {
		path = strings.TrimRight(path, ".,")
		named++
		paths := []string{path}
		if parts := braces.FindStringSubmatch(path); parts != nil {
			paths = nil
			for _, part := range strings.Split(parts[2], ",") {
				paths = append(paths, parts[1]+part+parts[3])
			}
		}
		for _, p := range paths {
			switch {
			case strings.HasPrefix(p, "deploy/"):
				if found, err := filepath.Glob(filepath.Join("../../../..", p)); err != nil || len(found) == 0 {
					t.Errorf("the README names %s, which is not there", p)
				}
			case strings.HasPrefix(p, "/etc/systemd/system"), strings.Contains(p, "*"), slices.Contains(byOperator, p):
			case !strings.Contains(inUnits, p):
				t.Errorf("the README names %s, and no unit does", p)
			}
		}
	}
	if named < 30 {
		t.Errorf("only %d paths were found", named)
	}
	for _, name := range regexp.MustCompile(`lockbox-[\w-]+\.service`).FindAllString(readme, -1) {
		if _, err := os.Stat(filepath.Join(systemdDir, name)); err != nil {
			t.Error(err)
		}
	}
}

// byOperator are paths of which the README says how they come to be.
var byOperator = []string{
	"/etc/lockbox/lockbox-portal.env", "/etc/lockbox/lockbox-audit-projector.env", // EnvironmentFile=-/etc/lockbox/%N.env
	"/etc/lockbox/nats/tls.key",                         // in the directory of --tls
	"/etc/lockbox/audit-projector/audit-projector@b.nk", // before they are renamed
	"/etc/lockbox/audit-projector/audit-projector@b.writer",
}
