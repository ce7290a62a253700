package merkle

import (
	"crypto/ed25519"
	"fmt"
	"strings"
	"testing"
	"time"

	cosignature "github.com/transparency-dev/formats/note"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

func TestSoManyOfTheNamedWitnesses(t *testing.T) {
	c := Checkpoint{origin, tlog.Tree{N: 3, Hash: tlog.Hash{1}}}
	for name, row := range map[string]struct {
		quorum  string
		by      []string
		part    Part
		unknown int
	}{
		"one of one":             {"1", []string{"alpha"}, "", 0},
		"any":                    {"any", []string{"gamma"}, "", 0},
		"two of two":             {"2", []string{"alpha", "gamma"}, "", 0},
		"more than needed":       {"1", []string{"alpha", "beta", "gamma"}, "", 0},
		"two of three demanded":  {"all", []string{"alpha", "beta"}, Cosignatures, 0},
		"none of one":            {"1", nil, Cosignatures, 0},
		"somebody else's":        {"1", []string{"delta"}, Cosignatures, 0},
		"somebody else's beside": {"1", []string{"delta", "beta"}, "", 1},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := policy(t, row.quorum).Open(signedBy(t, c, row.by...))
			if row.part != "" {
				wantBroken(t, err, row.part)
				return
			}
			must(t, err)
			if got.Checkpoint != c || len(got.Cosigned) != len(row.by)-row.unknown || len(got.Unknown) != row.unknown {
				t.Errorf("%+v", got)
			}
		})
	}
}

func TestACosignatureIsThatOfTheStandard(t *testing.T) {
	signed := signedBy(t, Checkpoint{origin, tlog.Tree{N: 3, Hash: tlog.Hash{1}}})
	line, err := cosigner(t, "alpha").Line(signed, noon)
	must(t, err)
	cosigned, err := cosigner(t, "alpha").Cosign(signed, noon)
	must(t, err)
	if string(cosigned) != string(signed)+string(line) {
		t.Errorf("the line is %q, the note\n%s", line, cosigned)
	}
	// The library's own verifier, and its own signer against our policy.
	verifier, err := cosignature.NewVerifierForCosignatureV1(cosigner(t, "alpha").VerifierKey())
	must(t, err)
	n, err := note.Open(cosigned, note.VerifierList(verifier))
	must(t, err)
	if at, err := cosignature.CoSigV1Timestamp(n.Sigs[0]); err != nil || !at.Equal(noon) {
		t.Errorf("it is of %v (%v)", at, err)
	}
	if _, err := cosigner(t, "alpha").Cosign(signed, time.Unix(-1, 0)); err == nil {
		t.Error("cosigned before 1970")
	}
	if _, err := cosigner(t, "alpha").Cosign([]byte("not a note\n"), noon); err == nil {
		t.Error("cosigned what is no note")
	}
}

func TestCosignaturesAreCollected(t *testing.T) {
	c := Checkpoint{origin, tlog.Tree{N: 3, Hash: tlog.Hash{1}}}
	two := policy(t, "2")
	line := func(signed []byte, name string) []byte {
		l, err := cosigner(t, name).Line(signed, noon)
		must(t, err)
		return l
	}
	signed := signedBy(t, c)
	other := signedBy(t, Checkpoint{origin, tlog.Tree{N: 4, Hash: tlog.Hash{1}}})
	for _, name := range []string{"alpha", "beta"} {
		more, err := two.Add(signed, line(signed, name))
		must(t, err)
		signed = more
	}
	if got, err := two.Open(signed); err != nil || len(got.Cosigned) != 2 {
		t.Errorf("%+v (%v)", got, err)
	}
	for name, line := range map[string][]byte{
		"a stranger's":     line(signed, "delta"),
		"for another tree": line(other, "gamma"),
		"a second one":     line(signed, "alpha"),
		"none":             nil,
		"another note":     append([]byte("\n"), line(signed, "gamma")...),
	} {
		if more, err := two.Add(signed, line); err == nil {
			t.Errorf("%s is taken:\n%s", name, more)
		}
	}
}

