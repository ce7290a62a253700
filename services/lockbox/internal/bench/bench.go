// Package bench measures Lockbox on the machine that it runs on: the floor set by the disk, the maximum rate of each
// stage, the whole workflow relative to the floor, and the cost of a long history. It runs the real services on an
// embedded server, in temporary directories, and acts as an ordinary client.
package bench

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"runtime"
	"slices"
	"strings"
	"time"
)

// Options select what to measure, and where.
type Options struct {
	// Dir is the directory in which the temporary directory for the stores is created; empty: os.TempDir.
	Dir string
	// Quick reduces the amount of work, to check that everything runs.
	Quick bool
	// Peers is the program of package peers, which is measured beside Lockbox; empty: it is not.
	Peers string
	// StageIn is a directory in memory: workflow, peers and click also measure a server that stages batches there; empty:
	// they do not.
	StageIn string
	// Only names the sections to run; empty: all.
	Only []string
	// Profiles is a directory for profiles of the workflow and the portal, created if needed; empty: no profiles.
	Profiles string
	// Requests is how many requests the history has; 0: the usual number.
	Requests int
	// Progress receives progress messages; write errors are ignored.
	Progress io.Writer
}

// scale is the amount of work.
type scale struct {
	floor, warmUp, workflow time.Duration
	// atOnce lists the numbers of concurrent requests, one per run of the workflow.
	atOnce []int
	// rounds is how often Lockbox and its peers take turns, compared for how long each time.
	rounds   int
	compared time.Duration
	// clustered is how long each turn takes on three servers, where a request takes longer.
	clustered time.Duration
	// stage, mails and history are numbers of requests; loads is the number of requests loaded from the history.
	stage, mails, history, loads int
	// starts is how many data directories are started in, twice each.
	starts int
	// bulk is how many more requests the history has, which are written before the others, and faster.
	bulk int
	// Each page is read by the given number of readers for the duration reading, while pending of the history's
	// requests await the customer.
	readers, pending int
	reading          time.Duration
	// clicking is how long approvers click.
	clicking time.Duration
	// logged is the number of requests in the audit log (about a million events); questions is the number of queries,
	// spread over looking, during which the guard compares the stream with the trees.
	logged, questions int
	looking           time.Duration
	// crowded is the number of one customer's requests beside which another's are measured, and beside the time for which
	// that one is measured alone and beside what never ends.
	crowded int
	beside  time.Duration
}

func full() scale {
	return scale{
		floor: 5 * time.Second, warmUp: 2 * time.Second, workflow: 10 * time.Second, atOnce: []int{1, 16, 64, 256},
		rounds: 3, compared: 5 * time.Second, clustered: 10 * time.Second,
		stage: 5000, mails: 500, starts: 20, history: 100_000, loads: 10_000,
		readers: 50, pending: 10_000, reading: 10 * time.Second, clicking: 20 * time.Second,
		logged: 200_000, questions: 1000, looking: time.Minute,
		crowded: 10_000, beside: 10 * time.Second,
	}
}

func quick() scale {
	s := full()
	s.floor, s.warmUp, s.workflow = time.Second, 300*time.Millisecond, 2*time.Second
	s.compared, s.clustered = 300*time.Millisecond, time.Second
	s.stage, s.mails, s.starts, s.history, s.loads = 500, 50, 3, 2000, 500
	s.pending, s.reading, s.clicking = 200, 500*time.Millisecond, time.Second
	s.logged, s.questions, s.looking = 2000, 100, time.Second
	s.crowded, s.beside = 500, time.Second
	return s
}

// bench is one run of the benchmark.
type bench struct {
	options Options
	scale   scale
	dir     string
	report  *Report
}

type section struct {
	name    string
	measure func(*bench, context.Context) error
}

// sections returns the sections in order: first what fails where PostgreSQL is not installed. The workflow does not
// wait for mail, so mail is measured separately.
func sections() []section {
	return []section{
		{"peers", (*bench).comparePeers}, {"workflow", (*bench).workflow}, {"stages", (*bench).stages},
		{"mail", (*bench).mail}, {"start", (*bench).starts}, {"history", (*bench).history},
		{"portal", (*bench).portal}, {"click", (*bench).click}, {"log", (*bench).log}, {"fair", (*bench).fair},
		{"cluster", (*bench).cluster},
	}
}

