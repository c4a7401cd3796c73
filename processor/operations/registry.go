package operations

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"strings"
	"sync"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/data/azcosmos"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"opfeed/internal/logkey"
	"opfeed/internal/purpose"
)

// States of a subscription, as Azure Resource Manager tells them.
const (
	registered   = "Registered"
	unregistered = "Unregistered"
	warned       = "Warned"
	deleted      = "Deleted"
	suspended    = "Suspended"
	unknown      = "Unknown" // no document, or a state that is none of these
)

var subscriptionStates = []string{registered, unregistered, warned, deleted, suspended, unknown}

// RegistryConfig configures a Registry.
type RegistryConfig struct {
	Interval time.Duration `env:"INTERVAL" help:"mean time between two reads of the subscriptions"`
	Timeout  time.Duration `env:"TIMEOUT" help:"time limit of one call to Cosmos DB"`
}

// DefaultRegistryConfig returns the defaults.
func DefaultRegistryConfig() RegistryConfig {
	return RegistryConfig{Interval: 10 * time.Minute, Timeout: 10 * time.Second}
}

// Validate reports every problem at once, one line each, by variable.
func (c RegistryConfig) Validate() error {
	var problems []error
	if c.Interval <= 0 {
		problems = append(problems, errors.New("INTERVAL: must be positive"))
	}
	if c.Timeout <= 0 {
		problems = append(problems, errors.New("TIMEOUT: must be positive"))
	}
	return errors.Join(problems...)
}

// RegistryDeps are what a Registry works with.
type RegistryDeps struct {
	Resources     *azcosmos.ContainerClient
	PartitionKeys *azcosmos.ContainerClient // index of subscriptions; nil = none
	Log           *zap.Logger               // nil = none
	Metrics       prometheus.Registerer     // nil = none
}

// Registry knows which subscriptions there are, and in which state. It is for
// showing: no operation is handled or left alone for what it says. Safe for
// concurrent use.
type Registry struct {
	cfg    RegistryConfig
	deps   RegistryDeps
	gauges *prometheus.GaugeVec

	mu     sync.Mutex
	states map[string]string // by lower-case id; replaced as a whole
	failed bool
}

// NewRegistry returns a Registry. It does no I/O.
func NewRegistry(cfg RegistryConfig, deps RegistryDeps) (*Registry, error) {
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("configure registry: %w", err)
	}
	if deps.Resources == nil {
		return nil, errors.New("configure registry: a container of resources is required")
	}
	if deps.Log == nil {
		deps.Log = zap.NewNop()
	}
	r := &Registry{cfg: cfg, deps: deps, gauges: prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Name: "opfeed_subscriptions", Help: "Subscriptions known, by state."}, []string{"state"})}
	for _, state := range subscriptionStates {
		r.gauges.WithLabelValues(state)
	}
	if deps.Metrics != nil {
		if err := deps.Metrics.Register(r.gauges); err != nil {
			return nil, fmt.Errorf("register metrics of registry: %w", err)
		}
	}
	return r, nil
}

// Run reads the subscriptions at once and then every Interval, give or take a
// tenth, until ctx ends; then it returns nil. What cannot be read is kept as it
// was.
func (r *Registry) Run(ctx context.Context) error {
	for {
		states, err := r.load(ctx)
		if ctx.Err() != nil {
			return nil //nolint:nilerr // a stop is no failure
		}
		r.update(states, err)
		_ = sleep(ctx, r.cfg.Interval*9/10+rand.N(r.cfg.Interval/5+1)) // cut short by a stop, which load sees
	}
}

// Counts returns how many subscriptions there are in each state; empty before
// the first read.
func (r *Registry) Counts() map[string]int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return count(r.states)
}

func count(states map[string]string) map[string]int {
	n := map[string]int{}
	for _, state := range states {
		n[state]++
	}
	return n
}

// update takes what was read, or notes that it could not be.
func (r *Registry) update(states map[string]string, err error) {
	r.mu.Lock()
	before, recovered, failing := count(r.states), r.failed && err == nil, !r.failed && err != nil
	first := r.states == nil
	r.failed = err != nil
	if err == nil {
		r.states = states
	}
	r.mu.Unlock()

	switch {
	case failing:
		r.deps.Log.Error("subscriptions not read", logkey.Error(err))
	case recovered:
		r.deps.Log.Info("subscriptions read again")
	}
	if err != nil {
		return
	}
	now := count(states)
	for _, state := range subscriptionStates {
		r.gauges.WithLabelValues(state).Set(float64(now[state]))
	}
	if first || now[unregistered] != before[unregistered] {
		r.deps.Log.Info("subscriptions read", zap.Int("unregistered", now[unregistered]),
			zap.Int("unregistered_before", before[unregistered]), zap.Int("subscriptions", len(states)))
	}
}

const (
	subscriptionIDs    = `SELECT c.id FROM c`
	subscriptionStored = `SELECT c.partitionKey, c._ts, c.properties.state FROM c` +
		` WHERE STRINGEQUALS(c.resourceType, "` + typeSubscription + `", true) AND ` + notDeleted
)

// load reads all subscriptions. Not a document's id but its partition is the
// subscription: generations differ in the former. While documents are given new
// ids there are two of one subscription; the newer counts.
func (r *Registry) load(ctx context.Context) (map[string]string, error) {
	ctx = purpose.With(ctx, purpose.Registry)
	states := map[string]string{}
	cfg := Config{Timeout: r.cfg.Timeout}
	if r.deps.PartitionKeys != nil {
		err := query(ctx, cfg, r.deps.PartitionKeys, search{text: subscriptionIDs}, func(row []byte) {
			o, _ := parseObject(row)
			if id := strings.ToLower(o.string("id")); id != "" {
				states[id] = unknown
			}
		})
		if err != nil {
			return nil, fmt.Errorf("list partition keys: %w", err)
		}
	}
	written := map[string]time.Time{}
	stored := map[string]string{}
	err := query(ctx, cfg, r.deps.Resources, search{text: subscriptionStored}, func(row []byte) {
		o, _ := parseObject(row)
		id, at := strings.ToLower(o.string("partitionKey")), o.seconds("_ts")
		if old, ok := written[id]; id == "" || ok && at.Before(old) {
			return
		}
		written[id], stored[id] = at, knownState(o.string("state"))
	})
	if err != nil {
		return nil, fmt.Errorf("list subscriptions: %w", err)
	}
	maps.Copy(states, stored)
	return states, nil
}

func knownState(s string) string {
	for _, known := range subscriptionStates {
		if strings.EqualFold(s, known) {
			return known
		}
	}
	return unknown
}