func TestSigningRefuses(t *testing.T) {
	if _, err := Sign(Checkpoint{"other.example/log", EmptyTree()}, logSigner(t, origin)); err == nil {
		t.Error("signed for another log")
	}
	if _, err := Sign(Checkpoint{origin, tlog.Tree{N: -1}}, logSigner(t, origin)); err == nil {
		t.Error("signed a tree of -1 leaves")
	}
	for name, key := range map[string]ed25519.PrivateKey{"a+b": key("x"), "": key("x"), "short.example": key("x")[:32],
		"a b": key("x")} {
		if _, err := NewCosigner(name, key); err == nil {
			t.Errorf("a witness is named %q, with a key of %d bytes", name, len(key))
		}
	}
}

// TestASignatureForOneThingIsNoneForAnother holds the log's signature and cosignatures apart, and the logs.
func TestASignatureForOneThingIsNoneForAnother(t *testing.T) {
	c := Checkpoint{origin, tlog.Tree{N: 3, Hash: tlog.Hash{1}}}
	unsigned := func(c Checkpoint) []byte { return []byte(c.Text() + "\n") }
	cosignedOnly, err := note.Sign(&note.Note{Text: c.Text()}, cosigning{cosigner(t, "alpha"), noon})
	must(t, err)
	_, err = policy(t, "1").Open(cosignedOnly)
	wantBroken(t, err, LogSignature)
	_, err = policy(t, "1").Open(unsigned(c))
	wantBroken(t, err, Format)

	// The log signs, with its own key, a checkpoint of another origin.
	c.Origin = "other.example/log"
	foreign, err := note.Sign(&note.Note{Text: c.Text()}, logSigner(t, origin))
	must(t, err)
	foreign, err = cosigner(t, "alpha").Cosign(foreign, noon)
	must(t, err)
	_, err = policy(t, "1").Open(foreign)
	wantBroken(t, err, LogSignature)

	// The log signs something that is no checkpoint, or one in another spelling.
	for _, text := range []string{"hello\nto\nall\n", origin + "\n03\n" + tlog.Hash{}.String() + "\n", origin +
		"\n3\nAAAA\n", Checkpoint{Origin: origin}.Text() + "\nafter an empty line\n"} {
		odd, err := note.Sign(&note.Note{Text: text}, logSigner(t, origin), cosigning{cosigner(t, "alpha"), noon})
		must(t, err)
		_, err = policy(t, "1").Open(odd)
		wantBroken(t, err, Format)
	}
}