// Run measures the selected sections. It requires a disk: a directory in memory is rejected.
func Run(ctx context.Context, o Options) (*Report, error) {
	if o.Dir == "" {
		o.Dir = os.TempDir()
	}
	if err := checkDisk(o.Dir); err != nil {
		return nil, err
	}
	s := full()
	if o.Quick {
		s = quick()
	}
	if o.Requests > 0 {
		s.history = min(o.Requests, s.history)
		s.bulk = o.Requests - s.history
	}
	return run(ctx, o, s)
}

func run(ctx context.Context, o Options, s scale) (_ *Report, err error) {
	for _, name := range o.Only {
		if !slices.ContainsFunc(sections(), func(s section) bool { return s.name == name }) {
			return nil, fmt.Errorf("there is no section %q: %s", name, sectionNames())
		}
	}
	b := &bench{options: o, scale: s, report: &Report{CPUs: runtime.NumCPU(), Dir: o.Dir, Quick: o.Quick}}
	if b.report.LoadBefore, err = load(); err != nil {
		return nil, err
	}
	if o.Profiles != "" {
		if err := os.MkdirAll(o.Profiles, 0o750); err != nil {
			return nil, err
		}
	}
	if b.dir, err = os.MkdirTemp(o.Dir, "lockbox-bench-"); err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(b.dir)) }()
	for _, s := range sections() {
		if len(o.Only) > 0 && !slices.Contains(o.Only, s.name) {
			continue
		}
		if err := s.measure(b, ctx); err != nil {
			return nil, fmt.Errorf("%s: %w", s.name, err)
		}
	}
	return b.report, nil
}

func (b *bench) say(format string, args ...any) {
	if b.options.Progress != nil {
		_, _ = fmt.Fprintf(b.options.Progress, format+"\n", args...)
	}
}

func sectionNames() string {
	var names []string
	for _, s := range sections() {
		names = append(names, s.name)
	}
	return strings.Join(names, ", ")
}

// Main is the program: it parses the command line, measures, and prints the report to out and progress to progress.
func Main(ctx context.Context, args []string, in io.Reader, out, progress io.Writer) error {
	if os.Getenv(childVariable) != "" {
		return child(ctx, in, out)
	}
	o := Options{Progress: progress}
	flags := flag.NewFlagSet("lockbox-bench", flag.ContinueOnError)
	flags.SetOutput(progress)
	flags.StringVar(&o.Dir, "dir", "", "`directory` on the disk to measure; default: the system's temporary directory")
	flags.BoolVar(&o.Quick, "quick", false, "measure little, to see that everything works")
	only := flags.String("only", "", "`sections` to measure, separated by commas: "+sectionNames())
	flags.IntVar(&o.Requests, "requests", 0, "how many `requests` the history has (100,000)")
	flags.StringVar(&o.Peers, "peers", "", "`program` to measure beside Lockbox (package peers); make bench builds it")
	flags.StringVar(&o.StageIn, "stage-in", "",
		"`directory` in memory: workflow, peers and click also measure a server that stages batches there")
	flags.StringVar(&o.Profiles, "profiles", "", "`directory` for profiles of the workflow and the portal")
	format := flags.String("o", "text", "output `format`: text or json")
	switch err := flags.Parse(args); {
	case errors.Is(err, flag.ErrHelp):
		return nil
	case err != nil:
		return err
	case flags.NArg() > 0:
		return fmt.Errorf("unexpected argument %q", flags.Arg(0))
	case *format != "text" && *format != "json":
		return fmt.Errorf("there is no output format %q: text or json", *format)
	}
	if *only != "" {
		o.Only = strings.Split(*only, ",")
	}
	report, err := Run(ctx, o)
	if err != nil {
		return err
	}
	if *format == "json" {
		encoder := json.NewEncoder(out)
		encoder.SetIndent("", "  ")
		return encoder.Encode(report)
	}
	_, err = io.WriteString(out, report.Text())
	return err
}
