package operations

import (
	"errors"
	"fmt"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/data/azcosmos"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"opfeed/cs"
	"opfeed/processor/notification"
)

// Deps are what a Handler works with.
type Deps struct {
	Resources *azcosmos.ContainerClient // operations and resources, partitioned by subscription
	Locks     *azcosmos.ContainerClient // subscription locks; nil = no lock is taken
	Billing   *azcosmos.ContainerClient // what is to be paid for, partitioned by subscription; nil = nothing is noted
	Location  string                    // Azure region of the clusters; required with Billing
	CS        *cs.Client
	Notify    *notification.Sender  // tells ARM of outcomes; nil = nobody does
	Instance  string                // begins the owner of the locks that this process takes; required with Locks
	Log       *zap.Logger           // nil = none
	Metrics   prometheus.Registerer // nil = none

	// Transition is told of each status that was written, by the goroutine that
	// wrote it: it must not wait. nil = nobody is.
	Transition func(Transition)
}

// Transition is one status that was written. What is text may be hostile.
type Transition struct {
	At                  time.Time
	Partition, ID       string
	Name, Kind, Request string
	Resource            string // ARM id
	From, To, Reason    string
}

// Handler moves operations. Safe for concurrent use, within the rule that the
// funcs that Handle returns run one at a time per partition.
type Handler struct {
	cfg     Config
	deps    Deps
	log     *zap.Logger
	metrics *metrics
	sweep   *cs.Sweep
	orphans orphans
}

// New returns a Handler. It does no I/O. Its error says what is wrong with cfg or
// deps, or that the metrics are registered already.
func New(cfg Config, deps Deps) (*Handler, error) {
	if err := errors.Join(cfg.Validate(), cfg.Lock.Validate(), cfg.Outbox.Validate()); err != nil {
		return nil, fmt.Errorf("configure operations: %w", err)
	}
	if deps.Resources == nil || deps.CS == nil {
		return nil, errors.New("configure operations: a container of resources and a client of cluster service are required")
	}
	if deps.Locks != nil && deps.Instance == "" {
		return nil, errors.New("configure operations: locks need an instance name")
	}
	if deps.Billing != nil && deps.Location == "" {
		return nil, errors.New("configure operations: billing needs a location")
	}
	if deps.Log == nil {
		deps.Log = zap.NewNop()
	}
	m, err := newMetrics(deps.Metrics)
	if err != nil {
		return nil, fmt.Errorf("register metrics of operations: %w", err)
	}
	if !cfg.Outbox.Enabled {
		deps.Notify = nil
	}
	return &Handler{cfg: cfg, deps: deps, log: deps.Log, metrics: m, sweep: cs.NewSweep(deps.CS)}, nil
}
