package render

import (
	"slices"
	"testing"
)

// checkup has a finding of every kind.
func checkup() (c Checkup) {
	see := "deploy/README.md#the-bus"
	c.Add("Files", Check{ID: "configuration", Name: "Configuration", See: see,
		Findings: []Finding{{OK, "6 files can be used", ""}}})
	c.Add("Files", Check{ID: "secrets", Name: "Secrets", See: see, Findings: []Finding{
		{Failed, "/var/lib/lockbox/keys/notifier.nk: others may read or write it (mode 0644)",
			"chmod 600 /var/lib/lockbox/keys/notifier.nk; if others have a login there, replace the key too"},
		{Failed, "/etc/lockbox/smtp\x1b[31m is empty", "put the secret there"}}})
	c.Add("Bus", Check{ID: "streams", Name: "Streams", See: see,
		Findings: []Finding{{Unknown, "it takes provisioner.nk, which is not here",
			"name a directory that holds it with --keys"}}})
	c.Add("Bus", Check{ID: "certificates", Name: "Certificates", See: see, Findings: []Finding{
		{OK, "ca.crt is good for 3640 days yet", ""}, {Warning, "tls.crt expires in 12 days, on 2026-05-24",
			"remove tls.crt and tls.key, put ca.key back, and `lockbox bus init --dir keys`; or put your own there"}}})
	c.Add("Work", Check{ID: "backup", Name: "Backups",
		Findings: []Finding{{NotChecked, "there are no backups yet, and so no drills: nothing makes them", ""}}})
	return c
}

// A group is as its worst check, a check as its worst finding; what was not checked makes nothing worse.
func TestTheWorstCounts(t *testing.T) {
	c := checkup()
	states := []State{c.State, c.Groups[0].State, c.Groups[1].State, c.Groups[2].State}
	if !slices.Equal(states, []State{Failed, Failed, Unknown, NotChecked}) {
		t.Error(states)
	}
	if got := Summary(c); got != "1 failure, 1 could not be checked, 1 warning, 1 ok, 1 not checked." {
		t.Error(got)
	}
	if got := WorstFindings(c); len(got) != 2 || got[1] != "Secrets: /etc/lockbox/smtp<U+001B>[31m is empty" {
		t.Errorf("%q", got)
	}
	var well Checkup
	well.Add("Work", Check{Name: "Backups", Findings: []Finding{{NotChecked, "", ""}}})
	well.Add("Work", Check{Name: "Lease", Findings: []Finding{{NotChecked, "", ""}, {OK, "", ""}}})
	if well.State != OK || well.Groups[0].State != OK || Summary(well) != "All is well: 1 ok, 1 not checked." {
		t.Errorf("%+v: %s", well, Summary(well))
	}
	order := []State{OK, Warning, Unknown, Failed}
	if !slices.IsSortedFunc(order, func(a, b State) int { return worse[a] - worse[b] }) {
		t.Error("what nobody knows is worse than a warning, and better than a failure")
	}
}
