package bus

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
)

// A Trial is one thing that was tried with a key.
type Trial struct {
	Use     Use
	Subject string
	// May says what Rights permits, Could what the server permits.
	May, Could bool
}

const (
	// anyToken stands for every wildcard in what is tried.
	anyToken = "doctor"
	// reserved is how the reply subjects begin that the server gives to requests between accounts.
	reserved = "_R_."
	// trialTime is how long the server may take to answer all trials of one key.
	trialTime = 30 * time.Second
)

// Try connects as an identity and compares what the server lets it publish and hear with Rights: one thing that it may
// do and some that would harm most, or with all, whatever anybody may do and what nobody may.
//
// It has no effect, whatever the server permits: each message names a reply subject that only the server may give out,
// for which the server refuses the message itself, after it has looked whether the identity may publish on the subject;
// and nothing is subscribed to that the identity may hear. The server logs each refusal.
func Try(ctx context.Context, c Connection, all bool) ([]Trial, error) {
	nc, err := Connect(c)
	if err != nil {
		return nil, err
	}
	defer nc.Close()
	ctx, cancel := context.WithTimeout(ctx, trialTime)
	defer cancel()
	publish, hear := tried(c.Identity, Publishes, Asks), tried(c.Identity, Hears, Serves)
	if !all {
		publish, hear = few(c.Identity, publish, hear)
	}
	trials, err := tryPublishing(ctx, nc, c.Identity, publish)
	if err != nil {
		return nil, fmt.Errorf("bus: try the rights of %s: %w", c.Identity, err)
	}
	heard, err := tryHearing(ctx, nc, c.Identity, hear)
	if err != nil {
		return nil, fmt.Errorf("bus: try the rights of %s: %w", c.Identity, err)
	}
	return append(trials, heard...), nil
}

// violation is how the server refuses a message, for its subject or for its reply subject.
var violation = regexp.MustCompile(`(?i)permissions violation for publish (with reply of|to) "?([^"\s]+)`)

func tryPublishing(ctx context.Context, nc *nats.Conn, id Identity, subjects []string) ([]Trial, error) {
	type answer struct {
		reply   bool
		subject string
	}
	answers := make(chan answer, 2*len(subjects))
	nc.SetErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) {
		if m := violation.FindStringSubmatch(err.Error()); m != nil {
			select {
			case answers <- answer{strings.HasPrefix(strings.ToLower(m[1]), "with"), m[2]}:
			default: // more than was asked
			}
		}
	})
	may := allowed(id, Publishes, Asks)
	trials := make([]Trial, len(subjects))
	at := map[string]int{}
	for i, s := range subjects {
		trials[i] = Trial{Publishes, s, may(s), false}
		reply := reserved + anyToken + "." + strconv.Itoa(i)
		at[s], at[reply] = i, i
		if err := nc.PublishRequest(s, reply, nil); err != nil {
			return nil, err
		}
	}
	if err := nc.FlushWithContext(ctx); err != nil {
		return nil, err
	}
	for open := len(trials); open > 0; {
		select {
		case a := <-answers:
			if i, known := at[a.subject]; known {
				trials[i].Could = a.reply
				open--
			}
		case <-ctx.Done():
			return nil, fmt.Errorf("the server has not said whether it permits %d of %d subjects: %w", open, len(trials),
				ctx.Err())
		}
	}
	return trials, nil
}

// tryHearing tries only what the identity must not hear: on the rest, it would take in what is meant for a service.
func tryHearing(ctx context.Context, nc *nats.Conn, id Identity, subjects []string) (trials []Trial, err error) {
	may := allowed(id, Hears, Serves)
	for _, s := range subjects {
		if may(s) {
			continue
		}
		sub, err := nc.SubscribeSync(s)
		if err != nil {
			return nil, err
		}
		if err := nc.FlushWithContext(ctx); err != nil {
			return nil, err
		}
		_, err = sub.NextMsg(time.Nanosecond)
		denied := errors.Is(err, nats.ErrPermissionViolation)
		if !denied {
			if err := sub.Unsubscribe(); err != nil {
				return nil, err
			}
		}
		trials = append(trials, Trial{Hears, s, false, !denied})
	}
	return trials, nil
}

