package mailtest

import (
	"time"

	"github.com/openlockbox/lockbox/pkg/approval"
	"github.com/openlockbox/lockbox/services/notifier/internal/plan"
)

const (
	words       = "bafode gikajo hemita jopasi kadare nifoto rasebo tewidi"
	fingerprint = words + " dafeko hitapi josaba wenimo"
)

var blue = plan.Key{Label: "blue key", Holder: "Claire Dubois"}

// keys is what a mail about keys says.
func keys(t plan.Template) *plan.KeyMatter {
	m := &plan.KeyMatter{Keys: []plan.Key{{Label: "laptop", Holder: "Otto Brandt", SSH: true}}, Fingerprint: fingerprint}
	switch t {
	case plan.KeyChangeOffered:
		m.Change, m.Words = approval.AddKey, words
	case plan.KeyChainBegan:
		m.Keys = append(m.Keys, blue)
		m.Demand = approval.DemandSignatures
	case plan.KeyChainChanged:
		m.Change, m.Words, m.From = approval.AddKey, words, Noon.Add(72*time.Hour)
	}
	return m
}
