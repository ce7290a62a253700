package verifier_test

import (
	"bytes"
	"crypto/ed25519"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/openlockbox/lockbox/pkg/merkle"
)

var update = flag.Bool("update", false, "write the golden files")

// witnessed is a receipt's checkpoint cosigned by two witnesses, and the policy that demands both.
func witnessed(t *testing.T, public string, r *merkle.Receipt) (policy string) {
	t.Helper()
	signed, policy := []byte(r.Checkpoint), "log "+public+"\n"
	for i, name := range []string{"alpha", "beta"} {
		c, err := merkle.NewCosigner(name+".example", ed25519.NewKeyFromSeed([]byte(fmt.Sprintf("%032d", i))))
		must(t, err)
		signed, err = c.Cosign(signed, time.Date(2026, 3, 1, 12, 5-i, 0, 0, time.UTC))
		must(t, err)
		policy += "witness " + name + " " + c.VerifierKey() + "\n"
	}
	r.Checkpoint = string(signed)
	file := filepath.Join(t.TempDir(), "policy.txt")
	must(t, os.WriteFile(file, []byte(policy+"group both all alpha beta\nquorum both\n"), 0o600))
	return file
}

// TestAReceiptClaimsNoMoreThanItProves reads what is said of receipts of each kind.
func TestAReceiptClaimsNoMoreThanItProves(t *testing.T) {
	for name, row := range map[string]struct {
		format    uint8
		witnessed bool
		change    func(h *history, r *merkle.Receipt)
	}{
		"all":           {merkle.Format2, false, func(*history, *merkle.Receipt) {}},
		"all-witnessed": {merkle.Format2, true, func(*history, *merkle.Receipt) {}},
		"part":          {merkle.Format2, false, func(_ *history, r *merkle.Receipt) { r.Events = r.Events[:2] }},
		"stray": {merkle.Format2, false, func(h *history, r *merkle.Receipt) {
			h.add(r.About+".3.Nonsense", []byte("no event"))
			*r = h.receipt(r.About, []merkle.Wanted{
				{TenantSequence: 1}, {TenantSequence: 2, Withhold: true}, {TenantSequence: 3}})
		}},
		"format-1":           {merkle.Format1, false, func(*history, *merkle.Receipt) {}},
		"format-1-witnessed": {merkle.Format1, true, func(*history, *merkle.Receipt) {}},
	} {
		t.Run(name, func(t *testing.T) {
			h, public, r := receiptOf(t, row.format, unchanged)
			row.change(h, &r)
			trust := []string{"--log-key", public}
			if row.witnessed {
				trust = []string{"--policy", witnessed(t, public, &r)}
			}
			file := saved(t, r)
			code, out, why := run(t, nil, append([]string{"receipt", file}, trust...)...)
			if code != 0 {
				t.Fatal(why)
			}
			if row.witnessed {
				out = strings.Replace(out, trust[1], "policy.txt", 1)
			}
			golden(t, "receipt-"+name+".txt", []byte(out))
			written, err := os.ReadFile(file)
			must(t, err)
			golden(t, "receipt-"+name+".json", written)
		})
	}
}

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		must(t, os.WriteFile(path, got, 0o600))
	}
	want, err := os.ReadFile(path) // #nosec G304 -- the test's own
	must(t, err)
	if !bytes.Equal(got, want) {
		t.Errorf("%s: got\n%s", name, got)
	}
}

// What is another customer's does not pass for one's own, even if all of it is withheld.
func TestAReceiptIsAboutWhatIsTheCustomers(t *testing.T) {
	for about, says := range map[string]string{
		"lockbox.event.sakura.request.r1": "which is not theirs",
		"lockbox.event.contoso.request":   "is not lockbox.event.<tenant>.<kind>.<id>",
		"contoso":                         "is not lockbox.event.<tenant>.<kind>.<id>",
	} {
		h, public, _ := receiptOf(t, merkle.Format1, unchanged)
		h.add(about+".1.AccessRequested", nil)
		r := h.receipt(about, []merkle.Wanted{{TenantSequence: h.sequence, Withhold: true}})
		fails(t, 10, says, nil, "receipt", saved(t, r), "--log-key", public)
	}
}

// A log that signs heads which its leaves contradict is named as what it is.
func TestALogThatContradictsItselfIsConvicted(t *testing.T) {
	h, public, r := receiptOf(t, merkle.Format2, unchanged)
	h.heads = merkle.NewHeads()
	h.heads.Append(r.About, 1, [32]byte{})
	h.add("s", nil)
	r = h.receipt(r.About, []merkle.Wanted{{TenantSequence: 1}, {TenantSequence: 2}, {TenantSequence: 3}})
	fails(t, 10, "head that contradicts the events", nil, "receipt", saved(t, r), "--log-key", public)
	fails(t, 10, "keep this file", nil, "receipt", saved(t, r), "--log-key", public)
}
