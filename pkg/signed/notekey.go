package signed

import (
	"crypto/ed25519"
	"encoding/base64"
	"errors"
	"strings"

	"golang.org/x/mod/sumdb/note"
)

// VerifierKey derives the verifier key from a note's signer key, PRIVATE+KEY+<name>+<hash>+<kind and seed>.
func VerifierKey(private string) (string, error) {
	parts := strings.SplitN(private, "+", 5)
	if len(parts) != 5 {
		return "", errors.New("not a signing key")
	}
	seed, err := base64.StdEncoding.DecodeString(parts[4])
	if err != nil || len(seed) != 1+ed25519.SeedSize {
		return "", errors.New("not an Ed25519 signing key")
	}
	return note.NewEd25519VerifierKey(parts[2], PublicOf(ed25519.NewKeyFromSeed(seed[1:])))
}
