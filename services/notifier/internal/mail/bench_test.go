package mail

import (
	"testing"

	"github.com/openlockbox/lockbox/services/notifier/internal/plan"
)

func BenchmarkRender(b *testing.B) {
	r, err := newRenderer()
	if err != nil {
		b.Fatal(err)
	}
	n := sample(plan.ApprovalRequested, "en")
	for b.Loop() {
		if _, err := r.Render(n, noon); err != nil {
			b.Fatal(err)
		}
	}
}
