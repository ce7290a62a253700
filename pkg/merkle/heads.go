package merkle

import (
	"crypto/sha256"
	"encoding/binary"
	"math/bits"
	"slices"
	"sync"

	"golang.org/x/mod/sumdb/tlog"
)

const (
	headVersion = 0x02 // the format of a head
	headLeaf    = 0x02 // begins what is hashed for a leaf of the trie
	headNode    = 0x03 // and for an inner node
	maxHeadPath = 256  // nodes above a leaf: each tells keys apart by another bit
)

var (
	aggregateTag = []byte("lockbox/v2 aggregate\n")
	headTag      = []byte("lockbox/v2 head\n")
)

// Head is what a log says about one aggregate: how far it has come, and all of it. FORMATS.md specifies it.
type Head struct {
	// Key is the hash of what the events are about; see HeadKey.
	Key tlog.Hash
	// Version is the highest version among the events, 0 for kinds without versions.
	Version uint64
	// Count is the number of events, at least 1.
	Count uint64
	// Running is the hash over the hashes of all their leaves, in the order of the tenant's tree.
	Running tlog.Hash
}

// HeadKey returns the key of the aggregate that events are about.
func HeadKey(about string) tlog.Hash { return sum(sha256.New(), aggregateTag, []byte(about)) }

// Then returns the head after one more event, whose leaf in the tenant's tree has this hash.
func (h Head) Then(version uint64, leaf tlog.Hash) Head {
	h.Version = max(h.Version, version)
	h.Count++
	var text [64 + 2*tlog.HashSize]byte
	h.Running = sha256.Sum256(append(append(append(text[:0], headTag...), h.Running[:]...), leaf[:]...))
	return h
}

// hash returns the hash of the head as a leaf of the trie.
func (h Head) hash() tlog.Hash {
	var text [2 + headSize]byte
	return sha256.Sum256(h.append(append(text[:0], headLeaf, headVersion)))
}

// append appends the head without the byte of its format.
func (h Head) append(data []byte) []byte {
	data = append(data, h.Key[:]...)
	data = binary.BigEndian.AppendUint64(data, h.Version)
	data = binary.BigEndian.AppendUint64(data, h.Count)
	return append(data, h.Running[:]...)
}

func hashNode(bit uint8, left, right tlog.Hash) tlog.Hash {
	var text [2 + 2*tlog.HashSize]byte
	return sha256.Sum256(append(append(append(text[:0], headNode, bit), left[:]...), right[:]...))
}

// bitOf returns a bit of a key; bit 0 is the highest of the first byte.
func bitOf(key *tlog.Hash, bit uint8) uint8 { return key[bit/8] >> (7 - bit%8) & 1 }

// firstDifference returns the first bit in which two different keys differ.
func firstDifference(a, b *tlog.Hash) uint8 {
	i := 0
	for a[i] == b[i] {
		i++
	}
	return uint8(8*i + bits.LeadingZeros8(a[i]^b[i])) //nolint:gosec // G115: at most 255
}

// Heads holds the heads of all aggregates of one tenant's tree, in the trie that FORMATS.md specifies. It grows event
// by event; what is shown is a HeadsView, which stays as it is. All methods are safe for concurrent use.
//
// A million aggregates take 131 MB: heads and nodes lie in flat chunks and refer to each other by number. Nodes are
// changed in place, and hashed again only when a view is taken. What changes after a view is kept aside as it was,
// until nobody has that view or an older one: a view costs nothing at first, and then what changes until the next one.
type Heads struct {
	mu     sync.RWMutex
	heads  chunks[Head]
	nodes  chunks[headsNode]
	root   ref
	latest *HeadsView // nil before the first
	grown  bool       // since the latest view
}

// headsNode is an inner node: the keys on its left have 0 at the bit, those on its right 1, and all agree before it.
type headsNode struct {
	hash     tlog.Hash // wrong while stale
	children [2]ref
	bit      uint8
	stale    bool
}

