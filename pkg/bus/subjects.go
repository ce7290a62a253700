// Package bus contains what Lockbox knows about NATS: subjects and permissions, the server's configuration, streams and
// durable consumers, connections, and the comparison of a service's clock with the bus. Subjects are built and parsed
// only here. It does not know the meaning of events; package journal reads and writes them.
package bus

import (
	"strconv"
	"strings"

	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/input"
	"github.com/openlockbox/lockbox/pkg/refusal"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"google.golang.org/protobuf/reflect/protoreflect"
)

const (
	eventPrefix      = "lockbox.event."
	intentPrefix     = "lockbox.intent."
	timerPrefix      = "lockbox.timer."
	duePrefix        = "lockbox.due."
	deadLetterPrefix = "lockbox.deadletter."
	outcomePrefix    = "lockbox.outcome."
	updatePrefix     = "lockbox.update."
	updatesPrefix    = "lockbox.updates."
	commandPrefix    = "lockbox.command."
	queryPrefix      = "lockbox.query."
	accessPrefix     = "lockbox.access."
	changedPrefix    = "lockbox.changed."
	sessionPrefix    = "$KV." + SessionBucket + "."

	rule = "subject"
)

// Filter matches every event of the aggregate, whose key must have passed Check. It must not be built anywhere else:
// two writers that expected a last sequence under different filters for the same aggregate would both succeed.
func Filter(about aggregate.Key) string { return eventPrefix + tokensOf(about) + ".>" }

// VersionFilter matches the aggregate's event of that version, whatever its type.
func VersionFilter(about aggregate.Key, version uint64) string {
	return PlaceFilter(about, strconv.FormatUint(version, 10))
}

// PlaceFilter matches the aggregate's event at a version, or under a report's key, which must be a token.
func PlaceFilter(about aggregate.Key, place string) string {
	return eventPrefix + tokensOf(about) + "." + place + ".*"
}

func tokensOf(about aggregate.Key) string { return about.Tenant + "." + about.Kind + "." + about.ID }

// EventAddress is a parsed event subject. Version is set for decided kinds, ReportKey for reported ones.
type EventAddress struct {
	aggregate.Key
	Version   uint64
	ReportKey string
	Type      string
}

// EventSubject returns the only valid subject of an event. It refuses (INVALID) an event without a fact, with a fact of
// another kind, with a part that is not a token, or without exactly the one of version and report key that its kind
// requires.
func EventSubject(e *lockboxv1.Event) (string, error) {
	agg, typ := aggregate.KeyOf(e), aggregate.TypeOf(e)
	if err := agg.Check(); err != nil {
		return "", err
	}
	if !aggregate.Belongs(agg.Kind, typ) {
		return "", refusal.Invalid("fact", rule, "%q is no fact of a %s", typ, agg.Kind)
	}
	version := strconv.FormatUint(e.GetVersion(), 10)
	switch reported := aggregate.Reported(agg.Kind); {
	case reported && e.GetVersion() != 0:
		return "", refusal.Invalid("version", rule, "a report has no version")
	case reported:
		if err := input.Token("report_key", e.GetReportKey()); err != nil {
			return "", err
		}
		version = e.GetReportKey()
	case e.GetVersion() == 0:
		return "", refusal.Invalid("version", rule, "versions count from 1")
	case e.GetReportKey() != "":
		return "", refusal.Invalid("report_key", rule, "only a report has a key")
	}
	return eventPrefix + tokensOf(agg) + "." + version + "." + typ, nil
}

// Agrees reports whether EventSubject would return this subject for the event. It does not allocate, because it is
// called for every event that is read.
func Agrees(subject string, e *lockboxv1.Event) bool {
	rest, found := strings.CutPrefix(subject, eventPrefix)
	next := func() (token string) {
		token, rest, _ = strings.Cut(rest, ".")
		return token
	}
	agg := aggregate.Key{Tenant: next(), Kind: next(), ID: next()}
	version, typ := next(), rest
	if !found || agg != aggregate.KeyOf(e) || agg.Check() != nil || typ != aggregate.TypeOf(e) ||
		!aggregate.Belongs(agg.Kind, typ) {
		return false
	}
	if aggregate.Reported(agg.Kind) {
		return e.GetVersion() == 0 && version == e.GetReportKey() && input.Token("report_key", version) == nil
	}
	var digits [20]byte
	return e.GetVersion() > 0 && e.GetReportKey() == "" &&
		version == string(strconv.AppendUint(digits[:0], e.GetVersion(), 10))
}

