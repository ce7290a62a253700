package runinfo

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestANoteIsReadAsItWasWritten(t *testing.T) {
	dir := t.TempDir()
	want := Info{
		NATSURL: "nats://127.0.0.1:4222", KeysDir: filepath.Join(dir, "keys"), MailboxDir: filepath.Join(dir, "mail"),
		MailboxURL: "http://127.0.0.1:8025", PortalURL: "http://127.0.0.1:8080",
		Demo: &Demo{IssuerURL: "http://127.0.0.1:7070", SecretFile: filepath.Join(dir, "demo", "secret")},
	}
	if err := Write(dir, want); err != nil {
		t.Fatal(err)
	}
	got, err := Read(dir)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	stat, err := os.Stat(filepath.Join(dir, name))
	if err != nil {
		t.Fatal(err)
	}
	if stat.Mode().Perm() != 0o600 {
		t.Errorf("mode is %v, want 0600", stat.Mode().Perm())
	}
	files, err := os.ReadDir(dir)
	if err != nil || len(files) != 1 {
		t.Errorf("the directory holds %v (%v), want the note alone", files, err)
	}
}

func TestNoNoteMeansNothingRuns(t *testing.T) {
	dir := t.TempDir()
	if _, err := Read(dir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got %v, want fs.ErrNotExist", err)
	}
	if err := Remove(dir); err != nil {
		t.Errorf("removing what is not there: %v", err)
	}
}

func TestAHalfNoteIsAnError(t *testing.T) {
	for name, content := range map[string]string{"no JSON": "{", "no address": `{"keys_dir":"/k"}`,
		"no keys": `{"nats_url":"nats://x"}`} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			if err := os.WriteFile(filepath.Join(dir, "run.json"), []byte(content), 0o600); err != nil {
				t.Fatal(err)
			}
			if _, err := Read(dir); err == nil || errors.Is(err, fs.ErrNotExist) {
				t.Errorf("got %v, want an error that names the file", err)
			}
		})
	}
}

func TestTheDefaultDirectoryFollowsTheXDGRules(t *testing.T) {
	for name, row := range map[string]struct {
		env  map[string]string
		want string
	}{
		"data home": {map[string]string{"XDG_DATA_HOME": "/xdg", "HOME": "/home/ada"}, "/xdg/lockbox"},
		"a relative one is void": {map[string]string{"XDG_DATA_HOME": "xdg", "HOME": "/home/ada"},
			"/home/ada/.local/share/lockbox"},
		"home":                     {map[string]string{"HOME": "/home/ada"}, "/home/ada/.local/share/lockbox"},
		"nothing known is refused": {nil, ""},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := DefaultDir(func(key string) string { return row.env[key] })
			if got != row.want || (err != nil) != (row.want == "") {
				t.Errorf("got %q, %v, want %q", got, err, row.want)
			}
		})
	}
}
