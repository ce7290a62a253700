package forwarder

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

// standbyInterval is how often a copy that stands by tries to take over.
const standbyInterval = 500 * time.Millisecond

// alone waits until no other copy of the forwarder uses the directory of cursors: with two at a time, every event would
// go out twice. The other copies stand by, and one goes on where the first has stopped. It returns nil once ctx has
// ended. The operating system frees the directory when the process ends, however it ends.
func (f *Forwarder) alone(ctx context.Context) (free func(), err error) {
	lock, err := os.OpenFile(filepath.Join(f.Config.Cursors, "lock"), os.O_CREATE|os.O_RDWR, 0o600) // #nosec G304 -- the operator names the directory
	if err != nil {
		return nil, err
	}
	for waits := false; ; waits = true {
		err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if err == nil {
			return func() { _ = lock.Close() }, nil
		}
		if !errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, errors.Join(err, lock.Close())
		}
		if !waits {
			f.Log.Info("standing by: another copy uses the same cursors")
		}
		select {
		case <-ctx.Done():
			return nil, lock.Close()
		case <-time.After(standbyInterval):
		}
	}
}
