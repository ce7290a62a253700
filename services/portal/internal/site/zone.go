package site

import (
	"strings"
	"sync"
	"time"
)

// zonesFor is how long an organisation's time zone is remembered: whoever has just changed it sees it at once, others
// a little later.
const zonesFor = time.Minute

// zones remembers the time zones of organisations, so that not every page asks for one.
type zones struct {
	mu  sync.Mutex
	all map[string]zoneAt
}

type zoneAt struct {
	name string
	read time.Time
}

// zone returns the time zone of the visitor's organisation. If it cannot be learnt, it is the last that was, or
// UTC: every page names the zone, and says itself what is wrong if the services do not answer.
func (v *Visit) zone() string {
	tenant := v.Session.Tenant
	if tenant == "" {
		return v.ProvidersZone
	}
	v.zones.mu.Lock()
	known, found := v.zones.all[tenant]
	v.zones.mu.Unlock()
	changed := v.R.URL.Query().Has("after") && strings.HasPrefix(v.R.URL.Path, v.Path("administration"))
	if found && v.Now().Sub(known.read) < zonesFor && !changed {
		return known.name
	}
	known.read = v.Now()
	if self, err := v.Self(); err == nil {
		known.name = self.GetTimeZone()
	}
	v.zones.mu.Lock()
	defer v.zones.mu.Unlock()
	if v.zones.all == nil {
		v.zones.all = map[string]zoneAt{}
	}
	v.zones.all[tenant] = known
	return known.name
}
