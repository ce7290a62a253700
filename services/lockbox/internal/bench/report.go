package bench

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// Report holds all measurements of one run. Sections that were not run are empty.
type Report struct {
	CPUs int    `json:"cpus"`
	Dir  string `json:"dir"`
	// LoadBefore is the machine's one-minute load average before the run.
	LoadBefore float64    `json:"load_before"`
	Quick      bool       `json:"quick"`
	Compared   *Compared  `json:"compared,omitempty"`
	Floor      []Floor    `json:"floor,omitempty"`
	Workflow   []Workflow `json:"workflow,omitempty"`
	Followed   *Followed  `json:"followed,omitempty"`
	Staged     *Staged    `json:"staged,omitempty"`
	Stages     []Stage    `json:"stages,omitempty"`
	Mail       *Mail      `json:"mail,omitempty"`
	Starts     *Starts    `json:"starts,omitempty"`
	History    *History   `json:"history,omitempty"`
	Portal     *Portal    `json:"portal,omitempty"`
	Clicks     []Click    `json:"clicks,omitempty"`
	Log        *Log       `json:"log,omitempty"`
	Fair       []Fair     `json:"fair,omitempty"`
	Cluster    *Cluster   `json:"cluster,omitempty"`
}

// Aim is a performance target and the measured value.
type Aim struct {
	What      string
	Aim, Got  float64
	Unit      string
	AtMost    bool
	precision int
}

// Met reports whether the target was reached.
func (a Aim) Met() bool {
	if a.AtMost {
		return a.Got <= a.Aim
	}
	return a.Got >= a.Aim
}

const mib = 1 << 20

// Aims compares the measurements with the targets.
func (r *Report) Aims() []Aim {
	var aims []Aim
	if r.Compared != nil {
		aims = r.Compared.aims()
	}
	for _, w := range r.Workflow {
		switch w.AtOnce {
		case 1:
			aims = append(aims, Aim{"whole workflow, 1 at once: p50", 3, w.P50ToFloor, "× floor", true, 2})
		case 64:
			aims = append(aims, Aim{"whole workflow, 64 at once: requests/s", 1.5, w.RateToFloor, "× floor", false, 2})
		case 256:
			aims = append(aims, Aim{"whole workflow, 256 at once: requests/s", 2, w.RateToFloor, "× floor", false, 2})
		}
	}
	if s := r.Starts; s != nil {
		aims = append(aims,
			Aim{"start in a new data directory: p50", 300, s.New.P50, "ms", true, 0},
			Aim{"start in a small one that exists: p50", 300, s.Again.P50, "ms", true, 0},
		)
	}
	if h := r.History; h != nil {
		restart, usual := 2000.0, full().history
		if h.Requests > usual {
			restart = 12_000 // for a million
		}
		aims = append(aims,
			Aim{"load of one request: p50", 0.5, h.Load.P50, "ms", true, 2},
			Aim{"replay with folding", 150_000, h.Replay, "events/s", false, 0},
			Aim{"restart", restart, h.Ready, "ms", true, 0},
		)
		if h.Requests <= usual {
			aims = append(aims, Aim{"memory", 300, float64(h.MemoryLoaded) / mib, "MiB", true, 0})
		}
	}
	if p := r.Portal; p != nil {
		slowest := Page{}
		for _, page := range p.Pages[1:] {
			if page.FirstByte.P99 > slowest.FirstByte.P99 {
				slowest = page
			}
		}
		aims = append(aims, Aim{"portal, the slowest page (" + slowest.Name + "): first byte p99", 50, slowest.FirstByte.P99,
			"ms", true, 1})
	}
	for _, c := range r.Clicks {
		if c.AtOnce > 1 {
			aims = append(aims, Aim{fmt.Sprintf("click until access is active, %d at once, staged %s: p99", c.AtOnce, c.Staged),
				150, c.Visible.P99, "ms", true, 0})
		}
	}
	if l := r.Log; l != nil {
		aims = append(aims,
			Aim{"log: projection and trees from nothing", 50_000, min(l.Answered, l.Signed), "events/s", false, 0},
			Aim{"log: everything compared, from a restart", 60_000, l.Look, "ms", true, 0},
			Aim{"log: every invariant over everything", 15_000, l.Verify, "ms", true, 0},
			Aim{"log: activity log with three filters: p99", 50, l.Query.P99, "ms", true, 1},
			Aim{"log: memory of the projector", 300, float64(max(l.MemoryMaking, l.MemoryAfter, l.MemoryRestart)) / mib, "MiB",
				true, 0},
		)
	}
	if c := r.Cluster; c != nil && c.Rows[0].AtOnce == 1 {
		aims = append(aims, Aim{"on three servers, 1 at once: a decision, p50", 15, c.Rows[0].Lockbox.Decision, "ms",
			true, 1})
	}
	return aims
}

