package workload

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/sourcegraph/conc"
	"github.com/sourcegraph/conc/pool"
)

// inFlight bounds how many requests of users are carried out at once.
const inFlight = 64

// plantedAhead is how many cycles are made ready before they are needed.
const plantedAhead = 3

// FrontEnd is the front end of a demonstration. Use one for one Run; its other
// methods may be called meanwhile.
type FrontEnd struct {
	cfg     Config
	deps    Deps
	plan    *Plan
	store   *store
	service *clusterService
	admin   *admin
	ledger  *ledger
	loaded  atomic.Pointer[loaded]
	started time.Time
}

// New checks the configuration and builds the clients. It does no I/O.
func New(cfg Config, deps Deps) (*FrontEnd, error) {
	cfg = cfg.withDefaults()
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if deps.Say == nil {
		deps.Say = func(string, ...any) {}
	}
	f := &FrontEnd{
		cfg: cfg, deps: deps, ledger: newLedger(),
		plan: NewPlan(cfg.Seed, cfg.Subscriptions), admin: newAdmin(cfg, deps),
	}
	var err error
	if f.store, err = dialCosmos(cfg, deps.CosmosTransport); err != nil {
		return nil, fmt.Errorf("connect to Cosmos DB: %w", err)
	}
	if f.service, err = dialClusterService(cfg.ClusterServiceURL, deps.ClusterServiceTransport); err != nil {
		return nil, fmt.Errorf("connect to Cluster Service: %w", err)
	}
	if deps.ARM != nil {
		deps.ARM.mu.Lock()
		deps.ARM.stored = f.ask
		deps.ARM.mu.Unlock()
	}
	return f, nil
}

// Run loads the documents, seeds, starts operations until the configured time
// has passed or ctx ends, waits until all are terminal, and returns the
// report. When ctx ends it stops at once, and the report counts what is still
// pending. An error means that there is no report.
func (f *FrontEnd) Run(ctx context.Context) (Report, error) {
	defer f.service.close()
	following, stop := context.WithCancel(context.WithoutCancel(ctx))
	var wg conc.WaitGroup
	wg.Go(func() { f.store.follow(following, f.cfg.Follow, f.ledger, f.deps.Say) })
	defer wg.Wait()
	defer stop()

	if err := f.seed(ctx); err != nil {
		return Report{}, err
	}
	f.ledger.edit(func() { f.started = time.Now() })
	err := f.traffic(ctx)
	if err != nil && ctx.Err() == nil {
		return Report{}, err
	}
	f.drain(ctx)
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), 60*time.Second)
	defer cancel()
	return f.report(last)
}

// Measure is the report as it stands, without the check of the documents.
func (f *FrontEnd) Measure(ctx context.Context) (Report, error) {
	return f.measure(ctx)
}

func (f *FrontEnd) seed(ctx context.Context) error {
	if f.cfg.Documents != "" {
		l, err := f.load(ctx, f.cfg.Documents)
		if err != nil {
			return fmt.Errorf("load documents: %w", err)
		}
		f.loaded.Store(l)
	}
	if err := f.register(ctx); err != nil {
		return fmt.Errorf("seed subscriptions: %w", err)
	}
	return nil
}

// traffic starts operations at their times. One that is late does not move the
// next.
func (f *FrontEnd) traffic(ctx context.Context) error {
	planting, stop := context.WithCancel(ctx)
	cycles := make(chan Cycle, plantedAhead)
	failed := make(chan error, 1)
	var wg conc.WaitGroup
	wg.Go(func() { failed <- f.plant(planting, cycles) })
	defer wg.Wait()
	defer stop()

	users := pool.New().WithMaxGoroutines(inFlight)
	defer users.Wait()
	var start time.Time
	for i := 0; ; {
		var c Cycle
		select {
		case c = <-cycles:
		case err := <-failed:
			return err
		case <-ctx.Done():
			return nil
		}
		if start.IsZero() {
			start = time.Now()
		}
		done := newOutcomes(len(c.Steps))
		for n, s := range c.Steps {
			at := time.Duration(float64(i) / f.cfg.Rate * float64(time.Second))
			if f.cfg.For > 0 && at >= f.cfg.For {
				return nil
			}
			if sleep(ctx, time.Until(start.Add(at))) != nil {
				return nil
			}
			users.Go(func() { f.step(ctx, s, n, done) })
			i++
		}
	}
}

// outcomes is how a superseding delete waits for the operation it cancels.
type outcomes struct {
	done    []chan struct{}
	entries []*entry
}

func newOutcomes(n int) *outcomes {
	o := &outcomes{done: make([]chan struct{}, n), entries: make([]*entry, n)}
	for i := range o.done {
		o.done[i] = make(chan struct{})
	}
	return o
}

func (f *FrontEnd) step(ctx context.Context, s Step, n int, o *outcomes) {
	defer close(o.done[n])
	var victim *entry
	if s.Supersedes >= 0 {
		select {
		case <-o.done[s.Supersedes]:
		case <-ctx.Done():
			return
		}
		if victim = o.entries[s.Supersedes]; victim == nil {
			return // it could not be started, and that was said
		}
	}
	e, err := f.perform(ctx, s, victim)
	o.entries[n] = e
	if err == nil || (ctx.Err() != nil && errors.Is(err, context.Cause(ctx))) {
		return
	}
	f.ledger.edit(func() { f.ledger.failed++ })
	f.deps.Say("front end: %s %s could not be carried out: %v", s.Request, s.Target.ResourceID(), err)
}

// drain waits until all operations are terminal, the time is over, or ctx
// ends.
func (f *FrontEnd) drain(ctx context.Context) {
	deadline := time.Now().Add(f.cfg.Drain)
	for ctx.Err() == nil && time.Now().Before(deadline) {
		if f.ledger.pending() == 0 && f.untold() == 0 {
			return
		}
		if sleep(ctx, f.cfg.Follow) != nil {
			return
		}
	}
}
