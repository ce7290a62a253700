package approval_test

import (
	"crypto/ed25519"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/openlockbox/lockbox/pkg/approval"
	at "github.com/openlockbox/lockbox/pkg/approval/approvaltest"
)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// refused checks that an error is a refusal by a rule; an empty one means none.
func refused(t testing.TB, err error, rule approval.Rule) {
	t.Helper()
	if got := approval.RuleOf(err); got != rule || (err == nil) != (rule == "") {
		t.Errorf("%v, want refused by %q", err, rule)
	}
}

func TestEveryKindOfKeySignsAndVerifies(t *testing.T) {
	statement := []byte(`{"format":"lockbox-approval/v1"}`)
	for _, algorithm := range at.Algorithms {
		k := at.New("anna", algorithm)
		s := k.Sign(approval.FormatDecision, statement)
		counter, err := k.Verify(s, approval.FormatDecision, statement)
		must(t, err)
		if counts := algorithm != at.Ed25519 && algorithm != at.ECDSA; counts != (counter == 7) {
			t.Errorf("%s: the counter is %d", algorithm, counter)
		}
		_, err = k.Verify(s, approval.FormatChange, statement)
		want := approval.RuleChallenge
		if k.Kind == approval.KindSSH {
			want = approval.RuleNamespace
		}
		refused(t, err, want)
		if _, err := at.New("otto", algorithm).Verify(s, approval.FormatDecision, statement); err == nil {
			t.Errorf("%s: another's key verifies it", algorithm)
		}
	}
}

func TestEveryKeyHasOneIDAndEveryPartOfItCounts(t *testing.T) {
	ids := map[string]string{}
	note := func(name string, k approval.Key) {
		id, err := k.ID()
		must(t, err)
		if other := ids[id]; other != "" {
			t.Errorf("%s and %s have one id", name, other)
		}
		ids[id] = name
	}
	for _, algorithm := range at.Algorithms {
		k := at.New("anna", algorithm)
		note(algorithm, k.Key)
		if k.Kind == approval.KindSSH {
			continue
		}
		k.Backup = 1
		note(algorithm+" synced", k.Key)
		k.Origins = append(k.Origins, k.Origins[0]+":8443")
		note(algorithm+" at two origins", k.Key)
	}
}

func TestABadKeyIsRefused(t *testing.T) {
	wire := func(algorithm string) []byte { return at.New("anna", algorithm).PublicBytes() }
	replaced := func(key []byte, old, by string) []byte { return []byte(strings.Replace(string(key), old, by, 1)) }
	point := func(algorithm string) []byte { // not on the curve
		key := wire(algorithm)
		key[len(key)-1] ^= 1
		return key
	}
	for name, row := range map[string]struct {
		algorithm string
		edit      func(k *approval.Key)
	}{
		"no kind":                        {at.ES256, func(k *approval.Key) { k.Kind = "pgp" }},
		"a passkey without verification": {at.ES256, func(k *approval.Key) { k.Verification = 0 }},
		"an address":                     {at.ES256, party("127.0.0.1", "https://127.0.0.1")},
		"a parent domain":                {at.ES256, party("bank.example", "https://portal.bank.example")},
		"a name that ends like the host": {at.ES256, party("bank.example", "https://bank.example.evil.example")},
		"no TLS":                         {at.ES256, party("bank.example", "http://bank.example")},
		"a path":                         {at.ES256, party("bank.example", "https://bank.example/")},
		"upper case":                     {at.ES256, party("Bank.example", "https://Bank.example")},
		"the scheme's own port":          {at.ES256, party("bank.example", "https://bank.example:443")},
		"a port beyond all":              {at.ES256, party("bank.example", "https://bank.example:65536")},
		"no origin":                      {at.ES256, party("bank.example")},
		"origins out of order":           {at.ES256, party("b.example", "https://b.example:9", "https://b.example:8")},
		"no host":                        {at.ES256, party("example", "https://example")},
		"an SSH key at an origin":        {at.Ed25519, party("", "https://bank.example")},
		"an SSH key that can be copied":  {at.Ed25519, func(k *approval.Key) { k.Backup = 1 }},
		"verification without hardware":  {at.Ed25519, func(k *approval.Key) { k.Verification = 1 }},
		"a long COSE key":                {at.ES256, public(append(wire(at.ES256), 0))},
		"a COSE key of ES384":            {at.ES256, public(replaced(wire(at.ES256), "\x03\x26", "\x03\x22"))},
		"a COSE key off the curve":       {at.ES256, public(point(at.ES256))},
		"an even modulus":                {at.RS256, public(even(wire(at.RS256)))},
		"an exponent of three": {at.RS256,
			public(replaced(wire(at.RS256), "\x21\x43\x01\x00\x01", "\x21\x43\x00\x00\x03"))},
		"an SSH key off the curve":    {at.ECDSA, public(point(at.ECDSA))},
		"another curve":               {at.ECDSA, public(replaced(wire(at.ECDSA), "\x08nistp256", "\x08nistp384"))},
		"an RSA key of SSH":           {at.Ed25519, public(replaced(wire(at.Ed25519), "ssh-ed25519", "ssh-rsa1234"))},
		"a security key of the web":   {at.SKEd25519, public(replaced(wire(at.SKEd25519), "ssh:", "web:"))},
		"something behind an SSH key": {at.Ed25519, public(append(wire(at.Ed25519), 0))},
		"base64 with padding":         {at.Ed25519, func(k *approval.Key) { k.Public += "=" }},
	} {
		k := at.New("anna", row.algorithm).Key
		row.edit(&k)
		_, err := k.ID()
		rule := approval.RuleKey
		if name == "base64 with padding" {
			rule = approval.RuleForm
		}
		if approval.RuleOf(err) != rule {
			t.Errorf("%s: %v", name, err)
		}
	}
	local := at.New("anna", at.ES256).Key
	party("localhost", "http://localhost:8080", "https://localhost")(&local)
	if _, err := local.ID(); err != nil {
		t.Errorf("the demo's own machine: %v", err)
	}
}