// ref is the number of a head or of an inner node.
type ref uint32

const isNode ref = 1 << 31

// chunks is a slice that grows without being copied and without more room than it needs.
type chunks[T any] [][]T

const chunkSize = 1 << 10

func (c *chunks[T]) add(v T) ref {
	last := len(*c) - 1
	if last < 0 || len((*c)[last]) == chunkSize {
		var fresh []T // the first one grows as far as it must: most tenants are small
		if last >= 0 {
			fresh = make([]T, 0, chunkSize)
		}
		*c = append(*c, fresh)
		last++
	}
	(*c)[last] = append((*c)[last], v)
	return ref(last*chunkSize + len((*c)[last]) - 1) //nolint:gosec // G115: 2^31 of them do not fit into memory
}

// cut leaves the first n.
func (c *chunks[T]) cut(n int) {
	*c = (*c)[:(n+chunkSize-1)/chunkSize]
	if last := len(*c) - 1; last >= 0 {
		(*c)[last] = (*c)[last][:n-last*chunkSize]
	}
}

func (c chunks[T]) at(i ref) *T { return &c[i/chunkSize][i%chunkSize] }

func (c chunks[T]) len() int {
	if len(c) == 0 {
		return 0
	}
	return (len(c)-1)*chunkSize + len(c[len(c)-1])
}

// NewHeads returns the heads of an empty tree.
func NewHeads() *Heads { return &Heads{} }

// Append adds the tenant's next event: what it is about, its version (0 if its kind has none), and the hash of its leaf
// in the tenant's tree.
func (h *Heads) Append(about string, version uint64, leaf tlog.Hash) {
	key := HeadKey(about)
	h.mu.Lock()
	defer h.mu.Unlock()
	h.grown = true
	at, found := h.find(&key)
	if found == nil || found.Key != key {
		h.insert(Head{Key: key}.Then(version, leaf), found)
		return
	}
	h.touch(&key, maxHeadPath)
	h.keepHead(at)
	*found = found.Then(version, leaf)
}

// find returns where the search for a key ends; nil if there is no head.
func (h *Heads) find(key *tlog.Hash) (ref, *Head) {
	if h.heads.len() == 0 {
		return 0, nil
	}
	at := h.root
	for at&isNode != 0 {
		n := h.nodes.at(at &^ isNode)
		at = n.children[bitOf(key, n.bit)]
	}
	return at, h.heads.at(at)
}

// insert adds the first head of a key beside the one at which the search for it ended; nil if there is none.
func (h *Heads) insert(fresh Head, ended *Head) {
	if ended == nil {
		h.root = h.heads.add(fresh)
		return
	}
	bit := firstDifference(&fresh.Key, &ended.Key)
	head, node := h.heads.add(fresh), h.nodes.add(headsNode{bit: bit, stale: true})
	place := h.touch(&fresh.Key, int(bit)) // only now: chunks may move when something is added
	side := bitOf(&fresh.Key, bit)
	children := &h.nodes.at(node).children
	children[side], children[1-side] = head, *place
	*place = node | isNode
}

// Head returns the head of an aggregate as it is now, and whether there is one.
func (h *Heads) Head(about string) (Head, bool) {
	key := HeadKey(about)
	h.mu.RLock()
	defer h.mu.RUnlock()
	if _, found := h.find(&key); found != nil && found.Key == key {
		return *found, true
	}
	return Head{}, false
}

// headSize is the length of a head's encoding in bytes.
const headSize = 2*tlog.HashSize + 16

// Encode returns all heads as they are now, for DecodeHeads: less than a hundred bytes each.
func (h *Heads) Encode() []byte {
	h.mu.RLock()
	defer h.mu.RUnlock()
	data := make([]byte, 0, h.heads.len()*headSize)
	for i := range h.heads.len() {
		data = h.heads.at(ref(i)).append(data)
	}
	return data
}

