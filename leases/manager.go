package leases

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"maps"
	mathrand "math/rand/v2"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/data/azcosmos"
	"github.com/sourcegraph/conc"
	"go.uber.org/zap"

	"opfeed/internal/logkey"
)

// Manager takes leases, keeps them, and runs a Serve for each that it holds. Use
// it once. Snapshot and Uncovered are safe for concurrent use.
type Manager struct {
	cfg     Config
	store   *Store
	self    Host
	ranges  func(context.Context) ([]Range, error)
	now     func() time.Time
	log     *zap.Logger
	metrics metrics

	mu      sync.Mutex // never held across I/O or a channel
	ran     bool
	listed  []Document         // the last listing
	live    []Range            // as last asked; nil while not known
	claims  []claim            // of others, as of the last listing
	tenures map[string]*Tenure // by lease id; nil while it is being acquired
	resting map[string]rest    // leases whose Serve returned by itself
	refused map[string]bool    // leases that could not be taken the last time
	asking  map[string]bool    // leases that were asked for, by id
	heard   bool               // an acquisition got its reply since the last round
	unheard map[string]int64   // epochs of acquisitions that got no reply, by lease id

	early chan struct{} // there is a reason to list now
}

// rest is how long, and until when, a lease is not taken after Serve failed.
type rest struct {
	retry  backoff
	until  time.Time
	logged string // the failure that was logged last
}

// claim is a lease that somebody else owns and, unless it changes, until when.
type claim struct {
	rng   azcosmos.FeedRange
	until time.Time
}

// errSibling ends the other tenures when one of them panicked.
var errSibling = errors.New("another range's serve panicked")

// longestInstance is as long as a host's name may be, in bytes.
const longestInstance = 255

// NewManager checks the configuration. It does no I/O and starts nothing.
func NewManager(cfg Config, deps Deps) (*Manager, error) {
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("new lease manager: %w", err)
	}
	if deps.Store == nil || deps.Instance == "" {
		return nil, errors.New("new lease manager: it needs a store and an instance name")
	}
	if len(deps.Instance) > longestInstance || !utf8.ValidString(deps.Instance) || strings.ContainsFunc(deps.Instance, unicode.IsControl) {
		// It would not come back from a document as it was, or make none.
		return nil, fmt.Errorf("new lease manager: instance name %.40q must be text of at most %d bytes without control characters",
			deps.Instance, longestInstance)
	}
	if deps.Store.prefix == "" || strings.ContainsAny(deps.Store.prefix, forbidden) {
		return nil, fmt.Errorf("new lease manager: prefix %q is empty or has one of %s", deps.Store.prefix, forbidden)
	}
	m := &Manager{
		cfg:     cfg,
		store:   deps.Store,
		self:    Host{Instance: deps.Instance, StartID: rand.Text()},
		ranges:  deps.Ranges,
		now:     deps.Now,
		log:     cmp.Or(deps.Log, zap.NewNop()),
		tenures: map[string]*Tenure{},
		resting: map[string]rest{},
		refused: map[string]bool{},
		asking:  map[string]bool{},
		unheard: map[string]int64{},
		early:   make(chan struct{}, 1),
	}
	if m.now == nil {
		m.now = time.Now
	}
	var err error
	if m.metrics, err = newMetrics(deps.Metrics); err != nil {
		return nil, fmt.Errorf("new lease manager: %w", err)
	}
	return m, nil
}

// Run creates the missing leases, takes free and expired ones, asks those that
// have more than their share for some of theirs, hands over what it is asked for,
// and runs serve once per tenure, each in its own goroutine, until ctx ends. Then
// it hands its leases over to other hosts, if there are any, stops the tenures,
// and returns nil after all leases were given away or lost. It stays up while
// Cosmos DB is away. A panic of serve stops the other tenures and is raised again
// here.
func (m *Manager) Run(ctx context.Context, serve Serve) error {
	m.mu.Lock()
	again := m.ran
	m.ran = true
	m.mu.Unlock()
	if again {
		return errors.New("run lease manager: it has run before")
	}
	// The tenures outlast ctx until their leases have found other hosts.
	group, stop := context.WithCancelCause(context.WithoutCancel(ctx))
	ctx, cancel := context.WithCancel(ctx)
	context.AfterFunc(group, cancel)
	var running conc.WaitGroup
	defer func() {
		cancel()
		stop(context.Canceled)
		running.Wait()
	}()

	watch := newWatch(m)
	take := func(d Document, outdated bool) {
		if !m.claim(d.ID) {
			return
		}
		running.Go(func() {
			clean := false
			defer func() {
				m.unclaim(d.ID)
				if !clean {
					stop(errSibling)
				}
			}()
			if outdated {
				m.hold(group, d, func(context.Context, context.Context, *Tenure) error { return ErrOutdated })
			} else {
				m.hold(group, d, serve)
			}
			clean = true
		})
	}
	request := func(d Document) {
		if m.ask(d.ID, true) {
			running.Go(func() {
				defer m.ask(d.ID, false)
				m.pursue(ctx, d, func(d Document) { take(d, false) })
			})
		}
	}
	for ctx.Err() == nil {
		wait := watch.round(ctx, take, request)
		select {
		case <-time.After(wait):
		case <-m.early:
		case <-ctx.Done():
		}
	}
	watch.leave(group)
	running.Go(func() { watch.withdraw(context.WithoutCancel(ctx)) })
	return nil
}

