package service

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/sourcegraph/conc"
	"go.opentelemetry.io/otel/trace"
	"go.uber.org/zap"

	"opfeed/cs"
	"opfeed/processor/notification"
)

// Deps replaces what a Service would make for itself. The zero value is right
// for a process of its own, but for Log.
type Deps struct {
	Cosmos   policy.Transporter // carries the requests to Cosmos DB; nil: the network
	CS       http.RoundTripper  // carries those to Cluster Service; nil: the network
	ARM      http.RoundTripper  // carries notifications; nil: the network, with its guard
	Listener net.Listener       // nil: Config.Listen is opened; it is closed in the end
	// AdminListener is the same for Config.AdminListen.
	AdminListener net.Listener
	Log           *zap.Logger          // nil: no log
	Level         *zap.AtomicLevel     // of Log, as NewLogger gives it; nil: it cannot be changed
	Registry      *prometheus.Registry // nil: a new one
	Tracing       trace.TracerProvider // makes spans; nil: none
	Now           func() time.Time     // the wall clock, for the timestamp of leases alone; nil: time.Now
}

// errLate ends a stop that takes too long. What still runs then is left to the
// end of the process.
var errLate = errors.New("stop service: work has not ended within the shutdown timeout")

// Service is one replica. Make one with New and call Run once.
type Service struct {
	cfg        Config
	deps       Deps
	log        *zap.Logger
	registry   *prometheus.Registry
	build      Build
	meter      *meter
	readiness  *readiness
	cs         *cs.Client
	notify     *notification.Sender // nil: ARM is not told
	transport  policy.Transporter
	credential azcore.TokenCredential // nil: the key is used
	wire       func(*stores) (*engine, error)

	found   map[string]string // resource ids of the database and its containers, by variable; of the one goroutine that connects
	started time.Time
	running atomic.Pointer[engine] // nil until Cosmos DB was found as it must be
	pulse   pulse
	levelMu sync.Mutex // one change of the log's level at a time

	transitions transitions
	history     history
	frames      frames
	steps       atomic.Int64 // begun by the engine
}

// New checks the configuration and returns a service that has opened nothing.
func New(cfg Config, deps Deps) (*Service, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if deps.Log == nil {
		deps.Log = zap.NewNop()
	}
	if deps.Registry == nil {
		deps.Registry = prometheus.NewRegistry()
	}
	s := &Service{
		cfg:       cfg,
		deps:      deps,
		log:       deps.Log,
		registry:  deps.Registry,
		build:     ReadBuild(),
		transport: deps.Cosmos,
		started:   time.Now(),
	}
	s.wire = s.newEngine
	if err := s.register(); err != nil {
		return nil, fmt.Errorf("register metrics: %w", err)
	}
	if err := s.clients(); err != nil {
		return nil, err
	}
	return s, nil
}

