package leases

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"go.uber.org/zap"

	"opfeed/internal/logkey"
)

// watch is what the Manager's own goroutine knows from listing the leases again
// and again. Nothing in it is shared.
type watch struct {
	m     *Manager
	retry backoff
	away  bool // the last round failed, for the log

	seen     map[string]sighting // by id
	present  map[string]present  // hosts without a lease, by start id
	observed []Observed          // the last listing
	self     presence            // our own record
	deaf     deafness
	live     []Range // as last asked; nil before
	asked    bool
	unclear  string // what was when Ranges was last thought of
	marked   bool
	settled  bool   // Ranges was asked since: what is unclear is so
	hole     string // what no lease covered at the last listing
	// holeSince is when that was first so.
	holeSince time.Time
	known     bool      // there have been leases: a listing without any may be wrong
	nextAt    time.Time // when Ranges may be asked again while that is the same
	asking    backoff
	logged    map[string]bool
}

// sighting is since when a lease has looked the way it does.
type sighting struct {
	owner, startID string
	epoch, renewal int64
	etag           string // of documents that have no start id of ours
	since          time.Time
	request        string
	asked          time.Time // since when it is that
}

func newWatch(m *Manager) *watch {
	return &watch{
		m:       m,
		retry:   m.backoff(200*time.Millisecond, 5*time.Second),
		asking:  m.backoff(5*time.Second, 2*time.Minute),
		seen:    map[string]sighting{},
		present: map[string]present{},
		logged:  map[string]bool{},
		deaf:    deafness{retry: m.backoff(3*m.cfg.Expiry, 5*time.Minute)},
	}
}

// round lists the leases, creates what is missing, does what Plan says, and says
// how long to wait before the next one.
func (w *watch) round(ctx context.Context, take func(d Document, outdated bool), request func(Document)) time.Duration {
	wait := w.m.spread(w.m.cfg.AcquireInterval)
	w.announce(ctx)
	list, hosts, err := w.list(ctx)
	listed := err == nil
	if listed {
		w.sight(time.Now(), list)
		w.meet(time.Now(), hosts)
		list, err = w.complete(ctx, list)
	}
	switch {
	case ctx.Err() != nil:
		return 0
	case err != nil:
		w.failed(err)
		wait = w.retry.next(err)
	default:
		w.works()
	}
	if !listed || w.m.ranges != nil && !w.asked && !w.whole(list) {
		return wait
	}

	now := time.Now()
	w.sight(now, list) // what was made just now, too
	w.observed = w.observe(w.view(now, list))
	byID := map[string]Observed{}
	for _, o := range w.observed {
		byID[o.Document.ID] = o
		// A peer that died is found out when its time is up, not some time later.
		for _, after := range []time.Duration{o.Patience, o.lying()} {
			if left := o.Since.Add(after).Sub(now); left > 0 && !o.Held && !o.Vanished && o.Document.Owner != "" {
				wait = min(wait, left+time.Millisecond)
			}
		}
		if o.Held && o.Outdated {
			w.m.end(o.Document.ID, ErrOutdated)
		}
	}
	defer w.mark(ctx, list)
	w.listen(ctx, now)
	moves := Plan(now, w.m.self, w.hosts(now), w.observed)
	for id, h := range moves.HandOver {
		w.m.give(id, h)
	}
	if w.rests(now) {
		return wait
	}
	for _, id := range moves.Take {
		take(byID[id].Document, byID[id].Outdated)
	}
	for _, id := range moves.Request {
		request(byID[id].Document)
	}
	return wait
}

// whole says whether leases that were at work cover the key space, as they do in
// health: then one live range that does not answer must not keep a host from
// serving the others. Whoever reads a lease finds out that it is outdated.
func (w *watch) whole(list []Document) bool {
	v := w.view(time.Now(), list)
	for i, s := range v.standings() {
		if d := v.list[i]; s == idle && v.ours(d) || s == current && (d.Epoch == 0 || d.StartID == "") {
			return false
		}
	}
	return len(list) > 0 && v.unclear() == ""
}

func (w *watch) list(ctx context.Context) ([]Document, []Presence, error) {
	// A listing may take several pages.
	ctx, cancel := context.WithTimeout(ctx, 3*w.m.cfg.CallTimeout)
	defer cancel()
	return w.m.store.ListAll(ctx)
}

// sight notes what changed since the last listing. Expiry is measured on the
// local monotonic clock alone: the clock of a peer says nothing.
func (w *watch) sight(now time.Time, list []Document) {
	seen := make(map[string]sighting, len(list))
	for _, d := range list {
		s := sighting{owner: d.Owner, startID: d.StartID, epoch: d.Epoch, renewal: d.Renewal, since: now, request: d.Request, asked: now}
		if d.StartID == "" || d.Version == Unreadable || d.ID != w.m.store.ID(d.Token) {
			s.etag = d.ETag
		}
		if before := w.seen[d.ID]; before.same(s) {
			s.since = before.since
		}
		if before := w.seen[d.ID]; before.request == s.request && !before.asked.IsZero() {
			s.asked = before.asked
		}
		seen[d.ID] = s
	}
	w.seen, w.known = seen, w.known || len(list) > 0
}

