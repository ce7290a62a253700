package merkle

import "fmt"

// Among returns the policy's logs with other witnesses, of which none is demanded: how many of them are enough is for
// whoever asks to say. Each is called by its verifier key.
func (p *Policy) Among(witnesses []string) (*Policy, error) {
	b := policyBuilder{policy: Policy{logs: p.logs}, rules: map[string]*rule{}, keys: map[string]string{}}
	for i, key := range witnesses {
		if err := b.witness(key, key, ""); err != nil {
			return nil, fmt.Errorf("witness %d: %w", i+1, err)
		}
	}
	return &b.policy, nil
}
