package devissuer

import (
	"crypto/rand"
	"fmt"
	"math/big"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"
)

const (
	deviceGrant    = "urn:ietf:params:oauth:grant-type:device_code"
	deviceLifetime = 10 * time.Minute
	// pollEvery is the polling interval; it is short because devices are on this machine. A poll that is early by less
	// than pollSlack is accepted.
	pollEvery = time.Second
	pollSlack = 200 * time.Millisecond
	// slower is added to the interval of a device that polls too often (RFC 8628 §3.5).
	slower = 5 * time.Second
	// mostDevices is the maximum number of devices on record at a time.
	mostDevices = 100
	// userLetters form no words and are hard to confuse (RFC 8628 §6.1). Eight of them give 2.5e10 codes, too many to
	// guess.
	userLetters = "BCDFGHJKLMNPQRSTVWXZ"
)

// device is a device authorization: somebody is to choose a persona for it in a browser.
type device struct {
	code, userCode string
	until          time.Time
	every          time.Duration
	asked          time.Time // time of the last poll
	persona        string
	decided        bool // decided without a persona means denied
	chosen         time.Time
}

// devices holds one issuer's device authorizations by device code. Expired ones are kept for one more lifetime, so
// that a late poll is answered with expired_token.
type devices struct {
	now func() time.Time
	mu  sync.Mutex
	all map[string]*device
}

// add creates codes for a device; it returns false if there are too many devices.
func (ds *devices) add() (device, bool, error) {
	ds.mu.Lock()
	defer ds.mu.Unlock()
	now := ds.now()
	for code, v := range ds.all {
		if now.After(v.until.Add(deviceLifetime)) {
			delete(ds.all, code)
		}
	}
	if len(ds.all) >= mostDevices {
		return device{}, false, nil
	}
	userCode, err := newUserCode()
	if err != nil {
		return device{}, false, err
	}
	v := &device{code: rand.Text(), userCode: userCode, until: now.Add(deviceLifetime), every: pollEvery}
	ds.all[v.code] = v
	return *v, true, nil
}

func newUserCode() (string, error) {
	text := make([]byte, 8)
	for i := range text {
		n, err := rand.Int(rand.Reader, big.NewInt(int64(len(userLetters))))
		if err != nil {
			return "", fmt.Errorf("making a code: %w", err)
		}
		text[i] = userLetters[n.Int64()]
	}
	return string(text[:4]) + "-" + string(text[4:]), nil
}

// readUserCode normalizes a user code as typed: any case, with or without the hyphen.
func readUserCode(typed string) string {
	letters := strings.Map(func(r rune) rune {
		if strings.ContainsRune(userLetters, r) {
			return r
		}
		return -1
	}, strings.ToUpper(typed))
	if len(letters) != 8 {
		return ""
	}
	return letters[:4] + "-" + letters[4:]
}

// waiting reports whether a device with this user code is awaiting a decision.
func (ds *devices) waiting(userCode string) bool {
	ds.mu.Lock()
	defer ds.mu.Unlock()
	return ds.find(userCode) != nil
}

func (ds *devices) find(userCode string) *device {
	for _, v := range ds.all {
		if v.userCode == userCode && !v.decided && ds.now().Before(v.until) {
			return v
		}
	}
	return nil
}

// decide records the chosen persona, or a denial if persona is empty; it returns false if no such device is waiting.
func (ds *devices) decide(userCode, persona string) bool {
	ds.mu.Lock()
	defer ds.mu.Unlock()
	v := ds.find(userCode)
	if v == nil {
		return false
	}
	v.persona, v.decided, v.chosen = persona, true, ds.now()
	return true
}

// poll answers a device's poll. It returns the persona and the time of the choice, once; until then, or after a
// denial, it returns an error code of RFC 8628 §3.5.
func (ds *devices) poll(code string) (persona string, chosen time.Time, reason string) {
	ds.mu.Lock()
	defer ds.mu.Unlock()
	v, known := ds.all[code]
	if !known {
		return "", time.Time{}, "invalid_grant"
	}
	now := ds.now()
	early := !v.asked.IsZero() && now.Before(v.asked.Add(v.every-pollSlack))
	v.asked = now
	switch {
	case !now.Before(v.until):
		return "", time.Time{}, "expired_token"
	case v.decided && v.persona == "":
		return "", time.Time{}, "access_denied"
	case v.decided:
		delete(ds.all, code)
		return v.persona, v.chosen, ""
	case early:
		v.every += slower
		return "", time.Time{}, "slow_down"
	}
	return "", time.Time{}, "authorization_pending"
}

