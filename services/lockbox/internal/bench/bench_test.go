package bench

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/openlockbox/lockbox/pkg/durable/durabletest"
)

// The history is measured by this very program, run again.
func TestMain(m *testing.M) {
	if os.Getenv(childVariable) == "" {
		os.Exit(m.Run())
	}
	if err := Main(context.Background(), nil, os.Stdin, os.Stdout, os.Stderr); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func TestEverySectionMeasuresSomething(t *testing.T) {
	tiny := scale{
		rounds: 3, compared: 50 * time.Millisecond, clustered: 50 * time.Millisecond,
		floor: 50 * time.Millisecond, warmUp: 20 * time.Millisecond, workflow: 300 * time.Millisecond, atOnce: []int{1, 4},
		stage: 20, mails: 2, starts: 1, bulk: 20, history: 30, loads: 10,
		readers: 2, pending: 5, reading: 50 * time.Millisecond, clicking: 100 * time.Millisecond,
		logged: 20, questions: 5, looking: time.Millisecond, crowded: 20, beside: 100 * time.Millisecond,
	}
	profiles := t.TempDir()
	r, err := run(t.Context(), Options{Dir: t.TempDir(), Profiles: profiles, Peers: fakePeers(t),
		StageIn: durabletest.Disk(t, 64)}, tiny)
	if err != nil {
		t.Fatal(err)
	}
	if c := r.Compared; c == nil || c.Server != "a fake" || c.Rounds != 3 || len(c.Rows) != len(tiny.atOnce) ||
		slices.ContainsFunc(c.Rows, func(r ComparedRow) bool {
			return r.Plain != (Measured{Rate: 100, P50: 2, CPU: 1}) ||
				r.Equal != (Measured{Rate: 50, P50: 4, CPU: 2, Decision: 1}) || r.Lockbox.Rate <= 0 ||
				r.Lockbox.CPU <= 0 || r.Floor.Rate <= 0 || r.Floor.P50 <= 0 || r.Staged.Rate <= 0
		}) {
		t.Errorf("compared: %+v", c)
	}
	if len(r.Floor) != len(tiny.atOnce)+1 || r.Floor[0].Writes != 8 || r.Floor[0].Rate <= 0 || r.Floor[0].P50 <= 0 {
		t.Errorf("floor: %+v", r.Floor)
	}
	for i, w := range r.Workflow {
		if w.AtOnce != tiny.atOnce[i] || w.Rate <= 0 || w.P50 <= 0 || w.P99 < w.P50 || w.CPU <= 0 || w.Stored <= 0 ||
			w.RateToFloor <= 0 {
			t.Errorf("workflow: %+v", w)
		}
	}
	if f := r.Followed; f == nil || f.AtOnce != 4 || f.Rate <= 0 || f.Answered <= 0 || f.Signed < f.Answered {
		t.Errorf("followed: %+v", f)
	}
	if s := r.Staged; s == nil || len(s.Rows) != len(tiny.atOnce) || slices.ContainsFunc(s.Rows, func(r StagedRow) bool {
		return r.OnDisk.Rate <= 0 || r.InMemory.Rate <= 0 || r.InMemory.CPU <= 0
	}) {
		t.Errorf("staged: %+v", s)
	}
	if len(r.Stages) != 4 || slices.ContainsFunc(r.Stages, func(s Stage) bool { return s.Requests != 20 || s.Rate <= 0 }) {
		t.Errorf("stages: %+v", r.Stages)
	}
	if r.Mail == nil || r.Mail.Requests != 2 || r.Mail.Mails < 2 || r.Mail.Rate <= 0 {
		t.Errorf("mail: %+v", r.Mail)
	}
	if s := r.Starts; s == nil || s.New.P50 <= 0 || s.Again.P50 <= 0 {
		t.Errorf("starts: %+v", s)
	}
	// 49 ended with their grant, which is a sixth event.
	if h := r.History; h == nil || h.Requests != 50 || h.Events < 50*5 || h.Load.P50 <= 0 || h.Recent.P50 <= 0 ||
		h.Replay <= 0 || h.Projection <= 0 || h.Ready <= 0 || h.MemoryReady <= 0 {
		t.Errorf("history: %+v", h)
	}
	if p := r.Portal; p == nil || len(p.Pages) != 8 ||
		slices.ContainsFunc(p.Pages, func(p Page) bool { return p.Most <= 0 || p.FirstByte.P99 <= 0 || p.Pressed.P99 <= 0 }) {
		t.Errorf("portal: %+v", p)
	}
	if len(r.Clicks) != 4 || slices.ContainsFunc(r.Clicks, func(c Click) bool {
		return c.Clicks < c.AtOnce || c.Answered.P50 <= 0 || c.Stored.P50 <= 0 || c.Visible.P50 < c.Stored.P50
	}) {
		t.Errorf("clicks: %+v", r.Clicks)
	}
	if l := r.Log; l == nil || l.Events < 20*5 || l.Read <= 0 || l.Answered <= 0 || l.Signed <= 0 || l.Vouched <= 0 ||
		l.Look <= 0 || l.Verify <= 0 || l.Query.P50 <= 0 ||
		l.MemoryMaking <= 0 || l.MemoryAfter <= 0 || l.MemoryRestart <= 0 {
		t.Errorf("log: %+v", l)
	}
	if len(r.Fair) != 3 || slices.ContainsFunc(r.Fair, func(f Fair) bool {
		return f.Requests <= 0 || f.ApprovalRatio <= 0 || f.WholeRatio <= 0 || f.Whole.P50 < f.Approval.P50
	}) {
		t.Errorf("fair: %+v", r.Fair)
	}
	if c := r.Cluster; c == nil || len(c.Rows) != len(tiny.atOnce) || slices.ContainsFunc(c.Rows, func(r ClusterRow) bool {
		return r.Lockbox.Rate <= 0 || r.Lockbox.Decision <= 0 || r.Lockbox.CPU <= 0 || r.Sooner.Rate <= 0 ||
			r.Equal != (Measured{Rate: 50, P50: 4, CPU: 2, Decision: 1})
	}) {
		t.Errorf("cluster: %+v", c)
	}
	if written, err := os.ReadDir(profiles); err != nil || len(written) != len(tiny.atOnce)+13 {
		t.Errorf("profiles: %v, %v", written, err)
	}
}

// fakePeers is a program that answers as the peers do, without PostgreSQL.
func fakePeers(t *testing.T) string {
	t.Helper()
	program := filepath.Join(t.TempDir(), "peers")
	const script = `#!/bin/sh
echo '{"server":"a fake"}'
while read -r task; do
	case $task in
	*plain*) echo '{"requests":10,"requests_per_s":100,"p50_ms":2,"cpu_ms_per_request":1}' ;;
	*) echo '{"requests":5,"requests_per_s":50,"p50_ms":4,"cpu_ms_per_request":2,"decision_p50_ms":1}' ;;
	esac
done
`
	if err := os.WriteFile(program, []byte(script), 0o700); err != nil { // #nosec G306 -- a program
		t.Fatal(err)
	}
	return program
}

func TestPeersThatDoNotStartEndTheBench(t *testing.T) {
	for name, peers := range map[string]string{
		"none": "", "no program": filepath.Join(t.TempDir(), "missing"), "it fails": "/bin/false",
		"it says nothing": "/bin/true",
	} {
		o := Options{Dir: t.TempDir(), Only: []string{"peers"}, Peers: peers}
		if r, err := run(t.Context(), o, quick()); err == nil {
			t.Errorf("%s: %+v", name, r)
		}
	}
}

// The README has the table that the bench prints.
func TestTheTableBesideThePeers(t *testing.T) {
	c := Compared{Rows: []ComparedRow{{AtOnce: 16,
		Lockbox: Measured{Rate: 300, P50: 50, CPU: 2}, Equal: Measured{Rate: 600, P50: 25, CPU: 1},
		Plain: Measured{Rate: 1000, P50: 16, CPU: 0.5}, Floor: Measured{Rate: 400, P50: 40, CPU: 1.5}}}}
	const want = "| 16 | 0.50 | 0.30 | 0.75 | 2.00 | 300, 600, 1000, 400 | 50.0, 25.0, 16.0, 40.0 | 2.00, 1.00, 0.50, 1.50 |\n"
	if got := c.Markdown(); got != markdownHead+want {
		t.Errorf("got\n%s", got)
	}
	readme, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(readme), markdownHead) {
		t.Errorf("the README does not have the table\n%s", markdownHead)
	}
	var met []bool
	for _, a := range (&Report{Compared: &c}).Aims() {
		met = append(met, a.Met())
	}
	if !slices.Equal(met, []bool{false}) {
		t.Errorf("aims: %v", met)
	}
}

