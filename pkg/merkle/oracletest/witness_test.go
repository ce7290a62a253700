package oracletest

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"filippo.io/torchwood"
	"github.com/openlockbox/lockbox/pkg/merkle"
	"github.com/transparency-dev/tessera"
	"github.com/transparency-dev/tessera/storage/posix"
	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"
	"golang.org/x/mod/sumdb/tlog"
)

// built builds a program of a module, alone.
func built(t *testing.T, module, program string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), filepath.Base(program))
	c := exec.CommandContext(t.Context(), "go", "build", "-o", file, program) // #nosec G204 -- a test's own constants
	c.Dir, c.Env = module, append(os.Environ(), "GOWORK=off")
	if out, err := c.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return file
}

// runs starts a program until the test ends.
func runs(t *testing.T, dir, program string, arguments ...string) {
	t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	c := exec.CommandContext(ctx, program, arguments...) // #nosec G204 -- a test's own constants
	c.Dir, c.Stderr = dir, os.Stderr
	must(t, c.Start())
	t.Cleanup(func() {
		stop()
		_ = c.Wait() // it was killed
	})
}

// address is one of this machine at which nobody listens.
func address(t *testing.T) string {
	t.Helper()
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	must(t, err)
	must(t, l.Close())
	return l.Addr().String()
}

// agentOf is an ssh-agent with one key, which is how litewitness signs.
func agentOf(t *testing.T, key ed25519.PrivateKey) (socket string) {
	t.Helper()
	ring := agent.NewKeyring()
	must(t, ring.Add(agent.AddedKey{PrivateKey: key}))
	dir, err := os.MkdirTemp("", "agent") // a socket's path is short
	must(t, err)
	socket = filepath.Join(dir, "s")
	l, err := new(net.ListenConfig).Listen(t.Context(), "unix", socket)
	must(t, err)
	t.Cleanup(func() {
		must(t, l.Close())
		must(t, os.RemoveAll(dir))
	})
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() { _ = agent.ServeAgent(ring, c) }() // until the witness ends
		}
	}()
	return socket
}

// knownLog tells litewitness of a log, as its own tool does.
const knownLog = `import sqlite3, sys
db = sqlite3.connect(sys.argv[1])
db.executescript("CREATE TABLE log (origin TEXT PRIMARY KEY, tree_size INTEGER NOT NULL, tree_hash TEXT NOT NULL);"
    "CREATE TABLE key (origin TEXT NOT NULL, key TEXT NOT NULL, FOREIGN KEY(origin) REFERENCES log(origin));")
db.execute("INSERT INTO log VALUES (?, 0, ?)", (sys.argv[2], sys.argv[4]))
db.execute("INSERT INTO key VALUES (?, ?)", (sys.argv[2], sys.argv[3]))
db.commit()`

// litewitness, a program of torchwood's, cosigns our log while it grows, and refuses a fork.
func TestTheirWitnessCosignsOurLog(t *testing.T) {
	program := built(t, "testdata/litewitness", "filippo.io/torchwood/cmd/litewitness")
	_, secret, err := ed25519.GenerateKey(rand.Reader)
	must(t, err)
	theirs, err := torchwood.NewCosignatureSigner("litewitness.example", secret)
	must(t, err)
	public, err := ssh.NewPublicKey(secret.Public())
	must(t, err)
	dir, at := t.TempDir(), address(t)
	out, err := exec.CommandContext(t.Context(), "/usr/bin/python3", "-c", knownLog, filepath.Join(dir, "db"), origin,
		logKey(t), merkle.EmptyTree().Hash.String()).CombinedOutput() // #nosec G204 -- a test's own
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	runs(t, dir, program, "-db", "db", "-name", "litewitness.example", "-listen", at, "-ssh-agent", agentOf(t, secret),
		"-key", ssh.FingerprintSHA256(public))

	policy, err := merkle.ParsePolicy([]byte("log " + logKey(t) + "\nwitness w " + theirs.Verifier().String() +
		" http://" + at + "\nquorum w\n"))
	must(t, err)
	signer, _ := keys(t)
	store := site{}
	log := merkle.NewLog(store)
	old := int64(0)
	for round := range 5 {
		for i := range 1 + 100*round {
			must(t, log.Append(fmt.Appendf(nil, "%d %d", round, i)))
		}
		tree, err := log.Flush()
		must(t, err)
		signed, err := merkle.Sign(merkle.Checkpoint{Origin: origin, Tree: tree}, signer)
		must(t, err)
		proof, err := merkle.ProveGrowth(store, old, tree)
		must(t, err)
		status, line := submit(t, "http://"+at, old, proof, signed)
		for deadline := time.Now().Add(time.Minute); status == 0 && time.Now().Before(deadline); {
			time.Sleep(20 * time.Millisecond) // it is starting
			status, line = submit(t, "http://"+at, old, proof, signed)
		}
		if status != http.StatusOK {
			t.Fatalf("from %d to %d: %d %q", old, tree.N, status, line)
		}
		cosigned, err := policy.Add(signed, []byte(line))
		must(t, err)
		got, err := policy.Open(cosigned)
		must(t, err)
		if got.Tree != tree || len(got.Cosigned) != 1 || time.Since(got.Quorum) > time.Hour {
			t.Errorf("%+v", got)
		}
		old = tree.N
	}
	if status, answer := submit(t, "http://"+at, 0, nil, sign(t, tlog.Tree{N: old, Hash: tlog.Hash{1}})); status !=
		http.StatusConflict || answer != fmt.Sprintf("%d\n", old) {
		t.Errorf("as if it knew nothing: %d %q", status, answer)
	}
	if status, _ := submit(t, "http://"+at, old, nil, sign(t, tlog.Tree{N: old, Hash: tlog.Hash{1}})); status !=
		http.StatusUnprocessableEntity && status != http.StatusConflict {
		t.Errorf("a fork: %d", status)
	}
}

