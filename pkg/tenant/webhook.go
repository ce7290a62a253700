package tenant

import (
	"encoding/base64"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/input"
	"github.com/openlockbox/lockbox/pkg/prose"
	"github.com/openlockbox/lockbox/pkg/refusal"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
)

const (
	// MaxWebhooks is how many webhooks a tenant may have at a time.
	MaxWebhooks = 5
	// WebhookKeySize is how many random bytes a new key of signatures has.
	WebhookKeySize = 32
	// WebhookSecretPrefix begins the key of a webhook's signatures, as Standard Webhooks has it.
	WebhookSecretPrefix = "whsec_"

	// The shortest and the longest key of a webhook's signatures, in bytes.
	minWebhookSecret, maxWebhookSecret = 24, 64
	maxWebhookURL                      = 2048
	maxWebhookTypes                    = 50
	maxSealed                          = 8 << 10
	webhookRule                        = "R57"
)

// Webhook is a receiver of the tenant's own that is told what happens (R57).
type Webhook struct {
	*lockboxv1.Webhook
	// Sealed is its address and secret, which only the forwarder can read.
	Sealed []byte
	By     *lockboxv1.Actor
	At     time.Time
}

// decideWebhook decides the commands about webhooks; ours is false for all others. A webhook shows what happens at the
// tenant to whoever has it, so a stolen session must not be enough to add one, or to silence one.
func (s State) decideWebhook(c aggregate.Command, e *lockboxv1.Event, now time.Time) (ours bool, err error) {
	add, remove := c.GetAddWebhook(), c.GetRemoveWebhook()
	if add == nil && remove == nil {
		return false, nil
	}
	if err := s.freshAdministrator(c.By, webhookRule, now); err != nil {
		return true, err
	}
	if add != nil {
		return true, s.addWebhook(c, add, e)
	}
	i := s.webhook(remove.GetWebhookId())
	if i < 0 {
		return true, refusal.NotFound("remove_webhook.webhook_id", webhookRule,
			"there is no such webhook; it may be removed already")
	}
	if err := prose.Check("remove_webhook.reason", remove.GetReason(), 0, 1000); err != nil {
		return true, err
	}
	e.Fact = &lockboxv1.Event_WebhookRemoved{WebhookRemoved: &lockboxv1.WebhookRemoved{
		WebhookId: remove.GetWebhookId(), Reason: remove.GetReason(), Name: s.Webhooks[i].GetName()}}
	return true, nil
}

func (s State) addWebhook(c aggregate.Command, a *lockboxv1.AddWebhook, e *lockboxv1.Event) error {
	address, err := WebhookAddress("add_webhook.secret_url", a.GetSecretUrl())
	if err != nil {
		return err
	}
	w := &lockboxv1.Webhook{Id: c.GetId(), Kind: a.GetKind(), Name: a.GetName(), Address: address, Types: a.GetTypes(),
		Language: a.GetLanguage()}
	if w.GetLanguage() == "" {
		w.Language = s.Settings.GetDefaultLanguage()
	}
	for _, err := range []error{checkWebhook(w), checkWebhookSecret(a)} {
		if err != nil {
			return err
		}
	}
	switch {
	case len(s.Webhooks) >= MaxWebhooks:
		return refusal.Naming(
			refusal.Precondition("add_webhook", webhookRule,
				"a tenant has at most %d webhooks; remove one first", MaxWebhooks),
			"most", strconv.Itoa(MaxWebhooks))
	case len(c.Sealed) == 0:
		return refusal.Unavailable("add_webhook", webhookRule,
			"this installation has no webhooks of customers' own: nothing to encrypt their addresses with is configured; "+
				"ask the provider (webhooks.key_file of the orchestrator and the forwarder)")
	}
	e.Fact = &lockboxv1.Event_WebhookAdded{WebhookAdded: &lockboxv1.WebhookAdded{Webhook: w, Sealed: c.Sealed}}
	return nil
}

// webhook returns the index of a webhook; -1 if there is none of that id.
func (s State) webhook(id string) int {
	return slices.IndexFunc(s.Webhooks, func(w Webhook) bool { return w.GetId() == id })
}

// applyWebhook folds the facts about webhooks; ours is false for all others. That a Global Administrator changes them
// is checked where it is for all changes.
func (s *State) applyWebhook(e *lockboxv1.Event) (broken string, ours bool) {
	switch f := e.GetFact().(type) {
	case *lockboxv1.Event_WebhookAdded:
		w, sealed := f.WebhookAdded.GetWebhook(), len(f.WebhookAdded.GetSealed())
		switch {
		case input.UUIDv7("webhook_id", w.GetId()) != nil || w.GetId() != e.GetCausationId() || s.webhook(w.GetId()) >= 0:
			return "a webhook is known by the command that added it (R57)", true
		case len(s.Webhooks) >= MaxWebhooks:
			return "a tenant has only so many webhooks (R57)", true
		case checkWebhook(w) != nil || sealed == 0 || sealed > maxSealed:
			return "a webhook is whole, and its address is encrypted (R57)", true
		}
		s.Webhooks = append(slices.Clip(s.Webhooks),
			Webhook{w, f.WebhookAdded.GetSealed(), e.GetActor(), e.GetTime().AsTime()})
	case *lockboxv1.Event_WebhookRemoved:
		i := s.webhook(f.WebhookRemoved.GetWebhookId())
		if i < 0 || s.Webhooks[i].GetName() != f.WebhookRemoved.GetName() {
			return "only a webhook that is there is removed (R57)", true
		}
		s.Webhooks = slices.Delete(slices.Clone(s.Webhooks), i, i+1)
	default:
		return "", false
	}
	return "", true
}

