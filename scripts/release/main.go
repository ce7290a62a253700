// Command release makes what is published of a commit: static programs, container images, the verifier's source with
// all that it needs, a bill of materials, the licences of what is linked, checksums, and their signature. The same commit
// and Go version give the same bytes, on any machine and in any directory.
//
//	go run ./scripts/release --version v0.1.0 --key KEY    everything, into dist/v0.1.0
//	go run ./scripts/release images --tag dev PROGRAM...   images of the working tree, into this machine's Docker engine
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
)

// programs is all that there is to build.
var programs = []string{"lockbox", "jit-evaluator", "lockbox-orchestrator", "notifier", "audit-projector", "portal",
	"forwarder", verifier}

// verifier is built from a source of its own, so that whoever doubts the provider can build the same bytes.
const verifier = "verifier"

// A platform is an operating system and an architecture, as Go names them.
type platform struct{ system, machine string }

func (p platform) String() string { return p.system + "-" + p.machine }

// options is what the command line says.
type options struct {
	version, commit, out, key string
	platforms, customers      []platform
	programs                  []string
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdout)
	stop()
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "release:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, progress io.Writer) error {
	root, err := output(ctx, ".", "git", "rev-parse", "--show-toplevel")
	if err != nil {
		return err
	}
	if len(args) > 0 && args[0] == "images" {
		return loadImages(ctx, root, args[1:], progress)
	}
	o, err := parse(args)
	if err != nil {
		return err
	}
	return publish(ctx, root, o, progress)
}

// A version is in names of files and of images.
var version = regexp.MustCompile(`^v[0-9]+\.[0-9]+\.[0-9]+(-[0-9A-Za-z.-]+)?$`)

func parse(args []string) (o options, err error) {
	f := flag.NewFlagSet("release", flag.ContinueOnError)
	f.StringVar(&o.version, "version", "", "the release's `name`, as v1.2.3 or v1.2.3-rc.1; required")
	f.StringVar(&o.commit, "commit", "HEAD", "what is released; changes that are not committed are not in it")
	f.StringVar(&o.out, "out", "", "a new `directory`; default dist/VERSION")
	f.StringVar(&o.key, "key", "", "`file` of the private SSH key that signs the checksums; empty: they are not signed")
	f.Func("platforms", "what services run on (default linux/amd64,linux/arm64)", into(&o.platforms))
	f.Func("verifier-platforms", "and what customers check it on (default those and darwin/arm64)",
		into(&o.customers))
	f.Func("programs", "only these (default all)", func(text string) error {
		o.programs = strings.Split(text, ",")
		for _, p := range o.programs {
			if !slices.Contains(programs, p) {
				return fmt.Errorf("there is no program %q", p)
			}
		}
		return nil
	})
	if err := f.Parse(args); err != nil {
		return o, err
	}
	if f.NArg() > 0 {
		return o, fmt.Errorf("unexpected: %s", strings.Join(f.Args(), " "))
	}
	if !version.MatchString(o.version) {
		return o, fmt.Errorf("--version %q: want vMAJOR.MINOR.PATCH, and after a dash what kind of release it is", o.version)
	}
	if o.platforms == nil {
		o.platforms = []platform{{"linux", "amd64"}, {"linux", "arm64"}}
	}
	if o.customers == nil {
		o.customers = append(slices.Clone(o.platforms), platform{"darwin", "arm64"})
	}
	if o.programs == nil {
		o.programs = programs
	}
	if o.out == "" {
		o.out = filepath.Join("dist", o.version)
	}
	return o, nil
}

func into(platforms *[]platform) func(string) error {
	return func(text string) error {
		for name := range strings.SplitSeq(text, ",") {
			system, machine, ok := strings.Cut(name, "/")
			if !ok {
				return fmt.Errorf("%q is no platform: want SYSTEM/ARCHITECTURE, as linux/amd64", name)
			}
			*platforms = append(*platforms, platform{system, machine})
		}
		return nil
	}
}
