package verifier

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/openlockbox/lockbox/pkg/fact"
	"github.com/openlockbox/lockbox/pkg/merkle"
	"github.com/openlockbox/lockbox/pkg/refusal"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"golang.org/x/mod/sumdb/tlog"
)

// checked is how far a watcher has checked the bytes of the tenant's events, and what it needs to go on.
type checked struct {
	// Size is how many of the first entries were checked, and Judged whether that they are signed was checked of all.
	Size   int64 `json:"size"`
	Judged bool  `json:"judged"`
	// Withheld counts those that an honest log withholds.
	Withheld int64 `json:"withheld"`
	// Signed, Latest and LatestAt are those of fold.
	Signed   uint64    `json:"signed"`
	Latest   uint64    `json:"latest"`
	LatestAt time.Time `json:"latestAt"`
	// Places are where the events of each aggregate stand: the differences of their tenant sequences, as varints.
	Places map[string][]byte `json:"places"`
	// Open are entries of which something is not shown that could be.
	Open []uint64 `json:"open"`
	// Suspect is what was found and not reported yet, because not everything was read that shows it.
	Suspect []suspicion `json:"suspect"`
	// Told is how far it was said what the customer's people have signed.
	Told uint64 `json:"told"`
	// Said is what was said and is not said again.
	Said []string `json:"said"`
}

const (
	// mostOpen and mostSuspect limit what is kept of a log of which nothing is right.
	mostOpen    = 64
	mostSuspect = 32
	// mostStories is how many aggregates are held in memory.
	mostStories = 4096
	// tellEvery is how often progress is said and kept.
	tellEvery = 2 * time.Second
)

// first says something unless it was said before.
func (c *checked) first(what string) bool {
	if slices.Contains(c.Said, what) {
		return false
	}
	c.Said = append(c.Said, what)
	return true
}

func (c *checked) suspect(all ...suspicion) {
	for _, x := range all {
		if len(c.Suspect) < mostSuspect && c.first(x.What) {
			c.Suspect = append(c.Suspect, x)
		}
	}
}

func (c *checked) open(entry uint64) {
	if len(c.Open) < mostOpen && !slices.Contains(c.Open, entry) {
		c.Open = append(c.Open, entry)
	}
}

// places are where an aggregate's events stand.
func (c *checked) places(about string) (places []uint64) {
	at := uint64(0)
	for rest := c.Places[about]; len(rest) > 0; {
		n, size := binary.Uvarint(rest)
		if size <= 0 {
			break
		}
		at, rest = at+n, rest[size:]
		places = append(places, at)
	}
	return places
}

func (c *checked) place(about string, at uint64) {
	last := uint64(0)
	if places := c.places(about); len(places) > 0 {
		last = places[len(places)-1]
	}
	c.Places[about] = binary.AppendUvarint(c.Places[about], at-last)
}

// remote reads the tiles of the tenant's tree from the log. Upper ones are kept: each page needs the same.
type remote struct {
	get  func(path string) ([]byte, error)
	kept map[string][]byte
	// err is the first error that was none of the tiles'.
	err error
}

func (r *remote) Read(path string) ([]byte, error) {
	if data := r.kept[path]; data != nil {
		return data, nil
	}
	data, err := r.get(path)
	if err != nil && r.err == nil {
		r.err = err
	}
	if err == nil && !strings.HasPrefix(path, "tile/0/") && !strings.HasPrefix(path, "tile/entries/") {
		r.kept[path] = data
	}
	return data, err
}

// pass is one check of the bytes of a tree's events.
type pass struct {
	*fold
	w    *Watcher
	c    *checked
	tree tlog.Tree
	from *remote
	// certificates are those that were shown, and hold.
	certificates []string
	touched      map[string]bool
	// never says that the log has shown no bytes so far.
	never bool
}

// errNoBytes says that the log serves no bytes of events.
var errNoBytes = errors.New("the log serves no bytes of events")

