package processor

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/data/azcosmos"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/sourcegraph/conc"
	"go.uber.org/zap"

	"opfeed/leases"
	"opfeed/processor/dispatch"
	"opfeed/processor/feed"
)

// Action says what becomes of an item of the feed.
type Action uint8

// The actions.
const (
	// Skip passes an item over in silence: it is none of the handler's.
	Skip Action = iota
	// Drop passes over a deleted item; if its key is pending it is read anew.
	Drop
	// Take hands it to Handle.
	Take
	// Poison puts it into quarantine without a step.
	Poison
)

// Route is where an item goes. Key may be incomplete for Skip and Poison.
type Route struct {
	Action Action
	Key    dispatch.Key
	Reason string // for Poison
}

// PendingRequest asks for a list of what is pending.
type PendingRequest struct {
	// Session is the token under which to read, so that a replica that lags
	// behind the feed hides nothing; one token for each range, by commas.
	Session string
	// Documents asks for whole documents, not only for ids and versions.
	Documents bool
}

// Handler is what the engine works for. The functions must be safe for
// concurrent use.
type Handler struct {
	// Route looks at an item, purely and cheaply. A panic is Poison.
	Route func(document []byte) Route
	// Handle runs one step; see dispatch.Handle.
	Handle dispatch.Handle
	// Pending lists all that is pending in the whole container and hands each
	// to yield; nil means that nothing is ever pending. Changes need Key and
	// ETag; Written stays zero where the version's age says nothing about the
	// feed.
	Pending func(ctx context.Context, req PendingRequest, yield func(dispatch.Change)) error
}

// Deps is what a Processor works with; all but Now, Log and Metrics are mandatory.
// Give it containers of a client that has reached the account once: azcosmos
// answers from memory for five minutes when its first contact has failed.
type Deps struct {
	// Monitored is the container whose change feed is read. Its partition key is
	// one path with string values and the hash of version 2, as every container
	// has that was made since 2019 and has no hierarchical key: from it follows
	// which range a listed change belongs to.
	Monitored *azcosmos.ContainerClient
	// Leases holds lease documents and quarantine records: partition key /id,
	// time to live switched on.
	Leases *azcosmos.ContainerClient
	// LeasePrefix begins the id of every document there; see leases.Prefix.
	LeasePrefix string
	// Instance names this replica in its leases.
	Instance string
	// Now is the wall clock for the leases' timestamp; default time.Now.
	Now     func() time.Time
	Log     *zap.Logger
	Metrics prometheus.Registerer
}

// Processor reads the ranges whose leases it holds and runs the handler.
type Processor struct {
	cfg        Config
	handler    Handler
	log        *zap.Logger
	instance   string
	started    time.Time
	reader     *feed.Reader
	manager    *leases.Manager
	gate       *dispatch.Gate
	aside      *dispatch.Gate
	quarantine *quarantine
	metrics    *metrics

	mu        sync.Mutex
	tenures   map[string]*tenure // by lease token
	lastList  time.Time
	openSince time.Time // since when some range has had no owner
}

// New returns a processor that does nothing until Run.
func New(cfg Config, lease leases.Config, handler Handler, deps Deps) (*Processor, error) {
	if err := errors.Join(cfg.Validate(), lease.Validate()); err != nil {
		return nil, fmt.Errorf("configure processor: %w", err)
	}
	if handler.Route == nil || handler.Handle == nil {
		return nil, errors.New("configure processor: Route and Handle are mandatory")
	}
	if deps.Monitored == nil || deps.Leases == nil || deps.LeasePrefix == "" || deps.Instance == "" {
		return nil, errors.New("configure processor: Monitored, Leases, LeasePrefix and Instance are mandatory")
	}
	if deps.Log == nil {
		deps.Log = zap.NewNop()
	}
	m, err := newMetrics(deps.Metrics)
	if err != nil {
		return nil, err
	}
	p := &Processor{
		cfg:        cfg,
		handler:    handler,
		log:        deps.Log,
		instance:   deps.Instance,
		reader:     feed.NewReader(deps.Monitored, cfg.PageSize, cfg.ReadTimeout),
		gate:       dispatch.NewGate(cfg.Looks),
		aside:      dispatch.NewGate(cfg.Aside),
		quarantine: newQuarantine(deps.Leases, deps.LeasePrefix, deps.Instance, cfg.QuarantineTTL),
		metrics:    m,
		tenures:    map[string]*tenure{},
	}
	p.manager, err = leases.NewManager(lease, leases.Deps{
		Store:    leases.NewStore(deps.Leases, deps.LeasePrefix),
		Instance: deps.Instance,
		Ranges:   p.liveRanges,
		Now:      deps.Now,
		Log:      deps.Log,
		Metrics:  deps.Metrics,
	})
	if err != nil {
		return nil, err
	}
	return p, m.collect(p.gather)
}

// Run holds leases and serves their ranges until ctx ends; then it stops
// reading, lets work drain, stores positions, gives the leases back and returns
// nil. It may be called once.
func (p *Processor) Run(ctx context.Context) error {
	p.mu.Lock()
	p.started = time.Now()
	p.mu.Unlock()
	var group conc.WaitGroup
	defer group.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	group.Go(func() { p.backstop(ctx) })
	return p.manager.Run(ctx, p.serve)
}

// liveRanges names the physical ranges, each with a first position for a new
// lease, so that nothing is missed between making a lease and taking it.
//
// What azcosmos has cached may be long gone. It notices when it reads, and so each
// range is read; the answer is what the cache was before and after.
func (p *Processor) liveRanges(ctx context.Context) ([]leases.Range, error) {
	const tries = 4 // splits that happen meanwhile
	for range tries {
		ranges, err := p.reader.Ranges(ctx)
		if err != nil {
			return nil, err
		}
		live, err := p.firstPositions(ctx, ranges)
		if split := (*feed.SplitError)(nil); errors.As(err, &split) {
			continue
		}
		if err != nil {
			return nil, err
		}
		if after, err := p.reader.Ranges(ctx); err != nil {
			return nil, err
		} else if slices.Equal(ranges, after) {
			return live, nil
		}
	}
	return nil, errors.New("list ranges: they change all the time")
}

func (p *Processor) firstPositions(ctx context.Context, ranges []azcosmos.FeedRange) ([]leases.Range, error) {
	live := make([]leases.Range, 0, len(ranges))
	for _, r := range ranges {
		// The range's id is known from a read alone; this one starts from now.
		page, err := p.reader.Read(ctx, r, feed.Now)
		if err != nil {
			return nil, fmt.Errorf("read first position: %w", err)
		}
		l := leases.Range{Token: page.RangeID, Range: r}
		if p.cfg.Start == (Start{}) {
			l.Continuation = page.Continuation
		}
		live = append(live, l)
	}
	return live, nil
}

// held returns the tenures of this moment in the order of their tokens.
func (p *Processor) held() []*tenure {
	p.mu.Lock()
	defer p.mu.Unlock()
	out := make([]*tenure, 0, len(p.tenures))
	for _, token := range slices.Sorted(maps.Keys(p.tenures)) {
		out = append(out, p.tenures[token])
	}
	return out
}

// route is Handler.Route with its panics caught.
func (p *Processor) route(document []byte) (r Route) {
	defer func() {
		if v := recover(); v != nil {
			r = Route{Action: Poison, Reason: fmt.Sprintf("route panicked: %.200v", v)}
		}
	}()
	return p.handler.Route(document)
}
