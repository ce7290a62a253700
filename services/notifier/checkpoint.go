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
	// rootShown is how much of a root a mail holds, in bytes: nobody finds another tree with the same beginning.
	rootShown = 16
	// checkpointAge is how long the newest checkpoint is taken for the newest.
	checkpointAge = 5 * time.Second
)

// checkpoint is the newest signed one, as mails name it. Mails that go out at the same time name the same.
type checkpoint struct {
	mu   sync.Mutex
	read time.Time
	size int64
	root string
}

// checkpoint tells size and root of the log; 0: nothing is signed yet, or cannot be read. A mail is not held up for it.
func (n *notifier) checkpoint(ctx context.Context) (size int64, root string) {
	c := n.newest
	c.mu.Lock()
	defer c.mu.Unlock()
	if now := n.Now(); c.read.IsZero() || now.Sub(c.read) > checkpointAge {
		c.read = now
		if err := n.readCheckpoint(ctx, c); err != nil {
			n.Log.Warn("a mail without the log's checkpoint", zap.Error(err))
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
