package dispatch

import (
	"cmp"
	"container/heap"
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/sourcegraph/conc"
)

// Errors of a submission.
var (
	// ErrStopped: the dispatcher drains or has ended.
	ErrStopped = errors.New("dispatcher stopped")
	// ErrFull: too many versions wait for their first step.
	ErrFull = errors.New("too many changes wait")
)

// Config sets a dispatcher up. Handle is mandatory; zero values mean the
// defaults that the fields name.
type Config struct {
	// Handle is the first half of every step.
	Handle Handle
	// Quarantine stores the record of a document that is its own fault. It runs
	// beside the steps of its partition, one at a time, and is tried again until
	// it returns nil. No func means that nothing is stored.
	Quarantine func(ctx context.Context, c Change, reason string) error
	// Observe, if set, is told of every finished step, on the partition's
	// goroutine. It must not block.
	Observe func(s Step)
	// Gate is shared with other dispatchers; default: one of 64 looks.
	Gate *Gate
	// Aside is the same for looks that run aside; default: one of 16.
	Aside *Gate
	// Beside bounds the looks of one partition that run at once, and those that
	// run aside; default 8 of each.
	Beside int
	// Waiting bounds the versions that wait for their first step; default 50000.
	// It is large, since a subscription whose calls hang must not keep the reader
	// from the others; Memory is what keeps it small.
	Waiting int
	// Memory bounds the documents kept for waiting and pending keys, in bytes;
	// beyond, the document is dropped and read again. Default 64 MiB.
	Memory int64
	// RetryMin and RetryMax bound the backoff after an error; default 1 s, 10 s.
	RetryMin, RetryMax time.Duration
	// UntilDone is for callers whom nothing tells again of what is unfinished: a
	// version is handled only when no further step is owed to it, and keeps its
	// place of Waiting until then. Without it the first step is enough.
	UntilDone bool
	// GiveUpAfter is how long the steps of one version may fail, without a success
	// in between, until it goes into quarantine; 0: for ever. It is given up only
	// after five errors, and only if another step has succeeded since the one
	// before: while everything fails the fault is not the document's.
	GiveUpAfter time.Duration
}

func (c Config) withDefaults() Config {
	c.Beside = cmp.Or(c.Beside, 8)
	c.Waiting = cmp.Or(c.Waiting, 50000)
	c.Memory = cmp.Or(c.Memory, 64<<20)
	c.RetryMin = cmp.Or(c.RetryMin, time.Second)
	c.RetryMax = cmp.Or(c.RetryMax, 10*time.Second)
	if c.Gate == nil {
		c.Gate = NewGate(64)
	}
	if c.Aside == nil {
		c.Aside = NewGate(16)
	}
	return c
}

// Dispatcher runs steps. All methods are safe for concurrent use.
type Dispatcher struct {
	cfg   Config
	gates [lanes]*Gate
	slots chan struct{} // one per version that waits for its first step
	wake  chan struct{} // a partition became busy, or the heap has a new head

	mu         sync.Mutex
	stopped    bool
	ended      chan struct{} // closed once stopped
	idle       chan struct{} // closed once stopped and nothing waits or runs
	entries    map[Key]*entry
	partitions map[string]*partition // busy ones
	starting   []*partition          // busy ones whose goroutine Run has to start
	due        dueHeap
	aside      map[*entry]context.CancelCauseFunc // of looks aside that run
	active     int                                // entries waiting or running
	memory     int64
	worked     time.Time // when a step last succeeded
}

// New returns a dispatcher that does nothing until Run.
func New(cfg Config) *Dispatcher {
	cfg = cfg.withDefaults()
	return &Dispatcher{
		cfg:        cfg,
		gates:      [lanes]*Gate{looks: cfg.Gate, asides: cfg.Aside},
		slots:      make(chan struct{}, cfg.Waiting),
		wake:       make(chan struct{}, 1),
		ended:      make(chan struct{}),
		idle:       make(chan struct{}),
		entries:    map[Key]*entry{},
		partitions: map[string]*partition{},
		aside:      map[*entry]context.CancelCauseFunc{},
	}
}

// Run runs steps until ctx ends, and returns when the last one has returned.
// It may be called once. Panics of steps are caught and quarantined.
func (d *Dispatcher) Run(ctx context.Context) error {
	var group conc.WaitGroup
	defer group.Wait()
	defer d.stop()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		starting, next := d.advance(time.Now())
		for _, p := range starting {
			group.Go(func() { d.runPartition(ctx, p) })
		}
		timer.Reset(next)
		select {
		case <-ctx.Done():
			return nil
		case <-timer.C:
		case <-d.wake:
		}
	}
}

// advance queues what is due and returns the partitions to start and the time
// until the next entry is due.
func (d *Dispatcher) advance(now time.Time) ([]*partition, time.Duration) {
	const nothingDue = time.Hour
	d.mu.Lock()
	defer d.mu.Unlock()
	for !d.stopped && len(d.due) > 0 && !d.due[0].due.After(now) {
		e := d.due[0]
		d.unschedule(e)
		e.change.Source = Due
		d.enqueue(e)
		e.since = e.due // it has waited since
	}
	starting := d.starting
	d.starting = nil
	if d.stopped || len(d.due) == 0 {
		return starting, nothingDue
	}
	return starting, d.due[0].due.Sub(now)
}

// Submit hands over one version and blocks while too many wait for their first
// step. handled is called exactly once, from any goroutine and perhaps before
// Submit returns, unless Submit fails or Run ends first.
//
// A version from List never replaces one that is already known.
func (d *Dispatcher) Submit(ctx context.Context, c Change, handled func()) error {
	return d.submit(ctx, look{change: c, handled: []func(){handled}})
}

