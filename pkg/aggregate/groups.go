package aggregate

import "strings"

// groupNames are the provider's groups in English, for people.
var groupNames = map[string]string{
	SupportEngineers: "support engineers", SupportLeads: "customer support leads", DevOpsManagers: "DevOps managers",
	SecurityOfficers: "security officers", Onboarding: "onboarding", EmergencyResponders: "emergency responders",
	TicketSystems: "ticket systems",
}

// GroupName returns the English name of one of the provider's groups: of one that only a provider's rules know, its own
// name without dashes.
func GroupName(group string) string {
	if name, known := groupNames[group]; known {
		return name
	}
	return strings.ReplaceAll(group, "-", " ")
}