func party(host string, origins ...string) func(*approval.Key) {
	return func(k *approval.Key) { k.RelyingParty, k.Origins = host, origins }
}

func public(b []byte) func(*approval.Key) {
	return func(k *approval.Key) { k.Public = base64.RawURLEncoding.EncodeToString(b) }
}

func even(key []byte) []byte {
	key[len(key)-6] &= 0xfe
	return key
}

// smallOrder are the y-coordinates of points of small order, and their other spellings.
var smallOrder = []string{
	"0000000000000000000000000000000000000000000000000000000000000000",
	"0100000000000000000000000000000000000000000000000000000000000000",
	"ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
	"edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
	"eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
	"26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
	"c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
}

// Anybody can sign for such a key: with S = 0, what R has to be depends on the message in a few ways only. The test
// does so, and then sees that the key is refused.
func TestAKeyForWhichAnybodySignsIsRefused(t *testing.T) {
	var points [][]byte
	for _, y := range smallOrder {
		for _, sign := range []byte{0, 0x80} {
			point, err := hex.DecodeString(y)
			must(t, err)
			point[31] |= sign
			points = append(points, point)
		}
	}
	for _, key := range points {
		forged := false
		for message := range byte(64) {
			for _, r := range points {
				signature := slices.Concat(r, make([]byte, 32))
				forged = forged || ed25519.Verify(key, []byte{message}, signature)
			}
		}
		if !forged {
			t.Errorf("nobody forges a signature of %x", key)
		}
		k := at.New("anna", at.EdDSA).Key
		public(append(at.New("anna", at.EdDSA).PublicBytes()[:10], key...))(&k)
		_, err := k.ID()
		refused(t, err, approval.RuleKey)
	}
}

func TestCountersTellACopiedAuthenticator(t *testing.T) {
	for _, row := range []struct {
		last, now uint32
		want      approval.Counter
	}{
		{0, 0, approval.CounterNone}, {0, 1, approval.CounterGrew}, {7, 8, approval.CounterGrew},
		{7, 7, approval.CounterRegressed}, {7, 6, approval.CounterRegressed}, {7, 0, approval.CounterRegressed},
	} {
		if got := approval.CompareCounter(row.last, row.now); got != row.want {
			t.Errorf("%d after %d: %s, want %s", row.now, row.last, got, row.want)
		}
	}
}

func TestArmorIsWhatSSHWrites(t *testing.T) {
	blob := at.New("otto", at.SKEd25519).SSHSIG(approval.FormatDecision, []byte("x"))
	text := approval.Armor(blob)
	for line := range strings.Lines(string(text)) {
		if len(line) > 71 {
			t.Errorf("a line of %d characters", len(line))
		}
	}
	for _, text := range [][]byte{text, []byte(strings.ReplaceAll(string(text), "\n", "\r\n"))} {
		if again, err := approval.Unarmor(text); err != nil || !slices.Equal(again, blob) {
			t.Errorf("read again: %v", err)
		}
	}
	for _, bad := range []string{"", string(text[1:]), string(text[:len(text)-2]), string(text) + "x",
		strings.Replace(string(text), "\n", "\n*", 1)} {
		_, err := approval.Unarmor([]byte(bad))
		refused(t, err, approval.RuleForm)
	}
}

func TestWordsAreTheDigestsBits(t *testing.T) {
	var digest [32]byte
	if got := approval.Words(digest, 1); !slices.Equal(got, []string{"bababa"}) {
		t.Errorf("zeros are %v", got)
	}
	for i := range digest {
		digest[i] = byte(i*37 + 11)
	}
	words := approval.Words(digest, 14)
	if len(words) != 14 || strings.Join(words[:8], " ") != strings.Join(approval.Words(digest, 8), " ") {
		t.Errorf("%v", words)
	}
	// Each of the bits behind the words shows in them, and none behind those.
	for bit := range 256 {
		other := digest
		other[bit/8] ^= 0x80 >> (bit % 8)
		if same := slices.Equal(approval.Words(other, 8), words[:8]); same != (bit >= 144) {
			t.Errorf("bit %d: the eight words are the same: %t", bit, same)
		}
	}
}

