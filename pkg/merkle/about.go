package merkle

import (
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/tlog"
)

// subjectTokens is the number of tokens of a subject that say what an event is about; its version follows.
const subjectTokens = 5

// About returns what an event with this subject is about, and its version; 0 if what stands there is no version.
// Nothing but the subject decides, not even a list of kinds, so that every version of this program that reads the tree
// finds the same heads. What has no five tokens is about nothing.
func About(subject string) (about string, version uint64) {
	end := 0
	for range subjectTokens {
		if end > 0 {
			end++ // the dot
		}
		next := strings.IndexByte(subject[end:], '.')
		if next < 0 {
			if strings.Count(subject, ".") == subjectTokens-1 {
				return subject, 0
			}
			return "", 0
		}
		end += next
	}
	text, _, _ := strings.Cut(subject[end+1:], ".")
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil || n >= maxNumber || strconv.FormatUint(n, 10) != text {
		n = 0
	}
	return subject[:end], n
}

// append adds an event by its subject.
func (h *Heads) append(subject string, leaf tlog.Hash) {
	if about, version := About(subject); about != "" {
		h.Append(about, version, leaf)
	}
}

// ReadHeads returns the heads of a tenant's tree, from its entries, each compared with the tree.
func ReadHeads(from Reader, tree tlog.Tree) (*Heads, error) {
	heads := NewHeads()
	if err := checkTree(tree); err != nil {
		return nil, err
	}
	for n := int64(0); n < tree.N; n = (n/tileWidth + 1) * tileWidth {
		entries, err := readEntries(from, n, tree.N)
		if err != nil {
			return nil, err
		}
		leaves, err := readLeaves(from, tree, n)
		if err != nil {
			return nil, err
		}
		for i, entry := range entries {
			s, err := statementAt(entry, leaves[i], n+int64(i))
			if err != nil {
				return nil, err
			}
			heads.append(s.Subject, leaves[i])
		}
	}
	return heads, nil
}