// AgreesApartFromFact reports whether a subject could be the one of an event whose fact, and perhaps kind, only a later
// version knows: whether it says what the rest of the envelope says.
func AgreesApartFromFact(subject string, e *lockboxv1.Event) bool {
	t, err := tokens(subject, eventPrefix, 5)
	if err != nil || (aggregate.Key{Tenant: t[0], Kind: t[1], ID: t[2]}) != aggregate.KeyOf(e) {
		return false
	}
	place := e.GetReportKey()
	if e.GetVersion() > 0 {
		place += strconv.FormatUint(e.GetVersion(), 10) // no event has both
	}
	return t[3] == place && aggregate.CheckTenant(t[0]) == nil && input.Token("kind", t[1]) == nil &&
		input.Token("aggregate_id", t[2]) == nil && input.Token("version", t[3]) == nil && input.Token("type", t[4]) == nil
}

// Tree returns the tenant whose Merkle tree contains the message stored on a subject, event or not: whoever its subject
// names, if that can be a tenant, and the provider otherwise.
func Tree(subject string) string {
	rest, found := strings.CutPrefix(subject, eventPrefix)
	tenant, _, _ := strings.Cut(rest, ".")
	if !found || aggregate.CheckTenant(tenant) != nil {
		return aggregate.ProviderTenant
	}
	return aggregate.Tree(aggregate.Key{Tenant: tenant}, subject[strings.LastIndexByte(subject, '.')+1:])
}

// Under returns the aggregate under whose Filter a subject is; false if under none. What follows the aggregate in the
// subject need not be what follows in an event's.
func Under(subject string) (aggregate.Key, bool) {
	rest, found := strings.CutPrefix(subject, eventPrefix)
	t := strings.SplitN(rest, ".", 4)
	if !found || len(t) < 4 {
		return aggregate.Key{}, false
	}
	return aggregate.Key{Tenant: t[0], Kind: t[1], ID: t[2]}, true
}

// ParseEventSubject parses an event's subject. It accepts types that this version does not know, but not unknown kinds.
func ParseEventSubject(subject string) (EventAddress, error) {
	t, err := tokens(subject, eventPrefix, 5)
	if err != nil {
		return EventAddress{}, err
	}
	at := EventAddress{Key: aggregate.Key{Tenant: t[0], Kind: t[1], ID: t[2]}, Type: t[4]}
	if err := at.Check(); err != nil {
		return EventAddress{}, err
	}
	if err := input.Token("type", at.Type); err != nil {
		return EventAddress{}, err
	}
	if aggregate.Reported(at.Kind) {
		at.ReportKey = t[3]
		return at, input.Token("report_key", at.ReportKey)
	}
	at.Version, err = strconv.ParseUint(t[3], 10, 64)
	if err != nil || at.Version == 0 || strconv.FormatUint(at.Version, 10) != t[3] {
		return EventAddress{}, refusal.Invalid("version", rule, "%q is no version", t[3])
	}
	return at, nil
}

// ReplayFilter matches the events of a tenant, kind, aggregate and type; empty means any. Anything else that is not a
// plain token is refused, so that a "*" or ">" from a client cannot match another tenant's events.
func ReplayFilter(tenant, kind, id, typ string) (string, error) {
	orAny := func(s string) string {
		if s == "" {
			return "*"
		}
		return s
	}
	if tenant != "" {
		if err := aggregate.CheckTenant(tenant); err != nil {
			return "", err
		}
	}
	if kind != "" {
		if err := aggregate.CheckKind(kind); err != nil {
			return "", err
		}
	}
	if id != "" {
		if err := input.Token("aggregate_id", id); err != nil {
			return "", err
		}
	}
	if typ != "" {
		if err := input.Token("type", typ); err != nil {
			return "", err
		}
	}
	if tenant == "" && kind == "" && id == "" && typ == "" {
		return eventPrefix + ">", nil
	}
	return eventPrefix + orAny(tenant) + "." + orAny(kind) + "." + orAny(id) + ".*." + orAny(typ), nil
}

// Matches reports whether a filter of ReplayFilter matches a subject.
func Matches(filter, subject string) bool {
	for {
		f, restFilter, moreFilter := strings.Cut(filter, ".")
		filter = restFilter
		if f == ">" {
			return subject != ""
		}
		s, rest, more := strings.Cut(subject, ".")
		if f != "*" && f != s || more != moreFilter {
			return false
		}
		if !more {
			return true
		}
		subject = rest
	}
}

const (
	// GuardPrefix is how the subjects of aggregate.Guard begin.
	GuardPrefix = eventPrefix + aggregate.ProviderTenant + "." + aggregate.KindAlarm + ".guard."
	// SetAsideFilter matches the decisions that set aside messages which cannot be events.
	SetAsideFilter = GuardPrefix + "*.MessageSetAside"
)