func (w *Watcher) pass(ctx context.Context, c *checked, tree tlog.Tree) *pass {
	p := &pass{w: w, c: c, tree: tree, touched: map[string]bool{}}
	if w.fold == nil || w.folded != c.Size {
		w.fold = &fold{stories: map[string]*story{}}
	}
	p.fold = w.fold
	p.signed, p.latest, p.latestAt = c.Signed, c.Latest, c.LatestAt
	p.judge, p.always = nil, w.pinned != nil && w.pinned.BeganAt == 1
	p.from = &remote{kept: map[string][]byte{}, get: func(path string) ([]byte, error) {
		return w.fetch(ctx, "/tenants/"+url.PathEscape(w.Tenant)+"/"+path, true)
	}}
	return p
}

// statements are what the entries say from one on, up to the end of a tile.
func (p *pass) statements(first int64) ([]merkle.Statement, error) {
	p.from.err = nil
	s, err := merkle.Statements(p.from, p.tree, first)
	switch {
	case err != nil && p.from.err != nil:
		return nil, p.from.err
	case err != nil:
		return nil, fmt.Errorf("%w, ask again: %w", ErrInconclusive, err)
	}
	return s, nil
}

// bundle asks for the bytes of events, from an entry on.
func (p *pass) bundle(ctx context.Context, first int64, count int, explained bool) (b merkle.Bundle, err error) {
	path := fmt.Sprintf("/tenants/%s/events/%d?count=%d", url.PathEscape(p.w.Tenant), first+1, count)
	if explained {
		path += "&explained=1"
	}
	err = p.w.get(ctx, path, true, &b)
	switch {
	case refusal.Is(err, lockboxv1.RefusalCode_REFUSAL_CODE_NOT_FOUND) && p.never:
		return b, errNoBytes
	case refusal.Is(err, lockboxv1.RefusalCode_REFUSAL_CODE_NOT_FOUND):
		return b, fmt.Errorf("%w, ask again: the log shows no bytes for entry %d", ErrInconclusive, first+1)
	case err != nil:
		return b, err
	case len(b.Events) == 0 || len(b.Events) > count:
		return b, fmt.Errorf("%w, ask again: the log shows the bytes of %d events from entry %d on, and was asked for %d",
			ErrInconclusive, len(b.Events), first+1, count)
	}
	return b, p.certified(b.Writers)
}

// certified takes certificates that the deployment's key has signed, one for each key.
func (p *pass) certified(texts []string) error {
	if p.w.pinned == nil {
		return nil
	}
	before := len(p.certificates)
	for _, text := range texts {
		if slices.Contains(p.certificates, text) {
			continue
		}
		if _, err := p.w.pinned.Certified(append(slices.Clip(p.certificates), text)); err == nil {
			p.certificates = append(p.certificates, text)
		}
	}
	if p.judge != nil && len(p.certificates) == before {
		return nil
	}
	judge, err := p.w.pinned.Certified(p.certificates)
	p.judge = judge
	return err
}

// page checks the next events, and keeps what was checked only if all of it was.
func (p *pass) page(ctx context.Context) error {
	statements, err := p.statements(p.c.Size)
	if err != nil {
		return err
	}
	b, err := p.bundle(ctx, p.c.Size, len(statements), false)
	if err != nil {
		return err
	}
	for i, e := range b.Events {
		s := statements[i]
		kind, typ := parts(s.Subject)
		about, version := merkle.About(s.Subject)
		decided := slices.Contains(decidedKinds, kind) && version > 0
		if decided {
			if err := p.load(ctx, about); err != nil {
				return err
			}
		}
		found, err := p.take(s, e)
		var open openError
		switch {
		case errors.As(err, &open):
			p.c.open(s.TenantSequence)
		case err != nil:
			return err
		case e.Withheld && typ == withheldType:
			p.c.Withheld++
		}
		p.c.suspect(found...)
		if decided {
			p.c.place(about, s.TenantSequence)
			p.touched[about] = true
		}
		p.c.Size++
	}
	return p.folded(ctx)
}

// load reads an aggregate's events that were checked before, unless they are in memory.
func (p *pass) load(ctx context.Context, about string) error {
	if p.stories[about] != nil {
		return nil
	}
	places := p.c.places(about)
	again := &fold{stories: map[string]*story{about: {}}}
	err := p.shown(ctx, places, func(s merkle.Statement, e merkle.Shown) error {
		_, err := again.take(s, e) // what it finds was found before
		var open openError
		if errors.As(err, &open) {
			return nil
		}
		return err
	})
	if err == nil {
		p.stories[about] = again.stories[about]
	}
	return err
}

