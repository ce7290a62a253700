package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// A release is one commit's, while it is made.
type release struct {
	options
	revision string
	// created is when the commit was made, and so the time of everything in the release.
	created time.Time
	// source holds the commit's files and no others, and no repository.
	source string
	// bin holds a directory of programs for each platform.
	bin      string
	progress io.Writer
}

// output runs a command and returns what it prints, without the last line break.
func output(ctx context.Context, dir, name string, args ...string) (string, error) {
	c := exec.CommandContext(ctx, name, args...) // #nosec G204 -- the commands are this program's
	c.Dir = dir
	var out, complaint bytes.Buffer
	c.Stdout, c.Stderr = &out, &complaint
	if err := c.Run(); err != nil {
		return "", fmt.Errorf("%s %s: %w\n%s", name, strings.Join(args, " "), err, complaint.String())
	}
	return strings.TrimSuffix(out.String(), "\n"), nil
}

// publish makes everything, in a directory that gets its name when it is whole.
func publish(ctx context.Context, root string, o options, progress io.Writer) (err error) {
	if _, err := os.Lstat(o.out); err == nil {
		return fmt.Errorf("%s is there already: a release never replaces another", o.out)
	}
	work, err := os.MkdirTemp("", "lockbox-release-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(work)) }()
	r := &release{options: o, source: filepath.Join(work, "source"), bin: filepath.Join(work, "bin"), progress: progress}
	if r.revision, err = output(ctx, root, "git", "rev-parse", "--verify", o.commit+"^{commit}"); err != nil {
		return err
	}
	seconds, err := output(ctx, root, "git", "show", "--no-patch", "--format=%ct", r.revision)
	if err != nil {
		return err
	}
	unix, err := strconv.ParseInt(seconds, 10, 64)
	if err != nil {
		return err
	}
	r.created = time.Unix(unix, 0).UTC()
	if err := checkout(ctx, root, r.revision, r.source); err != nil {
		return err
	}
	unfinished := r.out + ".unfinished"
	if err := os.RemoveAll(unfinished); err != nil { // #nosec G703 -- where whoever makes the release wants it
		return err
	}
	d, err := newDist(unfinished)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.root.Close(), os.RemoveAll(unfinished)) }() // #nosec G703 -- as above
	for _, step := range []func(context.Context, *dist) error{r.verifier, r.services, r.images, r.materials} {
		if err := step(ctx, d); err != nil {
			return err
		}
	}
	if err := r.seal(d); err != nil {
		return err
	}
	return os.Rename(unfinished, r.out) // #nosec G703 -- as above
}

// checkout writes the files of a commit into a new directory.
func checkout(ctx context.Context, root, revision, dir string) error {
	archive := dir + ".tar"
	if _, err := output(ctx, root, "git", "archive", "--output", archive, revision); err != nil {
		return err
	}
	f, err := os.Open(archive) // #nosec G304 -- just made
	if err != nil {
		return err
	}
	return errors.Join(unpack(f, dir), f.Close(), os.Remove(archive))
}

// compile builds a package of dir, static and without a trace of this machine.
func (r *release) compile(ctx context.Context, dir, pkg string, p platform, vendored bool) (string, error) {
	name := filepath.Base(pkg)
	path := filepath.Join(r.bin, p.String(), name)
	r.say("building %s for %s", name, p)
	c := exec.CommandContext(ctx, "go", append([]string{"build", "-o", path}, r.flags(pkg)...)...) // #nosec G204 -- as above
	c.Dir = dir
	c.Env = append(slices.DeleteFunc(os.Environ(), func(v string) bool {
		return strings.HasPrefix(v, "GO") && strings.HasSuffix(strings.SplitN(v, "=", 2)[0], "FLAGS") ||
			strings.HasPrefix(v, "GOAMD64=") || strings.HasPrefix(v, "GOARM64=") || strings.HasPrefix(v, "GOEXPERIMENT=")
	}), "CGO_ENABLED=0", "GOOS="+p.system, "GOARCH="+p.machine)
	if vendored {
		c.Env = append(c.Env, "GOWORK=off", "GOFLAGS=-mod=vendor")
	}
	if out, err := c.CombinedOutput(); err != nil {
		return "", fmt.Errorf("building %s for %s: %w\n%s", name, p, err, out)
	}
	return path, nil
}

