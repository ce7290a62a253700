package bench

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/openlockbox/lockbox/pkg/aggregate"
	"github.com/openlockbox/lockbox/pkg/bus"
	lockboxv1 "github.com/openlockbox/lockbox/proto/lockbox/v1"
	"github.com/openlockbox/lockbox/services/lockbox/internal/stack"
	"google.golang.org/protobuf/proto"
)

// Compared is Lockbox beside what somebody would write on PostgreSQL instead (package peers), and beside the floor:
// the five events of a request appended by themselves, in group commits, with no service running. All take turns in
// several rounds; the figures are medians.
type Compared struct {
	// Server is the version of PostgreSQL.
	Server string        `json:"server"`
	Rounds int           `json:"rounds"`
	Rows   []ComparedRow `json:"rows"`
}

// ComparedRow holds the figures at one number of concurrent requests.
type ComparedRow struct {
	AtOnce  int      `json:"at_once"`
	Lockbox Measured `json:"lockbox"`
	// Equal is the peer with Lockbox's duties, Plain the one without.
	Equal Measured `json:"equal_duties"`
	Plain Measured `json:"plain"`
	Floor Measured `json:"floor"`
	// Staged is Lockbox whose server stages batches in memory; nil: it was not measured.
	Staged *Measured `json:"staged,omitempty"`
}

// Measured is what one of them does.
type Measured struct {
	Rate float64 `json:"requests_per_s"`
	P50  float64 `json:"p50_ms"`
	// CPU is the CPU time of client and server, in milliseconds per request.
	CPU float64 `json:"cpu_ms_per_request"`
	// Decision is the median time from the approval until it is on disk and answered; 0: it was not measured.
	Decision float64 `json:"decision_p50_ms,omitempty"`
	// Written is the number of bytes that client and server sent to disk, per request; 0: it was not measured.
	Written float64 `json:"written_bytes_per_request,omitempty"`
}

// peerTask is a line of the peers' input; see package peers.
type peerTask struct {
	Peer   string `json:"peer"`
	AtOnce int    `json:"at_once"`
	WarmUp int64  `json:"warm_up_ms"`
	For    int64  `json:"for_ms"`
}

// shortly returns a bench that takes as long as one turn.
func (b *bench) shortly() *bench {
	short := *b
	short.scale.workflow = b.scale.compared
	return &short
}

// comparePeers measures Lockbox and its peers in turns.
func (b *bench) comparePeers(ctx context.Context) (err error) {
	if b.options.Peers == "" {
		if slices.Contains(b.options.Only, "peers") {
			return errors.New("name the peers' program with --peers, as make bench does")
		}
		b.say("no peers: --peers names no program")
		return nil
	}
	peers, err := startPeers(ctx, b.options.Peers, b.options.Dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, peers.end()) }()
	lockbox, err := newSite(ctx, filepath.Join(b.dir, "compared"), "")
	if err != nil {
		return err
	}
	lockbox.freshTokens = true
	floor, err := newSite(ctx, filepath.Join(b.dir, "compared-floor"), "")
	if err != nil {
		return err
	}
	short := b.shortly()
	peer := func(name string) func(int) (Measured, error) {
		return func(n int) (Measured, error) {
			return peers.measure(peerTask{name, n, b.scale.warmUp.Milliseconds(), b.scale.compared.Milliseconds()})
		}
	}
	turns := []turn{
		{"the floor", func(n int) (Measured, error) { return short.appended(ctx, floor, n) }},
		{"plain", peer("plain")},
		{"equal duties", peer("equal")},
		{"Lockbox", func(n int) (Measured, error) { return short.carried(ctx, lockbox, n) }},
	}
	if b.options.StageIn != "" {
		turns = append(turns, turn{"Lockbox, staged in memory",
			func(n int) (Measured, error) { return short.carried(ctx, lockbox.stagedIn(b.options.StageIn), n) }})
	}
	result := &Compared{Server: peers.server, Rounds: b.scale.rounds}
	for _, n := range b.scale.atOnce {
		m, err := b.takeTurns("beside the peers", n, turns)
		if err != nil {
			return err
		}
		row := ComparedRow{AtOnce: n, Floor: m[0], Plain: m[1], Equal: m[2], Lockbox: m[3]}
		if b.options.StageIn != "" {
			row.Staged = &m[4]
		}
		result.Rows = append(result.Rows, row)
	}
	b.report.Compared = result
	return nil
}

