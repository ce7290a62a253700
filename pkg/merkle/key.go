package merkle

import (
	"crypto/ed25519"
	"encoding/base64"
	"errors"
	"strings"

	"golang.org/x/mod/sumdb/note"
)

// KeyChange is the text of the note in which a log's keys say which one is its next.
func KeyChange(origin, next string) string {
	return "lockbox-log-key/v1\n" + origin + "\n" + next + "\n"
}

// PublicKey derives the verifier key from a note's signer key, PRIVATE+KEY+<name>+<hash>+<kind and seed>.
func PublicKey(private string) (string, error) {
	parts := strings.SplitN(private, "+", 5)
	if len(parts) != 5 {
		return "", errors.New("not a signing key")
	}
	seed, err := base64.StdEncoding.DecodeString(parts[4])
	if err != nil || len(seed) != 1+ed25519.SeedSize {
		return "", errors.New("not an Ed25519 signing key")
	}
	return note.NewEd25519VerifierKey(parts[2], ed25519.PublicKey(ed25519.NewKeyFromSeed(seed[1:])[ed25519.SeedSize:]))
}
