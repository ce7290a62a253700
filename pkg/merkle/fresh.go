package merkle

import (
	"encoding/base64"
	"encoding/binary"
	"slices"
	"strings"
	"time"
)

const (
	signaturePrefix = "— "
	keyHashSize     = 4 // bytes before the signature itself
	timestampSize   = 8 // bytes of a cosignature before the witness's signature
)

// CosignedIn returns the signed note without the cosignatures from outside a time. Whether enough are left, says the
// policy: a checkpoint has no time but those of its witnesses. Signatures under the log's own name stay.
func CosignedIn(signed []byte, from, to time.Time) []byte {
	text, signatures, found := strings.Cut(string(signed), "\n\n")
	origin, _, _ := strings.Cut(text, "\n")
	if !found {
		return signed
	}
	var kept strings.Builder
	for line := range strings.Lines(signatures) {
		name, payload, whole := splitSignature(line)
		if whole && name != origin && len(payload) >= keyHashSize+timestampSize {
			at := binary.BigEndian.Uint64(payload[keyHashSize:])
			if at < seconds(from) || at > seconds(to) {
				continue
			}
		}
		kept.WriteString(line)
	}
	return []byte(text + "\n\n" + kept.String())
}

func seconds(at time.Time) uint64 { return uint64(max(0, at.Unix())) }

// splitSignature splits a line of a signed note.
func splitSignature(line string) (name string, payload []byte, whole bool) {
	rest, is := strings.CutPrefix(strings.TrimSuffix(line, "\n"), signaturePrefix)
	name, text, spaced := strings.Cut(rest, " ")
	payload, err := base64.StdEncoding.DecodeString(text)
	return name, payload, is && spaced && err == nil && len(payload) > keyHashSize
}

// Renew is Add, and also accepts another cosignature of a witness that has cosigned the note before: the new one takes
// the place of the earlier one.
func (p *Policy) Renew(signed, line []byte) ([]byte, error) {
	name, payload, whole := splitSignature(string(line))
	if !whole {
		return nil, broken(Cosignatures, "not a line of a signed note")
	}
	text, signatures, _ := strings.Cut(string(signed), "\n\n")
	var others strings.Builder
	for had := range strings.Lines(signatures) {
		by, its, _ := splitSignature(had)
		if by != name || len(its) <= keyHashSize || !slices.Equal(its[:keyHashSize], payload[:keyHashSize]) {
			others.WriteString(had)
		}
	}
	return p.Add([]byte(text+"\n\n"+others.String()), line)
}
