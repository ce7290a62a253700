// Command forwarder runs the forwarder as a process of its own.
package main

import "github.com/openlockbox/lockbox/services/forwarder"

func main() { forwarder.Program().Main() }
