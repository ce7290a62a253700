package devissuer

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// keep returns the content of a file in dir, and calls create for it the first time. If two processes do so at once,
// one wins and both get its content. A file that others can read is rejected: its secret may have leaked.
func keep(dir, name string, create func() ([]byte, error)) ([]byte, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("making the demo issuer's directory: %w", err)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, fmt.Errorf("opening the demo issuer's directory: %w", err)
	}
	defer root.Close()
	if _, err := root.Stat(name); errors.Is(err, fs.ErrNotExist) {
		content, err := create()
		if err != nil {
			return nil, err
		}
		if err := store(root, name, content); err != nil {
			return nil, fmt.Errorf("storing the demo issuer's %s: %w", name, err)
		}
	}
	info, err := root.Stat(name)
	if err != nil {
		return nil, fmt.Errorf("reading the demo issuer's %s: %w", name, err)
	}
	if info.Mode().Perm()&0o077 != 0 {
		return nil, fmt.Errorf("%s can be read by others (mode %v); remove it, and a new one is made",
			filepath.Join(dir, name), info.Mode().Perm())
	}
	content, err := root.ReadFile(name)
	if err != nil {
		return nil, fmt.Errorf("reading the demo issuer's %s: %w", name, err)
	}
	return content, nil
}

// store writes a file atomically, and leaves an existing one alone.
func store(root *os.Root, name string, content []byte) error {
	draft := name + "." + rand.Text()
	if err := root.WriteFile(draft, content, 0o600); err != nil {
		return err
	}
	err := root.Link(draft, name)
	if errors.Is(err, fs.ErrExist) {
		err = nil
	}
	return errors.Join(err, root.Remove(draft))
}

func keepKey(dir, name string) (*ecdsa.PrivateKey, error) {
	content, err := keep(dir, name, func() ([]byte, error) {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			return nil, fmt.Errorf("making the demo issuer's %s: %w", name, err)
		}
		der, err := x509.MarshalPKCS8PrivateKey(key)
		if err != nil {
			return nil, fmt.Errorf("making the demo issuer's %s: %w", name, err)
		}
		return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), nil
	})
	if err != nil {
		return nil, err
	}
	broken := fmt.Errorf("%s is not a P-256 private key; remove it, and a new one is made", filepath.Join(dir, name))
	block, _ := pem.Decode(content)
	if block == nil {
		return nil, broken
	}
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, broken
	}
	key, ok := parsed.(*ecdsa.PrivateKey)
	if !ok || key.Curve != elliptic.P256() {
		return nil, broken
	}
	return key, nil
}

func keepSecret(dir string) (string, error) {
	content, err := keep(dir, "secret", func() ([]byte, error) { return []byte(rand.Text() + "\n"), nil })
	if err != nil {
		return "", err
	}
	secret := strings.TrimSpace(string(content))
	if len(secret) < 20 {
		return "", fmt.Errorf("%s is too short to be a secret; remove it, and a new one is made",
			filepath.Join(dir, "secret"))
	}
	return secret, nil
}

func keepURL(dir, wanted string) (string, error) {
	first := wanted
	if first == "" {
		first = DefaultURL
	}
	if err := checkURL(first); err != nil {
		return "", err
	}
	content, err := keep(dir, "url", func() ([]byte, error) { return []byte(first + "\n"), nil })
	if err != nil {
		return "", err
	}
	kept := strings.TrimSpace(string(content))
	if err := checkURL(kept); err != nil {
		return "", fmt.Errorf("%s: %w", filepath.Join(dir, "url"), err)
	}
	if wanted != "" && wanted != kept {
		return "", fmt.Errorf("this demo's people are known as those of %s; serve it there again, or begin with an empty directory", kept)
	}
	return kept, nil
}
