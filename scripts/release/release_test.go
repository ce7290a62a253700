package main

import (
	"archive/tar"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/v1/tarball"
)

const released = "v9.9.9-test.1"

// small releases one service and the verifier, for the machine that every test runs on.
func small(ctx context.Context, out string, more ...string) error {
	var progress strings.Builder
	err := run(ctx, append([]string{"--version", released, "--out", out, "--programs", "notifier,verifier",
		"--platforms", "linux/amd64", "--verifier-platforms", "linux/amd64"}, more...), &progress)
	if err != nil {
		return fmt.Errorf("%w\n%s", err, progress.String())
	}
	return nil
}

// made is the directory of a release that all tests look at, and key what signed it.
var made, key string

func TestMain(m *testing.M) {
	os.Exit(func() int {
		dir, err := os.MkdirTemp("", "lockbox-release-test-")
		if err == nil {
			defer func() { _ = os.RemoveAll(dir) }()
			made, key = filepath.Join(dir, "made"), filepath.Join(dir, "key")
			err = errors.Join(exec.Command("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key).Run(),
				small(context.Background(), made, "--key", key))
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		return m.Run()
	}())
}

func read(t *testing.T, path ...string) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(path...))
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// tool runs another program and returns what it prints.
func tool(t *testing.T, dir string, in io.Reader, env []string, name string, args ...string) string {
	t.Helper()
	c := exec.CommandContext(t.Context(), name, args...)
	c.Dir, c.Stdin, c.Env = dir, in, append(os.Environ(), env...)
	out, err := c.CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return string(out)
}

// extracted unpacks one of the release's archives and returns its directory.
func extracted(t *testing.T, name string) string {
	t.Helper()
	dir := t.TempDir()
	tool(t, dir, nil, nil, "tar", "-xzf", filepath.Join(made, name+".tar.gz"))
	return filepath.Join(dir, name)
}

// The same commit gives the same bytes, whoever's umask and directory it is, and the signature is OpenSSH's over all of
// them.
func TestTheSameCommitIsTheSameRelease(t *testing.T) {
	first, second := made, filepath.Join(t.TempDir(), "second")
	if err := small(t.Context(), second); err != nil {
		t.Fatal(err)
	}
	sums1, sums2 := read(t, first, sums), read(t, second, sums)
	if sums1 != sums2 {
		t.Errorf("two releases of one commit differ:\n%s\n%s", sums1, sums2)
	}
	tool(t, first, nil, nil, "sha256sum", "--check", "--strict", sums)
	listed := strings.Count(sums1, "\n")
	if entries, err := os.ReadDir(first); err != nil || len(entries) != listed+2 {
		t.Errorf("%d files are listed of %d, of which two are the list and its signature: %v", listed, len(entries), err)
	}

	signers := filepath.Join(t.TempDir(), "allowed_signers")
	if err := os.WriteFile(signers, []byte("lockbox "+read(t, key+".pub")), 0o600); err != nil {
		t.Fatal(err)
	}
	verify := func(list string) error {
		c := exec.CommandContext(t.Context(), "ssh-keygen", "-Y", "verify", "-f", signers, "-I", "lockbox", "-n", namespace,
			"-s", filepath.Join(first, signature))
		c.Stdin = strings.NewReader(list)
		return c.Run()
	}
	if err := verify(sums1); err != nil {
		t.Errorf("OpenSSH does not accept the signature: %v", err)
	}
	if err := verify(strings.Replace(sums1, "notifier", "notified", 1)); err == nil {
		t.Error("OpenSSH accepts the signature of another list")
	}
	if _, err := os.Stat(filepath.Join(second, signature)); err == nil {
		t.Error("a signature appeared without a key")
	}
	if err := run(t.Context(), []string{"--version", released, "--out", first}, io.Discard); err == nil {
		t.Error("a release replaced another")
	}
}

// A customer builds the verifier from its source alone, without a network, with an empty cache, and gets the bytes of the
// release.
func TestACustomerBuildsTheVerifierAlone(t *testing.T) {
	source := extracted(t, "verifier-"+released+"-source")
	command := regexp.MustCompile(`(?m)^    (CGO_ENABLED=0 .*)$`).FindStringSubmatch(read(t, source, "BUILD.md"))
	if command == nil {
		t.Fatal("BUILD.md has no command")
	}
	nothing := []string{"GOCACHE=" + filepath.Join(t.TempDir(), "cache"), "GOMODCACHE=" + filepath.Join(t.TempDir(), "modules"),
		"GOPROXY=off", "GOFLAGS=", "GOOS=linux", "GOARCH=amd64"}
	tool(t, source, nil, nothing, "bash", "-c", command[1])
	built, theirs := sum(t, source, "verifier"), sum(t, extracted(t, "verifier-"+released+"-linux-amd64"), "verifier")
	if built != theirs {
		t.Errorf("built alone it is %s, in the release %s", built, theirs)
	}
	says := tool(t, source, nil, nil, "./verifier", "--version")
	if !strings.HasPrefix(says, "verifier "+released+" (") {
		t.Errorf("it calls itself %s", says)
	}
}

func sum(t *testing.T, path ...string) string {
	t.Helper()
	h := sha256.Sum256([]byte(read(t, path...)))
	return hex.EncodeToString(h[:])
}

// What a provider gets: a static program that knows its release, what installing it needs, and the licences of others.
func TestAnArchiveHasWhatAProviderNeeds(t *testing.T) {
	dir := extracted(t, "lockbox-"+released+"-linux-amd64")
	if says := tool(t, dir, nil, nil, "bin/notifier", "--version"); !strings.HasPrefix(says, "notifier "+released+" (") {
		t.Errorf("it calls itself %s", says)
	}
	for _, file := range []string{"LICENSE", "README.md", ".github/CHANGELOG.md", "docker-compose.yml", "deploy/README.md",
		"deploy/config/notifier.yaml"} {
		if read(t, dir, file) == "" {
			t.Errorf("%s is empty", file)
		}
	}
	licences := read(t, dir, "THIRD-PARTY-LICENSES.txt")
	for _, want := range []string{"the Go standard library: LICENSE", "github.com/nats-io/nats.go v", "go.uber.org/zap v"} {
		if !strings.Contains(licences, want) {
			t.Errorf("the licence of %s is missing", want)
		}
	}
	if table := read(t, made, "RELEASE.md"); !strings.Contains(table, "| linux-amd64/notifier | ") {
		t.Errorf("no size of the program in:\n%s", table)
	}
}

// The bill of materials names what each program links, as the program itself says.
func TestTheMaterialsAreWhatTheProgramsSay(t *testing.T) {
	var bom struct {
		SpecVersion  string
		Components   []struct{ Name, Purl, Type string }
		Dependencies []struct {
			Ref       string
			DependsOn []string
		}
	}
	if err := json.Unmarshal([]byte(read(t, made, "lockbox-"+released+".cdx.json")), &bom); err != nil {
		t.Fatal(err)
	}
	links := map[string][]string{}
	for _, d := range bom.Dependencies {
		links[d.Ref] = d.DependsOn
	}
	dir := extracted(t, "lockbox-"+released+"-linux-amd64")
	modules, _, err := linked(filepath.Join(dir, "bin", "notifier"))
	if err != nil || len(modules) < 10 {
		t.Fatal(modules, err)
	}
	told := links["notifier@"+released+"?platform=linux-amd64"]
	for _, m := range modules {
		if !slices.Contains(told, m.purl()) {
			t.Errorf("the notifier links %s, which the bill does not say", m.purl())
		}
	}
	if len(told) != len(modules)+1 { // and the standard library
		t.Errorf("the bill says that the notifier links %d modules, it says %d itself", len(told), len(modules))
	}
	for _, purl := range links["verifier@"+released+"?platform=linux-amd64"] {
		if strings.Contains(purl, "nats") || strings.Contains(purl, "sqlite") {
			t.Errorf("the verifier links %s", purl)
		}
	}
	for _, c := range bom.Components {
		if c.Type == "library" && c.Purl == "" {
			t.Errorf("%s has no package URL", c.Name)
		}
	}
}

// An image has one program, runs it without root, and has no file that anybody else wrote.
func TestAnImageHoldsOneProgram(t *testing.T) {
	i, err := tarball.ImageFromPath(filepath.Join(made, "image-notifier-"+released+"-linux-amd64.tar"), nil)
	if err != nil {
		t.Fatal(err)
	}
	c, err := i.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	if c.Config.User != "65532:65532" || !slices.Equal(c.Config.Entrypoint, []string{"/program"}) || len(c.Config.Env) > 0 {
		t.Errorf("it runs %v as %q with %v", c.Config.Entrypoint, c.Config.User, c.Config.Env)
	}
	layers, err := i.Layers()
	if err != nil || len(layers) != 1 {
		t.Fatal(len(layers), err)
	}
	r, err := layers[0].Uncompressed()
	if err != nil {
		t.Fatal(err)
	}
	for files := tar.NewReader(r); ; {
		h, err := files.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if h.Typeflag == tar.TypeReg && h.Name != "program" || h.Mode&0o022 != 0 && h.Name != "tmp/" {
			t.Errorf("%s, mode %o", h.Name, h.Mode)
		}
	}
}

// An archive depends on what is in it, and on nothing of the machine that packs it.
func TestAnArchiveIsItsContent(t *testing.T) {
	pack := func(order ...string) string {
		a := newArchive(time.Unix(1_700_000_000, 0))
		for _, name := range order {
			a.text(name, "content of "+name)
		}
		var b strings.Builder
		if err := a.write(&b, "top"); err != nil {
			t.Fatal(err)
		}
		return b.String()
	}
	if pack("a", "b/c") != pack("b/c", "a") {
		t.Error("the order in which files are added shows")
	}
	z, err := gzip.NewReader(strings.NewReader(pack("a", "b/c")))
	if err != nil {
		t.Fatal(err)
	}
	h, err := tar.NewReader(z).Next()
	if err != nil || h.Name != "top/a" || h.Uid != 0 || h.Uname != "" || h.ModTime.Unix() != 1_700_000_000 || !z.ModTime.IsZero() {
		t.Errorf("%+v, %v", h, err)
	}
}

func TestARefusedCommandLineSaysWhy(t *testing.T) {
	for want, args := range map[string][]string{
		"vMAJOR.MINOR.PATCH":    {"--version", "1.0"},
		"--version \"\"":        nil,
		"is no platform":        {"--version", "v1.0.0", "--platforms", "linux"},
		"there is no program":   {"--version", "v1.0.0", "--programs", "notifier,lockboxd"},
		"unexpected: now":       {"--version", "v1.0.0", "now"},
		"rev-parse --verify no": {"--version", "v1.0.0", "--commit", "no-such-commit", "--out", filepath.Join(t.TempDir(), "o")},
	} {
		err := run(context.Background(), args, io.Discard)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: %v", args, err)
		}
	}
}
