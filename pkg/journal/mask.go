package journal

import (
	"bytes"
	"regexp"
	"slices"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

const (
	// removed stands where a token was, in as many bytes.
	removed = "(token-removed)"
	// shortestSecret is the length from which a run of characters may be enough of a signature. No token that Lockbox
	// accepts has one of less than 86 characters; if it was cut off before the 40th, the others cannot be guessed. In
	// letters of one case (hexadecimal, percent-encoded) it has at least twice as many. A UUID has 36, a traceparent 55.
	shortestSecret = 40
)

var (
	// announced matches what is said to be a token, whatever it consists of.
	announced = regexp.MustCompile(`(?i)(?:\bbearer[\s:=+]+|(?:token|assertion|authorization)\\?["']?\s*[:=]\s*\\?["']?` +
		`(?:bearer\s+)?)([^\s"'\\,;&]{16,})`)
	// compact matches a signed token whose header begins as most do, however short it is (RFC 7515 §7.1).
	compact = regexp.MustCompile(`(eyJ[\w-]*={0,2}(?:(?:\.|%2[eE]|\\u002[eE])[\w-]*={0,2}){2})`)
	// signing matches a key of a webhook's signatures, addressed an address, whose path or query may be a secret too
	// (R57).
	signing   = regexp.MustCompile(`(whsec_[A-Za-z0-9+/=_-]+)`)
	addressed = regexp.MustCompile(`(?i)(https?://[^\s"'<>\x00-\x1f\x7f]+)`)
	// run matches what a part of a token can look like: base64 of both alphabets, padded, percent-encoded, escaped as in
	// JSON, or in UTF-16. Dots part the runs, so that names of hosts and files are none.
	run = regexp.MustCompile(`[A-Za-z0-9_+/=%~\\\x00-]+`)
)

// mask returns a message without tokens and without what only the forwarder may know of webhooks, for readers of dead
// letters could act as its sender otherwise. The message is like the given one, but its bytes may be broken in any way.
// Everything keeps its length and place.
//
// The field for the token is overwritten, so is that for an invitation's proof, and everywhere else whatever announces
// itself as a token or looks like a part of one. Compressed and encrypted tokens are not recognised.
func mask(data []byte, like proto.Message) []byte {
	data = bytes.Clone(data)
	maskAs(data, like.ProtoReflect().Descriptor())
	return data
}

// maskAs masks a message field by field, if it is one. If not, a token may go across what looked like fields.
func maskAs(data []byte, like protoreflect.MessageDescriptor) {
	if masked := bytes.Clone(data); maskMessage(masked, like) {
		copy(data, masked)
		return
	}
	maskText(data)
	if like.Name() == "Command" || like.Name() == "AddWebhook" {
		maskAll(data, signing, addressed) // it may be a webhook's
	}
}

// secrets are the fields whose whole value is one.
var secrets = []protoreflect.Name{"token", "proof", "secret", "secret_url"}

// maskMessage reports false at the first field that such a message does not have or that is cut off.
func maskMessage(data []byte, like protoreflect.MessageDescriptor) bool {
	for len(data) > 0 {
		number, kind, n := protowire.ConsumeField(data)
		field := like.Fields().ByNumber(number)
		if n < 0 || field == nil {
			return false
		}
		if kind == protowire.BytesType {
			_, _, tag := protowire.ConsumeTag(data)
			value, _ := protowire.ConsumeBytes(data[tag:])
			switch {
			case slices.Contains(secrets, field.Name()):
				overwrite(value)
			case field.Message() != nil:
				maskAs(value, field.Message())
			default:
				maskText(value)
			}
		}
		data = data[n:]
	}
	return true
}

func maskText(text []byte) {
	for _, at := range run.FindAllIndex(text, -1) {
		maskRun(text[at[0]:at[1]])
	}
	maskAll(text, announced, compact)
}

func maskAll(text []byte, forms ...*regexp.Regexp) {
	for _, form := range forms {
		for _, at := range form.FindAllSubmatchIndex(text, -1) {
			overwrite(text[at[2]:at[3]])
		}
	}
}

func overwrite(b []byte) {
	for i := range b {
		b[i] = '*'
	}
	if len(b) >= len(removed) {
		copy(b, removed)
	}
}

// maskRun overwrites a run of characters that can be a signature.
func maskRun(run []byte) {
	parts := bytes.Split(run, []byte{'/'})
	path := len(parts) > 1
	if secret(run, path) {
		overwrite(run)
		return
	}
	for _, part := range parts {
		if secret(part, path) {
			overwrite(part)
		}
	}
}

// secret reports whether a run of characters can be a signature, or most of one. Ids and names of resources are as
// long, but have letters of one case, and paths have few of the other; a signature has both in similar numbers.
func secret(run []byte, path bool) bool {
	var length, upper, lower int
	for _, c := range run {
		switch {
		case c == 0: // UTF-16
			continue
		case 'A' <= c && c <= 'Z':
			upper++
		case 'a' <= c && c <= 'z':
			lower++
		}
		length++
	}
	few := 0
	if path {
		few = max(upper, lower) / 4
	}
	return length >= shortestSecret && min(upper, lower) > few || length >= 2*shortestSecret && !path
}
