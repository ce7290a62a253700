// Command lockbox-orchestrator runs the orchestrator as a separate process.
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
