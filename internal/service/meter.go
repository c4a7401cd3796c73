package service

import (
	"context"
	"errors"
	"maps"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/prometheus/client_golang/prometheus"
)

// What a request to Cosmos DB is for: the values of the label use.
const (
	useFeed       = "feed"       // reads of the change feed
	useLeases     = "leases"     // everything in the lease container
	useLocks      = "locks"      // everything in the locks container
	useBilling    = "billing"    // everything in the billing container
	useLists      = "lists"      // queries over all partitions
	useOperations = "operations" // all other documents
	useMetadata   = "metadata"   // account, databases, containers, ranges
)

var uses = []string{useFeed, useLeases, useLocks, useBilling, useLists, useOperations, useMetadata}

// codeError is the label code of a request that got no answer.
const codeError = "error"

// Usage is what one use of Cosmos DB has cost since the start of the process.
type Usage struct {
	Requests     int64   `json:"requests"`
	RequestUnits float64 `json:"requestUnits"`
}

// meter is an azcore policy that counts requests and request units by use, and
// remembers whether Cosmos DB answers. It sits below the retries, since every
// try is charged and a throttled one must be seen.
type meter struct {
	containers map[string]string // uses of those that have only one, by name
	units      *prometheus.CounterVec
	requests   *prometheus.CounterVec

	mu       sync.Mutex
	usage    map[string]Usage
	answered time.Time // of the last answer that shows Cosmos DB at work
	failure  error     // since then
}

func newMeter(r prometheus.Registerer, c Cosmos) (*meter, error) {
	m := &meter{
		// No path has the empty name of a container that is not used.
		containers: map[string]string{c.Locks: useLocks, c.Billing: useBilling, c.Leases: useLeases},
		units: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "opfeed_cosmos_request_units_total",
			Help: "Request units charged by Cosmos DB, by use.",
		}, []string{"use"}),
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "opfeed_cosmos_requests_total",
			Help: "Requests to Cosmos DB, every try of its own, by use and HTTP status, or error if there was no answer.",
		}, []string{"use", "code"}),
		usage: map[string]Usage{},
	}
	for _, use := range uses {
		m.usage[use] = Usage{}
		m.units.WithLabelValues(use)
		for _, code := range []string{"200", "429", "503", codeError} {
			m.requests.WithLabelValues(use, code)
		}
	}
	return m, errors.Join(r.Register(m.units), r.Register(m.requests))
}

// Do implements policy.Policy.
func (m *meter) Do(req *policy.Request) (*http.Response, error) {
	use := m.use(req.Raw())
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
	m.requests.WithLabelValues(use, code).Inc()
	m.units.WithLabelValues(use).Add(units)
	m.note(use, units, working(resp, err))
	return resp, err
}

// Usage returns the costs by use.
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

func (m *meter) note(use string, units float64, failure error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	u := m.usage[use]
	m.usage[use] = Usage{Requests: u.Requests + 1, RequestUnits: u.RequestUnits + units}
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

// use classifies a request by its path, /dbs/{database}/colls/{container}/docs,
// and its headers.
func (m *meter) use(req *http.Request) string {
	parts := strings.Split(strings.Trim(req.URL.Path, "/"), "/")
	if len(parts) < 5 || parts[4] != "docs" {
		return useMetadata
	}
	query := strings.EqualFold(req.Header.Get("x-ms-documentdb-query"), "true")
	switch use := m.containers[parts[3]]; {
	case use != "":
		return use
	case req.Header.Get("A-IM") != "":
		return useFeed
	case query && req.Header.Get("x-ms-documentdb-partitionkey") == "":
		return useLists
	default:
		return useOperations
	}
}
