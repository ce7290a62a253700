// // Command portal runs the portal as a separate process.
package main

import (
	"github.com/openlockbox/lockbox/pkg/bus"
	"github.com/openlockbox/lockbox/pkg/service"
	"github.com/openlockbox/lockbox/services/portal"
)

func main() {
	service.MainConnected(portal.Name, bus.Portal, portal.Config{Listen: "127.0.0.1:8080"}, portal.Run)
}
