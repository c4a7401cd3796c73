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

	"github.com/Azure/azure-sdk-for-go/sdk/data/azcosmos"
	"github.com/sourcegraph/conc"
	"go.uber.org/zap"
)

// Manager takes leases, keeps them, and runs a Serve for each that it holds. Use
// it once. Snapshot and Uncovered are safe for concurrent use.
type Manager struct {
	cfg     Config
	store   *Store
	self    Host
	page    string
	ranges  func(context.Context) ([]Range, error)
	now     func() time.Time
	chance  chance
	log     *zap.Logger
	metrics metrics

	mu      sync.Mutex // never held across I/O or a channel
	ran     bool
	listed  []Document         // the last listing
	live    []Range            // as last asked; nil while not known
	claims  []claim            // of others, as of the last listing
	met     map[string]present // hosts without a lease, as of the last listing
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
	if deps.Page != "" {
		if err := CheckPage(deps.Page); err != nil {
			return nil, fmt.Errorf("new lease manager: page %w", err)
		}
	}
	m := &Manager{
		cfg:     cfg,
		store:   deps.Store,
		self:    Host{Instance: deps.Instance, StartID: rand.Text()},
		page:    deps.Page,
		ranges:  deps.Ranges,
		now:     deps.Now,
		chance:  mathrand.N[time.Duration],
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
				Owner: d.Owner, Epoch: d.Epoch, Continuation: d.Continuation, Renewed: d.Timestamp, Page: d.Page})
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

// Hosts gives the other hosts that hold no lease, as of the last listing, by name.
func (m *Manager) Hosts() []Presence {
	m.mu.Lock()
	met := m.met
	m.mu.Unlock()
	var list []Presence
	for _, p := range met {
		if time.Since(p.since) < m.cfg.Expiry {
			list = append(list, p.Presence)
		}
	}
	slices.SortFunc(list, func(a, b Presence) int {
		return cmp.Or(cmp.Compare(a.Instance, b.Instance), cmp.Compare(a.StartID, b.StartID))
	})
	return list
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

// end ends a tenure as a stop does.
func (m *Manager) end(id string, cause error) {
	if t := m.tenure(id); t != nil {
		t.end(cause)
	}
}

// give ends a tenure whose lease another host has asked for.
func (m *Manager) give(id string, h Host) {
	if t := m.tenure(id); t != nil {
		t.handOver(h)
	}
}

// tenure gives that of a held lease, or nil.
func (m *Manager) tenure(id string) *Tenure {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.tenures[id]
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
