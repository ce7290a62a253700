package bench

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"github.com/openlockbox/lockbox/services/lockbox/demo"
	"github.com/openlockbox/lockbox/services/portal"
)

// Starts is the time from the start of everything, as `lockbox up` does it, until commands and the portal are answered:
// in a new data directory, and in the same one again.
type Starts struct {
	New   Latency `json:"new"`
	Again Latency `json:"again"`
}

func (b *bench) starts(ctx context.Context) error {
	b.say("starts")
	var fresh, again []time.Duration
	for i := range b.scale.starts {
		s, err := openSite(filepath.Join(b.dir, fmt.Sprintf("start-%d", i)), "http://127.0.0.1:1")
		if err != nil {
			return err
		}
		s.portal = &portal.Config{Listen: "127.0.0.1:0", Organisations: demo.Organisations(s.issuer)}
		for _, took := range []*[]time.Duration{&fresh, &again} {
			begun := time.Now()
			running, err := s.start(ctx, nil)
			if err != nil {
				return err
			}
			*took = append(*took, time.Since(begun))
			if err := errors.Join(running.Err(), running.Close()); err != nil {
				return err
			}
		}
	}
	b.report.Starts = &Starts{New: latency(fresh), Again: latency(again)}
	return nil
}
