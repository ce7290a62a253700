package approval_test

import (
	"testing"

	"github.com/openlockbox/lockbox/pkg/approval"
	at "github.com/openlockbox/lockbox/pkg/approval/approvaltest"
)

// BenchmarkApproves verifies one signed decision under a chain that was folded before.
func BenchmarkApproves(b *testing.B) {
	for _, algorithm := range at.Algorithms {
		b.Run(algorithm, func(b *testing.B) {
			s, carl := at.Begin(), at.New("carl", algorithm)
			s.Add(20, adding(carl.Enrol("carl", approval.Approver)), s.Anna, s.Otto, carl)
			s.Seen(25, 0)
			s.Seen(30, at.Delay+2e9)
			chain := fold(b, s)
			stored := carl.Store(40, s.Decide(approval.Approve, "carl", carl))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := chain.Approves(stored); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkFold verifies a chain of a genesis, three additions and a removal.
func BenchmarkFold(b *testing.B) {
	s := at.Begin()
	for i, algorithm := range []string{at.ES256, at.ECDSA, at.SKECDSA} {
		k := at.New("carl", algorithm)
		s.Add(uint64(20+i), adding(k.Enrol("carl", approval.Approver)), s.Anna, s.Otto, k)
	}
	s.Add(30, removing(s.Anna), s.Otto)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := s.Fold(); err != nil {
			b.Fatal(err)
		}
	}
}
