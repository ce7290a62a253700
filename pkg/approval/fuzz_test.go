package approval_test

import (
	"encoding/base64"
	"encoding/json"
	"slices"
	"testing"

	"github.com/openlockbox/lockbox/pkg/approval"
	at "github.com/openlockbox/lockbox/pkg/approval/approvaltest"
)

// What a parser takes, it writes again as it was.

func FuzzStatements(f *testing.F) {
	for _, v := range madeStatements(new(testing.T)) {
		f.Add([]byte(v.Statement))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		check := func(again []byte, read, written error) {
			if read == nil && (written != nil || string(again) != string(text)) {
				t.Errorf("%v\n%s\n%s", written, text, again)
			}
		}
		d, err := approval.ParseDecision(text)
		again, wrong := d.Bytes()
		check(again, err, wrong)
		c, err := approval.ParseChange(text)
		again, wrong = c.Bytes()
		check(again, err, wrong)
		g, err := approval.ParseGenesis(text)
		again, wrong = g.Bytes()
		check(again, err, wrong)
		k, err := approval.ParseKeyChange(text)
		again, wrong = k.Bytes()
		check(again, err, wrong)
	})
}

// A page signs one challenge; whatever client data stand around it, they are of that type, challenge and origin to any
// reader of JSON.
func FuzzClientData(f *testing.F) {
	statement := []byte("{}")
	k := at.New("anna", at.EdDSA)
	for _, lie := range lies {
		liar := at.New("anna", at.EdDSA)
		if at.New("anna", lie.algorithm).Kind != approval.KindWebAuthn {
			continue
		}
		lie.edit(liar)
		data, err := base64.RawURLEncoding.DecodeString(liar.Sign(approval.FormatDecision, statement).ClientData)
		must(f, err)
		f.Add(data)
	}
	challenge := approval.Digest(approval.FormatDecision, statement)
	f.Fuzz(func(t *testing.T, data []byte) {
		s := k.SignClientData(approval.FormatDecision, statement, data)
		if _, err := k.Verify(s, approval.FormatDecision, statement); err != nil {
			return
		}
		var read struct {
			Type, Challenge, Origin, TopOrigin string
			CrossOrigin                        bool
		}
		if err := json.Unmarshal(data, &read); err != nil || read.Type != "webauthn.get" || read.Origin != k.Origin ||
			read.Challenge != base64.RawURLEncoding.EncodeToString(challenge[:]) || read.CrossOrigin || read.TopOrigin != "" {
			t.Errorf("%v: %s", err, data)
		}
	})
}

// Whatever bytes a signature has, only the key's own are accepted.
func FuzzSignature(f *testing.F) {
	statement := []byte("{}")
	var keys []*at.Key
	var good []approval.Signature
	for i, algorithm := range at.Algorithms {
		k := at.New("anna", algorithm)
		s := k.Sign(approval.FormatDecision, statement)
		keys, good = append(keys, k), append(good, s)
		b, err := base64.RawURLEncoding.DecodeString(s.Bytes)
		must(f, err)
		f.Add(uint8(i), b)
	}
	f.Fuzz(func(t *testing.T, which uint8, bytes []byte) {
		i := int(which) % len(keys)
		s := good[i]
		s.Bytes = base64.RawURLEncoding.EncodeToString(bytes)
		if _, err := keys[i].Verify(s, approval.FormatDecision, statement); err == nil && s != good[i] {
			t.Errorf("%s: %x", keys[i].Algorithm, bytes)
		}
	})
}

// A key that is accepted is of a length that its algorithm has, and has an id.
func FuzzKey(f *testing.F) {
	for _, algorithm := range at.Algorithms {
		f.Add(at.New("anna", algorithm).PublicBytes())
	}
	f.Fuzz(func(t *testing.T, bytes []byte) {
		for _, algorithm := range []string{at.ES256, at.Ed25519} {
			k := at.New("anna", algorithm).Key
			public(bytes)(&k)
			if _, err := k.ID(); err == nil && len(bytes) < 42 {
				t.Errorf("%x", bytes)
			}
		}
	})
}

func FuzzArmor(f *testing.F) {
	f.Add(approval.Armor(at.New("otto", at.SKEd25519).SSHSIG(approval.FormatDecision, []byte("x"))))
	f.Fuzz(func(t *testing.T, text []byte) {
		blob, err := approval.Unarmor(text)
		if err != nil {
			return
		}
		if again, err := approval.Unarmor(approval.Armor(blob)); err != nil || !slices.Equal(again, blob) {
			t.Errorf("%v: %x", err, blob)
		}
	})
}

// Any part of a file is cut out, and something else put there. The input is only what changes: the fuzzer would spend
// its time on making a whole file shorter.
func FuzzFile(f *testing.F) {
	s := at.Begin()
	pin := s.Fingerprint()
	file, facts := s.File()
	good, err := file.Encode()
	must(f, err)
	f.Add(uint16(0), uint16(0), []byte(" "))
	f.Add(uint16(40), uint16(1), []byte("f"))
	f.Add(uint16(0), uint16(len(good)), []byte(`{"approvals":[],"format":"lockbox-approval-file/v1","keys":[],`+
		`"keysReceipt":"","requestReceipt":""}`))
	f.Fuzz(func(t *testing.T, offset, cut uint16, patch []byte) {
		from := min(int(offset), len(good))
		text := slices.Concat(good[:from], patch, good[min(from+int(cut), len(good)):])
		read, err := approval.ParseFile(text)
		if err != nil {
			return
		}
		if again, err := read.Encode(); err != nil || string(again) != string(text) {
			t.Errorf("%v\n%s", err, again)
		}
		// The receipts are not read here; everything else is what the log shows.
		same := slices.EqualFunc(read.Approvals, file.Approvals, alike) && slices.EqualFunc(read.Keys, file.Keys, alike)
		if _, err := approval.Verify(text, &pin, facts); err == nil && !same {
			t.Errorf("taken:\n%s", text)
		}
	})
}

func alike(a, b approval.Signed) bool {
	return a.Statement == b.Statement && slices.Equal(a.Signatures, b.Signatures)
}
