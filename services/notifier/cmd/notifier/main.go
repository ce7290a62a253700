// Command notifier runs the notifier as a separate process.
package main

import "github.com/openlockbox/lockbox/services/notifier"

func main() { notifier.Program().Main() }
