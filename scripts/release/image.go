package main

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
)

// user runs every image, and owns the directories that its program may write.
const user = 65532

// directories are empty and private to the user. A new named volume takes over the owner of the directory that it is
// mounted on, which is what makes volumes writable without root; so each identity's keys have one (docker-compose.yml).
var directories = []string{"data", "mail", "keys", "demo", "issuers", "hand-out"}

// identities have a volume of their own for their keys, and those of services that run twice another for the copy.
var (
	identities = []string{"nats", "client", "forwarder", "provisioner", "tool-console"}
	twice      = []string{"jit-evaluator", "lockbox-orchestrator", "notifier", "audit-projector", "portal", "compliance"}
)

// image returns an image of one static program, the directories that it may write, and nothing else: no shell, no
// libraries, no base image. The certificate authorities are in the programs (golang.org/x/crypto/x509roots).
func image(program, path string, p platform, version, revision string, created time.Time) (v1.Image, error) {
	data, err := os.ReadFile(path) // #nosec G304 -- what was just built
	if err != nil {
		return nil, err
	}
	layer, err := layerOf(data, created)
	if err != nil {
		return nil, err
	}
	i, err := mutate.AppendLayers(empty.Image, layer)
	if err != nil {
		return nil, err
	}
	c, err := i.ConfigFile()
	if err != nil {
		return nil, err
	}
	c = c.DeepCopy()
	c.OS, c.Architecture, c.Created = p.system, p.machine, v1.Time{Time: created}
	c.History = []v1.History{{Created: v1.Time{Time: created}, CreatedBy: "scripts/release"}}
	c.Config = v1.Config{
		User: fmt.Sprintf("%[1]d:%[1]d", user), Entrypoint: []string{"/program"},
		Labels: map[string]string{
			"org.opencontainers.image.title": program, "org.opencontainers.image.version": version,
			"org.opencontainers.image.revision": revision, "org.opencontainers.image.licenses": "Apache-2.0",
			"org.opencontainers.image.created": created.Format(time.RFC3339),
		},
	}
	return mutate.ConfigFile(i, c)
}

func layerOf(program []byte, created time.Time) (v1.Layer, error) {
	var b bytes.Buffer
	t := tar.NewWriter(&b)
	put := func(h tar.Header, data []byte) error {
		h.ModTime, h.Format, h.Size = created, tar.FormatPAX, int64(len(data))
		if err := t.WriteHeader(&h); err != nil {
			return err
		}
		_, err := t.Write(data)
		return err
	}
	all := slices.Clone(directories)
	for _, id := range identities {
		all = append(all, "hand-out/"+id)
	}
	for _, id := range twice {
		all = append(all, "hand-out/"+id, "hand-out/"+id+"@b")
	}
	for _, dir := range all {
		if err := put(tar.Header{Typeflag: tar.TypeDir, Name: dir + "/", Mode: 0o700, Uid: user, Gid: user}, nil); err != nil {
			return nil, err
		}
	}
	if err := errors.Join(put(tar.Header{Typeflag: tar.TypeDir, Name: "tmp/", Mode: 0o1777}, nil),
		put(tar.Header{Typeflag: tar.TypeReg, Name: "program", Mode: 0o755}, program), t.Close()); err != nil {
		return nil, err
	}
	return tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(b.Bytes())), nil })
}

func tagOf(program, tag string) (name.Tag, error) {
	return name.NewTag("openlockbox/" + program + ":" + tag)
}

// images packs an image of each program that was built for Linux, as docker load reads it.
func (r *release) images(_ context.Context, d *dist) error {
	for _, program := range r.programs {
		for _, p := range r.platforms {
			path := filepath.Join(r.bin, p.String(), program)
			if p.system != "linux" {
				continue
			}
			i, err := image(program, path, p, r.version, r.revision, r.created)
			if err != nil {
				return err
			}
			tag, err := tagOf(program, r.version)
			if err != nil {
				return err
			}
			digest, err := i.ConfigName()
			if err != nil {
				return err
			}
			file := fmt.Sprintf("image-%s-%s-%s.tar", program, r.version, p)
			if err := d.put(file, "image ID "+digest.String(), func(w io.Writer) error {
				return tarball.Write(tag, i, w)
			}); err != nil {
				return err
			}
		}
	}
	return nil
}

// loadImages builds programs of the working tree and hands their images to the Docker engine.
func loadImages(ctx context.Context, root string, args []string, progress io.Writer) (err error) {
	f := flag.NewFlagSet("release images", flag.ContinueOnError)
	tag := f.String("tag", "dev", "the images' tag")
	if err := f.Parse(args); err != nil {
		return err
	}
	work, err := os.MkdirTemp("", "lockbox-images-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(work)) }()
	machine, err := output(ctx, root, "docker", "version", "--format", "{{.Server.Arch}}")
	if err != nil {
		return fmt.Errorf("no Docker engine answers: %w", err)
	}
	revision, _ := output(ctx, root, "git", "rev-parse", "HEAD") // a tree without a repository has none
	r := &release{options: options{version: *tag}, revision: revision, bin: work, progress: io.Discard}
	for _, program := range f.Args() {
		p := platform{"linux", strings.TrimSpace(machine)}
		path, err := r.compile(ctx, root, "./services/"+program+"/cmd/"+program, p, false)
		if err != nil {
			return err
		}
		i, err := image(program, path, p, *tag, revision, time.Unix(0, 0).UTC())
		if err != nil {
			return err
		}
		named, err := tagOf(program, *tag)
		if err != nil {
			return err
		}
		if err := load(ctx, named, i); err != nil {
			return err
		}
		if _, err := fmt.Fprintln(progress, named); err != nil {
			return err
		}
	}
	return nil
}

func load(ctx context.Context, tag name.Tag, i v1.Image) error {
	c := exec.CommandContext(ctx, "docker", "load", "--quiet")
	in, err := c.StdinPipe()
	if err != nil {
		return err
	}
	var out bytes.Buffer
	c.Stdout, c.Stderr = &out, &out
	if err := c.Start(); err != nil {
		return err
	}
	err = errors.Join(tarball.Write(tag, i, in), in.Close())
	if end := c.Wait(); end != nil || err != nil {
		return errors.Join(err, fmt.Errorf("docker load: %w\n%s", end, out.String()))
	}
	return nil
}
