package keychain

import (
	"encoding/hex"
	"slices"
	"time"

	"github.com/openlockbox/lockbox/pkg/approval"
	"github.com/openlockbox/lockbox/pkg/approval/terms"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
)

// Choice is what somebody decides about a request, and with which key.
type Choice struct {
	// Verb is approval.Approve, approval.Deny or approval.Revoke.
	Verb string
	By   approval.Account
	// Key is the id of the key in hexadecimal digits.
	Key string
	// Reason is what they wrote; Salt hides it in the statement.
	Reason string
	Salt   [32]byte
	// Resources and Duration are what an approval allows: all that was asked for, and the whole time, if they are zero.
	// The time is in whole seconds. It has to be named where the evaluation is withheld, which says how long was asked
	// for.
	Resources []string
	Duration  time.Duration
	// Nonce is random, Now the signer's clock, Language a BCP 47 tag.
	Nonce    [32]byte
	Now      time.Time
	Language string
}

// Compose makes the statement that somebody signs for a decision about a request, from the exact events that they were
// shown and from nothing else. text is what is shown before they sign, made from the statement, in their language; its
// hash becomes part of it. It refuses what is not about this request, as it would be refused later.
func Compose(
	v *lockboxv1.SigningView, c Choice, text func(approval.Decision) string,
) (d approval.Decision, err error) {
	about, err := TermsOf(v)
	if err != nil {
		return d, err
	}
	d = approval.Decision{
		Head: approval.Head{
			Format: approval.FormatDecision, Origin: v.GetOrigin(), Genesis: hex.EncodeToString(v.GetGenesis()),
			Tenant: v.GetTenant(), By: c.By, Key: c.Key, Language: c.Language, IssuedAt: approval.TimeText(c.Now),
			Nonce: hex.EncodeToString(c.Nonce[:]),
		},
		Decision: c.Verb, Request: about.Request, Subscription: about.Subscription, ResourceType: about.ResourceType,
		Scenario: about.Scenario, Engineer: about.Engineer, Events: about.Events, Resources: []string{},
	}
	if len(d.Events) > approval.MaxEvents {
		d.Events = slices.Concat(d.Events[:approval.MaxEvents/2], d.Events[len(d.Events)-approval.MaxEvents/2:])
	}
	if c.Verb != approval.Revoke {
		d.AnswerBy, d.Approvals = about.AnswerBy, about.Approvals
	}
	if c.Verb == approval.Approve {
		d.Resources, d.Seconds = about.Resources, about.Seconds
		if len(c.Resources) > 0 {
			d.Resources = slices.Sorted(slices.Values(c.Resources))
		}
		if c.Duration > 0 {
			d.Seconds = uint64(c.Duration / time.Second)
		}
		if d.Seconds == terms.Longest {
			return d, refuse("seconds", approval.RuleValue, "for how long has to be said, since the evaluation is withheld")
		}
	}
	if c.Reason != "" {
		d.Comment = approval.CommentHash(c.Salt, c.Reason)
	}
	d.Text = approval.TextHash(text(d))
	return d, d.Within(about, uint64(len(v.GetEvents()))+1)
}

// TermsOf reads what a request's events say, as somebody was shown them. What is shown with its bytes has to have the
// hash that stands beside it.
func TermsOf(v *lockboxv1.SigningView) (approval.Terms, error) {
	var shown []terms.Shown
	for _, e := range v.GetEvents() {
		shown = append(shown, terms.Shown{Stored: e.GetStored(), Event: approval.Event{
			SHA256: hex.EncodeToString(e.GetSha256()), Type: e.GetType(), Version: e.GetVersion()}})
	}
	about, err := terms.OfShown(shown)
	if err != nil {
		return about, err
	}
	for i, e := range about.Events {
		if e != shown[i].Event {
			return about, refuse("events", approval.RuleProof, "version %d is not what its hash says", e.Version)
		}
	}
	if about.Tenant != v.GetTenant() {
		return about, refuse("tenant", approval.RuleProof, "the events are of another customer")
	}
	return about, nil
}