func TestPoliciesThatMeanNothing(t *testing.T) {
	log, alpha, beta := "log "+logKey(t, origin), cosigner(t, "alpha").VerifierKey(), cosigner(t, "beta").VerifierKey()
	witnesses := fmt.Sprintf("%s\nwitness alpha %s\nwitness beta %s\n", log, alpha, beta)
	plainKey := logKey(t, "alpha.example/witness")
	wrongHash := strings.Replace(alpha, alpha[strings.Index(alpha, "+")+1:][:8], "00000000", 1)
	for name, text := range map[string]string{
		"empty":                    "",
		"no log":                   "witness alpha " + alpha + "\nquorum alpha\n",
		"two logs":                 log + "\n" + log + "\nquorum none\n",
		"no quorum":                witnesses,
		"a quorum of nobody there": witnesses + "quorum gamma\n",
		"two quorums":              witnesses + "quorum alpha\nquorum beta\n",
		"an unknown word":          witnesses + "wittness gamma x\nquorum alpha\n",
		"a witness twice": witnesses + "witness alpha " + cosigner(t, "gamma").VerifierKey() +
			"\nquorum alpha\n",
		"a key under two names": witnesses + "witness gamma " + alpha + "\nquorum alpha\n",
		"a key under two names of keys": witnesses + "witness gamma " + renamed(t, "gamma.example", "alpha") +
			"\nquorum alpha\n",
		"a log's key for a witness":   log + "\nwitness alpha " + plainKey + "\nquorum alpha\n",
		"a key with another's hash":   log + "\nwitness alpha " + wrongHash + "\nquorum alpha\n",
		"a broken key":                log + "\nwitness alpha " + alpha[:len(alpha)-4] + "\nquorum alpha\n",
		"a witness called none":       log + "\nwitness none " + alpha + "\nquorum none\n",
		"none of two":                 witnesses + "group g 0 alpha beta\nquorum g\n",
		"three of two":                witnesses + "group g 3 alpha beta\nquorum g\n",
		"minus one of two":            witnesses + "group g -1 alpha beta\nquorum g\n",
		"a witness twice in a group":  witnesses + "group g 2 alpha alpha\nquorum g\n",
		"a group of what comes later": witnesses + "group g 1 h\ngroup h 1 alpha\nquorum g\n",
		"a group of itself":           witnesses + "group g 1 g\nquorum g\n",
		"a group of none":             witnesses + "group g 1 none\nquorum g\n",
		"a witness that counts in two ways": witnesses + "group g 1 alpha\ngroup h 1 alpha beta\n" +
			"group all 2 g h\nquorum all\n",
		"a quorum before its group": log + "\nquorum alpha\nwitness alpha " + alpha + "\n",
		"a control character":       witnesses + "quorum alpha\v\n",
		"a space that is not ASCII": witnesses + "quorum\u00a0alpha\n",
		"an empty group":            witnesses + "group g all\nquorum g\n",
		"a stranger in a group":     witnesses + "group g 1 gamma\nquorum g\n",
		"too many words":            witnesses + "quorum alpha beta\n",
	} {
		if _, err := ParsePolicy([]byte(text)); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
	for name, text := range map[string]string{
		"nobody demanded":    log + "\nquorum none\n",
		"one witness":        witnesses + "quorum beta",
		"a group":            witnesses + "group g all alpha beta\nquorum g\n",
		"a group in a group": witnesses + "group g 1 alpha\ngroup h all g beta\nquorum h\n",
		"any order": "witness alpha " + alpha + "\nquorum alpha\n" + log + "\nwitness beta " + beta +
			"\ngroup g 1 beta\n",
		"a log with a URL":              log + " https://log.example/#main\nquorum none\n",
		"several logs":                  log + "\nlog " + logKey(t, "other.example/log") + "\nquorum none\n",
		"tabs and lines of two bytes":   "\tlog\t" + logKey(t, origin) + " \r\nquorum\tnone\r\n",
		"names that are not ASCII":      log + "\nwitness 証人 " + alpha + "\nquorum 証人\n",
		"a witness in two other groups": witnesses + "group g 1 alpha\ngroup h 1 alpha\nquorum h\n",
		"ML-DSA-44":                     log + "\nwitness pq " + mldsaCosigner(t, "pq").VerifierKey() + "\nquorum pq\n",
		"URL and comments": "# ours\n\n" + log + " # the log\nwitness alpha " + alpha +
			" https://witness.example\n  quorum alpha\n",
	} {
		if _, err := ParsePolicy([]byte(text)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// renamed is a witness's key under the name of another.
func renamed(t *testing.T, name, of string) string {
	t.Helper()
	c, err := NewCosigner(name, key(of))
	must(t, err)
	return c.VerifierKey()
}

// TestASignatureHasOneSpelling: base64 may have bits left over at its end, which mean nothing and which many readers
// ignore.
func TestASignatureHasOneSpelling(t *testing.T) {
	signed := string(signedBy(t, Checkpoint{origin, EmptyTree()}, "alpha"))
	for _, prefix := range []string{"— " + origin, "— alpha"} {
		line := signatureOf(signed, prefix)
		text := strings.TrimRight(line, "=")
		last := text[len(text)-1]
		odd := text[:len(text)-1] + string(last+1) + line[len(text):] // A, Q, g or w, so a letter follows
		_, err := policy(t, "1").Open([]byte(strings.Replace(signed, line, odd, 1)))
		wantBroken(t, err, Format)
	}
}