// shown reads events again, in the order of the tree.
func (p *pass) shown(ctx context.Context, places []uint64, do func(merkle.Statement, merkle.Shown) error) error {
	for len(places) > 0 {
		first := int64(places[0]) - 1 //nolint:gosec // G115: a place in a tree
		statements, err := p.statements(first)
		if err != nil {
			return err
		}
		n := 1 // with those that stand close to each other
		for n < len(places) && places[n]-places[n-1] <= 16 && places[n]-places[0] < uint64(len(statements)) {
			n++
		}
		b, err := p.bundle(ctx, first, int(places[n-1]-places[0])+1, false) //nolint:gosec // G115: less than a tile
		if err != nil {
			return err
		}
		read := 0
		for _, place := range places[:n] {
			if i := place - places[0]; i < uint64(len(b.Events)) {
				if err := do(statements[i], b.Events[i]); err != nil {
					return err
				}
				read++
			}
		}
		places = places[read:]
	}
	return nil
}

// folded checks the rules for what was read, and forgets what has ended.
func (p *pass) folded(ctx context.Context) error {
	abouts := slices.Sorted(maps.Keys(p.touched))
	spelled := map[string][]string{} // subscriptions by their ids in lower case
	for about := range p.c.Places {
		if a := keyOf(about); a.Kind == fact.KindSubscription {
			spelled[strings.ToLower(a.ID)] = append(spelled[strings.ToLower(a.ID)], about)
		}
	}
	for _, about := range abouts {
		of := keyOf(about)
		if !slices.Contains(foldedKinds, of.Kind) {
			continue
		}
		for _, other := range spelled[strings.ToLower(p.subscription(of))] {
			if err := p.load(ctx, other); err != nil {
				return err
			}
		}
		for _, basis := range p.basis(of) {
			if err := p.load(ctx, basis); err != nil {
				return err
			}
		}
	}
	found, unchecked := p.check(abouts, func(string) bool { return true })
	p.c.suspect(found...)
	for _, what := range unchecked {
		if p.c.first(what) {
			p.w.remarks = append(p.w.remarks, "not checked: "+what)
		}
	}
	clear(p.touched)
	p.c.Signed, p.c.Latest, p.c.LatestAt = p.signed, p.latest, p.latestAt
	maps.DeleteFunc(p.stories, func(about string, st *story) bool {
		n := len(st.events)
		return !slices.Contains([]string{fact.KindTenant, fact.KindSubscription}, keyOf(about).Kind) &&
			(len(p.stories) > mostStories || n == 0 || ended[fact.TypeOf(st.events[n-1].Event)])
	})
	return nil
}

// ended are the types after which nothing more is expected of an aggregate.
var ended = map[string]bool{
	"InternalApprovalRefused": true, "InternalApprovalExpired": true, "CustomerDenied": true, "RequestExpired": true,
	"RequestWithdrawn": true, "AccessLapsed": true, "AccessRevoked": true, "AccessReleased": true, "AccessCompleted": true,
	"TicketClosed": true,
}

