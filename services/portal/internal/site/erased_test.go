package site_test

import (
	"strings"
	"testing"

	"github.com/openlockbox/lockbox/pkg/erasable"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"github.com/openlockbox/lockbox/services/portal/internal/site"
	"github.com/openlockbox/lockbox/services/portal/internal/site/sitetest"
)

// R63: what was erased reads so in the reader's language, wherever in a reply it stands, and so does what cannot be
// read. What people wrote is not touched.
func TestR63WhatWasErasedReadsSoInEveryLanguage(t *testing.T) {
	for lang, want := range map[string][3]string{
		"en": {"erin-7 (name erased)", "[erased]", "[unreadable]"},
		"fr": {"erin-7 (nom effacé)", "[effacé]", "[illisible]"},
		"ja": {"erin-7（氏名は消去済み）", "［消去済み］", "［読み取り不可］"},
	} {
		var got *lockboxv1.RequestView
		b := &sitetest.Backend{Queries: map[string]func(*lockboxv1.Query) (*lockboxv1.QueryReply, error){
			"get_request": func(*lockboxv1.Query) (*lockboxv1.QueryReply, error) {
				return &lockboxv1.QueryReply{Answer: &lockboxv1.QueryReply_Request{Request: &lockboxv1.RequestView{
					Intent:    &lockboxv1.AccessIntent{Justification: erasable.Erased, ResourceIds: []string{"/a"}},
					Requester: &lockboxv1.Actor{Person: &lockboxv1.Person{Subject: "erin-7", Erased: true}},
					CustomerDecisions: []*lockboxv1.Decision{{Reason: erasable.Unreadable,
						Actor: &lockboxv1.Actor{Person: &lockboxv1.Person{Subject: "otto", DisplayName: "Otto [erased]"}}}},
				}}}, nil
			}}}
		h := sitetest.Server(sitetest.New(t, b, sitetest.Otto()), []site.Route{{Method: "GET", Path: "/x", Side: site.Both,
			Serve: func(v *site.Visit) error {
				reply, err := v.Ask(&lockboxv1.Query{Ask: &lockboxv1.Query_GetRequest{GetRequest: &lockboxv1.GetRequest{}}})
				got = reply.GetRequest()
				return err
			}}})
		if w := sitetest.Get(h, "/t/meadowbank/x?lang="+lang); w.Code != 200 {
			t.Fatal(w.Body)
		}
		d := got.GetCustomerDecisions()[0]
		if have := [3]string{got.GetRequester().GetPerson().GetDisplayName(), got.GetIntent().GetJustification(),
			d.GetReason()}; have != want || !strings.HasPrefix(d.GetActor().GetPerson().GetDisplayName(), "Otto [") {
			t.Errorf("%s: %q, %v", lang, have, d)
		}
	}
}
