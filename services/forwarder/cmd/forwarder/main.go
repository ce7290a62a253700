// Command forwarder runs the forwarder as a process of its own.
package main

import (
	"github.com/openlockbox/lockbox/pkg/bus"
	"github.com/openlockbox/lockbox/pkg/service"
	"github.com/openlockbox/lockbox/services/forwarder"
)

func main() {
	service.MainConnected(forwarder.Name, bus.Compliance, forwarder.Config{Cursors: "/data"}, forwarder.Run)
}
