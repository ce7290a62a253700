package merkle

import (
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"testing"
)

// nowhere takes tiles and keeps nothing.
type nowhere struct{ bytes int }

func (n *nowhere) Read(path string) ([]byte, error) { return nil, fmt.Errorf("no %s", path) }
func (n *nowhere) Write(_ string, data []byte) error {
	n.bytes += len(data)
	return nil
}

// BenchmarkLeaves builds a tenant's tree of events of 300 bytes, flushed every 10,000. The floor, in the same run, is
// one bare SHA-256 over the bytes of each event.
func BenchmarkLeaves(b *testing.B) {
	const size = 300
	stored := make([]byte, 1<<20)
	if _, err := rand.Read(stored); err != nil {
		b.Fatal(err)
	}
	at := func(i int) []byte { return stored[i*size%(len(stored)-size):][:size] }
	subject := "lockbox-event.meadowbank.request.0192f0c1-7a5e-7c3e-9d55-0123456789ab.1.AccessRequested"
	b.Run("floor", func(b *testing.B) {
		sum := byte(0)
		for i := range b.N {
			h := sha256.Sum256(at(i))
			sum += h[0]
		}
		b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "leaves/s")
		_ = sum
	})
	for _, format := range []uint8{Format1, Format2} {
		b.Run(fmt.Sprintf("tree of format %d", format), func(b *testing.B) {
			salts, err := NewSalts(make([]byte, 32))
			must(b, err)
			store := &nowhere{}
			log, err := NewTenantLog(store, salts, "meadowbank")
			must(b, err)
			b.ReportAllocs()
			b.ResetTimer()
			for i := range b.N {
				must(b, log.Append(format, Stored{uint64(i) + 1, subject, at(i)}))
				if i%10000 == 0 {
					_, err = log.Flush()
					must(b, err)
				}
			}
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "leaves/s")
			b.ReportMetric(float64(store.bytes)/float64(b.N), "stored-B/leaf")
		})
	}
}

// BenchmarkDirectory is what a checkpoint costs, per tenant.
func BenchmarkDirectory(b *testing.B) {
	salts, err := NewSalts(make([]byte, 32))
	must(b, err)
	const tenants = 1000
	var all []TenantTree
	for i := range tenants {
		all = append(all, TenantTree{Tenant: fmt.Sprintf("tenant-%d", i), Tree: EmptyTree()})
		all[i].Tree.N = 1
	}
	for _, format := range []uint8{Format1, Format2} {
		b.Run(fmt.Sprintf("format %d", format), func(b *testing.B) {
			for i := range b.N {
				if _, err := NewDirectory(format, salts, int64(i), all); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(b.Elapsed().Seconds()*1e9/float64(b.N)/tenants, "ns/tenant")
		})
	}
}

func BenchmarkVerifyReceipt(b *testing.B) {
	s := story(b)
	file, p := encoded(b, storyReceipt(s)), policy(b, "all")
	b.ResetTimer()
	for range b.N {
		if _, err := verifiedProofs(file, p); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkCompare is the guard's rescan: each event of the stream against the leaves of its tree.
func BenchmarkCompare(b *testing.B) {
	for _, format := range []uint8{Format1, Format2} {
		b.Run(fmt.Sprintf("format %d", format), func(b *testing.B) {
			s := newSampleIn(b, format)
			stored := make([]byte, 300)
			for i := range 10000 {
				s.event("bank", "r1", i+1, stored)
			}
			s.checkpoint()
			b.ResetTimer()
			for range b.N {
				if found := s.compare(s.stream); len(found) > 0 {
					b.Fatal(found)
				}
			}
			b.ReportMetric(10000*float64(b.N)/b.Elapsed().Seconds(), "events/s")
		})
	}
}

// BenchmarkReadHeads is what a start costs: the heads of a tree of 50,000 events of 10,000 aggregates, from entries.
func BenchmarkReadHeads(b *testing.B) {
	const events = 50_000
	salts, err := NewSalts(make([]byte, 32))
	must(b, err)
	store := memory{}
	log, err := NewTenantLog(store, salts, "meadowbank")
	must(b, err)
	for i := range events {
		subject := fmt.Sprintf("lockbox.event.meadowbank.request.%032x.%d.AccessRequested", i%10_000, 1+i/10_000)
		must(b, log.Append(Format2, Stored{uint64(i) + 1, subject, nil}))
	}
	tree, err := log.Flush()
	must(b, err)
	b.ResetTimer()
	for range b.N {
		if _, err := ReadHeads(store, tree); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(events*float64(b.N)/b.Elapsed().Seconds(), "events/s")
}
