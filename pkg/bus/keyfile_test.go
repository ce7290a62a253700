package bus

import (
	"io/fs"
	"os"
	"slices"
	"syscall"
	"testing"
)

// file is a file of any owner: a test cannot make one.
type file struct {
	fs.FileInfo
	mode         fs.FileMode
	owner, group int
}

func (f file) Mode() fs.FileMode { return f.mode }

func (f file) Sys() any {
	return &syscall.Stat_t{Uid: uint32(f.owner), Gid: uint32(f.group)}
}

// Kubernetes mounts a secret for a pod with an fsGroup as root's, and readable by that group.
func TestWhoMayReadAKey(t *testing.T) {
	const root, somebody = 0, 65532
	groups, err := os.Getgroups()
	if err != nil {
		t.Fatal(err)
	}
	ours := os.Getegid()
	other := slices.Max(append(groups, ours)) + 1
	for _, c := range []struct {
		says string
		file file
		want bool
	}{
		{"its owner only", file{mode: 0o600, owner: somebody, group: other}, true},
		{"as Kubernetes mounts it", file{mode: 0o440, owner: root, group: ours}, true},
		{"as Kubernetes mounts it by default", file{mode: 0o644, owner: root, group: ours}, false},
		{"root may also write", file{mode: 0o640, owner: root, group: ours}, true},
		{"the group may write", file{mode: 0o460, owner: root, group: ours}, false},
		{"everybody may read", file{mode: 0o444, owner: root, group: ours}, false},
		{"another group", file{mode: 0o440, owner: root, group: other}, false},
		{"whoever owns it could choose the group", file{mode: 0o440, owner: somebody, group: ours}, false},
	} {
		if got := IsOwn(c.file); got != c.want {
			t.Errorf("%s: %v", c.says, got)
		}
	}
}

// systemd hands a key out as root's, readable by the process's user through an access list.
func TestAKeyThatSystemdHandsOut(t *testing.T) {
	const dir = "/run/credentials/lockbox-portal.service"
	key, other := dir+"/nats.nk", "/etc/lockbox/nats.nk"
	t.Setenv("CREDENTIALS_DIRECTORY", "")
	if isCredential("nats.nk", file{mode: 0o440}) {
		t.Error("without systemd there are no credentials")
	}
	t.Setenv("CREDENTIALS_DIRECTORY", dir)
	for _, c := range []struct {
		says, path string
		file       file
		want       bool
	}{
		{"as systemd makes it", key, file{mode: 0o440}, true},
		{"it is somewhere else", other, file{mode: 0o440}, false},
		{"everybody may read", key, file{mode: 0o444}, false},
		{"the group may write", key, file{mode: 0o460}, false},
		{"it is not root's", key, file{mode: 0o440, owner: 65532}, false},
	} {
		if got := isCredential(c.path, c.file); got != c.want {
			t.Errorf("%s: %v", c.says, got)
		}
	}
}
