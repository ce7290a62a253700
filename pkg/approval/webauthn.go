package approval

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"slices"
	"strings"
	"unicode/utf8"
)

// Flags of authenticator data (WebAuthn §6.1), and of a security key's signature of SSH.
const (
	flagUP byte = 0x01
	flagUV byte = 0x04
	flagBE byte = 0x08
	flagBS byte = 0x10
)

const (
	authenticatorSize = 37 // without extensions, which nobody asks for
	maxClientData     = 2048
)

// verifyAssertion verifies an assertion of WebAuthn Level 2 §7.2 over a challenge, and returns the signature counter.
func (k opened) verifyAssertion(s Signature, challenge [32]byte) (counter uint32, err error) {
	authenticator, err := decode64("authenticatorData", s.AuthenticatorData, 1024)
	if err != nil {
		return 0, err
	}
	client, err := decode64("clientDataJSON", s.ClientData, maxClientData)
	if err != nil {
		return 0, err
	}
	signature, err := decode64("signature", s.Bytes, 512)
	if err != nil {
		return 0, err
	}
	if err := k.checkClientData(client, challenge); err != nil {
		return 0, err
	}
	if counter, err = k.checkAuthenticator(authenticator); err != nil {
		return 0, err
	}
	hash := sha256.Sum256(client)
	if !k.public.verify(slices.Concat(authenticator, hash[:]), signature) {
		return 0, refuse("signature", RuleSignature, "not the key's over these bytes")
	}
	return counter, nil
}

func (k opened) checkAuthenticator(data []byte) (counter uint32, err error) {
	if len(data) != authenticatorSize {
		return 0, refuse("authenticatorData", RuleForm, "is %d bytes long without attested key and extensions",
			authenticatorSize)
	}
	if party := sha256.Sum256([]byte(k.RelyingParty)); !bytes.Equal(data[:32], party[:]) {
		return 0, refuse("authenticatorData.rpIdHash", RuleRelyingParty, "is not that of %s", k.RelyingParty)
	}
	flags := data[32]
	switch {
	case flags&^(flagUP|flagUV|flagBE|flagBS) != 0 || flags&flagBS != 0 && flags&flagBE == 0:
		return 0, refuse("authenticatorData.flags", RuleFlags, "%#02x are not those of an assertion", flags)
	case flags&flagUP == 0:
		return 0, refuse("authenticatorData.flags", RulePresence, "nobody was there")
	case flags&flagUV == 0:
		return 0, refuse("authenticatorData.flags", RuleVerification, "the user was not verified")
	case flags&flagBE != 0 != (k.Backup == 1):
		return 0, refuse("authenticatorData.flags", RuleBackup, "the key was enrolled as another kind of passkey")
	}
	return binary.BigEndian.Uint32(data[33:]), nil
}

// checkClientData compares what clients write first (WebAuthn Level 2 §5.8.1.1), byte for byte: JSON that one reader
// understands otherwise than another cannot pass. What may follow says nothing that counts.
func (k opened) checkClientData(data []byte, challenge [32]byte) error {
	rest, is := bytes.CutPrefix(data, []byte(`{"type":"webauthn.get",`))
	if !is {
		return refuse("clientDataJSON.type", RuleType, "is not that of an assertion")
	}
	want := `"challenge":"` + base64url.EncodeToString(challenge[:]) + `",`
	if rest, is = bytes.CutPrefix(rest, []byte(want)); !is {
		return refuse("clientDataJSON.challenge", RuleChallenge, "is not this statement's digest")
	}
	found := false
	for _, origin := range k.Origins {
		var after []byte
		if after, is = bytes.CutPrefix(rest, []byte(`"origin":"`+origin+`",`)); is {
			rest, found = after, true
			break
		}
	}
	if !found {
		return refuse("clientDataJSON.origin", RuleOrigin, "is not one at which the key was enrolled")
	}
	if rest, is = bytes.CutPrefix(rest, []byte(`"crossOrigin":false`)); !is {
		return refuse("clientDataJSON.crossOrigin", RuleCrossOrigin, "the page was inside another site's")
	}
	if string(rest) == "}" {
		return nil
	}
	if !bytes.HasPrefix(rest, []byte(`,"`)) || !utf8.Valid(data) || !json.Valid(data) {
		return refuse("clientDataJSON", RuleForm, "is no JSON")
	}
	var further map[string]json.RawMessage
	if err := json.Unmarshal(append([]byte("{"), rest[1:]...), &further); err != nil {
		return refuse("clientDataJSON", RuleForm, "%v", err)
	}
	for name := range further {
		for _, taken := range []string{"type", "challenge", "origin", "crossOrigin"} {
			if strings.EqualFold(name, taken) {
				return refuse("clientDataJSON", RuleForm, "says %s twice", name)
			}
		}
		if strings.EqualFold(name, "topOrigin") {
			return refuse("clientDataJSON.topOrigin", RuleCrossOrigin, "the page was inside another site's")
		}
	}
	return nil
}

// Counter is what a signature counter says beside the last one that was seen.
type Counter string

// What a counter can say.
const (
	// CounterNone: the authenticator does not count, as synced passkeys do not.
	CounterNone Counter = "none"
	// CounterGrew: it counts, and went on.
	CounterGrew Counter = "grew"
	// CounterRegressed: it did not go on, so two devices may have the key. It is shown with the decision and the key, and
	// refuses nothing, since a signature holds whoever made it; removing the key is what helps.
	CounterRegressed Counter = "regressed"
)

// CompareCounter compares the counter of an assertion with that of the key's last one.
func CompareCounter(last, now uint32) Counter {
	switch {
	case last == 0 && now == 0:
		return CounterNone
	case now > last:
		return CounterGrew
	}
	return CounterRegressed
}