// Snapshot lists every lease as it was last seen, own ones as they are, by
// token.
func (m *Manager) Snapshot() []Info {
	m.mu.Lock()
	listed := slices.Clone(m.listed)
	own := map[string]*Tenure{}
	for id, t := range m.tenures {
		if t != nil {
			own[id] = t
		}
	}
	m.mu.Unlock()

	infos := make([]Info, 0, len(listed))
	for _, d := range listed {
		if own[d.ID] == nil {
			infos = append(infos, Info{ID: d.ID, Token: d.Token, Version: d.Version, Range: d.Range,
				Owner: d.Owner, Epoch: d.Epoch, Continuation: d.Continuation, Renewed: d.Timestamp})
		}
	}
	for _, t := range own {
		infos = append(infos, t.info(m.self.Instance))
	}
	slices.SortFunc(infos, func(a, b Info) int {
		return cmp.Or(cmp.Compare(len(a.Token), len(b.Token)), cmp.Compare(a.Token, b.Token), cmp.Compare(a.ID, b.ID))
	})
	return infos
}

// Uncovered gives the live ranges that nobody is serving at this moment, as far
// as this Manager can see: their leases are free, have expired on its clock, do
// not exist, or are own ones that it does not hold. A range shows up for a
// moment whenever its lease changes hands. While the live ranges are not known
// the key space counts as one. Empty means that all is well.
func (m *Manager) Uncovered() []azcosmos.FeedRange {
	now := time.Now()
	m.mu.Lock()
	live := m.live
	var have []azcosmos.FeedRange
	for _, c := range m.claims {
		if now.Before(c.until) {
			have = append(have, c.rng)
		}
	}
	own := slices.Collect(maps.Values(m.tenures))
	m.mu.Unlock()
	for _, t := range own {
		if t != nil && t.Trusted() == nil {
			have = append(have, t.Range())
		}
	}
	if len(live) == 0 {
		live = []Range{{Range: whole}}
	}
	var open []azcosmos.FeedRange
	for _, r := range live {
		if !covered(r.Range, have) {
			open = append(open, r.Range)
		}
	}
	return open
}

// hold acquires one lease and keeps it until serve has returned.
func (m *Manager) hold(ctx context.Context, d Document, serve Serve) {
	if ctx.Err() != nil {
		m.retract(context.WithoutCancel(ctx), d.ID) // it may have been given to us
		return
	}
	log := m.log.With(zap.String(logkey.Lease, d.Token))
	// From here on a shutdown must know the outcome of the write, else the
	// lease would be held by nobody until it expires.
	detached := context.WithoutCancel(ctx)
	started := time.Now()
	lease, err := m.acquire(detached, d)
	until := started.Add(m.cfg.window())
	m.hear(d.ID, d.Epoch+1, err == nil && time.Now().Before(until))
	if changed := errors.Is(err, ErrConflict) || errors.Is(err, ErrNotFound); err != nil {
		if !changed {
			m.metrics.writeFailures.Inc()
		}
		if !changed && m.failing(d.ID, true) {
			log.Info("lease could not be taken, trying again", logkey.Error(err))
			m.poke() // it may be ours, and nobody serves it
		}
		return // the next listing shows what became of it
	}
	m.failing(d.ID, false)
	if !time.Now().Before(until) {
		return // the reply took so long that it proves nothing
	}
	log = log.With(zap.Int64(logkey.Epoch, lease.Epoch))
	log.Info("lease taken", zap.String(logkey.Continuation, lease.Continuation))
	m.metrics.acquisitions.Inc()
	m.metrics.owned.Inc()

	work, loseWork := context.WithCancelCause(detached)
	stop, loseStop := context.WithCancelCause(ctx)
	defer loseWork(context.Canceled)
	defer loseStop(context.Canceled)
	t := newTenure(lease, until, func(cause error) {
		loseWork(cause)
		loseStop(cause)
		m.metrics.owned.Dec()
		m.metrics.lost.Inc()
		log.Info("lease lost, its work is cancelled")
	}, loseStop)
	m.hand(lease.ID, t)
	w := &writer{m: m, t: t, log: log, stored: lease,
		retry: newBackoff(250*time.Millisecond, min(2*time.Second, m.cfg.RenewInterval))}
	m.serve(ctx, stop, work, w, started, serve)
}

