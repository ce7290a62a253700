package bus

import (
	"fmt"
	"strconv"
)

const (
	keyPrefix = "lockbox.key."
	// destroyed stands where a page's name stands, and is none.
	destroyed = "destroyed"
)

// KeyPageSubject is where a version of a page of the key store is, the first being 0. A page is hexadecimal.
func KeyPageSubject(page string, version int) string {
	return keyPrefix + page + "." + strconv.Itoa(version)
}

// KeyPageFilter matches all versions of a page.
func KeyPageFilter(page string) string { return keyPrefix + page + ".*" }

// ParseKeyPageSubject is the inverse of KeyPageSubject. What is no page's subject is an error.
func ParseKeyPageSubject(subject string) (page string, version int, err error) {
	t, err := tokens(subject, keyPrefix, 2)
	if err != nil {
		return "", 0, err
	}
	if version, err = strconv.Atoi(t[1]); err == nil && KeyPageSubject(t[0], version) != subject {
		err = fmt.Errorf("bus: %q is no page of the key store", subject)
	}
	return t[0], version, err
}

// KeyFillerSubject is where a message is stored for a moment, only for its size; the name is a token that is new.
func KeyFillerSubject(name string) string { return keyPrefix + "filler." + name }

// KeysDestroyedSubject is where it is noted that keys were destroyed, so that whoever remembers some forgets them; the
// note is the erasure's id.
func KeysDestroyedSubject(erasure string) string { return keyPrefix + destroyed + "." + erasure }

// AnyKeysDestroyed matches every KeysDestroyedSubject.
const AnyKeysDestroyed = keyPrefix + destroyed + ".*"
