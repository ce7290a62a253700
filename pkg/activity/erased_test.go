package activity_test

import (
	"strings"
	"testing"

	"github.com/openlockbox/lockbox/pkg/activity"
	"github.com/openlockbox/lockbox/pkg/erasable"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
)

var gone = &lockboxv1.Actor{Side: lockboxv1.Side_SIDE_TENANT, Person: &lockboxv1.Person{Subject: "otto", Erased: true}}

// R63: what was erased reads so, in the reader's language and not as if somebody had written it. Who it was stays.
func TestR63WhatWasErasedReadsSo(t *testing.T) {
	denied := func(reason string) *lockboxv1.Event {
		return &lockboxv1.Event{Actor: gone,
			Fact: &lockboxv1.Event_CustomerDenied{CustomerDenied: &lockboxv1.CustomerDenied{Reason: reason}}}
	}
	sent := &lockboxv1.Event{Fact: &lockboxv1.Event_NotificationSent{NotificationSent: &lockboxv1.NotificationSent{
		Notification: &lockboxv1.Notification{Template: "access-granted"}}}}
	for _, row := range []struct {
		event *lockboxv1.Event
		says  map[string]string
	}{
		{denied(erasable.Erased), map[string]string{
			"en": "otto (name erased) denied access: [erased].",
			"fr": "otto (nom effacé) a refusé l’accès\u00a0: [effacé].",
			"ja": "otto（氏名は消去済み） がアクセスを拒否しました（理由：［消去済み］）。",
		}},
		{denied(erasable.Unreadable), map[string]string{
			"en": "otto (name erased) denied access: [unreadable].",
			"fr": "otto (nom effacé) a refusé l’accès\u00a0: [illisible].",
			"ja": "otto（氏名は消去済み） がアクセスを拒否しました（理由：［読み取り不可］）。",
		}},
		{sent, map[string]string{
			"en": `The mail "Access has begun" to an address that can no longer be read was taken by the mail server.`,
		}},
	} {
		for tag, want := range row.says {
			if _, got := activity.In(tag).Describe(row.event); got != want {
				t.Errorf("%s: %s", tag, got)
			}
		}
	}
}

// R63: an erasure says what is erased, without the name or the address that is to go.
func TestR63AnErasureSaysWhatIsErased(t *testing.T) {
	targets := []*lockboxv1.ErasureTarget{
		{What: &lockboxv1.ErasureTarget_Person{Person: &lockboxv1.ErasedPerson{Subject: "otto"}}},
		{What: &lockboxv1.ErasureTarget_Address{Address: &lockboxv1.ErasedAddress{}}},
		{What: &lockboxv1.ErasureTarget_Texts{
			Texts: &lockboxv1.ErasedTexts{Kind: "ticket", AggregateId: "T-1", Version: "4"}}},
	}
	var many []*lockboxv1.ErasureTarget
	for range 50 {
		many = append(many, targets[0])
	}
	officer := &lockboxv1.Actor{Side: lockboxv1.Side_SIDE_PROVIDER, Person: &lockboxv1.Person{DisplayName: "Sofia"}}
	decided := func(by *lockboxv1.Actor) *lockboxv1.Event {
		return &lockboxv1.Event{Actor: by, Fact: &lockboxv1.Event_ErasureDecided{
			ErasureDecided: &lockboxv1.ErasureDecided{Targets: targets, Reason: "He left."}}}
	}
	proposed := func(of []*lockboxv1.ErasureTarget) *lockboxv1.Event {
		return &lockboxv1.Event{Actor: officer, Fact: &lockboxv1.Event_ErasureProposed{
			ErasureProposed: &lockboxv1.ErasureProposed{Targets: of, Reason: "He left."}}}
	}
	const what = "name and address of otto, an e-mail address and what was written in ticket T-1 (event 4)"
	for _, row := range []struct {
		want  string
		event *lockboxv1.Event
	}{
		{"Sofia proposed to erase " + what + ": “He left.”. Another security officer has to confirm it.", proposed(targets)},
		{"Sofia confirmed the erasure of " + what + ".", decided(officer)},
		{"Otto Owens decided to erase " + what + ": “He left.”.", decided(otto)},
	} {
		if _, got := activity.In("en").Describe(row.event); got != row.want {
			t.Error(got)
		}
	}
	if _, got := activity.In("en").Describe(proposed(many)); !strings.Contains(got, "and 45 other things:") {
		t.Error(got)
	}
}
