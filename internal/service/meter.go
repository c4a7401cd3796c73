package service

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/prometheus/client_golang/prometheus"

	"opfeed/internal/purpose"
)

// What a container is to us: the values of the label container.
const (
	roleResources     = "resources"
	roleLeases        = "leases"
	roleLocks         = "locks"
	rolePartitionKeys = "partition_keys"
	roleBilling       = "billing"
	roleNone          = "none" // the account, a database, or a container that is none of ours
)

// spending is what can be spent where; in each container there is metadata, too.
var spending = map[string][]purpose.Purpose{
	roleResources:     {purpose.Feed, purpose.List, purpose.Registry, purpose.Operation},
	roleLeases:        {purpose.LeaseList, purpose.Lease, purpose.Quarantine},
	roleLocks:         {purpose.Lock},
	rolePartitionKeys: {purpose.Registry},
	roleBilling:       {purpose.Billing},
	roleNone:          {},
}

// codeError is the label code of a request that got no answer.
const codeError = "error"

// Usage is what one purpose has cost since the start of the process.
type Usage struct {
	Requests     int64   `json:"requests"`
	RequestUnits float64 `json:"requestUnits"`
}

// meter is an azcore policy that counts and times requests and counts request units,
// by container and purpose, and remembers whether Cosmos DB answers. It sits below
// the retries, since every try is charged and a throttled one must be seen.
type meter struct {
	roles    map[string]string // of the containers, by name
	units    *prometheus.CounterVec
	requests *prometheus.CounterVec
	duration *prometheus.HistogramVec

	mu       sync.Mutex
	usage    map[string]Usage
	answered time.Time // of the last answer that shows Cosmos DB at work
	failure  error     // since then
}

func newMeter(r prometheus.Registerer, c Cosmos) (*meter, error) {
	m := &meter{
		// No path has the empty name of a container that is not used.
		roles: map[string]string{
			c.Resources: roleResources, c.Leases: roleLeases, c.Locks: roleLocks,
			c.PartitionKeys: rolePartitionKeys, c.Billing: roleBilling,
		},
		units: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "opfeed_cosmos_request_units_total",
			Help: "Request units charged by Cosmos DB, by container and purpose.",
		}, []string{"container", "purpose"}),
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "opfeed_cosmos_requests_total",
			Help: "Requests to Cosmos DB, every try of its own, by container, purpose and HTTP status, or error if there was no answer.",
		}, []string{"container", "purpose", "code"}),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "opfeed_cosmos_request_duration_seconds",
			Help:    "Duration of requests to Cosmos DB, every try of its own, by container and purpose.",
			Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10},
		}, []string{"container", "purpose"}),
		usage: map[string]Usage{},
	}
	for role, purposes := range spending {
		for _, p := range append(slices.Clone(purposes), purpose.Metadata) {
			m.usage[string(p)] = Usage{}
			m.units.WithLabelValues(role, string(p))
			m.duration.WithLabelValues(role, string(p))
			for _, code := range []string{"200", "429", "503", codeError} {
				m.requests.WithLabelValues(role, string(p), code)
			}
		}
	}
	return m, errors.Join(r.Register(m.units), r.Register(m.requests), r.Register(m.duration))
}

// registerBudget tells what may be spent, if that is known, beside what is.
func registerBudget(r prometheus.Registerer, unitsPerSecond float64) error {
	if unitsPerSecond == 0 {
		return nil
	}
	g := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "opfeed_cosmos_request_units_budget",
		Help: "Request units per second that all replicas together may use, as configured.",
	})
	g.Set(unitsPerSecond)
	return r.Register(g)
}

// Do implements policy.Policy.
func (m *meter) Do(req *policy.Request) (*http.Response, error) {
	role, spent := m.classify(req.Raw())
	began := time.Now()
	resp, err := req.Next()
	// A caller that gave up says nothing about Cosmos DB; a deadline does.
	if err != nil && errors.Is(req.Raw().Context().Err(), context.Canceled) {
		return resp, err
	}
	code, units := codeError, 0.0
	if resp != nil {
		code = strconv.Itoa(resp.StatusCode)
		units, _ = strconv.ParseFloat(resp.Header.Get("x-ms-request-charge"), 64)
		if units < 0 || !(units < 1e9) {
			units = 0 // a counter must not fall, and must not end at infinity
		}
	}
	m.requests.WithLabelValues(role, string(spent), code).Inc()
	m.units.WithLabelValues(role, string(spent)).Add(units)
	m.duration.WithLabelValues(role, string(spent)).Observe(time.Since(began).Seconds())
	m.note(spent, units, working(resp, err))
	return resp, err
}

// Usage returns the costs by purpose.
func (m *meter) Usage() map[string]Usage {
	m.mu.Lock()
	defer m.mu.Unlock()
	return maps.Clone(m.usage)
}

// Failing returns the latest failure once nothing has succeeded for grace.
func (m *meter) Failing(grace time.Duration) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.failure != nil && time.Since(m.answered) > grace {
		return m.failure
	}
	return nil
}

func (m *meter) note(spent purpose.Purpose, units float64, failure error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	u := m.usage[string(spent)]
	m.usage[string(spent)] = Usage{Requests: u.Requests + 1, RequestUnits: u.RequestUnits + units}
	m.failure = failure
	if failure == nil {
		m.answered = time.Now()
	}
}

// working returns why an answer does not show Cosmos DB at work, nil if it does.
func working(resp *http.Response, err error) error {
	switch {
	case err != nil:
		return err
	case resp.StatusCode == http.StatusUnauthorized, resp.StatusCode == http.StatusForbidden,
		resp.StatusCode == http.StatusRequestTimeout, resp.StatusCode >= http.StatusInternalServerError:
		return answerError(resp.StatusCode)
	default:
		return nil
	}
}

// classify tells a request's container by its path, /dbs/{database}/colls/{container}/docs,
// and its purpose by what the caller said, or else by its headers.
func (m *meter) classify(req *http.Request) (role string, p purpose.Purpose) {
	parts := strings.Split(strings.Trim(req.URL.Path, "/"), "/")
	role = roleNone
	if len(parts) > 3 {
		role = cmp.Or(m.roles[parts[3]], roleNone)
	}
	if len(parts) < 5 || parts[4] != "docs" || role == roleNone {
		return role, purpose.Metadata
	}
	if said := purpose.Of(req.Context()); slices.Contains(spending[role], said) {
		return role, said
	}
	query := strings.EqualFold(req.Header.Get("x-ms-documentdb-query"), "true")
	switch {
	case role == roleResources && req.Header.Get("A-IM") != "":
		return role, purpose.Feed
	case role == roleResources:
		return role, purpose.Operation
	case role == roleLeases && !query:
		return role, purpose.Lease
	default:
		return role, spending[role][0]
	}
}