var pollReasons = map[string]string{
	"invalid_grant":         "there is no such device code, or it was used",
	"expired_token":         "nobody said who to be in time; begin again",
	"access_denied":         "somebody said no",
	"slow_down":             "ask less often",
	"authorization_pending": "nobody has said who to be yet",
}

type deviceReply struct {
	Code     string `json:"device_code"`
	UserCode string `json:"user_code"`
	Page     string `json:"verification_uri"`
	Complete string `json:"verification_uri_complete"`
	Expires  int    `json:"expires_in"` // seconds
	Interval int    `json:"interval"`   // seconds
}

// deviceAuthorization starts a device's sign-in (RFC 8628 §3.1).
func (*Issuer) deviceAuthorization(iss *issuer) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		r.Body = http.MaxBytesReader(w, r.Body, maxForm)
		err := r.ParseForm()
		switch {
		case err != nil || repeated(r.PostForm):
			oauthProblem(w, http.StatusBadRequest, "invalid_request", "each parameter once, as a form")
			return
		case r.PostForm.Get("client_id") != ClientID:
			oauthProblem(w, http.StatusUnauthorized, "invalid_client", "the client is not known here")
			return
		case !wantsOpenID(r.PostForm.Get("scope")):
			oauthProblem(w, http.StatusBadRequest, "invalid_scope", "the scope must have openid in it")
			return
		}
		v, room, err := iss.devices.add()
		switch {
		case err != nil:
			oauthProblem(w, http.StatusInternalServerError, "server_error", "no code could be made")
			return
		case !room:
			oauthProblem(w, http.StatusServiceUnavailable, "temporarily_unavailable", "too many devices are waiting")
			return
		}
		page := iss.url + "/device"
		w.Header().Set("Cache-Control", "no-store")
		reply(w, http.StatusOK, deviceReply{
			Code: v.code, UserCode: v.userCode, Page: page, Complete: page + "?" +
				url.Values{"user_code": {v.userCode}}.Encode(),
			Expires: int(deviceLifetime.Seconds()), Interval: int(pollEvery.Seconds()),
		})
	}
}

// deviceToken is the token endpoint for polling devices (RFC 8628 §3.4).
func (d *Issuer) deviceToken(w http.ResponseWriter, form url.Values, iss *issuer) {
	persona, chosen, reason := iss.devices.poll(form.Get("device_code"))
	if reason != "" {
		oauthProblem(w, http.StatusBadRequest, reason, pollReasons[reason])
		return
	}
	p, _ := Find(persona) // exists: deviceChosen checked it
	d.giveTokens(w, iss, authorization{persona: p, chosen: chosen})
}

// askDevice asks for the user code that the device shows, and then for the persona.
func (d *Issuer) askDevice(iss *issuer) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		typed := r.URL.Query().Get("user_code")
		code := readUserCode(typed)
		if !iss.devices.waiting(code) {
			page := codePage{heading: heading{Title: "Which code do you see?", Organisation: iss.name}}
			status := http.StatusOK
			if typed != "" {
				status, page.Wrong = http.StatusNotFound,
					"Nothing is waiting with the code “"+typed+"”. It may be mistyped, used or older than ten minutes."
			}
			d.show(w, status, "code", nil, page)
			return
		}
		d.show(w, http.StatusOK, "chooser", nil, chooser{
			heading: heading{Title: "Who would you like to be?", Organisation: iss.name},
			Groups:  people(iss.tenant), Proof: d.proof(w, r), Code: code,
		})
	}
}

// deviceChosen records the persona chosen for a device.
func (d *Issuer) deviceChosen(iss *issuer) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if !d.proven(w, r) {
			d.wrong(w, iss, "This page was open for too long, or your browser keeps no cookies for it.")
			return
		}
		name := r.PostForm.Get("persona")
		p, known := Find(name)
		if name != "" && (!known || p.Tenant != iss.tenant) {
			d.wrong(w, iss, iss.name+" has nobody of that name.")
			return
		}
		if !iss.devices.decide(readUserCode(r.URL.Query().Get("user_code")), name) {
			d.wrong(w, iss, "Nothing is waiting with this code any more.")
			return
		}
		page := message{heading: heading{Title: "You are " + p.DisplayName, Organisation: iss.name},
			Text: "Your terminal goes on by itself. You can close this page."}
		if name == "" {
			page.Title, page.Text = "Nobody was signed in", "Your terminal is told. You can close this page."
		}
		d.show(w, http.StatusOK, "message", nil, page)
	}
}
