package render

import (
	"strings"

	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
)

// Claims renders what the claims of a token counted for; nothing if nobody said.
func Claims(l Look, v *lockboxv1.SelfView) string {
	if len(v.GetClaims()) == 0 {
		return ""
	}
	p := &page{Look: l}
	p.heading("What the claims of the token count for")
	for _, c := range v.GetClaims() {
		p.hang("  ", plain, Clean(claim(c)))
	}
	return p.String()
}

func claim(c *lockboxv1.ClaimReading) string {
	says, counts := c.GetSays(), c.GetCountsAs()
	if says == "" {
		says = "not there"
	}
	switch {
	case counts == says:
		return c.GetClaim() + ": " + says
	case counts != "":
		return c.GetClaim() + ": " + says + " → " + counts
	}
	text := c.GetClaim() + ": " + says + " → " + map[string]string{
		"email": "no address for mail", "language": "no language of yours", "human": "a human of your own",
		"authenticated_at": "not known when you signed in", "multi_factor": "no second factor counted",
		"isolated_identity": "not isolated", "employer": "no employer", "groups": "no group counted",
	}[c.GetFact()]
	if c.GetFact() == "groups" && len(c.GetNeeds()) == 0 {
		text += "; your organisation's sign-in maps none"
	}
	if len(c.GetNeeds()) > 0 {
		text += "; " + strings.Join(c.GetNeeds(), " or ") + " would"
	}
	return text
}
