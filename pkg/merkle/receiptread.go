package merkle

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"strconv"
	"unicode/utf8"

	"golang.org/x/mod/sumdb/tlog"
)

const (
	maxNote        = 1 << 20 // bytes as it is written; golang.org/x/mod opens no note with more than a million
	maxCertificate = 2 << 10 // bytes
	maxWriters     = 256     // certificates in one receipt
	// leastEvent is less than an event's share of a file: a file that announces more events than fit into it is refused
	// before there is room for them.
	leastEvent = 128
)

// ParseReceipt parses a receipt's file without verifying it; see VerifyReceipt. It accepts exactly what Encode writes:
// no other fields, order, spacing or spelling. Whatever the file holds, what is allocated is bounded by its size.
func ParseReceipt(file []byte) (Receipt, error) {
	if len(file) > maxReceipt {
		return Receipt{}, broken(Format, "longer than %d bytes", maxReceipt)
	}
	p := parser{file: file, rest: file}
	r := p.receipt()
	if p.err == nil && len(p.rest) > 0 {
		p.fail("something follows the end")
	}
	if p.err != nil {
		return Receipt{}, p.err
	}
	return r, r.check()
}

// check refuses what is well spelled and no receipt.
func (r Receipt) check() error {
	if r.Count != len(r.Events) || r.Count == 0 {
		return broken(Order, "%d events are announced and %d are there", r.Count, len(r.Events))
	}
	for _, e := range r.Events {
		if e.Withheld != (e.Salt == nil) || e.Withheld && e.Bytes != nil {
			return brokenAt(Format, e.TenantSequence, "it is either shown or withheld")
		}
		if e.Statement().Format > r.Opening.Format() {
			return brokenAt(Format, e.TenantSequence, "it is of a later format than the directory")
		}
	}
	return nil
}

// parser reads the one spelling of a receipt from front to back. After the first error it reads nothing.
type parser struct {
	file, rest []byte
	err        error
}

func (p *parser) fail(why string) {
	if p.err == nil {
		p.err = broken(Format, "at byte %d: %s", len(p.file)-len(p.rest), why)
	}
}

// is takes this text if it comes next.
func (p *parser) is(text string) bool {
	if p.err != nil || len(p.rest) < len(text) || string(p.rest[:len(text)]) != text {
		return false
	}
	p.rest = p.rest[len(text):]
	return true
}

func (p *parser) need(text string) {
	if p.err == nil && !p.is(text) {
		p.fail("not in the one spelling that it has, in which " + strconv.Quote(text) + " comes here")
	}
}

func (p *parser) receipt() (r Receipt) {
	p.need("{\n  \"format\": ")
	r.Format = p.text(len(receiptFormat1))
	switch r.Format {
	case receiptFormat1, receiptFormat2, receiptFormat3:
	default:
		p.fail("it is " + strconv.Quote(r.Format) + ", which this version does not know, or no receipt")
	}
	p.need(",\n  \"tenant\": ")
	r.Tenant = p.text(maxTenant)
	p.need(",\n  \"about\": ")
	r.About = p.text(maxSubject)
	p.need(",\n  \"count\": ")
	r.Count = int(p.number()) //nolint:gosec // G115: below 2^53
	p.need(",\n  \"events\": [")
	if r.Count > len(p.rest)/leastEvent {
		p.fail("more events are announced than fit into it")
	}
	if p.err == nil {
		r.Events = make([]ReceiptEvent, 0, r.Count)
	}
	for p.err == nil && len(r.Events) < r.Count {
		if len(r.Events) > 0 {
			p.need(",")
		}
		p.need("\n    {\n      ")
		r.Events = append(r.Events, p.event(r.Format))
		p.need("\n    }")
	}
	if p.is(",") { // said as what it is
		p.err = broken(Order, "%d events are announced and more are there", r.Count)
	}
	if r.Count > 0 {
		p.need("\n  ")
	}
	p.need("],\n  ")
	if r.Format == receiptFormat3 {
		p.need("\"proof\": ")
		r.Proof = p.hashes("  ", len(p.rest))
		p.need(",\n  ")
	}
	if r.Format != receiptFormat1 {
		r.Head = p.head()
		p.need(",\n  ")
	}
	p.need("\"tenantCheckpoint\": {\n    ")
	r.Opening = p.opening(r.Format)
	p.need("\n  },\n  \"directoryProof\": ")
	r.Directory = p.hashes("  ", maxProof)
	p.need(",\n  \"checkpoint\": ")
	r.Checkpoint = p.text(maxNote)
	if r.Format == receiptFormat3 {
		p.need(",\n  \"writers\": ")
		r.Writers = p.texts()
	}
	p.need("\n}\n")
	return r
}

