package input

import (
	"strings"
	"testing"
)

func TestNearest(t *testing.T) {
	candidates := []string{"compute/virtual-machines", "storage/accounts", "web/apps", "id"}
	for s, want := range map[string]string{
		"compute/virtual-machine": "compute/virtual-machines", "Compute/Virtual-Machines": "compute/virtual-machines",
		"virtual-machines": "compute/virtual-machines", "compute/virtaul-machines": "compute/virtual-machines",
		"storge/acounts": "storage/accounts", "wep/apps": "web/apps", "network/firewalls": "", "": "", "xy": "",
		strings.Repeat("x", 10000): "",
	} {
		if got := Nearest(s, candidates); got != want {
			t.Errorf("Nearest(%.30q) = %q, want %q", s, got, want)
		}
	}
}