// TrySubmit is Submit that does not wait: it fails with ErrFull instead.
func (d *Dispatcher) TrySubmit(c Change, handled func()) error {
	done, err := d.offer(look{change: c, handled: []func(){handled}})
	call(done)
	return err
}

// SubmitPoison is Submit for a document that is known to be its own fault: no
// step is run, it goes into quarantine at once.
func (d *Dispatcher) SubmitPoison(ctx context.Context, c Change, reason string, handled func()) error {
	return d.submit(ctx, look{change: c, handled: []func(){handled}, poison: reason})
}

func (d *Dispatcher) submit(ctx context.Context, l look) error {
	done, err := d.offer(l)
	if errors.Is(err, ErrFull) {
		select {
		case d.slots <- struct{}{}:
		case <-d.ended:
			return ErrStopped
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		l.slot = true
		done, err = d.offer(l)
	}
	call(done)
	return err
}

// offer puts one version where it belongs and returns the callbacks of those
// that are thereby handled.
func (d *Dispatcher) offer(l look) ([]func(), error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.stopped {
		d.release(&l)
		return nil, ErrStopped
	}
	e := d.entries[l.change.Key]
	if e != nil {
		e.sighted = time.Now()
		if shared, done := e.share(l, d.cfg.UntilDone); shared {
			d.release(&l)
			d.compare(e, l.change)
			return done, nil
		}
	}
	if e != nil && e.state != running && !l.slot {
		// It takes the place of the one that it replaces: what mends a document
		// must not wait behind it.
		l.slot, e.slot = e.slot, false
	}
	if !l.slot {
		select {
		case d.slots <- struct{}{}:
			l.slot = true
		default:
			return nil, ErrFull
		}
	}
	if e == nil {
		e = &entry{look: l, index: -1, sighted: time.Now()}
		d.entries[l.change.Key] = e
		d.enqueue(e)
		return nil, nil
	}
	return d.replace(e, l), nil
}

// compare has a pending entry read anew when a list shows another version of it:
// the feed may never bring that one. To read is not to replace, so it does not
// matter which of the two is the newer.
func (d *Dispatcher) compare(e *entry, listed Change) {
	if e.state == pending && listed.Source == List && listed.ETag != "" && listed.ETag != e.change.ETag {
		e.change.Session = cmp.Or(listed.Session, e.change.Session)
		d.readAnew(e)
	}
}

// replace makes l the next version of e to be looked at and returns the
// callbacks of the one that it supersedes.
func (d *Dispatcher) replace(e *entry, l look) []func() {
	if e.state == running {
		old := e.next
		e.next = &l
		if old == nil {
			return nil
		}
		d.release(old)
		return old.handled
	}
	old := e.look
	d.release(&old)
	l.change.Seen = old.change.Seen
	d.forgetDocument(e)
	e.look, e.quarantined = l, false
	switch {
	case e.state != waiting:
		d.unschedule(e)
		d.enqueue(e)
	case old.lane() == l.lane():
		d.keepDocument(e)
	default: // it waits in the wrong queue
		d.active--
		d.partitions[e.change.Partition].remove(e)
		d.enqueue(e)
	}
	return old.handled
}

// release gives the slot of a version back.
func (d *Dispatcher) release(l *look) {
	if l.slot {
		l.slot = false
		<-d.slots
	}
}

// enqueue lets an entry wait in its partition's queue.
func (d *Dispatcher) enqueue(e *entry) {
	e.state, e.since = waiting, time.Now()
	d.active++
	p := d.partitions[e.change.Partition]
	if p == nil {
		p = newPartition(e.change.Partition, d.cfg.Beside)
		d.partitions[p.key] = p
		d.starting = append(d.starting, p)
		d.signal(d.wake)
	}
	p.add(e)
	d.keepDocument(e)
	d.signal(p.wake)
}

// schedule makes an entry due after a while.
func (d *Dispatcher) schedule(e *entry, after time.Duration) {
	now := time.Now()
	e.state, e.since, e.due = pending, now, now.Add(after)
	d.keepDocument(e)
	heap.Push(&d.due, e)
	if e.index == 0 {
		d.signal(d.wake)
	}
}

// unschedule takes an entry out of the heap, if it is there.
func (d *Dispatcher) unschedule(e *entry) {
	d.forgetDocument(e)
	if e.index >= 0 {
		heap.Remove(&d.due, e.index)
	}
}

// keepDocument accounts for the document of an entry that waits or is pending,
// and drops it where the bound of memory is reached.
func (d *Dispatcher) keepDocument(e *entry) {
	d.forgetDocument(e)
	size := int64(len(e.change.Document))
	if d.memory+size > d.cfg.Memory {
		e.change.Document = nil
		return
	}
	e.bytes = size
	d.memory += size
}

// forgetDocument ends that account.
func (d *Dispatcher) forgetDocument(e *entry) {
	d.memory -= e.bytes
	e.bytes = 0
}

// signal wakes the reader of a channel of capacity one.
func (*Dispatcher) signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// backoff is the pause after the n-th error in a row, with a fifth of jitter.
func (c Config) backoff(n int) time.Duration {
	d := c.RetryMin << min(n, 16)
	if d > c.RetryMax || d <= 0 {
		d = c.RetryMax
	}
	return d - rand.N(d/5+1)
}

func call(handled []func()) {
	for _, f := range handled {
		if f != nil {
			f()
		}
	}
}
