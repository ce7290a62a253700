package verifier_test

import (
	"bytes"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/openlockbox/lockbox/pkg/merkle"
	"github.com/openlockbox/lockbox/services/verifier"
	"golang.org/x/mod/sumdb/tlog"
)

// writeFile writes what somebody may have.
func writeFile(t *testing.T, name, text string) string {
	t.Helper()
	name = filepath.Join(t.TempDir(), name)
	must(t, os.WriteFile(name, []byte(text), 0o600))
	return name
}

func mailOf(h *history) string {
	return fmt.Sprintf("%d:%s", h.tree.N, hex.EncodeToString(h.tree.Hash[:16]))
}

// Two things that show a log are compared, whatever they are: the same, one grown out of the other, a contradiction, or
// a proof is needed.
func TestWhatShowsALogIsCompared(t *testing.T) {
	t.Chdir(t.TempDir()) // where evidence is kept
	w, show, signer := follow(t)
	h := begin(t, signer)
	show.history = h
	h.asked()
	receipt := h.receipt(aRequest, []merkle.Wanted{
		{TenantSequence: 1, Withhold: true}, {TenantSequence: 2, Withhold: true},
		{TenantSequence: 3, Withhold: true}})
	early := map[string]string{
		"receipt": saved(t, receipt), "checkpoint": writeFile(t, "checkpoint", h.note), "mail": mailOf(h),
	}
	must(t, once(t, w))
	early["state"] = writeFile(t, "state.json", string(read(t, w.State)))
	h.grow("more")
	must(t, once(t, w))
	late := map[string]string{"checkpoint": writeFile(t, "checkpoint", h.note), "mail": mailOf(h), "state": w.State}

	other := begin(t, signer) // the same log for somebody else
	other.grow("another history")
	other.asked()
	forked := map[string]string{"checkpoint": writeFile(t, "checkpoint", other.note), "mail": mailOf(other)}
	address, compare := w.Log, func(a, b string) (string, error) {
		said(w)
		err := w.Compare(t.Context(), a, b)
		return said(w), err
	}
	for a, one := range early {
		for b, same := range early {
			if out, err := compare(one, same); err != nil || !strings.Contains(out, "are of the same log of size 3") {
				t.Errorf("%s and %s: %s, %v", a, b, out, err)
			}
		}
		for b, grown := range late {
			w.Log = ""
			out, err := compare(grown, one)
			if known := b == "state"; known != (err == nil) || !known && !errors.Is(err, verifier.ErrInconclusive) {
				t.Errorf("%s and %s without a proof: %s, %v", a, b, out, err)
			}
			w.Log = address
			if out, err = compare(one, grown); err != nil || !strings.Contains(out, "grew out of") {
				t.Errorf("%s and %s: %s, %v", a, b, out, err)
			}
		}
		if out, err := compare(one, ""); err != nil || !strings.Contains(out, "The log of size 4 began with") {
			t.Errorf("%s and the log: %s, %v", a, out, err)
		}
	}
	for a, one := range late {
		for b, fork := range forked {
			_, err := compare(fork, one)
			signed := a != "mail" && b != "mail"
			if !signed && !errors.Is(err, verifier.ErrNotProven) || signed && !errors.Is(err, verifier.ErrContradiction) {
				t.Errorf("%s and the %s of a fork: %v", a, b, err)
			}
		}
	}
	checkKept(t, w, 2)

	// The log proves by itself that it signed another beginning.
	show.history = other
	other.grow("and more")
	if _, err := compare(early["receipt"], ""); !errors.Is(err, verifier.ErrContradiction) {
		t.Errorf("a receipt and another log: %v", err)
	}
	if _, err := compare(early["mail"], ""); !errors.Is(err, verifier.ErrNotProven) {
		t.Errorf("a mail and another log: %v", err)
	}
	checkKept(t, w, 1)
	for _, bad := range []string{"nothing.json", "4:" + strings.Repeat("f", 65), "4:abc"} {
		var wrong *verifier.UsageError
		if _, err := compare(bad, ""); !errors.As(err, &wrong) {
			t.Errorf("%s: %v", bad, err)
		}
	}
	if _, err := compare(writeFile(t, "x", "nonsense"), early["mail"]); !errors.Is(err, verifier.ErrNotProven) {
		t.Errorf("nonsense: %v", err)
	}
}

