package bus

import (
	"strings"

	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/input"
)

// Identity is a user of the bus, with its own key. The replicas of a service share one.
type Identity string

// The identities of Lockbox's own services. Each engineering tool also has one, see Tool.
const (
	Evaluator    = Identity(aggregate.Evaluator)
	Orchestrator = Identity(aggregate.Orchestrator)
	Notifier     = Identity(aggregate.Notifier)
	Projector    = Identity(aggregate.Projector)
	// Client is the command line: it sends commands and queries on behalf of people.
	Client Identity = "client"
	// Portal does the same for browsers and REST clients, stores web sessions, and receives change notifications.
	Portal Identity = "portal"
	// Compliance replays EVENTS and reads dead letters, and can do nothing else.
	Compliance Identity = "compliance"
	// Repairer rewrites the stream from its second copy. Its key is not stored: only the private server of lockbox audit
	// repair, which no other client can reach, accepts one.
	Repairer = Identity(aggregate.Repairer)
	// Provisioner creates streams and consumers, in one short job.
	Provisioner Identity = "provisioner"
)

const toolPrefix = "tool-"

// Tool is the identity of an engineering tool.
func Tool(name string) Identity { return Identity(toolPrefix + name) }

// Identities returns all identities that have a stored key, except the tools'.
func Identities() []Identity {
	return []Identity{Evaluator, Orchestrator, Notifier, Projector, Client, Portal, Compliance, Provisioner}
}

// Permissions are what an identity may do; everything else is denied.
type Permissions struct {
	Publish, Subscribe []string
	// NotPublish lists exceptions to the wildcards in Publish.
	NotPublish []string
	// AllowResponses lets a service answer the requests it receives.
	AllowResponses bool
}

// Rights returns the permissions of an identity; the server's configuration is generated from it. An unknown identity
// has none. If tenants are given, an engineering tool may publish intents for these only.
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
		return Permissions{} // the name could act as a wildcard
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

// loads permits reading EVENTS one aggregate at a time, from any replica and from the leader, and reading the bus's
// clock.
func loads() []string {
	return []string{
		DirectGetSubject(StreamEvents),
		MessageGetSubject(StreamEvents),
		StreamInfoSubject(StreamEvents),
	}
}

// consumes permits processing the messages of one existing durable consumer.
func consumes(stream, name string) []string {
	return []string{
		"$JS.API.CONSUMER.INFO." + stream + "." + name,
		"$JS.API.CONSUMER.MSG.NEXT." + stream + "." + name,
		acknowledges(stream, name),
	}
}

// acknowledges returns the subjects on which a consumer's messages are acknowledged. Messages of an ordered consumer
// need no acknowledgement. But for an identity with AllowResponses the server tracks every delivered message with a
// reply subject, including replayed events, and searches that list repeatedly unless the reply subject is allowed
// anyway. That took more than half of the time of a replay.
func acknowledges(stream, consumer string) string { return "$JS.ACK." + stream + "." + consumer + ".>" }

// acknowledgesDurables returns these subjects for all durable consumers of a stream.
func acknowledgesDurables(stream string) (all []string) {
	for _, d := range durables() {
		if d.stream == stream {
			all = append(all, acknowledges(stream, d.config.Durable))
		}
	}
	return all
}

// replays permits reading the events of EVENTS that match a filter, through ordered consumers that the identity creates
// and deletes. The evaluator needs it to count an engineer's history, which spans the requests of all customers, and
// may read no other kind. The server restricts a consumer to the filter in the subject that creates it. Consumer names
// are random, so an identity with this permission could also delete or change a service's durable consumer. The service
// notices and stops (CheckConsumer), and no event can result from it.
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

// keepsSessions permits reading and writing the keys of the session bucket.
func keepsSessions() []string {
	return []string{
		StreamInfoSubject(streamSessions),
		MessageGetSubject(streamSessions),
		sessionPrefix + "*",
	}
}

// provisions permits creating streams and consumers. Not even the provisioner may update, purge or delete a stream.
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
