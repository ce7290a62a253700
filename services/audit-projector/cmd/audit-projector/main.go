// Command audit-projector runs the projector as a separate process.
package main

import (
	"github.com/openlockbox/lockbox/pkg/bus"
	"github.com/openlockbox/lockbox/pkg/service"
	projector "github.com/openlockbox/lockbox/services/audit-projector"
)

func main() {
	service.Main(bus.Projector, projector.Config{Dir: "/data"}, projector.Run)
}
