package sshkey

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/openlockbox/lockbox/pkg/approval"
	at "github.com/openlockbox/lockbox/pkg/approval/approvaltest"
	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"
)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func run(t *testing.T, env []string, name string, args ...string) string {
	t.Helper()
	c := exec.CommandContext(t.Context(), name, args...)
	c.Env = append(os.Environ(), env...)
	out, err := c.CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v: %s", name, args, err, out)
	}
	return string(out)
}

// keygen makes a key with ssh-keygen and returns its file.
func keygen(t *testing.T, dir, name, passphrase string, kind ...string) string {
	t.Helper()
	file := filepath.Join(dir, name)
	run(t, nil, "ssh-keygen", append(kind, "-q", "-N", passphrase, "-C", name, "-f", file)...)
	return file
}

// realAgent starts OpenSSH's ssh-agent.
func realAgent(t *testing.T) (socket string) {
	t.Helper()
	socket = filepath.Join(t.TempDir(), "agent")
	c := exec.CommandContext(t.Context(), "ssh-agent", "-D", "-a", socket)
	out, err := c.StdoutPipe()
	must(t, err)
	must(t, c.Start())
	t.Cleanup(func() { _ = c.Process.Kill(); _ = c.Wait() })
	if _, err := out.Read(make([]byte, 1)); err != nil { // it says where it listens, once it does
		t.Fatal(err)
	}
	return socket
}

// securityKeys is an agent that has security keys without any hardware.
type securityKeys struct {
	agent.Agent
	keys []*at.Key
}

func (a securityKeys) List() (list []*agent.Key, err error) {
	for _, k := range a.keys {
		list = append(list, &agent.Key{Format: k.Algorithm, Blob: k.PublicBytes(), Comment: "token"})
	}
	return list, nil
}

// Sign signs what is to be signed of an SSHSIG: the key makes the whole, of which the inner signature is taken.
func (a securityKeys) Sign(key ssh.PublicKey, data []byte) (*ssh.Signature, error) {
	for _, k := range a.keys {
		if bytes.Equal(key.Marshal(), k.PublicBytes()) {
			made := new(ssh.Signature)
			return made, ssh.Unmarshal(k.SignData(data), made)
		}
	}
	return nil, errors.New("no such key")
}

func serve(t *testing.T, a agent.Agent) (socket string) {
	t.Helper()
	socket = filepath.Join(t.TempDir(), "agent")
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "unix", socket)
	must(t, err)
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() { _ = agent.ServeAgent(a, conn); _ = conn.Close() }()
		}
	}()
	return socket
}

func tools(home, socket string) Tools {
	env := map[string]string{"HOME": home, "SSH_AUTH_SOCK": socket}
	return Tools{Getenv: func(key string) string { return env[key] }}
}

// holds verifies what a key signs, with package approval and with ssh-keygen alone.
func holds(t *testing.T, s *Signer) {
	t.Helper()
	message, namespace := []byte("{}"), approval.Namespace(approval.FormatDecision)
	blob, err := s.SSHSIG(t.Context(), namespace, message)
	must(t, err)
	key := approval.Key{Kind: approval.KindSSH, Public: s.Encoded()}
	made := approval.Signature{Bytes: base64.RawURLEncoding.EncodeToString(blob)}
	if _, err := key.Verify(made, approval.FormatDecision, message); err != nil {
		t.Errorf("%s: %v", s.Where, err)
	}
	if by, err := SignerOf(blob); err != nil || !same(by, s.Public) {
		t.Errorf("%s: the signature is by %v, %v", s.Where, by, err)
	}
	dir := t.TempDir()
	signers, file := filepath.Join(dir, "allowed_signers"), filepath.Join(dir, "sig")
	must(t, os.WriteFile(signers, append([]byte("otto "), ssh.MarshalAuthorizedKey(s.Public)...), 0o600))
	must(t, os.WriteFile(file, approval.Armor(blob), 0o600))
	c := exec.CommandContext(t.Context(), "ssh-keygen", "-Y", "verify", "-f", signers, "-I", "otto", "-n", namespace, "-s",
		file)
	c.Stdin = bytes.NewReader(message)
	if out, err := c.CombinedOutput(); err != nil {
		t.Errorf("%s: ssh-keygen: %v: %s", s.Where, err, out)
	}
}

