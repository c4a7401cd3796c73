package processor

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/sourcegraph/conc"
	"go.uber.org/zap"

	"opfeed/internal/logkey"
	"opfeed/leases"
	"opfeed/processor/dispatch"
	"opfeed/processor/feed"
)

// errDrained is the cause with which a tenure's work context ends in the end.
var errDrained = errors.New("tenure ended")

// tenure is one range for as long as its lease is held.
type tenure struct {
	*Processor
	lease      *leases.Tenure
	dispatcher *dispatch.Dispatcher
	watermark  watermark
	log        *zap.Logger
	outage     outage

	quarantineOutage outage
	told             pages       // that have a span
	wellAgain        chan Record // quarantine records to be deleted
	recorded         bool        // those of the range were read; the backstop's once the tenure is entered
	left             bool        // belongs to the Processor's mutex

	mu         sync.Mutex
	session    string        // token of the last read of the feed
	skew       time.Duration // the server's clock less ours
	began      time.Time
	lastRead   time.Time
	lastChange time.Time
	found      time.Time // when a list last found what the feed had missed
	behind     bool      // the last read brought items: there may be more
	listed     bool
	lastListed time.Time
	blocked    bool
	uncounted  time.Time // since when it is, or was last counted
}

// serve is one tenure, from taking the range over to giving it back.
func (p *Processor) serve(stop, work context.Context, lease *leases.Tenure) error {
	t := &tenure{
		Processor: p,
		lease:     lease,
		wellAgain: make(chan Record, 100),
		began:     time.Now(),
		log: p.log.With(zap.String(logkey.Lease, lease.Token()),
			zap.Int64(logkey.Epoch, lease.Epoch())),
	}
	t.outage = outage{log: t.log, what: "change feed"}
	t.quarantineOutage = outage{log: t.log, what: "quarantine records"}
	t.watermark.store = lease.Checkpoint
	t.metrics.preset(lease.Token())
	t.dispatcher = dispatch.New(dispatch.Config{
		Handle:     t.handle,
		Quarantine: t.putAside,
		Observe:    t.observe,
		Gate:       p.gate,
		Aside:      p.aside,
		Beside:     p.cfg.LooksBeside,
		Waiting:    p.cfg.Waiting,
		Memory:     p.cfg.Memory,
		RetryMax:   p.cfg.RetryMax,

		UntilDone:   p.handler.Pending == nil,
		GiveUpAfter: p.giveUpAfter(),
	})
	var group conc.WaitGroup
	defer group.Wait()
	work, cancel := context.WithCancelCause(work)
	defer cancel(errDrained)
	group.Go(func() { _ = t.dispatcher.Run(work) })
	group.Go(func() { t.removeRecords(work) })

	if err := t.restoreQuarantine(stop); err != nil && stop.Err() == nil {
		t.log.Warn("quarantine records not read, trying again", logkey.Error(err))
	}
	p.enter(t)
	defer p.leave(t)
	err := t.read(stop)

	drain, done := context.WithTimeoutCause(work, p.cfg.DrainTimeout, errors.New("drain timeout"))
	defer done()
	if cause := t.dispatcher.Drain(drain); cause != nil {
		t.log.Warn("work cancelled before it was done", zap.String(logkey.Reason, logkey.Words(cause)))
	}
	cancel(errDrained)
	return err
}

func (p *Processor) enter(t *tenure) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.tenures[t.lease.Token()] = t
}

func (p *Processor) leave(t *tenure) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.tenures[t.lease.Token()] == t {
		delete(p.tenures, t.lease.Token())
	}
	p.quarantine.leave(t.lease.Token())
	t.left = true
}

// know keeps records of the range, unless it has been left meanwhile.
func (t *tenure) know(records []Record) {
	t.Processor.mu.Lock()
	defer t.Processor.mu.Unlock()
	if !t.left {
		t.quarantine.keep(records)
	}
}

// read is the tenure's reader: read, list, watch. It returns nil when stop ends.
func (t *tenure) read(stop context.Context) error {
	position := ""
	page, err := t.takeOver(stop)
	for err == nil {
		if err = t.deliver(stop, page); err != nil {
			break
		}
		// A feed that repeats a page must not be read without a pause.
		if len(page.Items) == 0 || page.Continuation == position {
			sleep(stop, jittered(t.cfg.FeedInterval))
		}
		position = page.Continuation
		page, err = t.readPage(stop, func(ctx context.Context) (feed.Page, error) { return t.readFrom(ctx, position) })
	}
	if stop.Err() != nil {
		err = nil // stopped, not failed
	}
	return err
}

