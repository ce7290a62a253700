// Package commandid makes ids of commands from the ids that pages and programs give: whatever is the same thing, sent
// twice, is one command, and anything else under the same id is another. A service takes a command that it knows the id
// of for one that it has carried out.
package commandid

import (
	"crypto/sha256"

	"github.com/google/uuid"
	"github.com/openlockbox/lockbox/pkg/input"
)

// Of is the id of the command that means this and was given that id (UUID version 7), whose time it keeps. Field names
// the id in refusals.
func Of(field, given string, meaning []byte) (string, error) {
	if err := input.UUIDv7(field, given); err != nil {
		return "", err
	}
	id, err := uuid.Parse(given)
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(append([]byte(given+" "), meaning...))
	const version, variant = 6, 8 // the bytes that also say that it is a UUID of version 7
	upper, lead := id[version]&0xf0, id[variant]&0xc0
	copy(id[version:], sum[:])
	id[version], id[variant] = id[version]&0x0f|upper, id[variant]&0x3f|lead
	return id.String(), nil
}
