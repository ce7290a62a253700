package requests

import (
	"net/http"
	"time"

	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"github.com/openlockbox/lockbox/services/portal/internal/site"
	"github.com/openlockbox/lockbox/services/portal/internal/words"
	"google.golang.org/protobuf/types/known/timestamppb"
)

const day = 24 * time.Hour

// unasked says how much access began lately without asking the customer, and leads to it. The provider's people have no
// such page: it is about "you".
type unasked struct {
	Href  string
	Month words.Counted
}

func unaskedOf(v *site.Visit) (u unasked, err error) {
	if v.Session.Tenant == "" {
		return u, nil
	}
	u.Href = v.Path("waived")
	u.Month, err = countUnasked(v, 30*day)
	return u, err
}

func countUnasked(v *site.Visit, within time.Duration) (words.Counted, error) {
	found, _, err := search(v, &lockboxv1.ListRequests{Waived: true, WaivedSince: timestamppb.New(v.Now().Add(-within)),
		Count: true, Limit: 1})
	return words.Count(found.GetTotal()), err
}

// waived lists the access that began without asking the customer, with the reason, in the customer's words (R3).
func (p *pages) waived(v *site.Visit) error {
	v.Under = v.Path("requests")
	found, _, err := search(v, &lockboxv1.ListRequests{Waived: true, Count: true, Limit: perPage,
		PageToken: v.R.URL.Query().Get("page")})
	if err != nil {
		return err
	}
	data := struct {
		Rows               []row
		Total, Week, Month words.Counted
		turns
	}{Rows: rows(v, found.GetRequests()), Total: words.Count(found.GetTotal())}
	if data.Week, err = countUnasked(v, 7*day); err != nil {
		return err
	}
	if data.Month, err = countUnasked(v, 30*day); err != nil {
		return err
	}
	data.turns = turn(v, found)
	return p.render(v, "waived", "requests.unasked", http.StatusOK, "", data)
}
