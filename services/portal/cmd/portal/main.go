// // Command portal runs the portal as a separate process.
package main

import "github.com/openlockbox/lockbox/services/portal"

func main() { portal.Program().Main() }
