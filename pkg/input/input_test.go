package input_test

import (
	"errors"
	"net/mail"
	"strings"
	"testing"

	"github.com/openlockbox/lockbox/pkg/input"
	"github.com/openlockbox/lockbox/pkg/refusal"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
)

func refuses(t *testing.T, err error, field string) {
	t.Helper()
	r, ok := refusal.As(err)
	if !ok || r.GetField() != field || r.GetRule() == "" || r.GetMessage() == "" {
		t.Errorf("want a refusal that names %q, got %v", field, err)
	}
}

func TestATenantIdIsOneTokenAndNeverAWildcard(t *testing.T) {
	for _, good := range []string{"abc", "meadowbank", "a-1", "0x0", strings.Repeat("a", 40)} {
		if err := input.Tenant("tenant", good); err != nil {
			t.Errorf("%q: %v", good, err)
		}
	}
	for _, bad := range []string{
		"", "ab", "_", "*", ">", "a.b", "a.*", "Abc", "-ab", "ab-", strings.Repeat("a", 41), "a b", "a\u200bb", "a\u0430b",
		"meadow\u2024bank", "abc\x00", "abc\n", "ａｂｃ", "a_b", "abc>", "$js", "été",
	} {
		refuses(t, input.Tenant("tenant", bad), "tenant")
	}
}

func TestAnAddressIsExactlyOneAddress(t *testing.T) {
	for _, good := range []string{"a@b.example", "first.last+tag@mail.example.org", "o'brien@x-y.example"} {
		if err := input.Email("email", good); err != nil {
			t.Errorf("%q: %v", good, err)
		}
	}
	for _, bad := range []string{
		"", "@", "a@", "@b.example", "a@b", "a@b.example\r\nBcc: c@d.example", "a@b.example,c@d.example", "a b@c.example",
		`"a b"@c.example`, "<a@b.example>",
		"a@b..example", "a@-b.example", "a..b@c.example", ".a@b.example", "а@b.example", "a@bücher.example", "a@[127.0.0.1]",
		"a@127.0.0.1", "-oX@b.example",
		"a@b@c.example", "a%b@c.example", "a@b.example\x00", strings.Repeat("a", 65) + "@b.example", "a@" +
			strings.Repeat("b", 64) + ".example",
	} {
		refuses(t, input.Email("email", bad), "email")
	}
}

func TestOnlyVersion7InItsCanonicalFormIsAnId(t *testing.T) {
	if err := input.UUIDv7("id", "01970a3e-7b3c-7e4a-9d8e-0123456789ab"); err != nil {
		t.Error(err)
	}
	for _, bad := range []string{
		"", "01970a3e-7b3c-4e4a-9d8e-0123456789ab", "01970A3E-7B3C-7E4A-9D8E-0123456789AB",
		"{01970a3e-7b3c-7e4a-9d8e-0123456789ab}",
		"urn:uuid:01970a3e-7b3c-7e4a-9d8e-0123456789ab", "01970a3e7b3c7e4a9d8e0123456789ab", "*",
	} {
		refuses(t, input.UUIDv7("id", bad), "id")
	}
}

func TestAMessageFromTheFutureIsRefusedAndAnEventFromTheFutureIsKept(t *testing.T) {
	future := protowire.AppendString(protowire.AppendTag(nil, 4000, protowire.BytesType), "news")

	intent, _ := proto.Marshal(&lockboxv1.AccessIntent{Id: "x"})
	refuses(t, input.Decode(append(intent, future...), new(lockboxv1.AccessIntent)), "message")

	nested := &lockboxv1.Command{Action: &lockboxv1.Command_Approve{Approve: &lockboxv1.Approve{}}}
	nested.GetApprove().ProtoReflect().SetUnknown(future)
	bytes, _ := proto.Marshal(nested)
	refuses(t, input.Decode(bytes, new(lockboxv1.Command)), "approve")

	event, _ := proto.Marshal(&lockboxv1.Event{Id: "x",
		Fact: &lockboxv1.Event_RequestExpired{RequestExpired: &lockboxv1.RequestExpired{}}})
	e, err := input.DecodeEvent(append(event, future...))
	if err != nil || len(e.ProtoReflect().GetUnknown()) == 0 {
		t.Errorf("an event with an unknown field must be readable and keep it: %v", err)
	}
	if _, err := input.DecodeEvent(future); !errors.Is(err, input.ErrUnknownFact) {
		t.Errorf("an event whose fact is unknown must say so: %v", err)
	}
}

func TestOversizedAndTruncatedMessagesAreRefused(t *testing.T) {
	big, _ := proto.Marshal(&lockboxv1.AccessIntent{Justification: strings.Repeat("a", input.MaxMessage)})
	refuses(t, input.Decode(big, new(lockboxv1.AccessIntent)), "message")
	small, _ := proto.Marshal(&lockboxv1.AccessIntent{Justification: "a justification"})
	for n := 1; n < len(small); n++ {
		refuses(t, input.Decode(small[:n], new(lockboxv1.AccessIntent)), "message")
	}
}

func FuzzEmail(f *testing.F) {
	f.Add("a@b.example")
	f.Add("a@b.example\r\nX: y")
	f.Fuzz(func(t *testing.T, s string) {
		if input.Email("email", s) != nil {
			return
		}
		// The standard library's parser must see exactly this one address in what we let through.
		a, err := mail.ParseAddress(s)
		if err != nil || a.Address != s || a.Name != "" || strings.ContainsAny(s, "\r\n<>,; \"") {
			t.Errorf("%q let through, parsed as %v (%v)", s, a, err)
		}
	})
}

func FuzzDecodeIntent(f *testing.F) {
	seed, _ := proto.Marshal(&lockboxv1.AccessIntent{Id: "x", ResourceIds: []string{"/subscriptions/1/x"}})
	f.Add(seed)
	f.Fuzz(func(t *testing.T, data []byte) {
		in := new(lockboxv1.AccessIntent)
		if input.Decode(data, in) != nil {
			return
		}
		again, err := proto.Marshal(in)
		if err != nil {
			t.Fatal(err)
		}
		same := new(lockboxv1.AccessIntent)
		if err := input.Decode(again, same); err != nil || !proto.Equal(in, same) {
			t.Errorf("what was accepted does not survive: %v", err)
		}
	})
}

func FuzzDecodeEvent(f *testing.F) {
	seed, _ := proto.Marshal(&lockboxv1.Event{Id: "x",
		Fact: &lockboxv1.Event_RequestExpired{RequestExpired: &lockboxv1.RequestExpired{}}})
	f.Add(seed)
	f.Fuzz(func(t *testing.T, data []byte) {
		if e, err := input.DecodeEvent(data); err == nil && e.GetFact() == nil {
			t.Error("accepted without a fact")
		}
	})
}
