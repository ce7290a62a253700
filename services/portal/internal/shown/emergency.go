package shown

import (
	"slices"

	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
)

// Emergency reports whether the engineer called the request an emergency (R43).
func (r Request) Emergency() bool { return r.GetIntent().GetEmergency() }

// internallyMissing returns how many of the provider's people must still approve.
func (r Request) internallyMissing() int {
	n := 0
	for _, s := range r.Stages() {
		n += s.Count - s.Given
	}
	return n
}

// LastStage reports whether one more internal approval completes the internal approval.
func (r Request) LastStage() bool {
	return r.GetStatus() == lockboxv1.RequestStatus_REQUEST_STATUS_AWAITING_INTERNAL_APPROVAL && r.internallyMissing() == 1
}

// Waived reports whether access begins without asking the customer.
func (r Request) Waived() bool {
	return r.GetEvaluation().GetWaiver() != lockboxv1.Waiver_WAIVER_UNSPECIFIED
}

// Starts reports whether the next internal approval starts access, without the customer being asked.
func (r Request) Starts() bool { return r.LastStage() && r.Waived() }

// CustomerData reports whether the operation gives access to the customer's data.
func (r Request) CustomerData() bool { return r.GetEvaluation().GetFacts().GetCustomerData() }

// OnData says in sentences what access means for the customer's data, and why the customer is not asked. An emergency
// says all that an ordinary request says.
func (r Request) OnData() ([]string, error) {
	if r.GetEvaluation() == nil {
		return nil, nil
	}
	theirs := ""
	if !r.ToProvider {
		theirs = "-yours"
	}
	reaches, means, elevated, unasked := "requests.no-data"+theirs, func() (string, error) { return "", nil }, "",
		r.Unasked
	if r.CustomerData() {
		reaches, means = "requests.customer-data"+theirs, r.Means
		if r.Over() {
			reaches += "-over"
		}
	}
	if r.GetEvaluation().GetFacts().GetElevated() {
		elevated = "requests.elevated"
	}
	if r.ToProvider {
		unasked = r.waived
	}
	if r.GetEvaluation().GetWaiver() == lockboxv1.Waiver_WAIVER_NO_CUSTOMER_DATA { // that is said first
		unasked = means
	}
	var list []string
	for _, said := range []func() (string, error){r.says(reaches), means, r.says(elevated), unasked} {
		text, err := said()
		if err != nil {
			return nil, err
		}
		if text != "" && !slices.Contains(list, text) {
			list = append(list, text)
		}
	}
	return list, nil
}

// says returns a message without placeholders; an empty ID says nothing.
func (r Request) says(id string) func() (string, error) {
	return func() (string, error) {
		if id == "" {
			return "", nil
		}
		return r.Say.Say(id)
	}
}

// waived says to the provider's people why the customer is not asked; empty if they are.
func (r Request) waived() (string, error) {
	why, err := r.Waiver()
	if err != nil || why == "" {
		return "", err
	}
	if r.Over() {
		return r.Say.Say("requests.waived-over", "Waiver", why)
	}
	return r.Say.Say("requests.waived", "Waiver", why)
}

// AllowedBy says whose approval access rests on: the customer's people, or if they were not asked, the provider's.
func (r Request) AllowedBy() (string, error) {
	id, decisions := "requests.allowed-by", r.GetCustomerDecisions()
	if r.Waived() {
		if id, decisions = "requests.allowed-unasked", r.GetInternalDecisions(); r.ToProvider {
			id = "requests.allowed-waived"
		}
	}
	var names []string
	for _, d := range decisions {
		if d.GetApproved() {
			names = append(names, Name(d.GetActor().GetPerson()))
		}
	}
	list, err := r.names(names)
	if err != nil {
		return "", err
	}
	if len(names) == 0 && r.Waived() {
		id += "-alone"
	}
	return r.Say.Say(id, "Names", list, "Provider", r.Provider)
}
