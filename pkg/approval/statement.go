package approval

import (
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"time"
)

// The formats of what is signed. Each is part of what is hashed, so that a signature of one is worth nothing as
// another.
const (
	FormatDecision = "lockbox-approval/v1"
	FormatChange   = "lockbox-change/v1"
	FormatGenesis  = "lockbox-genesis/v1"
	FormatKeys     = "lockbox-keys/v1"
)

// namespaces are those of SSH signatures, by format.
var namespaces = map[string]string{
	FormatDecision: "lockbox-approval@openlockbox.github.io",
	FormatChange:   "lockbox-change@openlockbox.github.io",
	FormatGenesis:  "lockbox-keys@openlockbox.github.io",
	FormatKeys:     "lockbox-keys@openlockbox.github.io",
}

// Namespace is that of SSH signatures of a format; empty for an unknown one.
func Namespace(format string) string { return namespaces[format] }

// Verbs of a decision.
const (
	Approve = "approve"
	Deny    = "deny"
	Revoke  = "revoke"
)

// Account is one account of a person, as a token names it.
type Account struct {
	Issuer  string `json:"issuer"`
	Subject string `json:"subject"`
}

func (a Account) check(field string) error {
	if err := checkText(field+".issuer", a.Issuer, 1024); err != nil {
		return err
	}
	return checkText(field+".subject", a.Subject, 1024)
}

// Event names one event of the aggregate that a statement is about, by its exact stored bytes, the writer's block
// included. The statement's tenant, the aggregate, version and type are its subject on the bus.
type Event struct {
	// SHA256 is in lower-case hexadecimal digits.
	SHA256  string `json:"sha256"`
	Type    string `json:"type"`
	Version uint64 `json:"version"`
}

// EventOf names an event by its stored bytes.
func EventOf(version uint64, typ string, stored []byte) Event {
	hash := sha256.Sum256(stored)
	return Event{hex.EncodeToString(hash[:]), typ, version}
}

func (e Event) check(field string) error {
	if e.Version == 0 {
		return refuse(field+".version", RuleValue, "counts from 1")
	}
	if err := checkText(field+".type", e.Type, 64); err != nil {
		return err
	}
	return checkHash(field+".sha256", e.SHA256)
}

// Head is what every statement of a person says. All of it is covered by the signature.
type Head struct {
	Format string `json:"format"`
	// Origin is the name of the log, Genesis the fingerprint of the tenant's keys in hexadecimal digits.
	Origin  string `json:"origin"`
	Genesis string `json:"genesis"`
	Tenant  string `json:"tenant"`
	// By is who decides, Key the id of the key that they sign with.
	By  Account `json:"by"`
	Key string  `json:"key"`
	// Language is that of the text that was shown, Text its SHA-256 ([TextHash]).
	Language string `json:"language"`
	Text     string `json:"text"`
	IssuedAt string `json:"issuedAt"`
	// Nonce is 32 random bytes in hexadecimal digits.
	Nonce string `json:"nonce"`
}

func (h Head) check(format string) error {
	if h.Format != format {
		return refuse("format", RuleForm, "%q is not %s", h.Format, format)
	}
	for _, err := range []error{checkText("origin", h.Origin, 256), checkHash("genesis", h.Genesis),
		checkTenant(h.Tenant), h.By.check("by"), checkHash("key", h.Key), checkText("language", h.Language, 35),
		checkHash("text", h.Text), checkHash("nonce", h.Nonce)} {
		if err != nil {
			return err
		}
	}
	_, err := parseTime("issuedAt", h.IssuedAt)
	return err
}

func checkTenant(s string) error {
	ok := len(s) >= 3 && len(s) <= 40 && s[0] != '-' && s[len(s)-1] != '-'
	for i := 0; ok && i < len(s); i++ {
		ok = s[i] >= 'a' && s[i] <= 'z' || s[i] >= '0' && s[i] <= '9' || s[i] == '-'
	}
	if !ok {
		return refuse("tenant", RuleValue, "%q is no tenant", s)
	}
	return nil
}

