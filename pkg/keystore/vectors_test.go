package keystore

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/openlockbox/lockbox/pkg/bus"
	"github.com/openlockbox/lockbox/pkg/config"
	"github.com/openlockbox/lockbox/pkg/erasable"
)

var update = flag.Bool("update", false, "write the vectors anew")

// vectors are what every implementation must agree on about what can be erased (pkg/merkle/FORMATS.md).
type vectors struct {
	// Secret is the content of a secret's file.
	Secret string        `json:"secret"`
	Owners []ownerVector `json:"owners"`
	Values []valueVector `json:"values"`
	Pages  []pageVector  `json:"pages"`
}

type ownerVector struct {
	Name       string `json:"name"`
	Tenant     string `json:"tenant"`
	Issuer     string `json:"issuer"`
	Subject    string `json:"subject"`
	Address    string `json:"address"`
	Generation uint32 `json:"generation"`
	// Answer is the page's name.
	Answer string `json:"answer"`
}

type valueVector struct {
	Name  string `json:"name"`
	Value string `json:"value"`
	Key   []byte `json:"key"`
	// Answer is the page and the place of the key, and the text; "refused" if it does not open; "a text" if it is none.
	Answer string `json:"answer"`
}

type pageVector struct {
	Name    string `json:"name"`
	Subject string `json:"subject"`
	Stored  []byte `json:"stored"`
	// Answer are the keys, "-" where one was destroyed; "no keys" if it has no places; or "refused".
	Answer string `json:"answer"`
}

func (v ownerVector) answer(s Secret) string {
	owner := erasable.Owner{Issuer: v.Issuer, Subject: v.Subject, Address: v.Address}
	return nameOf(s.pageOf(v.Tenant, owner, v.Generation))
}

func (v valueVector) answer() string {
	id, is := erasable.KeyOf(v.Value)
	if !is {
		return "a text"
	}
	text, err := erasable.Decrypt(v.Value, erasable.Key(v.Key))
	if err != nil {
		return "refused"
	}
	return nameOf(id.Page) + " " + string(rune('0'+id.Place)) + " " + text
}

func (v pageVector) answer(s Secret) string {
	p, err := pageAt(v.Subject)
	if err != nil || s.decrypt(p, v.Stored) != nil {
		return "refused"
	}
	if len(p.places) == 0 {
		return "no keys"
	}
	var keys []string
	for _, key := range p.places {
		if key == nil {
			keys = append(keys, "-")
		} else {
			keys = append(keys, hex.EncodeToString(key[:]))
		}
	}
	return strings.Join(keys, " ")
}

const vectorFile = "../merkle/testdata/erasure.json"

func TestTheVectorsOfWhatCanBeErased(t *testing.T) {
	if *update {
		writeVectors(t)
	}
	file, err := os.ReadFile(vectorFile)
	if err != nil {
		t.Fatal(err)
	}
	var all vectors
	if err := json.Unmarshal(file, &all); err != nil {
		t.Fatal(err)
	}
	s := all.secret(t)
	for _, v := range all.Owners {
		if got := v.answer(s); got != v.Answer {
			t.Errorf("%s: %s, want %s", v.Name, got, v.Answer)
		}
	}
	for _, v := range all.Values {
		if got := v.answer(); got != v.Answer {
			t.Errorf("%s: %q, want %q", v.Name, got, v.Answer)
		}
		// What opens is what encrypting gives.
		if text, err := erasable.Decrypt(v.Value, erasable.Key(v.Key)); err == nil {
			if id, _ := erasable.KeyOf(v.Value); erasable.Encrypt(id, erasable.Key(v.Key), text) != v.Value {
				t.Errorf("%s is encrypted otherwise", v.Name)
			}
		}
	}
	for _, v := range all.Pages {
		if got := v.answer(s); got != v.Answer {
			t.Errorf("%s: %s, want %s", v.Name, got, v.Answer)
		}
	}
	if len(all.Owners) < 4 || len(all.Values) < 10 || len(all.Pages) < 10 {
		t.Error("some are missing")
	}
}

func (v vectors) secret(t *testing.T) Secret {
	t.Helper()
	file := filepath.Join(t.TempDir(), SecretFile)
	if err := os.WriteFile(file, []byte(v.Secret), 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := ReadSecret(config.SecretFile(file))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// counting returns bytes that count up.
func counting(n int, from byte) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = from + byte(i)
	}
	return b
}

