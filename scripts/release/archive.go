package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// An archive is a tar file that depends on names, modes and contents of its files alone.
type archive struct {
	created time.Time
	files   map[string]entry
}

type entry struct {
	mode fs.FileMode
	data []byte
}

func newArchive(created time.Time) *archive {
	return &archive{created: created, files: map[string]entry{}}
}

func (a *archive) empty() bool { return len(a.files) == 0 }

func (a *archive) text(name, text string) { a.files[name] = entry{0o644, []byte(text)} }

func (a *archive) file(name, from string, mode fs.FileMode) error {
	data, err := os.ReadFile(from) // #nosec G304 -- what was just built, or the commit's
	a.files[name] = entry{mode, data}
	return err
}

// tree adds a file or a directory below root, by its path below root.
func (a *archive) tree(root, name string) error {
	return filepath.WalkDir(filepath.Join(root, name), func(file string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		below, err := filepath.Rel(root, file)
		if err != nil {
			return err
		}
		mode := fs.FileMode(0o644)
		if info.Mode()&0o111 != 0 {
			mode = 0o755
		}
		return a.file(filepath.ToSlash(below), file, mode)
	})
}

// write packs the files below a directory of the archive's name.
func (a *archive) write(w io.Writer, name string) error {
	z := gzip.NewWriter(w)
	t := tar.NewWriter(z)
	names := make([]string, 0, len(a.files))
	for file := range a.files {
		names = append(names, file)
	}
	slices.Sort(names)
	for _, file := range names {
		e := a.files[file]
		h := &tar.Header{Name: path.Join(name, file), Mode: int64(e.mode), Size: int64(len(e.data)), ModTime: a.created,
			Format: tar.FormatPAX}
		if err := t.WriteHeader(h); err != nil {
			return err
		}
		if _, err := t.Write(e.data); err != nil {
			return err
		}
	}
	if err := t.Close(); err != nil {
		return err
	}
	return z.Close()
}

// unpack writes the files of a commit, as git archive packs them.
func unpack(r io.Reader, dir string) error {
	root, err := openNew(dir)
	if err != nil {
		return err
	}
	defer func() { _ = root.Close() }()
	for t := tar.NewReader(r); ; {
		h, err := t.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		name := strings.TrimSuffix(h.Name, "/")
		switch h.Typeflag {
		case tar.TypeXGlobalHeader:
		case tar.TypeDir:
			err = root.MkdirAll(name, 0o755)
		case tar.TypeReg:
			var data bytes.Buffer
			if _, err = io.Copy(&data, t); err == nil { // #nosec G110 -- our own commit
				err = root.WriteFile(name, data.Bytes(), h.FileInfo().Mode()&0o755)
			}
		default:
			err = fmt.Errorf("%s is neither a file nor a directory: no release holds such", h.Name)
		}
		if err != nil {
			return err
		}
	}
}

func openNew(dir string) (*os.Root, error) {
	if err := os.MkdirAll(dir, 0o750); err != nil { // #nosec G703 -- where whoever makes the release wants it
		return nil, err
	}
	return os.OpenRoot(dir)
}
