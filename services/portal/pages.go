package portal

import (
	"github.com/openlockbox/lockbox/services/portal/internal/activitylog"
	"github.com/openlockbox/lockbox/services/portal/internal/administration"
	"github.com/openlockbox/lockbox/services/portal/internal/asking"
	"github.com/openlockbox/lockbox/services/portal/internal/erasing"
	"github.com/openlockbox/lockbox/services/portal/internal/keys"
	"github.com/openlockbox/lockbox/services/portal/internal/live"
	"github.com/openlockbox/lockbox/services/portal/internal/overview"
	"github.com/openlockbox/lockbox/services/portal/internal/requests"
	"github.com/openlockbox/lockbox/services/portal/internal/site"
	"github.com/openlockbox/lockbox/services/portal/internal/words"
)

// routes returns all pages below an organisation. Tests of properties that every page must have iterate over them.
func routes(s *site.Site, hub *live.Hub) ([]site.Route, error) {
	all := hub.Routes(append(requests.Live(), overview.Live()...)...)
	for _, part := range []func(*site.Site) ([]site.Route, error){requests.Routes, activitylog.Routes,
		administration.Routes, overview.Routes, asking.Routes, erasing.Routes, keys.Routes} {
		of, err := part(s)
		if err != nil {
			return nil, err
		}
		all = append(all, of...)
	}
	return all, nil
}

// Page describes one of them.
type Page struct {
	// Method and Path below an organisation's base: GET, /requests/{id}.
	Method, Path string
	// Customers and Provider say which organisations have the page.
	Customers, Provider bool
}

// Pages lists all pages below an organisation.
func Pages() ([]Page, error) {
	say, err := words.Load()
	if err != nil {
		return nil, err
	}
	all, err := routes(&site.Site{Words: say}, live.NewHub())
	if err != nil {
		return nil, err
	}
	pages := make([]Page, len(all))
	for i, r := range all {
		pages[i] = Page{r.Method, r.Path, r.Side&site.Customer != 0, r.Side&site.Provider != 0}
	}
	return pages, nil
}
