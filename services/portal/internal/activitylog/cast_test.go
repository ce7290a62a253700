package activitylog_test

import (
	"time"

	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"github.com/openlockbox/lockbox/services/portal/internal/session"
	"github.com/openlockbox/lockbox/services/portal/internal/site/sitetest"
	"google.golang.org/protobuf/types/known/timestamppb"
)

const (
	requestID = "019e1b3c-4d5e-7f60-8a9b-0c1d2e3f4a5b"
	disk      = "/subscriptions/meadow-production/virtualMachines/payments-1"
)

func person(subject, name string) *lockboxv1.Person {
	return &lockboxv1.Person{Issuer: "https://login.meadowbank.example", Subject: subject, DisplayName: name,
		Email: subject + "@meadowbank.example"}
}

var (
	otto  = &lockboxv1.Actor{Side: lockboxv1.Side_SIDE_TENANT, Person: person("otto", "Otto Owens")}
	fleur = &lockboxv1.Actor{Side: lockboxv1.Side_SIDE_TENANT, Person: person("fleur", "Fleur Lefèvre")}
	erin  = &lockboxv1.Actor{
		Side: lockboxv1.Side_SIDE_PROVIDER, Employer: "Brightline Contractors",
		Person: &lockboxv1.Person{Issuer: "https://login.nimbus.example", Subject: "erin", DisplayName: "Erin Ellis",
			Email: "erin@nimbus.example"},
	}
	lockbox = &lockboxv1.Actor{Side: lockboxv1.Side_SIDE_SYSTEM, Service: "lockbox-orchestrator"}
)

func ago(d time.Duration) *timestamppb.Timestamp { return timestamppb.New(sitetest.Now.Add(-d)) }

func entry(
	sequence uint64, before time.Duration, typ, action string, by *lockboxv1.Actor, title, summary string,
) *lockboxv1.Activity {
	return &lockboxv1.Activity{
		Tenant: "meadowbank", Kind: "request", AggregateId: requestID, RequestId: requestID,
		SubscriptionId: "meadow-production", ResourceIds: []string{disk},
		Entry: &lockboxv1.TimelineEntry{Sequence: sequence, Time: ago(before), Type: typ, Action: action, Actor: by,
			Title: title, Summary: summary, Version: sequence - 40},
		Event: &lockboxv1.Event{Id: "019e1b3c-4d5e-7f60-8a9b-000000000000", Tenant: "meadowbank", Kind: "request",
			AggregateId: requestID, Time: ago(before), Actor: by},
	}
}

// titles and sentences are as the projector answers, by language.
var said = map[string][]string{
	"en": {
		"Approve Lockbox Request", "Fleur Lefèvre approved access to 1 resource for 2 hours: “Allez-y.”.",
		"Create Lockbox Request",
		"The customer was notified: Otto Owens and Fleur Lefèvre can decide until 2026-08-06 14:00:00 UTC.",
		"Submit Access Intent",
		"Erin Ellis (Brightline Contractors) asked for access (Virtual machines, Memory dump of a running machine) to 1 resource.",
	},
	"fr": {
		"Approuver la demande Lockbox", "Fleur Lefèvre a approuvé l’accès à 1 ressource pour 2 heures : « Allez-y. ».",
		"Créer une demande Lockbox",
		"Le client a été informé : Otto Owens et Fleur Lefèvre peuvent se prononcer jusqu’au jeudi 6 août 2026 à 14 h 00 UTC.",
		"Soumettre une intention d’accès",
		"Erin Ellis (Brightline Contractors) a demandé un accès (Virtual machines, Memory dump of a running machine) à 1 ressource.",
	},
	"ja": {
		"Lockbox 要求の承認", "Fleur Lefèvre 様が 1 件のリソースへのアクセスを 2 時間承認しました：「Allez-y.」。",
		"Lockbox 要求の作成", "お客様に通知しました。Otto Owens 様と Fleur Lefèvre 様が 2026年8月6日（木）14:00 UTC まで判断できます。",
		"アクセス要求の送信", "Erin Ellis（Brightline Contractors）が 1 件のリソースへのアクセスを要求しました（Virtual machines, Memory dump of a running machine）。",
	},
}

func activities(language string) []*lockboxv1.Activity {
	s := said[language]
	settings := entry(60, time.Hour, "SettingsChanged", "Change Lockbox Settings", otto, "Change Lockbox Settings",
		"Otto Owens changed the settings: 2 approvals needed, 1 alternate address told.")
	settings.Kind, settings.AggregateId, settings.RequestId, settings.SubscriptionId = "tenant", "meadowbank", "", ""
	ticket := entry(30, 30*time.Hour, "TicketOpened", "Open Support Ticket", otto, "Open Support Ticket",
		"Otto Owens opened ticket SR-2026-0001: “The payment service does not answer”.")
	ticket.Kind, ticket.AggregateId, ticket.RequestId = "ticket", "SR-2026-0001", ""
	approved := entry(52, 2*time.Hour, "CustomerApproved", "Approve Lockbox Request", fleur, s[0], s[1])
	approved.Emergency = true
	return []*lockboxv1.Activity{
		settings,
		approved,
		entry(43, 20*time.Hour, "CustomerNotified", "Create Lockbox Request", lockbox, s[2], s[3]),
		entry(41, 21*time.Hour, "AccessRequested", "Submit Access Intent", erin, s[4], s[5]),
		ticket,
	}
}

