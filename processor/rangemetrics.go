package processor

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// preset makes the counters of a range exist before anything happens to it. They
// outlast its tenure: when it comes back they go on.
func (m *metrics) preset(token string) {
	for _, result := range []string{resultItems, resultEmpty, resultError} {
		m.reads.WithLabelValues(token, result)
	}
	for _, name := range actionNames {
		m.items.WithLabelValues(token, name)
	}
	m.blocked.WithLabelValues(token)
}

// rangeCollector tells, when it is asked, how the ranges are that are held at that
// moment. A range that is given away shows nothing, and is its next owner's.
type rangeCollector struct {
	p *Processor

	staleness, unhandled, lag, uncovered *prometheus.Desc
}

func newRangeCollector(p *Processor) *rangeCollector {
	ofRange := func(name, help string) *prometheus.Desc {
		return prometheus.NewDesc(name, help, []string{"range"}, nil)
	}
	return &rangeCollector{
		p: p,
		staleness: ofRange("opfeed_feed_staleness_seconds",
			"Time since the last completed read of a held range's feed, or since the range is held."),
		unhandled: ofRange("opfeed_feed_oldest_unhandled_seconds",
			"Time since the oldest page was read of which something is not handled yet, of each held range; 0 if there is none."),
		lag: ofRange("opfeed_feed_lag_transactions",
			"Transactions from the first change that is not handled to the end of the feed, of each held range, as of its last read."),
		uncovered: prometheus.NewDesc("opfeed_ranges_uncovered",
			"Live ranges that nobody serves, as far as this replica can see.", nil, nil),
	}
}

// Describe implements prometheus.Collector.
func (c *rangeCollector) Describe(ch chan<- *prometheus.Desc) {
	ch <- c.staleness
	ch <- c.unhandled
	ch <- c.lag
	ch <- c.uncovered
	c.p.metrics.blocked.Describe(ch)
}

// Collect implements prometheus.Collector.
func (c *rangeCollector) Collect(ch chan<- prometheus.Metric) {
	gauge := func(d *prometheus.Desc, value float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, value, labels...)
	}
	uncovered := 1 // before it is known which leases there are: all of it
	if m := c.p.opened(); m != nil {
		uncovered = len(m.Uncovered())
	}
	gauge(c.uncovered, float64(uncovered))
	for _, t := range c.p.held() {
		token, now := t.lease.Token(), time.Now()
		gauge(c.staleness, t.staleness(now).Seconds(), token)
		age := time.Duration(0)
		if read := t.watermark.oldest(); !read.IsZero() {
			age = now.Sub(read)
		}
		gauge(c.unhandled, age.Seconds(), token)
		if lag, known := t.watermark.lag(); known {
			gauge(c.lag, float64(lag), token)
		}
		t.countBlocked(now)
	}
	c.p.metrics.blocked.Collect(ch) // with what has just been counted
}

// staleness is the time since the last completed read; before the first it counts
// from the beginning of the tenure.
func (t *tenure) staleness(now time.Time) time.Duration {
	t.mu.Lock()
	defer t.mu.Unlock()
	last := t.began
	if t.lastRead.After(last) {
		last = t.lastRead
	}
	return now.Sub(last)
}
