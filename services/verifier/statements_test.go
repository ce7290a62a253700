package verifier_test

import (
	"strings"
	"testing"

	"github.com/openlockbox/lockbox/pkg/approval"
	at "github.com/openlockbox/lockbox/pkg/approval/approvaltest"
)

func TestAReceiptSaysWhoseSignaturesItShows(t *testing.T) {
	c := newCustody(t, approval.DemandNone)
	c.waits(wholeDay)
	c.asks(2)
	c.waits(wholeDay + hour)
	c.approves("otto", c.otto, 2)
	c.approves("carl", nil, 2)
	policy := savedAs(t, "policy.txt", []byte(c.policy()))
	receipt := savedAs(t, "receipt.json", encoded(t, c.proves(aboutR1)))
	keys := savedAs(t, "keys.json", encoded(t, c.proves(aboutKeys)))
	plain := []string{"receipt", receipt, "--policy", policy}
	for _, row := range []struct {
		args        []string
		says, never string
	}{
		{plain, "carries a signature of the key " + c.otto.ID() + "|carl (event 6): not signed|not proven by this receipt",
			"Verified"},
		{append(plain, "--keys", keys), "TRUSTED ON FIRST USE|signed with the security key|eight words: ", "not proven by"},
		{append(plain, "--keys", keys, "--pin", c.pin()), "the fingerprint that you gave: " + c.pin(), "FIRST USE"},
	} {
		code, out, why := run(t, nil, row.args...)
		if code != 0 || strings.Contains(out, row.never) {
			t.Errorf("%q: %d: %s%s", row.args, code, out, why)
		}
		for _, want := range strings.Split(row.says, "|") {
			if !strings.Contains(out, want) {
				t.Errorf("%q does not say %q: %s", row.args, want, out)
			}
		}
	}
	fails(t, 10, "not the ones that you pinned", nil, append(plain, "--keys", keys, "--pin", at.Hash("another"))...)

	forged := newCustody(t, approval.DemandNone)
	forged.waits(wholeDay)
	forged.asks(1)
	forged.waits(wholeDay + hour)
	forged.approves("otto", at.New("mallory", at.Ed25519), 1)
	fails(t, 10, "does not count", nil, "receipt", savedAs(t, "receipt.json", encoded(t, forged.proves(aboutR1))),
		"--policy", policy, "--keys", savedAs(t, "keys.json", encoded(t, forged.proves(aboutKeys))))
}
