// Package notifier notifies people by e-mail of events of requests and tenants. It follows EVENTS, decides nothing, and
// writes only delivery reports. Package internal/plan determines the recipients, internal/mail renders the mails, and
// internal/smtp hands them to a mail server.
package notifier

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/bus"
	"github.com/openlockbox/lockbox/pkg/catalogue"
	"github.com/openlockbox/lockbox/pkg/input"
	"github.com/openlockbox/lockbox/pkg/journal"
	"github.com/openlockbox/lockbox/pkg/observe"
	"github.com/openlockbox/lockbox/pkg/observe/trace"
	"github.com/openlockbox/lockbox/pkg/prose"
	"github.com/openlockbox/lockbox/pkg/reason"
	"github.com/openlockbox/lockbox/pkg/refusal"
	"github.com/openlockbox/lockbox/pkg/repository"
	"github.com/openlockbox/lockbox/pkg/request"
	"github.com/openlockbox/lockbox/pkg/service"
	"github.com/openlockbox/lockbox/pkg/tenant"
	"github.com/openlockbox/lockbox/pkg/timetext"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"github.com/openlockbox/lockbox/services/notifier/internal/mail"
	"github.com/openlockbox/lockbox/services/notifier/internal/plan"
	"github.com/openlockbox/lockbox/services/notifier/internal/smtp"
	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// Name is the service's name on the bus, in events and in metrics.
const Name = "notifier"

// SMTP configures the connection to the mail server.
type SMTP = smtp.Config

// Reach connects to the mail server and authenticates as for a mail, but sends none.
func Reach(ctx context.Context, c SMTP) error {
	sender, err := smtp.New(c)
	if err != nil {
		return err
	}
	defer sender.Close()
	return sender.Reach(ctx)
}

// Config is the service's configuration, besides the connection to the bus.
type Config struct {
	SMTP SMTP `yaml:"smtp"`
	// Provider is the provider's name as customers know it. Required.
	Provider string `yaml:"provider"`
	// PortalURL is the portal's base URL, https unless on localhost; if empty, mails mention commands only.
	PortalURL string `yaml:"portal_url"`
	// Groups holds the addresses that are notified when a group of the provider has to approve (R15).
	Groups map[string][]string `yaml:"groups"`
	// MessageIDDomain is the domain of Message-IDs; if empty, that of smtp.from. If it is changed while a mail is being
	// retried, that mail gets a second ID.
	MessageIDDomain string `yaml:"message_id_domain"`
	// TimeZone is the IANA name of the time zone in which the provider's people read times, with UTC beside; if empty,
	// UTC. Customers choose their own among their settings (R60).
	TimeZone string `yaml:"time_zone"`
	// DefaultLanguage is en, fr or ja, for the provider's people and for tenants that have not set one; if empty, en.
	DefaultLanguage string `yaml:"default_language"`
	// GiveUpAfter is how long after the event a mail that the mail server defers is retried. After that it is reported
	// as failed. 0 means 4 days (RFC 5321 §4.5.4.1).
	GiveUpAfter time.Duration `yaml:"give_up_after"`
	// GovernmentRequestsURL is where the provider states how it handles government requests for data; https. Mails
	// about legal demands link to it. Empty: they do not.
	GovernmentRequestsURL string `yaml:"government_requests_url"`
	// Contact is whom customers ask about a disclosure or an emergency: an e-mail address, which mails about them name.
	// Empty: they name the provider alone.
	Contact string `yaml:"contact"`
	// DigestAfter is how long at most a mail is held that is not the first of its kind to its recipient, to go together
	// with others (R52). 0: none is held. At most an hour.
	DigestAfter time.Duration `yaml:"digest_after"`
	// Concurrency is the number of events processed concurrently. 0 means 32.
	Concurrency int `yaml:"concurrency"`
}

const rule = "configuration"

// Check rejects an unusable configuration; the error names the field.
func (c Config) Check() error {
	if err := c.SMTP.Check(); err != nil {
		return err
	}
	if err := prose.CheckLine("provider", c.Provider, 1, 120); err != nil {
		return err
	}
	if c.DefaultLanguage != "" && !slices.Contains(tenant.Languages, c.DefaultLanguage) {
		return refusal.Invalid("default_language", rule, "must be one of %s", strings.Join(tenant.Languages, ", "))
	}
	if c.TimeZone != "" && !timetext.KnownZone(c.TimeZone) {
		return refusal.Invalid("time_zone", rule, "must be the IANA name of a time zone, such as Europe/Paris")
	}
	if c.GiveUpAfter < 0 || c.Concurrency < 0 {
		return refusal.Invalid("give_up_after", rule, "give_up_after and concurrency are not negative")
	}
	if c.DigestAfter > time.Hour {
		return refusal.Invalid("digest_after", rule, "must be at most an hour")
	}
	for group, addresses := range c.Groups {
		for _, address := range addresses {
			if err := input.Email("groups."+group, address); err != nil {
				return err
			}
		}
	}
	if c.Contact != "" {
		if err := input.Email("contact", c.Contact); err != nil {
			return err
		}
	}
	if c.GovernmentRequestsURL != "" {
		if u, err := url.Parse(c.GovernmentRequestsURL); err != nil || u.Scheme != "https" || u.Host == "" || u.User != nil {
			return refusal.Invalid("government_requests_url", rule, "must be an https address")
		}
	}
	return checkPortal(c.PortalURL)
}

