package dispatch

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/sourcegraph/conc"
	"github.com/sourcegraph/conc/panics"

	"opfeed/internal/logkey"
)

// partition is the work of one busy partition. Its lanes belong to the
// dispatcher's mutex; the channels' receiving ends belong to its goroutine.
type partition struct {
	key     string
	lanes   [lanes]lane
	wake    chan struct{}
	results chan result
}

// result is the end of a look, or of a try to store a quarantine record.
type result struct {
	lane  laneName
	entry *entry // nil: there was nothing left to do
	apply Apply
	err   error
}

func newPartition(key string, beside int) *partition {
	p := &partition{key: key, wake: make(chan struct{}, 1)}
	p.lanes[looks].places, p.lanes[asides].places, p.lanes[records].places = beside, beside, 1
	all := 0
	for i := range p.lanes {
		all += p.lanes[i].places
	}
	p.results = make(chan result, all) // none waits to end
	return p
}

func (p *partition) add(e *entry) {
	l := &p.lanes[e.lane()]
	l.queue = append(l.queue, e)
}

func (p *partition) remove(e *entry) {
	for i := range p.lanes {
		l := &p.lanes[i]
		l.queue = slices.DeleteFunc(l.queue, func(other *entry) bool { return other == e })
	}
}

// runPartition is the goroutine of one partition: it starts the work of its
// lanes, each beside the others, and applies their results one by one, until
// there is nothing left.
func (d *Dispatcher) runPartition(ctx context.Context, p *partition) {
	var beside conc.WaitGroup
	defer beside.Wait()
	for {
		for name := range lanes {
			for d.claim(ctx, &p.lanes[name]) {
				beside.Go(func() { p.results <- d.run(ctx, p, name) })
			}
		}
		if d.retire(ctx, p) {
			return
		}
		select {
		case r := <-p.results:
			d.leave(&p.lanes[r.lane])
			switch {
			case r.entry == nil || ctx.Err() != nil:
			case r.lane == records:
				call(d.settle(r.entry, r.err))
			default:
				d.apply(ctx, r)
			}
		case <-p.wake:
		}
	}
}

// retire ends an idle partition; a later submission starts a new one.
func (d *Dispatcher) retire(ctx context.Context, p *partition) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, l := range p.lanes {
		if l.busy > 0 || len(l.queue) > 0 && ctx.Err() == nil {
			return false
		}
	}
	delete(d.partitions, p.key)
	return true
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
	if ctx.Err() != nil && err != nil {
		return // the work was called off: this step says nothing
	}
	if d.cfg.Observe != nil {
		d.cfg.Observe(d.step(e, change, out, err))
	}
	call(d.finish(e, out, err, reread))
}

// step is the account of a step that has just ended.
func (d *Dispatcher) step(e *entry, c Change, out Outcome, err error) Step {
	d.mu.Lock()
	defer d.mu.Unlock()
	return Step{Change: c, Outcome: out, Err: err, Waited: e.waited, Took: time.Since(e.begun), Interval: e.interval}
}

