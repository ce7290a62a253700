package sshkey

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"

	"github.com/openlockbox/lockbox/pkg/approval"
	"golang.org/x/crypto/ssh"
)

// private is what a private key's file says without its passphrase.
type private struct {
	data    []byte
	public  ssh.PublicKey // nil if the file does not say
	comment string
	// verifies is set if the file says that its security key verifies its user each time.
	verifies bool
}

// readPrivate reads a private key's file. As OpenSSH does, it refuses one that others may read.
func readPrivate(file string) (p private, err error) {
	info, err := os.Stat(file)
	if err != nil {
		return p, err
	}
	if p.data, err = read(file); err != nil {
		return p, err
	}
	block, _ := pem.Decode(p.data)
	if block == nil || !strings.HasSuffix(block.Type, "PRIVATE KEY") {
		return p, fmt.Errorf("%s is no private key", file)
	}
	if mode := info.Mode().Perm(); mode&0o077 != 0 {
		return p, fmt.Errorf("others may read %s (mode %v): `chmod 600 %s`, and if others were there, make a new key", file,
			mode, file)
	}
	p.header(block)
	if key, comment, err := ReadPublic(file + ".pub"); err == nil {
		if p.public == nil {
			p.public = key
		}
		if same(key, p.public) {
			p.comment = comment
		}
	}
	return p, nil
}

// header reads the public key of OpenSSH's own format (PROTOCOL.key), which is never encrypted.
func (p *private) header(block *pem.Block) {
	rest, is := bytes.CutPrefix(block.Bytes, []byte("openssh-key-v1\x00"))
	var head struct {
		Cipher, Derivation, Options string
		Keys                        uint32
		Public, Private             []byte
	}
	if !is || ssh.Unmarshal(rest, &head) != nil {
		return
	}
	p.public, _ = ssh.ParsePublicKey(head.Public)
	if p.public == nil || !hardware(p.public) || head.Cipher != "none" {
		return
	}
	// Behind the check, which is twice the same number, the key again, then what its security key is asked for.
	var inner struct {
		Check1, Check2 uint32
		Algorithm      string
		Rest           []byte `ssh:"rest"`
	}
	var curve struct {
		Curve string
		Rest  []byte `ssh:"rest"`
	}
	var tail struct {
		Public      []byte
		Application string
		Flags       byte
		Rest        []byte `ssh:"rest"`
	}
	if ssh.Unmarshal(head.Private, &inner) != nil {
		return
	}
	if inner.Algorithm == ssh.KeyAlgoSKECDSA256 {
		if ssh.Unmarshal(inner.Rest, &curve) != nil {
			return
		}
		inner.Rest = curve.Rest
	}
	const verificationRequired = 0x04 // SSH_SK_USER_VERIFICATION_REQD
	if ssh.Unmarshal(inner.Rest, &tail) == nil {
		p.verifies = tail.Flags&verificationRequired != 0
	}
}

// Verifies reports whether the private key beside a public key's file says that its security key verifies its user each
// time; false also if that cannot be read.
func Verifies(file string) bool {
	p, err := readPrivate(strings.TrimSuffix(file, ".pub"))
	return err == nil && p.verifies
}

// inFile is the key of a private key's file; whatever is not to be read without the passphrase is asked for now.
func (t Tools) inFile(ctx context.Context, file string) (*Signer, error) {
	if s, err := t.fileOf(file); err == nil || !errors.Is(err, errUnsaid) {
		return s, err
	}
	p, err := readPrivate(file)
	if err != nil {
		return nil, err
	}
	signer, err := t.open(ctx, file, p)
	if err != nil {
		return nil, err
	}
	return &Signer{Public: signer.PublicKey(), Where: file,
		sign: func(_ context.Context, namespace string, message []byte) ([]byte, error) {
			return withSigner(signer, namespace, message)
		}}, nil
}

var errUnsaid = errors.New("the file does not say its public key")

// fileOf is the key of a private key's file that says its public key. Only when it signs, it is decrypted.
func (t Tools) fileOf(file string) (*Signer, error) {
	p, err := readPrivate(file)
	switch {
	case err != nil:
		return nil, err
	case p.public == nil:
		return nil, errUnsaid
	case hardware(p.public):
		return t.keygen(file, p.public, p.comment), nil
	}
	return &Signer{Public: p.public, Comment: p.comment, Where: file,
		sign: func(ctx context.Context, namespace string, message []byte) ([]byte, error) {
			signer, err := t.open(ctx, file, p)
			if err != nil {
				return nil, err
			}
			return withSigner(signer, namespace, message)
		}}, nil
}

// tries is how often a passphrase is asked for.
const tries = 3

// open decrypts a private key.
func (t Tools) open(ctx context.Context, file string, p private) (ssh.Signer, error) {
	raw, err := ssh.ParseRawPrivateKey(p.data)
	if missing := (*ssh.PassphraseMissingError)(nil); errors.As(err, &missing) {
		if t.Secret == nil {
			return nil, fmt.Errorf("%s has a passphrase, and nobody can be asked for it here: add it to ssh-agent with "+
				"`ssh-add %s`", file, file)
		}
		for n := 0; n < tries && err != nil; n++ {
			var secret []byte
			question := fmt.Sprintf("Passphrase for %s: ", file)
			if n > 0 {
				question = "That is not its passphrase. " + question
			}
			if secret, err = t.Secret(ctx, question); err != nil {
				return nil, err
			}
			raw, err = ssh.ParseRawPrivateKeyWithPassphrase(p.data, secret)
			clear(secret)
			if err != nil && !errors.Is(err, x509.IncorrectPasswordError) {
				break
			}
		}
		if errors.Is(err, x509.IncorrectPasswordError) {
			return nil, fmt.Errorf("that is not the passphrase of %s", file)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("%s cannot be read as a private key: %w", file, err)
	}
	return ssh.NewSignerFromKey(raw)
}

// byKeygen is a key with which ssh-keygen signs; the file is that of the private key, or of the public one of
// ssh-agent.
func (t Tools) byKeygen(file string) (*Signer, error) {
	if key, comment, err := ReadPublic(file); err == nil {
		return t.keygen(file, key, comment), nil
	}
	p, err := readPrivate(file)
	if err == nil && p.public == nil {
		err = fmt.Errorf("%s does not say its public key: put that beside it, in %s.pub", file, file)
	}
	if err != nil {
		return nil, err
	}
	return t.keygen(file, p.public, p.comment), nil
}

func (t Tools) keygen(file string, key ssh.PublicKey, comment string) *Signer {
	return &Signer{Public: key, Comment: comment, Where: file + ", by ssh-keygen",
		sign: func(ctx context.Context, namespace string, message []byte) ([]byte, error) {
			// #nosec G204 -- the user's own file and a namespace of package approval
			c := exec.CommandContext(ctx, "ssh-keygen", "-Y", "sign", "-f", file, "-n", namespace)
			var out, said bytes.Buffer
			c.Stdin, c.Stdout, c.Stderr = bytes.NewReader(message), &out, &said
			if t.Err != nil { // it asks there for the touch; for PIN and passphrase it asks at the terminal itself
				c.Stderr = io.MultiWriter(&said, t.Err)
			}
			err := c.Run()
			if errors.Is(err, exec.ErrNotFound) {
				return nil, errors.New("ssh-keygen, of OpenSSH, is not installed, and a security key signs through it")
			}
			if err != nil {
				return nil, fmt.Errorf("ssh-keygen did not sign with %s: %s", file,
					strings.Join(strings.Fields(said.String()), " "))
			}
			return approval.Unarmor(out.Bytes())
		}}
}