// InAnyTenant matches all events of the aggregates of one kind and id, whichever tenants have them.
func InAnyTenant(about aggregate.Key) string {
	return eventPrefix + "*." + about.Kind + "." + about.ID + ".>"
}

// IntentSubject is where a tool publishes intents that concern a tenant.
func IntentSubject(tool, tenant string) (string, error) {
	if err := input.Token("tool", tool); err != nil {
		return "", err
	}
	if err := input.Tenant("tenant", tenant); err != nil {
		return "", err
	}
	return intentPrefix + tool + "." + tenant, nil
}

// anyTenant stands for the tenant where the intents of a tool that is for all customers are stored: all under one
// subject, so that customers whom the tool invents do not add to what it may have waiting.
const anyTenant = aggregate.ProviderTenant

// ParseIntentSubject is the inverse of IntentSubject. The tenant is empty if the tool is for all customers: then only
// the intent itself names it.
func ParseIntentSubject(subject string) (tool, tenant string, err error) {
	t, err := tokens(subject, intentPrefix, 2)
	if err != nil {
		return "", "", err
	}
	if err := input.Token("tool", t[0]); err != nil {
		return "", "", err
	}
	if t[1] == anyTenant {
		return t[0], "", nil
	}
	if err := input.Tenant("tenant", t[1]); err != nil {
		return "", "", err
	}
	return t[0], t[1], nil
}

// OutcomeSubject is where the evaluator publishes the outcome of a tool's intent.
func OutcomeSubject(tool, intentID string) (string, error) {
	if err := input.Token("tool", tool); err != nil {
		return "", err
	}
	if err := input.Token("intent_id", intentID); err != nil {
		return "", err
	}
	return outcomePrefix + tool + "." + intentID, nil
}

// PortalTool is the name under which the portal publishes intents: its own, which people ask with their own tokens, and
// those that a tool signed. No tool has this name.
const PortalTool = "portal"

// UpdateSubject is where the projector publishes what happened to a request of a tool's.
func UpdateSubject(tool, requestID string) (string, error) {
	if err := input.Token("tool", tool); err != nil {
		return "", err
	}
	if err := input.Token("request_id", requestID); err != nil {
		return "", err
	}
	return updatePrefix + tool + "." + requestID, nil
}

// UpdatesSubject is where a tool asks what happened to its requests. Only that tool can publish there, so the subject
// says who asks.
func UpdatesSubject(tool string) string { return updatesPrefix + tool }

// AnyUpdates matches the UpdatesSubject of every tool.
const AnyUpdates = updatesPrefix + "*"

// ParseUpdatesSubject is the inverse of UpdatesSubject.
func ParseUpdatesSubject(subject string) (tool string, err error) {
	t, err := tokens(subject, updatesPrefix, 1)
	if err != nil {
		return "", err
	}
	return t[0], input.Token("tool", t[0])
}

// TimerSubject holds an aggregate's one pending timer.
func TimerSubject(a aggregate.Key) (string, error) {
	if err := a.Check(); err != nil {
		return "", err
	}
	return timerPrefix + tokensOf(a), nil
}

// DueSubject is where the bus publishes that an aggregate's timer has fired.
func DueSubject(a aggregate.Key) (string, error) {
	if err := a.Check(); err != nil {
		return "", err
	}
	return duePrefix + tokensOf(a), nil
}

// ParseDueSubject is the inverse of DueSubject.
func ParseDueSubject(subject string) (aggregate.Key, error) {
	return parseAggregate(subject, duePrefix)
}

// ParseTimerSubject is the inverse of TimerSubject.
func ParseTimerSubject(subject string) (aggregate.Key, error) {
	return parseAggregate(subject, timerPrefix)
}

// TimersFilter matches the pending timers of a tenant's aggregates of one kind; an empty tenant means all.
func TimersFilter(tenant, kind string) (string, error) {
	if tenant == "" {
		tenant = "*"
	} else if err := aggregate.CheckTenant(tenant); err != nil {
		return "", err
	}
	if err := aggregate.CheckKind(kind); err != nil {
		return "", err
	}
	return timerPrefix + tenant + "." + kind + ".*", nil
}

func parseAggregate(subject, prefix string) (aggregate.Key, error) {
	t, err := tokens(subject, prefix, 3)
	if err != nil {
		return aggregate.Key{}, err
	}
	a := aggregate.Key{Tenant: t[0], Kind: t[1], ID: t[2]}
	if err := a.Check(); err != nil {
		return aggregate.Key{}, err
	}
	return a, nil
}

// tokens splits the subject after the prefix into exactly n tokens.
func tokens(subject, prefix string, n int) ([]string, error) {
	rest, found := strings.CutPrefix(subject, prefix)
	t := strings.Split(rest, ".")
	if !found || len(t) != n {
		return nil, refusal.Invalid("subject", rule, "%q is not of the form %s with %d tokens", subject, prefix, n)
	}
	return t, nil
}

