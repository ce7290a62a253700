package cli

import (
	"strings"
	"testing"
	"time"

	"github.com/openlockbox/lockbox/pkg/journal"
)

func TestProgressIsShownOnlyWhenItTakesLong(t *testing.T) {
	env, _, errs := nobody(t)
	env.ErrTerminal = true
	now := env.Now()
	env.Now = func() time.Time { return now }
	p := (&app{Environment: env, color: colorNever}).progress(false)
	work := func(from, to, total uint64) {
		for n := from; n < to; n++ {
			p.step(journal.Entry{Pending: total - n})
		}
	}
	work(0, 2000, 100_000)
	if errs.Len() > 0 {
		t.Errorf("in the first second it says %q", errs)
	}
	now = now.Add(2 * time.Second)
	work(2000, 25_000, 100_000)
	want := "\r\x1b[K.............................."
	if got := errs.String(); !strings.HasPrefix(got, want) || strings.Count(got, "\r") != 1 {
		t.Errorf("it says %q", got)
	}
	if line := p.line(25_000, 75_000,
		5*time.Second); line != "#######.......................  25%  25000 of 100000 events, 5000/s, 15s left" {
		t.Errorf("the line is %q", line)
	}
	p.end()
	if !strings.HasSuffix(errs.String(), "\r\x1b[K") {
		t.Error("the line stays")
	}
}

func TestProgressOfNobodyKnowsHowMuch(t *testing.T) {
	env, _, errs := nobody(t)
	now := env.Now()
	env.Now = func() time.Time { return now }
	for _, terminal := range []bool{false, true} {
		env.ErrTerminal = terminal
		p := (&app{Environment: env, color: colorNever}).progress(false)
		p.counted(1000)
		now = now.Add(2 * time.Second)
		if errs.Len() > 0 {
			t.Errorf("it says %q", errs)
		}
		p.counted(1000)
	}
	if got := errs.String(); got != "\r\x1b[K2000 entries, 1000/s" {
		t.Errorf("it says %q", got)
	}
}

func TestProgressStaysOutOfTheWay(t *testing.T) {
	for name, change := range map[string]func(*Environment){
		"events on the terminal": func(e *Environment) { e.OutTerminal = true },
		"nobody there":           func(e *Environment) { e.ErrTerminal = false },
	} {
		env, _, _ := nobody(t)
		env.ErrTerminal = true
		change(&env)
		if (&app{Environment: env}).progress(false).wanted {
			t.Errorf("%s: wanted", name)
		}
	}
}

func TestProgressOfWhatOthersWaitFor(t *testing.T) {
	env, _, errs := nobody(t)
	env.ErrTerminal, env.Getenv = true, func(string) string { return "" }
	now := env.Now()
	env.Now = func() time.Time { return now }
	tell := Progress(env)
	tell(10, 10)
	tell(10, 100)
	if errs.Len() > 0 {
		t.Errorf("of what takes no time it says %q", errs)
	}
	now = now.Add(4 * time.Second)
	tell(50, 100)
	tell(100, 100)
	if got := errs.String(); !strings.Contains(got, " 50%  50 of 100 events, 12/s, 4s left") ||
		!strings.HasSuffix(got, "\r\x1b[K100 events in 4s.\n") {
		t.Errorf("it says %q", got)
	}
}