// readBytes checks the bytes of the events that were not checked yet. What it says goes into w.remarks. Grown says that
// there are new ones.
func (w *Watcher) readBytes(ctx context.Context, known *state, shown merkle.Seen, grown bool) error {
	c := known.Bytes
	if c == nil || w.pinned != nil && !c.Judged {
		w.fold = nil
		if c != nil && c.Size > 0 {
			w.remarks = append(w.remarks, "the bytes of all events are checked again, now with the writers’ key")
		}
		c = &checked{Judged: true}
	}
	if c.Places == nil {
		c.Places = map[string][]byte{}
	}
	tree := shown.Opening.Tree()
	if c.Size > tree.N {
		return fmt.Errorf("%w: more was checked than there is", ErrInconclusive)
	}
	before, withheld, told, named := c.Size, c.Withheld, w.Now(), false
	p := w.pass(ctx, c, tree)
	p.never = known.Bytes == nil || known.Bytes.Size == 0
	for c.Size < tree.N {
		next := *c
		next.Places, p.c = maps.Clone(c.Places), &next
		next.Open, next.Suspect, next.Said = slices.Clip(c.Open), slices.Clip(c.Suspect), slices.Clip(c.Said)
		err := p.page(ctx)
		if errors.Is(err, errNoBytes) {
			w.fold = nil
			if grown {
				w.remarks = append(w.remarks, "the log serves no bytes of events: they are not checked, nor who wrote them")
			}
			return nil
		}
		if err != nil {
			w.fold = nil // half of a page
			return err
		}
		p.never, next.Judged, w.folded = false, next.Judged && w.pinned != nil, next.Size
		c, known.Bytes = &next, &next
		if now := w.Now(); now.Sub(told) >= tellEvery && c.Size < tree.N {
			if err := w.progress(known, &named, tree.N); err != nil {
				return err
			}
			told = now
		}
	}
	known.Bytes, p.c = c, c
	w.remarks = append(w.remarks, bytesRead(c.Size-before, c.Withheld-withheld, w.pinned != nil)...)
	return errors.Join(p.accuse(ctx, known, shown), p.ask(ctx), p.signedFaults(ctx, known))
}

// signedFaults keeps what does not hold of what the customer's people signed, until it is acknowledged.
func (p *pass) signedFaults(ctx context.Context, known *state) error {
	faults, err := p.readSigned(ctx)
	var found error
	for _, what := range faults {
		if !p.c.first(what) {
			continue // it is among what was found
		}
		f := finding{What: what}
		known.Found = append(known.Found, f)
		found = errors.Join(found, unprovable(f))
	}
	return errors.Join(found, err)
}

// progress keeps what was checked, and says how far that is.
func (w *Watcher) progress(known *state, named *bool, of int64) error {
	whose := ""
	if !*named {
		*named, whose = true, " of "+w.Tenant
	}
	if _, err := fmt.Fprintf(w.Err, "checked the bytes of %d of %d events%s\n", known.Bytes.Size, of, whose); err != nil {
		return err
	}
	return keep(w.State, known)
}

// bytesRead says of how many events the bytes were checked.
func bytesRead(read, withheld int64, judged bool) []string {
	if read == 0 {
		return nil
	}
	text := fmt.Sprintf("bytes of %d events checked", read-withheld)
	if judged {
		text += ", and who signed them"
	} else {
		text += ", not who signed them: no --writers-key"
	}
	if withheld > 0 {
		text += fmt.Sprintf("; %d withheld", withheld)
	}
	return []string{text}
}

// ask asks again for what is not shown, and says what the log says about it. What stays hidden is inconclusive.
func (p *pass) ask(ctx context.Context) (err error) {
	var still []uint64
	for i, entry := range p.c.Open {
		if i >= 8 { // each is a query
			still = append(still, p.c.Open[i:]...)
			break
		}
		closed, why := p.closed(ctx, entry)
		if !closed {
			still = append(still, entry)
		}
		if why != nil && err == nil {
			err = why
		}
	}
	p.c.Open = still
	return err
}

// closed asks for an entry of which something was not shown.
func (p *pass) closed(ctx context.Context, entry uint64) (closed bool, err error) {
	first := int64(entry) - 1 //nolint:gosec // G115: a place in a tree
	statements, err := p.statements(first)
	if err != nil {
		return false, err
	}
	b, err := p.bundle(ctx, first, 1, true)
	if err != nil {
		return false, err
	}
	s, e := statements[0], b.Events[0]
	if e.Withheld && !e.SetAside.IsZero() {
		p.w.remarks = append(p.w.remarks, explanation(s, e))
		return true, nil
	}
	again := &fold{stories: map[string]*story{}, judge: p.judge, always: p.always, signed: p.signed}
	found, err := again.take(s, e)
	var open openError
	if errors.As(err, &open) {
		what := string(open)
		if said := explanation(s, e); said != "" {
			what += ": " + said
		}
		return false, fmt.Errorf("%w, ask again: %s", ErrInconclusive, what)
	}
	p.c.suspect(found...) // reported next time
	return err == nil, err
}
