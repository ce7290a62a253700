package reason

var english = map[string]string{
	"ASSIGNED_AT_MANAGEMENT_GROUP": "Assigned at a management group, which is not supported.",
	"ASSIGNMENT_ENDED":             "The role assignment has ended.",
	"ROLE_NOT_ACTIVATED":           "Eligible for the role, but the role is not activated.",
	"ACTIVATION_ENDED":             "The activation of the role has ended.",
	"OWN_REQUEST":                  "Nobody can approve their own request.",

	"CUSTOMER_DECIDES":    "The operation gives access to customer data, so the customer decides.",
	"NO_CUSTOMER_DATA":    "The operation gives no access to customer data, so the customer’s approval is not required.",
	"LOCKBOX_NOT_ENABLED": "The customer has not enabled Lockbox, so their approval is not required.",
	"PREVIEW_NOT_SIGNED_UP": "The service is in preview and the customer has not signed up for it, so their approval is not " +
		"required.",
	"EMERGENCY": "This is an emergency: the customer’s approval is not requested, and the customer is notified as " +
		"soon as access begins.",
	"EMERGENCY_NEEDS_SECURITY_OFFICER": "Emergency access is short and must first be approved by a security officer.",
	"RULE_FAILED":                      "The provider’s rule “{rule}” could not be evaluated, so the request was refused.",
	"NO_RULE_MATCHED":                  "No rule of the provider allows this request.",

	"RESOURCE_TYPE_UNKNOWN":     "The service catalogue has no resource type “{resource_type}”.",
	"RESOURCE_TYPE_UNSUPPORTED": "Lockbox does not support {service}. {migration}",
	"SCENARIO_UNKNOWN":          "The resource type “{resource_type}” has no scenario “{scenario}”.",
	"SUBSCRIPTION_REQUIRED": "The scenario “{scenario}” applies to resources of a subscription, and no subscription was " +
		"specified.",
	"SUBSCRIPTION_NOT_ALLOWED":   "The scenario “{scenario}” applies to the whole organisation, so no subscription can be specified.",
	"SUBSCRIPTION_NOT_FOUND":     "The organisation has no such subscription.",
	"SUBSCRIPTION_FAULTY":        "The subscription’s records contradict each other, so nothing can be decided.",
	"TICKET_NOT_FOUND":           "The organisation has no such support ticket.",
	"EMPLOYER_UNKNOWN":           "The sign-in does not state the engineer’s employer.",
	"NOT_AN_ENGINEER":            "Only the provider’s engineers can request access.",
	"NOT_AN_EMERGENCY_RESPONDER": "Only members of the group “{group}” can request emergency access.",

	"CUSTOMER_DATA_NOT_EXCLUDED": "According to the service catalogue, the operation may now give access to customer data.",
	"NOT_IN_PREVIEW":             "According to the service catalogue, the service is no longer in preview.",
	"PREVIEW_SIGNED_UP":          "The customer has signed up for the preview in the meantime.",
	"LOCKBOX_ENABLED":            "The customer has enabled Lockbox in the meantime.",
	"EMERGENCY_NOT_AUTHORIZED":   "Emergency access requires a special permission and a security officer’s approval.",
	"APPROVER_LOST_ROLE":         "An approver no longer had the required role when access was due to start.",
	"LONGER_THAN_ALLOWED":        "Without the customer’s approval, access cannot last longer than the provider’s terms allow.",
	"UNKNOWN_WAIVER":             "This version of Lockbox does not know why the customer’s approval was not required.",

	"RECIPIENT_UNUSABLE": "The recipient has no usable e-mail address.",
	"MAIL_REFUSED":       "The mail server refused it: “{answer}”.",
	"MAIL_GIVEN_UP":      "No attempt succeeded in time. The last one ended with “{answer}”.",
}
