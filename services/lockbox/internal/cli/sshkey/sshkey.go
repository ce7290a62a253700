// Package sshkey signs with keys of SSH as ssh-keygen -Y sign does: through ssh-agent, with a private key file, or by
// running ssh-keygen, which asks for the touch and PIN of a security key. It knows nothing of what is signed.
package sshkey

import (
	"context"
	"crypto/rand"
	"crypto/sha512"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/crypto/ssh"
)

// Signer is a key that can sign here.
type Signer struct {
	Public ssh.PublicKey
	// Comment is what its owner calls it; it may be empty.
	Comment string
	// Where it is, in words: "ssh-agent", or its file.
	Where string

	sign func(ctx context.Context, namespace string, message []byte) ([]byte, error)
}

// SSHSIG signs a message in a namespace and returns the signature without its armor. It can take as long as somebody
// needs to touch a security key, or to type a passphrase.
func (s *Signer) SSHSIG(ctx context.Context, namespace string, message []byte) ([]byte, error) {
	return s.sign(ctx, namespace, message)
}

// Fingerprint is that of OpenSSH: SHA256:….
func (s *Signer) Fingerprint() string { return ssh.FingerprintSHA256(s.Public) }

// Encoded is the public key in SSH's wire format, as base64url without padding.
func (s *Signer) Encoded() string { return base64.RawURLEncoding.EncodeToString(s.Public.Marshal()) }

// Hardware reports whether the key lives in a security key.
func (s *Signer) Hardware() bool { return hardware(s.Public) }

func hardware(k ssh.PublicKey) bool { return strings.HasPrefix(k.Type(), "sk-") }

// Tools are what signing uses of the process.
type Tools struct {
	Getenv func(string) string
	// Secret asks a person for a passphrase; nil if nobody can be asked.
	Secret func(ctx context.Context, question string) ([]byte, error)
	// Err is where ssh-keygen says that a key has to be touched.
	Err io.Writer
}

// Ways to name a key beside the path of its file.
const (
	// Agent, alone or followed by a colon and a fingerprint, a file with the public key or a comment, names a key of
	// ssh-agent.
	Agent = "agent"
	// Keygen, followed by a colon and a file, has ssh-keygen sign.
	Keygen = "ssh-keygen"
)

// Find returns the key that a person names: agent, agent:WHICH, ssh-keygen:FILE, the file of a private key, or that of
// a public key (FILE.pub) whose private key is in ssh-agent or beside it.
func (t Tools) Find(ctx context.Context, name string) (*Signer, error) {
	kind, which, _ := strings.Cut(name, ":")
	switch kind {
	case Agent:
		return t.inAgent(which)
	case Keygen:
		return t.byKeygen(t.Path(which))
	}
	file := t.Path(name)
	if private, public := strings.CutSuffix(file, ".pub"); public {
		key, _, err := ReadPublic(file)
		if err != nil {
			return nil, err
		}
		if s := t.Among([]ssh.PublicKey{key}, private); s != nil {
			return s, nil
		}
		return nil, fmt.Errorf("the private key of %s is neither in ssh-agent nor in %s", file, private)
	}
	return t.inFile(ctx, file)
}

// Path is a path whose ~/ stands for the user's home.
func (t Tools) Path(s string) string {
	if rest, home := strings.CutPrefix(s, "~/"); home {
		return filepath.Join(t.Getenv("HOME"), rest)
	}
	return s
}

// Among returns the first of these keys that can sign here: in ssh-agent, in one of the files, or where OpenSSH keeps
// keys; nil if none can. Nobody is asked for anything.
func (t Tools) Among(keys []ssh.PublicKey, files ...string) *Signer {
	held, _ := t.agentKeys() // without an agent, files are left
	for _, key := range keys {
		for _, s := range held {
			if same(s.Public, key) {
				return s
			}
		}
	}
	found, _ := filepath.Glob(filepath.Join(t.Getenv("HOME"), ".ssh", "*.pub"))
	for _, file := range found {
		files = append(files, strings.TrimSuffix(file, ".pub"))
	}
	for _, file := range files {
		s, err := t.fileOf(file)
		if err == nil && slices.ContainsFunc(keys, func(k ssh.PublicKey) bool { return same(k, s.Public) }) {
			return s
		}
	}
	return nil
}

func same(a, b ssh.PublicKey) bool { return string(a.Marshal()) == string(b.Marshal()) }

// maxFile is more than any key takes, in bytes.
const maxFile = 64 << 10

func read(file string) ([]byte, error) {
	f, err := os.Open(file) // #nosec G304 -- the user names their own key
	if err != nil {
		return nil, err
	}
	data, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if e := f.Close(); err == nil {
		err = e
	}
	if err == nil && len(data) > maxFile {
		err = fmt.Errorf("%s is too large to be a key", file)
	}
	return data, err
}

// ReadPublic reads a public key from a file as ssh-keygen writes it, with its comment.
func ReadPublic(file string) (key ssh.PublicKey, comment string, err error) {
	data, err := read(file)
	if err != nil {
		return nil, "", err
	}
	key, comment, _, _, err = ssh.ParseAuthorizedKey(data)
	if err != nil {
		if strings.Contains(string(data), "PRIVATE KEY") {
			return nil, "", fmt.Errorf("%s is a private key: name the public one, %s.pub", file, file)
		}
		return nil, "", fmt.Errorf("%s is no public key of SSH", file)
	}
	return key, comment, nil
}

// sshsig makes a signature in the format of PROTOCOL.sshsig of OpenSSH, with a function that makes the one inside.
func sshsig(
	key ssh.PublicKey, namespace string, message []byte, sign func([]byte) (*ssh.Signature, error),
) ([]byte, error) {
	const magic, hash = "SSHSIG", "sha512"
	sum := sha512.Sum512(message)
	made, err := sign(texts([]byte(magic), namespace, "", hash, string(sum[:])))
	if err != nil {
		return nil, err
	}
	blob := binary.BigEndian.AppendUint32([]byte(magic), 1)
	return texts(blob, string(key.Marshal()), namespace, "", hash, string(ssh.Marshal(made))), nil
}

// texts appends strings of SSH's wire format.
func texts(to []byte, all ...string) []byte {
	for _, s := range all {
		to = append(binary.BigEndian.AppendUint32(to, uint32(len(s))), s...) // #nosec G115 -- all are short
	}
	return to
}

// withSigner signs with a private key that is at hand.
func withSigner(s ssh.Signer, namespace string, message []byte) ([]byte, error) {
	return sshsig(s.PublicKey(), namespace, message, func(data []byte) (*ssh.Signature, error) {
		return s.Sign(rand.Reader, data)
	})
}

// SignerOf returns the public key of an armorless signature, whoever made it, and however it was made.
func SignerOf(sshsig []byte) (ssh.PublicKey, error) {
	errNone := errors.New("it is no signature of SSH")
	rest, is := strings.CutPrefix(string(sshsig), "SSHSIG")
	var outer struct {
		Version uint32
		Public  []byte
		Rest    []byte `ssh:"rest"`
	}
	if !is || ssh.Unmarshal([]byte(rest), &outer) != nil {
		return nil, errNone
	}
	key, err := ssh.ParsePublicKey(outer.Public)
	if err != nil {
		return nil, errNone
	}
	return key, nil
}
