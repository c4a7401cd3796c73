package processor

import (
	"errors"
	"fmt"
	"slices"
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
	s.Quarantined, s.QuarantinedTotal = p.quarantine.list()
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
	s.Hosts = p.hosts(s.Ranges)
	return s
}

// Changes lists what has not come to an end in the held ranges, in no order. Safe
// for concurrent use.
func (p *Processor) Changes() []status.Change {
	var list []status.Change
	for _, t := range p.held() {
		for _, k := range t.dispatcher.Known() {
			list = append(list, changeOf(t.lease.Token(), k))
		}
	}
	return list
}

func changeOf(token string, k dispatch.Known) status.Change {
	c := status.Change{
		Partition: k.Partition, ID: k.ID, Range: token,
		Name: k.About.Name, Kind: k.About.Kind, Request: k.About.Request, Resource: k.About.Resource, Began: k.About.Began,
		State: k.Label, Phase: status.Pending, Since: k.Since, Due: k.Due,
		Attempt: k.Attempt, Error: k.Error, Reason: k.Reason,
	}
	switch {
	case k.Waiting:
		c.Phase = status.Waiting
	case k.Running:
		c.Phase = status.Running
	}
	return c
}

// hosts gives the other replicas that hold no range.
func (p *Processor) hosts(ranges []status.Range) []status.Host {
	list := []status.Host{}
	m := p.opened()
	if m == nil {
		return list
	}
	for _, h := range m.Hosts() {
		// The record of one that has found a range stays for a while.
		if !slices.ContainsFunc(ranges, func(r status.Range) bool { return r.Owner == h.Instance }) {
			list = append(list, status.Host{Instance: h.Instance, Page: h.Page})
		}
	}
	return list
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
		Page:         info.Page,
	}
}

// describe fills in what only the tenure knows.
func (t *tenure) describe(r *status.Range) dispatch.Stats {
	stats := t.dispatcher.Stats()
	r.Waiting, r.Running, r.Pending = stats.Waiting, stats.Running, stats.Pending
	if lag, known := t.watermark.lag(); known {
		r.Lag = &lag
	}
	r.Staleness = t.staleness(time.Now()).Seconds()
	t.mu.Lock()
	defer t.mu.Unlock()
	r.LastRead, r.LastChange = t.lastRead, t.lastChange
	r.Listed, r.Blocked = t.listed, t.blocked
	return stats
}

// Ready says why this replica does not do its work, or nil: what Settled and Fresh
// say. A replica that holds nothing because others hold everything is ready.
func (p *Processor) Ready() error { return errors.Join(p.Settled(), p.Fresh()) }

// Settled says why it is not known who reads what, or nil: the leases are known,
// and each range has an owner. Ask it every few seconds: for how long a range has
// been nobody's is counted from the first time it was asked.
func (p *Processor) Settled() error {
	if len(p.listed()) == 0 {
		return errors.New("leases not listed yet")
	}
	return p.covered(time.Now())
}

// Fresh says why held ranges are not served, or nil: each is read and was listed.
// One that holds none has to have read the feed once, as each does when it starts:
// a rollout of one that cannot must stop before it is the last.
func (p *Processor) Fresh() error {
	if len(p.listed()) == 0 {
		return errors.New("no range is known yet")
	}
	held := p.held()
	p.mu.Lock()
	reads := p.reads
	p.mu.Unlock()
	if len(held) == 0 && !reads {
		return errors.New("change feed not read yet")
	}
	var errs []error
	for _, t := range held {
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
		return fmt.Errorf("%d ranges without an owner for more than %s, the first %q to %q",
			len(open), unreadyAfter, open[0].MinInclusive, open[0].MaxExclusive)
	}
	return nil
}

// unreadyAfter is how long a held range's feed may complete no read. The list has
// taken over long before; but then somebody should look.
const unreadyAfter = 30 * time.Second

// missedLists is how many lists in a row may fail: the feed is enough in health.
const missedLists = 5

func (t *tenure) ready(now time.Time) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case t.lastRead.IsZero():
		return errors.New("change feed not read yet")
	case !t.listed:
		return errors.New("pending changes not listed yet")
	case t.handler.Pending != nil && now.Sub(t.lastListed) > missedLists*t.cfg.ListInterval:
		return fmt.Errorf("pending changes not listed for more than %s", missedLists*t.cfg.ListInterval)
	case !t.blocked && now.Sub(t.lastRead) > unreadyAfter:
		return fmt.Errorf("change feed not read for more than %s", unreadyAfter)
	default:
		return nil
	}
}

// gather sums up the gauges.
func (p *Processor) gather() gauges {
	g := gauges{}
	g.places[0].all, g.places[0].used = p.gate.Places()
	g.places[1].all, g.places[1].used = p.aside.Places()
	for _, t := range p.held() {
		stats := t.dispatcher.Stats()
		g.waiting += stats.Waiting
		g.running += stats.Running
		g.pending += stats.Pending
		g.leftAlone += stats.LeftAlone
		g.memory += stats.Memory
		g.oldestWaiting = max(g.oldestWaiting, stats.OldestWaiting)
		g.longestRunning = max(g.longestRunning, stats.LongestRunning)
		g.overdue = max(g.overdue, stats.Overdue)
		g.quarantined += stats.Quarantined
	}
	return g
}
