package invariant_test

import (
	"slices"
	"testing"
	"time"

	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/bus"
	"github.com/openlockbox/lockbox/pkg/invariant"
	"github.com/openlockbox/lockbox/pkg/signed"
	"github.com/openlockbox/lockbox/pkg/signed/signedtest"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// An event that nobody signed breaks I14, once for its aggregate, and nothing is derived from it.
func TestI14WhatItsWriterHasNotSigned(t *testing.T) {
	d := signedtest.New(t, "ours")
	comment := func(version uint64) *lockboxv1.Event {
		return &lockboxv1.Event{Id: "e", Tenant: "contoso", Kind: aggregate.KindTicket, AggregateId: "t1", Version: version,
			Time: timestamppb.Now(),
			Fact: &lockboxv1.Event_TicketCommented{TicketCommented: &lockboxv1.TicketCommented{Text: "x"}}}
	}
	var stream []invariant.Stored
	var before []byte
	put := func(e *lockboxv1.Event, by *signed.Signer) {
		t.Helper()
		subject, err := bus.EventSubject(e)
		if err != nil {
			t.Fatal(err)
		}
		data, err := proto.Marshal(e)
		if err != nil {
			t.Fatal(err)
		}
		u := signed.Unsigned{Subject: subject, Content: data}
		if e.GetVersion() > 1 {
			u.Previous = signed.Hash(before)
		}
		if before = data; by != nil {
			stored, err := by.Sign([]signed.Unsigned{u})
			if err != nil {
				t.Fatal(err)
			}
			data = stored[0]
		}
		stream = append(stream, invariant.Stored{Sequence: uint64(len(stream)) + 1, At: time.Now(), Subject: subject,
			Bytes: data})
	}
	ours := d.Writer(aggregate.Orchestrator)
	put(d.Began("b", time.Now()), ours)
	put(comment(1), ours)
	put(comment(2), nil)
	put(comment(3), ours)
	put(comment(4), d.Writer(aggregate.Notifier))

	book, signatures, refused := invariant.NewBook(), invariant.NewSignatures(d.Keyring()), []uint64(nil)
	for _, m := range stream {
		book.Add(m)
		if what := signatures.Next(m); what != "" {
			book.Refuse(m.Sequence, what)
			refused = append(refused, m.Sequence)
		}
	}
	// The third comment is signed, but follows one that is no event.
	if want := []uint64{3, 4, 5}; !slices.Equal(refused, want) {
		t.Errorf("refused %v, want %v", refused, want)
	}
	found, err := book.Check()
	if err != nil || len(found) != 1 || found[0].Invariant != "I14" || found[0].Sequence != 3 || len(book.Strays()) != 3 {
		t.Errorf("found %v, %v, %v", found, book.Strays(), err)
	}
}