// turn is something that is measured in turns with others, at a number of requests at once.
type turn struct {
	name    string
	measure func(n int) (Measured, error)
}

// takeTurns measures in turns, so that all see the same disk, also when its speed varies, and nobody always has the
// same before them. It returns the medians of the rounds.
func (b *bench) takeTurns(what string, n int, turns []turn) ([]Measured, error) {
	all := make([][]Measured, len(turns))
	for round := range b.scale.rounds {
		for i := range turns {
			at := (i + round) % len(turns)
			b.say("%s, %d at once, round %d of %d: %s", what, n, round+1, b.scale.rounds, turns[at].name)
			m, err := turns[at].measure(n)
			if err != nil {
				return nil, fmt.Errorf("%s, %d at once: %w", turns[at].name, n, err)
			}
			all[at] = append(all[at], m)
		}
	}
	middle := make([]Measured, len(turns))
	for i, rounds := range all {
		middle[i] = medians(rounds)
	}
	return middle, nil
}

// carried runs the whole workflow, as always with evaluator and orchestrator.
func (b *bench) carried(ctx context.Context, s *site, n int) (m Measured, err error) {
	err = s.with(ctx, workflowServices, func(running *stack.Stack) error {
		row, err := b.workflowRun(ctx, s, running, n, "")
		m = Measured{Rate: row.Rate, P50: row.P50, CPU: row.CPU, Written: row.Written}
		return err
	})
	return m, err
}

// appended appends the five events of requests, each after the one before it, with no service running.
func (b *bench) appended(ctx context.Context, s *site, n int) (m Measured, err error) {
	err = s.with(ctx, none, func(running *stack.Stack) error {
		p, err := connectAll(ctx, running, bus.Evaluator, bus.Orchestrator)
		if err != nil {
			return err
		}
		defer p.Close()
		w, err := newWriter(ctx, s, p[bus.Orchestrator].Journal)
		if err != nil {
			return err
		}
		events := w.generate(time.Now(), active).events
		row, err := b.crowdRun(ctx, s, n, func(ctx context.Context) error { return appendAgain(ctx, p, events) }, "")
		m = Measured{Rate: row.Rate, P50: row.P50, CPU: row.CPU}
		return err
	})
	return m, err
}

// appendAgain appends the events of one request as those of another.
func appendAgain(ctx context.Context, p peers, events []*lockboxv1.Event) error {
	about, err := newID()
	if err != nil {
		return err
	}
	after := uint64(0)
	for _, e := range events {
		e = proto.CloneOf(e)
		e.AggregateId = about
		if e.Id, err = newID(); err != nil {
			return err
		}
		if after, err = p[bus.Identity(aggregate.WriterOf(e))].Append(ctx, after, e); err != nil {
			return err
		}
	}
	return nil
}

// medians returns the median of each figure.
func medians(rounds []Measured) Measured {
	median := func(value func(Measured) float64) float64 {
		var all []float64
		for _, m := range rounds {
			all = append(all, value(m))
		}
		slices.Sort(all)
		return all[len(all)/2]
	}
	return Measured{
		Rate: median(func(m Measured) float64 { return m.Rate }), P50: median(func(m Measured) float64 { return m.P50 }),
		CPU:      median(func(m Measured) float64 { return m.CPU }),
		Decision: median(func(m Measured) float64 { return m.Decision }),
		Written:  median(func(m Measured) float64 { return m.Written }),
	}
}

// peerProcess is the peers' program with its server.
type peerProcess struct {
	server string
	tasks  *json.Encoder
	lines  *bufio.Reader
	end    func() error
}

