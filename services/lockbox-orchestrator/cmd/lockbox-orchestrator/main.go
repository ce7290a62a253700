// Command lockbox-orchestrator runs the orchestrator as a separate process.
package main

import orchestrator "github.com/openlockbox/lockbox/services/lockbox-orchestrator"

func main() { orchestrator.Program().Main() }