func checkPortal(address string) error {
	if address == "" {
		return nil
	}
	u, err := url.Parse(address)
	if err != nil || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return refusal.Invalid("portal_url", rule, "must be a plain address such as https://lockbox.example.org")
	}
	ip := net.ParseIP(u.Hostname())
	if local := u.Hostname() == "localhost" || ip != nil && ip.IsLoopback(); u.Scheme != "https" &&
		!(u.Scheme == "http" && local) {
		return refusal.Invalid("portal_url", rule, "must be https")
	}
	return nil
}

// Program is the service as a process of its own.
func Program() service.Program {
	return service.New(bus.Notifier, Config{DigestAfter: DefaultDigest}, Run)
}

// Run sends notifications until ctx ends or an error occurs that must stop the service.
func Run(ctx context.Context, rt *service.Runtime, c Config) error {
	n, err := newNotifier(rt, c)
	if err != nil {
		return fmt.Errorf("%s: %w", Name, err)
	}
	defer n.sender.Close()
	if c.SMTP.Development {
		rt.Log.Warn("mails may cross the network unencrypted: smtp.development is set")
	}
	concurrency := c.Concurrency
	if concurrency == 0 {
		concurrency = 32
	}
	if len(c.Groups[aggregate.SecurityOfficers]) == 0 {
		rt.Log.Warn("no address for alarms about the log: groups." + aggregate.SecurityOfficers + " is empty")
	}
	rt.Healthy(n.healthy)
	n.readings()
	parts, following := errgroup.WithContext(ctx)
	// Alarms have a consumer of their own, so that mails that wait for a mail server, or a large number of them, do not
	// hold them up.
	for _, durable := range []string{bus.DurableNotifier, bus.DurableAlarms} {
		parts.Go(func() error {
			err := rt.Journal.Follow(following, journal.Following{Stream: bus.StreamEvents, Durable: durable,
				Concurrency: concurrency}, n.handle)
			if err != nil && !(following.Err() != nil && errors.Is(err, following.Err())) {
				return fmt.Errorf("%s: %w", Name, err)
			}
			return nil
		})
	}
	return parts.Wait()
}

type notifier struct {
	*service.Runtime
	repository *repository.Repository
	catalogue  *repository.InForce[*catalogue.Catalogue]
	settings   plan.Settings
	mails      *mail.Renderer
	sender     *smtp.Sender
	// deferred means that the last mail could not be handed over, for a reason that may pass.
	deferred *atomic.Bool
	giveUp   time.Duration
	actor    *lockboxv1.Actor
	newest   *checkpoint
	holding  *holding
}

func newNotifier(rt *service.Runtime, c Config) (*notifier, error) {
	if err := c.Check(); err != nil {
		return nil, err
	}
	domain := c.MessageIDDomain
	if domain == "" {
		_, domain, _ = strings.Cut(c.SMTP.From, "@")
	}
	mails, err := mail.New(c.SMTP.From, domain)
	if err != nil {
		return nil, err
	}
	sender, err := smtp.New(c.SMTP)
	if err != nil {
		return nil, err
	}
	n := &notifier{
		deferred: new(atomic.Bool),
		Runtime:  rt, repository: repository.New(rt.Journal), catalogue: repository.CatalogueInForce(), mails: mails,
		sender: sender, giveUp: c.GiveUpAfter,
		newest: new(checkpoint), holding: newHolding(c.DigestAfter),
		settings: plan.Settings{Provider: c.Provider, PortalURL: c.PortalURL, Groups: c.Groups,
			StatementURL:    c.GovernmentRequestsURL,
			Contact:         c.Contact,
			DefaultLanguage: c.DefaultLanguage, Zone: c.TimeZone},
		actor: &lockboxv1.Actor{Side: lockboxv1.Side_SIDE_SYSTEM, Service: Name},
	}
	if n.giveUp == 0 {
		n.giveUp = 4 * 24 * time.Hour
	}
	return n, nil
}