// DecodeHeads returns the heads that Encode has written. Whether they are those of a tree shows their root alone.
func DecodeHeads(data []byte) (*Heads, error) {
	h := NewHeads()
	if len(data)%headSize != 0 {
		return nil, broken(Format, "heads of %d bytes", len(data))
	}
	for ; len(data) > 0; data = data[headSize:] {
		is := Head{
			Key: tlog.Hash(data), Version: binary.BigEndian.Uint64(data[tlog.HashSize:]),
			Count: binary.BigEndian.Uint64(data[tlog.HashSize+8:]), Running: tlog.Hash(data[tlog.HashSize+16:]),
		}
		_, ended := h.find(&is.Key)
		if is.Count == 0 || is.Count > maxTreeSize || ended != nil && ended.Key == is.Key {
			return nil, broken(Format, "a head stands there twice, or counts nothing")
		}
		h.insert(is, ended)
		h.grown = true
	}
	return h, nil
}

// touch makes the nodes for bits before this one stale, on the way to the key, and returns where the way goes on.
func (h *Heads) touch(key *tlog.Hash, before int) *ref {
	place := &h.root
	for *place&isNode != 0 {
		i := *place &^ isNode
		n := h.nodes.at(i)
		if int(n.bit) >= before {
			break
		}
		if !n.stale {
			h.keepNode(i)
			n.stale = true
		}
		place = &n.children[bitOf(key, n.bit)]
	}
	return place
}

func (h *Heads) keepNode(i ref) {
	if v := h.latest; v != nil && int(i) < v.nodeCount {
		v.nodes[i] = *h.nodes.at(i)
	}
}

func (h *Heads) keepHead(i ref) {
	v := h.latest
	if v == nil || int(i) >= v.headCount {
		return
	}
	if _, ok := v.heads[i]; !ok {
		v.heads[i] = *h.heads.at(i)
	}
}

// View returns the heads as they are now. It stays as it is while the heads grow.
func (h *Heads) View() *HeadsView {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.latest != nil && !h.grown {
		return h.latest
	}
	v := &HeadsView{
		of: h, root: h.root, headCount: h.heads.len(), nodeCount: h.nodes.len(),
		heads: map[ref]Head{}, nodes: map[ref]headsNode{},
	}
	if v.headCount > 0 {
		v.hash = h.rehash(h.root)
	}
	if h.latest != nil {
		h.latest.next = v
	}
	h.latest, h.grown = v, false
	return v
}

// Back makes the heads what they were at a view, which must be theirs. Later views must not be used any more.
func (h *Heads) Back(v *HeadsView) {
	h.mu.Lock()
	defer h.mu.Unlock()
	var later []*HeadsView
	for is := v; is != nil; is = is.next {
		later = append(later, is)
	}
	for _, is := range slices.Backward(later) {
		for i, old := range is.heads {
			*h.heads.at(i) = old
		}
		for i, old := range is.nodes {
			*h.nodes.at(i) = old
		}
	}
	h.heads.cut(v.headCount)
	h.nodes.cut(v.nodeCount)
	h.root, h.latest, h.grown = v.root, v, false
	v.next = nil
	clear(v.heads)
	clear(v.nodes)
}

func (h *Heads) rehash(at ref) tlog.Hash {
	if at&isNode == 0 {
		return h.heads.at(at).hash()
	}
	n := h.nodes.at(at &^ isNode)
	if n.stale {
		n.hash = hashNode(n.bit, h.rehash(n.children[0]), h.rehash(n.children[1]))
		n.stale = false
	}
	return n.hash
}

// HeadsView is the heads at one moment, as a checkpoint commits to them. It is safe for concurrent use.
type HeadsView struct {
	of                   *Heads
	root                 ref
	hash                 tlog.Hash
	headCount, nodeCount int
	// What changed between this view and the next one, as it was; of.mu guards all three.
	heads map[ref]Head
	nodes map[ref]headsNode
	next  *HeadsView
}

