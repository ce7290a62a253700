package stack_test

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/bus"
	"github.com/openlockbox/lockbox/pkg/invariant"
	"github.com/openlockbox/lockbox/pkg/journal"
	"github.com/openlockbox/lockbox/pkg/journal/journaltest"
	"github.com/openlockbox/lockbox/pkg/lease"
	"github.com/openlockbox/lockbox/pkg/policy"
	"github.com/openlockbox/lockbox/pkg/request"
	"github.com/openlockbox/lockbox/pkg/timetext"
	projector "github.com/openlockbox/lockbox/services/audit-projector"
	evaluator "github.com/openlockbox/lockbox/services/jit-evaluator"
	orchestratorservice "github.com/openlockbox/lockbox/services/lockbox-orchestrator"
	"github.com/openlockbox/lockbox/services/verifier"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// attempt is what an insider tries with one key of the bus, and what comes of it.
type attempt struct {
	who, tries string
	// comes is what comes of it and notices what notices it and when, as the trust table says. The attempt fails the test
	// if something else comes of it, or if a log, a mail or an event does not tell of it. How long that may take is said
	// by the constants that rule it, and not asserted.
	comes, notices string
	as             bus.Identity
	do             func(*insider)
}

// insider holds one key of a running Lockbox.
type insider struct {
	*lockbox
	nc *nats.Conn
	// said is what the bus and the services log.
	said alarms
}

// opens opens a journal as whoever has all the keys of a service: it signs, and encrypts.
func (l *lockbox) opens(nc *nats.Conn, options ...journal.Option) (*journal.Journal, error) {
	keys, err := l.stack.Writer(bus.Identity(nc.Opts.Name))
	if err != nil {
		return nil, err
	}
	if keys != nil {
		options = append(options, journal.WithSigner(keys.Signer))
	}
	details, err := l.stack.Details(l.Context(), nc)
	if err != nil {
		return nil, err
	}
	return journal.Open(l.Context(), nc, append(options, details)...)
}

// logged expects that the bus or a service logs something, in a line with these fields.
func (i *insider) logged(what string, fields ...string) {
	i.Helper()
	within(i.T, patience, fmt.Sprintf("a line in the log: %s, with %q", what, fields), func() bool {
		for line := range strings.Lines(i.said.all()) {
			if strings.Contains(line, what) &&
				!slices.ContainsFunc(fields, func(field string) bool { return !strings.Contains(line, field) }) {
				return true
			}
		}
		return false
	})
}

// both does one after the other.
func both(one, other func(*insider)) func(*insider) {
	return func(i *insider) {
		i.Helper()
		one(i)
		other(i)
	}
}

// refusedToPublish expects that the bus refuses these subjects.
func refusedToPublish(subjects ...string) func(*insider) {
	return func(i *insider) {
		i.Helper()
		for _, s := range subjects {
			must(i, i.nc.Publish(s, []byte("x")))
			must(i, i.nc.Flush())
			if err := i.nc.LastError(); !errors.Is(err, nats.ErrPermissionViolation) || !strings.Contains(err.Error(), s) {
				i.Errorf("%s: %v", s, err)
			}
			i.logged(fmt.Sprintf("Publish Violation - Subject %q", s))
		}
	}
}

func refusedToListen(subjects ...string) func(*insider) {
	return func(i *insider) {
		i.Helper()
		for _, s := range subjects {
			_, err := i.nc.SubscribeSync(s)
			must(i, err)
			must(i, i.nc.Flush())
			if err := i.nc.LastError(); !errors.Is(err, nats.ErrPermissionViolation) || !strings.Contains(err.Error(), s) {
				i.Errorf("%s: %v", s, err)
			}
			i.logged(fmt.Sprintf("Subscription Violation - Subject %q", s))
		}
	}
}

const (
	byTheBus  = "refused by the bus"
	serverLog = "the bus's log, at once: key, address and subject"
	// notPrevented begins what is not, and is not going to be by what is planned.
	notPrevented = "**not prevented**"
	nothing      = "nothing"
	faulty       = "the audit-projector, at once: an alarm in its log"
)

// signedElse says what comes of it where the customer demands signatures; elsewhere it is not prevented.
func signedElse(what string) string {
	return notPrevented + ", but where the customer demands signatures: " + what
}

