package dispatch

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/sourcegraph/conc"
	"github.com/sourcegraph/conc/panics"
)

// partition is the queue of one busy partition. Its fields belong to the
// dispatcher's mutex, but for results, which belongs to its goroutine.
type partition struct {
	key     string
	queue   []*entry
	wake    chan struct{}
	results chan result
}

// result is the end of a look.
type result struct {
	entry *entry
	apply Apply
	err   error
}

func newPartition(key string, beside int) *partition {
	return &partition{key: key, wake: make(chan struct{}, 1), results: make(chan result, beside)}
}

// runPartition is the goroutine of one partition: it starts looks beside each
// other and applies their results one by one, until there is no work left.
func (d *Dispatcher) runPartition(ctx context.Context, p *partition) {
	var looks conc.WaitGroup
	defer looks.Wait()
	for running := 0; ; {
		for running < d.cfg.Beside {
			e := d.take(ctx, p)
			if e == nil {
				break
			}
			running++
			looks.Go(func() { p.results <- d.look(ctx, e) })
		}
		if running == 0 && d.retire(ctx, p) {
			return
		}
		select {
		case r := <-p.results:
			running--
			if ctx.Err() == nil {
				d.apply(ctx, r)
			}
		case <-p.wake:
		}
	}
}

// take starts the step of the first waiting entry; none once ctx has ended.
func (d *Dispatcher) take(ctx context.Context, p *partition) *entry {
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(p.queue) == 0 || ctx.Err() != nil {
		return nil
	}
	e := p.queue[0]
	p.queue[0] = nil
	p.queue = p.queue[1:]
	e.state = running
	return e
}

// retire ends an idle partition; a later submission starts a new one.
func (d *Dispatcher) retire(ctx context.Context, p *partition) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(p.queue) > 0 && ctx.Err() == nil {
		return false
	}
	delete(d.partitions, p.key)
	return true
}

// look runs the first half of a step within the gate.
func (d *Dispatcher) look(ctx context.Context, e *entry) result {
	if e.poison != "" {
		return result{entry: e, apply: outcome(Outcome{Verdict: Quarantine, Reason: e.poison})}
	}
	select {
	case d.cfg.Gate <- struct{}{}:
		defer func() { <-d.cfg.Gate }()
	case <-ctx.Done():
		return result{entry: e, err: context.Cause(ctx)}
	}
	r := result{entry: e}
	if p := panics.Try(func() { r.apply, r.err = d.cfg.Handle(ctx, e.change) }); p != nil {
		r.apply, r.err = panicked(p), nil
	}
	return r
}

// apply runs the second half of a step and puts the entry where it belongs.
func (d *Dispatcher) apply(ctx context.Context, r result) {
	e, change := r.entry, r.entry.change
	var out Outcome
	err, reread := r.err, false
	if err == nil && r.apply != nil {
		if p := panics.Try(func() { out, err = r.apply(ctx) }); p != nil {
			out, err = panicked(p)(ctx)
		}
		reread = err != nil
	}
	if out.ETag != "" {
		change.ETag = out.ETag
	}
	stored := true
	if err == nil && out.Verdict == Quarantine && d.cfg.Quarantine != nil {
		stored = d.cfg.Quarantine(ctx, change, out.Reason) == nil
	}
	if ctx.Err() != nil && (err != nil || !stored) {
		return // the work was called off: this step says nothing
	}
	if d.cfg.Observe != nil {
		d.cfg.Observe(ctx, change, out, err)
	}
	call(d.finish(e, out, err, reread, stored))
}

// finish records the end of a step and returns the callbacks of what it handled.
func (d *Dispatcher) finish(e *entry, out Outcome, err error, reread, stored bool) []func() {
	d.mu.Lock()
	defer d.mu.Unlock()
	defer d.settleIdle()
	d.active--
	d.release(&e.look)
	handled := e.handled
	e.handled, e.poison = nil, ""
	attempt := e.change.Attempt + 1
	if err == nil {
		e.change.Seen, e.change.Late = out.Seen, false
		e.label, e.reason = out.Label, out.Reason
		if out.ETag != "" {
			e.change.ETag, e.change.Document, e.change.Session = out.ETag, out.Document, out.Session
		}
	}
	if reread {
		e.change.Document, e.change.ETag = nil, ""
	}
	if next := e.next; next != nil {
		e.next, e.recheck = nil, false
		if next.change.ETag == "" || next.change.ETag != e.change.ETag {
			next.change.Seen = e.change.Seen
			e.look = *next
			d.enqueue(e)
			return handled
		}
		d.release(next) // the echo of the version just written
		handled = append(handled, next.handled...)
	}
	switch {
	case err != nil:
		e.change.Attempt = attempt
		d.schedule(e, d.retryAfter(attempt, err))
	case out.Verdict == Quarantine && !stored:
		e.poison, e.handled = out.Reason, handled
		e.change.Attempt = attempt
		d.schedule(e, d.cfg.backoff(attempt-1))
		return nil
	case out.Verdict == Again || e.recheck && out.Verdict != Done:
		after := out.After - rand.N(out.After/10+1)
		if e.recheck {
			e.change.Document, after = nil, 0
			e.change.Session = cmp.Or(e.recheckSession, e.change.Session)
		}
		e.change.Attempt = 0
		d.schedule(e, after)
	case out.Verdict == Done:
		delete(d.entries, e.change.Key)
	default:
		e.state, e.quarantined = settled, out.Verdict == Quarantine
		e.change.Document, e.change.Seen = nil, nil
	}
	e.recheck = false
	return handled
}

// retryAfter is the pause after an error: the one it asks for, if it does.
func (d *Dispatcher) retryAfter(attempt int, err error) time.Duration {
	pause := d.cfg.backoff(attempt - 1)
	var asking interface{ RetryAfter() time.Duration }
	if errors.As(err, &asking) {
		pause = max(pause, asking.RetryAfter())
	}
	return pause
}

// panicked is the second half of a step that panicked: the document is at fault.
func panicked(p *panics.Recovered) Apply {
	return outcome(Outcome{
		Verdict: Quarantine,
		Reason:  fmt.Sprintf("handler panicked: %.200v", p.Value),
		Stack:   string(p.Stack),
	})
}

func outcome(o Outcome) Apply {
	return func(context.Context) (Outcome, error) { return o, nil }
}
