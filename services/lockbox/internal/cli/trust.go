package cli

import (
	"errors"
	"io/fs"
	"os"
	"strings"

	"github.com/openlockbox/lockbox/pkg/merkle"
	"github.com/spf13/cobra"
)

// trust is how somebody says whose signatures they trust.
type trust struct{ policy, key string }

func (t *trust) flags(c *cobra.Command) {
	c.Flags().StringVar(&t.policy, "policy", "", "`file` that names the log's key, witnesses and how many of them must have signed")
	c.Flags().StringVar(&t.key, "log-key", "", "the log's public `key`, or a file with it (LOCKBOX_LOG_KEY); no witness is asked for")
	_ = c.MarkFlagFilename("policy") // fails only for a flag that is not there
}

// read returns the policy, and where it comes from. Without a word of the user it is the key of the Lockbox on this machine: good
// to try it out, and no proof against whoever runs that.
func (t *trust) read(a *app, c *cobra.Command) (p *merkle.Policy, from string, err error) {
	key := first(t.key, a.Getenv("LOCKBOX_LOG_KEY"))
	if t.policy != "" {
		if t.key != "" {
			return nil, "", usage(c, "--policy names the log's key already; leave out --log-key")
		}
		text, err := os.ReadFile(t.policy)
		if err != nil {
			return nil, "", err
		}
		p, err := merkle.ParsePolicy(text)
		return p, "the policy in " + t.policy, err
	}
	from = "the log's key as you gave it"
	if key == "" {
		info, err := a.running()
		if err != nil || info.LogKey == "" {
			return nil, "", usage(c, "say whose signature you trust: --policy FILE or --log-key KEY (LOCKBOX_LOG_KEY)")
		}
		key, from = info.LogKey, "the key of the Lockbox on this machine, "+info.LogKey
	}
	text, err := os.ReadFile(key) // #nosec G304 -- the user names it
	if err == nil {
		key = strings.TrimSpace(string(text))
	} else if !errors.Is(err, fs.ErrNotExist) && !strings.Contains(key, "+") {
		return nil, "", err
	}
	p, err = merkle.ParsePolicy([]byte("log " + key + "\nquorum none\n"))
	if err != nil {
		return nil, "", usage(c, "%q is neither a file nor a log's public key, which looks like name+1a2b3c4d+AY…", key)
	}
	return p, from, nil
}
