package identity

import (
	"bytes"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4/json"
	"github.com/openlockbox/lockbox/pkg/input"
	"github.com/openlockbox/lockbox/pkg/reason"
	"github.com/openlockbox/lockbox/pkg/refusal"
)

// claimSet is what a token says. go-jose's JSON decoder matches names exactly and rejects duplicates, so a token cannot
// be read in two ways.
type claimSet map[string]json.RawMessage

// get returns a claim: the member of that name or, if there is none, the one that its dots lead to. A claim that is
// null is not given.
func (s claimSet) get(name string) (json.RawMessage, bool) {
	if raw, given := s[name]; given {
		return raw, string(raw) != "null"
	}
	for at, r := range name {
		if r != '.' {
			continue
		}
		var inner claimSet
		if json.Unmarshal(s[name[:at]], &inner) == nil {
			if raw, given := inner.get(name[at+1:]); given {
				return raw, true
			}
		}
	}
	return nil, false
}

// text returns a claim that is a text, or a list of one; otherwise nothing.
func (s claimSet) text(name string) string {
	raw, _ := s.get(name)
	var one string
	if json.Unmarshal(raw, &one) == nil {
		return one
	}
	var list []string
	if json.Unmarshal(raw, &list) == nil && len(list) == 1 {
		return list[0]
	}
	return ""
}

// audience returns the token's audiences; ok is false if they are neither a text nor a list of texts.
func (s claimSet) audience() (list []string, ok bool) {
	raw, given := s.get("aud")
	var one string
	if !given || json.Unmarshal(raw, &one) == nil {
		return []string{one}, true
	}
	return list, json.Unmarshal(raw, &list) == nil
}

// texts returns a claim that is a list of texts, or a single one (RFC 7519 §4.1.3); numbers and truth values count as
// the text that they are. It is not ok if the claim is anything else, and then holds what could be read. Members that
// are null are nothing.
func (s claimSet) texts(name string) (list []string, ok bool) {
	raw, given := s.get(name)
	if !given {
		return nil, true
	}
	members := []json.RawMessage{raw}
	if bytes.HasPrefix(raw, []byte("[")) {
		members = nil
		if json.Unmarshal(raw, &members) != nil {
			return nil, false
		}
	}
	ok = true
	for _, m := range members {
		var one string
		switch {
		case len(m) == 0 || string(m) == "null":
		case m[0] == '{' || m[0] == '[':
			ok = false
		case m[0] != '"':
			list = append(list, string(m))
		case json.Unmarshal(m, &one) == nil:
			list = append(list, one)
		default:
			ok = false
		}
	}
	return list, ok
}

// reference returns by what the token refers to a claim that it does not hold, as Entra ID does with more groups than
// fit (OpenID Connect Core 1.0 §5.6.2); empty if it holds the claim, or does not know it. Following the reference would
// mean to call an address that a token names.
func (s claimSet) reference(claim string) string {
	if _, given := s.get(claim); given {
		return ""
	}
	if has, _ := s.texts("hasgroups"); claim == "groups" && len(has) == 1 && has[0] == "true" {
		return "hasgroups"
	}
	var names claimSet
	if raw, _ := s.get("_claim_names"); json.Unmarshal(raw, &names) == nil {
		if _, given := names[claim]; given {
			return "_claim_names"
		}
	}
	return ""
}

// elsewhere refuses a claim that the token only refers to.
func (s claimSet) elsewhere(claim string) error {
	by := s.reference(claim)
	if by == "" {
		return nil
	}
	return refusal.Because(refusal.Unauthenticated(field, rule,
		"its `%s` are too many to be in it: it only refers to them (`%s`), and references are not followed; have the issuer put in only the groups that are assigned to Lockbox, or name a claim with roles instead (`claims.groups`)",
		claim, by),
		reason.Of(claimElsewhere, "claim", claim, "by", by))
}

// instant reads a time: seconds since 1970 up to the year 5138 (RFC 7519 §2), truncated to whole ones, as a number or
// as its digits in a text. It is zero if the claim is not given; ok is false if it is given and no time.
func (s claimSet) instant(name string) (at time.Time, ok bool) {
	raw, given := s.get(name)
	if !given {
		return time.Time{}, true
	}
	var text string
	if json.Unmarshal(raw, &text) == nil {
		if strings.Trim(text, "0123456789") != "" || text == "" {
			return time.Time{}, false
		}
		raw = []byte(text)
	}
	at, err := seconds(string(raw))
	return at, err == nil
}

// signedIn reads when a person proved who they are, also as AD FS writes it: date and time with an offset (RFC 3339).
// What is no time counts as not said, so it never passes for a fresh sign-in; so does 0, which Keycloak wrote for
// "never".
func (s claimSet) signedIn(name string) time.Time {
	at, ok := s.instant(name)
	if !ok {
		var err error
		if at, err = time.Parse(time.RFC3339, s.text(name)); err != nil {
			return time.Time{}
		}
		at = at.UTC().Truncate(time.Second)
	}
	if at.Unix() <= 0 {
		return time.Time{}
	}
	return at
}

// usableAddress returns the first address that mail can be sent to; empty if there is none, because nobody is locked
// out for an address.
func usableAddress(all claimSet) string {
	said, _ := all.texts("email")
	for _, address := range said {
		if address = strings.TrimSpace(address); input.Email(field, address) == nil {
			return address
		}
	}
	return ""
}