// handle sends the notifications for one event. After an error the event is redelivered; those already notified are
// skipped.
func (n *notifier) handle(ctx context.Context, e journal.Entry) error {
	if !plan.Tells(e.Event) {
		return nil
	}
	begun := time.Now()
	in, err := n.read(ctx, e)
	if err != nil {
		return err
	}
	if fault := in.Fault(); fault != nil && fault.NotAnEvent {
		return refusal.Unavailable("", "I6", "message %d, which %s rests on, is no event and was not set aside",
			fault.Sequence, e.Subject)
	} else if fault != nil {
		n.Log.Error("inconsistent event: no notifications sent", observe.AboutEvent(e.Event,
			zap.Uint64("sequence", e.Seq), zap.Uint64("fault", fault.Sequence), zap.String("rule", fault.Rule))...)
		return nil
	}
	n.missingGroup(in)
	notifications, err := n.reachable(e.Event, plan.Plan(in, n.settings))
	if len(notifications) == 0 || err != nil {
		return err
	}
	before, err := n.Journal.Reported(ctx, bus.Filter(aggregate.KeyOf(n.report(e.Event, notifications[0]))))
	if err != nil {
		return err
	}
	ctx, span := n.Traces.After(ctx, e.Event, "mails", begun)
	failed := make([]error, len(notifications))
	var telling sync.WaitGroup
	for i, notification := range notifications {
		notification.Sequence = e.Seq
		telling.Go(func() { failed[i] = n.tell(ctx, span, e.Event, notification, before) })
	}
	telling.Wait()
	err = outcome(failed)
	if span.Used() { // otherwise they are held, or were sent before
		span.End(err)
	}
	return err
}

// reachable returns the notifications without those to addresses that were erased (R63): nobody waits for them, and
// there is nothing to report. Of addresses that cannot be read for now, nobody knows which they are.
func (n *notifier) reachable(e *lockboxv1.Event, all []plan.Notification) ([]plan.Notification, error) {
	left := make([]plan.Notification, 0, len(all))
	for _, to := range all {
		switch {
		case to.Erased && !n.Journal.Unread():
			n.Log.Info("no notification to an address that was erased", observe.AboutEvent(e,
				zap.String("template", string(to.Template)), zap.String("standing", string(to.Standing)))...)
		case to.Recipient == "" && n.Journal.Unread():
			return nil, refusal.Unavailable("erasure.secret_file", "I11", "addresses are encrypted, and no secret is configured")
		default:
			left = append(left, to)
		}
	}
	return left, nil
}

// missingGroup warns of internal approvers without an address, because the request will expire if they do not act.
func (n *notifier) missingGroup(in plan.Input) {
	stage, _ := in.Request.Stage()
	if in.Request.Status == request.AwaitingInternalApproval && len(n.settings.Groups[stage.GetGroup()]) == 0 {
		n.Log.Warn("no address is configured for the group that has to approve",
			observe.AboutEvent(in.Event, zap.String("group", stage.GetGroup()))...)
	}
}

// tell sends one mail and reports it. before says that some of the event's mails were reported earlier. The mail's span
// goes below the given one.
func (n *notifier) tell(
	ctx context.Context, above *trace.Span, e *lockboxv1.Event, to plan.Notification, before bool,
) (err error) {
	report := n.report(e, to)
	if before {
		done, err := n.alreadyReported(ctx, report)
		if done {
			n.holding.forget(to.ID)
		}
		if done || err != nil {
			return err
		}
	}
	d := n.holding.digest(to, e.GetTime().AsTime(), n.Now())
	if d != nil && d.due.Err() == nil {
		return &journal.HeldError{Until: d.due}
	}
	above.Use()
	ctx, span := above.Below(ctx, trace.Step{Name: "mail", Detail: string(to.Template), Kind: trace.Client})
	defer func() { span.End(err) }()
	span.Set(trace.Template, string(to.Template))
	messageID, failure, err := n.send(ctx, e, to, d)
	if err != nil {
		return err
	}
	report.GetNotificationSent().GetNotification().MessageId = messageID
	if failure != nil {
		failure.Notification = report.GetNotificationSent().GetNotification()
		report.Fact = &lockboxv1.Event_NotificationFailed{NotificationFailed: failure}
		span.Fail(strings.ToLower(strings.TrimPrefix(failure.GetCodedReason().GetCode().String(), "REASON_CODE_")))
		n.Log.Warn("notification permanently refused", observe.AboutEvent(e,
			zap.String("notification", to.ID), zap.String("answer", failure.GetError()))...)
	}
	id, err := uuid.NewV7()
	if err != nil {
		return err
	}
	begun := time.Now()
	report.Id, report.Time = id.String(), timestamppb.New(n.Now())
	// The mail has been sent: report it even if the service is being stopped, or it would be sent again.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	_, stored, err := n.Journal.Report(ctx, report)
	if stored {
		n.Counters.Event(aggregate.TypeOf(report))
		n.Traces.Wrote(ctx, report, begun)
	}
	if err == nil {
		n.holding.forget(to.ID)
	}
	if stored {
		n.Counters.Mail(outcomeOf(failure), n.Now().Sub(e.GetTime().AsTime()))
	}
	return err
}

