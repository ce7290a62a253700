// The jit-evaluator as a process of its own.
package main

import (
	"github.com/openlockbox/lockbox/pkg/bus"
	"github.com/openlockbox/lockbox/pkg/request"
	"github.com/openlockbox/lockbox/pkg/service"
	evaluator "github.com/openlockbox/lockbox/services/jit-evaluator"
)

func main() {
	service.Main(bus.Evaluator, evaluator.Config{Terms: request.DefaultTerms()}, evaluator.Run)
}
