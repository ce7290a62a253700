package render

import (
	"strings"
	"testing"
	"time"

	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// A key that may be on two devices is named, wherever it or what it signed is shown.
func TestACounterThatWentBackwardsIsSaid(t *testing.T) {
	const said = "counter went backwards"
	keys := &lockboxv1.KeysView{Keys: []*lockboxv1.KeyView{{KeyId: make([]byte, 32), Label: "red"},
		{KeyId: []byte("blue")}}}
	if page := Keys(Look{}, keys, Keyring{}, nil); strings.Contains(page, said) {
		t.Errorf("of no key:\n%s", page)
	}
	keys.Keys[0].CounterBehind = timestamppb.New(time.Date(2026, 11, 2, 9, 0, 0, 0, time.UTC))
	if page := Keys(Look{}, keys, Keyring{}, nil); strings.Count(page, said) != 1 || !strings.Contains(page, "red: its") {
		t.Errorf("of one key:\n%s", page)
	}
	for _, behind := range []bool{false, true} {
		d := &lockboxv1.Decision{Signature: &lockboxv1.SignatureView{Signed: true, Holds: true, CounterBehind: behind}}
		if strings.Contains(signed(d), said) != behind {
			t.Errorf("of a decision: %q", signed(d))
		}
	}
}