func writeVectors(t *testing.T) {
	t.Helper()
	all := vectors{Secret: secretPrefix + base64.StdEncoding.EncodeToString(counting(32, 0x40)) + "\n"}
	s := all.secret(t)
	for _, v := range []ownerVector{
		{Name: "a person", Tenant: "contoso", Issuer: "https://id.example", Subject: "otto"},
		{Name: "their next key", Tenant: "contoso", Issuer: "https://id.example", Subject: "otto", Generation: 1},
		{Name: "the same person elsewhere", Tenant: "fabrikam", Issuer: "https://id.example", Subject: "otto"},
		{Name: "parts that meet elsewhere", Tenant: "contoso", Issuer: "https://id.exampleo", Subject: "tto"},
		{Name: "an address", Tenant: "contoso", Address: "otto@contoso.example"},
		{Name: "somebody of the provider", Tenant: "_", Issuer: "https://login.provider.example", Subject: "été"},
	} {
		v.Answer = v.answer(s)
		all.Owners = append(all.Owners, v)
	}
	all.Values = valueVectors()
	for i, v := range all.Values {
		all.Values[i].Answer = v.answer()
	}
	all.Pages = pageVectors(t, s)
	for i, v := range all.Pages {
		all.Pages[i].Answer = v.answer(s)
	}
	file, err := json.MarshalIndent(all, "", " ")
	if err == nil {
		err = os.WriteFile(vectorFile, append(file, '\n'), 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func valueVectors() (all []valueVector) {
	key := counting(32, 0x80)
	id := erasable.KeyID{Page: erasable.PageID(counting(12, 1)), Place: 7}
	add := func(name, value string) { all = append(all, valueVector{Name: name, Value: value, Key: key}) }
	value := erasable.Encrypt(id, erasable.Key(key), "The machine hangs.")
	add("a text", value)
	add("a short one, of other letters", erasable.Encrypt(id, erasable.Key(key), "é"))
	add("several lines", erasable.Encrypt(id, erasable.Key(key), "One\nTwo — 三\n"))
	add("a long one", erasable.Encrypt(id, erasable.Key(key), strings.Repeat("0123456789abcdef", 20)))
	add("nothing", erasable.Encrypt(id, erasable.Key(key), ""))
	add("a value that somebody wrote", erasable.Encrypt(id, erasable.Key(key), value))
	raw, _ := base64.RawURLEncoding.DecodeString(value[1:])
	as := func(b []byte) string { return "\x02" + base64.RawURLEncoding.EncodeToString(b) }
	changed := func(at int) string {
		b := append([]byte(nil), raw...)
		b[at] ^= 1
		return as(b)
	}
	add("another page", changed(0))
	add("another place", changed(12))
	add("another nonce", changed(13))
	add("another text", changed(25))
	add("another tag", changed(len(raw)-1))
	add("without its last byte", as(raw[:len(raw)-1]))
	add("of 40 bytes", as(raw[:40]))
	add("of 41 bytes", as(raw[:41]))
	add("with padding", value+"=")
	add("with a line feed", value[:9]+"\n"+value[9:])
	add("in standard base64", "\x02"+base64.RawStdEncoding.EncodeToString(append([]byte{0xff, 0xef}, raw...)))
	unused := []byte(erasable.Encrypt(id, erasable.Key(key), "é"))
	unused[len(unused)-1]++ // its last digit has unused bits
	add("with unused bits", string(unused))
	add("without the mark", value[1:])
	add("the mark alone", "\x02")
	add("empty", "")
	wrong := valueVector{Name: "with another key", Value: value, Key: counting(32, 0x81)}
	return append(all, wrong)
}

func pageVectors(t *testing.T, s Secret) (all []pageVector) {
	t.Helper()
	nonce := [nonceSize]byte(counting(nonceSize, 0x10))
	id := erasable.PageID(counting(12, 0xa0))
	stored := func(p *page) []byte {
		b, err := s.encryptWith(nonce, p)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	key := func(from byte) *erasable.Key { return (*erasable.Key)(counting(32, from)) }
	at := func(version int) string { return bus.KeyPageSubject(nameOf(id), version) }
	three := &page{id: id, places: []*erasable.Key{key(1), key(2), key(3)}}
	struck := &page{id: id, version: 1, places: []*erasable.Key{key(1), nil, key(3)}}
	full := stored(three)
	raw := func(plain []byte) []byte {
		aead, err := s.aead()
		if err != nil {
			t.Fatal(err)
		}
		return aead.Seal(append([]byte{pageFormat}, nonce[:]...), nonce[:], plain, three.bound())
	}
	changed := append([]byte(nil), full...)
	changed[20] ^= 1
	format := append([]byte{0x02}, full[1:]...)
	halfStruck := make([]byte, placeSize)
	halfStruck[9] = 1
	return []pageVector{
		{Name: "three keys", Subject: at(0), Stored: full},
		{Name: "one of them destroyed", Subject: at(1), Stored: stored(struck)},
		{Name: "the page that proves the secret", Subject: bus.KeyPageSubject(nameOf(checkPage), 0),
			Stored: stored(&page{id: checkPage})},
		{Name: "of another version", Subject: at(1), Stored: full},
		{Name: "of another page", Subject: bus.KeyPageSubject(nameOf(checkPage), 0), Stored: full},
		{Name: "a version with a leading zero", Subject: at(0) + "0", Stored: full},
		{Name: "a name in upper case", Subject: strings.ToUpper(at(0)), Stored: full},
		{Name: "a longer name", Subject: bus.KeyPageSubject(nameOf(id)+"00", 0), Stored: full},
		{Name: "another format", Subject: at(0), Stored: format},
		{Name: "a changed byte", Subject: at(0), Stored: changed},
		{Name: "without its last byte", Subject: at(0), Stored: full[:len(full)-1]},
		{Name: "nothing", Subject: at(0)},
		{Name: "a part of a place", Subject: at(0), Stored: raw(counting(placeSize+1, 1))},
		{Name: "a place of another kind", Subject: at(0), Stored: raw(counting(placeSize, 2))},
		{Name: "a destroyed key with something left", Subject: at(0), Stored: raw(halfStruck)},
	}
}
