package journal_test

import (
	"testing"

	"github.com/openlockbox/lockbox/pkg/journal/journaltest"
)

func TestOneServer(t *testing.T) {
	t.Parallel()
	journaltest.Run(t, func(t testing.TB) *journaltest.Bus { return journaltest.Start(t, 1) })
}

func TestThreeServers(t *testing.T) {
	t.Parallel()
	journaltest.Run(t, func(t testing.TB) *journaltest.Bus { return journaltest.Start(t, 3) })
}
