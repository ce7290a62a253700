// The lockbox-orchestrator as a process of its own.
package main

import (
	"github.com/openlockbox/lockbox/pkg/bus"
	"github.com/openlockbox/lockbox/pkg/request"
	"github.com/openlockbox/lockbox/pkg/service"
	orchestrator "github.com/openlockbox/lockbox/services/lockbox-orchestrator"
)

func main() {
	service.Main(bus.Orchestrator, orchestrator.Config{Terms: request.DefaultTerms()}, orchestrator.Run)
}