// finish records the end of a step and returns the callbacks of what it handled.
func (d *Dispatcher) finish(e *entry, out Outcome, err error, reread bool) []func() {
	d.mu.Lock()
	defer d.mu.Unlock()
	defer d.settleIdle()
	d.active--
	d.stepped(e)
	d.forgetDocument(e)
	if reason, hopeless := d.judge(e, out, err); hopeless {
		out, err, reread = Outcome{Verdict: Quarantine, Fault: GivenUp, Reason: reason}, nil, false
	}
	e.tell(out, err)
	if err == nil {
		e.change.Seen, e.change.Late = out.Seen, false
		e.change.Aside = out.Aside && out.Verdict == Again
		if out.ETag != "" {
			e.change.ETag, e.change.Document, e.change.Session = out.ETag, out.Document, out.Session
		}
	}
	if reread {
		e.change.Document, e.change.ETag = nil, ""
	}
	handled, superseded := d.supersede(e)
	recheck, session := e.recheck, e.recheckSession
	e.recheck, e.recheckSession = false, ""
	switch {
	case superseded:
	case err != nil:
		e.change.Attempt++
		handled = d.owe(e, handled)
		d.schedule(e, d.retryAfter(e.change.Attempt, err))
	case out.Verdict == Quarantine:
		e.change.Document, e.change.Attempt = nil, 0
		e.poison, e.change.Fault, e.handled = out.Reason, out.Fault, handled // they wait for the record
		d.enqueue(e)
		return nil
	case recheck && out.Verdict != Done:
		e.change.Document, e.change.Attempt, e.change.Aside = nil, 0, false
		e.change.Session = cmp.Or(session, e.change.Session)
		handled = d.owe(e, handled)
		d.schedule(e, 0)
	case out.Verdict == Again:
		e.change.Attempt = 0
		handled = d.owe(e, handled)
		d.schedule(e, out.After)
	case out.Verdict == Done:
		d.release(&e.look)
		delete(d.entries, e.change.Key)
	default:
		d.release(&e.look)
		e.state = settled
		e.change.Document, e.change.Seen = nil, nil
	}
	return handled
}

// settle records the end of a try to store a quarantine record.
func (d *Dispatcher) settle(e *entry, err error) []func() {
	d.mu.Lock()
	defer d.mu.Unlock()
	defer d.settleIdle()
	d.active--
	d.stepped(e)
	handled, superseded := d.supersede(e)
	switch {
	case superseded:
	case err != nil:
		e.handled = handled
		e.change.Attempt++
		d.schedule(e, d.cfg.backoff(e.change.Attempt-1))
		return nil
	default:
		d.release(&e.look)
		e.state, e.quarantined, e.poison = settled, true, ""
		e.change.Document, e.change.Seen = nil, nil
	}
	return handled
}

// supersede hands an entry whose step has ended on to the newer version that
// came meanwhile, unless that is the echo of what the step wrote. It returns the
// callbacks of what is handled by now.
func (d *Dispatcher) supersede(e *entry) (handled []func(), superseded bool) {
	handled, e.handled = e.handled, nil
	next := e.next
	if next == nil {
		return handled, false
	}
	e.next = nil
	if next.change.ETag != "" && next.change.ETag == e.change.ETag {
		d.release(next)
		return append(handled, next.handled...), false
	}
	next.change.Seen = e.change.Seen
	d.release(&e.look)
	e.look = *next
	d.enqueue(e)
	return handled, true
}

// stepped gives the place of an entry's version back after its first step, unless
// it is to be kept until the last.
func (d *Dispatcher) stepped(e *entry) {
	if !d.cfg.UntilDone {
		d.release(&e.look)
	}
}

// owe keeps the callbacks of an entry that has steps before it, and returns those
// of what is handled all the same.
func (d *Dispatcher) owe(e *entry, handled []func()) []func() {
	if d.cfg.UntilDone {
		e.handled = handled
		return nil
	}
	return handled
}

// leastErrors is how often a step must fail before its version is given up.
const leastErrors = 5

// judge notes how a step has ended, and says why its version is given up, if so.
func (d *Dispatcher) judge(e *entry, out Outcome, err error) (reason string, hopeless bool) {
	now := time.Now()
	if err == nil {
		e.failing = time.Time{}
		if out.Verdict != Quarantine {
			d.worked = now
		}
		return "", false
	}
	if e.failing.IsZero() {
		e.failing = now
	}
	others := d.worked.After(e.failed)
	e.failed = now
	errs, during := e.change.Attempt+1, now.Sub(e.failing)
	if d.cfg.GiveUpAfter <= 0 || errs < leastErrors || during < d.cfg.GiveUpAfter || !others {
		return "", false
	}
	return fmt.Sprintf("given up after %d errors in %s: %s", errs, during.Round(time.Second), logkey.Words(err)), true
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
		Fault:   Panicked,
		Reason:  fmt.Sprintf("handler panicked: %.200v", p.Value),
		Stack:   string(p.Stack),
	})
}

func outcome(o Outcome) Apply {
	return func(context.Context) (Outcome, error) { return o, nil }
}