func (p *parser) event(format string) (e ReceiptEvent) {
	if p.is("\"streamSequence\": ") {
		e.StreamSequence = p.number()
		p.need(",\n      ")
	}
	p.need("\"tenantSequence\": ")
	e.TenantSequence = p.number()
	p.need(",\n      \"subject\": ")
	e.Subject = p.text(maxSubject)
	if p.is(",\n      \"position\": ") {
		position := p.hash()
		e.Position = &position
	}
	p.need(",\n      \"commitment\": ")
	e.Commitment = p.hash()
	e.Withheld = p.is(",\n      \"withheld\": true")
	if p.is(",\n      \"salt\": ") {
		salt := p.hash()
		e.Salt = &salt
	}
	if p.is(",\n      \"bytes\": ") {
		e.Bytes = p.base64(len(p.rest))
		if len(e.Bytes) == 0 {
			p.fail("empty bytes are left out")
		}
	}
	if e.StreamSequence == 0 && e.Position == nil {
		p.fail("an event of format 1 has a stream sequence, one of format 2 a position")
	}
	if format != receiptFormat3 {
		p.need(",\n      \"proof\": ")
		e.Proof = p.hashes("      ", maxProof)
	}
	return e
}

func (p *parser) head() *ReceiptHead {
	h := &ReceiptHead{Proof: []HeadStep{}}
	p.need("\"head\": {\n    \"version\": ")
	h.Version = p.number()
	p.need(",\n    \"count\": ")
	h.Count = p.number()
	p.need(",\n    \"running\": ")
	h.Running = p.hash()
	p.need(",\n    \"proof\": ")
	if p.is("[]") {
		p.need("\n  }")
		return h
	}
	p.need("[")
	for p.err == nil {
		p.need("\n      {\n        \"bit\": ")
		bit := p.number()
		p.need(",\n        \"sibling\": ")
		sibling := p.hash()
		p.need("\n      }")
		if p.err == nil && (bit >= maxHeadPath || len(h.Proof) == maxHeadPath) {
			p.err = broken(AggregateHead, "its proof has at most 256 steps, of bits 0 to 255")
		}
		if p.err != nil {
			break
		}
		h.Proof = append(h.Proof, HeadStep{uint8(bit), sibling}) //nolint:gosec // G115: at most 255
		if !p.is(",") {
			break
		}
	}
	p.need("\n    ]\n  }")
	return h
}

func (p *parser) opening(format string) (o Opening) {
	hash := func(name string) tlog.Hash {
		p.need("\"" + name + "\": ")
		h := p.hash()
		p.need(",\n    ")
		return h
	}
	number := func(name string) int64 {
		p.need("\"" + name + "\": ")
		n := p.number()
		p.need(",\n    ")
		return int64(n) //nolint:gosec // G115: below 2^53
	}
	o.Size, o.Root = number("size"), hash("root")
	if format != receiptFormat1 {
		heads := hash("heads")
		o.Heads = &heads
	}
	o.Slot, o.Slots = number("slot"), number("slots")
	o.Salt, o.Directory = hash("salt"), hash("directory")
	p.need("\"proof\": ")
	o.Proof = p.hashes("    ", maxProof)
	return o
}

