package bus

import (
	"slices"
	"strings"

	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/input"
)

// Identity is a user of the bus, with its own key.
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

const (
	toolPrefix = "tool-"
	// copySeparator stands between an identity and the name of one of its copies.
	copySeparator = "@"
)

// Tool is the identity of an engineering tool.
func Tool(name string) Identity { return Identity(toolPrefix + name) }

// Copy is an identity with the same rights and a key of its own: one replica of a service, or one machine's command
// line. It can be withdrawn without the others.
func (id Identity) Copy(name string) Identity { return id + Identity(copySeparator+name) }

// Of returns the identity that a copy is of, and itself if it is none.
func (id Identity) Of() Identity {
	of, _, _ := strings.Cut(string(id), copySeparator)
	return Identity(of)
}

// tool returns the name of an engineering tool; false if the identity is no tool's.
func (id Identity) tool() (name string, is bool) {
	return strings.CutPrefix(string(id.Of()), toolPrefix)
}

// Identities returns all identities that have a stored key, except the tools'.
func Identities() []Identity {
	return []Identity{Evaluator, Orchestrator, Notifier, Projector, Client, Portal, Compliance, Provisioner}
}

// The accounts. The streams are alone in theirs: nobody connects to it. Whoever has a right to publish may choose where
// the server answers, and JetStream answers with its own power: in one common account, the answer to a harmless
// question could be stored as an event or be a call of JetStream's API. Answers to another account stay in it.
const (
	accountStreams = "LOCKBOX"
	accountSystem  = "SYSTEM"
	// accountEdge holds everybody who only sends: tools and command lines. Nobody in it answers.
	accountEdge = "EDGE"
)

// Account returns the account in which an identity connects.
func (id Identity) Account() string {
	if _, is := id.tool(); is || id.Of() == Client {
		return accountEdge
	}
	return strings.ToUpper(strings.ReplaceAll(string(id.Of()), "-", "_"))
}

// Use is how an identity uses a subject.
type Use string

// The uses of a subject.
const (
	// Publishes a message, which is answered at most once.
	Publishes Use = "publish"
	// Asks a question with any number of answers.
	Asks Use = "ask"
	// Hears what another account publishes.
	Hears Use = "hear"
	// Serves receives the requests of other accounts.
	Serves Use = "serve"
)

// Right is one thing that an identity may do; everything else is denied. The server's configuration is generated from
// these.
type Right struct {
	Use Use
	// Subject as the identity knows it.
	Subject string
	// Account in which the subject has its effect; empty: only in the identity's own.
	Account string
	// There is the subject in that account, if it has another name there.
	There string
	// through is the subject that the identity's whole account may use, if that is wider; the narrower right is then the
	// identity's own.
	through string
}

// crosses reports whether a right needs an import from another account.
func (r Right) crosses() bool { return r.Account != "" }

// Rights returns what an identity may do. An unknown identity may do nothing. If tenants are given, an engineering tool
// may publish intents for these only.
func Rights(id Identity, tenants ...string) []Right {
	if _, name, copied := strings.Cut(string(id), copySeparator); copied && input.Token("copy", name) != nil {
		return nil // the name could act as a wildcard
	}
	rights := rightsOf(id, tenants)
	if len(rights) > 0 {
		rights = append(rights, Right{Use: Hears, Subject: inbox(id) + ".>"})
	}
	return rights
}

// inbox is the prefix of an identity's reply subjects, which no other identity may listen to.
func inbox(id Identity) string { return "_INBOX." + string(id) }

