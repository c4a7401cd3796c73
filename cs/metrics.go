package cs

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// result is how a call ended, as the metrics count it.
type result string

const (
	resultOK          result = "ok"
	resultNotFound    result = "not_found"
	resultRefused     result = "client_error"  // CS's own 4xx, but for those below
	resultCredentials result = "credentials"   // 401, 403, no token
	resultThrottled   result = "throttled"     // 429
	resultServer      result = "server_error"  // 5xx
	resultForeign     result = "foreign_reply" // not CS's: a proxy's page, no body
	resultUnusable    result = "unusable"      // CS's, but makes no sense
	resultConnection  result = "connection"    // no reply
	resultTimeout     result = "timeout"       // no reply in time
	resultCanceled    result = "canceled"      // the caller gave up
)

var results = [...]result{
	resultOK, resultNotFound, resultRefused, resultCredentials, resultThrottled, resultServer,
	resultForeign, resultUnusable, resultConnection, resultTimeout, resultCanceled,
}

type metrics struct {
	requests *prometheus.CounterVec
	duration *prometheus.HistogramVec
	open     prometheus.Gauge
}

func newMetrics(registerer prometheus.Registerer) (*metrics, error) {
	m := &metrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "opfeed_cluster_service_requests_total",
			Help: "Calls to Cluster Service, by kind of object and result.",
		}, []string{"kind", "result"}),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "opfeed_cluster_service_request_duration_seconds",
			Help:    "Duration of calls to Cluster Service, without the wait for one's turn.",
			Buckets: []float64{.01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10},
		}, []string{"kind"}),
		open: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "opfeed_cluster_service_breaker_open",
			Help: "Whether calls to Cluster Service fail at once, but for probes: 1 or 0.",
		}),
	}
	for _, kind := range kinds {
		m.duration.WithLabelValues(kind.String())
		for _, result := range results {
			m.requests.WithLabelValues(kind.String(), string(result))
		}
	}
	if registerer == nil {
		return m, nil
	}
	for _, collector := range []prometheus.Collector{m.requests, m.duration, m.open} {
		if err := registerer.Register(collector); err != nil {
			return nil, err
		}
	}
	return m, nil
}

func (m *metrics) observe(kind Kind, r result, took time.Duration) {
	m.requests.WithLabelValues(kind.String(), string(r)).Inc()
	m.duration.WithLabelValues(kind.String()).Observe(took.Seconds())
}
