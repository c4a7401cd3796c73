package operations

import "github.com/prometheus/client_golang/prometheus"

type outboxMetrics struct {
	settled *prometheus.CounterVec
}

func newOutboxMetrics(r prometheus.Registerer) (outboxMetrics, error) {
	m := outboxMetrics{settled: prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "opfeed_notifications_settled_total",
		Help: "Notifications that are owed no more, by why: delivered, refused, given_up or cut_off.",
	}, []string{"why"})}
	for _, why := range []string{overDelivered, overRefused, overGivenUp, overCutOff} {
		m.settled.WithLabelValues(why)
	}
	if r == nil {
		return m, nil
	}
	return m, r.Register(m.settled)
}