// Root returns what the slot of a directory commits to; zero if there is no head.
func (v *HeadsView) Root() tlog.Hash { return v.hash }

// Head returns the head of an aggregate, and whether there is one.
func (v *HeadsView) Head(about string) (Head, bool) {
	proof := v.Prove(about)
	return proof.Head, proof.Head.Count > 0 && proof.Head.Key == HeadKey(about)
}

// Prove proves the head of an aggregate, or that there is none; CheckHead tells which.
func (v *HeadsView) Prove(about string) HeadProof {
	key := HeadKey(about)
	v.of.mu.RLock()
	defer v.of.mu.RUnlock()
	proof := HeadProof{Path: []HeadStep{}}
	if v.headCount == 0 {
		return proof
	}
	at := v.root
	for at&isNode != 0 {
		n := v.node(at &^ isNode)
		side := bitOf(&key, n.bit)
		proof.Path = append(proof.Path, HeadStep{n.bit, v.hashOf(n.children[1-side])})
		at = n.children[side]
	}
	proof.Head = v.head(at)
	return proof
}

func (v *HeadsView) hashOf(at ref) tlog.Hash {
	if at&isNode == 0 {
		return v.head(at).hash()
	}
	return v.node(at &^ isNode).hash
}

// What did not change until the next view is there as it was at that one.

func (v *HeadsView) head(i ref) Head {
	for is := v; is != nil; is = is.next {
		if old, ok := is.heads[i]; ok {
			return old
		}
	}
	return *v.of.heads.at(i)
}

func (v *HeadsView) node(i ref) headsNode {
	for is := v; is != nil; is = is.next {
		if old, ok := is.nodes[i]; ok {
			return old
		}
	}
	return *v.of.nodes.at(i)
}

// HeadProof proves a head, or that an aggregate has none.
type HeadProof struct {
	// Head is where the search for the aggregate ends: its own head, or another one if it has none; zero in an empty trie.
	Head Head
	// Path leads from the root to it.
	Path []HeadStep
}

// HeadStep is an inner node on the way to a head: the bit that it tells apart, and the child that is not on the way.
type HeadStep struct {
	Bit     uint8     `json:"bit"`
	Sibling tlog.Hash `json:"sibling"`
}

// CheckHead checks a proof of the aggregate's head against the root of the trie. It returns the head and true, or false
// if the proof shows that the aggregate has none. The error is a *ProofError of the part AggregateHead.
func CheckHead(root tlog.Hash, proof HeadProof, about string) (Head, bool, error) {
	key, head := HeadKey(about), proof.Head
	if root == (tlog.Hash{}) && head == (Head{}) && len(proof.Path) == 0 {
		return Head{}, false, nil
	}
	if head.Count == 0 || head.Count > maxTreeSize {
		return Head{}, false, broken(AggregateHead, "a head counts 1 to 2^48 events")
	}
	for i, step := range proof.Path {
		if i > 0 && step.Bit <= proof.Path[i-1].Bit {
			return Head{}, false, broken(AggregateHead, "bit %d stands below bit %d", step.Bit, proof.Path[i-1].Bit)
		}
		if bitOf(&key, step.Bit) != bitOf(&head.Key, step.Bit) {
			return Head{}, false, broken(AggregateHead, "the search for the aggregate does not end at this head")
		}
	}
	hash := head.hash()
	for i := len(proof.Path) - 1; i >= 0; i-- {
		step := proof.Path[i]
		if bitOf(&key, step.Bit) == 0 {
			hash = hashNode(step.Bit, hash, step.Sibling)
		} else {
			hash = hashNode(step.Bit, step.Sibling, hash)
		}
	}
	if hash != root {
		return Head{}, false, broken(AggregateHead, "the head is not in the trie with this root")
	}
	if head.Key != key {
		return Head{}, false, nil
	}
	return head, true, nil
}
