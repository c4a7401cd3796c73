package leases

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
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

	seen    map[string]sighting // by id
	live    []Range             // as last asked; nil before
	asked   bool
	lacking string    // what no lease covered when Ranges was last thought of
	nextAt  time.Time // when Ranges may be asked again while that is the same
	asking  backoff
	logged  map[string]bool
}

// sighting is since when a lease has looked the way it does.
type sighting struct {
	owner, startID string
	epoch, renewal int64
	etag           string // of documents that have no renewal of ours
	since          time.Time
}

func newWatch(m *Manager) *watch {
	return &watch{
		m:      m,
		retry:  newBackoff(200*time.Millisecond, 5*time.Second),
		asking: newBackoff(5*time.Second, 2*time.Minute),
		seen:   map[string]sighting{},
		logged: map[string]bool{},
	}
}

// round lists the leases, creates what is missing, gives take what is to be
// taken, and says how long to wait before the next one.
func (w *watch) round(ctx context.Context, take func(Document)) time.Duration {
	wait := spread(w.m.cfg.AcquireInterval)
	list, err := w.list(ctx)
	listed := err == nil
	if listed {
		w.sight(time.Now(), list)
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
	if !listed || w.m.ranges != nil && !w.asked {
		return wait
	}

	w.sight(time.Now(), list) // what was made just now, too
	observed := w.observe(w.view(time.Now(), list))
	byID := map[string]Document{}
	for _, o := range observed {
		byID[o.Document.ID] = o.Document
	}
	ids := Plan(time.Now(), w.m.self, observed, w.m.cfg.Expiry)
	// Two that start together would else race for each lease in turn.
	rand.Shuffle(len(ids), func(i, j int) { ids[i], ids[j] = ids[j], ids[i] })
	for _, id := range ids {
		take(byID[id])
	}
	return wait
}

func (w *watch) list(ctx context.Context) ([]Document, error) {
	// A listing may take several pages.
	ctx, cancel := context.WithTimeout(ctx, 3*w.m.cfg.CallTimeout)
	defer cancel()
	return w.m.store.List(ctx)
}

// sight notes what changed since the last listing. Expiry is measured on the
// local monotonic clock alone: the clock of a peer says nothing.
func (w *watch) sight(now time.Time, list []Document) {
	seen := make(map[string]sighting, len(list))
	for _, d := range list {
		s := sighting{owner: d.Owner, startID: d.StartID, epoch: d.Epoch, renewal: d.Renewal, since: now}
		if d.Version != VersionRange0 || d.ID != w.m.store.ID(d.Token) {
			s.etag = d.ETag
		}
		if before := w.seen[d.ID]; before.same(s) {
			s.since = before.since
		}
		seen[d.ID] = s
	}
	w.seen = seen
}

func (s sighting) same(t sighting) bool {
	return s.owner == t.owner && s.startID == t.startID && s.epoch == t.epoch && s.renewal == t.renewal &&
		s.etag == t.etag && !s.since.IsZero()
}

// view joins a list with what is known of it. A lease of a live range has that
// range, whatever it says: the range of an id never changes.
func (w *watch) view(now time.Time, list []Document) view {
	v := view{
		now: now, expiry: w.m.cfg.Expiry, id: w.m.store.ID,
		list: slices.Clone(list), since: make(map[string]time.Time, len(list)),
		live: w.live, asked: w.asked,
	}
	for i, d := range v.list {
		v.since[d.ID] = w.seen[d.ID].since
		live := slices.IndexFunc(w.live, func(r Range) bool { return r.Token == d.Token })
		if live >= 0 && v.serves(d) {
			v.list[i].Range = w.live[live].Range
		}
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
	for id, r := range w.m.resting {
		notBefore[id] = r.until
	}
	w.m.mu.Unlock()

	observed := make([]Observed, 0, len(v.list))
	for i, d := range v.list {
		w.tell(v, d, standings[i])
		observed = append(observed, Observed{
			Document: d, Since: v.since[d.ID], Held: held[d.ID], NotBefore: notBefore[d.ID],
			Vanished: standings[i] != served && standings[i] != parent,
		})
	}
	return observed
}

// tell says once of a document that it is not served, or not as it should be.
//
// A range that was split, and whose children have no leases, cannot be read, but
// somebody has to look after what is pending in it.
func (w *watch) tell(v view, d Document, s standing) {
	needed := slices.ContainsFunc(v.live, func(r Range) bool { return d.ID == v.id(r.Token) })
	switch {
	case s == served:
	case s == parent:
		w.once("split "+d.ID, "lease is of a range that was split, its changes are found by listing alone", zap.String(logkey.Lease, d.Token))
	case needed && s == idle: // fill tells of it
	case d.Version == Unreadable:
		w.once(d.ID, "lease document is not readable, it is left alone", zap.String(logkey.DocumentID, d.ID))
	case d.Version != VersionRange0:
		w.once(d.ID, "lease document has another version, it is left alone",
			zap.String(logkey.Lease, d.Token), zap.Int("version", d.Version))
	case !v.ours(d):
		w.once(d.ID, "lease document has the id of another token, it is left alone",
			zap.String(logkey.DocumentID, d.ID), zap.String(logkey.Lease, d.Token))
	case v.asked:
		w.once(d.ID, "lease is of a range that does not exist any more, it is left alone", zap.String(logkey.Lease, d.Token))
	}
}

// complete creates leases for ranges that have none, and replaces documents that
// are in the place of one and of no use. It asks for the live ranges before the
// first lease is taken, and then when the leases leave a gap.
func (w *watch) complete(ctx context.Context, list []Document) ([]Document, error) {
	if w.m.ranges == nil || w.asked && !w.gap(list) {
		return list, nil
	}
	// It may read a page of every range.
	asking, cancel := context.WithTimeout(ctx, max(time.Minute, w.m.cfg.CallTimeout))
	defer cancel()
	live, err := w.m.ranges(asking)
	if err != nil {
		return list, fmt.Errorf("list ranges: %w", err)
	}
	w.live, w.asked = live, true
	w.nextAt = time.Now().Add(w.asking.next(nil))
	return w.fill(ctx, list, w.view(time.Now(), list).missing())
}

// gap says whether the leases leave part of the key space to nobody and it is
// time to do something about it.
func (w *watch) gap(list []Document) bool {
	lacking := w.view(time.Now(), list).lacking()
	if lacking != w.lacking { // what was of no use for the last gap may be for this one
		w.lacking, w.nextAt = lacking, time.Time{}
		w.asking.reset()
	}
	return lacking != "" && !time.Now().Before(w.nextAt)
}

// fill does what is to be done for each range, whatever becomes of the others.
func (w *watch) fill(ctx context.Context, list []Document, g gaps) ([]Document, error) {
	for _, r := range g.torn {
		w.once("torn "+r.Token, "range is covered by other leases only in part, no lease is made for it", zap.String(logkey.Lease, r.Token))
	}
	for _, r := range g.wait {
		w.nextAt = earlier(w.nextAt, r.due)
		w.first("wait "+r.from.ID, w.m.log.Info, "lease document cannot be used, it is replaced unless it changes",
			zap.String(logkey.DocumentID, r.from.ID), zap.Int("version", r.from.Version))
	}
	// A hanging account must not hold up the next listing for every range.
	ctx, cancel := context.WithTimeout(ctx, 3*w.m.cfg.CallTimeout)
	defer cancel()
	var problems []error
	for _, r := range g.create {
		d, err := w.write(ctx, w.m.store.Create, Document{
			ID: w.m.store.ID(r.Token), Version: VersionRange0, Token: r.Token, Range: r.Range, Continuation: r.Continuation,
		})
		switch {
		case errors.Is(err, ErrConflict): // somebody else did; the next listing has it
		case err != nil:
			problems = append(problems, err)
		default:
			w.m.log.Info("lease created", zap.String(logkey.Lease, r.Token))
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

func (w *watch) write(ctx context.Context, write func(context.Context, Document) (Document, error), d Document) (Document, error) {
	ctx, cancel := context.WithTimeout(ctx, w.m.cfg.CallTimeout)
	defer cancel()
	d.Timestamp = w.m.now()
	return write(ctx, d)
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
	if !w.logged[key] {
		w.logged[key] = true
		log(message, fields...)
	}
}
