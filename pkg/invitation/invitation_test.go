package invitation_test

import (
	"bytes"
	"crypto/sha256"
	"strings"
	"testing"

	"github.com/openlockbox/lockbox/pkg/invitation"
	"github.com/openlockbox/lockbox/pkg/refusal"
)

func TestR66ALinkIsReadAsItWasMade(t *testing.T) {
	s := invitation.New()
	for _, portal := range []string{"", "https://lockbox.example"} {
		link := s.Link(portal, "meadowbank")
		got, err := invitation.Parse("link", "  "+link+"\n")
		if got != s || err != nil {
			t.Errorf("%s: %v", link, err)
		}
		if want := map[bool]string{true: "", false: "meadowbank"}[portal == ""]; invitation.Tenant(link) != want {
			t.Errorf("%s leads to %q", link, invitation.Tenant(link))
		}
	}
	before, _, _ := strings.Cut(s.Link("https://lockbox.example", "meadowbank"), "#")
	if strings.Contains(before, s.String()) {
		t.Errorf("a server would see the secret: %s", before)
	}
	if invitation.New() == s {
		t.Error("two invitations have one secret")
	}
}

func TestR66WhatIsNoLinkIsNotRepeated(t *testing.T) {
	whole := invitation.New().Link("https://lockbox.example", "meadowbank")
	for name, link := range map[string]string{
		"nothing": "", "a page": "https://lockbox.example/t/meadowbank/invitation", "cut off": whole[:len(whole)-1],
		"longer": whole + "A", "not its letters": whole[:len(whole)-1] + "!",
	} {
		_, err := invitation.Parse("link", link)
		r, refused := refusal.As(err)
		if !refused || r.GetField() != "link" || r.GetRule() != "R66" ||
			link != "" && strings.Contains(r.GetMessage(), link) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, link := range []string{"x", "https://lockbox.example/t/a/b/invitation#x", "https://lockbox.example/t/a", "::"} {
		if of := invitation.Tenant(link); of != "" {
			t.Errorf("%s leads to %q", link, of)
		}
	}
}

// The proof needs both, and the hash that is stored shows neither. How a code is spelled does not matter.
func TestR66BothLinkAndCodeAreNeeded(t *testing.T) {
	s, code := invitation.New(), "7KQ0-M1XA-93TD"
	proof := func(s invitation.Secret, code string) []byte {
		t.Helper()
		proof, err := s.Proof(code)
		if err != nil {
			t.Fatal(err)
		}
		return proof
	}
	right := proof(s, code)
	for _, same := range []string{"7kq0m1xa93td", " 7KQO MIXA 93TD ", "7kqo-mlxa-93td"} {
		if !bytes.Equal(proof(s, same), right) {
			t.Errorf("%q is another code", same)
		}
	}
	for name, other := range map[string][]byte{"no code": proof(s, ""), "another code": proof(s, "7KQ0-M1XA-93TE"),
		"another link": proof(invitation.New(), code)} {
		if bytes.Equal(other, right) {
			t.Errorf("%s proves it too", name)
		}
	}
	hash, err := s.Hash(code)
	if want := sha256.Sum256(right); err != nil || !bytes.Equal(hash, want[:]) {
		t.Errorf("%x, %v", hash, err)
	}
}

func TestR66ACodeCanBeReadAloud(t *testing.T) {
	seen := map[string]bool{}
	for range 100 {
		code := invitation.NewCode()
		if len(code) != 14 || code[4] != '-' || code[9] != '-' || strings.ContainsAny(code, "ILOU") || seen[code] {
			t.Errorf("%q", code)
		}
		seen[code] = true
	}
}
