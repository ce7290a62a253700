// Package commandid derives command IDs from the IDs that pages and programs supply. The same content sent twice under
// one ID is one command; different content under the same ID is another command. That matters because services treat a
// command with a known ID as already carried out.
package commandid

import (
	"crypto/sha256"

	"github.com/google/uuid"
	"github.com/openlockbox/lockbox/pkg/input"
)

// Of returns the ID of the command with the given supplied ID (UUID version 7) and content. It keeps the supplied ID's
// time. Field names the ID in refusals.
func Of(field, given string, meaning []byte) (string, error) {
	if err := input.UUIDv7(field, given); err != nil {
		return "", err
	}
	id, err := uuid.Parse(given)
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(append([]byte(given+" "), meaning...))
	const version, variant = 6, 8 // the bytes that also hold the UUID's version and variant
	upper, lead := id[version]&0xf0, id[variant]&0xc0
	copy(id[version:], sum[:])
	id[version], id[variant] = id[version]&0x0f|upper, id[variant]&0x3f|lead
	return id.String(), nil
}
