package config

import (
	"fmt"
	"io"
	"os"
	"strings"
)

const maxSecret = 64 << 10

// SecretFile is the path of a file that holds a secret. The secret is read when needed and never stored in a
// configuration, where it could end up in a log.
type SecretFile string

// Read returns the file's content without the trailing line feed. A file that is empty, larger than 64 KB, or writable
// by every user of the machine is an error.
func (f SecretFile) Read() (secret string, err error) {
	file, err := os.Open(string(f))
	if err != nil {
		return "", fmt.Errorf("reading a secret: %w", err)
	}
	defer func() {
		if e := file.Close(); err == nil && e != nil {
			err = fmt.Errorf("reading a secret: %w", e)
		}
	}()
	info, err := file.Stat()
	if err != nil {
		return "", fmt.Errorf("reading a secret: %w", err)
	}
	if info.Mode().Perm()&0o002 != 0 {
		return "", fmt.Errorf("the secret in %s can be replaced by every user of this machine (mode %v)", f,
			info.Mode().Perm())
	}
	b, err := io.ReadAll(io.LimitReader(file, maxSecret+1))
	if err != nil {
		return "", fmt.Errorf("reading a secret: %w", err)
	}
	secret = strings.TrimRight(string(b), "\r\n")
	if secret == "" || len(b) > maxSecret {
		return "", fmt.Errorf("the secret in %s is empty or longer than %d bytes", f, maxSecret)
	}
	return secret, nil
}
