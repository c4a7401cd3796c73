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

	lists, listAnswers, disagreements *prometheus.CounterVec
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
		lists: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "opfeed_cluster_service_lists_total",
			Help: "Lists that were read to save calls, by kind of object and result.",
		}, []string{"kind", "result"}),
		listAnswers: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "opfeed_cluster_service_list_answers_total",
			Help: "What lists said of single objects; each that is unchanged saved a call.",
		}, []string{"kind", "result"}),
		disagreements: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "opfeed_cluster_service_list_disagreements_total",
			Help: "Objects that a list showed in another state than an exact answer soon after; a few have changed meanwhile.",
		}, []string{"kind"}),
	}
	for _, kind := range listKinds {
		for _, outcome := range outcomes {
			m.lists.WithLabelValues(kind.String(), string(outcome))
		}
		for _, answer := range listAnswers {
			m.listAnswers.WithLabelValues(kind.String(), string(answer))
		}
		m.disagreements.WithLabelValues(kind.String())
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
	for _, collector := range []prometheus.Collector{
		m.requests, m.duration, m.open, m.lists, m.listAnswers, m.disagreements,
	} {
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
