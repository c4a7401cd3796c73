package notification

import (
	"errors"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// result is how a notification ended, as the metrics count it.
type result string

const (
	resultDelivered  result = "delivered"
	resultURI        result = "uri_refused"     // not one that may be called
	resultPayload    result = "payload"         // cannot be written as JSON
	resultRedirect   result = "redirect"        // 3xx
	resultFinal      result = "final_answer"    // 4xx that no repetition changes
	resultAnswer     result = "other_answer"    // worth another try
	resultAddress    result = "address_refused" // an allowed name led to an address that is not public
	resultTLS        result = "tls"
	resultConnection result = "connection"
	resultTimeout    result = "timeout"
	resultBusy       result = "busy"     // no free place in time
	resultCanceled   result = "canceled" // the caller gave up
)

var results = [...]result{
	resultDelivered, resultURI, resultPayload, resultRedirect, resultFinal, resultAnswer, resultAddress,
	resultTLS, resultConnection, resultTimeout, resultBusy, resultCanceled,
}

type metrics struct {
	sent     *prometheus.CounterVec
	duration prometheus.Histogram
}

func newMetrics(registerer prometheus.Registerer) (*metrics, error) {
	m := &metrics{
		sent: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "opfeed_notifications_total",
			Help: "Attempts to tell ARM of an outcome, by result.",
		}, []string{"result"}),
		duration: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name:    "opfeed_notification_duration_seconds",
			Help:    "Duration of attempts to tell ARM of an outcome, with the wait for one's turn.",
			Buckets: []float64{.01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10},
		}),
	}
	for _, r := range results {
		m.sent.WithLabelValues(string(r))
	}
	if registerer == nil {
		return m, nil
	}
	if err := registerer.Register(m.sent); err != nil {
		return nil, err
	}
	if err := registerer.Register(m.duration); err != nil {
		return nil, err
	}
	return m, nil
}

func (m *metrics) observe(err error, took time.Duration) {
	m.sent.WithLabelValues(string(resultOf(err))).Inc()
	m.duration.Observe(took.Seconds())
}

func resultOf(err error) result {
	if refused, ok := errors.AsType[*RefusedError](err); ok {
		return refused.result
	}
	if unavailable, ok := errors.AsType[*UnavailableError](err); ok {
		return unavailable.result
	}
	return resultDelivered
}
