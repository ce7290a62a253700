package activitylog_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"
)

func looked() []*lockboxv1.AccessRecord {
	engineer := &lockboxv1.AccessPerson{Issuer: "https://login.nimbus.example", Subject: "erin", Name: "Erin Ellis",
		Side: lockboxv1.Side_SIDE_PROVIDER, Employer: "Brightline Contractors"}
	own := &lockboxv1.AccessPerson{Subject: "grace", Name: "Grace <Green>", Side: lockboxv1.Side_SIDE_TENANT}
	return []*lockboxv1.AccessRecord{
		{Id: "1", Tenant: "meadowbank", Time: ago(time.Minute), Kind: lockboxv1.AccessKind_ACCESS_KIND_EXPORT, Who: own,
			Action: "list_activity", Format: "csv", Filter: "person=erin",
			FilterTerms: []*lockboxv1.FilterTerm{{Name: "person", Values: []string{"erin"}}},
			FilterSince: ago(240 * time.Hour), Results: 1200,
			Count: 2, Since: ago(2 * time.Minute)},
		{Id: "2", Tenant: "meadowbank", Time: ago(time.Hour), Kind: lockboxv1.AccessKind_ACCESS_KIND_READ, Who: engineer,
			Action: "get_request", AboutKind: "request", AboutId: requestID, Results: 1, Count: 1},
		{Id: "3", Tenant: "meadowbank", Time: ago(2 * time.Hour), Kind: lockboxv1.AccessKind_ACCESS_KIND_COMMAND_REFUSED,
			Action: "approve", AboutKind: "request", AboutId: requestID, Count: 1,
			RefusalCode: lockboxv1.RefusalCode_REFUSAL_CODE_UNAUTHENTICATED, RefusalField: "token", RefusalRule: "R13",
			Emergency: true},
		{Id: "4", Tenant: "meadowbank", Time: ago(3 * time.Hour), Kind: lockboxv1.AccessKind_ACCESS_KIND_COMMAND_REFUSED,
			LeftOut: 1940},
		{Id: "5", Tenant: "_", Time: ago(4 * time.Hour), Kind: lockboxv1.AccessKind_ACCESS_KIND_SIGN_IN_FAILED,
			Reason: "declined", Count: 1},
	}
}

func TestR69WhoLookedReadsInEachLanguage(t *testing.T) {
	for lang, words := range map[string][]string{
		"en": {"Sign-ins and views", "Exported the activity log as csv", "1200 results", "2 times", "Viewed a request",
			"Tried to approve a request", "Filter: Person: erin",
			"Refused: not signed in", "Further refused actions", "1940, not recorded in detail",
			"The sign-in was cancelled", "Only people at Nimbus Cloud", "Kept for 400 days", "Unknown"},
		"fr": {"Connexions et consultations", "A exporté le journal", "au format csv", "A consulté une demande",
			"non connecté", "La connexion a été annulée", "A tenté d’approuver une demande",
			"Filtrage\u00a0: Personne\u00a0: erin", "Conservé 400 jours", "Inconnu"},
		"ja": {"サインインと閲覧の記録", "要求を閲覧しました", "要求の承認を試みました", "保存期間は 400 日です", "不明"},
	} {
		page := get(t, served(t, backend(grace()), grace()), "/t/meadowbank/access-records?lang="+lang, http.StatusOK)
		holds(t, page, words...)
		holds(t, page, "Erin Ellis", "Brightline Contractors", "Grace <Green>",
			`href="/t/meadowbank/requests/`+requestID+`"`, `href="/t/meadowbank/access-records?page=older"`)
	}
}

// An emergency is marked as in lists of requests: by the word and the colour of the row.
func TestR43EmergenciesAreMarkedInTheLogs(t *testing.T) {
	for lang, word := range map[string]string{"en": "Emergency", "fr": "Urgence", "ja": "緊急"} {
		for _, path := range []string{"activity", "access-records"} {
			page := get(t, served(t, backend(grace()), grace()), "/t/meadowbank/"+path+"?lang="+lang, http.StatusOK)
			mark := `<strong class="state urgent">` + word + `</strong>`
			if strings.Count(page, mark) != 1 || strings.Count(page, `<tr class="emergency">`) != 1 {
				t.Errorf("%s in %s: one entry is about an emergency: %s", path, lang, page)
			}
		}
	}
}

func TestR69EveryFilterOfTheRecordsIsAsked(t *testing.T) {
	b := backend(grace())
	h := served(t, b, grace())
	page := get(t, h, "/t/meadowbank/access-records?"+url.Values{"kind": {"read"}, "from": {"2026-08-01T00:00"},
		"until": {"2026-08-03T09:00"}, "person": {" erin "}, "provider": {"1"}, "page": {"token"}}.Encode(), http.StatusOK)
	want := &lockboxv1.ListAccess{Kinds: []lockboxv1.AccessKind{lockboxv1.AccessKind_ACCESS_KIND_READ}, Person: "erin",
		ProviderOnly: true, Limit: 50, PageToken: "token",
		Since: timestamppb.New(time.Date(2026, 8, 1, 0, 0, 0, 0, time.UTC)),
		Until: timestamppb.New(time.Date(2026, 8, 3, 9, 0, 0, 0, time.UTC))}
	var got []*lockboxv1.ListAccess
	for _, q := range b.Asked {
		if q.GetListAccess() != nil {
			got = append(got, q.GetListAccess())
		}
	}
	if len(got) != 1 || !proto.Equal(got[0], want) {
		t.Errorf("asked %v, want %v", got, want)
	}
	holds(t, page, `<option value="read" selected>View<`, `<option value="1" selected>`,
		"/access-records?from=2026-08-01T00%3A00&kind=read&page=older&person=erin&provider=1&until=")
	get(t, h, "/t/meadowbank/access-records?from=yesterday", http.StatusBadRequest)
	holds(t, get(t, h, "/t/meadowbank/activity", http.StatusOK), `href="/t/meadowbank/access-records"`)
}

func TestR69TheProviderSeesWhoseRecordsTheyAre(t *testing.T) {
	page := get(t, served(t, backend(sam()), sam()), "/provider/access-records", http.StatusOK)
	holds(t, page, "Meadow Bank", "What a customer’s own people viewed is not shown here")
}
