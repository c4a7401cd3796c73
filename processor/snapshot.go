package processor

import (
	"errors"
	"fmt"
	"time"

	"opfeed/leases"
	"opfeed/processor/dispatch"
	"opfeed/processor/status"
)

// Snapshot tells the state of this replica. Safe for concurrent use.
func (p *Processor) Snapshot() status.Snapshot {
	p.mu.Lock()
	s := status.Snapshot{
		Instance: p.instance,
		Started:  p.started,
		LastList: p.lastList,
	}
	p.mu.Unlock()
	s.Now = time.Now()
	s.PendingByState = map[string]int{}
	s.Quarantined = p.quarantine.list()
	s.Recovered = p.metrics.recovered.Load()
	own := map[string]*tenure{}
	for _, t := range p.held() {
		own[t.lease.Token()] = t
	}
	for _, info := range p.listed() {
		r := rangeOf(info)
		if t := own[info.Token]; t != nil && info.Mine {
			stats := t.describe(&r)
			s.Waiting += stats.Waiting
			s.Running += stats.Running
			s.Pending += stats.Pending
			s.LeftAlone += stats.LeftAlone
			for label, n := range stats.Labels {
				s.PendingByState[label] += n
			}
		}
		s.Ranges = append(s.Ranges, r)
	}
	return s
}

// listed gives the leases as far as they are known.
func (p *Processor) listed() []leases.Info {
	if m := p.opened(); m != nil {
		return m.Snapshot()
	}
	return nil
}

func rangeOf(info leases.Info) status.Range {
	return status.Range{
		Token:        info.Token,
		Min:          info.Range.MinInclusive,
		Max:          info.Range.MaxExclusive,
		Owner:        info.Owner,
		Mine:         info.Mine,
		Epoch:        info.Epoch,
		Continuation: info.Continuation,
	}
}

// describe fills in what only the tenure knows.
func (t *tenure) describe(r *status.Range) dispatch.Stats {
	stats := t.dispatcher.Stats()
	r.Waiting, r.Running, r.Pending = stats.Waiting, stats.Running, stats.Pending
	if lag, known := t.watermark.lag(); known {
		r.Lag = &lag
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	r.LastRead, r.LastChange = t.lastRead, t.lastChange
	r.Listed, r.Blocked = t.listed, t.blocked
	return stats
}

// Ready says why this replica does not do its work, or nil: the leases are
// known, and each held range is read and was listed. A replica that holds
// nothing because others hold everything is ready. Ask it every few seconds: for
// how long a range has been nobody's is counted from the first time it was asked.
func (p *Processor) Ready() error {
	if len(p.listed()) == 0 {
		return errors.New("leases not listed yet")
	}
	errs := []error{p.covered(time.Now())}
	for _, t := range p.held() {
		if err := t.ready(time.Now()); err != nil {
			errs = append(errs, fmt.Errorf("range %s: %w", t.lease.Token(), err))
		}
	}
	return errors.Join(errs...)
}

// covered says whether somebody serves each range. A range is nobody's for a
// while whenever it changes hands.
func (p *Processor) covered(now time.Time) error {
	open := p.opened().Uncovered()
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case len(open) == 0:
		p.openSince = time.Time{}
	case p.openSince.IsZero():
		p.openSince = now
	case now.Sub(p.openSince) > unreadyAfter:
		return fmt.Errorf("ranges without an owner for more than %s: %v", unreadyAfter, open)
	}
	return nil
}

// unreadyAfter is how long a held range's feed may complete no read. The list has
// taken over long before; but then somebody should look.
const unreadyAfter = 30 * time.Second

func (t *tenure) ready(now time.Time) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case t.lastRead.IsZero():
		return errors.New("change feed not read yet")
	case !t.listed:
		return errors.New("pending changes not listed yet")
	case !t.blocked && now.Sub(t.lastRead) > unreadyAfter:
		return fmt.Errorf("change feed not read for more than %s", unreadyAfter)
	default:
		return nil
	}
}

// gather sums up the gauges.
func (p *Processor) gather() gauges {
	g := gauges{lag: map[string]int64{}}
	for _, t := range p.held() {
		if lag, known := t.watermark.lag(); known {
			g.lag[t.lease.Token()] = lag
		}
		stats := t.dispatcher.Stats()
		g.waiting += stats.Waiting
		g.running += stats.Running
		g.pending += stats.Pending
		g.leftAlone += stats.LeftAlone
		g.quarantined += stats.Quarantined
		t.mu.Lock()
		if !t.lastRead.IsZero() {
			g.oldestRead = max(g.oldestRead, time.Since(t.lastRead).Seconds())
		}
		t.mu.Unlock()
	}
	return g
}