// takeOver reads the page after the stored position, then lists and dispatches
// what is pending, and returns the page.
func (t *tenure) takeOver(stop context.Context) (feed.Page, error) {
	stored := t.lease.Lease().Continuation
	start := t.start()
	page, err := t.readPage(stop, func(ctx context.Context) (feed.Page, error) {
		switch {
		case stored != "":
			return t.readFrom(ctx, stored)
		case start.beginning:
			return t.readFrom(ctx, "")
		case !start.at.IsZero():
			return t.own(t.reader.ReadFrom(ctx, t.lease.Range(), start.at))
		default:
			return t.readFrom(ctx, feed.Now)
		}
	})
	if err != nil {
		return page, err
	}
	if stored == "" && start == (Start{}) {
		// Whoever takes over before the first checkpoint must not start from a
		// later now.
		if err := t.lease.CheckpointNow(stop, page.Continuation); err != nil {
			return page, fmt.Errorf("store first position: %w", err)
		}
	}
	t.log.Info("reading change feed", zap.String(logkey.Continuation, page.Continuation))
	t.listOnTakeover(stop, page.Session)
	return page, nil
}

// readFrom reads the page after a position.
func (t *tenure) readFrom(ctx context.Context, position string) (feed.Page, error) {
	if t.part() {
		return t.reader.ReadPart(ctx, t.lease.Range(), position)
	}
	return t.own(t.reader.Read(ctx, t.lease.Range(), position))
}

// own refuses what is no page of this range alone: azcosmos hides a merge, and
// reads the partition that the range is a part of now.
func (t *tenure) own(page feed.Page, err error) (feed.Page, error) {
	if err == nil && !t.part() && page.RangeID != t.lease.Token() {
		return feed.Page{}, fmt.Errorf("read change feed of range %s: it was merged into %s: %w", t.lease.Token(), page.RangeID, leases.ErrOutdated)
	}
	return page, err
}

// part says whether the range may be a part of a physical partition.
func (t *tenure) part() bool { return t.lease.Lease().Version != leases.VersionRange0 }

// readPage reads one page, trying again until it succeeds or stop ends. One of a
// range that was split or merged ends the tenure, and nothing of it is used: the
// leases that follow begin at the position before it.
func (t *tenure) readPage(stop context.Context, read func(context.Context) (feed.Page, error)) (feed.Page, error) {
	for attempt := 0; ; attempt++ {
		if err := stop.Err(); err != nil {
			return feed.Page{}, err
		}
		page, err := t.traceRead(stop, read)
		if err == nil {
			t.outage.over()
			t.noteRead(page)
			return page, nil
		}
		if stop.Err() != nil {
			return feed.Page{}, stop.Err()
		}
		if split := (*feed.SplitError)(nil); errors.As(err, &split) {
			return feed.Page{}, fmt.Errorf("%w: %w", leases.ErrOutdated, err)
		}
		if errors.Is(err, leases.ErrOutdated) {
			return feed.Page{}, err
		}
		t.metrics.reads.WithLabelValues(t.lease.Token(), resultError).Inc()
		t.outage.begin(err)
		sleep(stop, backoff(attempt))
	}
}

func (t *tenure) noteRead(page feed.Page) {
	result := resultEmpty
	if len(page.Items) > 0 {
		result = resultItems
	}
	t.metrics.reads.WithLabelValues(t.lease.Token(), result).Inc()
	now := time.Now()
	t.watermark.saw(page, now)
	t.mu.Lock()
	defer t.mu.Unlock()
	t.session, t.lastRead, t.behind = page.Session, now, len(page.Items) > 0
	if t.behind {
		t.lastChange = now
	}
	if !page.ServerTime.IsZero() {
		t.skew = page.ServerTime.Sub(now)
	}
}

// deliver routes the items of a page and opens it in the watermark.
func (t *tenure) deliver(stop context.Context, page feed.Page) error {
	open := t.watermark.begin(page.Continuation, lsnsOf(page.Items))
	for _, item := range page.Items {
		handled := func() { t.watermark.handled(open, item.LSN) }
		route := t.route(item.Document)
		t.metrics.items.WithLabelValues(t.lease.Token(), actionNames[route.Action]).Inc()
		if err := t.submitItem(stop, page, item, route, handled); err != nil {
			return err
		}
	}
	return nil
}

