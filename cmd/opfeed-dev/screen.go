package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/sourcegraph/conc"

	"opfeed/internal/workload"
)

const (
	terminalInterval = time.Second
	fileInterval     = 2 * time.Second
)

// screen writes lines, and, on a terminal, one that is rewritten. Safe for
// concurrent use.
type screen struct {
	mu       sync.Mutex
	out      io.Writer
	terminal bool
	open     bool // the rewritten line is being shown
}

func newScreen(out io.Writer) *screen {
	s := &screen{out: out}
	if f, ok := out.(*os.File); ok {
		info, err := f.Stat()
		s.terminal = err == nil && info.Mode()&os.ModeCharDevice != 0
	}
	return s
}

// say writes a line of its own.
func (s *screen) say(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.end()
	fmt.Fprintf(s.out, format+"\n", args...)
}

// live writes the line that shows how it goes.
func (s *screen) live(line string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.terminal {
		fmt.Fprintln(s.out, line)
		return
	}
	fmt.Fprintf(s.out, "\r\x1b[K%s", line)
	s.open = true
}

func (s *screen) end() {
	if s.open {
		fmt.Fprintln(s.out)
		s.open = false
	}
}

// follow runs the front end to its end and shows meanwhile how it goes. What
// trouble delivers cancels it.
func (s *screen) follow(ctx context.Context, cancel context.CancelCauseFunc, front *workload.FrontEnd, trouble <-chan error) (workload.Report, error) {
	type result struct {
		report workload.Report
		err    error
	}
	done := make(chan result, 1)
	var group conc.WaitGroup
	defer group.Wait()
	group.Go(func() {
		r, err := front.Run(ctx)
		done <- result{r, err}
	})
	interval := fileInterval
	if s.terminal {
		interval = terminalInterval
	}
	ticks := time.NewTicker(interval)
	defer ticks.Stop()
	defer func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.end()
	}()
	for {
		select {
		case r := <-done:
			return r.report, r.err
		case err := <-trouble:
			cancel(err)
			trouble = nil
		case <-ticks.C:
			asking, stop := context.WithTimeout(ctx, interval)
			r, err := front.Measure(asking)
			stop()
			if err == nil {
				s.live(summary(r))
			}
		}
	}
}

// summary is a report on one line.
func summary(r workload.Report) string {
	var states []string
	for k, n := range r.Operations.ByStatus {
		states = append(states, fmt.Sprintf("%s %d", k, n))
	}
	slices.Sort(states)
	return fmt.Sprintf("%4.0f s  %d of %d done: %s | pickup p50 %.2f s, p99 %.2f s | %.0f RU",
		r.Seconds, r.Operations.Terminal, r.Operations.Created, strings.Join(states, ", "),
		r.PickupSeconds.P50, r.PickupSeconds.P99, r.RequestUnits.Total)
}
