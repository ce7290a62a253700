// Command audit-projector runs the projector as a separate process.
package main

import projector "github.com/openlockbox/lockbox/services/audit-projector"

func main() { projector.Program().Main() }