// Text formats the report for people.
func (r *Report) Text() string {
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	line("Lockbox on this machine: %d CPUs, load average %.1f before the run, store in %s.", r.CPUs, r.LoadBefore, r.Dir)
	line("Embedded server with sync_interval: always; server, services and clients in one process.")
	if r.Quick {
		line("A quick run: these figures show that everything works, and nothing else.")
	}
	if c := r.Compared; c != nil {
		line("\nBeside %s, in the same run: medians of %d rounds (each token is one that was not seen before)\n", c.Server,
			c.Rounds)
		b.WriteString(c.Markdown())
	}
	if len(r.Floor) > 0 {
		line("\nThe bare floor: the %d durable writes of one request, each made when the one before it is on disk",
			r.Floor[0].Writes)
		b.WriteString(floorTable(r.Floor))
	}
	if len(r.Workflow) > 0 {
		line("\nThe whole workflow: submitted, evaluated, customer notified, approved, access granted (mail and projection apart)")
		b.WriteString(workflowTable(r.Workflow))
	}
	if f := r.Followed; f != nil {
		line("\nThe same with a projector beside it, %d at once: %.0f requests/s; after the last one everything was answered in %.0f ms, and signed in %.0f ms",
			f.AtOnce, f.Rate, f.Answered, f.Signed)
	}
	if s := r.Staged; s != nil {
		line("\nThe whole workflow on a server that stages batches in %s, in turns with one that does not: medians of %d rounds",
			s.In, s.Rounds)
		b.WriteString(stagedTable(s.Rows))
	}
	if len(r.Stages) > 0 {
		line("\nEach stage by itself, with all requests waiting for it (publishing and approving %d at once)", stageAtOnce)
		b.WriteString(stageTable(r.Stages))
	}
	if m := r.Mail; m != nil {
		line("\nMail (the notifier alone, over SMTP, to a mailbox in this process)")
		b.WriteString(table([][]string{
			{"mails for requests from intent to grant", number(float64(m.Requests), 0), "requests"},
			{"delivered and reported", number(float64(m.Mails), 0), "mails"},
			{"", number(m.Rate, 0), "mails/s"},
		}))
	}
	if s := r.Starts; s != nil {
		line("\nFrom the start of all services until commands and the portal are answered")
		b.WriteString(table([][]string{{"", "p50 ms", "p99 ms"},
			{"in a new data directory", number(s.New.P50, 0), number(s.New.P99, 0)},
			{"in the same one again", number(s.Again.P50, 0), number(s.Again.P99, 0)}}))
	}
	if h := r.History; h != nil {
		line("\nWith a history of %d requests, %d events, %.0f MiB (a process of its own)", h.Requests, h.Events,
			float64(h.Stored)/mib)
		b.WriteString(historyTable(h))
	}
	if p := r.Portal; p != nil {
		line("\nThe portal's pages, %d readers, %d requests in the projection, of which %d wait (first byte; the readers are a process of their own)", p.Readers, p.Requests, p.Pending)
		b.WriteString(pageTable(p.Pages))
	}
	if len(r.Clicks) > 0 {
		line("\nFrom an approver's click in the portal until access is active, all at the same moment (a process of their own)")
		b.WriteString(clickTable(r.Clicks))
	}
	if l := r.Log; l != nil {
		line("\nThe audit log of %d requests, %d events (the projector is a process of its own, over a socket)", l.Requests,
			l.Events)
		b.WriteString(logTable(l))
	}
	if len(r.Fair) > 0 {
		line("\nOne customer's request, one after the other, beside what another customer causes, and alone right before")
		b.WriteString(fairTable(r.Fair))
	}
	if c := r.Cluster; c != nil {
		line("\nOn three servers (processes of their own) with three replicas: medians of %d rounds, in turns", c.Rounds)
		if c.Server != "" {
			line("beside %s and synchronous_commit = on", c.Server)
		}
		b.WriteString(clusterTable(c))
	}
	if aims := r.Aims(); len(aims) > 0 {
		line("\nAims")
		b.WriteString(aimTable(aims))
	}
	return b.String()
}

func pageTable(pages []Page) string {
	rows := [][]string{{"", "a page a second each: p50 ms", "p99 ms", "p99 × floor", "without a pause: pages/s", "p50 ms",
		"p99 ms"}}
	for _, p := range pages {
		rows = append(rows, []string{
			p.Name, number(p.FirstByte.P50, 1), number(p.FirstByte.P99, 1), number(p.P99ToFloor, 1),
			number(p.Most, 0), number(p.Pressed.P50, 0), number(p.Pressed.P99, 0),
		})
	}
	return table(rows)
}

func floorTable(floors []Floor) string {
	rows := [][]string{{"", "requests/s", "p50 ms", "p99 ms"}}
	for _, f := range floors {
		rows = append(rows, []string{f.When, number(f.Rate, 0), number(f.P50, 2), number(f.P99, 2)})
	}
	return table(rows)
}

