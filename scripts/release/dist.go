package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"

	"github.com/hiddeco/sshsig"
	"golang.org/x/crypto/ssh"
)

// sums has the checksums of all files, as sha256sum reads them, and signature is over that file.
const (
	sums      = "SHA256SUMS"
	signature = sums + ".sig"
	// namespace is what the signature is for, so that it means nothing anywhere else (OpenSSH, PROTOCOL.sshsig).
	namespace = "lockbox-release"
)

// A dist is the directory that is published.
type dist struct {
	root *os.Root
	made []published
}

type published struct {
	name, what, sum string
	size            int64
}

func newDist(dir string) (*dist, error) {
	root, err := openNew(dir)
	return &dist{root: root}, err
}

// put writes one file and remembers its checksum.
func (d *dist) put(name, what string, write func(io.Writer) error) error {
	f, err := d.root.Create(name)
	if err != nil {
		return err
	}
	h := sha256.New()
	counted := &counter{w: io.MultiWriter(f, h)}
	if err := errors.Join(write(counted), f.Close()); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	d.made = append(d.made, published{name, what, hex.EncodeToString(h.Sum(nil)), counted.n})
	return nil
}

func (d *dist) bytes(name, what string, data []byte) error {
	return d.put(name, what, func(w io.Writer) error { _, err := w.Write(data); return err })
}

func (d *dist) archive(a *archive, name, what string) error {
	return d.put(name+".tar.gz", what, func(w io.Writer) error { return a.write(w, name) })
}

type counter struct {
	w io.Writer
	n int64
}

func (c *counter) Write(p []byte) (int, error) {
	n, err := c.w.Write(p)
	c.n += int64(n)
	return n, err
}

// seal writes the table of what there is, the checksums and the signature.
func (r *release) seal(d *dist) error {
	slices.SortFunc(d.made, func(a, b published) int { return strings.Compare(a.name, b.name) })
	table, err := r.table(d.made)
	if err != nil {
		return err
	}
	if err := d.bytes("RELEASE.md", "", table); err != nil {
		return err
	}
	var b bytes.Buffer
	for _, f := range d.made {
		fmt.Fprintf(&b, "%s  %s\n", f.sum, f.name)
	}
	if err := d.root.WriteFile(sums, b.Bytes(), 0o644); err != nil {
		return err
	}
	for _, f := range d.made {
		r.say("%8s  %s", megabytes(f.size), f.name)
	}
	if r.key == "" {
		r.say("%s is not signed: --key names the key that would", sums)
		return nil
	}
	armored, err := sign(r.key, b.Bytes())
	if err != nil {
		return err
	}
	return d.root.WriteFile(signature, armored, 0o644)
}

func megabytes(n int64) string { return fmt.Sprintf("%.1f MB", float64(n)/1e6) }

// table is RELEASE.md.
func (r *release) table(made []published) ([]byte, error) {
	var b bytes.Buffer
	fmt.Fprintf(&b, "# Lockbox %s\n\nBuilt of commit %s.\n\n| file | size | |\n|---|---|---|\n", r.version, r.revision)
	for _, f := range made {
		fmt.Fprintf(&b, "| %s | %s | %s |\n", f.name, megabytes(f.size), f.what)
	}
	b.WriteString("\nThe programs are static and need nothing beside them:\n\n| program | size |\n|---|---|\n")
	err := fs.WalkDir(os.DirFS(r.bin), ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if err == nil {
			fmt.Fprintf(&b, "| %s | %s |\n", path, megabytes(info.Size()))
		}
		return err
	})
	fmt.Fprintf(&b, `
To check what you have, get the signing key's line for allowed_signers from somewhere else than these files. Then:

    ssh-keygen -Y verify -f allowed_signers -I lockbox -n %s -s %s < %s
    sha256sum --check %s

`+"`make release VERSION=%s`"+` makes the same bytes of the same commit, with the same version of Go. The verifier's source
builds by itself: its BUILD.md says how. `+"`docker load --input FILE`"+` reads an image.
`, namespace, signature, sums, sums, r.version)
	return b.Bytes(), err
}

// sign signs as ssh-keygen -Y sign does.
func sign(file string, data []byte) ([]byte, error) {
	text, err := os.ReadFile(file) // #nosec G304 -- the one that is asked for
	if err != nil {
		return nil, err
	}
	key, err := ssh.ParsePrivateKey(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	s, err := sshsig.Sign(bytes.NewReader(data), key, sshsig.HashSHA512, namespace)
	if err != nil {
		return nil, err
	}
	return sshsig.Armor(s), nil
}