// allowed returns what Rights says of a subject without wildcards.
func allowed(id Identity, uses ...Use) func(subject string) bool {
	rights := Rights(id)
	return func(subject string) bool {
		return slices.ContainsFunc(rights, func(r Right) bool {
			return slices.Contains(uses, r.Use) && Matches(r.Subject, subject)
		})
	}
}

// tried are subjects of everything that anybody may do in one of the ways, and for messages what nobody may do. Of a
// tool that is limited to some tenants, nobody here knows which: how it submits intents is left out.
func tried(id Identity, uses ...Use) (subjects []string) {
	everybody := append(Identities(), Repairer, Tool(anyToken), CustomerPortal(anyToken), id)
	tool, isTool := id.tool()
	for _, other := range everybody {
		for _, r := range Rights(other) {
			s := concrete(r.Subject)
			if !slices.Contains(uses, r.Use) || slices.Contains(subjects, s) ||
				isTool && strings.HasPrefix(s, intentPrefix+tool+".") {
				continue
			}
			subjects = append(subjects, s)
		}
	}
	if !slices.Contains(uses, Publishes) {
		return subjects
	}
	for _, stream := range streams(1) {
		for _, call := range []string{"STREAM.DELETE.", "STREAM.PURGE.", "STREAM.UPDATE.", "STREAM.MSG.DELETE.",
			"STREAM.SNAPSHOT.", "STREAM.RESTORE.", "STREAM.PEER.REMOVE.", "STREAM.LEADER.STEPDOWN."} {
			if s := apiPrefix + "." + call + stream.Name; !slices.Contains(subjects, s) {
				subjects = append(subjects, s)
			}
		}
	}
	return append(subjects, apiPrefix+".STREAM.LIST", "$JS.API.STREAM.INFO."+StreamEvents,
		"$JS.API.STREAM.DELETE."+StreamEvents, "$SYS.REQ.SERVER.PING", "lockbox."+anyToken)
}

// few returns, of what can be tried, one thing that the identity may do and what would harm most in wrong hands. The
// server logs each refusal, and nobody wants to read thousands.
func few(id Identity, publish, hear []string) (fewPublish, fewHear []string) {
	may, mayHear := allowed(id, Publishes, Asks), allowed(id, Hears, Serves)
	if i := slices.IndexFunc(publish, may); i >= 0 {
		fewPublish = publish[i : i+1 : i+1]
	}
	for _, s := range publish {
		if !may(s) && slices.ContainsFunc(harmful, func(h string) bool { return strings.HasSuffix(s, h) }) {
			fewPublish = append(fewPublish, s)
		}
	}
	for _, s := range hear {
		if !mayHear(s) && (s == concrete(AnyCommand) || s == inbox(Client)+"."+anyToken) {
			fewHear = append(fewHear, s)
		}
	}
	return fewPublish, fewHear
}

// harmful are the ends of subjects that give access, hide something or lead everywhere.
var harmful = []string{".AccessGranted", ".CustomerApproved", ".CheckpointSigned", LeaseSubject,
	apiPrefix + ".STREAM.DELETE." + StreamEvents, apiPrefix + ".STREAM.PURGE." + StreamEvents,
	"$JS.API.STREAM.INFO." + StreamEvents, "$SYS.REQ.SERVER.PING"}

// concrete replaces the wildcards of a subject.
func concrete(subject string) string {
	tokens := strings.Split(subject, ".")
	for i, t := range tokens {
		if t == "*" || t == ">" {
			tokens[i] = anyToken
		}
	}
	return strings.Join(tokens, ".")
}