// checkWebhook refuses a webhook that is not whole.
func checkWebhook(w *lockboxv1.Webhook) error {
	if err := refusal.First(webhookFaults(w, false)...); err != nil {
		return err
	}
	if address, err := WebhookAddress("add_webhook.address", w.GetAddress()); err != nil || address != w.GetAddress() {
		return refusal.OfKind(
			refusal.Invalid("add_webhook.address", webhookRule, "must be scheme and host only"), "address-host-only")
	}
	return nil
}

// webhookFaults returns what is wrong with a webhook but for its address; without a language of its own it may be on
// the way to be recorded.
func webhookFaults(w *lockboxv1.Webhook, onTheWay bool) (faults []error) {
	if w.GetKind() == lockboxv1.WebhookKind_WEBHOOK_KIND_UNSPECIFIED ||
		lockboxv1.WebhookKind_name[int32(w.GetKind())] == "" {
		faults = append(faults, refusal.Invalid("add_webhook.kind", webhookRule, "must be standard, slack or teams"))
	}
	faults = append(faults, prose.CheckLine("add_webhook.name", w.GetName(), 1, 120),
		language("add_webhook.language", w.GetLanguage(), onTheWay))
	if len(w.GetTypes()) > maxWebhookTypes {
		faults = append(faults, refusal.OfKind(
			refusal.Invalid("add_webhook.types", webhookRule, "at most %d types of events are chosen", maxWebhookTypes),
			"types-too-many", "most", strconv.Itoa(maxWebhookTypes)))
	}
	for i, typ := range w.GetTypes() {
		switch {
		case !slices.ContainsFunc(aggregate.Facts(), func(f aggregate.Fact) bool { return f.Type == typ }):
			faults = append(faults, refusal.OfKind(
				refusal.Invalid("add_webhook.types", webhookRule, "there is no event type %q; one is CustomerDenied", typ),
				"type-unknown", "type", typ))
		case slices.Contains(w.GetTypes()[:i], typ):
			faults = append(faults, refusal.OfKind(
				refusal.Invalid("add_webhook.types", webhookRule, "each type is named once"), "type-twice"))
		}
	}
	return faults
}

// checkWebhookSecret refuses a key of signatures that Standard Webhooks does not have, or that nothing would use.
func checkWebhookSecret(a *lockboxv1.AddWebhook) error {
	const field = "add_webhook.secret"
	if a.GetKind() != lockboxv1.WebhookKind_WEBHOOK_KIND_STANDARD {
		if a.GetSecret() != "" {
			return refusal.OfKind(
				refusal.Invalid(field, webhookRule, "messages to a chat are not signed; its address is the secret"),
				"chat-unsigned")
		}
		return nil
	}
	if _, err := WebhookKey(a.GetSecret()); err != nil {
		return refusal.OfKind(
			refusal.Invalid(field, webhookRule, "must be %s and base64 of %d to %d random bytes", WebhookSecretPrefix,
				minWebhookSecret, maxWebhookSecret),
			"webhook-secret", "prefix", WebhookSecretPrefix, "least", strconv.Itoa(minWebhookSecret),
			"most", strconv.Itoa(maxWebhookSecret))
	}
	return nil
}

// WebhookSecret writes a key of signatures, of WebhookKeySize random bytes.
func WebhookSecret(key []byte) string {
	return WebhookSecretPrefix + base64.StdEncoding.EncodeToString(key)
}

// WebhookKey returns the bytes of a key of signatures.
func WebhookKey(secret string) ([]byte, error) {
	text, is := strings.CutPrefix(secret, WebhookSecretPrefix)
	key, err := base64.StdEncoding.Strict().DecodeString(text)
	if !is || err != nil || len(key) < minWebhookSecret || len(key) > maxWebhookSecret {
		return nil, refusal.OfKind(
			refusal.Invalid("secret", webhookRule, "is not a key of signatures"),
			"webhook-key")
	}
	return key, nil
}

// WebhookAddress returns what may be seen of a webhook's address: scheme and host. It refuses (INVALID, never with the
// address itself) what is not https, except on this machine, and what a reader could take for another host.
func WebhookAddress(field, address string) (string, error) {
	u, err := url.Parse(address)
	switch {
	case len(address) > maxWebhookURL:
		return "", refusal.OfKind(
			refusal.Invalid(field, webhookRule, "is longer than %d bytes", maxWebhookURL),
			"webhook-address-too-long", "most", strconv.Itoa(maxWebhookURL))
	case err != nil || u.Hostname() == "" || u.Opaque != "" || u.User != nil || u.Fragment != "":
		return "", refusal.OfKind(
			refusal.Invalid(field, webhookRule, "must be an https address without user, password or fragment"),
			"webhook-address")
	case u.Scheme != "https" && !(u.Scheme == "http" && ThisMachine(u.Hostname())):
		return "", refusal.OfKind(
			refusal.Invalid(field, webhookRule, "must be an https address"),
			"webhook-address-https")
	case strings.ContainsFunc(u.Host, func(r rune) bool {
		return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune(".-:[]", r))
	}):
		return "", refusal.OfKind(
			refusal.Invalid(field, webhookRule, "names a host with other characters than a-z, 0-9, dots and hyphens; "+
				"write its international form (xn--…)"),
			"webhook-host")
	}
	return u.Scheme + "://" + strings.ToLower(u.Host), nil
}

// ThisMachine reports whether a host's name or address is the machine's own.
func ThisMachine(host string) bool {
	addr, err := netip.ParseAddr(host)
	return strings.EqualFold(host, "localhost") || err == nil && addr.Unmap().IsLoopback()
}
