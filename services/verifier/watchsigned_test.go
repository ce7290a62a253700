package verifier_test

import (
	"strings"
	"testing"

	"github.com/openlockbox/lockbox/pkg/approval"
	at "github.com/openlockbox/lockbox/pkg/approval/approvaltest"
	"github.com/openlockbox/lockbox/pkg/merkle"
	"github.com/openlockbox/lockbox/services/verifier"
)

// events are those of an aggregate, as its receipt proves them.
func (c *custody) events(about string) []merkle.Proven {
	c.t.Helper()
	policy, err := merkle.ParsePolicy([]byte(c.policy()))
	must(c.t, err)
	report, err := merkle.VerifyReceipt(encoded(c.t, c.proves(about)), policy)
	must(c.t, err)
	return report.Events
}

func TestAWatcherReadsOutWhatIsSigned(t *testing.T) {
	c := approvedCustody(t)
	c.adds(c.carl, "carl")
	pin, err := approval.ParsePin(c.pin())
	must(t, err)
	said, faults := verifier.SaidOf(c.events(aboutKeys), c.events(aboutR1), 0, &pin)
	for _, want := range []string{"the customer's keys began", "words: " + c.pin(), "the customer's keys were changed",
		"a key was added for carl: it counts 24h0m0s after witnesses have seen event 6",
		"request r1: approved by otto (event 5): signed with the security key", "/subscriptions/production/vm-1"} {
		if !strings.Contains(said, want) {
			t.Errorf("it does not say %q: %s", want, said)
		}
	}
	if faults != "" {
		t.Errorf("it finds %s", faults)
	}
	if said, _ = verifier.SaidOf(c.events(aboutKeys), c.events(aboutR1), 6, &pin); said != "" {
		t.Errorf("of what was said before: %s", said)
	}

	other, err := approval.ParsePin(at.Hash("another"))
	must(t, err)
	if _, faults = verifier.SaidOf(c.events(aboutKeys), nil, 0, &other); !strings.Contains(faults, "PINNED FINGERPRINT") {
		t.Errorf("another pin: %q", faults)
	}
}

func TestAWatcherFindsWhatNoCustomerSigned(t *testing.T) {
	for want, forge := range map[string]func(c *custody){
		"WHERE THE CUSTOMER DEMANDS A SIGNATURE": func(c *custody) { c.approves("otto", nil, 1) },
		"WHAT IS SIGNED DOES NOT HOLD": func(c *custody) {
			c.approves("otto", at.New("mallory", at.Ed25519), 1)
		},
		"THE CUSTOMER'S KEYS DO NOT HOLD": func(c *custody) { c.removes(c.otto, at.New("mallory", at.Ed25519)) },
	} {
		c := newCustody(t, approval.DemandSignatures)
		c.waits(wholeDay)
		c.asks(1)
		c.waits(wholeDay + hour)
		forge(c)
		if _, faults := verifier.SaidOf(c.events(aboutKeys), c.events(aboutR1), 0, nil); !strings.Contains(faults, want) {
			t.Errorf("%q is not found: %q", want, faults)
		}
	}
}