func rightsOf(id Identity, tenants []string) []Right {
	if tool, is := id.tool(); is {
		return toolRights(tool, tenants)
	}
	if tenant, is := id.customer(); is {
		return customerRights(id, tenant)
	}
	switch id.Of() {
	case Evaluator:
		return join(
			writes(id), traces(id), consumes(StreamIntents, DurableEvaluator), loads(), makesKeys(),
			own(Publishes, outcomePrefix+"*.*"), stores(DeadLetterSubject(string(id.Of()), "*")),
			calls(Publishes, "STREAM.PURGE."+StreamIntents, "STREAM.MSG.GET."+StreamIntents),
		)
	case Orchestrator:
		return join(
			writes(id), traces(id), consumes(StreamEvents, DurableOrchestrator), consumes(StreamTimers, DurableDue), loads(),
			stores(timerPrefix+"*.*.*"), calls(Publishes, "STREAM.INFO."+StreamTimers),
			stores(DeadLetterSubject(string(id.Of()), "*")),
			serves(AnyCommand), hears(Projector, LeaseSubject, LeaseSubject), readsKeys(), destroysKeys(),
		)
	case Notifier:
		return join(writes(id), consumes(StreamEvents, DurableNotifier), consumes(StreamEvents, DurableAlarms), loads(),
			makesKeys())
	case Projector:
		return join(writes(id), traces(id), loads(), looksBack(), own(Publishes, changedPrefix+"*", LeaseSubject),
			serves(AnyQuery), own(Serves, AnyUpdates), own(Publishes, updatePrefix+"*.*"), scans(id),
			readsKeys())
	case Client:
		return asksServices(id)
	case Portal:
		return join(asksServices(id), traces(id), keepsSessions(), hears(Projector, AnyChanged, AnyChanged),
			submits(PortalTool, "*"))
	case Compliance:
		return join(loads(), looksBack(), calls(Publishes, "STREAM.MSG.GET."+StreamDeadLetter), scans(id),
			readsKeys())
	case Provisioner:
		return provisions()
	case Repairer:
		return join(writes(id), restores(), provisions(), loads(), scans(id))
	}
	return nil
}

func toolRights(tool string, tenants []string) []Right {
	if input.Token("tool", tool) != nil || tool == PortalTool {
		return nil // the name could act as a wildcard, or is the portal's
	}
	for _, tenant := range tenants {
		if input.Tenant("tenant", tenant) != nil {
			return nil // so would this
		}
	}
	if len(tenants) == 0 {
		tenants = []string{"*"}
	}
	return append(submits(tool, tenants...),
		Right{Use: Publishes, Subject: UpdatesSubject(tool), Account: Projector.Account(), through: AnyUpdates},
		Right{Use: Hears, Subject: updatePrefix + tool + ".>", Account: Projector.Account(), through: updatePrefix + "*.*"})
}

// submits permits publishing a tool's intents and hearing what becomes of them.
func submits(tool string, tenants ...string) (rights []Right) {
	for _, tenant := range tenants {
		rights = append(rights, Right{Use: Publishes, Subject: intentPrefix + tool + "." + tenant, Account: accountStreams,
			through: intentPrefix + "*.*"})
	}
	return append(rights, hears(Evaluator, outcomePrefix+tool+".>", outcomePrefix+"*.*")...)
}

// own permits what stays in the identity's own account.
func own(use Use, subjects ...string) (rights []Right) {
	for _, s := range subjects {
		rights = append(rights, Right{Use: use, Subject: s})
	}
	return rights
}

// stores permits publishing to streams.
func stores(subjects ...string) (rights []Right) {
	for _, s := range subjects {
		rights = append(rights, Right{Use: Publishes, Subject: s, Account: accountStreams})
	}
	return rights
}

// calls permits calling JetStream's API, which has another name in all other accounts: under its own name, the server
// would answer a second time, from the caller's own account, which has no streams.
func calls(use Use, names ...string) (rights []Right) {
	for _, n := range names {
		rights = append(rights, Right{Use: use, Subject: apiPrefix + "." + n, Account: accountStreams,
			There: "$JS.API." + n})
	}
	return rights
}

// serves permits receiving requests and answering them: the server gives each request that crosses accounts a reply
// subject of this form. It also lets the bus's service discovery find the service within its own account.
func serves(subject string) []Right {
	return append(own(Serves, subject, "$SRV.>"), own(Publishes, "_R_.>")...)
}

// hears permits listening to what another identity publishes.
func hears(to Identity, subject, through string) []Right {
	return []Right{{Use: Hears, Subject: subject, Account: to.Account(), through: through}}
}

// asksServices permits sending commands and queries on behalf of people.
func asksServices(id Identity) []Right {
	return []Right{
		{Use: Publishes, Subject: CommandSubject(id, "*"), Account: Orchestrator.Account()},
		{Use: Publishes, Subject: QuerySubject(id, "*"), Account: Projector.Account()},
	}
}

// writes lists the identity's own event types, one by one.
func writes(id Identity) []Right {
	return stores(eventSubjects(func(f aggregate.Fact) bool { return Identity(f.Writer) == id.Of() })...)
}