// CommandSubject is where an identity sends commands of a verb; "*" is every verb. Only this identity's account can
// send there, so what the subject says of the sender is true. The header Nats-Request-Info says more, but it can be
// forged: behind a certain other header, server 2.15.2 leaves the client's own in place.
//
// The name must be the same in both accounts. Were it mapped, answers whose reply subject is such a name would be
// delivered as commands.
func CommandSubject(from Identity, verb string) string {
	return commandPrefix + from.Account() + "." + verb
}

// AnyCommand is where the orchestrator receives commands: of every sender, and of every verb.
const AnyCommand = commandPrefix + "*.*"

// ParseCommand returns the verb of a subject at which a command was received, and the account that sent it.
func ParseCommand(subject string) (verb, sender string, err error) {
	t, err := tokens(subject, commandPrefix, 2)
	if err != nil {
		return "", "", err
	}
	return t[1], t[0], nil
}

// Verb returns the name of a command's action field, such as "approve"; empty if the action is missing or unknown.
func Verb(c *lockboxv1.Command) string { return chosen(c.ProtoReflect(), "action") }

// QuerySubject is where an identity sends queries of a name; "*" is every name. As with commands, what the subject says
// of the sender is true.
func QuerySubject(from Identity, name string) string {
	return queryPrefix + from.Account() + "." + name
}

// AnyQuery is where the projector receives queries: of every sender, and of every name.
const AnyQuery = queryPrefix + "*.*"

// ParseQuery returns the name of the query of a subject at which one was received, and the account that sent it.
func ParseQuery(subject string) (name, sender string, err error) {
	t, err := tokens(subject, queryPrefix, 2)
	if err != nil {
		return "", "", err
	}
	return t[1], t[0], nil
}

// QueryName returns the name of a query's field, such as "list_requests"; empty if it is missing or unknown.
func QueryName(q *lockboxv1.Query) string { return chosen(q.ProtoReflect(), "ask") }

func chosen(m protoreflect.Message, oneof protoreflect.Name) string {
	if field := m.WhichOneof(m.Descriptor().Oneofs().ByName(oneof)); field != nil {
		return string(field.Name())
	}
	return ""
}

// ChangedSubject is where the projector publishes that a tenant's projection has changed. The message is empty and
// proves nothing: subscribers query again.
func ChangedSubject(tenant string) (string, error) {
	if err := aggregate.CheckTenant(tenant); err != nil {
		return "", err
	}
	return changedPrefix + tenant, nil
}

// LeaseSubject is where the guard renews the lease (package lease).
const LeaseSubject = "lockbox.lease"

// AnyChanged matches the ChangedSubject of every tenant.
const AnyChanged = changedPrefix + "*"

// ParseChangedSubject is the inverse of ChangedSubject.
func ParseChangedSubject(subject string) (tenant string, err error) {
	t, err := tokens(subject, changedPrefix, 1)
	if err != nil {
		return "", err
	}
	return t[0], aggregate.CheckTenant(t[0])
}

// DeadLetters matches the dead letters of all services.
const DeadLetters = deadLetterPrefix + ">"

// DeadLetterSubject is where a service publishes messages of a sender that it could not process.
func DeadLetterSubject(service, sender string) string {
	return deadLetterPrefix + service + "." + sender
}

// AccessAddress is a parsed subject of ACCESS: whom a record concerns, which service wrote it about what came through
// which account, and when.
type AccessAddress struct {
	Tenant  string
	Service Identity
	Sender  string
	// Day is in UTC, as in 2026-11-29. It bounds what the bus keeps of one sender, so that a flood pushes out nothing.
	Day string
}

// Subject returns where such a record is stored. It refuses (INVALID) what is not exactly one token.
func (a AccessAddress) Subject() (string, error) {
	for _, err := range []error{aggregate.CheckTenant(a.Tenant), input.Token("service", string(a.Service)),
		input.Token("sender", a.Sender), input.Token("day", a.Day)} {
		if err != nil {
			return "", err
		}
	}
	return accessPrefix + a.Tenant + "." + string(a.Service) + "." + a.Sender + "." + a.Day, nil
}

// ParseAccessSubject is the inverse of AccessAddress.Subject.
func ParseAccessSubject(subject string) (AccessAddress, error) {
	t, err := tokens(subject, accessPrefix, 4)
	if err != nil {
		return AccessAddress{}, err
	}
	a := AccessAddress{t[0], Identity(t[1]), t[2], t[3]}
	_, err = a.Subject()
	return a, err
}
