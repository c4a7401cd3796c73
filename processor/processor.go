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
	"github.com/sourcegraph/conc/pool"
	"go.opentelemetry.io/otel/trace"
	"go.uber.org/zap"

	"opfeed/internal/tracing"
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
	Reason string         // for Poison
	Fault  dispatch.Fault // its class
}

// PendingRequest asks for a list of what is pending.
type PendingRequest struct {
	// Session is the token under which to read, so that a replica that lags
	// behind the feed hides nothing; one token for each range, by commas.
	Session string
	// Documents asks for whole documents, not only for ids and versions.
	Documents bool
}

// Handler is what the engine works for; Each makes one of a single function. The
// functions must be safe for concurrent use.
type Handler struct {
	// Route looks at an item, purely and cheaply. A panic is Poison.
	Route func(document []byte) Route
	// Handle runs one step; see dispatch.Handle. Without Pending nothing but the
	// feed brings a change back after a crash, so that it counts as handled, and
	// positions after it are stored, only when no step is owed to it any more: it
	// is done, left alone, quarantined, or a newer version took its place. With
	// Pending its first step is enough, even one that failed.
	Handle dispatch.Handle
	// Pending lists all that is pending in the whole container and hands each
	// to yield. Changes need Key and ETag; Written stays zero where the version's
	// age says nothing about the feed. Nil: see Handle.
	Pending func(ctx context.Context, req PendingRequest, yield func(dispatch.Change)) error

	each func(context.Context, Item) error // the others are made of it when the container is known
}

// Deps is what a Processor works with: the two containers, what the processor and
// this replica of it are called, and where the account is.
//
// If the account cannot be reached at first Run tries on. But azcosmos remembers
// that its client's first contact has failed and answers from memory for five
// minutes: who cannot wait gives containers of a client that has reached the
// account once, or makes a new client for each try.
type Deps struct {
	// Monitored is the container whose change feed is read. With Each its
	// partition key may be of any kind. Another Handler names a partition by one
	// string, so that the key must be one path with string values: from it
	// follows which range a listed change belongs to.
	Monitored *azcosmos.ContainerClient
	// Leases holds lease documents and quarantine records: partition key /id,
	// time to live -1, which is on without a default. Several processors may share
	// it, but it must not be the monitored one.
	Leases *azcosmos.ContainerClient
	// Name names the processor: those that share the work have one name, and each
	// name is told of all changes. It must have none of '/\?#.
	Name string
	// Instance names this replica in its leases, such as the host does.
	Instance string
	// Page is where people find this replica's page, which the others link to: an
	// http or https URL, or "" for none.
	Page string
	// Endpoint is the account's address as the client was given it
	// (azcosmos.Client.Endpoint), the same for all replicas: its host is a part of
	// the leases' ids, as .NET's tools expect it.
	Endpoint string
	// LeasePrefix takes the place of Name and Endpoint, for those who have read
	// what it is made of; see leases.Prefix. The containers are not checked then,
	// and the monitored one, unless Each has to know it, is taken to have the hash
	// of version 2.
	LeasePrefix string
	// Now is the wall clock for the leases' timestamp; default time.Now.
	Now func() time.Time
	// Log may be nil.
	Log *zap.Logger
	// Metrics may be nil. Two processors of one process share a registry by
	// prometheus.WrapRegistererWith, each with a label of its own.
	Metrics prometheus.Registerer
	// Tracing makes spans of pages and steps; a handler finds that of its step in
	// its context. Nil: none.
	Tracing trace.TracerProvider
}

// Processor reads the ranges whose leases it holds and runs the handler.
type Processor struct {
	cfg        Config
	lease      leases.Config
	deps       Deps
	handler    Handler // whole once open has returned
	keys       keys    // the same
	log        *zap.Logger
	instance   string
	started    time.Time
	reader     *feed.Reader
	gate       *dispatch.Gate
	aside      *dispatch.Gate
	quarantine *quarantine
	metrics    *metrics
	tracer     *tracing.Tracer // nil: none
	registered *registrations

	mu        sync.Mutex
	ran       bool
	manager   *leases.Manager    // nil until the leases' prefix is known
	tenures   map[string]*tenure // by lease token
	lastList  time.Time
	reads     bool      // this process has read each range once
	openSince time.Time // since when some range has had no owner
}

