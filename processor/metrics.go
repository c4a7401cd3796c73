package processor

import (
	"fmt"
	"sync/atomic"
	"time"

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
	waits       *prometheus.HistogramVec
	took        *prometheus.HistogramVec
	intervals   prometheus.Histogram
	lists       *prometheus.CounterVec
	listTime    *prometheus.HistogramVec
	blocked     *prometheus.CounterVec
	recovered   atomic.Int64
	quarantined *prometheus.CounterVec
}

func newMetrics(r prometheus.Registerer) (*metrics, error) {
	vector := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
	}
	histogram := func(name, help string, buckets []float64, labels ...string) *prometheus.HistogramVec {
		return prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: name, Help: help, Buckets: buckets}, labels)
	}
	m := &metrics{
		registerer: r,
		reads:      vector("opfeed_feed_reads_total", "Reads of the change feed by range and result.", "range", "result"),
		items:      vector("opfeed_feed_items_total", "Items of the change feed by range and what became of them.", "range", "action"),
		steps:      vector("opfeed_steps_total", "Steps by source of the look and result.", "source", "result"),
		lists:      vector("opfeed_lists_total", "Lists of everything pending by result.", "result"),
		waits: histogram("opfeed_dispatch_wait_seconds",
			"Time from when a step was due, or its change came, to its begin, by source of the look.", waitBuckets, "source"),
		took: histogram("opfeed_dispatch_step_seconds",
			"Time from the begin of a step to its end, by source of the look.", waitBuckets, "source"),
		intervals: prometheus.NewHistogram(prometheus.HistogramOpts{Name: "opfeed_sweep_interval_seconds",
			Help:    "Time between the begins of two steps of one pending change.",
			Buckets: []float64{1, 2.5, 5, 9, 11, 15, 20, 30, 60, 120, 300, 600}}),
		listTime: histogram("opfeed_list_duration_seconds",
			"Duration of lists of everything pending, with the handing over of what they show, by result.",
			[]float64{.01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60}, "result"),
		blocked:     vector("opfeed_reader_blocked_seconds_total", "Time for which the reader of a range waited for a free place in a queue.", "range"),
		quarantined: vector("opfeed_quarantined_total", "Documents put into quarantine, by what is wrong with them.", "reason"),
	}
	for _, fault := range dispatch.Faults() {
		m.quarantined.WithLabelValues(fault.String())
	}
	for _, result := range []string{resultOK, resultError} {
		m.lists.WithLabelValues(result)
		m.listTime.WithLabelValues(result)
	}
	for _, source := range []dispatch.Source{dispatch.Feed, dispatch.List, dispatch.Due} {
		m.waits.WithLabelValues(source.String())
		m.took.WithLabelValues(source.String())
		m.steps.WithLabelValues(source.String(), resultError)
		for _, v := range []dispatch.Verdict{dispatch.Done, dispatch.Again, dispatch.LeftAlone, dispatch.Quarantine} {
			m.steps.WithLabelValues(source.String(), v.String())
		}
	}
	recovered := prometheus.NewCounterFunc(prometheus.CounterOpts{
		Name: "opfeed_recovered_total", Help: "Changes that a list showed and the feed should have brought.",
	}, func() float64 { return float64(m.recovered.Load()) })
	return m, m.register(m.reads, m.items, m.steps, m.waits, m.took, m.intervals, m.lists, m.listTime, recovered, m.quarantined)
}

// waitBuckets reach from a step that waits for nothing to a backlog of half an hour.
var waitBuckets = []float64{.001, .005, .01, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 300, 1800}

// stepped counts a step that has ended.
func (m *metrics) stepped(s dispatch.Step) {
	source := s.Change.Source.String()
	m.waits.WithLabelValues(source).Observe(s.Waited.Seconds())
	m.took.WithLabelValues(source).Observe(s.Took.Seconds())
	if s.Interval > 0 {
		m.intervals.Observe(s.Interval.Seconds())
	}
}

// listed counts one list of everything pending.
func (m *metrics) listed(took time.Duration, err error) {
	result := resultOK
	if err != nil {
		result = resultError
	}
	m.lists.WithLabelValues(result).Inc()
	m.listTime.WithLabelValues(result).Observe(took.Seconds())
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
	memory                                            int64         // bytes
	oldestWaiting, longestRunning, overdue            time.Duration // see dispatch.Stats
	places                                            [2]places     // of looks, and of those aside
}

// places are those of one gate.
type places struct{ all, used int }

// gateNames are the values of the label "gate".
var gateNames = [2]string{"looks", "asides"}

type gaugeCollector struct {
	gather       func() gauges
	descs        []*prometheus.Desc
	places, used *prometheus.Desc
}

func newGaugeCollector(gather func() gauges) *gaugeCollector {
	desc := func(name, help string) *prometheus.Desc { return prometheus.NewDesc(name, help, nil, nil) }
	return &gaugeCollector{gather: gather,
		places: prometheus.NewDesc("opfeed_dispatch_places", "Looks that may run at once, by gate.", []string{"gate"}, nil),
		used:   prometheus.NewDesc("opfeed_dispatch_places_used", "Looks that run, by gate.", []string{"gate"}, nil),
		descs: []*prometheus.Desc{
			desc("opfeed_changes_waiting", "Changes that wait for a step."),
			desc("opfeed_changes_running", "Changes with a step under way."),
			desc("opfeed_changes_pending", "Changes that are due again later."),
			desc("opfeed_changes_left_alone", "Changes left alone at their version."),
			desc("opfeed_changes_quarantined", "Documents in quarantine."),
			desc("opfeed_changes_oldest_waiting_seconds", "How long the change that has waited longest for a step has waited, but for those aside."),
			desc("opfeed_changes_longest_running_seconds", "How long the longest step under way has run."),
			desc("opfeed_sweep_overdue_seconds", "How late the next step of the most overdue pending change is, but for those aside."),
			desc("opfeed_dispatch_document_bytes", "Documents kept in memory for changes that wait or are pending."),
		}}
}

// Describe implements prometheus.Collector.
func (c *gaugeCollector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range c.descs {
		ch <- d
	}
	ch <- c.places
	ch <- c.used
}

// Collect implements prometheus.Collector.
func (c *gaugeCollector) Collect(ch chan<- prometheus.Metric) {
	g := c.gather()
	values := []float64{
		float64(g.waiting), float64(g.running), float64(g.pending),
		float64(g.leftAlone), float64(g.quarantined),
		g.oldestWaiting.Seconds(), g.longestRunning.Seconds(), g.overdue.Seconds(), float64(g.memory),
	}
	for i, d := range c.descs {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, values[i])
	}
	for i, gate := range gateNames {
		ch <- prometheus.MustNewConstMetric(c.places, prometheus.GaugeValue, float64(g.places[i].all), gate)
		ch <- prometheus.MustNewConstMetric(c.used, prometheus.GaugeValue, float64(g.places[i].used), gate)
	}
}