func (s sighting) same(t sighting) bool {
	return s.owner == t.owner && s.startID == t.startID && s.epoch == t.epoch && s.renewal == t.renewal &&
		s.etag == t.etag && !s.since.IsZero()
}

// view joins a list with what is known of it.
func (w *watch) view(now time.Time, list []Document) view {
	v := newView(w.m, now, list, w.live, w.asked)
	for _, d := range v.list {
		v.since[d.ID] = w.seen[d.ID].since
	}
	return v
}

// observe joins the view with what this process is doing, and shows it to those
// who ask the Manager.
func (w *watch) observe(v view) []Observed {
	standings := v.standings()
	var claims []claim
	for i, d := range v.list {
		orphan := d.Owner == w.m.self.Instance && d.StartID == w.m.self.StartID
		if standings[i] != idle && d.Owner != "" && !orphan {
			claims = append(claims, claim{d.Range, v.expires(d)})
		}
	}

	w.m.mu.Lock()
	w.m.listed, w.m.claims, w.m.live = v.list, claims, v.live
	held := map[string]bool{}
	for id := range w.m.tenures {
		held[id] = true
	}
	notBefore := map[string]time.Time{}
	maps.DeleteFunc(w.m.refused, func(id string, _ bool) bool { _, listed := w.seen[id]; return !listed })
	for id, r := range w.m.resting {
		notBefore[id] = r.until
	}
	w.m.mu.Unlock()

	observed := make([]Observed, 0, len(v.list))
	for i, d := range v.list {
		w.tell(v, d, standings[i])
		replaced := standings[i] == outdated || standings[i] == surplus
		observed = append(observed, Observed{
			Document: d, Since: v.since[d.ID], Patience: v.patience(d), Asked: w.seen[d.ID].asked, Held: held[d.ID], NotBefore: notBefore[d.ID],
			Outdated: replaced && w.settled, Vanished: standings[i] == idle || replaced && !w.settled,
		})
	}
	return observed
}

// tell says once of a document that it is not served as it is.
func (w *watch) tell(v view, d Document, s standing) {
	needed := slices.ContainsFunc(v.live, func(r Range) bool { return d.ID == v.id(r.Token) })
	switch {
	case s == current:
	case s == outdated:
		w.first("outdated "+d.ID, w.m.log.Info, "lease is of a range that was split or merged, it is replaced", zap.String(logkey.Lease, d.Token))
	case s == surplus:
		w.first("surplus "+d.ID, w.m.log.Info, "lease is of a range that others cover, it is deleted", zap.String(logkey.Lease, d.Token))
	case needed && !v.readable(d): // fill tells of it
	case d.Version == Unreadable:
		w.once(d.ID, "lease document is not readable, it is left alone", zap.String(logkey.DocumentID, d.ID))
	case !v.ours(d):
		w.once(d.ID, "lease document has the id of another token, it is left alone",
			zap.String(logkey.DocumentID, d.ID), zap.String(logkey.Lease, d.Token))
	case v.asked:
		w.once(d.ID, "lease is of no range that could be read, it is left alone", zap.String(logkey.Lease, d.Token))
	}
}

// complete creates leases for keys that have none, and replaces documents that
// are in the place of one and of no use. It asks for the live ranges before the
// first lease is taken, and then when a listing is not as it should be.
func (w *watch) complete(ctx context.Context, list []Document) ([]Document, error) {
	if w.m.ranges == nil || w.asked && !w.doubtful(list) {
		return list, nil
	}
	// It reads a page of every range. Meanwhile nobody is answered, and a host
	// without a lease does not renew its record.
	asking, cancel := context.WithTimeout(ctx, max(w.m.cfg.Expiry/2, w.m.cfg.CallTimeout))
	defer cancel()
	live, err := w.m.ranges(asking)
	if err != nil {
		return list, fmt.Errorf("list ranges: %w", err)
	}
	if !covered(whole, rangesOf(live)) {
		return list, fmt.Errorf("list ranges: %w", errPartial)
	}
	w.live, w.asked, w.settled = live, true, true
	w.nextAt = time.Now().Add(w.asking.next(nil))
	v := w.view(time.Now(), list)
	missing := v.missing()
	// The container may have several partitions, of which a listing sees one
	// after the other: a lease that is just being replaced may show neither
	// before nor after, and a replica that lags does not show what is new. A hole
	// is one that all listings show for longer than an interval.
	hole, now := missing.String(), time.Now()
	if hole != w.hole {
		w.hole, w.holeSince = hole, now
	}
	if w.known && hole != "" && now.Sub(w.holeSince) < w.m.cfg.AcquireInterval*3/2 {
		w.nextAt = time.Time{}
		return list, nil
	}
	return w.fill(ctx, list, missing)
}

