package service

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"opfeed/processor/operations"
	"opfeed/processor/status"
)

// changesCollector counts the operations that have not come to an end when the
// metrics are read.
type changesCollector struct {
	gather           func() []status.Change
	count, age, owed *prometheus.Desc
	kindsByRequest   [][2]string
}

func newChangesCollector(gather func() []status.Change) *changesCollector {
	return &changesCollector{
		gather: gather,
		count: prometheus.NewDesc("opfeed_operations",
			"Operations in the held ranges that have not come to an end, or of whose end ARM is to be told, by state.",
			[]string{"kind", "request", "state"}, nil),
		age: prometheus.NewDesc("opfeed_operation_oldest_seconds",
			"Time since the start of the oldest operation in the held ranges that has not come to an end; 0: there is none.",
			[]string{"kind", "request"}, nil),
		owed: prometheus.NewDesc("opfeed_notifications_owed",
			"Operations that have ended and whose outcome ARM is still to be told, in the held ranges.", nil, nil),
		kindsByRequest: operations.KindsByRequest(),
	}
}

// Describe implements prometheus.Collector.
func (c *changesCollector) Describe(ch chan<- *prometheus.Desc) {
	ch <- c.count
	ch <- c.age
	ch <- c.owed
}

// Collect implements prometheus.Collector.
func (c *changesCollector) Collect(ch chan<- prometheus.Metric) {
	now, owed := time.Now(), 0
	counts, ages := map[[3]string]int{}, map[[2]string]time.Duration{}
	for _, labels := range c.kindsByRequest {
		ages[labels] = 0
	}
	for _, o := range c.gather() {
		kind, request := o.Kind, o.Request
		if kind == "" { // no look has told yet
			kind, request = operations.KindNone, operations.RequestOther
		}
		counts[[3]string{kind, request, o.State}]++
		labels := [2]string{kind, request}
		switch {
		case o.State == operations.LabelOwed:
			owed++
		case !o.Began.IsZero():
			ages[labels] = max(ages[labels], now.Sub(o.Began))
		}
	}
	ch <- prometheus.MustNewConstMetric(c.owed, prometheus.GaugeValue, float64(owed))
	for labels, n := range counts {
		ch <- prometheus.MustNewConstMetric(c.count, prometheus.GaugeValue, float64(n), labels[:]...)
	}
	for labels, age := range ages {
		ch <- prometheus.MustNewConstMetric(c.age, prometheus.GaugeValue, age.Seconds(), labels[:]...)
	}
}