// Run serves until ctx ends. Then reading stops, work drains, positions and
// leases are given back, and it returns nil; an error if that took longer than
// Config.ShutdownTimeout, or if the address is taken.
func (s *Service) Run(ctx context.Context) (err error) {
	ports, err := s.ports(ctx)
	if err != nil {
		s.closeClients()
		return err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	// What watches goes on until the work has ended.
	aside, end := context.WithCancel(context.WithoutCancel(ctx))

	var group conc.WaitGroup
	defer group.Wait()
	defer func() {
		if !errors.Is(err, errLate) { // it would wait for the calls in flight
			s.closeClients()
		}
	}()
	defer end()
	for _, p := range ports {
		group.Go(func() {
			if err := p.server.Serve(p.listener); !errors.Is(err, http.ErrServerClosed) {
				cancel(fmt.Errorf("serve http: %w", err))
			}
		})
		defer s.close(ctx, p)
		s.log.Info("listening", zap.String("address", p.listener.Addr().String()), zap.String("for", p.name))
	}
	group.Go(func() { s.watch(aside) })
	group.Go(func() { s.probe(aside) })

	s.log.Info("service started", zap.String("instance", s.cfg.Instance), zap.String("version", s.build.Version),
		zap.String("revision", s.build.Revision), zap.String("processor", s.cfg.ProcessorName))
	err = s.work(ctx)
	if cause := context.Cause(ctx); err == nil && cause != nil && !errors.Is(cause, context.Canceled) {
		err = cause
	}
	if err == nil {
		s.log.Info("service stopped")
	}
	return err
}

func (s *Service) register() error {
	err := errors.Join(
		s.registry.Register(collectors.NewGoCollector()),
		s.registry.Register(collectors.NewProcessCollector(collectors.ProcessCollectorOpts{})),
		registerBuild(s.registry, s.build),
		s.registry.Register(newChangesCollector(s.Changes)),
	)
	var errMeter, errReadiness error
	s.meter, errMeter = newMeter(s.registry, s.cfg.Cosmos)
	s.readiness, errReadiness = newReadiness(s.log, s.registry)
	return errors.Join(err, errMeter, errReadiness, registerBudget(s.registry, s.cfg.Cosmos.RUBudget))
}

func (s *Service) clients() error {
	if err := s.cosmosClient(); err != nil {
		return err
	}
	if err := s.clusterServiceClient(); err != nil {
		return err
	}
	if !s.cfg.Operations.Outbox.Enabled {
		return nil
	}
	var err error
	s.notify, err = notification.New(s.cfg.Notification, notification.Deps{Metrics: s.registry, Transport: s.deps.ARM, Tracing: s.deps.Tracing})
	return err
}

// cosmosClient makes the way to Cosmos DB, and finds credentials.
func (s *Service) cosmosClient() error {
	if s.transport == nil {
		t := newTransport(nil)
		if path := s.cfg.Cosmos.CAFile; path != "" {
			pool, err := authorities(path)
			if err != nil {
				return fmt.Errorf("read certificate authorities: %w", err)
			}
			t = newTransport(pool)
		}
		s.transport = t
	}
	if s.cfg.Cosmos.Key == "" {
		credential, err := azidentity.NewDefaultAzureCredential(nil)
		if err != nil {
			return fmt.Errorf("find credentials of Entra ID: %w", err)
		}
		s.credential = credential
	}
	return nil
}

func (s *Service) clusterServiceClient() (err error) {
	cfg := s.cfg.CS
	// A list that is as old as a sweep would be asked for again at once.
	cfg.ListWindow = min(cfg.ListWindow, s.cfg.Operations.PollInterval/4)
	s.cs, err = cs.New(cfg, cs.Deps{Log: s.log, Metrics: s.registry, Transport: s.deps.CS, Tracing: s.deps.Tracing})
	return err
}

func (s *Service) closeClients() {
	if s.cs != nil { // nil: a command that does not ask it
		if err := s.cs.Close(); err != nil {
			s.log.Warn("cluster service client not closed", zap.Error(err))
		}
	}
	if c, ok := s.transport.(*http.Client); ok && s.deps.Cosmos == nil {
		c.CloseIdleConnections()
	}
}

// work finds Cosmos DB and runs the engine until ctx ends.
func (s *Service) work(ctx context.Context) error {
	found := s.find(ctx)
	if found == nil {
		s.stopping()
		return nil
	}
	defer found.client.Close() // drops its place in the SDK's caches; makes no call
	e, err := s.wire(found)
	if err != nil {
		return fmt.Errorf("wire service: %w", err)
	}
	s.running.Store(e)

	done := make(chan error, 1)
	go func() { done <- e.run(ctx) }()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
	}
	s.stopping()
	timer := time.NewTimer(s.cfg.ShutdownTimeout)
	defer timer.Stop()
	select {
	case err := <-done:
		return err
	case <-timer.C:
		return errLate
	}
}

func (s *Service) stopping() {
	s.log.Info("service stopping", zap.Duration("timeout", s.cfg.ShutdownTimeout))
	s.readiness.Set(conditionRunning, errors.New("shutting down"))
}

// find tries to reach Cosmos DB until it succeeds or ctx ends.
func (s *Service) find(ctx context.Context) *stores {
	var b backoff
	for {
		found, err := s.connect(ctx)
		if err == nil {
			s.readiness.Set(conditionCosmos, nil)
			return found
		}
		if ctx.Err() != nil {
			return nil
		}
		s.readiness.Set(conditionCosmos, err)
		if !b.wait(ctx) {
			return nil
		}
	}
}