func TestMediansLeaveOutTheOutlier(t *testing.T) {
	if got := medians([]Measured{
		{Rate: 1, P50: 9, CPU: 5}, {Rate: 100, P50: 1, CPU: 4}, {Rate: 3, P50: 2, CPU: 6},
	}); got != (Measured{Rate: 3, P50: 2, CPU: 5}) {
		t.Errorf("%+v", got)
	}
}

func TestMainRefusesWhatItDoesNotKnow(t *testing.T) {
	for _, args := range [][]string{
		{"--only", "floors"}, {"-o", "yaml"}, {"everything"}, {"--fast"}, {"--dir", t.TempDir() + "/missing"},
	} {
		var out bytes.Buffer
		if err := Main(t.Context(), args, nil, &out, &bytes.Buffer{}); err == nil || out.Len() > 0 {
			t.Errorf("%v: error %v, output %q", args, err, &out)
		}
	}
}

func TestPercentileIsTheNearestRank(t *testing.T) {
	var hundred []time.Duration
	for i := range 100 {
		hundred = append(hundred, time.Duration(i+1))
	}
	for _, c := range []struct {
		sorted []time.Duration
		p      float64
		want   time.Duration
	}{
		{nil, 50, 0}, {hundred[:1], 99, 1}, {hundred, 50, 50}, {hundred, 99, 99}, {hundred, 100, 100}, {hundred, 0, 1},
		{hundred[:3], 50, 2},
	} {
		if got := percentile(c.sorted, c.p); got != c.want {
			t.Errorf("percentile %v of %d values is %v, not %v", c.p, len(c.sorted), got, c.want)
		}
	}
}

