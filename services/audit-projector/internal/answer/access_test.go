package answer_test

import (
	"context"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/openlockbox/lockbox/pkg/accesslog"
	"github.com/openlockbox/lockbox/pkg/bus"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"github.com/openlockbox/lockbox/services/audit-projector/internal/accessdb"
	"go.uber.org/zap"
	"google.golang.org/protobuf/proto"
)

// noRecords lists nothing.
type noRecords struct{ asked []accessdb.Filter }

func (n *noRecords) List(_ context.Context, f accessdb.Filter, _ int) ([]accessdb.Record, error) {
	n.asked = append(n.asked, f)
	return nil, nil
}

// recorded is what becomes of queries in the records, in their order.
func recorded(p *place, ask func()) (all []*lockboxv1.AccessRecord) {
	var mu sync.Mutex
	begun := p.answerer.Now() // the recorder looks at its clock by itself, and the story's is turned meanwhile
	p.answerer.Trail = accesslog.Start(bus.Projector, func(_ context.Context, r *lockboxv1.AccessRecord) error {
		mu.Lock()
		defer mu.Unlock()
		all = append(all, r)
		return nil
	}, func() time.Time { return begun }, zap.NewNop(), nil)
	ask()
	p.answerer.Trail.Close()
	p.answerer.Trail = nil
	return all
}

// Every query leaves a record, but for those that tell of no customer.
func TestR69EveryQueryLeavesARecord(t *testing.T) {
	p := newPlace(t)
	p.answerer.Access = new(noRecords)
	for name, q := range p.questions(bank) {
		query := bus.QueryName(q)
		got := recorded(p, func() { p.query("olga", q) })
		if query == "get_self" || query == "list_services" || query == "get_sign_in" {
			if len(got) != 0 {
				t.Errorf("%s: %v", name, got)
			}
			continue
		}
		if len(got) != 1 {
			t.Errorf("%s: %d records", name, len(got))
			continue
		}
		r := got[0]
		if r.GetAction() != query || r.GetTenant() != bank || r.GetSender() != "EDGE" ||
			r.GetWho().GetSide() != lockboxv1.Side_SIDE_PROVIDER || !strings.Contains(r.GetWho().GetName(), "Olga") {
			t.Errorf("%s: %v", name, r)
		}
	}
}

// What is asked across customers is recorded about each of whom there was something in the answer, and about nobody
// else; and a token that does not count names nobody.
func TestR69WhomARecordConcerns(t *testing.T) {
	p := newPlace(t)
	across := recorded(p, func() { p.query("olga", listRequests("", &lockboxv1.ListRequests{})) })
	var tenants []string
	for _, r := range across {
		tenants = append(tenants, r.GetTenant())
		if r.GetResults() == 0 {
			t.Errorf("%v", r)
		}
	}
	if slices.Sort(tenants); !slices.Equal(tenants, []string{bank, health}) {
		t.Errorf("they concern %v", tenants)
	}
	for name, c := range map[string]struct {
		who, tenant string
		concerns    string
		known       bool
		code        lockboxv1.RefusalCode
	}{
		"nobody's tenant":          {"olga", "nowhere", "_", true, notFound},
		"another customer's":       {"hana", bank, bank, false, notFound},
		"their own without a role": {"otto-admin", bank, bank, true, notFound},
	} {
		got := recorded(p, func() { p.query(c.who, listActivity(c.tenant, &lockboxv1.ListActivity{})) })
		if len(got) != 1 || got[0].GetTenant() != c.concerns || (got[0].GetWho() != nil) != c.known ||
			got[0].GetRefusalCode() != c.code {
			t.Errorf("%s: %v", name, got)
		}
	}
	// A token that counted once names nobody when it does not any more.
	token, err := p.issuer.Token("olga", p.story.Now)
	must(t, err)
	q := listActivity(bank, &lockboxv1.ListActivity{Export: "csv", Person: "otto", Limit: 3})
	q.Token = token
	data, err := proto.Marshal(q)
	must(t, err)
	subject := bus.QuerySubject(bus.Portal, "list_activity")
	got := recorded(p, func() {
		p.send(subject, data)
		p.story.Now = p.story.Now.AddDate(0, 0, 1)
		p.send(subject, data)
		p.answerer.Refuse(subject, data, &lockboxv1.Refusal{Code: lockboxv1.RefusalCode_REFUSAL_CODE_UNAVAILABLE})
	})
	if len(got) != 3 || got[0].GetWho() == nil ||
		got[0].GetKind() != lockboxv1.AccessKind_ACCESS_KIND_EXPORT || got[0].GetFormat() != "csv" ||
		got[0].GetFilter() != "person=otto" || len(got[0].GetFilterTerms()) != 1 ||
		got[0].GetFilterTerms()[0].GetName() != "person" ||
		got[0].GetFilterTerms()[0].GetValues()[0] != "otto" ||
		got[0].GetSender() != "PORTAL" || got[1].GetWho() != nil ||
		got[1].GetRefusalCode() != unauthenticated || got[2].GetWho() == nil {
		t.Errorf("%v", got)
	}
}

func TestR69TheProviderIsNotShownWhatACustomersPeopleRead(t *testing.T) {
	p := newPlace(t)
	for who, want := range map[string]lockboxv1.Side{"olga": lockboxv1.Side_SIDE_TENANT, "grace": 0} {
		db := new(noRecords)
		p.answerer.Access = db
		q := &lockboxv1.Query{Tenant: bank, Ask: &lockboxv1.Query_ListAccess{ListAccess: &lockboxv1.ListAccess{}}}
		if r := p.query(who, q).GetRefusal(); r != nil || len(db.asked) != 1 || db.asked[0].NotReadsOf != want ||
			db.asked[0].Tenant != bank {
			t.Errorf("%s: %v, %v", who, r, db.asked)
		}
		for field, ask := range map[string]*lockboxv1.ListAccess{
			"list_access.kinds":      {Kinds: []lockboxv1.AccessKind{99}},
			"list_access.person":     {Person: "a\nb"},
			"list_access.limit":      {Limit: 1001},
			"list_access.page_token": {PageToken: "x"},
		} {
			q.Ask = &lockboxv1.Query_ListAccess{ListAccess: ask}
			if r := p.query(who, q).GetRefusal(); r.GetField() != field {
				t.Errorf("%s: %v", field, r)
			}
		}
	}
}
