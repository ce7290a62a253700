package requests

import (
	"mime"
	"time"

	"github.com/openlockbox/lockbox/pkg/refusal"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"github.com/openlockbox/lockbox/services/portal/internal/site"
)

const (
	// An event is covered by a signed checkpoint within ten seconds (I5), so a receipt may take that long.
	receiptPatience = 12 * time.Second
	receiptBetween  = 500 * time.Millisecond
)

// receipt serves the receipt file, which proves what the log holds of a request (R41).
func receipt(v *site.Visit) error {
	ask := &lockboxv1.Query{Ask: &lockboxv1.Query_GetReceipt{
		GetReceipt: &lockboxv1.GetReceipt{RequestId: v.R.PathValue("id")}}}
	deadline := time.NewTimer(receiptPatience)
	defer deadline.Stop()
	reply, err := v.Ask(ask)
	for refusal.Is(err, lockboxv1.RefusalCode_REFUSAL_CODE_UNAVAILABLE) {
		select {
		case <-v.R.Context().Done():
			return v.R.Context().Err()
		case <-deadline.C:
			return err
		case <-time.After(receiptBetween):
		}
		reply, err = v.Ask(ask)
	}
	if err != nil {
		return err
	}
	h := v.W.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Content-Disposition", mime.FormatMediaType("attachment",
		map[string]string{"filename": reply.GetReceipt().GetFileName()}))
	_, _ = v.W.Write(reply.GetReceipt().GetFile()) // #nosec G705 -- a download typed as JSON
	return nil
}