// checkKept checks the evidence in the working directory and removes it.
func checkKept(t *testing.T, w *verifier.Watcher, want int) {
	t.Helper()
	kept, err := filepath.Glob("lockbox-contradiction-*.json")
	must(t, err)
	if len(kept) != want {
		t.Errorf("%d files of evidence, want %d", len(kept), want)
	}
	for _, name := range kept {
		if _, err := verifier.CheckEvidence(name, w.Trust); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		must(t, os.Remove(name))
	}
}

func read(t *testing.T, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(name)
	must(t, err)
	return data
}

// A receipt's claim that it shows all is the log's word, until whoever read the entries says so too.
func TestAReceiptIsComparedWithWhatWasRead(t *testing.T) {
	h, public, r := receiptOf(t, merkle.Format2, unchanged)
	t.Chdir(t.TempDir()) // where evidence is kept
	w, show, _ := follow(t)
	w.Trust, show.history = verifier.Trust{Key: public}, h
	first := saved(t, r)
	said := func(file, want string) {
		t.Helper()
		is, err := verifier.CheckWatched(file, w.Trust, w.State, time.Now())
		must(t, err)
		if !strings.Contains(is.Text(nil), want) {
			t.Errorf("it says %s, want %s", is.Watched, want)
		}
	}
	if _, err := verifier.CheckWatched(first, w.Trust, w.State, time.Now()); err == nil {
		t.Error("nothing was watched yet")
	}
	must(t, once(t, w))
	said(first, "is what the entries say")
	h.add(r.About+".4.CustomerDenied", []byte("no event"))
	said(saved(t, h.receipt(r.About, []merkle.Wanted{{TenantSequence: 1}})), "this receipt is newer")
	must(t, once(t, w))
	said(first, "there are 4 events of this by now")

	// For somebody else the log signs a head that does not count the last event.
	h.heads = merkle.NewHeads()
	leaves, err := merkle.Hashes(h.leaves, h.own).ReadHashes([]int64{tlog.StoredHashIndex(0, 0),
		tlog.StoredHashIndex(0, 1), tlog.StoredHashIndex(0, 2)})
	must(t, err)
	for i, leaf := range leaves {
		h.heads.Append(r.About, uint64(i+1), leaf)
	}
	h.grow("more")
	lie := saved(t, h.receipt(r.About, []merkle.Wanted{{TenantSequence: 1}, {TenantSequence: 2, Withhold: true},
		{TenantSequence: 3}}))
	if all, err := verifier.CheckFile(lie, w.Trust); err != nil || !all.All {
		t.Fatalf("the receipt alone: %v", err)
	}
	if _, err := verifier.CheckWatched(lie, w.Trust, w.State, time.Now()); !errors.Is(err, verifier.ErrContradiction) {
		t.Errorf("it says %v", err)
	}
	checkKept(t, w, 1)
}

// Leaves change their format once, and those of the first are in the order of the stream. The library makes no other
// trees, and a log that has its key can.
func TestAMonitorReadsFormatsInOrder(t *testing.T) {
	statement := func(n uint64, format uint8, sequence uint64) merkle.Statement {
		return merkle.Statement{Format: format, TenantSequence: n, StreamSequence: sequence,
			Subject: fmt.Sprintf("lockbox.event.contoso.request.q%d.1.AccessRequested", n)}
	}
	for says, last := range map[string]merkle.Statement{
		"":                                   statement(3, merkle.Format2, 0),
		"of format 1, after a checkpoint of": statement(3, merkle.Format1, 9),
		"says that it is number 9":           statement(9, merkle.Format2, 0),
	} {
		w, show, signer := follow(t)
		h := begin(t, signer)
		show.history = h
		log := merkle.NewLog(h.leaves)
		add := func(s merkle.Statement) {
			entry := s.Append(nil)
			must(t, log.Append(entry))
			about, version := merkle.About(s.Subject)
			h.heads.Append(about, version, tlog.RecordHash(entry))
			var err error
			h.own, err = log.Flush()
			must(t, err)
			h.sign()
		}
		add(statement(1, merkle.Format2, 0))
		add(statement(2, merkle.Format2, 0))
		must(t, once(t, w))
		add(last)
		err := once(t, w)
		if says == "" {
			must(t, err)
			continue
		}
		if !errors.Is(err, verifier.ErrContradiction) || !strings.Contains(err.Error(), says) {
			t.Errorf("it says %v, want %s", err, says)
		}
		convinces(t, w)
	}
}

