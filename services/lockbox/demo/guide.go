package demo

import (
	"fmt"
	"io"
	"strconv"

	"github.com/openlockbox/lockbox/services/lockbox/demo/devissuer"
)

// Guide prints the demo's personas and the next steps. Program is the name by which the command line was called; dir
// is the data directory if commands have to name it, else empty; portal is the portal's URL, empty if there is none.
func Guide(w io.Writer, program, dir, portal string) error {
	data, browser := "", ""
	if portal != "" {
		browser = "\nOr decide in a browser: open the link in the mail to Otto, and choose to be Otto Owens.\n"
	}
	if dir != "" {
		data = "  export LOCKBOX_DATA=" + strconv.Quote(dir) + "\n"
	}
	_, err := fmt.Fprintf(w, `
People to be, in the portal, with --as, or with lockbox login (a customer's with --tenant %[3]s or %[6]s):
%[1]s
Try this, in another terminal:
%[7]s  %[2]s intent submit --as erin --tenant %[3]s --subscription %[4]s \
      --type compute/virtual-machines --scenario memory-dump \
      --resource %[9]s \
      --reason-type CUSTOMER_INITIATED_SUPPORT --ticket %[5]s \
      --justification "The machine hangs; a memory dump will show where."
  %[2]s approval list --as otto
  %[2]s approval approve --as otto REQUEST-ID --for 2h --reason "Go ahead."
  %[2]s request show --as erin REQUEST-ID
  %[2]s audit list --as audrey
%[8]s
`, people(), program, devissuer.TenantBank, BankProduction, BankTicket, devissuer.TenantHealth, data, browser,
		Machine(BankProduction, "payments-1"))
	return err
}

func people() string {
	text := ""
	for _, p := range devissuer.Personas() {
		text += fmt.Sprintf("  %-11s %s\n", p.Name, p.About)
	}
	return text
}