// startPeers returns when the peers' server runs and they have checked themselves.
func startPeers(ctx context.Context, program, dir string, args ...string) (*peerProcess, error) {
	cmd := exec.CommandContext(ctx, program, append([]string{"--dir", dir}, args...)...) // #nosec G204 -- whoever measures names it
	cmd.Stderr = os.Stderr
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) } // so that it stops its server
	input, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	output, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	p := &peerProcess{tasks: json.NewEncoder(input), lines: bufio.NewReader(output),
		end: func() error { return errors.Join(input.Close(), cmd.Wait()) }}
	var ready struct {
		Server string `json:"server"`
	}
	if err := p.read(&ready); err != nil {
		return nil, errors.Join(err, p.end())
	}
	p.server = ready.Server
	return p, nil
}

func (p *peerProcess) measure(t peerTask) (m Measured, err error) {
	if err := p.tasks.Encode(t); err != nil {
		return m, err
	}
	return m, p.read(&m)
}

func (p *peerProcess) read(into any) error {
	line, err := p.lines.ReadBytes('\n')
	if err != nil {
		return fmt.Errorf("the peers do not answer: %w", err)
	}
	return json.Unmarshal(line, into)
}

// markdownHead is the head of the table in the README.
const markdownHead = `| at once | Lockbox ÷ equal duties | ÷ plain | ÷ floor | p50 ÷ equal duties | ` +
	`requests/s: Lockbox, equal duties, plain, floor | p50 ms: the same | CPU ms per request: the same |
|---|---|---|---|---|---|---|---|
`

// Markdown is the table for the README.
func (c *Compared) Markdown() string {
	var b strings.Builder
	b.WriteString(markdownHead)
	for _, r := range c.Rows {
		each := func(decimals int, value func(Measured) float64) string {
			var cells []string
			for _, m := range []Measured{r.Lockbox, r.Equal, r.Plain, r.Floor} {
				cells = append(cells, number(value(m), decimals))
			}
			return strings.Join(cells, ", ")
		}
		fmt.Fprintf(&b, "| %d | %.2f | %.2f | %.2f | %.2f | %s | %s | %s |\n", r.AtOnce,
			r.Lockbox.Rate/r.Equal.Rate, r.Lockbox.Rate/r.Plain.Rate, r.Lockbox.Rate/r.Floor.Rate, r.Lockbox.P50/r.Equal.P50,
			each(0, func(m Measured) float64 { return m.Rate }), each(1, func(m Measured) float64 { return m.P50 }),
			each(2, func(m Measured) float64 { return m.CPU }))
	}
	if len(c.Rows) > 0 && c.Rows[0].Staged != nil {
		b.WriteString("\nLockbox that stages batches in memory, in the same rounds\n")
		rows := []StagedRow{}
		for _, r := range c.Rows {
			rows = append(rows, StagedRow{r.AtOnce, r.Lockbox, *r.Staged})
		}
		b.WriteString(stagedTable(rows))
	}
	return b.String()
}

// aims compares Lockbox with the peer that has its duties.
func (c *Compared) aims() []Aim {
	var aims []Aim
	atLeast := map[int]float64{16: 0.7, 64: 1.2, 256: 2}
	for _, r := range c.Rows {
		what := fmt.Sprintf("beside PostgreSQL with equal duties, %d at once: ", r.AtOnce)
		if r.AtOnce == 1 {
			aims = append(aims, Aim{what + "p50", 1, r.Lockbox.P50 / r.Equal.P50, "× its own", true, 2})
		}
		if least, is := atLeast[r.AtOnce]; is {
			aims = append(aims, Aim{what + "requests/s", least, r.Lockbox.Rate / r.Equal.Rate, "× its own", false, 2})
		}
		if r.AtOnce == 256 {
			aims = append(aims, Aim{"CPU per request, 256 at once", 1.1, r.Lockbox.CPU, "ms", true, 2})
		}
	}
	return aims
}
