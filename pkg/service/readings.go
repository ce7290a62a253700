package service

import (
	"crypto/x509"
	"time"

	"github.com/openlockbox/lockbox/pkg/identity/jwks"
	"github.com/openlockbox/lockbox/pkg/journal"
	"github.com/openlockbox/lockbox/pkg/observe"
)

// The certificates that services see, as metrics call them.
const (
	busCertificate    = "bus"
	busAuthority      = "bus authority"
	issuerCertificate = "issuer"
)

// readConnection has the connection to the bus read for metrics.
func (rt *Connected) readConnection() {
	nc := rt.Conn
	rt.Counters.Read(observe.BusConnected, func(say observe.Say) { say(observe.Truth(nc.IsConnected())) })
	rt.Counters.Read(observe.BusReconnects, func(say observe.Say) { say(float64(nc.Stats().Reconnects)) })
	rt.Counters.Certificates(busCertificate, func() map[string]time.Time {
		shown, err := nc.TLSConnectionState()
		if err != nil || len(shown.PeerCertificates) == 0 {
			return nil // in this process, or without TLS
		}
		return map[string]time.Time{"": shown.PeerCertificates[0].NotAfter}
	})
	rt.Counters.Certificates(busAuthority, func() map[string]time.Time {
		shown, err := nc.TLSConnectionState()
		if err != nil {
			return nil
		}
		return map[string]time.Time{"": authorityExpiry(shown.VerifiedChains)}
	})
}

// authorityExpiry returns when the authorities behind a certificate are no longer good: the chain that lasts longest
// decides, and in it the authority that ends first.
func authorityExpiry(chains [][]*x509.Certificate) (last time.Time) {
	for _, chain := range chains {
		var first time.Time
		for _, authority := range chain[min(1, len(chain)):] {
			if first.IsZero() || authority.NotAfter.Before(first) {
				first = authority.NotAfter
			}
		}
		if first.After(last) {
			last = first
		}
	}
	return last
}

// readRuntime has the clock and what is followed read for metrics.
func (rt *Runtime) readRuntime() {
	rt.readConnection()
	rt.Counters.Read(observe.ClockSkew, func(say observe.Say) {
		if skew, compared := rt.Clock.Skew(); !compared.IsZero() {
			say(skew.Seconds())
		}
	})
	rt.Counters.Read(observe.ClockCompared, func(say observe.Say) {
		_, compared := rt.Clock.Skew()
		say(observe.Seconds(compared))
	})
	for r, value := range map[observe.Reading]func(journal.Lag) float64{
		observe.ConsumerPending: func(l journal.Lag) float64 { return float64(l.Pending) },
		observe.ConsumerUnacked: func(l journal.Lag) float64 { return float64(l.Unacknowledged) },
		observe.ConsumerOldest:  func(l journal.Lag) float64 { return observe.Seconds(l.Oldest) },
	} {
		rt.Counters.Read(r, func(say observe.Say) {
			for _, l := range rt.Journal.Lags() {
				if r != observe.ConsumerOldest || !l.Oldest.IsZero() {
					say(value(l), l.Durable)
				}
			}
		})
	}
}

// readIssuers has the issuers' keys read for metrics.
func readIssuers(sources map[string]*jwks.Source, counters *observe.Counters) {
	counters.Read(observe.IssuerKeys, func(say observe.Say) {
		for issuer, s := range sources {
			usable := 0
			if keys := s.Keys(); keys != nil {
				usable = keys.Len()
			}
			say(float64(usable), issuer)
		}
	})
	counters.Read(observe.IssuerKeysFetched, func(say observe.Say) {
		for issuer, s := range sources {
			say(observe.Seconds(s.Fetched()), issuer)
		}
	})
	counters.Certificates(issuerCertificate, func() map[string]time.Time {
		ends := map[string]time.Time{}
		for issuer, s := range sources {
			ends[issuer] = s.CertificateExpiry()
		}
		return ends
	})
}
