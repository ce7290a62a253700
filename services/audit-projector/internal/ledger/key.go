package ledger

import (
	"context"
	"fmt"

	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/merkle"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"golang.org/x/mod/sumdb/note"
)

// recordKey records, before the first checkpoint that is signed with it, which key replaces the log's: the keys before
// it say so themselves. The same report again is recognised by the stream.
func (l *Ledger) recordKey(ctx context.Context) error {
	if l.keyRecorded || len(l.Keys.Signers) == 1 {
		return nil
	}
	signed, err := note.Sign(&note.Note{Text: merkle.KeyChange(l.policy.Origin(), l.Keys.Verifiers[0])}, l.Keys.Signers...)
	if err != nil {
		return err
	}
	e := l.event(aggregate.MerkleLogKeys, fmt.Sprintf("%08x", l.Keys.Signers[0].KeyHash()))
	e.Fact = &lockboxv1.Event_LogKeyChanged{LogKeyChanged: &lockboxv1.LogKeyChanged{Note: string(signed)}}
	if _, _, err := l.Journal.Report(ctx, e); err != nil {
		return err
	}
	l.keyRecorded = true
	return errOther // the report is in the stream now, before the checkpoint
}
