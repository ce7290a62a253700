package ops

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/openlockbox/lockbox/pkg/bus"
	"github.com/openlockbox/lockbox/services/lockbox/internal/cli"
	"github.com/openlockbox/lockbox/services/lockbox/internal/cli/render"
	"github.com/openlockbox/lockbox/services/lockbox/internal/up/runinfo"
)

// How full this machine's disks are, and of which kind, is not Lockbox's affair.
var ofThisMachine = map[string]bool{"disk": true, "filesystem": true, "sync": true, "clock-source": true}

// diagnosed runs the doctor, and returns its exit code and its checks by their ids.
func diagnosed(t *testing.T, args ...string) (code int, found render.Checkup, checks map[string]render.Check) {
	t.Helper()
	code, out, errs := lockbox(t.Context(), append([]string{"doctor", "-o", "json"}, args...)...)
	if err := json.Unmarshal([]byte(out), &found); err != nil {
		t.Fatalf("%v: exit code %d, %s%s", err, code, out, errs)
	}
	checks = map[string]render.Check{}
	for _, g := range found.Groups {
		for _, c := range g.Checks {
			checks[c.ID] = c
		}
	}
	return code, found, checks
}

// Everything is well on what `lockbox up --demo` has just made, and is not once it has ended.
func TestAllIsWellOnAFreshLockbox(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	ended := make(chan string, 1)
	go func() {
		const free = "127.0.0.1:0"
		code, _, errs := lockbox(ctx, "up", "--demo", "--data", dir, "--listen", free, "--mailbox", free, "--portal", free,
			"--log-server", free, "--issuer", free)
		ended <- fmt.Sprint(code, " ", errs)
	}()
	for {
		if _, err := runinfo.Read(dir); err == nil {
			break
		}
		select {
		case said := <-ended:
			t.Fatalf("it ended: %s", said)
		case <-time.After(20 * time.Millisecond):
		}
	}
	// A busy machine may be behind for a while.
	var wrong []string
	for deadline := time.Now().Add(2 * time.Minute); ; {
		wrong = nil
		_, found, checks := diagnosed(t, "--data", dir)
		for id, c := range checks {
			if c.State != render.OK && c.State != render.NotChecked && !ofThisMachine[id] {
				wrong = append(wrong, fmt.Sprintf("%s: %+v", id, c.Findings))
			}
		}
		for _, id := range []string{"here-queries", "secrets", "keys", "rights", "streams", "consumers", "clock", "lease",
			"checkpoint", "customers"} {
			if checks[id].State != render.OK {
				wrong = append(wrong, fmt.Sprintf("%s: %+v", id, checks[id].Findings))
			}
		}
		if len(wrong) == 0 || time.Now().After(deadline) {
			if found.Summary[render.OK] < 15 {
				t.Errorf("only %v", found.Summary)
			}
			break
		}
	}
	for _, w := range wrong {
		t.Error(w)
	}
	must(t, os.Chmod(filepath.Join(dir, "keys", "notifier.nk"), 0o644)) // #nosec G302 -- this is what is found
	code, found, checks := diagnosed(t, "--data", dir)
	if code != 11 || found.State != render.Failed || checks["secrets"].State != render.Failed ||
		checks["rights"].State != render.Failed {
		t.Errorf("exit code %d: %+v, %+v", code, checks["secrets"], checks["rights"])
	}
	stop()
	<-ended
	code, _, checks = diagnosed(t, "--data", dir)
	if code != 11 || !strings.Contains(checks["reach"].Findings[0].Cure, "lockbox up --data") {
		t.Errorf("where nothing runs any more: exit code %d, %+v", code, checks["reach"])
	}
}

// What init makes is all that a look before installing wants of a directory of keys.
func TestADirectoryIsLookedAtBeforeInstalling(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "keys")
	pre := []string{"--pre", "--keys", dir}
	code, found, checks := diagnosed(t, pre...)
	if code != 11 || found.State != render.Failed ||
		!strings.Contains(checks["keys"].Findings[0].Cure, "lockbox bus init") {
		t.Errorf("an empty directory: exit code %d, %+v", code, checks["keys"])
	}
	succeeds(t, "bus", "init", "--dir", dir, "--host", "bus.example.org")
	_, _, checks = diagnosed(t, pre...)
	for _, id := range []string{"secrets", "keys", "certificates"} {
		if checks[id].State != render.OK {
			t.Errorf("%s: %+v", id, checks[id].Findings)
		}
	}
	must(t, os.Remove(filepath.Join(dir, bus.SeedFile(bus.Notifier))))
	code, out, _ := lockbox(t.Context(), append([]string{"doctor", "--nagios"}, pre...)...)
	if code != 2 || !strings.HasPrefix(out, "LOCKBOX CRITICAL - 1 failure") || strings.Count(out, "\n") != 1 ||
		!strings.Contains(out, "Keys: notifier.nk is not in") {
		t.Errorf("for Nagios: exit code %d, %s", code, out)
	}
	code, out, _ = lockbox(t.Context(), append([]string{"doctor"}, pre...)...)
	if code != 11 || !strings.Contains(out, "\n1 failure, ") {
		t.Errorf("exit code %d\n%s", code, out)
	}
}

