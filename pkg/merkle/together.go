package merkle

import (
	"errors"
	"math/bits"
	"slices"

	"golang.org/x/mod/sumdb/tlog"
)

// One proof for several leaves of a tree is the hashes of the largest subtrees that hold none of them, from left to
// right. Together with the leaves they are the whole tree, so each tree and choice of leaves has exactly one proof.

// ProveTogether is ProveEvents with one proof for all events instead of one in each. Their tenant sequences increase.
func ProveTogether(from Reader, tree tlog.Tree, wanted []Wanted) (events []ReceiptEvent, proof []tlog.Hash, err error) {
	if events, err = readEvents(from, tree, wanted); err != nil {
		return nil, nil, err
	}
	leaves := make([]int64, len(wanted))
	for i, w := range wanted {
		leaves[i] = int64(w.TenantSequence - 1) //nolint:gosec // G115: readEvents found it
		if i > 0 && leaves[i] <= leaves[i-1] {
			return nil, nil, errors.New("the events do not follow each other")
		}
	}
	var indexes []int64 // of all hashes of which the proof is made
	var parts []int     // of which so many make one hash of it
	without(0, tree.N, leaves, func(first, n int64) {
		before := len(indexes)
		indexes = appendWhole(indexes, first, n)
		parts = append(parts, len(indexes)-before)
	})
	hashes, err := Hashes(from, tree).ReadHashes(indexes)
	proof = make([]tlog.Hash, 0, len(parts))
	for _, n := range parts {
		if err == nil {
			proof, hashes = append(proof, joined(hashes[:n])), hashes[n:]
		}
	}
	return events, proof, err
}

// without visits the largest subtrees among n leaves from the first on that hold none of these.
func without(first, n int64, leaves []int64, visit func(first, n int64)) {
	switch {
	case len(leaves) == 0:
		visit(first, n)
	case n > 1:
		half := halfOf(n)
		right, _ := slices.BinarySearch(leaves, first+half)
		without(first, half, leaves[:right], visit)
		without(first+half, n-half, leaves[right:], visit)
	}
}

// halfOf returns how many of more than one leaf are on the left: the largest power of two that is less.
func halfOf(n int64) int64 {
	return 1 << (bits.Len64(uint64(n-1)) - 1) //nolint:gosec // G115: a size is not negative
}

// appendWhole appends the indexes of the stored hashes of which the hash over n leaves from the first on is made: of
// complete subtrees, each smaller than the one before.
func appendWhole(indexes []int64, first, n int64) []int64 {
	for n > 0 {
		level := bits.Len64(uint64(n)) - 1
		indexes = append(indexes, tlog.StoredHashIndex(level, first>>level))
		first, n = first+1<<level, n-1<<level
	}
	return indexes
}

// joined is the hash over subtrees of which each is smaller than the one before.
func joined(hashes []tlog.Hash) tlog.Hash {
	root := hashes[len(hashes)-1]
	for _, h := range slices.Backward(hashes[:len(hashes)-1]) {
		root = tlog.NodeHash(h, root)
	}
	return root
}

// checkTogether checks the one proof of leaves, whose numbers increase and are less than the tree's size.
func checkTogether(tree tlog.Tree, leaves []int64, hashes, proof []tlog.Hash) error {
	enough := true
	take := func(from *[]tlog.Hash) (h tlog.Hash) {
		if enough = enough && len(*from) > 0; enough {
			h, *from = (*from)[0], (*from)[1:]
		}
		return h
	}
	var over func(first, n int64, leaves []int64) tlog.Hash
	over = func(first, n int64, leaves []int64) tlog.Hash {
		switch {
		case len(leaves) == 0:
			return take(&proof)
		case n == 1:
			return take(&hashes)
		}
		half := halfOf(n)
		right, _ := slices.BinarySearch(leaves, first+half)
		left := over(first, half, leaves[:right])
		return tlog.NodeHash(left, over(first+half, n-half, leaves[right:]))
	}
	if root := over(0, tree.N, leaves); !enough || len(proof) > 0 || root != tree.Hash {
		return broken(Event, "the proof of these events does not lead to the tenant's root")
	}
	return nil
}
