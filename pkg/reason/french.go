package reason

var french = map[string]string{
	"ASSIGNED_AT_MANAGEMENT_GROUP": "Attribué sur un groupe d’administration, ce qui n’est pas pris en charge.",
	"ASSIGNMENT_ENDED":             "L’attribution du rôle a pris fin.",
	"ROLE_NOT_ACTIVATED":           "Éligible au rôle, mais celui-ci n’est pas activé.",
	"ACTIVATION_ENDED":             "L’activation du rôle a pris fin.",
	"OWN_REQUEST":                  "Personne ne peut approuver sa propre demande.",

	"CUSTOMER_DECIDES":    "L’opération donne accès aux données du client\u00a0: c’est à lui de décider.",
	"NO_CUSTOMER_DATA":    "L’opération ne donne pas accès aux données du client\u00a0: son approbation n’est pas requise.",
	"LOCKBOX_NOT_ENABLED": "Le client n’a pas activé Lockbox\u00a0: son approbation n’est pas requise.",
	"PREVIEW_NOT_SIGNED_UP": "Le service est en préversion et le client ne s’y est pas inscrit\u00a0: son approbation n’est pas " +
		"requise.",
	"EMERGENCY": "Il s’agit d’une urgence\u00a0: l’approbation du client n’est pas demandée\u00a0; il est informé " +
		"dès le début de l’accès.",
	"EMERGENCY_NEEDS_SECURITY_OFFICER": "Un accès d’urgence est de courte durée et doit d’abord être approuvé par un responsable de la " +
		"sécurité.",
	"RULE_FAILED": "La règle «\u00a0{rule}\u00a0» du fournisseur n’a pas pu être évaluée\u00a0; la demande a donc été " +
		"refusée.",
	"NO_RULE_MATCHED": "Aucune règle du fournisseur n’autorise cette demande.",

	"RESOURCE_TYPE_UNKNOWN":     "Le catalogue de services ne contient pas le type de ressource «\u00a0{resource_type}\u00a0».",
	"RESOURCE_TYPE_UNSUPPORTED": "Lockbox ne prend pas en charge {service}. {migration}",
	"SCENARIO_UNKNOWN":          "Le type de ressource «\u00a0{resource_type}\u00a0» n’a pas de scénario «\u00a0{scenario}\u00a0».",
	"SUBSCRIPTION_REQUIRED": "Le scénario «\u00a0{scenario}\u00a0» concerne les ressources d’un abonnement, et aucun abonnement " +
		"n’a été indiqué.",
	"SUBSCRIPTION_NOT_ALLOWED": "Le scénario «\u00a0{scenario}\u00a0» concerne l’organisation entière\u00a0; aucun abonnement ne " +
		"peut être indiqué.",
	"SUBSCRIPTION_NOT_FOUND":     "L’organisation n’a pas cet abonnement.",
	"SUBSCRIPTION_FAULTY":        "Les données enregistrées de l’abonnement se contredisent\u00a0; aucune décision n’est possible.",
	"TICKET_NOT_FOUND":           "L’organisation n’a pas ce ticket de support.",
	"EMPLOYER_UNKNOWN":           "La connexion n’indique pas l’employeur de l’ingénieur.",
	"NOT_AN_ENGINEER":            "Seuls les ingénieurs du fournisseur peuvent demander un accès.",
	"NOT_AN_EMERGENCY_RESPONDER": "Seuls les membres du groupe «\u00a0{group}\u00a0» peuvent demander un accès d’urgence.",

	"CUSTOMER_DATA_NOT_EXCLUDED": "Selon le catalogue de services, l’opération peut désormais donner accès aux données du client.",
	"NOT_IN_PREVIEW":             "Selon le catalogue de services, le service n’est plus en préversion.",
	"PREVIEW_SIGNED_UP":          "Le client s’est entre-temps inscrit à la préversion.",
	"LOCKBOX_ENABLED":            "Le client a entre-temps activé Lockbox.",
	"EMERGENCY_NOT_AUTHORIZED": "Un accès d’urgence exige une autorisation particulière et l’approbation d’un responsable de la " +
		"sécurité.",
	"APPROVER_LOST_ROLE": "Un approbateur n’avait plus le rôle requis au moment où l’accès devait commencer.",
	"LONGER_THAN_ALLOWED": "Sans l’approbation du client, l’accès ne peut pas durer plus longtemps que ne le prévoient les " +
		"conditions du fournisseur.",
	"UNKNOWN_WAIVER": "Cette version de Lockbox ne connaît pas la raison pour laquelle l’approbation du client n’était " +
		"pas requise.",

	"RECIPIENT_UNUSABLE": "Le destinataire n’a pas d’adresse e-mail utilisable.",
	"MAIL_REFUSED":       "Le serveur de messagerie l’a refusé\u00a0: «\u00a0{answer}\u00a0».",
	"MAIL_GIVEN_UP":      "Aucune tentative n’a abouti à temps. La dernière s’est terminée par «\u00a0{answer}\u00a0».",
}
