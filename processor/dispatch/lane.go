package dispatch

import (
	"context"
	"time"

	"github.com/sourcegraph/conc/panics"
)

// laneName is a kind of work that must not wait for another kind.
type laneName uint8

const (
	looks   laneName = iota // looks, in the places of Config.Beside and Config.Gate
	asides                  // looks that run aside: Outcome.Aside
	records                 // quarantine records to be stored, one at a time
	lanes                   // how many there are
)

// lane is the work of one kind in one partition. It belongs to the dispatcher's
// mutex.
type lane struct {
	queue  []*entry // wait for a step, in order
	busy   int      // goroutines that wait for a place, or run a step
	places int      // how many of them there may be
	idle   int      // of the busy, those that have not taken an entry yet
}

// claim says whether one more goroutine is to be started.
func (d *Dispatcher) claim(ctx context.Context, l *lane) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if l.busy == l.places || len(l.queue) <= l.idle || ctx.Err() != nil {
		return false
	}
	l.busy++
	l.idle++
	return true
}

// take takes the first entry of a lane, whose step then runs; none if there is
// none any more.
func (d *Dispatcher) take(ctx context.Context, l *lane) *entry {
	d.mu.Lock()
	defer d.mu.Unlock()
	l.idle--
	if len(l.queue) == 0 || ctx.Err() != nil {
		return nil
	}
	e := l.queue[0]
	l.queue[0] = nil
	l.queue = l.queue[1:]
	now := time.Now()
	e.waited, e.interval = now.Sub(e.since), 0
	if e.change.Source == Due && !e.begun.IsZero() {
		e.interval = now.Sub(e.begun)
	}
	e.state, e.since, e.begun = running, now, now
	return e
}

// leave ends a goroutine of a lane.
func (d *Dispatcher) leave(l *lane) {
	d.mu.Lock()
	defer d.mu.Unlock()
	l.busy--
}

// run is one goroutine of a lane: it waits for a place, and only then takes what
// is first by now, so that what waits can still be replaced. The result has no
// entry if there was nothing left to do.
func (d *Dispatcher) run(ctx context.Context, p *partition, name laneName) result {
	r := result{lane: name}
	l := &p.lanes[name]
	if gate := d.gates[name]; gate != nil {
		if r.err = gate.enter(ctx, p.key); r.err == nil {
			defer gate.leave(p.key)
		}
	}
	// Without a place, too: ctx has ended then, and nothing is taken.
	if r.entry = d.take(ctx, l); r.entry == nil {
		return r
	}
	if name == records {
		r.err = d.store(ctx, r.entry)
		return r
	}
	change := r.entry.change
	if name == asides {
		var done func()
		ctx, done = d.untilDrain(ctx, r.entry)
		defer done()
	}
	if caught := panics.Try(func() { r.apply, r.err = d.cfg.Handle(ctx, change) }); caught != nil {
		r.apply, r.err = panicked(caught), nil
	}
	return r
}

// untilDrain gives a look aside a context that ends with a drain, too: whoever it
// waits for is slow, and what it was about to do is done by who comes next.
func (d *Dispatcher) untilDrain(ctx context.Context, e *entry) (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.stopped {
		cancel(ErrStopped)
	}
	d.aside[e] = cancel
	return ctx, func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		delete(d.aside, e)
		cancel(nil)
	}
}

// store stores the quarantine record of a poisoned entry.
func (d *Dispatcher) store(ctx context.Context, e *entry) error {
	if d.cfg.Quarantine == nil {
		return nil
	}
	return d.cfg.Quarantine(ctx, e.change, e.poison)
}