func told() []*lockboxv1.DisclosureView {
	officer := &lockboxv1.Actor{Side: lockboxv1.Side_SIDE_PROVIDER, Employer: "Nimbus Cloud",
		Person: &lockboxv1.Person{Subject: "sam", DisplayName: "Sam Sato"}}
	return []*lockboxv1.DisclosureView{
		{
			DisclosureId: "019e1b50-0000-7000-8000-000000000002", Tenant: "meadowbank", Authority: "District Court of Lakeside",
			Reference: "4 K 218/26",
			Occurrence: &lockboxv1.Occurrence{What: "Metadata of one mailbox were handed over",
				HappenedAt: ago(400 * time.Hour), Description: "Sender, recipient and time of 214 messages of June 2026.",
				Reason: "A court order, valid where the data are stored. Such orders do not pass through Lockbox."},
			EmbargoUntil: ago(48 * time.Hour), DisclosedAt: ago(300 * time.Hour), DisclosedBy: officer,
			ToldAt: ago(47 * time.Hour),
		},
		{
			DisclosureId: "019e1b50-0000-7000-8000-000000000001", Tenant: "meadowbank", DisclosedAt: ago(900 * time.Hour),
			DisclosedBy: officer, ToldAt: ago(900 * time.Hour),
			Occurrence: &lockboxv1.Occurrence{What: "A packet capture held payment traffic for eleven minutes",
				HappenedAt: ago(920 * time.Hour), ResourceIds: []string{disk, "/subscriptions/meadow-production/networks/core"},
				Reason: "Looking for a fault on a switch that carries traffic of several customers. Nobody asked for your data."},
		},
	}
}

// grace is a Global Administrator, sam a security officer of the provider.
func grace() *lockboxv1.SelfView {
	return &lockboxv1.SelfView{Actor: otto, Tenant: "meadowbank",
		Roles: []*lockboxv1.HeldRole{{Role: lockboxv1.Role_ROLE_GLOBAL_ADMINISTRATOR}}}
}

func sam() *lockboxv1.SelfView {
	return &lockboxv1.SelfView{Actor: &lockboxv1.Actor{Side: lockboxv1.Side_SIDE_PROVIDER,
		Person: &lockboxv1.Person{Subject: "sam"}, Groups: []string{"security-officers"}}}
}

// backend answers as the projector does for that person.
func backend(self *lockboxv1.SelfView) *sitetest.Backend {
	return &sitetest.Backend{Queries: map[string]func(*lockboxv1.Query) (*lockboxv1.QueryReply, error){
		"get_self": func(*lockboxv1.Query) (*lockboxv1.QueryReply, error) {
			return &lockboxv1.QueryReply{Answer: &lockboxv1.QueryReply_Self{Self: self}}, nil
		},
		"list_activity": func(q *lockboxv1.Query) (*lockboxv1.QueryReply, error) {
			return listed(&lockboxv1.ActivityList{Activities: activities(q.GetLanguage()), NextPageToken: "older"}), nil
		},
		"get_tenant": func(*lockboxv1.Query) (*lockboxv1.QueryReply, error) {
			return &lockboxv1.QueryReply{Answer: &lockboxv1.QueryReply_Tenant{Tenant: &lockboxv1.TenantView{
				Subscriptions: []*lockboxv1.SubscriptionView{{SubscriptionId: "meadow-production", DisplayName: "Production"}},
			}}}, nil
		},
		"list_access": func(*lockboxv1.Query) (*lockboxv1.QueryReply, error) {
			return &lockboxv1.QueryReply{Answer: &lockboxv1.QueryReply_Access{
				Access: &lockboxv1.AccessList{Records: looked(), NextPageToken: "older"}}}, nil
		},
		"list_disclosures": func(*lockboxv1.Query) (*lockboxv1.QueryReply, error) {
			return &lockboxv1.QueryReply{Answer: &lockboxv1.QueryReply_Disclosures{
				Disclosures: &lockboxv1.DisclosureList{Disclosures: told()}}}, nil
		},
	}}
}

func listed(l *lockboxv1.ActivityList) *lockboxv1.QueryReply {
	return &lockboxv1.QueryReply{Answer: &lockboxv1.QueryReply_Activity{Activity: l}}
}

// signedIn is the session of one of the customer's people, or of the provider's.
func signedIn(self *lockboxv1.SelfView) *session.Session {
	if self.GetTenant() == "" {
		return sitetest.Lena()
	}
	return sitetest.Otto()
}