// doubtful says whether a listing shows a gap, or leases of ranges that are not
// known, and it is time to do something about it.
func (w *watch) doubtful(list []Document) bool {
	unclear := w.view(time.Now(), list).unclear()
	if unclear != w.unclear { // what was of no use for the last time may be for this one
		w.unclear, w.nextAt, w.settled = unclear, time.Time{}, false
		w.asking.reset()
	}
	if unclear == "" {
		w.hole = ""
	}
	return unclear != "" && !time.Now().Before(w.nextAt)
}

// fill does what is to be done for each hole, whatever becomes of the others.
func (w *watch) fill(ctx context.Context, list []Document, g gaps) ([]Document, error) {
	for _, r := range g.wait {
		w.nextAt = earlier(w.nextAt, r.due)
		w.first("wait "+r.from.ID, w.m.log.Info, "lease document cannot be used, it is replaced unless it changes",
			zap.String(logkey.DocumentID, r.from.ID), zap.Int("version", r.from.Version))
	}
	// A hanging account must not hold up the next listing for every range.
	outer := ctx
	ctx, cancel := context.WithTimeout(ctx, 3*w.m.cfg.CallTimeout)
	defer cancel()
	if len(list) == 0 {
		unlock, taken, err := w.m.store.TakeLock(ctx)
		if !taken {
			w.nextAt = time.Time{} // somebody else is at it
			return list, err
		}
		defer func() {
			ctx, cancel := context.WithTimeout(context.WithoutCancel(outer), w.m.cfg.CallTimeout)
			defer cancel()
			unlock(ctx)
		}()
	}
	var problems []error
	for _, d := range g.create {
		d, err := w.write(ctx, w.m.store.Create, d)
		switch {
		case errors.Is(err, ErrConflict): // somebody else did; the next listing has it
		case err != nil:
			problems = append(problems, err)
		default:
			w.m.log.Info("lease created", zap.String(logkey.Lease, d.Token))
			list = append(list, d)
		}
	}
	for _, r := range g.replace {
		d, err := w.write(ctx, w.m.store.Replace, r.document())
		switch {
		case errors.Is(err, ErrConflict), errors.Is(err, ErrNotFound):
			w.nextAt = time.Time{} // the next listing shows what it is now
		case err != nil:
			problems = append(problems, err)
		default:
			w.m.log.Error("lease document could not be used, it was replaced",
				zap.String(logkey.DocumentID, d.ID), zap.String(logkey.Lease, d.Token), zap.String(logkey.Continuation, d.Continuation))
			list = append(slices.DeleteFunc(list, func(o Document) bool { return o.ID == d.ID }), d)
		}
	}
	if len(problems) > 0 {
		w.nextAt = time.Time{} // what is missing must not wait
	}
	return list, errors.Join(problems...)
}

// mark says once, for .NET's hosts and tools, that the leases are made. It decides
// nothing here.
func (w *watch) mark(ctx context.Context, list []Document) {
	if w.marked || w.m.ranges == nil || w.view(time.Now(), list).unclear() != "" {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, w.m.cfg.CallTimeout)
	defer cancel()
	err := w.m.store.Mark(ctx)
	if w.marked = err == nil; !w.marked {
		w.m.log.Debug("leases are not marked as made, trying again", logkey.Error(err))
	}
}

func (w *watch) write(ctx context.Context, write func(context.Context, Document) (Document, error), d Document) (Document, error) {
	d.Timestamp = w.m.now()
	return w.m.try(ctx, write, d)
}

func (w *watch) failed(err error) {
	if !w.away {
		log := w.m.log.Error
		if throttledOrAway(err) {
			log = w.m.log.Info
		}
		log("leases cannot be listed or created, trying again", logkey.Error(err))
	}
	w.away = true
}

func (w *watch) works() {
	if w.away {
		w.m.log.Info("leases can be listed and created again")
	}
	w.away = false
	w.retry.reset()
}

func (w *watch) once(key, message string, fields ...zap.Field) {
	w.first(key, w.m.log.Error, message, fields...)
}

func (w *watch) first(key string, log func(string, ...zap.Field), message string, fields ...zap.Field) {
	const most = 10_000 // ids that anybody can make up
	if len(w.logged) >= most {
		clear(w.logged)
	}
	if !w.logged[key] {
		w.logged[key] = true
		log(message, fields...)
	}
}
