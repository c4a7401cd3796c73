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
)

// partition is the work of one busy partition. Its fields belong to the
// dispatcher's mutex, but for the channels' receiving ends, which belong to its
// goroutine.
type partition struct {
	key     string
	queue   []*entry // wait for a step
	poison  []*entry // wait for their quarantine record
	wake    chan struct{}
	results chan result
	stored  chan result
}

// result is the end of a look, or of a try to store a quarantine record.
type result struct {
	entry *entry
	apply Apply
	err   error
}

func newPartition(key string, beside int) *partition {
	return &partition{
		key:     key,
		wake:    make(chan struct{}, 1),
		results: make(chan result, beside),
		stored:  make(chan result, 1),
	}
}

func (p *partition) add(e *entry) {
	if e.poison != "" {
		p.poison = append(p.poison, e)
	} else {
		p.queue = append(p.queue, e)
	}
}

func (p *partition) remove(e *entry) {
	is := func(other *entry) bool { return other == e }
	p.queue = slices.DeleteFunc(p.queue, is)
	p.poison = slices.DeleteFunc(p.poison, is)
}

// runPartition is the goroutine of one partition: it starts looks beside each
// other and applies their results one by one, until there is no work left. One
// quarantine record is stored beside them, so that bad documents delay no good
// ones.
func (d *Dispatcher) runPartition(ctx context.Context, p *partition) {
	var beside conc.WaitGroup
	defer beside.Wait()
	running, storing := 0, false
	for {
		for running < d.cfg.Beside {
			e := d.take(ctx, &p.queue)
			if e == nil {
				break
			}
			running++
			beside.Go(func() { p.results <- d.look(ctx, e) })
		}
		if !storing {
			if e := d.take(ctx, &p.poison); e != nil {
				storing = true
				beside.Go(func() { p.stored <- d.store(ctx, e) })
			}
		}
		if running == 0 && !storing && d.retire(ctx, p) {
			return
		}
		select {
		case r := <-p.results:
			running--
			if ctx.Err() == nil {
				d.apply(ctx, r)
			}
		case r := <-p.stored:
			storing = false
			if ctx.Err() == nil {
				call(d.settle(r.entry, r.err))
			}
		case <-p.wake:
		}
	}
}

// take takes the first entry of a queue; none once ctx has ended.
func (d *Dispatcher) take(ctx context.Context, queue *[]*entry) *entry {
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(*queue) == 0 || ctx.Err() != nil {
		return nil
	}
	e := (*queue)[0]
	(*queue)[0] = nil
	*queue = (*queue)[1:]
	e.state = running
	return e
}

// retire ends an idle partition; a later submission starts a new one.
func (d *Dispatcher) retire(ctx context.Context, p *partition) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(p.queue)+len(p.poison) > 0 && ctx.Err() == nil {
		return false
	}
	delete(d.partitions, p.key)
	return true
}

// look runs the first half of a step within the gate.
func (d *Dispatcher) look(ctx context.Context, e *entry) result {
	r := result{entry: e}
	if r.err = d.cfg.Gate.enter(ctx, e.change.Partition); r.err != nil {
		return r
	}
	defer d.cfg.Gate.leave(e.change.Partition)
	if p := panics.Try(func() { r.apply, r.err = d.cfg.Handle(ctx, e.change) }); p != nil {
		r.apply, r.err = panicked(p), nil
	}
	return r
}

// store stores the quarantine record of a poisoned entry.
func (d *Dispatcher) store(ctx context.Context, e *entry) result {
	r := result{entry: e}
	if d.cfg.Quarantine != nil {
		r.err = d.cfg.Quarantine(ctx, e.change, e.poison)
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
	if ctx.Err() != nil && err != nil {
		return // the work was called off: this step says nothing
	}
	if d.cfg.Observe != nil {
		d.cfg.Observe(change, out, err)
	}
	call(d.finish(e, out, err, reread))
}

// finish records the end of a step and returns the callbacks of what it handled.
func (d *Dispatcher) finish(e *entry, out Outcome, err error, reread bool) []func() {
	d.mu.Lock()
	defer d.mu.Unlock()
	defer d.settleIdle()
	d.active--
	d.release(&e.look)
	d.forgetDocument(e)
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
	handled, superseded := d.supersede(e)
	recheck, session := e.recheck, e.recheckSession
	e.recheck, e.recheckSession = false, ""
	switch {
	case superseded:
	case err != nil:
		e.change.Attempt++
		d.schedule(e, d.retryAfter(e.change.Attempt, err))
	case out.Verdict == Quarantine:
		e.change.Document, e.change.Attempt = nil, 0
		e.poison, e.handled = out.Reason, handled // they wait for the record
		d.enqueue(e)
		return nil
	case recheck && out.Verdict != Done:
		e.change.Document, e.change.Attempt = nil, 0
		e.change.Session = cmp.Or(session, e.change.Session)
		d.schedule(e, 0)
	case out.Verdict == Again:
		e.change.Attempt = 0
		d.schedule(e, out.After)
	case out.Verdict == Done:
		delete(d.entries, e.change.Key)
	default:
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
	d.release(&e.look)
	handled, superseded := d.supersede(e)
	switch {
	case superseded:
	case err != nil:
		e.handled = handled
		e.change.Attempt++
		d.schedule(e, d.cfg.backoff(e.change.Attempt-1))
		return nil
	default:
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
	e.look = *next
	d.enqueue(e)
	return handled, true
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
