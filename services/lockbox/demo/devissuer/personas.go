package devissuer

import (
	"slices"

	"github.com/openlockbox/lockbox/pkg/aggregate"
)

// The demo's companies. All domains are reserved for examples (RFC 2606).
const (
	Provider         = "Nimbus Cloud"
	Subcontractor    = "Brightline Contractors"
	TenantBank       = "meadowbank"
	TenantBankName   = "Meadow Bank"
	TenantHealth     = "sakura"
	TenantHealthName = "Sakura Health"

	// OnCall is a group of both customers' own, to which they can assign roles (R67).
	OnCall = "on-call"
)

// Persona is a person of the demo. The roles of a tenant's people are not in their tokens but in the tenant's event
// stream.
type Persona struct {
	// Name is what users type (`--as erin`), and the token's subject.
	Name string
	// Human is the persona whose further account this is; empty: a human of their own (R51).
	Human string
	// Tenant is the tenant that the persona belongs to; empty: the provider.
	Tenant      string
	DisplayName string
	Email       string
	// Employer is set for the provider's personas only.
	Employer string
	// Groups are those in the persona's tokens, by the names that Lockbox or the tenant has for them.
	Groups []string
	// Methods are the authentication methods (RFC 8176); "mfa" means more than one factor.
	Methods  []string
	Isolated bool
	Language string
	// About describes the persona in one line.
	About string
}

// Personas returns the demo's people, the provider's first.
func Personas() []Persona {
	withMFA, password := []string{"pwd", "otp", "mfa"}, []string{"pwd"}
	nimbus := func(name, display, group, about string) Persona {
		return Persona{
			Name: name, DisplayName: display, Email: name + "@nimbus.example", Employer: Provider, Groups: []string{group},
			Methods: withMFA, Language: "en", About: about,
		}
	}
	customer := func(tenant, name, display, language, about string) Persona {
		return Persona{
			Name: name, Tenant: tenant, DisplayName: display, Email: name + "@" + tenant + ".example",
			Methods: withMFA, Language: language, About: about,
		}
	}
	sam := nimbus("sam", "Sam Sharma", aggregate.SupportEngineers, "support engineer who signed in with a password only")
	sam.Methods = password
	ivan := nimbus("ivan", "Ivan Ivers (isolated)", aggregate.SupportEngineers,
		"support engineer with an isolated identity instead of a second factor")
	ivan.Methods, ivan.Isolated = password, true
	bob := nimbus("bob", "Bob Baker", aggregate.SupportEngineers, "subcontractor's engineer")
	bob.Employer, bob.Email = Subcontractor, "bob@brightline.example"
	rosa := nimbus("rosa", "Rosa Reyes", aggregate.SupportEngineers,
		"support engineer on call, may ask for emergency access")
	rosa.Groups = append(rosa.Groups, aggregate.EmergencyResponders)
	rosaAdmin := nimbus("rosa-admin", "Rosa Reyes (admin)", aggregate.SecurityOfficers,
		"Rosa's other account, a security officer's: the same human")
	rosaAdmin.Human = "rosa"
	desk := nimbus("desk", "Nimbus Service Desk", aggregate.TicketSystems, "the provider's ticket system: opens tickets")
	desk.Methods = password // it is a program
	ottoAdmin := customer(TenantBank, "otto-admin", "Otto Owens (admin)", "en",
		"Otto's other account, without a role: the same human to Lockbox")
	ottoAdmin.Human = "otto"
	audrey := customer(TenantBank, "audrey", "Audrey Abbott", "en", "auditor of "+TenantBankName+", in the group "+OnCall)
	audrey.Groups = []string{OnCall}
	return []Persona{
		nimbus("erin", "Erin Ellis", aggregate.SupportEngineers, "support engineer with a second factor"),
		sam,
		ivan,
		bob,
		rosa,
		rosaAdmin,
		nimbus("lena", "Lena Lang", aggregate.SupportLeads, "customer support lead, approves internally"),
		nimbus("derek", "Derek Dunn", aggregate.DevOpsManagers, "DevOps manager, approves internally"),
		nimbus("olga", "Olga Orlova", aggregate.SecurityOfficers, "security officer, replays and revokes"),
		nimbus("onboarding", "Nimbus Onboarding", aggregate.Onboarding,
			"creates customers, and says whose a subscription is"),
		desk,

		customer(TenantBank, "grace", "Grace Green", "en", "Global Administrator of "+TenantBankName),
		customer(TenantBank, "otto", "Otto Owens", "en", "owner of a subscription of "+TenantBankName),
		ottoAdmin,
		customer(TenantBank, "fleur", "Fleur Lefèvre", "fr",
			"Lockbox Approver of a subscription of "+TenantBankName+", reads French"),
		customer(TenantBank, "eli", "Eli Edwards", "en", "eligible owner at "+TenantBankName+", counts only while activated"),
		audrey,

		customer(TenantHealth, "hana", "佐藤 花", "ja", "Global Administrator of "+TenantHealthName+", reads Japanese"),
		customer(TenantHealth, "kenji", "田中 健二", "ja", "owner of a subscription of "+TenantHealthName+", reads Japanese"),
	}
}

// EmployeeNumber is what the tokens of all accounts of one human say.
func (p Persona) EmployeeNumber() string {
	if p.Human != "" {
		return "E-" + p.Human
	}
	return "E-" + p.Name
}

// Find returns the persona with the given name.
func Find(name string) (Persona, bool) {
	all := Personas()
	i := slices.IndexFunc(all, func(p Persona) bool { return p.Name == name })
	if i < 0 {
		return Persona{}, false
	}
	return all[i], true
}

// organisation returns the display name of a tenant, or of the provider if tenant is empty.
func organisation(tenant string) string {
	return map[string]string{"": Provider, TenantBank: TenantBankName, TenantHealth: TenantHealthName}[tenant]
}

// Tenants returns the demo's tenants.
func Tenants() []string { return []string{TenantBank, TenantHealth} }
