package main

import (
	"context"
	"fmt"
	"io"
	"maps"
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
	s.erase()
	fmt.Fprintf(s.out, format+"\n", args...)
}

const (
	eraseLine = "\r\x1b[K"
	// A line that is wrapped could not be rewritten: a narrow terminal cuts it.
	wrapOff, wrapOn = "\x1b[?7l", "\x1b[?7h"
)

// live writes the line that shows how it goes.
func (s *screen) live(line string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.terminal {
		fmt.Fprintln(s.out, line)
		return
	}
	fmt.Fprint(s.out, eraseLine+wrapOff+line+wrapOn)
	s.open = true
}

// erase takes the rewritten line away: the next one, or the report, says the
// same anew.
func (s *screen) erase() {
	if s.open {
		fmt.Fprint(s.out, eraseLine)
		s.open = false
	}
}

// beside returns w for lines that others write, the log say, to the same
// terminal.
func (s *screen) beside(w io.Writer) io.Writer { return &neighbour{screen: s, out: w} }

type neighbour struct {
	screen *screen
	out    io.Writer
}

func (n *neighbour) Write(p []byte) (int, error) {
	n.screen.mu.Lock()
	defer n.screen.mu.Unlock()
	n.screen.erase()
	return n.out.Write(p)
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
		s.erase()
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

// summary is a report on one line, what matters most first: a narrow terminal
// cuts its end.
func summary(r workload.Report) string {
	o := r.Operations
	var ended, others []string
	for _, status := range slices.Sorted(maps.Keys(o.ByStatus)) {
		text := fmt.Sprintf("%d %s", o.ByStatus[status], status)
		if slices.Contains([]string{"Succeeded", "Failed", "Canceled"}, status) {
			ended = append(ended, text)
		} else {
			others = append(others, text)
		}
	}
	slices.Reverse(ended) // what succeeded first
	parts := []string{fmt.Sprintf("%4.0f s  %3d of %d done  pickup %.2f s (p99 %.2f s)  %4.0f RU",
		r.Seconds, o.Terminal, o.Created, r.PickupSeconds.P50, r.PickupSeconds.P99, r.RequestUnits.Total)}
	for _, states := range [][]string{ended, others} {
		if len(states) > 0 {
			parts = append(parts, strings.Join(states, ", "))
		}
	}
	if len(r.Replicas) > 1 {
		parts = append(parts, "ranges of "+workload.Owners(r.Replicas))
	}
	return strings.Join(parts, " | ")
}
