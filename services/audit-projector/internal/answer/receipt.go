package answer

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/approval/logged"
	"github.com/openlockbox/lockbox/pkg/bus"
	"github.com/openlockbox/lockbox/pkg/refusal"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"github.com/openlockbox/lockbox/services/audit-projector/internal/ledger"
	"github.com/openlockbox/lockbox/services/audit-projector/internal/projection"
)

const receiptRule = "R41"

// Receipts builds proofs for events of the log: ledger.Public.
type Receipts interface {
	Receipt(ctx context.Context, tenant, about string, wanted []ledger.Wanted, read uint64) (file []byte, err error)
	// PublicKey returns the log's public key, by which receipts are checked.
	PublicKey() string
}

// getReceipt returns a receipt that proves what the log holds of a request, or of the customer's keys. It also returns
// whose it is.
func (v *viewer) getReceipt(
	ctx context.Context, ask *lockboxv1.GetReceipt,
) (_ *lockboxv1.Receipt, tenant string, err error) {
	if ask.GetKeys() {
		if ask.GetRequestId() != "" {
			return nil, "", refusal.OfKind(
				refusal.Invalid("get_receipt.request_id", "bad input", "is empty for the receipt of keys"), "keys-receipt")
		}
		file, err := v.keysReceipt(ctx)
		return &lockboxv1.Receipt{FileName: "lockbox-keys-" + v.scope.Tenant + ".json", File: file}, v.scope.Tenant, err
	}
	row, file, err := v.requestReceipt(ctx, "get_receipt.request_id", ask.GetRequestId())
	return &lockboxv1.Receipt{FileName: "lockbox-receipt-" + row.ID + ".json", File: file}, row.Tenant, err
}

// getApprovalFile returns what proves the customer's approval of a request (R42): its receipt, and that of the keys as
// of the same checkpoint or a later one. It also returns whose it is.
func (v *viewer) getApprovalFile(
	ctx context.Context, id string,
) (_ *lockboxv1.ApprovalFile, tenant string, err error) {
	row, request, err := v.requestReceipt(ctx, "get_approval_file.request_id", id)
	if err != nil {
		return nil, row.Tenant, err
	}
	keys, err := v.keysOf(ctx, row.Tenant)
	if err != nil {
		return nil, row.Tenant, err
	}
	file, err := logged.Pack("lockbox-approval-"+row.ID+".json", request, keys)
	return file, row.Tenant, err
}

// requestReceipt is the receipt of a request. Stored bytes are shown whole or not at all: an evaluation with counts
// over all customers is withheld from the customer, and callers who may not see the customer's role assignments get no
// receipt.
func (v *viewer) requestReceipt(
	ctx context.Context, field, id string,
) (row projection.Row, file []byte, err error) {
	row, events, err := v.history(ctx, field, id, false)
	if err != nil {
		return projection.Row{}, nil, err
	}
	if v.reduced {
		return row, nil, noReceipt()
	}
	customer := v.by.GetSide() != lockboxv1.Side_SIDE_PROVIDER
	var wanted []ledger.Wanted
	for _, e := range events {
		if e.Event.GetKind() == aggregate.KindRequest {
			wanted = append(wanted, ledger.Wanted{Sequence: e.Sequence, Withhold: customer && ledger.Withholds(e.Event)})
		}
	}
	file, err = v.proof(ctx, aggregate.Request(row.Tenant, row.ID), wanted)
	return row, file, err
}

func noReceipt() error {
	return refusal.OfKind(refusal.Forbidden("", receiptRule,
		"receipts are for the customer's people and the provider's security officers"), "receipt")
}

// keysReceipt is the receipt of the keys of the tenant that the caller names.
func (v *viewer) keysReceipt(ctx context.Context) ([]byte, error) {
	switch {
	case v.customer == nil || !v.sees():
		return nil, notFound()
	case v.reduced:
		return nil, noReceipt()
	}
	return v.keysOf(ctx, v.scope.Tenant)
}

func (v *viewer) keysOf(ctx context.Context, tenant string) ([]byte, error) {
	entries, err := v.exact.LoadAtLeader(ctx, aggregate.Keys(tenant))
	if err != nil {
		return nil, err
	}
	if len(entries) == 0 {
		return nil, refusal.OfKind(
			refusal.Precondition("", "R42", "this customer has no keys: nothing is signed"), "no-keys")
	}
	wanted := make([]ledger.Wanted, len(entries))
	for i, e := range entries {
		wanted[i].Sequence = e.Seq
	}
	return v.proof(ctx, aggregate.Keys(tenant), wanted)
}

// proof makes the receipt of an aggregate's events.
func (v *viewer) proof(ctx context.Context, of aggregate.Key, wanted []ledger.Wanted) ([]byte, error) {
	about := strings.TrimSuffix(bus.Filter(of), ".>")
	file, err := v.receipts.Receipt(ctx, of.Tenant, about, wanted, v.Sequence())
	switch {
	case errors.Is(err, ledger.ErrNewer), errors.Is(err, ledger.ErrNotCovered), errors.Is(err, ledger.ErrNone),
		errors.Is(err, ledger.ErrNoTree):
		return nil, refusal.OfKind(
			refusal.Unavailable("", receiptRule,
				"the last event is in no signed checkpoint yet; ask again in a few seconds"),
			"no-checkpoint")
	case err != nil:
		return nil, fmt.Errorf("%w: %w",
			refusal.OfKind(
				refusal.Unavailable("", receiptRule, "the log cannot prove it; its operator can see why"),
				"no-proof"), err)
	}
	return file, nil
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
