package render

import (
	"cmp"
	"encoding/hex"
	"fmt"
	"strings"

	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// Keyring is what the command line verified of a customer's keys.
type Keyring struct {
	// Standing is that of the keys that were ever enrolled, by their ids in hexadecimal digits.
	Standing map[string]lockboxv1.KeyStanding
	// Fingerprint is that of the keys as words; empty before there are any.
	Fingerprint string
	// Open are the statements that wait.
	Open []OpenStatement
}

// OpenStatement is a statement about keys that waits for signatures.
type OpenStatement struct {
	// What is its first sentence, Words are those of its digest.
	What, Words string
	By          *lockboxv1.Actor
	At          *timestamppb.Timestamp
	Signatures  int
}

// keyStandings says what a key is good for, and how that looks.
var keyStandings = map[lockboxv1.KeyStanding]cell{
	lockboxv1.KeyStanding_KEY_STANDING_OFFERED: {"offered, not enrolled", warn},
	lockboxv1.KeyStanding_KEY_STANDING_WAITING: {"waits for its delay", warn},
	lockboxv1.KeyStanding_KEY_STANDING_COUNTS:  {"counts", good},
	lockboxv1.KeyStanding_KEY_STANDING_REMOVED: {"removed", dim},
}

// keyKinds says where a key signs.
var keyKinds = map[string]string{"ssh": "SSH", "webauthn": "portal"}

// demandSentences says what is demanded.
var demandSentences = map[string]string{
	"none":         "nothing: approvals count without a signature",
	"signatures":   "signatures: approvals count only if they are signed",
	"command-line": "signatures, at least one of them at the command line",
}

// Keys renders a customer's keys.
func Keys(l Look, v *lockboxv1.KeysView, verified Keyring, me *lockboxv1.Person) string {
	p := &page{Look: l}
	if v.GetFault() != "" {
		p.hang(p.paint(bad, "Nothing that these keys sign is accepted:")+" ", plain, Clean(v.GetFault()))
	}
	if len(v.GetKeys()) == 0 {
		p.line("No keys. Offer yours with `lockbox key offer`.")
	} else {
		p.b.WriteString(keyTable(l, v, verified, me))
	}
	for _, k := range v.GetKeys() {
		if at := k.GetCounterBehind(); at != nil {
			p.hang(p.paint(warn, keyName(k))+": ", plain, "its counter went backwards on "+l.minute(at)+
				"; two devices may have it. If its owner cannot say why, remove it.")
		}
	}
	if len(verified.Open) > 0 {
		p.heading("Waiting for signatures")
	}
	for _, o := range verified.Open {
		p.hang("  ", plain, Clean(o.What))
		p.hang("    ", dim, fmt.Sprintf("by %s, %s; %s so far", ActorName(o.By), l.minute(o.At),
			plural(o.Signatures, "signature", "signatures")))
		p.hang("    ", accent, o.Words)
	}
	if verified.Fingerprint != "" {
		p.heading("Demand and fingerprint")
		p.field("Demand", demandSentences[v.GetDemand()])
		if later := v.GetDemandWaiting(); later != "" {
			p.painted("Waits", warn, demandSentences[later])
		}
		p.painted("Fingerprint", accent, verified.Fingerprint)
		p.painted("", dim, "Compare it with your colleagues by another way than this one.")
	}
	return p.String()
}

func keyTable(l Look, v *lockboxv1.KeysView, verified Keyring, me *lockboxv1.Person) string {
	columns := []column{{title: "KEY", min: 12}, {title: "WHOSE", min: 10}, {title: "SIGNS IN", drop: 1},
		{title: "ROLE"}, {title: "STANDING", min: 12}, {title: "SINCE", drop: 2}}
	var rows [][]cell
	for _, k := range v.GetKeys() {
		id := hex.EncodeToString(k.GetKeyId())
		standing := keyStandings[k.GetStanding()]
		if s, enrolled := verified.Standing[id]; enrolled {
			standing = keyStandings[s]
			if s == lockboxv1.KeyStanding_KEY_STANDING_WAITING && k.GetCountsFrom() != nil {
				standing.text = "counts from " + l.minute(k.GetCountsFrom())
			}
		}
		whose := cell{"kept offline", dim}
		if who := k.GetPerson(); who != nil {
			whose = text(PersonName(who))
			if me != nil && who.GetIssuer() == me.GetIssuer() && who.GetSubject() == me.GetSubject() {
				whose = cell{Clean(PersonName(who)) + " (you)", bold}
			}
		}
		label := keyName(k)
		kind := keyKinds[k.GetKind()]
		if kind == "SSH" && strings.Contains(string(k.GetEnrolment()), `"verification":1`) {
			kind = "SSH, PIN"
		}
		rows = append(rows, []cell{{label, accent}, whose, {kind, plain}, text(k.GetRole()), standing,
			{l.minute(k.GetSince()), plain}})
	}
	return l.table(columns, rows)
}

// keyName is what a key is called: by its owner, or by the beginning of its id.
func keyName(k *lockboxv1.KeyView) string {
	id := hex.EncodeToString(k.GetKeyId())
	return cmp.Or(Clean(k.GetLabel()), id[:min(8, len(id))])
}

// Statement renders what somebody is about to sign: the text that is made of it, its words, and with which key.
func Statement(l Look, content, words, key string) string {
	p := &page{Look: l}
	p.title("You sign this:")
	p.line("")
	for line := range strings.Lines(CleanText(content)) {
		line = strings.TrimSuffix(line, "\n")
		rest := strings.TrimLeft(line, " -")
		p.hang("  "+line[:len(line)-len(rest)], plain, rest)
	}
	p.line("")
	p.painted("Words", accent, words)
	p.field("With", Clean(key))
	p.line("")
	return p.String()
}

// signed says how a decision was signed; nothing as long as the customer had no keys.
func signed(d *lockboxv1.Decision) string {
	switch s := d.GetSignature(); {
	case s == nil:
		return ""
	case !s.GetSigned():
		return ", not signed"
	case !s.GetHolds():
		return ", with a signature that does not hold"
	case s.GetCounterBehind():
		return ", signed (the key's counter went backwards: two devices may have it)"
	}
	return ", signed"
}
