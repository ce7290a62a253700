package signed

import "golang.org/x/mod/sumdb/tlog"

// tree returns the root over leaves, and of each leaf its inclusion proof (RFC 6962 §2.1.1).
func tree(leaves []tlog.Hash) (root tlog.Hash, paths [][]tlog.Hash) {
	paths = make([][]tlog.Hash, len(leaves))
	return subtree(leaves, paths), paths
}

// subtree is tree for some of the leaves; it appends to their paths what lies inside.
func subtree(leaves []tlog.Hash, paths [][]tlog.Hash) tlog.Hash {
	if len(leaves) == 1 {
		return leaves[0]
	}
	k := split(len(leaves))
	left, right := subtree(leaves[:k], paths[:k]), subtree(leaves[k:], paths[k:])
	for i := range paths {
		if i < k {
			paths[i] = append(paths[i], right)
		} else {
			paths[i] = append(paths[i], left)
		}
	}
	return tlog.NodeHash(left, right)
}

// split is the largest power of two below n, which is more than 1.
func split(n int) int {
	k := 1
	for k*2 < n {
		k *= 2
	}
	return k
}

// climb returns the root to which a path leads from leaf index in a tree of count leaves; false if the path has not
// exactly the length of that leaf's proof.
func climb(leaf tlog.Hash, index, count int, path []tlog.Hash) (root tlog.Hash, ok bool) {
	if count == 1 {
		return leaf, len(path) == 0
	}
	if len(path) == 0 {
		return tlog.Hash{}, false
	}
	k, last := split(count), len(path)-1
	if index < k {
		if root, ok = climb(leaf, index, k, path[:last]); ok {
			root = tlog.NodeHash(root, path[last])
		}
	} else if root, ok = climb(leaf, index-k, count-k, path[:last]); ok {
		root = tlog.NodeHash(path[last], root)
	}
	return root, ok
}
