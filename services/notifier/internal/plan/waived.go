package plan

import lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"

// waived tells the customer which access began without asking them, also of emergencies, of which they were told at
// once.
func (p *planner) waived(f *lockboxv1.WaivedAccessReported) {
	d := p.data()
	d.Waived, d.Starts, d.Ends = f, f.GetSince().AsTime(), f.GetUntil().AsTime()
	p.tell(WaivedAccess, d, p.administrators())
}

// Unasked counts the accesses of which a WaivedAccess mail tells.
func (d Data) Unasked() (n int) {
	for _, c := range d.Waived.GetCounts() {
		n += int(c.GetCount())
	}
	return n
}