// What could not be checked is neither well nor a failure.
func TestWhatNobodyKnowsHasAnExitCodeOfItsOwn(t *testing.T) {
	dir := t.TempDir()
	policy := filepath.Join(dir, "audit-projector.yaml")
	must(t, os.WriteFile(policy, []byte("nats: {url: '', seed_file: x}"), 0o600))
	if code, _, checks := diagnosed(t, policy); code != 11 || checks["configuration"].State != render.Failed {
		t.Errorf("a wrong file: exit code %d, %+v", code, checks["configuration"])
	}
	must(t, os.WriteFile(policy, []byte("nats: {url: 'nats://127.0.0.1:1', seed_file: /none/x}\n"+
		"service: {dir: /none/y, log: {signing_key_file: /none/x, salts_file: /none/x, policy_file: /none/policy}}"), 0o600))
	if code, _, checks := diagnosed(t, policy); code != 13 || checks["witnesses"].State != render.Unknown ||
		checks["reach"].State != render.Unknown {
		t.Errorf("a file of another machine: exit code %d, %+v, %+v", code, checks["witnesses"], checks["reach"])
	}
	if code, _, checks := diagnosed(t, filepath.Join(dir, "notifer.yaml")); code != 11 ||
		!strings.Contains(checks["configuration"].Findings[0].Says, `did you mean "notifier"`) {
		t.Errorf("a file of nobody: exit code %d, %+v", code, checks["configuration"])
	}
}

// Every shipped file says what can be checked.
func TestShippedFilesCanBeExamined(t *testing.T) {
	files, err := filepath.Glob(root + "/deploy/config/*.yaml")
	must(t, err)
	seen := map[bus.Identity]bool{}
	for _, file := range files {
		if strings.HasPrefix(filepath.Base(file), "rules") {
			continue
		}
		s := serviceOf(file)
		if s.Err != nil || s.Key.URL == "" || s.Key.File == "" || s.Key.CA == "" || len(s.Secrets) == 0 ||
			len(s.Listen) == 0 {
			t.Errorf("%s: %+v", file, s)
		}
		seen[s.Key.Identity] = true
		if s.Key.Identity == bus.Notifier && (s.Mail == nil || len(s.Web) == 0) ||
			s.Key.Identity == bus.Projector && (s.LogAddress == "" || len(s.Dirs) == 0) ||
			s.Key.Identity == bus.Evaluator && len(s.Issuers) == 0 {
			t.Errorf("%s: %+v", file, s)
		}
	}
	if len(seen) != 6 {
		t.Errorf("these are seen: %v", seen)
	}
}

// A cure that names a command names one that there is.
func TestCuresNameCommandsThatThereAre(t *testing.T) {
	seen := 0
	for _, dir := range []string{"../doctor", "../cli"} {
		for _, text := range textsIn(t, dir) {
			for _, m := range regexp.MustCompile("`lockbox ([^`]+)`").FindAllStringSubmatch(text, -1) {
				args := strings.Fields(strings.NewReplacer("%s", "x", "%d", "1").Replace(m[1]))
				c, rest, err := cli.New(cli.System(), Commands()...).Find(args)
				if err == nil {
					err = c.ParseFlags(append(rest, "x")) // the value of a flag, or an argument
				}
				if err != nil || !c.Runnable() || c.HasSubCommands() && len(c.Flags().Args()) > 1 {
					t.Errorf("lockbox %s: %v", m[1], err)
				}
				seen++
			}
		}
	}
	if seen < 25 {
		t.Errorf("only %d were seen", seen)
	}
}

// textsIn returns the texts in the source of what is checked, put together where they are in parts.
func textsIn(t *testing.T, dir string) (texts []string) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*.go"))
	must(t, err)
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") || dir == "../cli" && filepath.Base(file) != "doctor.go" {
			continue
		}
		parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
		must(t, err)
		ast.Inspect(parsed, func(n ast.Node) bool {
			expression, is := n.(ast.Expr)
			if !is {
				return true
			}
			switch expression.(type) {
			case *ast.BinaryExpr, *ast.BasicLit:
				texts = append(texts, joined(expression))
				return false
			}
			return true
		})
	}
	return texts
}

func joined(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.BasicLit:
		if text, err := strconv.Unquote(e.Value); err == nil {
			return text
		}
	case *ast.BinaryExpr:
		return joined(e.X) + joined(e.Y)
	}
	return "x"
}

// Progress is for terminals; here there is none.
func TestNothingIsSaidBesideTheAnswer(t *testing.T) {
	var stdout, stderr bytes.Buffer
	code := cli.Run(t.Context(), []string{"doctor", "--pre"}, cli.Environment{In: strings.NewReader(""), Out: &stdout,
		Err: &stderr, Width: func() int { return 80 }, Now: time.Now, Zone: time.UTC,
		Getenv: func(string) string { return "" }}, Commands()...)
	if stderr.Len() > 0 || stdout.Len() == 0 {
		t.Errorf("exit code %d, %s", code, stderr.String())
	}
}
