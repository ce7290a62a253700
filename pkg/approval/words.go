package approval

import (
	"crypto/subtle"
	"encoding/hex"
	"slices"
	"strings"
)

// DecisionWords and FingerprintWords are how many words stand for a statement, and for a genesis.
const (
	DecisionWords    = 8
	FingerprintWords = 12
)

// Each syllable stands for six bits: its consonant for the first four, its vowel for the last two.
const (
	consonants = "bdfghjkmnprstwyz"
	vowels     = "aeio"
)

// Words are the first bits of a digest as words that can be compared by eye and read aloud, the same in every language:
// 18 bits a word, three syllables. At most 14 words come of a digest.
func Words(digest [32]byte, n int) []string {
	words := make([]string, min(n, 14))
	for i := range words {
		word := make([]byte, 0, 6)
		for bit := 18 * i; bit < 18*(i+1); bit += 6 {
			pair := uint16(digest[bit/8]) << 8
			if bit/8+1 < len(digest) {
				pair |= uint16(digest[bit/8+1])
			}
			six := pair >> (10 - bit%8) & 63
			word = append(word, consonants[six>>2], vowels[six&3])
		}
		words[i] = string(word)
	}
	return words
}

// Pin is a fingerprint that somebody compared by other means: all of it, or its twelve words.
type Pin struct {
	words []string
	whole [32]byte
}

// ParsePin reads a pin: 64 hexadecimal digits, or twelve words with spaces, commas or dashes between them.
func ParsePin(text string) (Pin, error) {
	text = strings.ToLower(strings.TrimSpace(text))
	if whole, err := hex.DecodeString(text); err == nil && len(whole) == 32 {
		return Pin{whole: [32]byte(whole)}, nil
	}
	words := strings.FieldsFunc(text, func(r rune) bool { return strings.ContainsRune(" \t\r\n,.-", r) })
	if len(words) != FingerprintWords {
		return Pin{}, refuse("pin", RuleForm, "a pin is %d words or 64 hexadecimal digits", FingerprintWords)
	}
	for i, word := range words {
		if !isWord(word) {
			return Pin{}, refuse("pin", RuleForm, "word %d, %q, is none", i+1, word)
		}
	}
	return Pin{words: words}, nil
}

// Matches reports whether a fingerprint is the one that was compared.
func (p Pin) Matches(fingerprint [32]byte) bool {
	if p.words == nil {
		return subtle.ConstantTimeCompare(p.whole[:], fingerprint[:]) == 1
	}
	return slices.Equal(p.words, Words(fingerprint, FingerprintWords))
}

func isWord(s string) bool {
	for i := range len(s) {
		if !strings.ContainsRune([]string{consonants, vowels}[i%2], rune(s[i])) {
			return false
		}
	}
	return len(s) == 6
}
