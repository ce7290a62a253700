package journal

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"
	"unicode/utf16"

	"github.com/go-jose/go-jose/v4"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"google.golang.org/protobuf/proto"
)

// signed returns tokens of every algorithm that is accepted, each with its signature. Their headers begin in ways that
// JSON permits.
func signedAs(t *testing.T) map[string]string {
	t.Helper()
	ec, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	_, ed, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	rs, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	tokens := map[string]string{}
	for alg, key := range map[jose.SignatureAlgorithm]crypto.Signer{
		jose.ES256: ec, jose.EdDSA: ed, jose.RS256: rs, jose.PS256: rs,
	} {
		signer, err := jose.NewSigner(jose.SigningKey{Algorithm: alg, Key: key}, nil)
		if err != nil {
			t.Fatal(err)
		}
		jws, err := signer.Sign([]byte(`{"iss":"https://nimbus.example","sub":"erin","aud":"lockbox"}`))
		if err != nil {
			t.Fatal(err)
		}
		token, err := jws.CompactSerialize()
		if err != nil {
			t.Fatal(err)
		}
		parts := strings.Split(token, ".")
		for _, header := range []string{`{"alg":"%s"}`, ` {"alg":"%s"}`, "\n\t{ \"alg\" : \"%s\"}", `{ "alg":"%s"}`} {
			parts[0] = base64.RawURLEncoding.EncodeToString(fmt.Appendf(nil, header, alg))
			tokens[strings.Join(parts, ".")] = parts[2]
		}
	}
	return tokens
}

