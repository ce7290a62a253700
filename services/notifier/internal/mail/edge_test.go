package mail

import (
	"mime"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/openlockbox/lockbox/pkg/reason"
	"github.com/openlockbox/lockbox/pkg/tenant"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"github.com/openlockbox/lockbox/services/notifier/internal/plan"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// Whatever code can reach a mail has words of its own in every language: none is shown as its name, as the words of an
// unknown one, or in English to somebody who reads another language.
func TestEveryCodeThatReachesAMailHasWords(t *testing.T) {
	for _, row := range []struct {
		of protoreflect.EnumDescriptor
		in []plan.Template
		by plan.Standing
		// put makes a sample say the code; none skips a value that is no code.
		put  func(n *plan.Notification, v protoreflect.EnumNumber)
		none func(v protoreflect.EnumNumber) bool
		said func(n plan.Notification, mail opened) string
	}{
		{of: lockboxv1.ReasonCode(0).Descriptor(), by: plan.Requester,
			in: []plan.Template{plan.RequestRefused, plan.AccessLapsed, plan.AccessRevoked, plan.ApprovalsOutOfReach},
			put: func(n *plan.Notification, v protoreflect.EnumNumber) {
				n.Data.Why = reason.Of(lockboxv1.ReasonCode(v), "rule", "r", "group", "g", "resource_type", "t", "scenario", "s",
					"service", "s", "migration", "m", "answer", "a", "resource", "r", "pattern", "p")
				n.Data.Text = "recorded in English"
			},
			none: func(v protoreflect.EnumNumber) bool {
				return lockboxv1.ReasonCode(v) == lockboxv1.ReasonCode_REASON_CODE_RULE_MATCHED // the rule's own words
			}},
		{of: lockboxv1.ReasonType(0).Descriptor(), in: []plan.Template{plan.ApprovalRequested, plan.EmergencyAccess},
			by:  plan.Approver,
			put: func(n *plan.Notification, v protoreflect.EnumNumber) { n.Data.Reason = lockboxv1.ReasonType(v) }},
		{of: lockboxv1.Waiver(0).Descriptor(), in: []plan.Template{plan.AccessGranted}, by: plan.Requester,
			put: func(n *plan.Notification, v protoreflect.EnumNumber) { n.Data.Waiver = lockboxv1.Waiver(v) }},
		{of: lockboxv1.Waiver(0).Descriptor(), in: []plan.Template{plan.WaivedAccess}, by: plan.Administrator,
			put: func(n *plan.Notification, v protoreflect.EnumNumber) {
				n.Data.Waived = &lockboxv1.WaivedAccessReported{
					Counts: []*lockboxv1.WaivedCount{{Waiver: lockboxv1.Waiver(v), Count: 1}}}
			}},
		{of: lockboxv1.Role(0).Descriptor(), in: []plan.Template{plan.RoleAssigned, plan.RoleLost}, by: plan.Administrator,
			put: func(n *plan.Notification, v protoreflect.EnumNumber) { n.Data.Role = lockboxv1.Role(v) }},
		{of: lockboxv1.Fallback(0).Descriptor(), in: []plan.Template{plan.SettingsChanged}, by: plan.Administrator,
			put: func(n *plan.Notification, v protoreflect.EnumNumber) {
				n.Data.Settings.Fallback = lockboxv1.Fallback(v)
			}},
		{of: lockboxv1.SupportPlan(0).Descriptor(), in: []plan.Template{plan.PlanChanged}, by: plan.Administrator,
			put: func(n *plan.Notification, v protoreflect.EnumNumber) { n.Data.PlanTo = lockboxv1.SupportPlan(v) }},
	} {
		values := row.of.Values()
		for _, language := range tenant.Languages {
			unknown := said(t, language)["value/unknown"]
			for _, template := range row.in {
				bodies := map[string]string{}
				for i := 1; i < values.Len(); i++ {
					v := values.Get(i)
					if row.none != nil && row.none(v.Number()) {
						continue
					}
					n := sample(template, language)
					n.Standing = row.by
					row.put(&n, v.Number())
					body := render(t, n).plain
					if strings.Contains(body, unknown) || strings.Contains(body, string(v.Name())) ||
						strings.Contains(body, "recorded in English") {
						t.Errorf("%s in %s: nobody has words for %s:\n%s", template, language, v.Name(), body)
					}
					if other, twice := bodies[body]; twice {
						t.Errorf("%s in %s reads the same for %s and %s", template, language, v.Name(), other)
					}
					bodies[body] = string(v.Name())
				}
			}
		}
	}
}

var (
	ruleNumber = regexp.MustCompile(`\b[RI][1-9][0-9]?\b`)
	enumName   = regexp.MustCompile(`\b[A-Z]{2,}_[A-Z_]+\b`)
	slug       = regexp.MustCompile(`\b(?:devops-managers|customer-support-leads|security-officers|compute/[a-z-]+)\b`)
)

// No mail speaks of the numbers of rules, of the names that programs use, or to the customer of "the customer".
func TestNoMailSpeaksAsPrograms(t *testing.T) {
	customers := map[string]*regexp.Regexp{"en": regexp.MustCompile(`(?i)\bcustomer[’s]*\b`),
		"fr": regexp.MustCompile(`(?i)\b(?:le|du|au) client\b`), "ja": regexp.MustCompile(`顧客(?:が|の|は)`)}
	each(t, func(t *testing.T, n plan.Notification) {
		standings := []plan.Standing{n.Standing}
		if n.Thread != "" && n.Template != plan.Digest {
			standings = plan.Standings()
		}
		for _, n.Standing = range standings {
			n.Data.Basis = lockboxv1.ApproverBasis_APPROVER_BASIS_FALLBACK
			n.Data.Short, n.Data.Dormant = true, true
			mail := render(t, n)
			body := mail.header.Get("Subject") + "\n" + mail.plain
			if n.Standing == plan.SecurityOfficer { // what it is about is named as it is in the stream
				body = strings.ReplaceAll(body, strings.Join(n.Data.Resources, ""), "")
			} else if at := enumName.FindString(body); at != "" {
				t.Errorf("%s reads the name %s:\n%s", n.Standing, at, body)
			}
			for _, is := range []*regexp.Regexp{ruleNumber, slug} {
				if at := is.FindString(body); at != "" {
					t.Errorf("%s reads %s:\n%s", n.Standing, at, body)
				}
			}
			if (&writer{n: n}).toCustomer() && addressed(n) {
				body = strings.ReplaceAll(body, said(t, n.Language)["status/customer-notified"], "")
				if at := customers[n.Language].FindString(body); at != "" {
					t.Errorf("%s, who is the customer, reads of %q:\n%s", n.Standing, at, body)
				}
			}
		}
	})
}

// addressed reports whether the mail is ever for such a recipient.
func addressed(n plan.Notification) bool {
	provider := []plan.Template{plan.CustomerAsked, plan.InternalApprovalRequested, plan.InternalApprovalReminder,
		plan.RequestRefused, plan.InternallyRefused, plan.InternalExpired, plan.QuestionAsked}
	return !slices.Contains(provider, n.Template)
}

// What an older version recorded as a sentence is shown without the numbers of rules.
func TestARecordedSentenceIsShownWithoutRules(t *testing.T) {
	n := sample(plan.AccessLapsed, "en")
	n.Data.Why = nil
	if body := render(t, n).plain; !strings.Contains(body, "> an approver lost the role before access began\n") {
		t.Error(body)
	}
}

// A mail about an emergency cannot be taken for an ordinary one: by its subject, its first line and its importance.
func TestAnEmergencyLooksLikeOne(t *testing.T) {
	for language, want := range map[string]string{"en": "EMERGENCY: ", "fr": "URGENCE\u00a0: ", "ja": "緊急"} {
		for _, template := range []plan.Template{plan.EmergencyAccess, plan.AccessGranted, plan.AccessCompleted,
			plan.AccessRevoked, plan.InternalApprovalRequested} {
			n := sample(template, language)
			n.Emergency, n.Data.Emergency = false, false
			plain := render(t, n)
			n.Emergency, n.Data.Emergency = true, template != plan.InternalApprovalRequested
			mail := render(t, n)
			subject, ordinary := decoded(t, mail), decoded(t, plain)
			if !strings.Contains(subject, strings.ReplaceAll(want, "\u00a0", " ")) || strings.Contains(ordinary, want) ||
				!strings.HasPrefix(mail.plain, want) || strings.HasPrefix(plain.plain, want) ||
				mail.header.Get("Importance") != "high" || plain.header.Get("Importance") != "" ||
				!strings.Contains(mail.html, "#b3261e") || strings.Contains(plain.html, "#b3261e") {
				t.Errorf("%s in %s: %q beside %q\n%s", template, language, subject, ordinary, mail.plain)
			}
		}
	}
}

func decoded(t *testing.T, mail opened) string {
	t.Helper()
	subject, err := new(mime.WordDecoder).DecodeHeader(mail.header.Get("Subject"))
	if err != nil {
		t.Fatal(err)
	}
	return subject
}