// flags are those of go build. BUILD.md of the verifier's source repeats them.
func (r *release) flags(pkg string) []string {
	const where = "github.com/openlockbox/lockbox/pkg/build"
	return []string{"-trimpath", "-buildvcs=false", "-ldflags",
		fmt.Sprintf("-s -w -X %[1]s.release=%[2]s -X %[1]s.commit=%[3]s", where, r.version, r.revision), pkg}
}

// services builds the programs that a provider runs, and packs them with what installing them needs.
func (r *release) services(ctx context.Context, d *dist) error {
	for _, p := range r.platforms {
		a := newArchive(r.created)
		for _, name := range r.programs {
			if name == verifier {
				continue
			}
			path, err := r.compile(ctx, r.source, "./services/"+name+"/cmd/"+name, p, false)
			if err != nil {
				return err
			}
			if err := a.file("bin/"+filepath.Base(path), path, 0o755); err != nil {
				return err
			}
		}
		if a.empty() {
			return nil
		}
		licences, err := r.licences(ctx, p)
		if err != nil {
			return err
		}
		a.text("THIRD-PARTY-LICENSES.txt", licences)
		for _, path := range []string{"LICENSE", "README.md", ".github/CHANGELOG.md", "docker-compose.yml", "deploy"} {
			if err := a.tree(r.source, path); err != nil {
				return err
			}
		}
		if err := d.archive(a, fmt.Sprintf("lockbox-%s-%s", r.version, p), "all that a provider runs"); err != nil {
			return err
		}
	}
	return nil
}

// verifier packs the source of the verifier with everything that it needs, and builds the programs from that.
func (r *release) verifier(ctx context.Context, d *dist) error {
	if !slices.Contains(r.programs, verifier) {
		return nil
	}
	module := filepath.Join(r.source, "services", verifier)
	c := exec.CommandContext(ctx, "go", "mod", "vendor")
	c.Dir, c.Env = module, append(os.Environ(), "GOWORK=off", "GOFLAGS=")
	if out, err := c.CombinedOutput(); err != nil {
		return fmt.Errorf("go mod vendor: %w\n%s", err, out)
	}
	license, err := os.ReadFile(filepath.Join(r.source, "LICENSE")) // #nosec G304 -- the commit's
	if err != nil {
		return err
	}
	goVersion, err := output(ctx, module, "go", "env", "GOVERSION")
	if err != nil {
		return err
	}
	flags := r.flags("./cmd/" + verifier)
	flags[3] = "'" + flags[3] + "'"
	source := newArchive(r.created)
	source.text("LICENSE", string(license))
	source.text("BUILD.md", fmt.Sprintf(`# Building the verifier

All that it is made of lies in this archive, so nothing is fetched. With %[1]s this gives the program of the release,
byte for byte (GOOS and GOARCH choose another platform):

    CGO_ENABLED=0 GOFLAGS=-mod=vendor GOWORK=off go build %[2]s
`, goVersion, strings.Join(flags, " ")))
	if err := source.tree(module, "."); err != nil {
		return err
	}
	if err := d.archive(source, fmt.Sprintf("verifier-%s-source", r.version), "to build it alone: BUILD.md"); err != nil {
		return err
	}
	for _, p := range r.customers {
		path, err := r.compile(ctx, module, "./cmd/"+verifier, p, true)
		if err != nil {
			return err
		}
		a := newArchive(r.created)
		a.text("LICENSE", string(license))
		if err := errors.Join(a.file(filepath.Base(path), path, 0o755), a.tree(module, "README.md")); err != nil {
			return err
		}
		licences, err := r.licencesOf(ctx, module, path)
		if err != nil {
			return err
		}
		a.text("THIRD-PARTY-LICENSES.txt", licences)
		if err := d.archive(a, fmt.Sprintf("verifier-%s-%s", r.version, p), "what customers check it with"); err != nil {
			return err
		}
	}
	return nil
}

func (r *release) say(format string, args ...any) {
	_, _ = fmt.Fprintf(r.progress, format+"\n", args...) // nobody reads it if it fails
}
