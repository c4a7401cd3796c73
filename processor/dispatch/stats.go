package dispatch

import (
	"cmp"
	"context"
	"time"
)

// Stats counts the keys of a dispatcher at one moment.
type Stats struct {
	Waiting     int            // for a step
	Running     int            // a step is under way
	Pending     int            // in the heap of due times
	LeftAlone   int            // settled without a record
	Quarantined int            // settled with a record
	Labels      map[string]int // pending, waiting and running keys by Outcome.Label, "New" before the first step
	Memory      int64          // bytes of documents kept for waiting and pending keys

	OldestWaiting  time.Duration // how long the first of them has waited, but for those aside; 0: none waits
	LongestRunning time.Duration // how long the longest step under way has run
	Overdue        time.Duration // how late the most overdue of the pending is, but for those aside; 0: none is
}

// Stats returns the counts of this moment.
func (d *Dispatcher) Stats() Stats {
	d.mu.Lock()
	defer d.mu.Unlock()
	now := time.Now()
	s := Stats{Labels: map[string]int{}, Memory: d.memory}
	for _, e := range d.entries {
		switch {
		case e.state == waiting:
			s.Waiting++
			if e.lane() == asides { // held up by whoever it tells, not by too much work
				break
			}
			s.OldestWaiting = max(s.OldestWaiting, now.Sub(e.since))
			if e.change.Source == Due {
				s.Overdue = max(s.Overdue, now.Sub(e.due))
			}
		case e.state == running:
			s.Running++
			s.LongestRunning = max(s.LongestRunning, now.Sub(e.since))
		case e.state == pending:
			s.Pending++
		case e.quarantined:
			s.Quarantined++
		default:
			s.LeftAlone++
		}
		if e.state != settled {
			s.Labels[cmp.Or(e.label, labelNew)]++
		}
	}
	return s
}

// Settle makes a key known as quarantined at one version, before any change of
// it is submitted: what an earlier tenure stored.
func (d *Dispatcher) Settle(k Key, etag, reason string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.entries[k] != nil {
		return
	}
	e := &entry{state: settled, index: -1, reason: reason, quarantined: true}
	e.change = Change{Key: k, ETag: etag}
	d.entries[k] = e
}

// Missing is told that a complete list, begun at since, did not show the keys
// for which shown is false. Pending ones that were last sighted before are read
// anew at once; those left alone are forgotten. It returns how many are read.
func (d *Dispatcher) Missing(since time.Time, shown func(Key) bool) int {
	d.mu.Lock()
	defer d.mu.Unlock()
	n := 0
	for _, e := range d.entries {
		if !e.sighted.Before(since) || e.quarantined || shown(e.change.Key) {
			continue
		}
		switch e.state {
		case pending:
			d.readAnew(e)
			n++
		case settled:
			delete(d.entries, e.change.Key)
		case waiting, running:
		}
	}
	return n
}

// Recheck has a pending key read anew at once, with a session token that shows
// its newest version; a settled one is forgotten.
func (d *Dispatcher) Recheck(k Key, session string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	e := d.entries[k]
	if e == nil {
		return
	}
	if session != "" && e.state != running {
		e.change.Session = session
	}
	switch e.state {
	case pending:
		d.readAnew(e)
	case waiting:
		e.change.Document = nil
	case running:
		e.recheck, e.recheckSession = true, session
	case settled:
		delete(d.entries, k)
	}
}

func (d *Dispatcher) readAnew(e *entry) {
	d.unschedule(e)
	e.change.Document = nil
	e.change.Source, e.change.Aside = List, false
	d.enqueue(e)
}

// Drain refuses new versions, starts nothing that is not waiting already,
// cancels the looks aside, and returns when all steps have ended or ctx has.
func (d *Dispatcher) Drain(ctx context.Context) error {
	d.stop()
	select {
	case <-d.idle:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (d *Dispatcher) stop() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.stopped {
		d.stopped = true
		close(d.ended)
		d.callOffAsides()
	}
	d.settleIdle()
}

// callOffAsides takes the looks aside that have not begun out of their queues, and
// cancels those that run: nobody's page waits for them, and whoever is next does
// them.
func (d *Dispatcher) callOffAsides() {
	for _, cancel := range d.aside {
		cancel(ErrStopped)
	}
	for _, p := range d.partitions {
		l := &p.lanes[asides]
		d.active -= len(l.queue)
		l.queue = nil
		d.signal(p.wake)
	}
}

// settleIdle tells Drain when nothing waits or runs any more.
func (d *Dispatcher) settleIdle() {
	if !d.stopped || d.active > 0 {
		return
	}
	select {
	case <-d.idle:
	default:
		close(d.idle)
	}
}
