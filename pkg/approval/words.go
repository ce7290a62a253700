package approval

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