// Decision is an approval, a denial or a revocation of one request.
type Decision struct {
	Head
	// Decision is Approve, Deny or Revoke.
	Decision string `json:"decision"`
	Request  string `json:"request"`
	// Subscription is empty for what reaches the tenant itself.
	Subscription string `json:"subscription"`
	ResourceType string `json:"resourceType"`
	Scenario     string `json:"scenario"`
	// Engineer is whose access it is.
	Engineer Account `json:"engineer"`
	// Events are those of the request that the decision rests on, by version.
	Events []Event `json:"events"`
	// Resources are what is approved, in the order of their bytes; empty for a denial or a revocation.
	Resources []string `json:"resources"`
	// Seconds is for how long; 0 for a denial or a revocation.
	Seconds uint64 `json:"seconds"`
	// AnswerBy is when it is too late to approve or deny; empty for a revocation.
	AnswerBy string `json:"answerBy"`
	// Approvals is how many different people have to approve; 0 for a revocation.
	Approvals uint64 `json:"approvals"`
	// Comment is the commitment to what they wrote ([CommentHash]); empty if they wrote nothing.
	Comment string `json:"comment"`
}

// restsOn are the types of events that a decision has to rest on.
var restsOn = map[string][]string{
	Approve: {"AccessRequested", "AccessEvaluated", "CustomerNotified"},
	Deny:    {"AccessRequested", "AccessEvaluated", "CustomerNotified"},
	Revoke:  {"AccessRequested", "AccessEvaluated", "AccessGranted"},
}

const (
	// MaxEvents is how many events a decision names at most.
	MaxEvents    = 64
	maxResources = 50
	maxSeconds   = 366 * 24 * 60 * 60
)

// Bytes is what is signed: the statement's one spelling. It refuses a statement that could not be read again.
func (d Decision) Bytes() ([]byte, error) { return spell(d) }

// ParseDecision reads a decision in its only spelling.
func ParseDecision(data []byte) (d Decision, err error) {
	if err = parse(data, MaxStatement, &d); err == nil {
		err = d.check()
	}
	return d, err
}

func (d Decision) check() error {
	if err := d.Head.check(FormatDecision); err != nil {
		return err
	}
	types, known := restsOn[d.Decision]
	if !known {
		return refuse("decision", RuleValue, "%q is no decision", d.Decision)
	}
	for _, err := range []error{checkText("request", d.Request, 128), checkText("resourceType", d.ResourceType, 256),
		checkText("scenario", d.Scenario, 256), d.Engineer.check("engineer"), checkEvents(d.Events, types)} {
		if err != nil {
			return err
		}
	}
	if d.Comment != "" {
		if err := checkHash("comment", d.Comment); err != nil {
			return err
		}
	}
	if len(d.Subscription) > 128 {
		return refuse("subscription", RuleValue, "is at most 128 bytes long")
	}
	if err := d.checkScope(); err != nil {
		return err
	}
	if d.Decision == Revoke {
		if d.AnswerBy != "" || d.Approvals != 0 {
			return refuse("decision", RuleValue, "a revocation has no deadline and needs nobody else")
		}
		return nil
	}
	if d.Approvals == 0 || d.Approvals > 100 {
		return refuse("approvals", RuleValue, "is 1 to 100")
	}
	by, err := parseTime("answerBy", d.AnswerBy)
	if err != nil {
		return err
	}
	if issued, err := parseTime("issuedAt", d.IssuedAt); err != nil || !issued.Before(by) {
		return refuse("issuedAt", RuleLate, "is not before answerBy")
	}
	return nil
}

