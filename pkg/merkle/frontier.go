package merkle

import (
	"math/bits"

	"golang.org/x/mod/sumdb/tlog"
)

// Frontier is all that must be kept of a tree to add leaves to it: the roots of its largest complete subtrees, from the
// left. It is how a monitor that reads entries gets from one signed tree to the next without any proof.
type Frontier struct {
	Size  int64       `json:"size"`
	Roots []tlog.Hash `json:"roots"`
}

// Check returns an error for what is no frontier.
func (f Frontier) Check() error {
	if checkTree(tlog.Tree{N: f.Size}) != nil || len(f.Roots) != bits.OnesCount64(uint64(f.Size)) { //nolint:gosec // G115: checked first
		return broken(Format, "%d subtrees of %d leaves", len(f.Roots), f.Size)
	}
	return nil
}

// Append adds the hash of a leaf.
func (f *Frontier) Append(leaf tlog.Hash) {
	for done := f.Size; done&1 == 1; done >>= 1 {
		leaf = tlog.NodeHash(f.Roots[len(f.Roots)-1], leaf)
		f.Roots = f.Roots[:len(f.Roots)-1]
	}
	f.Roots = append(f.Roots, leaf)
	f.Size++
}

// Tree returns the size and the root.
func (f Frontier) Tree() tlog.Tree {
	if f.Size == 0 {
		return EmptyTree()
	}
	root := f.Roots[len(f.Roots)-1]
	for i := len(f.Roots) - 2; i >= 0; i-- {
		root = tlog.NodeHash(f.Roots[i], root)
	}
	return tlog.Tree{N: f.Size, Hash: root}
}
