package bus

import (
	"strings"

	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/input"
)

// Identity is who holds a key on the bus. A service's copies share one.
type Identity string

// The identities of Lockbox's own parts; each engineering tool has one more, see Tool.
const (
	Evaluator    = Identity(aggregate.Evaluator)
	Orchestrator = Identity(aggregate.Orchestrator)
	Notifier     = Identity(aggregate.Notifier)
	Projector    = Identity(aggregate.Projector)
	// Client sends commands and queries on behalf of people: the command line.
	Client Identity = "client"
	// Portal does the same for browsers and REST clients, keeps web sessions, and hears that something has changed.
	Portal Identity = "portal"
	// Compliance replays EVENTS, looks at what was set aside, and does nothing else.
	Compliance Identity = "compliance"
	// Repairer writes the stream anew from its second copy. No key of it is kept: only the server of lockbox audit repair,
	// which nobody else can reach, knows one.
	Repairer = Identity(aggregate.Repairer)
	// Provisioner makes streams and consumers, in one short job.
	Provisioner Identity = "provisioner"
)

const toolPrefix = "tool-"

// Tool is the identity of an engineering tool.
func Tool(name string) Identity { return Identity(toolPrefix + name) }

// Identities are all but the tools.
func Identities() []Identity {
	return []Identity{Evaluator, Orchestrator, Notifier, Projector, Client, Portal, Compliance, Provisioner}
}

// Permissions are what an identity may do; everything else is denied.
type Permissions struct {
	Publish, Subscribe []string
	// NotPublish takes away from Publish what a wildcard cannot leave out.
	NotPublish []string
	// AllowResponses lets a service answer each request that it has received.
	AllowResponses bool
}

// Rights is the one table of who may do what on the bus; the server's configuration is generated from it. An identity
// that is not known has none. With tenants, an engineering tool may publish intents for these only.
func Rights(id Identity, tenants ...string) Permissions {
	p := permissions(id, tenants)
	if len(p.Publish) > 0 {
		p.Subscribe = append(p.Subscribe, "_INBOX."+string(id)+".>")
	}
	return p
}

func permissions(id Identity, tenants []string) Permissions {
	if tool, is := strings.CutPrefix(string(id), toolPrefix); is {
		return toolPermissions(tool, tenants)
	}
	switch id {
	case Evaluator:
		return Permissions{Publish: join(
			writes(id), consumes(StreamIntents, DurableEvaluator), loads(),
			replays(eventPrefix+"*."+aggregate.KindRequest+".*.*.*"),
			[]string{outcomePrefix + "*.*", DeadLetterSubject(string(id))},
		)}
	case Orchestrator:
		return Permissions{
			Publish: join(
				writes(id), consumes(StreamEvents, DurableOrchestrator), consumes(StreamTimers, DurableDue), loads(),
				[]string{timerPrefix + "*.*.*", StreamInfoSubject(StreamTimers), DeadLetterSubject(string(id))},
			),
			Subscribe:      []string{commandPrefix + "*", "$SRV.>", LeaseSubject},
			AllowResponses: true,
		}
	case Notifier:
		return Permissions{Publish: join(writes(id), consumes(StreamEvents, DurableNotifier),
			consumes(StreamEvents, DurableAlarms), loads())}
	case Projector:
		return Permissions{
			Publish: join(writes(id), replays(">"), loads(),
				[]string{changedPrefix + "*", LeaseSubject, acknowledges(StreamEvents, "*")}),
			NotPublish:     acknowledgesDurables(StreamEvents),
			Subscribe:      []string{queryPrefix + "*", "$SRV.>"},
			AllowResponses: true,
		}
	case Client:
		return Permissions{Publish: []string{commandPrefix + "*", queryPrefix + "*"}}
	case Portal:
		return Permissions{
			Publish:   join([]string{commandPrefix + "*", queryPrefix + "*"}, keepsSessions()),
			Subscribe: []string{changedPrefix + "*"},
		}
	case Compliance:
		return Permissions{Publish: join(replays(">"), loads(), []string{MessageGetSubject(StreamDeadLetter)})}
	case Provisioner:
		return Permissions{Publish: provisions()}
	case Repairer:
		return Permissions{Publish: join(restores(), provisions(), replays(">"), loads())}
	}
	return Permissions{}
}

