package oracletest

import (
	"encoding/base64"
	"encoding/json"
	"os"
	"slices"
	"testing"

	"github.com/go-webauthn/webauthn/protocol"
	"github.com/openlockbox/lockbox/pkg/approval"
)

type signatureVector struct {
	Name      string             `json:"name"`
	Key       approval.Key       `json:"key"`
	Format    string             `json:"format"`
	Statement string             `json:"statement"`
	Signature approval.Signature `json:"signature"`
	Refused   approval.Rule      `json:"refused"`
}

func read(t *testing.T, into any) {
	t.Helper()
	file, err := os.ReadFile("../testdata/vectors.json")
	must(t, err)
	must(t, json.Unmarshal(file, into))
}

// stricter are the rules by which less is accepted here than WebAuthn allows, for the reasons that the README gives.
// The library reads the key's kind of backup elsewhere, and the flags of what nobody asked for.
var stricter = []approval.Rule{approval.RuleBackup, approval.RuleFlags, approval.RuleForm}

func TestAnotherLibraryAgreesAboutWebAuthn(t *testing.T) {
	var all struct{ Signatures []signatureVector }
	read(t, &all)
	accepted, refused := 0, 0
	for _, v := range all.Signatures {
		if v.Key.Kind != approval.KindWebAuthn {
			continue
		}
		err := library(t, v)
		switch {
		case v.Refused == "" && err != nil:
			t.Errorf("%s: the library refuses it: %v", v.Name, err)
		case v.Refused != "" && err == nil && !slices.Contains(stricter, v.Refused):
			t.Errorf("%s: the library accepts what is refused by %q", v.Name, v.Refused)
		}
		if err == nil {
			accepted++
		} else {
			refused++
		}
	}
	if accepted < 5 || refused < 15 {
		t.Errorf("the library accepts %d and refuses %d", accepted, refused)
	}
}

// library verifies an assertion as a relying party with go-webauthn does.
func library(t *testing.T, v signatureVector) error {
	t.Helper()
	response, err := json.Marshal(map[string]any{
		"id": v.Key.Credential, "rawId": v.Key.Credential, "type": "public-key",
		"response": map[string]string{"clientDataJSON": v.Signature.ClientData,
			"authenticatorData": v.Signature.AuthenticatorData, "signature": v.Signature.Bytes},
	})
	must(t, err)
	parsed, err := protocol.ParseCredentialRequestResponseBytes(response)
	if err != nil {
		return err
	}
	public, err := base64.RawURLEncoding.DecodeString(v.Key.Public)
	must(t, err)
	challenge := approval.Digest(v.Format, []byte(v.Statement))
	text := base64.RawURLEncoding.EncodeToString(challenge[:])
	return parsed.Verify(text, v.Key.RelyingParty, "", v.Key.Origins, nil, nil,
		protocol.TopOriginExplicitVerificationMode, false, true, true, public, protocol.SignaturePolicy{})
}