// restores permits writing whatever stands in the stream, messages that cannot be events included.
func restores() []Right { return stores(eventPrefix + ">") }

// traces permits adding access records under the identity's own name. Nobody may change or delete one.
func traces(id Identity) []Right { return stores(accessPrefix + "*." + string(id.Of()) + ".*.*") }

// looksBack permits reading all access records.
func looksBack() []Right {
	return append(calls(Asks, "DIRECT.GET."+StreamAccess), calls(Publishes, "STREAM.INFO."+StreamAccess)...)
}

func eventSubjects(of func(aggregate.Fact) bool) (subjects []string) {
	for _, f := range aggregate.Facts() {
		if of(f) {
			subjects = append(subjects, eventPrefix+"*."+f.Kind+".*.*."+f.Type)
		}
	}
	return subjects
}

// loads permits reading EVENTS, one aggregate at a time or all of it, from any replica and from the leader, and reading
// the bus's clock. None of it needs a consumer, so there is none to create, to change or to delete.
func loads() []Right {
	return append(calls(Asks, "DIRECT.GET."+StreamEvents),
		calls(Publishes, "STREAM.MSG.GET."+StreamEvents, "STREAM.INFO."+StreamEvents)...)
}

// consumes permits processing the messages of one existing durable consumer.
func consumes(stream, name string) []Right {
	return join(
		calls(Publishes, "CONSUMER.INFO."+stream+"."+name), calls(Asks, "CONSUMER.MSG.NEXT."+stream+"."+name),
		stores("$JS.ACK."+stream+"."+name+".>"),
	)
}

// scans permits reading each server's own copy of EVENTS through existing consumers, from any sequence.
func scans(id Identity) (rights []Right) {
	for _, name := range CopyReaders(id) {
		rights = append(rights, calls(Publishes, "CONSUMER.INFO."+StreamEvents+"."+name,
			"CONSUMER.RESET."+StreamEvents+"."+name)...)
		rights = append(rights, calls(Asks, "CONSUMER.MSG.NEXT."+StreamEvents+"."+name)...)
	}
	return rights
}

// keepsSessions permits reading and writing the keys of the session bucket.
func keepsSessions() []Right {
	key := Right{Use: Publishes, Subject: apiPrefix + "." + sessionPrefix + "*", Account: accountStreams,
		There: sessionPrefix + "*"}
	return append(calls(Publishes, "STREAM.INFO."+streamSessions, "STREAM.MSG.GET."+streamSessions), key)
}

// provisions permits creating streams and consumers. Not even the provisioner may update, purge or delete a stream, and
// only the evaluator may purge INTENTS. It may delete the guard's readers only: where the cluster puts them shows when
// they are there.
func provisions() []Right {
	var rights []Right
	for _, s := range []string{StreamEvents, StreamIntents, StreamTimers, StreamDeadLetter, StreamAccess, StreamKeys,
		streamSessions} {
		rights = append(rights, calls(Publishes, "STREAM.CREATE."+s, "STREAM.INFO."+s, "CONSUMER.CREATE."+s+".>",
			"CONSUMER.INFO."+s+".*")...)
	}
	// Not of EVENTS: what was stored there stays.
	rights = append(rights, calls(Publishes, "STREAM.UPDATE."+StreamIntents, "STREAM.UPDATE."+StreamDeadLetter)...)
	return append(rights, calls(Publishes, "CONSUMER.DELETE."+StreamEvents+".*")...)
}

// readsKeys permits reading pages of the key store. They are encrypted: it takes the store's own key to use them.
func readsKeys() []Right {
	return calls(Publishes, "STREAM.MSG.GET."+StreamKeys, "STREAM.INFO."+StreamKeys)
}

// makesKeys permits reading pages and adding new ones, which replace none.
func makesKeys() []Right { return append(readsKeys(), stores(keyPrefix+"*.0")...) }

// destroysKeys permits adding pages, storing a page without some of its keys, deleting the one with them, and noting
// that. It takes the place of makesKeys: what two rights permit would be delivered twice, and one of both be refused.
func destroysKeys() []Right {
	return append(calls(Publishes, "STREAM.MSG.DELETE."+StreamKeys), stores(keyPrefix+"*.*")...)
}

func join(lists ...[]Right) []Right { return slices.Concat(lists...) }
