package approval

import "time"

// The changes that could get around a demand, apart from those of keys and of the demand itself, which are in the
// chain.
const (
	SwitchOff    = "switch-off"
	LeavePreview = "leave-preview"
	// Settings are those of the tenant: how many have to approve, who is asked if too few can, and so on.
	Settings = "settings"
	Roles    = "roles"
	SignIn   = "sign-in"
	// Transfer is of a subscription to another customer. Whoever gives it up signs.
	Transfer = "transfer"
	// StandingApproval is one that is given before anybody asks.
	StandingApproval = "standing-approval"
)

var changes = map[string]bool{SwitchOff: true, LeavePreview: true, Settings: true, Roles: true, SignIn: true,
	Transfer: true, StandingApproval: true}

const (
	mostParts = 512
	// transferTime is how long before it is made a transfer may be signed: others than who signs make it.
	transferTime = 72 * time.Hour
)

// Change is a change of the tenant's settings.
type Change struct {
	Head
	// Change is one of the constants above.
	Change string `json:"change"`
	// Kind and ID name the aggregate that changes: the tenant, or one of its subscriptions.
	Kind string `json:"kind"`
	ID   string `json:"id"`
	// Follows is the last event of the aggregate. So the statement is good for one place only, once.
	Follows Event `json:"follows"`
	// Content is all that changes, in full, by name, in the order of the names.
	Content []Named `json:"content"`
}

// Named is one part of a change.
type Named struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// Bytes is what is signed: the statement's one spelling. It refuses a statement that could not be read again.
func (c Change) Bytes() ([]byte, error) { return spell(c) }

// ParseChange reads a change in its only spelling.
func ParseChange(data []byte) (c Change, err error) {
	if err = parse(data, MaxStatement, &c); err == nil {
		err = c.check()
	}
	return c, err
}

func (c Change) check() error {
	if err := c.Head.check(FormatChange); err != nil {
		return err
	}
	switch {
	case !changes[c.Change]:
		return refuse("change", RuleValue, "%q is no change", c.Change)
	case c.Kind != "tenant" && c.Kind != "subscription":
		return refuse("kind", RuleValue, "%q has no settings", c.Kind)
	case c.Kind == "tenant" && c.ID != c.Tenant:
		return refuse("id", RuleValue, "the tenant is %s", c.Tenant)
	case len(c.Content) == 0 || len(c.Content) > mostParts:
		return refuse("content", RuleValue, "has 1 to %d parts", mostParts)
	}
	for i, part := range c.Content {
		if err := checkText("content.name", part.Name, 128); err != nil {
			return err
		}
		if len(part.Value) > 4096 {
			return refuse("content.value", RuleValue, "is at most 4096 bytes long")
		}
		if i > 0 && c.Content[i-1].Name >= part.Name {
			return refuse("content", RuleValue, "is not in the order of its names, each once")
		}
	}
	if err := checkText("id", c.ID, 128); err != nil {
		return err
	}
	return c.Follows.check("follows")
}

// InTime refuses a change that was not signed within ten minutes of now, and a transfer that was not within three days
// before. It is for whoever decides whether to write it down, with their own clock.
func (c Change) InTime(now time.Time) error {
	err := c.fresh(now)
	if c.Change != Transfer || err == nil {
		return err
	}
	issued, unread := parseTime("issuedAt", c.IssuedAt)
	if unread != nil || issued.After(now) || now.Sub(issued) > transferTime {
		return refuse("issuedAt", RuleLate, "it was signed at %s; a transfer is made within %s", c.IssuedAt, transferTime)
	}
	return nil
}