func wire(t *testing.T, m proto.Message) []byte {
	t.Helper()
	data, err := proto.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// wide is text as Windows writes it.
func wide(s string) (b []byte) {
	for _, u := range utf16.Encode([]rune(s)) {
		b = append(b, byte(u), byte(u>>8))
	}
	return b
}

// Whoever reads a dead letter finds no signature, however the token got into the message.
func TestADeadLetterHoldsNoUsableToken(t *testing.T) {
	const justification, resource = "the machine hangs", "/subscriptions/meadow-production/virtualMachines/payments-1"
	for token, signature := range signedAs(t) {
		intent := func(token, justification string) []byte {
			return wire(t, &lockboxv1.AccessIntent{
				Id: "i", Tenant: "acme", Token: token, Justification: justification, ResourceIds: []string{resource},
			})
		}
		good := intent(token, justification)
		end := bytes.Index(good, []byte(token)) + len(token)
		parts := strings.Split(token, ".")
		standard := strings.NewReplacer("-", "+", "_", "/").Replace(token)
		for name, data := range map[string][]byte{
			"an intent":                      good,
			"a broken intent":                append([]byte("\xff\xff"), good...),
			"broken at the end":              append(bytes.Clone(good), 0xff),
			"with a length that is too long": append([]byte{0x1a, 0xff, 0xff, 0x7f}, token...),
			"cut after the token":            good[:end],
			"cut within the signature":       good[:end-3],
			"the token twice":                append(bytes.Clone(good), good...),
			"the token as justification":     intent("", token),
			"a signature as justification":   intent("", parts[2]),
			"JSON":                           []byte(`{"tenant":"acme","token":"` + token + `","resource":"` + resource + `"}`),
			"JSON in JSON":                   fmt.Appendf(nil, "%q", `{"token":"`+token+`"}`),
			"JSON with escaped dots":         []byte(`{"jwt":"` + strings.ReplaceAll(token, ".", `\u002e`) + `"}`),
			"a header":                       []byte("Authorization: Bearer " + token + "\r\n"),
			"a form":                         []byte("a=b&assertion=" + url.QueryEscape(token) + "&c=d"),
			"percent-encoded dots":           []byte("t=" + strings.ReplaceAll(token, ".", "%2E") + ";"),
			"all percent-encoded": []byte(strings.ToUpper(
				strings.ReplaceAll(fmt.Sprintf("% x", token), " ", "%"))),
			"with padding":          []byte(parts[0] + "=." + parts[1] + "==." + parts[2] + "=="),
			"the other alphabet":    []byte(standard),
			"without its header":    []byte("." + parts[1] + "." + parts[2]),
			"a detached signature":  []byte(parts[0] + ".." + parts[2]),
			"in a path":             []byte("GET /a/very/long/path/that/has/many/words/in/it/" + token + "/and/then/some/more"),
			"in lines":              []byte(token[:len(token)-43] + "\r\n" + token[len(token)-43:]),
			"in UTF-16":             wide(`{"token": "` + token + `"}`),
			"in hexadecimal":        []byte(hex.EncodeToString([]byte(token))),
			"in base64 once more":   []byte(base64.StdEncoding.EncodeToString([]byte(token))),
			"with a second subject": []byte("x" + token + "." + token + "y"),
		} {
			for _, like := range []proto.Message{new(lockboxv1.AccessIntent), new(lockboxv1.Command)} {
				masked := mask(data, like)
				if len(masked) != len(data) {
					t.Fatalf("%s: the letter's length changed", name)
				}
				// In any spelling, no piece is left from which the rest could be guessed.
				for _, text := range []string{signature, strings.NewReplacer("-", "+", "_", "/").Replace(signature),
					string(wide(signature)), hex.EncodeToString([]byte(signature))} {
					for i := 0; i+24 <= len(text); i++ {
						if bytes.Contains(bytes.ToLower(masked), []byte(strings.ToLower(text[i:i+24]))) {
							t.Fatalf("%s, read as %T: %q is left of the signature of %s in %q", name, like, text[i:i+24], token, masked)
						}
					}
				}
				if _, asCommand := like.(*lockboxv1.Command); asCommand {
					continue
				}
				for _, kept := range []string{justification, resource} {
					if bytes.Contains(data, []byte(kept)) && !bytes.Contains(masked, []byte(kept)) {
						t.Errorf("%s: %q cannot be read any more in %q", name, kept, masked)
					}
				}
			}
		}
	}
}

// Nor is what an invitation is redeemed by left in a dead letter (R66).
func TestADeadLetterHoldsNoProofOfAnInvitation(t *testing.T) {
	proof := bytes.Repeat([]byte{7, 200}, 16)
	c := &lockboxv1.Command{Tenant: "meadowbank", Action: &lockboxv1.Command_RedeemInvitation{
		RedeemInvitation: &lockboxv1.RedeemInvitation{InvitationId: "i-1", Proof: proof}}}
	got := new(lockboxv1.Command)
	if err := proto.Unmarshal(mask(wire(t, c), c), got); err != nil {
		t.Fatal(err)
	}
	if got.GetRedeemInvitation().GetInvitationId() != "i-1" || bytes.Contains(wire(t, got), proof[:8]) {
		t.Errorf("kept %v", got)
	}
}

// What is no token stays readable, and the letter says that there was one.
func TestADeadLetterStaysReadable(t *testing.T) {
	in := &lockboxv1.AccessIntent{
		Id: "01920000-0000-7000-8000-000000000001", Tenant: "meadowbank", SubscriptionId: "meadow-production",
		ResourceType: "compute/virtual-machines", Scenario: "memory-dump", ResourceIds: []string{
			"/subscriptions/9d5a0b6c-6f0e-4c57-9f0b-6c1f0e4c57a1/resourceGroups/payments/providers/Microsoft.Compute/" +
				"virtualMachines/payments-database-primary-production-europe-west-1",
			"/SUBSCRIPTIONS/MEADOW-PRODUCTION/RESOURCEGROUPS/PAYMENTS/VIRTUALMACHINES/PAYMENTS-1",
		},
		Justification: "The machine hangs; see https://tickets.nimbus.example/incidents/2026/SR-2026-0001?view=all, " +
			"node-17.europe-west-1.nimbus.example. 10 tokens were bearer of bad news. 機械が止まっています。",
		TicketId: "SR-2026-0001", TraceParent: "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
	}
	for _, token := range []string{"", strings.Repeat("opaque ", 3)} {
		in.Token = token
		got := new(lockboxv1.AccessIntent)
		if err := proto.Unmarshal(mask(wire(t, in), in), got); err != nil {
			t.Fatal(err)
		}
		if token != "" && got.GetToken() != removed+"******" {
			t.Errorf("%q", got.GetToken())
		}
		got.Token = token
		if !proto.Equal(got, in) {
			t.Errorf("%v\nbecame\n%v", in, got)
		}
	}
}

// Nor does whoever reads one learn a webhook's address or the key of its signatures (R57), whether the command is
// whole, from a later version, or broken anywhere.
func TestADeadLetterHoldsNoWebhooksSecret(t *testing.T) {
	const address, key = "https://hooks.slack.example/services/T0/B0/abcdefgh", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
	add := &lockboxv1.AddWebhook{Name: "#lockbox", SecretUrl: address, Secret: key}
	later := proto.CloneOf(add)
	later.ProtoReflect().SetUnknown([]byte{0xfa, 0x3f, 0x01, 'x'})
	whole := wire(t, &lockboxv1.Command{Id: "i", Action: &lockboxv1.Command_AddWebhook{AddWebhook: add}})
	for name, data := range map[string][]byte{
		"whole": whole,
		"from a later version": wire(t, &lockboxv1.Command{Id: "i",
			Action: &lockboxv1.Command_AddWebhook{AddWebhook: later}}),
		"broken before": append([]byte("\xff\xff"), whole...),
		"broken after":  append(bytes.Clone(whole), 0xff),
		"cut":           whole[:len(whole)-3],
		"JSON":          fmt.Appendf(nil, `{"secret_url":%q,"secret":%q}`, address, key),
	} {
		masked := mask(data, new(lockboxv1.Command))
		left := slices.ContainsFunc([]string{"services/T0", "abcdefgh", "MfKQ9r8", "2LaLaSw"},
			func(secret string) bool { return bytes.Contains(masked, []byte(secret)) })
		if left || len(masked) != len(data) {
			t.Errorf("%s: %q", name, masked)
		}
	}
}