func toolPermissions(tool string, tenants []string) Permissions {
	if input.Token("tool", tool) != nil {
		return Permissions{} // its name would be read as a wildcard
	}
	intents := []string{intentPrefix + tool + ".*"}
	if len(tenants) > 0 {
		intents = nil
	}
	for _, tenant := range tenants {
		if input.Tenant("tenant", tenant) != nil {
			return Permissions{} // so would this
		}
		intents = append(intents, intentPrefix+tool+"."+tenant)
	}
	return Permissions{Publish: intents, Subscribe: []string{outcomePrefix + tool + ".>"}}
}

// writes lists the identity's own event types, one by one.
func writes(id Identity) []string {
	return eventSubjects(func(f aggregate.Fact) bool { return Identity(f.Writer) == id })
}

// restores lists every event type.
func restores() []string { return eventSubjects(func(aggregate.Fact) bool { return true }) }

func eventSubjects(of func(aggregate.Fact) bool) (subjects []string) {
	for _, f := range aggregate.Facts() {
		if of(f) {
			subjects = append(subjects, eventPrefix+"*."+f.Kind+".*.*."+f.Type)
		}
	}
	return subjects
}

// loads reads EVENTS one aggregate at a time, confirms at the leader, and reads the bus's clock.
func loads() []string {
	return []string{
		DirectGetSubject(StreamEvents),
		MessageGetSubject(StreamEvents),
		StreamInfoSubject(StreamEvents),
	}
}

// consumes works on one durable consumer that exists already.
func consumes(stream, name string) []string {
	return []string{
		"$JS.API.CONSUMER.INFO." + stream + "." + name,
		"$JS.API.CONSUMER.MSG.NEXT." + stream + "." + name,
		acknowledges(stream, name),
	}
}

// acknowledges is where what a consumer delivers is acknowledged. Messages of an ordered consumer need no
// acknowledgement. But of whoever may answer requests (AllowResponses) the server remembers each message that could be
// answered, replayed events among them, and searches all of them again and again, unless its subject is allowed anyway:
// that took more than half of the time of a replay.
func acknowledges(stream, consumer string) string { return "$JS.ACK." + stream + "." + consumer + ".>" }

// acknowledgesDurables is that for each durable consumer of a stream.
func acknowledgesDurables(stream string) (all []string) {
	for _, d := range durables() {
		if d.stream == stream {
			all = append(all, acknowledges(stream, d.config.Durable))
		}
	}
	return all
}

// replays reads what a filter matches of EVENTS through ordered consumers, which it makes and drops. The evaluator
// needs it to count an engineer's history, which lies in requests of all customers, and is given no other kind than
// these. The server holds a consumer to the filter in the subject that makes it. Names are random, so whoever has this
// right could also drop or change a service's durable consumer: the service notices and stops (CheckConsumer), and
// nothing becomes true by it.
func replays(filter string) []string {
	create := "$JS.API.CONSUMER.CREATE." + StreamEvents + "."
	if filter != ">" {
		create += "*."
	}
	return []string{
		create + filter,
		"$JS.API.CONSUMER.DELETE." + StreamEvents + ".*",
		"$JS.API.CONSUMER.INFO." + StreamEvents + ".*",
		"$JS.API.CONSUMER.MSG.NEXT." + StreamEvents + ".*",
	}
}

// keepsSessions reads and writes the keys of one bucket, of which the server keeps each one's last value.
func keepsSessions() []string {
	return []string{
		StreamInfoSubject(streamSessions),
		MessageGetSubject(streamSessions),
		sessionPrefix + "*",
	}
}

// provisions makes what is missing. Not even the provisioner may update, purge or delete a stream.
func provisions() []string {
	var subjects []string
	for _, s := range []string{StreamEvents, StreamIntents, StreamTimers, StreamDeadLetter, streamSessions} {
		subjects = append(subjects,
			"$JS.API.STREAM.CREATE."+s, StreamInfoSubject(s),
			"$JS.API.CONSUMER.CREATE."+s+".>", "$JS.API.CONSUMER.INFO."+s+".*")
	}
	return subjects
}

func join(lists ...[]string) []string {
	var all []string
	for _, l := range lists {
		all = append(all, l...)
	}
	return all
}
