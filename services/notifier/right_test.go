package notifier

import (
	"strings"
	"testing"
	"time"

	"github.com/openlockbox/lockbox/pkg/aggregate"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
)

func (w *world) relieved() {
	w.Helper()
	w.write(aggregate.KindTenant, "meadowbank", grace, &lockboxv1.Event{Fact: &lockboxv1.Event_RoleRemoved{
		RoleRemoved: &lockboxv1.RoleRemoved{AssignmentId: "otto"}}})
}

// unsent counts the reports to an address that say that it may not know any more what the mail says.
func (b *burst) unsent(to string) (n int) {
	b.Helper()
	for _, reports := range b.reported()[to] {
		for _, r := range reports {
			if r.GetNotificationFailed().GetCodedReason().GetCode() ==
				lockboxv1.ReasonCode_REASON_CODE_RECIPIENT_NOT_ENTITLED {
				n++
			}
		}
	}
	return n
}

// What was planned while somebody held a role, and goes after they have lost it, does not go to them; the report says
// so, so that the mail is not missed (R20, I16).
func TestR20AMailThatGoesLateIsNotForWhoWasRelieved(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c, mails := w.mailbox()
	b := w.burst(c, 1)
	w.relieved()
	if held, failed := b.tell(); held != 0 || failed != 0 || len(mails()) != 3 {
		t.Errorf("%d held, %d failed, %d mails", held, failed, len(mails()))
	}
	if n := b.unsent("otto@meadowbank.example"); n != 1 {
		t.Errorf("%d mails are reported as not sent for that", n)
	}
	for _, m := range mails() {
		if strings.HasPrefix(m.To[0], "otto@") {
			t.Errorf("Otto reads %s", m.Subject)
		}
	}
}

func TestR20WhatWasHeldIsNotForWhoWasRelieved(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c, mails := w.mailbox()
	c.DigestAfter = time.Hour
	b := w.burst(c, 6)
	b.tell()
	before := len(mails())
	w.relieved()
	b.due()
	for range 2 {
		if held, failed := b.tell(); held != 0 || failed != 0 || len(mails()) != before+3 {
			t.Fatalf("%d held, %d failed, %d mails", held, failed, len(mails()))
		}
	}
	if n := b.unsent("otto@meadowbank.example"); n != 5 {
		t.Errorf("%d mails are reported as not sent for that", n)
	}
	if len(b.holding.digests) != 0 {
		t.Errorf("%d digests are remembered that are reported", len(b.holding.digests))
	}
}
