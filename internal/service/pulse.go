package service

import (
	"context"
	"sync/atomic"
	"time"
)

const (
	// wedgedAfter is how long the watch may take for a round of a second before the
	// process is given up.
	wedgedAfter = time.Minute
	// mercy is how long a process that was stopped for so long, with all that is in
	// it, has for coming round.
	mercy = 2 * watchInterval
)

// pulse is when the watch last began a round. Each asks the engine for its state,
// and so needs its locks; none does I/O, so that only a defect can hold one up.
// What it does not tell is a single step or reader that hangs: those have
// deadlines, and metrics.
type pulse struct{ last atomic.Pointer[time.Time] }

func (p *pulse) beat() {
	now := time.Now()
	p.last.Store(&now)
}

// stop is for a watch that has ended as it should.
func (p *pulse) stop() { p.last.Store(nil) }

func (p *pulse) late() bool {
	last := p.last.Load()
	return last != nil && time.Since(*last) > wedgedAfter
}

// wedged says whether this process should be ended.
func (s *Service) wedged(ctx context.Context) bool {
	for until := time.Now().Add(mercy); s.pulse.late(); {
		if time.Now().After(until) || !pause(ctx, mercy/20) {
			return true
		}
	}
	return false
}