func (d Decision) checkScope() error {
	if d.Decision != Approve {
		if len(d.Resources) != 0 || d.Seconds != 0 {
			return refuse("resources", RuleValue, "only an approval allows something")
		}
		return nil
	}
	if d.Seconds == 0 || d.Seconds > maxSeconds {
		return refuse("seconds", RuleValue, "is 1 to %d", maxSeconds)
	}
	if len(d.Resources) == 0 || len(d.Resources) > maxResources {
		return refuse("resources", RuleValue, "are 1 to %d", maxResources)
	}
	for i, r := range d.Resources {
		if err := checkText("resources", r, 4096); err != nil {
			return err
		}
		if i > 0 && d.Resources[i-1] >= r {
			return refuse("resources", RuleValue, "are not in the order of their bytes, each once")
		}
	}
	return nil
}

func checkEvents(events []Event, types []string) error {
	if len(events) == 0 || len(events) > MaxEvents {
		return refuse("events", RuleValue, "are 1 to %d", MaxEvents)
	}
	for i, e := range events {
		if err := e.check("events"); err != nil {
			return err
		}
		if i > 0 && events[i-1].Version >= e.Version {
			return refuse("events", RuleValue, "are not in the order of their versions, each once")
		}
	}
	for _, typ := range types {
		if n := slices.IndexFunc(events, func(e Event) bool { return e.Type == typ }); n < 0 {
			return refuse("events", RuleValue, "the decision does not rest on %s", typ)
		}
	}
	if events[0].Version != 1 || events[0].Type != types[0] {
		return refuse("events", RuleValue, "do not begin with the request's first")
	}
	return nil
}

// InTime refuses an approval or a denial at or after its deadline, and a statement that was not made within ten minutes
// of now. It is for whoever decides whether to write it down, with their own clock.
func (d Decision) InTime(now time.Time) error {
	if d.AnswerBy != "" {
		if by, err := parseTime("answerBy", d.AnswerBy); err != nil || !now.Before(by) {
			return refuse("answerBy", RuleLate, "the time to answer was over at %s", d.AnswerBy)
		}
	}
	return d.fresh(now)
}

const freshness = 10 * time.Minute

func (h Head) fresh(now time.Time) error {
	issued, err := parseTime("issuedAt", h.IssuedAt)
	if err != nil {
		return err
	}
	if age := now.Sub(issued).Abs(); age > freshness {
		return refuse("issuedAt", RuleLate, "it was made %s away from now; at most %s are accepted", age, freshness)
	}
	return nil
}

// TextHash is the hash of the text that was shown before somebody signed. The text is made from the statement alone, so
// that nothing that can be erased stands behind a hash that cannot.
func TextHash(text string) string { return hash64("lockbox-text/v1", []byte(text)) }

// CommentHash commits to what somebody wrote beside their decision. The salt is 32 random bytes that are kept, and
// erased, with the text: without it, nobody can try texts against the statement.
func CommentHash(salt [32]byte, text string) string {
	return hash64("lockbox-comment/v1", append(salt[:], text...))
}

func hash64(label string, data []byte) string {
	sum := digest(label, data)
	return hex.EncodeToString(sum[:])
}

// digest separates what is hashed by a label, which holds no zero byte.
func digest(label string, data []byte) [32]byte {
	return sha256.Sum256(slices.Concat([]byte(label), []byte{0}, data))
}

// Digest is the digest of a statement: the challenge of WebAuthn, what the words are of, and for a genesis the
// fingerprint. format is the one that the statement names.
func Digest(format string, statement []byte) [32]byte { return digest(format, statement) }

// spell writes a statement, and reads it again: nothing is signed that could not be verified.
func spell[S interface{ check() error }](s S) ([]byte, error) {
	if err := s.check(); err != nil {
		return nil, err
	}
	data, err := canonical(s)
	if err == nil && len(data) > MaxStatement {
		err = refuse("statement", RuleForm, "%d bytes; at most %d are signed", len(data), MaxStatement)
	}
	return data, err
}