func TestARefusalNamesFieldAndRule(t *testing.T) {
	s := at.Begin()
	d := s.Decide(approval.Approve, "otto", s.Otto)
	d.AnswerBy = "tomorrow"
	_, err := d.Bytes()
	var r *approval.Error
	if !errors.As(err, &r) || r.Field != "answerBy" || r.Rule != approval.RuleValue || r.Reason == "" {
		t.Errorf("%v", err)
	}
}

// Names and their order come out the same whoever writes them, so a map is as good as the types.
func TestAStatementHasOneSpelling(t *testing.T) {
	s := at.Begin()
	d := s.Decide(approval.Approve, "otto", s.Otto)
	d.Resources = []string{"/subscriptions/payments/<&>\"\\é漢😀"}
	text, err := d.Bytes()
	must(t, err)
	again, err := approval.ParseDecision(text)
	must(t, err)
	if twice, err := again.Bytes(); err != nil || string(twice) != string(text) {
		t.Errorf("%v\n%s\n%s", err, text, twice)
	}
	var names map[string]any
	must(t, json.Unmarshal(text, &names))
	for name := range names {
		without := strings.Replace(string(text), `"`+name+`":`, `"`+name+`x":`, 1)
		_, err := approval.ParseDecision([]byte(without))
		refused(t, err, approval.RuleForm)
	}
	for old, by := range map[string]string{
		`"seconds":3600`: `"seconds":3.6e3`, `{"answerBy"`: `{ "answerBy"`, `"approvals":1`: `"approvals":01`,
		`"comment":""`: `"comment":null`, `"decision":"approve"`: `"decision":"approve","decision":"approve"`,
		`"seconds":`: `"Seconds":`, `<`: `\u003c`, `é`: `\u00e9`, `漢`: "\u202e漢", `😀`: "\xff", `"version":1`: `"version":-0`,
		`"version":2`: `"version":9007199254740992`,
	} {
		other := strings.Replace(string(text), old, by, 1)
		if other == string(text) {
			t.Fatalf("no %s in %s", old, text)
		}
		_, err := approval.ParseDecision([]byte(other))
		refused(t, err, approval.RuleForm)
	}
	_, err = approval.ParseDecision(append(text, ' '))
	refused(t, err, approval.RuleForm)
	_, err = approval.ParseDecision([]byte(strings.Repeat("[", approval.MaxStatement)))
	refused(t, err, approval.RuleForm)
}

func TestADecisionIsOnlyInTimeBeforeItsDeadline(t *testing.T) {
	s := at.Begin()
	d := s.Decide(approval.Approve, "otto", s.Otto)
	issued := at.Noon.Add(95*time.Hour + 55*time.Minute)
	d.IssuedAt = approval.TimeText(issued)
	deadline := d.Deadline()
	for _, row := range []struct {
		now  time.Time
		want approval.Rule
	}{
		{issued, ""}, {deadline.Add(-1), ""}, {deadline, approval.RuleLate}, {issued.Add(-10 * time.Minute), ""},
		{issued.Add(-10*time.Minute - 1), approval.RuleLate},
	} {
		refused(t, d.InTime(row.now), row.want)
	}
	r := s.Decide(approval.Revoke, "otto", s.Otto)
	refused(t, r.InTime(at.Noon.Add(48*time.Hour+10*time.Minute)), "")
	refused(t, r.InTime(at.Noon.Add(48*time.Hour+10*time.Minute+1)), approval.RuleLate)
}

func TestAPinIsWordsOrDigits(t *testing.T) {
	fingerprint, other := at.Begin().Fingerprint(), at.Begin().Fingerprint()
	other[26] ^= 1 // the last of the bits that twelve words show
	words := approval.Text(fingerprint, approval.FingerprintWords)
	for _, text := range []string{words, strings.ToUpper(words), " " + strings.ReplaceAll(words, " ", "-") + "\n",
		strings.ReplaceAll(words, " ", ", "), hex.EncodeToString(fingerprint[:])} {
		pin, err := approval.ParsePin(text)
		must(t, err)
		if !pin.Matches(fingerprint) || pin.Matches(other) || pin.Matches([32]byte{}) {
			t.Errorf("%q", text)
		}
	}
	for _, text := range []string{"", words[:len(words)-7], words + " bababa", words[:len(words)-1], "x" + words[1:],
		hex.EncodeToString(fingerprint[1:])} {
		if pin, err := approval.ParsePin(text); approval.RuleOf(err) != approval.RuleForm || pin.Matches(fingerprint) {
			t.Errorf("%q: %v", text, err)
		}
	}
	if (approval.Pin{}).Matches(fingerprint) {
		t.Error("no pin matches")
	}
}
