package invariant

// Each invariant by itself, for tests that show what it alone finds.
func alone(c check) func([]Recorded) []Violation {
	return func(history []Recorded) []Violation { return read(history).each(c) }
}

var (
	GrantHasOneBasis    = alone(grantHasOneBasis)
	BasisHeld           = alone(basisHeld)
	OneDecision         = alone(oneDecision)
	NothingPastDeadline = alone(nothingPastDeadline)
	Timely              = alone(timely)
	GrantWithinPolicy   = alone(grantWithinPolicy)
	OneTenant           = alone(oneTenant)
	NobodyForThemselves = alone(nobodyForThemselves)
	EachHasOneOwner     = alone(eachHasOneOwner)
)
