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

const (
	// rootShown is the length of the root's prefix in a mail, in bytes: long enough that no other tree with it can be
	// found.
	rootShown = 16
	// checkpointAge is how long a checkpoint is cached as the newest.
	checkpointAge = 5 * time.Second
)

// checkpoint is the newest signed checkpoint for use in mails. Mails sent at the same time share it.
type checkpoint struct {
	mu   sync.Mutex
	read time.Time
	size int64
	root string
}

// checkpoint returns the size and root of the log; size 0 if nothing is signed yet or the checkpoint cannot be read,
// since neither should hold up a mail.
func (n *notifier) checkpoint(ctx context.Context) (size int64, root string) {
	c := n.newest
	c.mu.Lock()
	defer c.mu.Unlock()
	if now := n.Now(); c.read.IsZero() || now.Sub(c.read) > checkpointAge {
		c.read = now
		if err := n.readCheckpoint(ctx, c); err != nil {
			n.Log.Warn("mail sent without the log's checkpoint", zap.Error(err))
			c.size, c.root = 0, ""
		}
	}
	return c.size, c.root
}

func (n *notifier) readCheckpoint(ctx context.Context, c *checkpoint) error {
	e, err := n.Journal.Latest(ctx, aggregate.MerkleLog)
	if err != nil || e.Seq == 0 {
		return err
	}
	text, _, _ := strings.Cut(e.Event.GetCheckpointSigned().GetNote(), "\n\n")
	signed, err := merkle.ParseCheckpoint(text + "\n")
	if err != nil {
		return err
	}
	c.size, c.root = signed.Tree.N, hex.EncodeToString(signed.Tree.Hash[:rootShown])
	return nil
}