func workflowTable(runs []Workflow) string {
	rows := [][]string{{"at once", "requests/s", "× floor", "p50 ms", "× floor", "p99 ms", "CPU ms/request",
		"written KiB/request", "stored KiB/request"}}
	for _, w := range runs {
		rows = append(rows, []string{
			number(float64(w.AtOnce), 0), number(w.Rate, 0), number(w.RateToFloor, 2), number(w.P50, 2), number(w.P50ToFloor, 2),
			number(w.P99, 2),
			number(w.CPU, 2), number(w.Written/1024, 1), number(w.Stored/1024, 1),
		})
	}
	return table(rows)
}

func stageTable(stages []Stage) string {
	rows := [][]string{{"", "requests", "requests/s"}}
	for _, s := range stages {
		rows = append(rows, []string{s.Name, number(float64(s.Requests), 0), number(s.Rate, 0)})
	}
	return table(rows)
}

func historyTable(h *History) string {
	return table([][]string{
		{"load of one request anywhere, p50", number(h.Load.P50, 2), "ms"},
		{"load of one request anywhere, p99", number(h.Load.P99, 2), "ms"},
		{"load of one of the newest, p50", number(h.Recent.P50, 2), "ms"},
		{"load of one of the newest, p99", number(h.Recent.P99, 2), "ms"},
		{"replay of everything, with folding", number(h.Replay, 0), "events/s"},
		{"the projection built anew", number(h.Projection, 0), "events/s"},
		{"restart until queries are answered", number(h.Ready, 0), "ms"},
		{"memory when ready", number(float64(h.MemoryReady)/mib, 0), "MiB"},
		{"memory after the loads", number(float64(h.MemoryLoaded)/mib, 0), "MiB"},
		{"memory after the replay", number(float64(h.MemoryReplay)/mib, 0), "MiB"},
	})
}

func logTable(l *Log) string {
	return table([][]string{
		{"the floor: read, and nothing done with it", number(l.Read, 0), "events/s"},
		{"from nothing until questions are answered", number(l.Answered, 0), "events/s"},
		{"at the same time, until a checkpoint covers everything", number(l.Signed, 0), "events/s"},
		{"until the guard says that all is well", number(l.Vouched, 0), "ms"},
		{"from a restart until the guard says so", number(l.Look, 0), "ms"},
		{"every invariant over everything", number(l.Verify, 0), "ms"},
		{"activity log, three filters, p50", number(l.Query.P50, 2), "ms"},
		{"activity log, three filters, p99", number(l.Query.P99, 2), "ms"},
		{"memory of the projector, at most, from nothing", number(float64(l.MemoryMaking)/mib, 0), "MiB"},
		{"memory after that", number(float64(l.MemoryAfter)/mib, 0), "MiB"},
		{"memory at most, from a restart", number(float64(l.MemoryRestart)/mib, 0), "MiB"},
	})
}

func fairTable(rows []Fair) string {
	cells := [][]string{{"", "requests", "approval alone: p50 ms", "p99 ms", "beside: p50 ms", "p99 ms", "× alone",
		"from intent to access alone: p50 ms", "beside: p50 ms", "× alone"}}
	for _, f := range rows {
		cells = append(cells, []string{f.Beside, number(float64(f.Requests), 0), number(f.ApprovalAlone.P50, 1),
			number(f.ApprovalAlone.P99, 1), number(f.Approval.P50, 1), number(f.Approval.P99, 1), number(f.ApprovalRatio, 2),
			number(f.WholeAlone.P50, 1), number(f.Whole.P50, 1), number(f.WholeRatio, 2)})
	}
	return table(cells)
}

func aimTable(aims []Aim) string {
	rows := [][]string{{"", "aim", "got", "", ""}}
	for _, a := range aims {
		bound, met := "≥ ", "missed"
		if a.AtMost {
			bound = "≤ "
		}
		if a.Met() {
			met = "met"
		}
		rows = append(rows, []string{a.What, bound + number(a.Aim, a.precision), number(a.Got, a.precision), a.Unit, met})
	}
	return table(rows)
}

func number(f float64, decimals int) string { return fmt.Sprintf("%.*f", decimals, f) }

// table aligns the first column and words to the left, and numbers to the right.
func table(rows [][]string) string {
	width := make([]int, len(rows[0]))
	for _, row := range rows {
		for i, cell := range row {
			width[i] = max(width[i], utf8.RuneCountInString(cell))
		}
	}
	var b strings.Builder
	for _, row := range rows {
		var line strings.Builder
		for i, cell := range row {
			pad := strings.Repeat(" ", width[i]-utf8.RuneCountInString(cell))
			if i == 0 {
				line.WriteString("  " + cell + pad)
			} else {
				line.WriteString("   " + pad + cell)
			}
		}
		b.WriteString(strings.TrimRight(line.String(), " ") + "\n")
	}
	return b.String()
}