// A witness says when it saw a checkpoint. What cannot be is named, and never shown as a time.
func TestTimesThatCannotBeAreNamed(t *testing.T) {
	for at, says := range map[uint64]string{
		0: "no time is proved", 1 << 50: "no time is proved",
		uint64(time.Date(2026, 3, 2, 8, 0, 0, 0, time.UTC).Unix()): "one of the two is wrong",
		uint64(time.Date(2026, 3, 2, 9, 0, 5, 0, time.UTC).Unix()): "",
	} {
		_, public, r := receiptOf(t, merkle.Format2, unchanged)
		policy := writeFile(t, "policy.txt", cosignAt(t, &r, public, at))
		file := saved(t, r)
		code, out, why := run(t, nil, "receipt", file, "--policy", policy)
		if code != 0 || !strings.Contains(out, says) || says == "" && strings.Contains(out, "is wrong") ||
			strings.Contains(out, "1970") {
			t.Errorf("%d: %d, %s%s", at, code, out, why)
		}
		code, out, why = run(t, nil, "receipt", file, "--policy", policy, "--json")
		if code != 0 || !json.Valid([]byte(out)) {
			t.Errorf("%d as JSON: %d, %s%s", at, code, out, why)
		}
	}
}

// A time that does not fit is none at all, and the cosignature with it.
func TestATimeThatDoesNotFitIsRefused(t *testing.T) {
	_, public, r := receiptOf(t, merkle.Format2, unchanged)
	policy := writeFile(t, "policy.txt", cosignAt(t, &r, public, 1<<63))
	fails(t, 10, "has no time", nil, "receipt", saved(t, r), "--policy", policy)
}

// cosignAt cosigns a receipt's checkpoint with any time, and returns a policy that demands that.
func cosignAt(t *testing.T, r *merkle.Receipt, public string, at uint64) (policy string) {
	t.Helper()
	key := bytes.Repeat([]byte{7}, 32)
	private := ed25519.NewKeyFromSeed(key)
	c, err := merkle.NewCosigner("w.example", private)
	must(t, err)
	text, _, _ := strings.Cut(r.Checkpoint, "\n\n")
	message := fmt.Appendf(nil, "cosignature/v1\ntime %d\n%s\n", at, text)
	payload := binary.BigEndian.AppendUint32(nil, hashOf(t, c.VerifierKey()))
	payload = append(binary.BigEndian.AppendUint64(payload, at), ed25519.Sign(private, message)...)
	r.Checkpoint += "— w.example " + base64.StdEncoding.EncodeToString(payload) + "\n"
	return "log " + public + "\nwitness w " + c.VerifierKey() + "\nquorum w\n"
}

func hashOf(t *testing.T, vkey string) uint32 {
	t.Helper()
	var hash uint32
	_, err := fmt.Sscanf(strings.Split(vkey, "+")[1], "%08x", &hash)
	must(t, err)
	return hash
}

// Each verdict has its exit code, and only one of them says anything against the log.
func TestVerdictsHaveExitCodes(t *testing.T) {
	w, _, signer := follow(t)
	h := begin(t, signer)
	cosigned(t, w, h, 1)
	h.asked()
	dir := t.TempDir()
	token, state := writeFile(t, "token", "a-token"), filepath.Join(dir, "state.json")
	env := map[string]string{"LOCKBOX_LOG": serve(t, h)}
	watch := []string{"watch", "--tenant", "contoso", "--token-file", token, "--state", state, "--once"}
	byPolicy := slices.Concat(watch, []string{"--policy", w.Trust.Policy})
	fails(t, 14, "not trusted yet", env, byPolicy...)
	cosigned(t, w, h, 2)
	h.sign()
	if code, out, why := run(t, env, byPolicy...); code != 0 {
		t.Fatalf("%d %s %s", code, out, why)
	}
	fails(t, 15, "stale", env, slices.Concat(byPolicy, []string{"--max-age", "1h"})...)
	fails(t, 16, "has to prove", nil, "compare", "1:"+strings.Repeat("a", 32), state, "--log-key", h.public)
	if code, out, _ := run(t, env, "compare", state, "--log-key", h.public); code != 0 {
		t.Errorf("%d %s", code, out)
	}
	h.add(aRequest+".4.CustomerDenied", nil)
	h.add(aRequest+".4.CustomerApproved", nil)
	fails(t, 10, "THE LOG CONTRADICTS ITSELF", env, byPolicy...)
	kept, err := filepath.Glob(filepath.Join(dir, "*contradiction*"))
	must(t, err)
	code, out, why := run(t, nil, "evidence", kept[0], "--log-key", h.public)
	if code != 0 || !strings.Contains(out, "a second version 4") {
		t.Errorf("%d %s %s", code, out, why)
	}
	fails(t, 10, "convicts nobody", nil, "evidence", state, "--log-key", h.public)
}