// every says how often somebody looks.
func every(d time.Duration) string {
	return "every " + strings.TrimPrefix(timetext.Duration("en", d), "1 ")
}

func attempts() []attempt {
	const tool, evaluator, orchestrator, notifier, auditor, portal, client, compliance, provisioner = "engineering tool",
		"jit-evaluator", "orchestrator", "notifier", "audit-projector", "portal", "command line", "compliance", "provisioner"
	event := func(kind, typ string) string { return "lockbox.event." + bank + "." + kind + ".x.1." + typ }
	approval, grant := event("request", "CustomerApproved"), event("request", "AccessGranted")
	console, other := bus.Tool("console"), bus.Tool(journaltest.OtherTool)
	byService := func(name string) string { return "the " + name + "'s log and its count of refusals, at once" }
	// What it takes to read, change or delete access records, and to write them in a service's name.
	accessRecords := func(service bus.Identity) []string {
		return []string{"lockbox.access." + bank + "." + string(service) + ".EDGE.2026-11-29", "LB.API.DIRECT.GET.ACCESS",
			"LB.API.STREAM.PURGE.ACCESS", "LB.API.STREAM.MSG.DELETE.ACCESS", "LB.API.STREAM.UPDATE.ACCESS",
			"LB.API.STREAM.DELETE.ACCESS"}
	}
	crowded := "whoever has sent something valid before is served meanwhile: customers take turns, and strangers wait " +
		"behind strangers"
	limited := fmt.Sprintf("at most %d of one person's are carried out in a minute; the next are refused, but for those "+
		"that say no or take away; others are served meanwhile", orchestratorservice.DefaultCommands)
	const (
		limitCounted = "the reply names the limit, at once; the orchestrator's count of such refusals"
		oneHuman     = "refused by the orchestrator, where their issuer says which human has an account"

		readsWebhooks = "read the addresses and secrets of customers' webhooks that are recorded"
		sealedTo      = "they are encrypted to the forwarder"
		writesRecords = "write, read or delete the records of who looked"
		inOthersName  = "write records of who looked in another service's name, read any, or change or delete one"

		takesSubscription = "take a customer's subscription, by a forged event of its ownership"
	)
	return []attempt{
		{tool, "submit an intent as another tool", byTheBus, serverLog, console,
			refusedToPublish("lockbox.intent.ticketing." + bank)},
		{tool, "submit an intent in the name of another engineer", "refused by the evaluator",
			byService(evaluator), console, (*insider).forgesToken},
		{tool, "replay an intent", "recognised by its id; nothing is recorded", "the outcome says so, at once", console,
			(*insider).replays},
		{tool, "listen to the outcomes of another tool, or to the answers that others get", byTheBus, serverLog, console,
			refusedToListen("lockbox.outcome.ticketing.>", "_INBOX.client.>")},
		{tool, "follow another tool's requests", "refused by the bus; asked in its own name, it is told of its own only",
			serverLog, other, both(both(refusedToListen("lockbox.update.console.>", "lockbox.update.>"),
				refusedToPublish("lockbox.updates.console", "lockbox.update.console.x")), (*insider).asksAboutOthers)},
		{tool, "write or read events, or send commands", byTheBus, serverLog, console, refusedToPublish(approval,
			"LB.API.DIRECT.GET.EVENTS", "lockbox.command.EDGE.approve", "lockbox.query.EDGE.list_requests")},
		{tool, "answer in a service's place, or make an outcome up", byTheBus, serverLog, console, both(
			refusedToListen("lockbox.command.*.*", "lockbox.query.*.*", "lockbox.intent.>"),
			refusedToPublish("lockbox.outcome.ticketing.x", "_R_.x"))},
		{tool, "have an answer of its own delivered as another tool's outcome",
			"it arrives, and [tools ignore](../proto/README.md) what is no outcome of an intent of theirs",
			"that tool, at once", other, (*insider).misdirects},
		{tool, "flood the evaluator with intents, about customers that it makes up", fmt.Sprintf("at most %s wait, the next "+
			"are refused; other tools are served meanwhile", thousands(bus.MaxIntents)), "the tool, at once; after " +
			thousands(bus.MaxDeadLetters) + " that are refused, an alarm in the evaluator's log", other,
			(*insider).floodsIntents},
		{tool, "flood a customer with requests, with its engineers' tokens",
			"refused by the evaluator once as many wait as may, of one engineer, about one ticket or at one customer",
			"the outcome names the limit, at once; the approvers: a mail at once, and one about the rest", console,
			(*insider).floodsACustomer},
		{tool, "claim an emergency, to pass the limits",
			"refused by the evaluator: only an emergency responder's own token passes them",
			"the outcome names the limit, at once", console, (*insider).claimsAnEmergency},
		{tool, writesRecords, byTheBus, serverLog, console, refusedToPublish(accessRecords(bus.Portal)...)},
		{tool, touchesKeys, byTheBus, serverLog, console, refusedToPublish(append(keyStoreCalls(),
			"LB.API.STREAM.MSG.GET.KEYS", bus.KeyPageSubject(somePage, 0))...)},
		{client, "decide for somebody without a token of theirs", "refused by the orchestrator", byService(orchestrator),
			bus.Client, (*insider).speaksForAnother},
		{client, "listen to commands, queries, or other people's answers, or answer in a service's place", byTheBus,
			serverLog, bus.Client, refusedToListen("lockbox.command.*.*", "lockbox.query.*.*", "_INBOX.portal.>", "_INBOX.>")},
		{client, "write or read events", byTheBus, serverLog, bus.Client, refusedToPublish(approval,
			"LB.API.DIRECT.GET.EVENTS")},
		{client, writesRecords, byTheBus, serverLog, bus.Client, refusedToPublish(accessRecords(bus.Portal)...)},
		{client, "flood the orchestrator with commands", crowded, byService(orchestrator), bus.Client,
			(*insider).floodsCommands},
		{client, "the same, with somebody's token", limited, limitCounted, bus.Client, (*insider).floodsAsSomebody},
		{client, "take another customer's subscription", "refused by the orchestrator: only onboarding's own token can, " +
			"and what is one customer's is not registered for another", byService(orchestrator), bus.Client,
			(*insider).takesSubscription},
		{client, "have one human decide as two, with a second account at the customer or the provider", oneHuman,
			"the customer's administrators: a mail, at once, if too few humans are left", bus.Client,
			(*insider).approvesTwice},
		{client, touchesKeys, byTheBus, serverLog, bus.Client, refusedToPublish(append(keyStoreCalls(),
			"LB.API.STREAM.MSG.GET.KEYS", bus.KeyPageSubject(somePage, 0))...)},
		{portal, "decide for somebody who is not signed in", "refused by the orchestrator", byService(orchestrator),
			bus.Portal, (*insider).speaksForAnother},
		{portal, "decide with the token of somebody who is signed in", signedElse("refused by the orchestrator"),
			"all approvers: a mail, at once; what was refused is in the customer's activity log", bus.Portal,
			both((*insider).decidesWithAToken, (*insider).decidesUnsigned)},
		{portal, "ask for access as an engineering tool", "refused by the evaluator: it has no signature of that tool's, " +
			"and one for another intent, customer or engineer is none", byService(evaluator), bus.Portal,
			(*insider).signsForAnother},
		{portal, "ask for access with the token of an engineer who is signed in", notPrevented +
			": the customer decides about it as about any other", "that engineer: a mail, at once", bus.Portal,
			(*insider).asksWithAToken},
		{portal, "send again what somebody has sent", "recognised by its id; it changes nothing",
			"the reply says so, at once", bus.Portal, (*insider).sendsAgain},
		{portal, "listen to commands, queries, or other people's answers, or answer in a service's place", byTheBus,
			serverLog, bus.Portal, refusedToListen("lockbox.command.*.*", "lockbox.query.*.*", "_INBOX.client.>")},
		{portal, "write or read events", byTheBus, serverLog, bus.Portal, refusedToPublish(approval, grant,
			"LB.API.DIRECT.GET.EVENTS")},
		{portal, inOthersName, byTheBus, serverLog, bus.Portal, refusedToPublish(accessRecords(bus.Projector)...)},
		{portal, "record sign-ins that nobody did, or leave some out", notPrevented +
			": whatever is decided is an event all the same", "the customer is shown those that nobody did, at once",
			bus.Portal, (*insider).inventsARecord},
		{portal, "push out the records of who looked, by writing many", fmt.Sprintf("the bus takes %s of a day about one "+
			"customer, and refuses more: what is there stays", thousands(bus.MaxAccessRecords)),
			"the customer is shown each, at once", bus.Portal, (*insider).pushesRecordsOut},
		{portal, "end people's web sessions", notPrevented + ", but what is in them is sealed",
			"whose session ends: they have to sign in again", bus.Portal, (*insider).endsSessions},
		{portal, "flood the orchestrator with commands", crowded, byService(orchestrator), bus.Portal,
			(*insider).floodsCommands},
		{portal, "the same, with somebody's token", limited, limitCounted, bus.Portal, (*insider).floodsAsSomebody},
		{portal, "take another customer's subscription", "refused by the orchestrator: only onboarding's own token can, " +
			"and what is one customer's is not registered for another", byService(orchestrator), bus.Portal,
			(*insider).takesSubscription},
		{portal, touchesKeys, byTheBus, serverLog, bus.Portal, refusedToPublish(append(keyStoreCalls(),
			"LB.API.STREAM.MSG.GET.KEYS", bus.KeyPageSubject(somePage, 0))...)},
		{evaluator, "approve for the customer, or grant", byTheBus, serverLog, bus.Evaluator, refusedToPublish(approval,
			grant)},
		{evaluator, takesSubscription, byTheBus, serverLog, bus.Evaluator, refusedToPublish(ownershipEvents()...)},
		{evaluator, "say that a request needs no customer",
			"the orchestrator looks again and grants nothing: the request lapses, and says why",
			"the engineer: a mail, at once; and `audit verify`", bus.Evaluator, (*insider).waives},
		{evaluator, "ask in the name of an engineer who did not", notPrevented +
			": the customer decides about it as about any other", "that engineer: a mail, at once", bus.Evaluator,
			(*insider).asksForAnother},
		{evaluator, "say that an emergency needs neither the customer nor a security officer",
			"nobody reads it so: the request is at fault, and ends there", faulty, bus.Evaluator,
			(*insider).inventsAnEmergency},
		{evaluator, "withhold an intent, by taking it in a second process or erasing it", notPrevented,
			"the tool, when it hears no outcome; nothing else", bus.Evaluator, (*insider).erases},
		{evaluator, "store something that is no event", "nothing is granted from " +
			timetext.Duration("en", lease.Lifetime) + " after the guard saw it until a security officer sets it aside",
			"an alarm in the audit-projector's log, at once; the guard, which looks " + every(projector.DefaultRescan) +
				": a mail to the security officers",
			bus.Evaluator, (*insider).storesNoEvent},
		{evaluator, destroysKeys, byTheBus, serverLog, bus.Evaluator, refusedToPublish(keyStoreCalls()...)},
		{evaluator, "bring back a key that was destroyed, by storing its page again",
			"nobody reads it: of a page, what was stored first counts; the orchestrator destroys it again when it starts",
			"`lockbox doctor`; the orchestrator's log when it starts", bus.Evaluator, (*insider).bringsKeysBack},
		{evaluator, "fill the key store", notPrevented +
			": what a service writes is limited, not how much; what is there stays", nothing, bus.Evaluator,
			(*insider).addsKeys},
		{orchestrator, "forge the approval of a customer's approver", signedElse("no access begins on it, " +
			"and it verifies for nobody"),
			"all approvers: a mail, at once; where signatures are demanded an alarm of the guard and `audit verify`",
			bus.Orchestrator, both((*insider).forgesApproval, (*insider).approvesUnsigned)},
		{orchestrator, "add a key of its own to a customer's", "it verifies for nobody, and nothing that the customer " +
			"signs is accepted until somebody has looked",
			"an alarm of the guard, `audit verify`, and whoever pins the customer's keys",
			bus.Orchestrator, (*insider).addsItsKey},
		{"orchestrator, but not the one with which it signs", "forge the approval of a customer's approver",
			"nobody reads it as one: nothing is granted from " + timetext.Duration("en", lease.Lifetime) +
				" after the guard saw it until a security officer sets it aside",
			"an alarm in the audit-projector's log, at once; the guard, which looks " + every(projector.DefaultRescan) +
				": a mail to the security officers",
			bus.Orchestrator, (*insider).forgesUnsigned},
		{orchestrator, "ask a customer's approvers, and have the mails about it sent elsewhere",
			"they go where the customer's own roles and settings say",
			"all Global Administrators of the customer: a mail, at once; and `audit verify`", bus.Orchestrator,
			(*insider).misdirectsMails},
		{orchestrator, "leave approvers out of those whom a request asks", notPrevented +
			": they are not asked, and cannot decide",
			"all Global Administrators of the customer: a mail, at once; and `audit verify`", bus.Orchestrator,
			(*insider).leavesOut},
		{orchestrator, "say that two of a customer's approvers are one human",
			"more people are asked: whose an approval is, is counted by the approver's own token",
			"the customer's activity log shows it, at once", bus.Orchestrator, (*insider).makesOneOfTwo},
		{orchestrator, "grant what nobody approved", "nobody reads it as granted: the request is at fault, and ends there",
			faulty + "; and `audit verify`", bus.Orchestrator, (*insider).grantsUnapproved},
		{orchestrator, "give a role by an invitation that nobody accepted",
			"nobody holds it: without the link the history of these roles is at fault, and nothing more is decided by them",
			faulty + "; and `audit verify`", bus.Orchestrator, (*insider).acceptsWithoutLink},
		{orchestrator, "give a customer's subscription to another, in onboarding's name",
			notPrevented, "the administrators of both customers: a mail, at once",
			bus.Orchestrator, (*insider).givesAway},
		{orchestrator, "let a customer claim another's subscription",
			"nobody reads it so: whose it is stays as it was, and nobody gets access to it", "`audit verify`",
			bus.Orchestrator, (*insider).letsClaim},
		{orchestrator, "add a webhook to a customer, in an administrator's name",
			notPrevented + ": whoever has this key reads all events anyway",
			"all Global Administrators of the customer: a mail, at once", bus.Orchestrator, (*insider).addsWebhook},
		{orchestrator, readsWebhooks, sealedTo, nothing, bus.Orchestrator, (*insider).readsWebhooks},
		{orchestrator, "hide from a customer what they were not asked about, by reporting too little",
			notPrevented + ": but the portal lists all of it", "`audit verify`", bus.Orchestrator, (*insider).hidesWaived},
		{orchestrator, "leave out of the records that a command was refused, or invent one", notPrevented +
			": what is decided is an event all the same", "the customer is shown what is invented, at once", bus.Orchestrator,
			(*insider).inventsARecord},
		{orchestrator, "take commands in a second process, and answer that it is done", notPrevented,
			"the approver, who still sees it waiting, and is reminded " + reminders(), bus.Orchestrator,
			(*insider).answersCommands},
		{orchestrator, "store something that is no event, and set it aside in a security officer's name", notPrevented,
			"the guard, if it looks in between; the decision and its reason are in the stream for good", bus.Orchestrator,
			(*insider).setsAside},
		{orchestrator, "say that all is well in the guard's place, or report mails", byTheBus, serverLog, bus.Orchestrator,
			refusedToPublish(bus.LeaseSubject, event("delivery", "NotificationSent"))},
		{orchestrator, "destroy the keys of what nobody decided to erase, up to all of them",
			notPrevented + ": a [backup of keys](#erasing) brings them back",
			"the log of every service that reads what they encrypted, at once", bus.Orchestrator, (*insider).losesKeys},
		{orchestrator, readsKeyStore, notOnTheBus + "; the orchestrator has it, as all that read events", nothing,
			bus.Orchestrator, (*insider).opensKeys},
		{notifier, "silence it: withhold a mail, by taking what it stands for in a second process, by stopping it, or " +
			"by reports that it went to somebody else", notPrevented + ": access does not depend on mails",
			"the audit-projector, " + timetext.Duration("en", invariant.MailWithin) + " after the event: an alarm in its " +
				"log and in the stream; `audit verify` names event and recipient",
			bus.Notifier, (*insider).withholds},
		{notifier, "report a mail to the right recipient that was not sent", notPrevented,
			"nothing, but whoever did not get it", bus.Notifier, (*insider).reports},
		{notifier, "flood EVENTS with such reports", notPrevented +
			": what a service writes is limited, not how much; decisions go on meanwhile",
			"the customer's activity log shows each, at once", bus.Notifier, (*insider).floodsEvents},
		{notifier, takesSubscription, byTheBus, serverLog, bus.Notifier, refusedToPublish(ownershipEvents()...)},
		{notifier, "decide anything, or read intents", byTheBus, serverLog, bus.Notifier, refusedToPublish(approval, grant,
			"LB.API.CONSUMER.MSG.NEXT.INTENTS.jit-evaluator")},
		{notifier, destroysKeys, byTheBus, serverLog, bus.Notifier, refusedToPublish(keyStoreCalls()...)},
		{auditor, takesSubscription, byTheBus, serverLog, bus.Projector, refusedToPublish(ownershipEvents()...)},
		{auditor, "decide anything", byTheBus, serverLog, bus.Projector, refusedToPublish(approval, grant)},
		{auditor, "withhold mails or decisions, by taking messages of other services", byTheBus, serverLog, bus.Projector,
			refusedToPublish("LB.API.CONSUMER.MSG.NEXT.EVENTS.notifier", "$JS.ACK.EVENTS.notifier.1.1.1.1.1",
				"LB.API.CONSUMER.CREATE.EVENTS.x", "LB.API.CONSUMER.DELETE.EVENTS.notifier")},
		{auditor, "take questions in a second process, and answer something else", notPrevented +
			": whoever must know asks for a receipt", "whoever checks the receipt, at once", bus.Projector,
			(*insider).answersQueries},
		{auditor, "say in a record of its own that another service saw it, or write as that", byTheBus +
			", or nobody reads it so",
			"the audit-projector, at once: an alarm in its log", bus.Projector, both(
				refusedToPublish("lockbox.access."+bank+".portal.EDGE.2026-11-29"), (*insider).writesAsAnother)},
		{auditor, "read without a record of it, or record what nobody read", notPrevented +
			": whoever answers questions records them", "the customer is shown what is invented, at once", bus.Projector,
			(*insider).inventsARecord},
		{auditor, "delete or change the records of who looked", byTheBus, serverLog, bus.Projector,
			refusedToPublish(accessRecords(bus.Portal)[2:]...)},
		{auditor, "say that witnesses saw a customer's keys before they did",
			"it counts for nothing: they sign what they saw", nothing, bus.Projector, (*insider).sawNothing},
		{auditor, "say that all is well when it is not", notPrevented + ": one guard's word is enough",
			"if what was signed is rewritten, who follows the log: `audit watch` looks " + every(verifier.DefaultInterval) +
				"; witnesses, receipts and mails hold earlier roots too", bus.Projector, (*insider).saysAllIsWell},
		{auditor, "add, replace or destroy keys of what can be erased", byTheBus, serverLog, bus.Projector,
			refusedToPublish(append(keyStoreCalls(), bus.KeyPageSubject(somePage, 0))...)},
		{compliance, "write, or take messages of a service", byTheBus, serverLog, bus.Compliance, refusedToPublish(approval,
			"LB.API.CONSUMER.MSG.NEXT.EVENTS.notifier", "LB.API.CONSUMER.CREATE.EVENTS.x")},
		{compliance, readsWebhooks, sealedTo, nothing, bus.Compliance, (*insider).readsWebhooks},
		{compliance, readsKeyStore, notOnTheBus, nothing, bus.Compliance, (*insider).opensKeys},
		{compliance, "add, replace or destroy keys of what can be erased", byTheBus, serverLog, bus.Compliance,
			refusedToPublish(append(keyStoreCalls(), bus.KeyPageSubject(somePage, 0))...)},
		{"forwarder's `webhooks.key`, and of compliance", readsWebhooks, notPrevented +
			": it writes to customers' chats, and signs messages as Lockbox does; replace the key, and have customers add " +
			"their webhooks anew", nothing, bus.Compliance, (*insider).opensWebhooks},
		{compliance, "read the stream without a record of it", notPrevented + ": that is what the key is for", nothing,
			bus.Compliance, (*insider).readsUnseen},
		{provisioner, "change, empty or delete EVENTS by a call", byTheBus, serverLog, bus.Provisioner, refusedToPublish(
			"LB.API.STREAM.UPDATE.EVENTS", "LB.API.STREAM.PURGE.EVENTS", "LB.API.STREAM.DELETE.EVENTS",
			"LB.API.STREAM.MSG.DELETE.EVENTS", approval)},
		{provisioner, "change, empty or delete the records of who looked", byTheBus, serverLog, bus.Provisioner,
			refusedToPublish(accessRecords(bus.Portal)[2:]...)},
		{provisioner, "change, empty or delete the key store by a call", byTheBus, serverLog, bus.Provisioner,
			refusedToPublish(keyStoreCalls()...)},
		{provisioner, "change what a service's consumer delivers", "the service stops",
			"the service, which looks " + every(journal.WatchInterval) + ": an alarm in its log", bus.Provisioner,
			(*insider).changesAConsumer},
		{provisioner, "move a service's consumer, and so withhold mails or decisions", notPrevented +
			": use this key for one short job, and keep it offline", nothing, bus.Provisioner, (*insider).movesAConsumer},
		{provisioner, "delete a stream by the heartbeats of a consumer that delivers to JetStream's own API",
			"nothing is delivered: nobody is connected to the streams' account", nothing, bus.Provisioner,
			(*insider).deletesByHeartbeat},
	}
}