// New returns a processor that does nothing until Run.
func New(cfg Config, lease leases.Config, handler Handler, deps Deps) (*Processor, error) {
	if err := errors.Join(cfg.Validate(), lease.Validate()); err != nil {
		return nil, fmt.Errorf("configure processor: %w", err)
	}
	if handler.each == nil && (handler.Route == nil || handler.Handle == nil) {
		return nil, errors.New("configure processor: the handler needs a function for Each, or Route and Handle")
	}
	if err := deps.check(); err != nil {
		return nil, fmt.Errorf("configure processor: %w", err)
	}
	if deps.Log == nil {
		deps.Log = zap.NewNop()
	}
	registered := &registrations{Registerer: deps.Metrics}
	m, err := newMetrics(registered)
	if err != nil {
		registered.withdraw()
		return nil, err
	}
	p := &Processor{
		cfg:        cfg,
		lease:      lease,
		deps:       deps,
		handler:    handler,
		keys:       stringKeys,
		log:        deps.Log,
		instance:   deps.Instance,
		reader:     feed.NewReader(deps.Monitored, cfg.PageSize, cfg.ReadTimeout),
		gate:       dispatch.NewGate(cfg.Looks),
		aside:      dispatch.NewGate(cfg.Aside),
		quarantine: newQuarantine(deps.Leases, deps.LeasePrefix, deps.Instance, cfg.QuarantineTTL),
		metrics:    m,
		tracer:     tracing.New(deps.Tracing, "processor"),
		registered: registered,
		tenures:    map[string]*tenure{},
	}
	if deps.LeasePrefix != "" {
		err = p.lead(deps.LeasePrefix)
	}
	if err = errors.Join(err, m.collect(p.gather), m.register(newRangeCollector(p))); err != nil {
		registered.withdraw()
		return nil, err
	}
	return p, nil
}

// check reports what is missing, all at once.
func (d Deps) check() error {
	var errs []error
	for _, need := range []struct {
		name  string
		given bool
	}{{"Monitored", d.Monitored != nil}, {"Leases", d.Leases != nil}, {"Instance", d.Instance != ""}} {
		if !need.given {
			errs = append(errs, fmt.Errorf("%s is mandatory", need.name))
		}
	}
	if d.LeasePrefix == "" {
		_, err := hostOf(d.Endpoint)
		errs = append(errs, err, leases.CheckName(d.Name))
	}
	return errors.Join(errs...)
}

// lead makes the manager of the leases with a prefix.
func (p *Processor) lead(prefix string) error {
	manager, err := leases.NewManager(p.lease, leases.Deps{
		Store:    leases.NewStore(p.deps.Leases, prefix),
		Instance: p.deps.Instance,
		Page:     p.deps.Page,
		Ranges:   p.liveRanges,
		Now:      p.deps.Now,
		Log:      p.deps.Log,
		Metrics:  p.registered,
	})
	if err != nil {
		return err
	}
	p.quarantine.Records = NewRecords(p.deps.Leases, prefix)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.manager = manager
	return nil
}

// opened gives the manager of the leases; nil until it is known which they are.
func (p *Processor) opened() *leases.Manager {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.manager
}

// Run holds leases and serves their ranges until ctx ends; then it stops
// reading, lets work drain, stores positions, gives the leases back and returns
// nil. It stays up while Cosmos DB is away. It fails if a container is not as it
// must be, does not exist, or may not be read. It may be called once; when it
// returns its metrics are gone from the registry, so that another processor can
// take its place.
func (p *Processor) Run(ctx context.Context) error {
	p.mu.Lock()
	again := p.ran
	p.ran, p.started = true, time.Now()
	p.mu.Unlock()
	if again {
		return errors.New("run processor: it has run before")
	}
	defer p.registered.withdraw()
	if err := p.open(ctx); err != nil {
		if ctx.Err() != nil {
			return nil // stopped, not failed
		}
		return fmt.Errorf("run processor: %w", err)
	}
	var group conc.WaitGroup
	defer group.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	group.Go(func() { p.backstop(ctx) })
	return p.opened().Run(ctx, p.serve)
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
			p.mu.Lock()
			p.reads = true
			p.mu.Unlock()
			return live, nil
		}
	}
	return nil, errors.New("list ranges: they change all the time")
}

// firstPositions reads each range once, a few at a time: who asks holds leases, or
// lets them wait.
func (p *Processor) firstPositions(ctx context.Context, ranges []azcosmos.FeedRange) ([]leases.Range, error) {
	const atOnce = 8
	live := make([]leases.Range, len(ranges))
	reads := pool.New().WithMaxGoroutines(atOnce).WithContext(ctx).WithCancelOnError().WithFirstError()
	for i, r := range ranges {
		reads.Go(func(ctx context.Context) error {
			// The range's id is known from a read alone; this one starts from now.
			page, err := p.reader.Read(ctx, r, feed.Now)
			if err != nil {
				return fmt.Errorf("read first position: %w", err)
			}
			live[i] = leases.Range{Token: page.RangeID, Range: r}
			if p.cfg.Start == (Start{}) {
				live[i].Continuation = page.Continuation
			} else {
				live[i].Start = p.cfg.Start.String()
			}
			return nil
		})
	}
	if err := reads.Wait(); err != nil {
		return nil, err
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
			r = Route{Action: Poison, Reason: fmt.Sprintf("route panicked: %.200v", v), Fault: dispatch.Panicked}
		}
	}()
	return p.handler.Route(document)
}
