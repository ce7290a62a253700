package oracletest

import (
	"bytes"
	"encoding/base64"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hiddeco/sshsig"
	"github.com/openlockbox/lockbox/pkg/approval"
	at "github.com/openlockbox/lockbox/pkg/approval/approvaltest"
	"golang.org/x/crypto/ssh"
)

var sshAlgorithms = []string{at.Ed25519, at.ECDSA, at.SKEd25519, at.SKECDSA}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// statement is an approval by that key, as it is signed.
func statement(t *testing.T, k *at.Key) []byte {
	t.Helper()
	text, err := at.Begin().Decide(approval.Approve, "otto", k).Bytes()
	must(t, err)
	return text
}

func write(t *testing.T, dir, name string, content []byte) string {
	t.Helper()
	path := filepath.Join(dir, name)
	must(t, os.WriteFile(path, content, 0o600))
	return path
}

// keygenVerifies reports whether ssh-keygen -Y verify alone accepts a signature, as the README tells customers to do.
func keygenVerifies(t *testing.T, k *at.Key, format string, message, armored []byte) bool {
	t.Helper()
	dir := t.TempDir()
	namespace := approval.Namespace(format)
	signers := write(t, dir, "allowed_signers", []byte("otto namespaces=\""+namespace+"\" "+k.AuthorizedKey()+"\n"))
	c := exec.CommandContext(t.Context(), "ssh-keygen", "-Y", "verify", "-f", signers, "-I", "otto", "-n", namespace, "-s",
		write(t, dir, "statement.sig", armored))
	c.Stdin = bytes.NewReader(message)
	out, err := c.CombinedOutput()
	if good := bytes.HasPrefix(out, []byte("Good \""+namespace+"\" signature for otto")); good != (err == nil) {
		t.Fatalf("ssh-keygen: %v: %s", err, out)
	}
	return err == nil
}

func TestOpenSSHVerifiesWhatIsSignedHere(t *testing.T) {
	for _, algorithm := range sshAlgorithms {
		k := at.New("otto", algorithm)
		text := statement(t, k)
		armored := approval.Armor(k.SSHSIG(approval.FormatDecision, text))
		if !keygenVerifies(t, k, approval.FormatDecision, text, armored) {
			t.Errorf("%s: not accepted", algorithm)
		}
		for name, refused := range map[string]bool{
			"another statement": keygenVerifies(t, k, approval.FormatDecision, append(text, ' '), armored),
			"another format":    keygenVerifies(t, k, approval.FormatKeys, text, armored),
			"another key":       keygenVerifies(t, at.New("anna", algorithm), approval.FormatDecision, text, armored),
		} {
			if refused {
				t.Errorf("%s: ssh-keygen accepts it for %s", algorithm, name)
			}
		}
		// Touch is what OpenSSH demands of a security key; that its user was verified, only this package does.
		if k.Verification == 1 {
			k.Flags = at.UP
			armored = approval.Armor(k.SSHSIG(approval.FormatDecision, text))
			_, err := k.Verify(k.Sign(approval.FormatDecision, text), approval.FormatDecision, text)
			if !keygenVerifies(t, k, approval.FormatDecision, text, armored) ||
				approval.RuleOf(err) != approval.RuleVerification {
				t.Errorf("%s without its PIN: %v", algorithm, err)
			}
		}
	}
}

func TestWhatOpenSSHSignsIsVerifiedHere(t *testing.T) {
	for _, arguments := range [][]string{{"-t", "ed25519"}, {"-t", "ecdsa", "-b", "256"}} {
		dir := t.TempDir()
		file := filepath.Join(dir, "key")
		out, err := exec.CommandContext(t.Context(), "ssh-keygen",
			append(arguments, "-q", "-N", "", "-f", file)...).CombinedOutput()
		if err != nil {
			t.Fatalf("ssh-keygen: %v: %s", err, out)
		}
		line, err := os.ReadFile(file + ".pub")
		must(t, err)
		blob, err := base64.StdEncoding.DecodeString(strings.Fields(string(line))[1])
		must(t, err)
		key := approval.Key{Kind: approval.KindSSH, Public: base64.RawURLEncoding.EncodeToString(blob)}
		id, err := key.ID()
		must(t, err)
		text := statement(t, at.New("otto", at.Ed25519))
		sign := func(more ...string) approval.Signature {
			path := write(t, t.TempDir(), "statement", text)
			out, err := exec.CommandContext(t.Context(), "ssh-keygen",
				append([]string{"-Y", "sign", "-f", file}, append(more, path)...)...).CombinedOutput()
			if err != nil {
				t.Fatalf("ssh-keygen: %v: %s", err, out)
			}
			armored, err := os.ReadFile(path + ".sig")
			must(t, err)
			blob, err := approval.Unarmor(armored)
			must(t, err)
			if again := approval.Armor(blob); !bytes.Equal(again, armored) {
				t.Errorf("armored otherwise than by ssh-keygen:\n%s%s", again, armored)
			}
			return approval.Signature{Key: id, Bytes: base64.RawURLEncoding.EncodeToString(blob)}
		}
		namespace := approval.Namespace(approval.FormatDecision)
		if _, err := key.Verify(sign("-n", namespace), approval.FormatDecision, text); err != nil {
			t.Errorf("%v: %v", arguments, err)
		}
		for rule, signature := range map[approval.Rule]approval.Signature{
			approval.RuleNamespace: sign("-n", "git"),
			approval.RuleHash:      sign("-n", namespace, "-O", "hashalg=sha256"),
		} {
			if _, err := key.Verify(signature, approval.FormatDecision, text); approval.RuleOf(err) != rule {
				t.Errorf("%v: %v, want %q", arguments, err, rule)
			}
		}
	}
}

func TestAnotherLibraryAgreesAboutSSH(t *testing.T) {
	for _, algorithm := range sshAlgorithms {
		k := at.New("otto", algorithm)
		text := statement(t, k)
		blob := k.SSHSIG(approval.FormatDecision, text)
		public, err := ssh.ParsePublicKey(k.PublicBytes())
		must(t, err)
		verify := func(blob []byte) error {
			signature, err := sshsig.ParseSignature(blob)
			if err == nil {
				err = sshsig.Verify(bytes.NewReader(text), signature, public, sshsig.HashSHA512,
					approval.Namespace(approval.FormatDecision))
			}
			return err
		}
		if err := verify(blob); err != nil {
			t.Errorf("%s: %v", algorithm, err)
		}
		s := k.Sign(approval.FormatDecision, text)
		for i := range blob {
			other := bytes.Clone(blob)
			other[i] ^= 1
			s.Bytes = base64.RawURLEncoding.EncodeToString(other)
			if _, err := k.Verify(s, approval.FormatDecision, text); err == nil {
				t.Errorf("%s: byte %d changed, and it is accepted here; the library says %v", algorithm, i, verify(other))
			}
		}
		// What the library signs, with its own idea of the format.
		if signer, err := ssh.NewSignerFromSigner(k.Signer()); algorithm == at.Ed25519 || algorithm == at.ECDSA {
			must(t, err)
			made, err := sshsig.Sign(bytes.NewReader(text), signer, sshsig.HashSHA512,
				approval.Namespace(approval.FormatDecision))
			must(t, err)
			s.Bytes = base64.RawURLEncoding.EncodeToString(made.Marshal())
			if _, err := k.Verify(s, approval.FormatDecision, text); err != nil {
				t.Errorf("%s: %v", algorithm, err)
			}
		}
	}
}
