package bench

import (
	"context"
	"path/filepath"
)

// Staged is the whole workflow on a server that stages batches on disk and on one that stages them in memory, in turns.
// The figures are medians.
type Staged struct {
	In     string      `json:"in"`
	Rounds int         `json:"rounds"`
	Rows   []StagedRow `json:"rows"`
}

// StagedRow holds the figures at one number of concurrent requests.
type StagedRow struct {
	AtOnce   int      `json:"at_once"`
	OnDisk   Measured `json:"on_disk"`
	InMemory Measured `json:"in_memory"`
}

// stagedIn returns the same Lockbox, whose server stages in a directory in memory.
func (s *site) stagedIn(dir string) *site {
	staged := *s
	staged.stageIn = dir
	return &staged
}

// staged compares with and without, if a directory in memory is named.
func (b *bench) staged(ctx context.Context) error {
	in := b.options.StageIn
	if in == "" {
		return nil
	}
	s, err := newSite(ctx, filepath.Join(b.dir, "staged"), "")
	if err != nil {
		return err
	}
	short := b.shortly()
	result := &Staged{In: in, Rounds: b.scale.rounds}
	for _, n := range b.scale.atOnce {
		m, err := b.takeTurns("the whole workflow", n, []turn{
			{"staged on disk", func(n int) (Measured, error) { return short.carried(ctx, s, n) }},
			{"staged in memory", func(n int) (Measured, error) { return short.carried(ctx, s.stagedIn(in), n) }},
		})
		if err != nil {
			return err
		}
		result.Rows = append(result.Rows, StagedRow{n, m[0], m[1]})
	}
	b.report.Staged = result
	return nil
}

func stagedTable(rows []StagedRow) string {
	cells := [][]string{{"at once", "on disk: requests/s", "in memory", "× on disk", "on disk: p50 ms", "in memory",
		"× on disk", "on disk: CPU ms/request", "in memory", "on disk: written KiB/request", "in memory"}}
	for _, r := range rows {
		cells = append(cells, []string{
			number(float64(r.AtOnce), 0), number(r.OnDisk.Rate, 0), number(r.InMemory.Rate, 0),
			number(r.InMemory.Rate/r.OnDisk.Rate, 2), number(r.OnDisk.P50, 1), number(r.InMemory.P50, 1),
			number(r.InMemory.P50/r.OnDisk.P50, 2), number(r.OnDisk.CPU, 2), number(r.InMemory.CPU, 2),
			number(r.OnDisk.Written/1024, 1), number(r.InMemory.Written/1024, 1),
		})
	}
	return table(cells)
}
