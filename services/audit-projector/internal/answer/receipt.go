package answer

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/bus"
	"github.com/openlockbox/lockbox/pkg/refusal"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"github.com/openlockbox/lockbox/services/audit-projector/internal/ledger"
)

// Receipts builds proofs for events of the log: ledger.Public.
type Receipts interface {
	Receipt(ctx context.Context, tenant, about string, wanted []ledger.Wanted, read uint64) (file []byte, err error)
	// PublicKey returns the log's public key, by which receipts are checked.
	PublicKey() string
}

// getReceipt returns a receipt that proves what the log holds of a request. Stored bytes are shown whole or not at all:
// an evaluation with counts over all customers is withheld from the customer, and callers who may not see the
// customer's role assignments get no receipt. It also returns whose request it is.
func (v *viewer) getReceipt(ctx context.Context, id string) (_ *lockboxv1.Receipt, tenant string, err error) {
	const rule = "R41"
	row, events, err := v.history(ctx, "get_receipt.request_id", id, false)
	if err != nil {
		return nil, "", err
	}
	if v.reduced {
		return nil, row.Tenant, refusal.OfKind(refusal.Forbidden("", rule,
			"receipts are for the customer's people and the provider's security officers"), "receipt")
	}
	customer := v.by.GetSide() != lockboxv1.Side_SIDE_PROVIDER
	var wanted []ledger.Wanted
	for _, e := range events {
		if e.Event.GetKind() == aggregate.KindRequest {
			wanted = append(wanted, ledger.Wanted{Sequence: e.Sequence, Withhold: customer && ledger.Withholds(e.Event)})
		}
	}
	about := strings.TrimSuffix(bus.Filter(aggregate.Request(row.Tenant, row.ID)), ".>")
	file, err := v.receipts.Receipt(ctx, row.Tenant, about, wanted, v.Sequence())
	switch {
	case errors.Is(err, ledger.ErrNewer), errors.Is(err, ledger.ErrNotCovered), errors.Is(err, ledger.ErrNone),
		errors.Is(err, ledger.ErrNoTree):
		return nil, row.Tenant, refusal.OfKind(
			refusal.Unavailable("", rule,
				"the last event is in no signed checkpoint yet; ask again in a few seconds"),
			"no-checkpoint")
	case err != nil:
		return nil, row.Tenant, fmt.Errorf("%w: %w",
			refusal.OfKind(
				refusal.Unavailable("", rule, "the log cannot prove it; its operator can see why"),
				"no-proof"), err)
	}
	return &lockboxv1.Receipt{FileName: "lockbox-receipt-" + row.ID + ".json", File: file}, row.Tenant, nil
}

// WholeLog refuses callers who may not see everything at a tenant: its log's tiles and bytes reveal all of it.
func (a *Answerer) WholeLog(ctx context.Context, tenant, token string) (err error) {
	if err := a.Healthy(); err != nil {
		return err
	}
	snapshot, err := a.Store.Snapshot(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, snapshot.Close()) }()
	q := &lockboxv1.Query{Tenant: tenant, Token: token}
	v, err := a.viewer(snapshot, q)
	defer func() {
		a.record(q, &lockboxv1.AccessRecord{Tenant: tenant, Kind: reads, Sender: logSender, Action: "whole_log"},
			refusalOf(err))
	}()
	if err != nil {
		return err
	}
	if !v.scope.All || v.customer == nil {
		return notFound()
	}
	return nil
}

// logSender stands for the account of those who read the log over HTTP.
const logSender = "LOG"