// hashes reads a list of at most so many, which stands at an indentation.
func (p *parser) hashes(indent string, most int) (list []tlog.Hash) {
	p.list(indent, func(bytes int) {
		// Room for as many as there can be at most, and not for more than is there.
		list = make([]tlog.Hash, 0, min(most, 1+bytes/len("\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\"")))
	}, func() {
		if list = append(list, p.hash()); len(list) > most {
			p.fail("a proof is a list of at most " + strconv.Itoa(most) + " hashes")
		}
	})
	return list
}

func (p *parser) texts() (list []string) {
	p.list("  ", func(int) { list = []string{} }, func() {
		if list = append(list, p.text(maxCertificate)); len(list) > maxWriters {
			p.fail("there are more certificates than a receipt has")
		}
	})
	return list
}

// list reads a list. It says first how many bytes there are until the next closing bracket.
func (p *parser) list(indent string, begin func(bytes int), one func()) {
	begin(max(0, bytes.IndexByte(p.rest, ']')))
	if p.is("[]") {
		return
	}
	p.need("[")
	for p.err == nil {
		p.need("\n" + indent + "  ")
		one()
		if !p.is(",") {
			break
		}
	}
	p.need("\n" + indent + "]")
}

// number reads a decimal number below 2^53 without leading zeros.
func (p *parser) number() uint64 {
	n := 0
	for n < len(p.rest) && n < 17 && p.rest[n] >= '0' && p.rest[n] <= '9' {
		n++
	}
	v, err := strconv.ParseUint(string(p.rest[:n]), 10, 64)
	if err != nil || v >= maxNumber || n > 1 && p.rest[0] == '0' {
		p.fail("a number is decimal and less than 2^53")
		return 0
	}
	p.rest = p.rest[n:]
	return v
}

// quoted takes a text with at most so many bytes between its quotes.
func (p *parser) quoted(most int) []byte {
	p.need("\"")
	for i := 0; p.err == nil && i < len(p.rest) && i <= most; i++ {
		switch p.rest[i] {
		case '\\':
			i++
		case '"':
			text := p.rest[:i]
			p.rest = p.rest[i+1:]
			return text
		}
	}
	p.fail("a text does not end, or is too long")
	return nil
}

// text reads a text of at most so many bytes.
func (p *parser) text(most int) string {
	quoted := p.quoted(min(6*most, maxNote)) // each may be written as \u0000
	if p.err != nil {
		return ""
	}
	plain := utf8.Valid(quoted)
	for _, c := range quoted {
		plain = plain && c >= ' ' && c != '\\' && c != 0xe2 // with which U+2028 begins
	}
	text := string(quoted)
	if !plain {
		whole := append(append([]byte{'"'}, quoted...), '"')
		again, err := []byte(nil), json.Unmarshal(whole, &text)
		if err == nil {
			again, err = encode(text)
		}
		if err != nil || !bytes.Equal(bytes.TrimSuffix(again, []byte("\n")), whole) {
			p.fail("a text in another spelling")
		}
	}
	if len(text) > most {
		p.fail("a text is too long")
	}
	return text
}

// base64 reads at most so many bytes of base64, padded.
func (p *parser) base64(most int) []byte {
	quoted := p.quoted(most)
	if p.err != nil {
		return nil
	}
	data := make([]byte, base64.StdEncoding.DecodedLen(len(quoted)))
	n, err := base64.StdEncoding.Strict().Decode(data, quoted)
	if err != nil || bytes.ContainsAny(quoted, "\r\n") {
		p.fail("not base64 in its one spelling")
		return nil
	}
	return data[:n:n]
}

func (p *parser) hash() (h tlog.Hash) {
	const long = (tlog.HashSize + 2) / 3 * 4
	if quoted := p.quoted(long); p.err == nil {
		var data [long / 4 * 3]byte
		n, err := base64.StdEncoding.Strict().Decode(data[:], quoted)
		if err != nil || n != tlog.HashSize || len(quoted) != long {
			p.fail("a hash is 32 bytes in base64, in its one spelling")
		}
		copy(h[:], data[:])
	}
	return h
}