func (t *tenure) submitItem(stop context.Context, page feed.Page, item feed.Item, route Route, handled func()) error {
	change := dispatch.Change{
		Key:      route.Key,
		ETag:     item.ETag,
		Document: item.Document,
		Session:  page.Session,
		Written:  item.Written,
		LSN:      item.LSN,
		Source:   dispatch.Feed,
	}
	if t.part() && route.Key.Partition != "" && !t.owns(route.Key.Partition) {
		route.Action = Skip // the partition has other parts
	}
	switch route.Action {
	case Skip:
		handled()
		return nil
	case Drop:
		t.dispatcher.Recheck(route.Key, page.Session)
		handled()
		return nil
	case Take:
		return t.blocking(func() error { return t.dispatcher.Submit(stop, change, handled) })
	case Poison:
		if change.ID == "" {
			change.ID = item.ID
		}
		if change.ID == "" {
			change.ID = fmt.Sprintf("lease-%s-lsn-%d", t.lease.Token(), item.LSN)
		}
		change.Document, change.Fault = nil, route.Fault
		return t.blocking(func() error { return t.dispatcher.SubmitPoison(stop, change, route.Reason, handled) })
	default:
		return fmt.Errorf("route item: unknown action %d", route.Action)
	}
}

// blocking runs a submission and tells of it if it had to wait.
func (t *tenure) blocking(submit func() error) error {
	const worthTelling = time.Second
	start := time.Now()
	t.setBlocked(start)
	err := submit()
	t.countBlocked(time.Now())
	t.setBlocked(time.Time{})
	if blocked := time.Since(start); blocked >= worthTelling {
		t.log.Warn("reader blocked for", zap.Duration("duration", blocked))
	}
	return err
}

func (t *tenure) setBlocked(since time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.blocked, t.uncounted = !since.IsZero(), since
}

// countBlocked counts the time for which the reader has been blocked so far: the
// wait may be long, and is to be seen before it is over.
func (t *tenure) countBlocked(now time.Time) {
	const worthCounting = 10 * time.Millisecond
	t.mu.Lock()
	defer t.mu.Unlock()
	if d := now.Sub(t.uncounted); t.blocked && d >= worthCounting {
		t.metrics.blocked.WithLabelValues(t.lease.Token()).Add(d.Seconds())
		t.uncounted = now
	}
}

// owns says whether a partition lies in this tenure's range.
func (t *tenure) owns(partition string) bool {
	return t.keys.within(t.lease.Range(), partition)
}

func (t *tenure) clockSkew() time.Duration {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.skew
}

// handle lets the handler ask, before a write, whether the lease is still ours.
func (t *tenure) handle(ctx context.Context, c dispatch.Change) (dispatch.Apply, error) {
	c.Trusted, c.Skew = t.lease.Trusted, t.clockSkew()
	return t.traceStep(ctx, c)
}

// patience is how many failures in a row are nobody's business.
const patience = 10

// observe counts a finished step and takes a document that is well again out of
// quarantine.
func (t *tenure) observe(s dispatch.Step) {
	c, o, err := s.Change, s.Outcome, s.Err
	t.metrics.stepped(s)
	result := o.Verdict.String()
	if err != nil {
		result = resultError
	}
	t.metrics.steps.WithLabelValues(c.Source.String(), result).Inc()
	if err != nil {
		log := t.log.Debug
		if c.Attempt == patience {
			log = t.log.Warn // once for each that keeps failing
		}
		log("step failed", zap.String(logkey.SubscriptionID, c.Partition), zap.String(logkey.DocumentID, c.ID),
			zap.Int(logkey.Attempt, c.Attempt+1), logkey.Error(err))
		return
	}
	if o.Stack != "" {
		t.log.Error("handler panicked", zap.String(logkey.SubscriptionID, c.Partition),
			zap.String(logkey.DocumentID, c.ID), zap.String(logkey.Reason, o.Reason), zap.String("stack", o.Stack))
	}
	// What turned out to be settled already was not missed.
	if c.Late && (o.Verdict != dispatch.Done || o.Wrote) {
		t.recovered(c)
	}
	if o.Verdict != dispatch.Quarantine {
		t.release(c.Key)
	}
}

func jittered(d time.Duration) time.Duration { return d - rand.N(d/10+1) }

// backoff is the pause after the n-th failure in a row: 250 ms doubling to 5 s,
// less up to a half.
func backoff(n int) time.Duration {
	d := min(250*time.Millisecond<<min(n, 10), 5*time.Second)
	return d - rand.N(d/2)
}

func sleep(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}
