// Command notifier runs the notifier as a separate process.
package main

import (
	"github.com/openlockbox/lockbox/pkg/bus"
	"github.com/openlockbox/lockbox/pkg/service"
	"github.com/openlockbox/lockbox/services/notifier"
)

func main() {
	service.Main(bus.Notifier, notifier.Config{DigestAfter: notifier.DefaultDigest}, notifier.Run)
}