func TestKeysOfTheAgentSign(t *testing.T) {
	dir, socket := t.TempDir(), realAgent(t)
	ed, ec := keygen(t, dir, "work", "", "-t", "ed25519"), keygen(t, dir, "home", "", "-t", "ecdsa", "-b", "256")
	old := keygen(t, dir, "old", "", "-t", "rsa", "-b", "2048")
	env := []string{"SSH_AUTH_SOCK=" + socket}
	with := tools(dir, socket)
	find := func(name string) (*Signer, error) { return with.Find(t.Context(), name) }
	if _, err := find("agent"); err == nil || !strings.Contains(err.Error(), "ssh-add") {
		t.Errorf("an empty agent: %v", err)
	}
	run(t, env, "ssh-add", "-q", old)
	if _, err := find("agent"); err == nil || !strings.Contains(err.Error(), "no key of Ed25519") {
		t.Errorf("an agent with a key of RSA: %v", err)
	}
	run(t, env, "ssh-add", "-q", ed)
	only, err := find("agent")
	must(t, err)
	holds(t, only)
	run(t, env, "ssh-add", "-q", ec)
	if _, err := find("agent"); err == nil || !strings.Contains(err.Error(), only.Fingerprint()+"  ssh-ed25519, work") {
		t.Errorf("several keys: %v", err)
	}
	for _, name := range []string{"agent:home", "agent:" + only.Fingerprint(), "agent:" + ec + ".pub", ec + ".pub",
		"ssh-keygen:" + ec + ".pub", "agent:~/work.pub"} {
		t.Setenv("SSH_AUTH_SOCK", socket) // for ssh-keygen
		s, err := find(name)
		must(t, err)
		holds(t, s)
	}
	if _, err := find("agent:nobody"); err == nil || !strings.Contains(err.Error(), "it has:") {
		t.Errorf("an unknown key: %v", err)
	}
	for _, nowhere := range []string{"", filepath.Join(dir, "nowhere")} {
		if _, err := tools(dir, nowhere).Find(t.Context(), "agent"); err == nil {
			t.Errorf("there is no agent at %q", nowhere)
		}
	}
}

func TestFilesOfPrivateKeysSign(t *testing.T) {
	dir := t.TempDir()
	with := tools(dir, "")
	for _, kind := range [][]string{{"-t", "ed25519"}, {"-t", "ecdsa", "-b", "256"},
		{"-t", "ecdsa", "-b", "256", "-m", "PEM"}} {
		file := keygen(t, t.TempDir(), "key", "", kind...)
		for _, name := range []string{file, file + ".pub", "ssh-keygen:" + file} {
			s, err := with.Find(t.Context(), name)
			must(t, err)
			holds(t, s)
		}
		must(t, os.Remove(file+".pub"))
		s, err := with.Find(t.Context(), file)
		must(t, err)
		holds(t, s)
	}
	file := keygen(t, dir, "open", "", "-t", "ed25519")
	must(t, os.Chmod(file, 0o644)) // #nosec G302 -- this is what is refused
	for name, why := range map[string]string{file: "chmod 600", filepath.Join(dir, "none"): "no such file",
		"ssh-keygen:" + file: "chmod 600", file + ".pub": "neither in ssh-agent nor"} {
		if _, err := with.Find(t.Context(), name); err == nil || !strings.Contains(err.Error(), why) {
			t.Errorf("%s: %v, want %q", name, err, why)
		}
	}
}

func TestAPassphraseIsAskedForWhenItIsNeeded(t *testing.T) {
	dir := t.TempDir()
	file := keygen(t, dir, "key", "correct horse", "-t", "ed25519")
	with := tools(dir, "")
	s, err := with.Find(t.Context(), file)
	must(t, err)
	if _, err := s.SSHSIG(t.Context(), "n", nil); err == nil || !strings.Contains(err.Error(), "ssh-add "+file) {
		t.Errorf("nobody can be asked: %v", err)
	}
	var asked []string
	answers := []string{"wrong", "correct horse"}
	with.Secret = func(_ context.Context, question string) ([]byte, error) {
		asked = append(asked, question)
		return []byte(answers[min(len(asked), len(answers))-1]), nil
	}
	s, err = with.Find(t.Context(), file)
	must(t, err)
	if len(asked) != 0 {
		t.Errorf("asked before anything is signed: %q", asked)
	}
	holds(t, s)
	if len(asked) != 2 || !strings.Contains(asked[0], file) || !strings.Contains(asked[1], "not its passphrase") {
		t.Errorf("asked %q", asked)
	}
	asked, answers = nil, []string{"wrong"}
	if _, err := s.SSHSIG(t.Context(), "n", nil); err == nil || len(asked) != tries {
		t.Errorf("%v after %d questions", err, len(asked))
	}
}

