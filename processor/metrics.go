package processor

import (
	"fmt"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"

	"opfeed/processor/dispatch"
)

// Values of the label "result".
const (
	resultOK    = "ok"
	resultItems = "items"
	resultEmpty = "empty"
	resultError = "error"
)

var actionNames = map[Action]string{Skip: "skipped", Drop: "dropped", Take: "taken", Poison: "quarantined"}

// metrics are the engine's counters; gauges are gathered when they are read.
type metrics struct {
	registerer  prometheus.Registerer
	reads       *prometheus.CounterVec
	items       *prometheus.CounterVec
	steps       *prometheus.CounterVec
	lists       *prometheus.CounterVec
	blocked     prometheus.Counter
	recovered   atomic.Int64
	quarantined prometheus.Counter
}

func newMetrics(r prometheus.Registerer) (*metrics, error) {
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Name: name, Help: help})
	}
	vector := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
	}
	m := &metrics{
		registerer:  r,
		reads:       vector("opfeed_feed_reads_total", "Reads of the change feed by result.", "result"),
		items:       vector("opfeed_feed_items_total", "Items of the change feed by what became of them.", "action"),
		steps:       vector("opfeed_steps_total", "Steps by source of the look and result.", "source", "result"),
		lists:       vector("opfeed_lists_total", "Lists of everything pending by result.", "result"),
		blocked:     counter("opfeed_reader_blocked_seconds_total", "Time for which readers waited for a free place in a queue."),
		quarantined: counter("opfeed_quarantined_total", "Documents put into quarantine."),
	}
	for _, result := range []string{resultItems, resultEmpty, resultError} {
		m.reads.WithLabelValues(result)
	}
	for _, name := range actionNames {
		m.items.WithLabelValues(name)
	}
	for _, result := range []string{resultOK, resultError} {
		m.lists.WithLabelValues(result)
	}
	for _, source := range []dispatch.Source{dispatch.Feed, dispatch.List, dispatch.Due} {
		m.steps.WithLabelValues(source.String(), resultError)
		for _, v := range []dispatch.Verdict{dispatch.Done, dispatch.Again, dispatch.LeftAlone, dispatch.Quarantine} {
			m.steps.WithLabelValues(source.String(), v.String())
		}
	}
	recovered := prometheus.NewCounterFunc(prometheus.CounterOpts{
		Name: "opfeed_recovered_total", Help: "Changes that a list showed and the feed should have brought.",
	}, func() float64 { return float64(m.recovered.Load()) })
	return m, m.register(m.reads, m.items, m.steps, m.lists, m.blocked, recovered, m.quarantined)
}

// collect registers the gauges, which are gathered in one go when they are read.
func (m *metrics) collect(gather func() gauges) error { return m.register(newGaugeCollector(gather)) }

func (m *metrics) register(collectors ...prometheus.Collector) error {
	for _, c := range collectors {
		if err := m.registerer.Register(c); err != nil {
			return fmt.Errorf("register metrics: %w", err)
		}
	}
	return nil
}

// gauges are the numbers of one moment.
type gauges struct {
	waiting, running, pending, leftAlone, quarantined int
	oldestRead                                        float64          // seconds since the last read of the most silent range
	lag                                               map[string]int64 // of each held range, by its token
}

type gaugeCollector struct {
	gather func() gauges
	descs  []*prometheus.Desc
	lag    *prometheus.Desc
}

func newGaugeCollector(gather func() gauges) *gaugeCollector {
	desc := func(name, help string) *prometheus.Desc { return prometheus.NewDesc(name, help, nil, nil) }
	return &gaugeCollector{gather: gather, lag: prometheus.NewDesc("opfeed_feed_lag_transactions",
		"Transactions from the first change that is not handled to the end of the feed, of each held range, as of its last read.",
		[]string{"range"}, nil), descs: []*prometheus.Desc{
		desc("opfeed_changes_waiting", "Changes that wait for a step."),
		desc("opfeed_changes_running", "Changes with a step under way."),
		desc("opfeed_changes_pending", "Changes that are due again later."),
		desc("opfeed_changes_left_alone", "Changes left alone at their version."),
		desc("opfeed_changes_quarantined", "Documents in quarantine."),
		desc("opfeed_feed_staleness_seconds", "Time since the last completed read of the most silent held range."),
	}}
}

// Describe implements prometheus.Collector.
func (c *gaugeCollector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range c.descs {
		ch <- d
	}
	ch <- c.lag
}

// Collect implements prometheus.Collector.
func (c *gaugeCollector) Collect(ch chan<- prometheus.Metric) {
	g := c.gather()
	values := []float64{
		float64(g.waiting), float64(g.running), float64(g.pending),
		float64(g.leftAlone), float64(g.quarantined), g.oldestRead,
	}
	for i, d := range c.descs {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, values[i])
	}
	for token, lag := range g.lag {
		ch <- prometheus.MustNewConstMetric(c.lag, prometheus.GaugeValue, float64(lag), token)
	}
}
