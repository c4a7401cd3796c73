package service

import (
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"opfeed/internal/logkey"
)

// What a replica needs to be ready: the values of the label condition.
const (
	conditionCosmos         = "cosmos"
	conditionLeases         = "leases" // they are known, and every range has an owner
	conditionFeed           = "feed"   // held ranges are read, and were listed
	conditionClusterService = "cluster_service"
	conditionRunning        = "running" // false while it shuts down
)

// Condition is one thing that a replica needs to be ready.
type Condition struct {
	Name   string    `json:"name"`
	OK     bool      `json:"ok"`
	Reason string    `json:"reason,omitempty"` // why it is not
	Since  time.Time `json:"since"`            // when OK became what it is
	// Advisory says that the replica is ready without it. Cluster Service is, once
	// it has answered: when it goes, it goes for all replicas alike, and to have
	// none that is ready helps nobody. Before, a URL or a credential may be wrong,
	// and that must stop a rollout.
	Advisory bool `json:"advisory,omitempty"`
}

// readiness holds the conditions of a replica, and logs each change once.
type readiness struct {
	log   *zap.Logger
	gauge *prometheus.GaugeVec
	ready prometheus.Gauge

	mu   sync.Mutex
	list []Condition
	told map[string]told // by condition
}

// told is what the log says of a condition.
type told struct {
	ok  bool
	why string
	at  time.Time
}

// sameStateLog is the least time between two reasons logged for one state.
const sameStateLog = 30 * time.Second

func newReadiness(log *zap.Logger, r prometheus.Registerer) (*readiness, error) {
	rd := &readiness{
		log:  log,
		told: map[string]told{},
		gauge: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "opfeed_condition", Help: "Whether a condition of readiness holds: 1 or 0.",
		}, []string{"condition"}),
		ready: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "opfeed_ready", Help: "Whether all conditions hold that the replica needs to be ready: 1 or 0.",
		}),
	}
	now := time.Now()
	for _, name := range []string{conditionCosmos, conditionLeases, conditionFeed, conditionClusterService, conditionRunning} {
		c := Condition{Name: name, Reason: "not known yet", Since: now}
		if name == conditionRunning {
			c.OK, c.Reason = true, ""
		}
		rd.list = append(rd.list, c)
	}
	rd.show()
	return rd, errors.Join(r.Register(rd.gauge), r.Register(rd.ready))
}

// Set notes whether a condition holds, err being why it does not. It logs a change
// once, unless somebody else does; another reason for the same state is logged
// too, but not at once if reasons alternate.
func (rd *readiness) Set(name string, err error) {
	why := ""
	if err != nil {
		why = reason(err)
	}
	switch tell := rd.change(name, err == nil, why); {
	case !tell || name == conditionClusterService || name == conditionRunning:
		// The client logs the one, Run the other.
	case err == nil:
		rd.log.Info("condition holds", zap.String("condition", name))
	default:
		rd.log.Warn("condition does not hold", zap.String("condition", name),
			zap.String(logkey.Reason, why), logkey.Error(err))
	}
}

// Conditions returns all conditions, and whether those hold that count.
func (rd *readiness) Conditions() ([]Condition, bool) {
	rd.mu.Lock()
	defer rd.mu.Unlock()
	return slices.Clone(rd.list), all(rd.list)
}

// change notes a condition, and returns whether to log it.
func (rd *readiness) change(name string, ok bool, why string) bool {
	rd.mu.Lock()
	defer rd.mu.Unlock()
	now, tell := time.Now(), false
	for i := range rd.list {
		c := &rd.list[i]
		if c.Name != name {
			continue
		}
		if c.OK != ok {
			c.Since = now
		}
		c.OK, c.Reason = ok, why
		c.Advisory = c.Advisory || ok && name == conditionClusterService
		last := rd.told[name]
		if last.why != why && (last.at.IsZero() || last.ok != ok || now.Sub(last.at) >= sameStateLog) {
			tell = true
			rd.told[name] = told{ok, why, now}
		}
	}
	rd.show()
	return tell
}

func (rd *readiness) show() {
	for _, c := range rd.list {
		rd.gauge.WithLabelValues(c.Name).Set(number(c.OK))
	}
	rd.ready.Set(number(all(rd.list)))
}

func all(list []Condition) bool {
	for _, c := range list {
		if !c.OK && !c.Advisory {
			return false
		}
	}
	return true
}

func number(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
