package signing

import (
	"crypto/rand"
	"encoding/hex"
	"maps"
	"net/url"
	"time"

	"github.com/openlockbox/lockbox/pkg/approval"
	"github.com/openlockbox/lockbox/pkg/approval/shown"
	"github.com/openlockbox/lockbox/pkg/keychain"
	"github.com/openlockbox/lockbox/pkg/refusal"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"github.com/openlockbox/lockbox/services/portal/internal/form"
	"github.com/openlockbox/lockbox/services/portal/internal/site"
)

// Change has the reader sign what a form changes, where their organisation demands that. Before the form's command is
// sent, it adds what the form brings signed; or it shows the page on which it is signed, which sends the same form
// again, and reports that it did. back is where the reader goes who does not sign.
func Change(v *site.Visit, c *lockboxv1.Command, back string) (shows bool, err error) {
	if v.Session.Tenant == "" || !keychain.Signs(c) {
		return false, nil
	}
	to := v.R.URL.Path
	if Signs(v.R.PostForm) {
		statement, err := Made(v, to)
		if r, is := refusal.As(err); !is || r.GetField() != "statement" {
			if err != nil {
				return false, err
			}
			is, err := approval.ParseChange([]byte(statement))
			if err != nil {
				return false, keychain.Refusal("signed", err)
			}
			c.Signed = Sent(v.R.PostForm, statement, is.Key)
			return false, nil
		}
	}
	kind, id, about := "tenant", v.Session.Tenant, &lockboxv1.GetSigning{
		About: &lockboxv1.GetSigning_TenantItself{TenantItself: true}}
	if c.GetAggregateId() != "" {
		kind, id, about.About = "subscription", c.GetAggregateId(),
			&lockboxv1.GetSigning_SubscriptionId{SubscriptionId: c.GetAggregateId()}
	}
	reply, err := v.Ask(&lockboxv1.Query{Ask: &lockboxv1.Query_GetSigning{GetSigning: about}})
	view := reply.GetSigning()
	if site.NotFound(err) || err == nil && (view.GetDemand() == "" || view.GetDemand() == string(approval.DemandNone)) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	step := Step{Visit: v, Party: PartyOf(v), Format: approval.FormatChange, To: to, Back: back, Demanded: true,
		Has: len(view.GetKeys()) > 0, Button: "signing.button.change", Tone: "main", Hidden: maps.Clone(v.R.PostForm)}
	for _, name := range form.Signed {
		step.Hidden.Del(name)
	}
	if step.Keys = step.Party.Usable(view.GetKeys()); len(step.Keys) > 0 {
		step.Keys = step.Keys[:1]
		if err := step.compose(view, kind, id, c); err != nil {
			return false, err
		}
	}
	title, err := v.Say.Say("signing.title.change")
	if err != nil {
		return false, err
	}
	return true, v.SignPage(site.Page{Title: title, Script: Script, Data: step})
}

// compose makes the statement of a change.
func (s *Step) compose(view *lockboxv1.SigningView, kind, id string, c *lockboxv1.Command) error {
	who, err := s.Account()
	if err != nil {
		return err
	}
	choice := keychain.Choice{By: keychain.AccountOf(who), Key: s.Keys[0].ID, Now: s.Now().Truncate(time.Second),
		Language: shown.Language(s.Say.Language)}
	_, _ = rand.Read(choice.Nonce[:])
	_, _ = rand.Read(choice.Salt[:])
	change, err := keychain.ComposeChange(view, kind, id, c, choice,
		func(c approval.Change) string { return shown.ChangeText(c, c.Language) })
	var statement []byte
	if err == nil {
		statement, err = change.Bytes()
	}
	if err != nil {
		return keychain.Refusal("signed", err)
	}
	s.Statement = string(statement)
	if s.Hidden == nil {
		s.Hidden = url.Values{}
	}
	s.Hidden.Set("salt", hex.EncodeToString(choice.Salt[:]))
	Make(s.Visit, s.To, s.Statement)
	return nil
}
