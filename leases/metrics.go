package leases

import (
	"errors"
	"fmt"

	"github.com/prometheus/client_golang/prometheus"
)

type metrics struct {
	owned         prometheus.Gauge
	acquisitions  prometheus.Counter
	lost          prometheus.Counter
	handedOver    prometheus.Counter
	writeFailures prometheus.Counter
}

func newMetrics(into prometheus.Registerer) (metrics, error) {
	m := metrics{
		owned: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "opfeed_leases_owned", Help: "Leases that this process holds."}),
		acquisitions: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "opfeed_lease_acquisitions_total", Help: "Leases that this process has taken."}),
		lost: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "opfeed_lease_lost_total", Help: "Held leases that others took or that could not be renewed in time."}),
		handedOver: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "opfeed_lease_handovers_total", Help: "Held leases that were given to the host that asked for them."}),
		writeFailures: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "opfeed_lease_write_failures_total", Help: "Writes of held leases that failed or were refused."}),
	}
	if into == nil {
		return m, nil
	}
	var problems []error
	for _, c := range []prometheus.Collector{m.owned, m.acquisitions, m.lost, m.handedOver, m.writeFailures} {
		problems = append(problems, into.Register(c))
	}
	if err := errors.Join(problems...); err != nil {
		return metrics{}, fmt.Errorf("register metrics: %w", err)
	}
	return m, nil
}
