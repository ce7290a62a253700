package session

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/openlockbox/lockbox/pkg/bus"
)

const (
	// DraftLifetime is how long what somebody typed is kept.
	DraftLifetime = 30 * time.Minute

	mostDrafts    = 5
	maxDraftBytes = 48 << 10
	draftTimeout  = 3 * time.Second
)

// Drafts keep what somebody typed through the end of their session and through a fresh sign-in, so that it is never put
// into an address, which histories and proxies' logs keep. They are stored like the session and sealed under a key that
// is derived from its token, so they are that browser's only; and they are handed on to the next session only if the
// same person begins it. What a session that was ended by signing out had typed is not kept: nobody can say whose it
// is.

// drafts is what the bucket holds for a session.
type drafts struct {
	Tenant  string  `json:"tenant,omitempty"`
	Issuer  string  `json:"issuer,omitempty"`
	Subject string  `json:"subject"`
	All     []draft `json:"all"`
}

// draft is what somebody typed on the page with a path.
type draft struct {
	Path   string     `json:"path"`
	Values url.Values `json:"values"`
	Until  time.Time  `json:"until"`
}

// of says which token the drafts of a session are sealed under.
func (drafts) of(token string) string { return "draft " + token }

// Keep keeps what was typed on the page with that path, for whoever has, or had until it ended by the passing of time,
// the session of the request. It returns false if there is no such session, or too much was typed. UNAVAILABLE if the
// bus does not answer.
func (s *Sessions) Keep(r *http.Request, path string, values url.Values) (bool, error) {
	token := s.token(r)
	if token == "" {
		return false, nil
	}
	ctx, cancel := context.WithTimeout(r.Context(), draftTimeout)
	defer cancel()
	who, known, err := s.store.whose(ctx, token)
	if err != nil || !known {
		return false, err
	}
	kept, err := s.drafts(ctx, token)
	if err != nil {
		return false, err
	}
	kept.Tenant, kept.Issuer, kept.Subject = who.Tenant, who.Issuer, who.Subject
	kept.without(path)
	kept.All = append(kept.All, draft{path, values, s.now().Add(DraftLifetime)})
	kept.All = kept.All[max(0, len(kept.All)-mostDrafts):]
	return s.writeDrafts(ctx, token, kept)
}

// Draft returns what was kept for the page with that path; nil if nothing was, or it is no longer kept.
func (s *Sessions) Draft(r *http.Request, path string) (url.Values, error) {
	token := s.token(r)
	if token == "" {
		return nil, nil
	}
	ctx, cancel := context.WithTimeout(r.Context(), draftTimeout)
	defer cancel()
	kept, err := s.drafts(ctx, token)
	if err != nil {
		return nil, err
	}
	for _, d := range kept.All {
		if d.Path == path {
			return d.Values, nil
		}
	}
	return nil, nil
}

// Forget forgets what was kept for the page with that path.
func (s *Sessions) Forget(r *http.Request, path string) error {
	token := s.token(r)
	if token == "" {
		return nil
	}
	ctx, cancel := context.WithTimeout(r.Context(), draftTimeout)
	defer cancel()
	kept, err := s.drafts(ctx, token)
	if err != nil || !kept.without(path) {
		return err
	}
	_, err = s.writeDrafts(ctx, token, kept)
	return err
}

func (d *drafts) without(path string) bool {
	before := len(d.All)
	d.All = slices.DeleteFunc(d.All, func(each draft) bool { return each.Path == path })
	return len(d.All) < before
}

// drafts returns those of a session that are still kept.
func (s *Sessions) drafts(ctx context.Context, token string) (d drafts, err error) {
	r, found, err := s.store.read(ctx, d.of(token))
	if err != nil || !found || !s.now().Before(r.end) || json.Unmarshal(r.data, &d) != nil {
		return drafts{}, err
	}
	d.All = slices.DeleteFunc(d.All, func(each draft) bool { return !s.now().Before(each.Until) })
	return d, nil
}

func (s *Sessions) writeDrafts(ctx context.Context, token string, d drafts) (bool, error) {
	data, err := json.Marshal(d)
	if err != nil || len(data) > maxDraftBytes {
		return false, err
	}
	kv, err := s.store.bucket(ctx)
	if err != nil {
		return false, err
	}
	name := d.of(token)
	if len(d.All) == 0 {
		err = kv.Delete(ctx, keyOf(name))
	} else {
		var sealed []byte
		sealed, err = seal(name, record{used: s.now(), end: s.now().Add(DraftLifetime), data: data})
		if err == nil {
			err = kv.Put(ctx, keyOf(name), sealed)
		}
	}
	if err != nil {
		return false, unavailable(err)
	}
	return true, nil
}

// handOn gives the drafts of an earlier session to one that the same person has begun, and removes them from there.
func (s *Sessions) handOn(ctx context.Context, from, to string, who Session) error {
	d, err := s.drafts(ctx, from)
	if err != nil || len(d.All) == 0 {
		return err
	}
	if d.Tenant == who.Tenant && d.Issuer == who.Issuer && d.Subject == who.Subject {
		if _, err := s.writeDrafts(ctx, to, d); err != nil {
			return err
		}
	}
	_, err = s.writeDrafts(ctx, from, drafts{})
	return err
}

// read returns a record of the bucket, whether it has expired or not.
func (s *store) read(ctx context.Context, token string) (record, bool, error) {
	kv, err := s.bucket(ctx)
	if err != nil {
		return record{}, false, err
	}
	value, _, err := kv.Get(ctx, keyOf(token))
	if errors.Is(err, jetstream.ErrKeyNotFound) {
		return record{}, false, nil
	}
	if err != nil {
		return record{}, false, unavailable(err)
	}
	r, readable := unseal(token, value)
	return r, readable, nil
}

// whose returns whose session this is or was, as long as the bucket has it: bus.SessionLifetime after its last use.
func (s *store) whose(ctx context.Context, token string) (who Session, known bool, err error) {
	r, found, err := s.read(ctx, token)
	if err != nil || !found || json.Unmarshal(r.data, &who) != nil {
		return Session{}, false, err
	}
	return who, who.Subject != "", nil
}

// cookieEnds is when the browser forgets a session's cookie: later than the session, so that what was typed meanwhile
// can be kept. Whether somebody is signed in does not depend on it.
func cookieEnds(session time.Time) time.Time { return session.Add(bus.SessionLifetime) }
