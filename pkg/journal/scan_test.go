package journal_test

import (
	"bytes"
	"context"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/bus"
	"github.com/openlockbox/lockbox/pkg/journal"
	"github.com/openlockbox/lockbox/pkg/journal/journaltest"
)

// Each server's own copy can be read, so that a copy that differs is found although another server answers everybody.
func TestEveryServersOwnCopyIsRead(t *testing.T) {
	t.Parallel()
	b := journaltest.Start(t, 3)
	writer := b.Journal(t, bus.Orchestrator)
	about := aggregate.Key{Tenant: "meadowbank", Kind: aggregate.KindTicket, ID: journaltest.NewID()}
	after := uint64(0)
	for version := range uint64(50) {
		var err error
		if after, err = writer.Append(t.Context(), after, journaltest.Event(about, version+1)); err != nil {
			t.Fatal(err)
		}
	}
	// A server that was started a moment ago may not answer yet: whoever scans tries again.
	read := func(server string) (found map[uint64][]byte) {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		for {
			found = map[uint64][]byte{}
			err := b.Journal(t, bus.Projector).Scan(ctx, server, after, func(m journal.Stored) error {
				found[m.Sequence] = m.Data
				return nil
			})
			if err == nil {
				return found
			}
			if t.Log(err); ctx.Err() != nil {
				t.Fatal(err)
			}
			time.Sleep(100 * time.Millisecond)
		}
	}
	copies := func() (c journal.Copies) {
		t.Helper()
		for end := time.Now().Add(time.Minute); ; time.Sleep(50 * time.Millisecond) {
			var err error
			c, err = b.Journal(t, bus.Projector).Copies(t.Context())
			if err == nil && len(c.Servers) == 3 && len(c.Away) == 0 {
				return c
			}
			if time.Now().After(end) {
				t.Fatalf("%+v, %v", c, err)
			}
		}
	}
	c := copies()
	if c.First != 1 || c.Last != after || c.Missing != 0 {
		t.Errorf("%+v", c)
	}
	for _, server := range c.Servers {
		if found := read(server); len(found) != 50 {
			t.Errorf("%s has %d messages", server, len(found))
		}
	}

	// Two bits of one copy: in the first message and in the last.
	b.StopServer(1)
	block := blockOf(t, b.StoreDir(1))
	data, err := os.ReadFile(block)
	if err != nil {
		t.Fatal(err)
	}
	data[bytes.Index(data, []byte("reports errors"))] ^= 1
	data[bytes.LastIndex(data, []byte("reports errors"))] ^= 1
	if err := os.WriteFile(block, data, 0o600); err != nil {
		t.Fatal(err)
	}
	b.Resume(t)
	damaged := 0
	for _, server := range copies().Servers {
		if found := read(server); len(found) == 48 {
			damaged++
		} else if len(found) != 50 {
			t.Errorf("%s has %d messages", server, len(found))
		}
	}
	if damaged != 1 {
		t.Errorf("%d copies are damaged", damaged)
	}
}

func blockOf(t *testing.T, dir string) (block string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(name string, _ fs.DirEntry, err error) error {
		if err == nil && filepath.Base(name) == "1.blk" &&
			filepath.Base(filepath.Dir(filepath.Dir(name))) == bus.StreamEvents {
			block = name
		}
		return err
	})
	if err != nil || block == "" {
		t.Fatalf("%q, %v", block, err)
	}
	return block
}
