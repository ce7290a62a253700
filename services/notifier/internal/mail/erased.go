package mail

import (
	"strings"

	"github.com/openlockbox/lockbox/pkg/erasable"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"github.com/openlockbox/lockbox/services/notifier/internal/plan"
)

// legible says in the reader's language where a text or a name was erased (R63), or cannot be read. Everything of the
// data that somebody wrote, and every name, is among these.
func (w *writer) legible(d plan.Data) plan.Data {
	for _, s := range []*string{&d.By, &d.Text, &d.TicketTitle, &d.Justification, &d.Requester, &d.Question, &d.What,
		&d.Description, &d.Authority, &d.Reference, &d.Person, &d.Note, &d.Proposer} {
		*s = w.readable(*s)
	}
	d.Others, d.Administrators = w.allReadable(d.Others), w.allReadable(d.Administrators)
	if d.Closer != nil {
		c := *d.Closer
		c.By = w.readable(c.By)
		d.Closer = &c
	}
	if d.Differences != nil {
		by := *d.Differences
		by.Missing, by.Added, by.Altered = w.allReadable(by.Missing), w.allReadable(by.Added), w.allReadable(by.Altered)
		d.Differences = &by
	}
	if d.Keys != nil {
		k := *d.Keys
		k.Keys = make([]plan.Key, len(d.Keys.Keys))
		for i, key := range d.Keys.Keys {
			key.Label, key.Holder = w.readable(key.Label), w.readable(key.Holder)
			k.Keys[i] = key
		}
		d.Keys = &k
	}
	d.Signing = w.signedReadably(d.Signing)
	approvals := make([]plan.Approval, len(d.Approvals))
	for i, a := range d.Approvals {
		approvals[i] = a
		approvals[i].By, approvals[i].Signing = w.readable(a.By), w.signedReadably(a.Signing)
	}
	d.Approvals = approvals
	return d
}

func (w *writer) signedReadably(s *plan.Signing) *plan.Signing {
	if s == nil {
		return nil
	}
	said := *s
	said.Key.Label = w.readable(s.Key.Label)
	return &said
}

func (w *writer) allReadable(list []string) []string {
	said := make([]string, len(list))
	for i, s := range list {
		said[i] = w.readable(s)
	}
	return said
}

// readable says what was erased: all of a text, or the name of somebody, of whom the subject is left.
func (w *writer) readable(s string) string {
	switch subject, named := strings.CutSuffix(s, " "+erasable.Erased); {
	case s == erasable.Erased:
		return w.with("value/erased")
	case s == erasable.Unreadable:
		return w.with("value/unreadable")
	case named:
		return w.with("value/erased-name", "Subject", line(subject))
	}
	return s
}

// erased lists what an erasure is about.
func (w *writer) erased() (list []string) {
	for _, t := range w.n.Data.Erased[:min(len(w.n.Data.Erased), mostListed)] {
		switch what := t.GetWhat().(type) {
		case *lockboxv1.ErasureTarget_Person:
			list = append(list, w.with("erase/person", "Id", line(what.Person.GetSubject()), "Issuer",
				line(what.Person.GetIssuer())))
		case *lockboxv1.ErasureTarget_Texts:
			kind := "erase/" + what.Texts.GetKind()
			if !w.said.Has(kind) {
				kind = "erase/other"
			}
			list = append(list, w.with("erase/texts", "Kind", w.with(kind), "Id", line(what.Texts.GetAggregateId()),
				"Version", line(what.Texts.GetVersion())))
		default:
			list = append(list, w.with("erase/address"))
		}
	}
	if more := len(w.n.Data.Erased) - mostListed; more > 0 {
		list = append(list, w.with("list/more", "Count", more))
	}
	return list
}
