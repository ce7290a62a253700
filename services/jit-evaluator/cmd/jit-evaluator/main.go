// Command jit-evaluator runs the evaluator as a separate process.
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