// A security key signs through the agent, and through ssh-keygen, which asks the agent.
func TestSecurityKeysSign(t *testing.T) {
	for _, algorithm := range []string{at.SKEd25519, at.SKECDSA} {
		k := at.New("otto", algorithm)
		dir, socket := t.TempDir(), serve(t, securityKeys{keys: []*at.Key{k}})
		t.Setenv("SSH_AUTH_SOCK", socket) // for ssh-keygen
		public := filepath.Join(dir, "token.pub")
		must(t, os.WriteFile(public, []byte(k.AuthorizedKey()+" token\n"), 0o600))
		with := tools(dir, socket)
		var said bytes.Buffer
		with.Err = &said
		for _, name := range []string{"agent", "agent:token", public, "ssh-keygen:" + public} {
			s, err := with.Find(t.Context(), name)
			must(t, err)
			if !s.Hardware() {
				t.Errorf("%s is a security key", name)
			}
			holds(t, s)
		}
		if !strings.Contains(said.String(), "Touch your security key") {
			t.Errorf("nobody is told to touch it: %s", &said)
		}
		if s := with.Among([]ssh.PublicKey{must2(ssh.ParsePublicKey(k.PublicBytes()))}); s == nil {
			t.Error("it is not found among the keys here")
		}
	}
}

func must2(k ssh.PublicKey, err error) ssh.PublicKey {
	if err != nil {
		panic(err)
	}
	return k
}

// What OpenSSH writes into the file of a security key's private half: no secret, but whether a PIN is demanded.
func TestTheFileOfASecurityKeySaysWhetherItVerifies(t *testing.T) {
	for _, algorithm := range []string{at.SKEd25519, at.SKECDSA} {
		k := at.New("otto", algorithm)
		for _, flags := range []byte{0x01, 0x05} {
			file := filepath.Join(t.TempDir(), "sk")
			must(t, os.WriteFile(file, skFile(k, flags), 0o600))
			if got := Verifies(file + ".pub"); got != (flags == 0x05) {
				t.Errorf("%s with flags %#x: %v", algorithm, flags, got)
			}
			if out := run(t, nil, "ssh-keygen", "-y", "-f", file); !strings.HasPrefix(out, k.AuthorizedKey()) {
				t.Errorf("ssh-keygen reads %s", out)
			}
			s, err := tools("", "").Find(t.Context(), file)
			must(t, err)
			if !strings.HasSuffix(s.Where, "by ssh-keygen") {
				t.Errorf("it signs by %s", s.Where)
			}
		}
	}
}

// skFile is a private key's file as ssh-keygen writes it for a security key.
func skFile(k *at.Key, flags byte) []byte {
	public := k.PublicBytes()
	inner := append(bytes.Repeat([]byte{1, 2, 3, 4}, 2), public...) // the algorithm, the key, its application
	inner = texts(append(inner, flags), "handle", "", "comment")
	for pad := byte(1); len(inner)%8 != 0; pad++ {
		inner = append(inner, pad)
	}
	blob := texts([]byte("openssh-key-v1\x00"), "none", "none", "")
	blob = texts(append(blob, 0, 0, 0, 1), string(public), string(inner))
	return []byte("-----BEGIN OPENSSH PRIVATE KEY-----\n" + base64.StdEncoding.EncodeToString(blob) +
		"\n-----END OPENSSH PRIVATE KEY-----\n")
}

func TestOtherKeysAreNotAccepted(t *testing.T) {
	file := keygen(t, t.TempDir(), "rsa", "", "-t", "rsa", "-b", "2048")
	key, comment, err := ReadPublic(file + ".pub")
	must(t, err)
	if err := Accepted(key); err == nil || comment != "rsa" || !strings.Contains(err.Error(), "ssh-keygen -t ed25519") {
		t.Errorf("%v, comment %q", err, comment)
	}
	if _, _, err := ReadPublic(file); err == nil || !strings.Contains(err.Error(), file+".pub") {
		t.Errorf("a private key is offered: %v", err)
	}
	if _, err := SignerOf([]byte("SSHSIG")); err == nil {
		t.Error("that is no signature")
	}
}