// send hands the mail over, or the digest that stands for it. A returned failure is permanent; an error may be
// transient.
func (n *notifier) send(
	ctx context.Context, e *lockboxv1.Event, to plan.Notification, d *digest,
) (messageID string, failure *lockboxv1.NotificationFailed, err error) {
	entitled := func(mails []plan.Notification) ([]bool, error) { return n.entitled(ctx, mails) }
	mail, may := to, true
	if d == nil {
		var all []bool
		if all, err = entitled([]plan.Notification{to}); err == nil {
			may = all[0]
		}
	} else if err = n.holding.settle(d, to, entitled); err == nil {
		may = !d.dropped[to.ID]
	}
	switch {
	case err != nil:
		return "", nil, err
	case !may:
		return n.mails.MessageID(to.ID), failed("the recipient lost the role before the mail could go",
			lockboxv1.ReasonCode_REASON_CODE_RECIPIENT_NOT_ENTITLED, ""), nil
	case d == nil:
		err = n.deliver(ctx, to)
	default:
		mail, err = n.holding.send(d, func(m plan.Notification) error { return n.deliver(ctx, m) })
	}
	messageID = n.mails.MessageID(mail.ID)
	var permanent *smtp.PermanentError
	r, refused := refusal.As(err)
	switch {
	case err == nil:
		return messageID, nil, nil
	case refused:
		// For example, a person without an address.
		return messageID, failed(r.GetField()+" "+r.GetMessage(), lockboxv1.ReasonCode_REASON_CODE_RECIPIENT_UNUSABLE, ""),
			nil
	case errors.As(err, &permanent):
		answer := fmt.Sprintf("%d %s", permanent.Code, permanent.Answer)
		return messageID, failed(answer, lockboxv1.ReasonCode_REASON_CODE_MAIL_REFUSED, answer), nil
	case ctx.Err() == nil && n.Now().Sub(e.GetTime().AsTime()) > n.giveUp:
		answer := smtp.OneLine(err.Error())
		return messageID, failed(fmt.Sprintf("given up after %s: %s", n.giveUp, answer),
			lockboxv1.ReasonCode_REASON_CODE_MAIL_GIVEN_UP, answer), nil
	}
	if ctx.Err() == nil {
		n.Counters.Mail(observe.MailDeferred, 0)
	}
	return "", nil, fmt.Errorf("notification %s: %w", to.ID, err)
}

// entitled reports, for each mail, whether its recipient may know now what it says. If that cannot be read, none goes.
func (n *notifier) entitled(ctx context.Context, mails []plan.Notification) ([]bool, error) {
	var keys []aggregate.Key
	for _, m := range mails {
		keys = append(keys, m.RestsOn()...)
	}
	var states repository.States
	var err error
	if len(keys) > 0 {
		if states, err = n.repository.Basis(ctx, keys...); err != nil {
			return nil, err
		}
	}
	may := make([]bool, len(mails))
	for i, m := range mails {
		of := m.Data.TenantID
		may[i] = m.Entitled(states.Tenant(of), states.Subscription(of, m.Right.Subscription), n.Now())
	}
	return may, nil
}

// healthy refuses while the mail server takes no mails.
func (n *notifier) healthy(context.Context) error {
	if n.deferred.Load() {
		return refusal.Unavailable("", "R24", "the mail server does not take mails; they are sent later")
	}
	return nil
}

// deliver renders a mail and hands it over. A mail that cannot be rendered for its recipient is refused.
func (n *notifier) deliver(ctx context.Context, to plan.Notification) error {
	newest := n.checkpoint(ctx)
	to.Data.LogSize, to.Data.LogRoot = newest.size, newest.root
	to.Data.LogIncludes = newest.covered >= to.Newest()
	m, err := n.mails.Render(to, n.Now())
	if err != nil {
		return err
	}
	err = n.sender.Send(ctx, m.From, m.To, m.Bytes)
	var permanent *smtp.PermanentError
	if ctx.Err() == nil {
		n.deferred.Store(err != nil && !errors.As(err, &permanent))
	}
	return err
}

func failed(recorded string, code lockboxv1.ReasonCode, answer string) *lockboxv1.NotificationFailed {
	return &lockboxv1.NotificationFailed{Error: recorded, CodedReason: reason.Of(code, "answer", answer)}
}
