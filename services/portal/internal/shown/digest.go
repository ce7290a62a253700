package shown

import (
	"crypto/sha256"
	"encoding/hex"

	"google.golang.org/protobuf/proto"
)

// Digest tells answers apart: it changes when anything in them does. What passes by itself, such as the time that is
// left, is not in them.
func Digest(answers ...proto.Message) (string, error) {
	sum := sha256.New()
	for _, a := range answers {
		data, err := proto.MarshalOptions{Deterministic: true}.Marshal(a)
		if err != nil {
			return "", err
		}
		part := sha256.Sum256(data)
		sum.Write(part[:])
	}
	return hex.EncodeToString(sum.Sum(nil))[:20], nil
}
