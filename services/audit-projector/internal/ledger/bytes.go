package ledger

import (
	"bytes"
	"context"
	"crypto/sha256"
	"slices"

	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/journal"
	"github.com/openlockbox/lockbox/pkg/merkle"
	"github.com/openlockbox/lockbox/pkg/signed"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"golang.org/x/mod/sumdb/tlog"
)

// Withholds reports whether an event's bytes are withheld from the customer whose event it is, in receipts and wherever
// the log is served: an evaluation that counts the requests of all customers, and a legal demand under an embargo,
// which stands in no customer's tree anyway. Stored bytes are shown whole or not at all.
func Withholds(e *lockboxv1.Event) bool {
	return e.GetAccessEvaluated().GetFacts().GetHistory() != nil || e.GetLegalDemandDisclosed() != nil
}

// Events shows up to count of a tenant's events, from one tenant sequence on, to the tenant's own people. Explained
// adds what the provider recorded about those that are no events.
func (p Public) Events(
	ctx context.Context, tenant string, from, count int64, explained bool,
) (b merkle.Bundle, err error) {
	var stored [][]byte
	var whole []merkle.Whole
	err = p.view(func(s shown) error {
		_, tree, err := s.slot(tenant)
		if err != nil {
			return err
		}
		if from < 1 || from > tree.N || count < 1 {
			return ErrNoTree
		}
		b.Events, err = merkle.ShowEvents(p.tenantTree(tenant), tree, from-1, count,
			func(w merkle.Whole, e *lockboxv1.Event) (merkle.Shown, error) {
				whole = append(whole, w)
				if e == nil || Withholds(e) {
					return merkle.Shown{Withheld: true}, nil
				}
				stored = append(stored, w.Bytes)
				salt := tlog.Hash(w.Salt)
				return merkle.Shown{Salt: &salt, Bytes: w.Bytes}, nil
			})
		return err
	})
	if err == nil && explained {
		err = p.explain(ctx, whole, b.Events)
	}
	if err == nil {
		b.Writers, err = p.certificates(ctx, stored)
	}
	return b, err
}

// explain adds when the provider recorded an alarm about each message, and that it was set aside.
func (l *Ledger) explain(ctx context.Context, whole []merkle.Whole, events []merkle.Shown) error {
	return l.Journal.Replay(ctx, journal.Replay{Tenant: aggregate.ProviderTenant, Kind: aggregate.KindAlarm,
		Misfit: func(journal.Entry, journal.Misfit) error { return nil }}, func(e journal.Entry) error {
		found, aside := e.Event.GetDifferenceFound(), e.Event.GetMessageSetAside()
		for i, w := range whole {
			hash := sha256.Sum256(w.Bytes)
			switch at := e.Event.GetTime().AsTime(); {
			case aside.GetSequence() == w.Sequence && aside.GetSubject() == w.Subject &&
				bytes.Equal(aside.GetSha256(), hash[:]):
				events[i].SetAside = at
			case found.GetFirstSequence() == w.Sequence && slices.Contains(found.GetSubjects(), w.Subject):
				events[i].Alarm = at
			}
		}
		return nil
	})
}

// certificates returns those of the keys that signed these events, in the order of first use: they stand in the
// provider's own tree, which customers never see.
func (l *Ledger) certificates(ctx context.Context, stored [][]byte) ([]string, error) {
	var ids []signed.KeyID
	for _, data := range stored {
		if id, is := signed.KeyIn(data); is && !slices.Contains(ids, id) {
			ids = append(ids, id)
		}
	}
	found := []string{}
	if len(ids) == 0 {
		return found, nil
	}
	l.certified.Lock()
	defer l.certified.Unlock()
	if slices.ContainsFunc(ids, func(id signed.KeyID) bool { return l.certified.texts[id] == "" }) {
		if err := l.readCertificates(ctx); err != nil {
			return nil, err
		}
	}
	for _, id := range ids {
		if text := l.certified.texts[id]; text != "" {
			found = append(found, text)
		}
	}
	return found, nil
}

// readCertificates reads the certificates that are recorded. A key has one for ever: the first.
func (l *Ledger) readCertificates(ctx context.Context) error {
	l.certified.texts = map[signed.KeyID]string{}
	at := aggregate.SigningWriters
	return l.Journal.Replay(ctx, journal.Replay{Tenant: at.Tenant, Kind: at.Kind, ID: at.ID,
		Misfit: func(journal.Entry, journal.Misfit) error { return nil }}, func(e journal.Entry) error {
		for _, text := range slices.Concat(e.Event.GetSigningBegan().GetCertificates(),
			[]string{e.Event.GetWriterCertified().GetCertificate()}) {
			if id, is := signed.KeyOf(text); is && l.certified.texts[id] == "" {
				l.certified.texts[id] = text
			}
		}
		return nil
	})
}
