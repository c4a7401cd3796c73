package leases

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/data/azcosmos"
	"go.uber.org/zap"

	"opfeed/internal/logkey"
)

// watch is what the Manager's own goroutine knows from listing the leases again
// and again. Nothing in it is shared.
type watch struct {
	m     *Manager
	retry backoff
	away  bool // the last round failed, for the log

	seen   map[string]sighting // by id
	live   []Range             // as last asked; nil before
	asked  bool
	nextAt time.Time // when Ranges may be asked again
	asking backoff
	logged map[string]bool
}

// sighting is since when a lease has looked the way it does.
type sighting struct {
	owner, startID string
	epoch, renewal int64
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

	observed := w.observe(time.Now(), list)
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

// observe notes what changed since the last listing and joins it with what this
// process is doing. Expiry is measured on the local monotonic clock alone: the
// clock of a peer says nothing.
func (w *watch) observe(now time.Time, list []Document) []Observed {
	w.m.mu.Lock()
	w.m.listed = list
	held := map[string]bool{}
	for id := range w.m.tenures {
		held[id] = true
	}
	notBefore := map[string]time.Time{}
	for id, r := range w.m.resting {
		notBefore[id] = r.until
	}
	w.m.mu.Unlock()

	seen := make(map[string]sighting, len(list))
	observed := make([]Observed, 0, len(list))
	for _, d := range list {
		s := sighting{d.Owner, d.StartID, d.Epoch, d.Renewal, now}
		if before := w.seen[d.ID]; before.same(s) {
			s.since = before.since
		}
		seen[d.ID] = s
		o := Observed{Document: d, Since: s.since, Held: held[d.ID], NotBefore: notBefore[d.ID]}
		o.Vanished = w.check(&o.Document, list)
		observed = append(observed, o)
	}
	w.seen = seen
	return observed
}

func (s sighting) same(t sighting) bool {
	return s.owner == t.owner && s.startID == t.startID && s.epoch == t.epoch && s.renewal == t.renewal &&
		!s.since.IsZero()
}

// check fills in the range of an old document that has none, and says whether
// the lease's range is gone. What cannot be served is said once.
//
// A range that was split, and whose children have no leases, is not gone: it
// cannot be read, but somebody has to look after what is pending in it.
func (w *watch) check(d *Document, list []Document) (vanished bool) {
	switch {
	case d.Version == Unreadable:
		w.once(d.ID, "lease document is not readable, it is left alone", zap.String(logkey.DocumentID, d.ID))
		return true
	case d.Version != VersionRange0:
		w.once(d.ID, "lease document has another version, it is left alone",
			zap.String(logkey.Lease, d.Token), zap.Int("version", d.Version))
		return true
	case !w.asked:
		return d.Range == (azcosmos.FeedRange{}) // cannot be read without one
	}
	i := slices.IndexFunc(w.live, func(r Range) bool { return r.Token == d.Token })
	if i < 0 && d.Range != (azcosmos.FeedRange{}) && !covered(d.Range, leased(w.alive(list), w.live)) {
		w.once("split "+d.ID, "lease is of a range that was split, its changes are found by listing alone", zap.String(logkey.Lease, d.Token))
		return false
	}
	if i < 0 {
		w.once(d.ID, "lease is of a range that does not exist any more, it is left alone", zap.String(logkey.Lease, d.Token))
		return true
	}
	if d.Range == (azcosmos.FeedRange{}) {
		d.Range = w.live[i].Range
	}
	return false
}

// alive gives the leases of live ranges, and those of the other version, which
// have ranges of their own.
func (w *watch) alive(list []Document) []Document {
	return slices.DeleteFunc(slices.Clone(list), func(d Document) bool {
		return d.Version != VersionEPK && !slices.ContainsFunc(w.live, func(r Range) bool { return r.Token == d.Token })
	})
}

// complete creates leases for ranges that have none. It asks for the live ranges
// before the first lease is taken, and then when the leases leave a gap.
func (w *watch) complete(ctx context.Context, list []Document) ([]Document, error) {
	if w.m.ranges == nil || w.asked && (!gap(list, w.live) || time.Now().Before(w.nextAt)) {
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

	create, torn := missing(list, live)
	for _, r := range torn {
		w.once("torn "+r.Token, "range is covered by other leases only in part, no lease is made for it", zap.String(logkey.Lease, r.Token))
	}
	for _, r := range create {
		d, err := w.create(ctx, r)
		switch {
		case errors.Is(err, ErrConflict): // somebody else did; the next listing has it
		case err != nil:
			w.nextAt = time.Time{} // what is missing must not wait
			return list, err
		default:
			w.m.log.Info("lease created", zap.String(logkey.Lease, r.Token))
			list = append(list, d)
		}
	}
	return list, nil
}

func (w *watch) create(ctx context.Context, r Range) (Document, error) {
	ctx, cancel := context.WithTimeout(ctx, w.m.cfg.CallTimeout)
	defer cancel()
	return w.m.store.Create(ctx, Document{
		ID:           w.m.store.ID(r.Token),
		Version:      VersionRange0,
		Token:        r.Token,
		Range:        r.Range,
		Continuation: r.Continuation,
		Timestamp:    w.m.now(),
	})
}

func (w *watch) failed(err error) {
	if !w.away {
		log := w.m.log.Error
		if throttledOrAway(err) {
			log = w.m.log.Info
		}
		log("leases cannot be listed or created, trying again", zap.Error(err))
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
	if !w.logged[key] {
		w.logged[key] = true
		w.m.log.Error(message, fields...)
	}
}
