// Package keychaintest is a log with witnesses, in memory, for tests of a customer's keys: it shows what witnesses saw
// of them, at any time.
package keychaintest

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"time"

	"github.com/openlockbox/lockbox/pkg/approval/sighted"
	"github.com/openlockbox/lockbox/pkg/merkle"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// Origin is the name of the log.
const Origin = "lockbox.example/log"

// names are those of the witnesses.
var names = []string{"alpha", "beta", "gamma"}

// Log is a tenant's tree in a log of its own.
type Log struct {
	Tenant   string
	salts    *merkle.Salts
	tree     *merkle.TenantLog
	heads    *merkle.Heads
	global   *merkle.Log
	files    memory
	sequence uint64
}

// New is a log with nothing in it.
func New(tenant string) *Log {
	salts, err := merkle.NewSalts([]byte("a secret of the projector, 32 bytes or more"))
	must(err)
	tree, err := merkle.NewTenantLog(memory{}, salts, tenant)
	must(err)
	files := memory{}
	return &Log{Tenant: tenant, salts: salts, tree: tree, heads: merkle.NewHeads(), global: merkle.NewLog(files),
		files: files}
}

// Add adds an event to the tenant's tree.
func (l *Log) Add(subject string, stored []byte) {
	l.sequence++
	must(l.tree.Append(merkle.Format2, merkle.Stored{Sequence: l.sequence, Subject: subject, Bytes: stored}))
	if about, version := merkle.About(subject); about != "" {
		l.heads.Append(about, version, tlog.RecordHash(stored)) // any leaf: nobody recomputes it here
	}
}

// Size is that of the tenant's tree.
func (l *Log) Size() uint64 { return l.sequence }

// See is what the witnesses of these names, all three if none are named, saw at a time.
func (l *Log) See(at time.Time, by ...string) *lockboxv1.KeysSighted {
	tree, err := l.tree.Flush()
	must(err)
	view := l.heads.View()
	directory, err := merkle.NewDirectory(merkle.Format2, l.salts, l.global.Tree().N,
		[]merkle.TenantTree{{Tenant: l.Tenant, Tree: tree, Heads: view.Root()}})
	must(err)
	must(l.global.Append(directory.Entry()))
	global, err := l.global.Flush()
	must(err)
	checkpoint, err := merkle.Sign(merkle.Checkpoint{Origin: Origin, Tree: global}, signer())
	must(err)
	for _, name := range names {
		if len(by) == 0 || slices.Contains(by, name) {
			checkpoint, err = cosigner(name).Cosign(checkpoint, at)
			must(err)
		}
	}
	opening, err := directory.Open(0)
	must(err)
	last, err := tlog.ProveRecord(global.N, global.N-1, merkle.Hashes(l.files, global))
	must(err)
	seen, err := json.Marshal(merkle.Seen{Tenant: l.Tenant, Checkpoint: string(checkpoint), Opening: opening,
		Directory: last})
	must(err)
	head, err := json.Marshal(view.Prove(sighted.Subject(l.Tenant)))
	must(err)
	return &lockboxv1.KeysSighted{LogKeys: logKey(), Seen: seen, Head: head}
}

// Witnesses are the witnesses' keys, as a genesis names them.
func Witnesses() (keys []string) {
	for _, name := range names {
		keys = append(keys, cosigner(name).VerifierKey())
	}
	slices.SortFunc(keys, strings.Compare)
	return keys
}

func cosigner(name string) *merkle.Cosigner {
	c, err := merkle.NewCosigner(name+".example/witness", key(name))
	must(err)
	return c
}

func key(name string) ed25519.PrivateKey {
	seed := sha256.Sum256([]byte(name))
	return ed25519.NewKeyFromSeed(seed[:])
}

func signer() note.Signer {
	public := append([]byte(Origin+"\n\x01"), key(Origin)[32:]...)
	hash := sha256.Sum256(public)
	s, err := note.NewSigner(fmt.Sprintf("PRIVATE+KEY+%s+%x+%s", Origin, hash[:4],
		base64.StdEncoding.EncodeToString(append([]byte{1}, key(Origin).Seed()...))))
	must(err)
	return s
}

func logKey() string {
	k, err := note.NewEd25519VerifierKey(Origin, ed25519.PublicKey(key(Origin)[32:]))
	must(err)
	return k
}

// memory is a store of tiles.
type memory map[string][]byte

func (m memory) Read(path string) ([]byte, error) {
	if data, is := m[path]; is {
		return data, nil
	}
	return nil, fs.ErrNotExist
}

func (m memory) Write(path string, data []byte) error {
	m[path] = slices.Clone(data)
	return nil
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}
