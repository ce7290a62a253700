package approval

// The changes that could get around a demand, apart from those of keys and of the demand itself, which are in the
// chain.
const (
	SwitchOff         = "switch-off"
	Roles             = "roles"
	SignIn            = "sign-in"
	Fallback          = "fallback"
	RequiredApprovals = "required-approvals"
	StandingApproval  = "standing-approval"
	Transfer          = "transfer"
	LeavePreview      = "leave-preview"
)

var changes = map[string]bool{SwitchOff: true, Roles: true, SignIn: true, Fallback: true, RequiredApprovals: true,
	StandingApproval: true, Transfer: true, LeavePreview: true}

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
	// Content is all that changes, in full, by name.
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
	case len(c.Content) == 0 || len(c.Content) > 64:
		return refuse("content", RuleValue, "has 1 to 64 parts")
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
