package shown

import lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"

// Badge is a word that somebody should not miss about a request.
type Badge struct {
	// ID identifies the message with its name, Tone is the CSS class of its colour.
	ID, Tone string
}

// Badges returns what the request permits and who asks, in a word each. What had not been recorded yet has none.
func (r Request) Badges() (list []Badge) {
	switch r.mode() {
	case lockboxv1.AccessMode_ACCESS_MODE_ELEVATED:
		list = append(list, Badge{"requests.badge.elevated", "bad"})
	case lockboxv1.AccessMode_ACCESS_MODE_CHANGE:
		list = append(list, Badge{"requests.badge.changes", "wait"})
	case lockboxv1.AccessMode_ACCESS_MODE_READ:
		list = append(list, Badge{"requests.badge.reads", ""})
	}
	if r.Subcontractor() {
		list = append(list, Badge{"requests.badge.subcontractor", "wait"})
	}
	return list
}

// mode returns what the request permits: as it was granted, else as it was evaluated.
func (r Request) mode() lockboxv1.AccessMode {
	facts := r.GetEvaluation().GetFacts()
	switch mode := r.GetGrant().GetMode(); {
	case mode != lockboxv1.AccessMode_ACCESS_MODE_UNSPECIFIED, facts == nil:
		return mode
	case facts.GetElevated():
		return lockboxv1.AccessMode_ACCESS_MODE_ELEVATED
	case facts.GetChanges():
		return lockboxv1.AccessMode_ACCESS_MODE_CHANGE
	}
	return lockboxv1.AccessMode_ACCESS_MODE_READ
}
