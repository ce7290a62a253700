package notifier

import (
	"context"
	"encoding/hex"
	"strings"
	"sync"
	"time"

	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/merkle"
	"go.uber.org/zap"
)

// checkpointAge is how long a checkpoint is cached as the newest.
const checkpointAge = 5 * time.Second

// checkpoint is the newest signed checkpoint for use in mails. Mails sent at the same time share it.
type checkpoint struct {
	mu   sync.Mutex
	read time.Time
	signed
}

// signed is what a mail says of a checkpoint, and the last event of the stream that it covers.
type signed struct {
	size    int64
	root    string
	covered uint64
}

// checkpoint returns the newest one; of size 0 if nothing is signed yet or the checkpoint cannot be read, since neither
// should hold up a mail.
func (n *notifier) checkpoint(ctx context.Context) signed {
	c := n.newest
	c.mu.Lock()
	defer c.mu.Unlock()
	if now := n.Now(); c.read.IsZero() || now.Sub(c.read) > checkpointAge {
		c.read = now
		if err := n.readCheckpoint(ctx, c); err != nil {
			n.Log.Warn("mail sent without the log's checkpoint", zap.Error(err))
			c.signed = signed{}
		}
	}
	return c.signed
}

func (n *notifier) readCheckpoint(ctx context.Context, c *checkpoint) error {
	e, err := n.Journal.Latest(ctx, aggregate.MerkleLog)
	if err != nil || e.Seq == 0 {
		return err
	}
	report := e.Event.GetCheckpointSigned()
	text, _, _ := strings.Cut(report.GetNote(), "\n\n")
	is, err := merkle.ParseCheckpoint(text + "\n")
	if err != nil {
		return err
	}
	c.signed = signed{is.Tree.N, hex.EncodeToString(is.Tree.Hash[:]), report.GetCoveredSequence()}
	return nil
}