// thousands is a number for a text.
func thousands(n int) string { return fmt.Sprintf("%d,%03d", n/1000, n%1000) }

// reminders says when approvers are reminded.
func reminders() string {
	var all []string
	for _, before := range request.DefaultTerms().RemindBefore {
		all = append(all, timetext.Duration("en", before))
	}
	return strings.Join(all, " and ") + " before the time is over"
}

var updateTrust = flag.Bool("update-trust", false, "write the trust table into deploy/README.md")

const (
	trustFile  = "../../../../deploy/README.md"
	trustBegin = "<!-- made by TestWhatAnInsiderCanDo -update-trust -->\n"
	trustEnd   = "<!-- end -->\n"
)

// The table in deploy/README.md says what the holder of each key can do; each row is tried here on a running Lockbox.
//
// control: nist:AC-6, nist:AU-9
func TestWhatAnInsiderCanDo(t *testing.T) {
	l := start(t, request.DefaultTerms())
	l.close()
	said := alarms{zapcore.NewNopCore(), new(sync.Mutex), new(bytes.Buffer)}
	l.config.Log, l.config.RescanEvery, l.config.Limits = zap.New(said), time.Second, policy.NoLimits()
	l.config.Tools = append(l.config.Tools, evaluator.Unlimited(journaltest.OtherTool),
		evaluator.Unlimited(bus.PortalTool))
	l.config.MailsWithin = 5 * time.Second
	l.config.Notifier.Groups = map[string][]string{aggregate.SecurityOfficers: {"security@nimbus.example"}}
	l.open()
	var table strings.Builder
	table.WriteString("| who holds the keys of | tries to | what comes of it | what notices it, and when |\n" +
		"|---|---|---|---|\n")
	for _, a := range attempts() {
		fmt.Fprintf(&table, "| %s | %s | %s | %s |\n", a.who, a.tries, a.comes, a.notices)
		begun := time.Now()
		nc, err := l.stack.Connect(a.as)
		must(t, err)
		a.do(&insider{l, nc, said})
		nc.Close()
		t.Logf("%s: %s: %s (%v)", a.who, a.tries, a.comes, time.Since(begun).Round(time.Millisecond))
	}
	text, err := os.ReadFile(trustFile)
	must(t, err)
	before, rest, begins := strings.Cut(string(text), trustBegin)
	there, after, ends := strings.Cut(rest, trustEnd)
	if !begins || !ends {
		t.Fatalf("%s has no place for the table", trustFile)
	}
	if *updateTrust {
		must(t, os.WriteFile(trustFile, []byte(before+trustBegin+table.String()+trustEnd+after), 0o644))
	} else if there != table.String() {
		t.Errorf("%s says otherwise: go test ./services/lockbox/internal/stack -run TestWhatAnInsiderCanDo -update-trust",
			trustFile)
	}
}