func TestARunStandsBesideTheFloorsNextToIt(t *testing.T) {
	w := Workflow{Rate: 300, Latency: Latency{P50: 6}}
	w.compare(Floor{Rate: 100, Latency: Latency{P50: 1}}, Floor{Rate: 200, Latency: Latency{P50: 3}})
	if w.RateToFloor != 2 || w.P50ToFloor != 3 {
		t.Errorf("%+v", w)
	}
}

func TestAims(t *testing.T) {
	r := Report{
		Workflow: []Workflow{{AtOnce: 1, P50ToFloor: 3.1}, {AtOnce: 16}, {AtOnce: 64, RateToFloor: 1.5},
			{AtOnce: 256, RateToFloor: 1.9}},
		History: &History{Child: Child{Load: Latency{P50: 0.2}, Replay: 150_000, Ready: 900, MemoryLoaded: 501 * mib}},
	}
	var met []bool
	for _, a := range r.Aims() {
		met = append(met, a.Met())
	}
	if want := []bool{false, true, false, true, true, true, false}; !slices.Equal(met, want) {
		t.Errorf("met %v, want %v", met, want)
	}
	if aims := (&Report{}).Aims(); len(aims) != 0 {
		t.Errorf("nothing was measured, and yet: %v", aims)
	}
}

func TestTheReportAlignsItsTables(t *testing.T) {
	got := table([][]string{{"", "× floor", "ms"}, {"one", "1.00", "10"}, {"fifteen", "15.00", "1"}})
	want := "            × floor   ms\n  one          1.00   10\n  fifteen     15.00    1\n"
	if got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
}

func TestTheReportIsAlsoJSON(t *testing.T) {
	r := Report{CPUs: 2, Floor: []Floor{{When: "before", Writes: 8, Rate: 700, Latency: Latency{P50: 1.2, P99: 3}}}}
	data, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	for _, part := range []string{`"requests_per_s":700`, `"p50_ms":1.2`, `"when":"before"`} {
		if !strings.Contains(string(data), part) {
			t.Errorf("no %s in %s", part, data)
		}
	}
	if text := r.Text(); !strings.Contains(text, "8 durable writes") || strings.Contains(text, "Aims") {
		t.Errorf("text:\n%s", text)
	}
}

func TestFieldsOfTheKernel(t *testing.T) {
	const status = "Name:\tbench\nVmHWM:\t  2048 kB\nVmRSS:\t  1024 kB\n"
	if got, err := field(status, "VmRSS"); err != nil || got != 1024 {
		t.Errorf("VmRSS is %d, %v", got, err)
	}
	if _, err := field(status, "VmSwap"); err == nil {
		t.Error("there is no VmSwap")
	}
}

func TestDirSizeCountsFiles(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"a", "b"} {
		if err := os.MkdirAll(dir+"/"+name, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(dir+"/"+name+"/file", make([]byte, 1000), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := dirSize(dir); err != nil || got != 2000 {
		t.Errorf("%d bytes, %v", got, err)
	}
}

func TestEachAtOnceStopsAtTheFirstFailure(t *testing.T) {
	broken := fmt.Errorf("broken")
	done := 0
	err := eachAtOnce(t.Context(), 1, []int{1, 2, 3, 4}, func(_ context.Context, i int) error {
		if i == 2 {
			return broken
		}
		done++
		return nil
	})
	if err != broken || done != 1 { //nolint:errorlint // the very error is meant
		t.Errorf("%v after %d", err, done)
	}
	if err := eachAtOnce(t.Context(), 8, []int{1, 2}, func(context.Context, int) error { return nil }); err != nil {
		t.Error(err)
	}
}