// serve runs the user's func beside the writer, and settles the lease after it.
// leaving ends with the Manager's Run.
func (m *Manager) serve(leaving, stop, work context.Context, w *writer, acquired time.Time, serve Serve) {
	var (
		served   = make(chan struct{})
		err      error
		returned bool
		inner    conc.WaitGroup
	)
	defer w.t.lose() // after a panic: as if the process had died
	inner.Go(func() {
		defer close(served)
		err = serve(stop, work, w.t)
		returned = true
	})
	w.keep(work, acquired, served)
	inner.Wait() // raises serve's panic
	if !returned {
		return // runtime.Goexit, as by a test that failed
	}
	if errors.Is(err, ErrOutdated) || errors.Is(context.Cause(stop), ErrOutdated) {
		if err = w.succeed(work, leaving); err == nil {
			m.metrics.owned.Dec()
			m.poke()
			return
		}
	}
	if stop.Err() == nil {
		m.rest(w, acquired, err)
	}
	// A shutdown has no say in this last write; losing the lease ends work.
	if !w.giveBack(work) {
		return
	}
	m.metrics.owned.Dec()
	if heir := w.stored.Owner; heir != "" {
		m.metrics.handedOver.Inc()
		w.log.Info("lease handed over", zap.String(logkey.Owner, heir), zap.String(logkey.Continuation, w.stored.Continuation))
		return
	}
	w.log.Info("lease given back", zap.String(logkey.Continuation, w.stored.Continuation))
}

// rest keeps this process from taking a lease again at once when serve returned
// without being asked to. A failure that repeats itself is said once.
func (m *Manager) rest(w *writer, acquired time.Time, err error) {
	id := w.t.lease.ID
	m.mu.Lock()
	r, known := m.resting[id]
	if !known || time.Since(acquired) > m.cfg.Expiry {
		r.retry, r.logged = newBackoff(time.Second, m.cfg.Expiry), ""
	}
	before := r.logged
	r.logged = failure(err)
	wait := r.retry.next(nil)
	r.until = time.Now().Add(wait)
	m.resting[id] = r
	// What rested longer ago begins anew as if it never had.
	maps.DeleteFunc(m.resting, func(_ string, r rest) bool { return time.Since(r.until) > m.cfg.Expiry })
	m.mu.Unlock()
	if err != nil {
		log := w.log.Error
		if failure(err) == before {
			log = w.log.Debug
		}
		log("range failed, its lease is given back", logkey.Error(err), zap.Duration("rest", wait))
	}
}

// failure names an error without what differs each time, such as the id of a
// request; "" is none.
func failure(err error) string {
	if err == nil {
		return ""
	}
	if reply, ok := errors.AsType[*azcore.ResponseError](err); ok {
		return fmt.Sprintf("answered %d %s", reply.StatusCode, reply.ErrorCode)
	}
	return err.Error()
}

// failing notes whether taking a lease fails and says whether that is new.
func (m *Manager) failing(id string, now bool) (changed bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	changed = m.refused[id] != now
	if now {
		m.refused[id] = true
	} else {
		delete(m.refused, id)
	}
	return changed
}

func (m *Manager) acquire(ctx context.Context, d Document) (Document, error) {
	ctx, cancel := context.WithTimeout(ctx, m.cfg.CallTimeout)
	defer cancel()
	d.Owner, d.StartID = m.self.Instance, m.self.StartID
	d.Epoch++
	d.Renewal = 0
	d.Request, d.Offer = "", ""
	d.Timestamp = m.now()
	return m.store.Replace(ctx, d)
}

// hear notes whether an acquisition got its reply in time.
func (m *Manager) hear(id string, epoch int64, heard bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if heard {
		clear(m.unheard)
		m.heard = true
	} else {
		m.unheard[id] = epoch
	}
}

// claim marks a lease as being taken by this Manager.
func (m *Manager) claim(id string) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, held := m.tenures[id]; held {
		return false
	}
	m.tenures[id] = nil
	return true
}

// ask notes whether a lease is being asked for and says whether that is new.
func (m *Manager) ask(id string, now bool) (changed bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	changed = m.asking[id] != now
	if now {
		m.asking[id] = true
	} else {
		delete(m.asking, id)
	}
	return changed
}

// poke makes the next listing come now.
func (m *Manager) poke() {
	select {
	case m.early <- struct{}{}:
	default: // it has been told
	}
}

func (m *Manager) hand(id string, t *Tenure) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.tenures[id] = t
}

func (m *Manager) unclaim(id string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.tenures, id)
}

// window is how long after its start a successful write is trusted.
func (c Config) window() time.Duration { return c.Expiry - c.Margin }

// sleep waits for d, or for the end of ctx.
func sleep(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// spread gives d ± a tenth, so that replicas do not march in step.
func spread(d time.Duration) time.Duration {
	return d - d/10 + mathrand.N(d/5+1)
}
