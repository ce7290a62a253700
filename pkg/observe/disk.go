package observe

import (
	"context"
	"sync"
	"time"

	"github.com/openlockbox/lockbox/pkg/durable"
	"github.com/openlockbox/lockbox/pkg/refusal"
	"go.uber.org/zap"
)

// A disk is low below either of these.
const (
	LowBytes   = 1 << 30
	LowPercent = 5
)

const (
	diskEvery = time.Minute
	// diskAgain is after how long a disk that is still low is logged again.
	diskAgain = time.Hour
)

// Disk watches the room on the disk of a directory in which the process keeps data.
type Disk struct {
	dir   string
	log   *zap.Logger
	space func(dir string) (durable.Space, error)

	mu   sync.Mutex
	told time.Time // when the log last said that it is low; zero: it is not
}

// NewDisk returns the disk of a directory. The log is told by Watch.
func NewDisk(dir string, log *zap.Logger) *Disk {
	return &Disk{dir: dir, log: log, space: durable.SpaceIn}
}

// Check is a health check that warns while the disk is low.
func (d *Disk) Check(context.Context) error {
	s, err := d.space(d.dir)
	if err != nil || !low(s) {
		return nil //nolint:nilerr // what cannot be asked is no warning; writing fails by itself
	}
	return Warning(refusal.Unavailable("disk", "disk",
		"%d of %d MB are free in %s: when it is full, nothing more is stored", s.Free>>20, s.Total>>20, d.dir))
}

func low(s durable.Space) bool { return s.Free < LowBytes || s.Free < s.Total/100*LowPercent }

// Watch logs a warning when the disk is low, and again every hour, until ctx ends.
func (d *Disk) Watch(ctx context.Context) {
	tick := time.NewTicker(diskEvery)
	defer tick.Stop()
	for {
		d.look(time.Now())
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

func (d *Disk) look(now time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	s, err := d.space(d.dir)
	switch {
	case err != nil:
		return
	case !low(s):
		if !d.told.IsZero() {
			d.log.Info("the disk has room again", zap.String("dir", d.dir), zap.Uint64("free_mb", s.Free>>20))
		}
		d.told = time.Time{}
	case d.told.IsZero() || now.Sub(d.told) >= diskAgain:
		d.told = now
		d.log.Warn("the disk is nearly full: when it is full, nothing more is stored", zap.String("dir", d.dir),
			zap.Uint64("free_mb", s.Free>>20), zap.Uint64("total_mb", s.Total>>20))
	}
}
