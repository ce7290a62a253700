package shown

import (
	"crypto/sha256"
	"encoding/hex"

	"google.golang.org/protobuf/proto"
)

// Digest returns a hash that changes when anything in the replies does. Replies contain nothing that changes with time
// alone, such as the time left.
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