func sign(t *testing.T, tree tlog.Tree) []byte {
	t.Helper()
	signer, _ := keys(t)
	signed, err := merkle.Sign(merkle.Checkpoint{Origin: origin, Tree: tree}, signer)
	must(t, err)
	return signed
}

// Our witness, the program that customers run, cosigns a log that tessera makes. Tessera publishes nothing without the
// cosignature, and our code reads what it publishes.
func TestOurWitnessCosignsTheirLog(t *testing.T) {
	program := built(t, "../../../services/verifier", "./cmd/verifier")
	for _, keyType := range []string{"ed25519", "ml-dsa-44"} {
		t.Run(keyType, func(t *testing.T) {
			dir, at := t.TempDir(), address(t)
			vkey, err := exec.CommandContext(t.Context(), program, "witness", "key", "--name", "witness.example", "--type",
				keyType, "--key", filepath.Join(dir, "key")).Output() // #nosec G204 -- a test's own
			must(t, err)
			runs(t, dir, program, "witness", "--key", "key", "--state", "state", "--log", logKey(t), "--listen", at)
			for deadline := time.Now().Add(time.Minute); ; time.Sleep(20 * time.Millisecond) {
				if status, _ := submit(t, "http://"+at, 0, nil, []byte("nonsense")); status == http.StatusBadRequest ||
					status == http.StatusNotFound {
					break
				} else if time.Now().After(deadline) {
					t.Fatal("the witness does not answer")
				}
			}
			policy := "log " + logKey(t) + "\nwitness w " + strings.TrimSpace(string(vkey)) + " http://" + at + "\nquorum w\n"
			group, err := tessera.NewWitnessGroupFromPolicy([]byte(policy))
			must(t, err)
			trusted, err := merkle.ParsePolicy([]byte(policy))
			must(t, err)

			files := filepath.Join(dir, "log")
			driver, err := posix.New(t.Context(), posix.Config{Path: files})
			must(t, err)
			signer, _ := keys(t)
			appender, shutdown, reader, err := tessera.NewAppender(t.Context(), driver, tessera.NewAppendOptions().
				WithCheckpointSigner(signer).WithBatching(10, 20*time.Millisecond).
				WithCheckpointInterval(200*time.Millisecond).WithWitnesses(group, nil))
			must(t, err)
			awaiter := tessera.NewPublicationAwaiter(t.Context(), reader.ReadCheckpoint, 50*time.Millisecond)
			size := int64(0)
			for i := range 30 {
				entry := fmt.Appendf(nil, "entry %d", i)
				index, signed, err := awaiter.Await(t.Context(), appender.Add(t.Context(), tessera.NewEntry(entry)))
				must(t, err)
				if i%10 != 0 {
					continue
				}
				got, err := trusted.Open(signed)
				must(t, err)
				leaf, err := merkle.Hashes(onDisk(files), got.Tree).ReadHashes([]int64{tlog.StoredHashIndex(0, int64(index.Index))})
				must(t, err)
				if leaf[0] != tlog.RecordHash(entry) || got.Tree.N <= size || len(got.Cosigned) != 1 {
					t.Errorf("entry %d: %+v", i, got)
				}
				size = got.Tree.N
			}
			must(t, shutdown(t.Context()))
			// Monitors see how far the witness saw it grow.
			seen := monitored(t, "http://"+at, trusted)
			if seen.Tree.N < size {
				t.Errorf("the witness shows %d entries of %d", seen.Tree.N, size)
			}
			// A fork of it is refused and kept.
			fork := sign(t, tlog.Tree{N: seen.Tree.N, Hash: tlog.Hash{1}})
			if status, _ := submit(t, "http://"+at, seen.Tree.N, nil, fork); status != http.StatusUnprocessableEntity {
				t.Errorf("a fork: %d", status)
			}
			list, err := exec.CommandContext(t.Context(), program, "witness", "evidence", "--state",
				filepath.Join(dir, "state")).Output() // #nosec G204 -- a test's own
			if err != nil || !regexp.MustCompile(`^\S+  fork `).Match(list) {
				t.Errorf("%v\n%s", err, list)
			}
		})
	}
}

// onDisk reads tiles as tessera's POSIX storage writes them.
type onDisk string

func (d onDisk) Read(path string) ([]byte, error) {
	return os.ReadFile(filepath.Join(string(d), filepath.FromSlash(path))) // #nosec G304 -- a test's own
}

func monitored(t *testing.T, url string, policy *merkle.Policy) merkle.Signed {
	t.Helper()
	sum := fmt.Sprintf("%x", sha256.Sum256([]byte(origin)))
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url+"/"+sum+"/checkpoint", nil)
	must(t, err)
	got, err := http.DefaultClient.Do(r)
	must(t, err)
	body, err := io.ReadAll(got.Body)
	must(t, err)
	must(t, got.Body.Close())
	signed, err := policy.Open(body)
	must(t, err)
	return signed
}
