package jwks

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"time"

	"github.com/openlockbox/lockbox/pkg/durable"
	"github.com/openlockbox/lockbox/pkg/identity"
	"go.uber.org/zap"
)

const maxCache = identity.MostJWKS + 64<<10 // bytes

// cached is the content of the cache file: the keys, their issuer, where and when they were fetched.
type cached struct {
	Issuer  string          `json:"issuer"`
	URL     string          `json:"jwks_url,omitempty"`
	Fetched time.Time       `json:"fetched"`
	Keys    json.RawMessage `json:"jwks"`
}

// load reads the keys from the cache file. A damaged file or one of another issuer is ignored; one that cannot be read,
// or that other users can write, is an error.
func (s *Source) load() error {
	if s.config.CacheFile == "" {
		return nil
	}
	data, err := read(s.config.CacheFile)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	}
	s.remember(data)
	return nil
}

func (s *Source) remember(data []byte) {
	var c cached
	switch err := json.Unmarshal(data, &c); {
	case err != nil || c.Issuer != s.config.Issuer || c.URL != s.config.URL:
		s.config.Log.Warn("the cache file holds no keys of this issuer", zap.String("file", s.config.CacheFile))
		return
	case c.Fetched.After(s.config.Now()):
		s.config.Log.Warn("the cache file is from the future, so nobody knows how old its keys are",
			zap.Time("from", c.Fetched))
		return
	}
	if err := s.take(c.Keys, c.Fetched); err != nil {
		s.config.Log.Warn("the cache file holds no key set", zap.String("file", s.config.CacheFile), zap.Error(err))
	}
}

func read(path string) (data []byte, err error) {
	file, err := os.Open(path) // #nosec G304 -- the operator names the file
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	info, err := file.Stat()
	if err != nil {
		return nil, err
	}
	if mode := info.Mode(); !mode.IsRegular() || mode.Perm()&0o022 != 0 {
		return nil, fmt.Errorf("the cache file %s can be written by other users than its owner (mode %v), who could impersonate anybody", path, mode)
	}
	return io.ReadAll(io.LimitReader(file, maxCache))
}

// save writes the keys to the cache file for the next start. A failure does not affect the running process.
func (s *Source) save() {
	if s.config.CacheFile == "" {
		return
	}
	if err := s.write(s.held.Load()); err != nil {
		s.config.Log.Warn("the issuer's keys are not kept over a restart", zap.Error(err))
	}
}

func (s *Source) write(k *keys) error {
	data, err := json.Marshal(cached{s.config.Issuer, s.config.URL, k.fetched, k.usable})
	if err != nil {
		return err
	}
	return durable.Replace(s.config.CacheFile, data, 0o600)
}
