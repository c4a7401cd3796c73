package processor_test

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"opfeed/internal/cosmosemu"
	"opfeed/internal/inproc"
	"opfeed/processor"
)

// shown is one metric: the sums over the series that have some labels.
type shown struct {
	series int
	value  float64 // of counters and gauges
	count  uint64  // of histograms
	sum    float64
}

// show gathers one metric, of the series whose labels contain all of the given
// "name=value".
func show(t *testing.T, from *prometheus.Registry, name string, labels ...string) (s shown) {
	t.Helper()
	families, err := from.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() != name {
			continue
		}
		for _, m := range f.GetMetric() {
			have := make([]string, 0, len(m.GetLabel()))
			for _, l := range m.GetLabel() {
				have = append(have, l.GetName()+"="+l.GetValue())
			}
			if slices.ContainsFunc(labels, func(l string) bool { return !slices.Contains(have, l) }) {
				continue
			}
			s.series++
			s.value += m.GetCounter().GetValue() + m.GetGauge().GetValue()
			s.count += m.GetHistogram().GetSampleCount()
			s.sum += m.GetHistogram().GetSampleSum()
		}
	}
	return s
}

// TestStalenessFollowsTheFeed: while reads of one of two ranges hang its staleness
// grows, and falls with the first that ends; the other's stays small.
func TestStalenessFollowsTheFeed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		if _, err := w.emu.Split("db", "docs", "0", cosmosemu.SplitOptions{}); err != nil {
			t.Fatal(err)
		}
		var hangs atomic.Bool
		r := w.start(&faulty{next: inproc.New(w.emu), before: func(req *http.Request) error {
			if hangs.Load() && isFeed(req) && req.Header.Get("X-Ms-Documentdb-Partitionkeyrangeid") == "1" {
				<-req.Context().Done()
				return req.Context().Err()
			}
			return nil
		}})
		staleness := func() map[string]float64 { return gathered(t, r.metrics, "opfeed_feed_staleness_seconds") }
		time.Sleep(10 * time.Second)
		if s := staleness(); len(s) != 2 || s["1"] > 1 || s["2"] > 1 {
			t.Fatalf("in health: %v", s)
		}
		if n := show(t, r.metrics, "opfeed_feed_reads_total", "range=1", "result=error"); n.series != 1 || n.value != 0 {
			t.Errorf("errors before the first: %+v", n)
		}
		hangs.Store(true)
		time.Sleep(2 * time.Minute)
		if s := staleness(); s["1"] < 119 || s["1"] > 121 || s["2"] > 1 {
			t.Errorf("after two minutes: %v", s)
		}
		empty, failed := show(t, r.metrics, "opfeed_feed_reads_total", "range=1", "result=empty"),
			show(t, r.metrics, "opfeed_feed_reads_total", "range=1", "result=error")
		if failed.value < 5 {
			t.Errorf("errors: %+v", failed)
		}
		hangs.Store(false)
		time.Sleep(20 * time.Second)
		if s := staleness(); s["1"] > 1 || s["2"] > 1 {
			t.Errorf("healed: %v", s)
		}
		if n := show(t, r.metrics, "opfeed_feed_reads_total", "range=1", "result=empty"); n.value <= empty.value {
			t.Errorf("%+v empty reads, before %+v", n, empty)
		}
	})
}

// TestStalenessOfWhatWasNeverRead counts from the beginning of the tenure.
func TestStalenessOfWhatWasNeverRead(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		first := w.start(inproc.New(w.emu)) // makes the leases
		time.Sleep(5 * time.Second)
		first.stop()
		r := w.start(&faulty{next: inproc.New(w.emu), before: func(req *http.Request) error {
			if isFeed(req) && req.Header.Get("If-None-Match") != "*" {
				return errors.New("no")
			}
			return nil
		}})
		time.Sleep(time.Minute)
		if s := gathered(t, r.metrics, "opfeed_feed_staleness_seconds"); s["0"] < 50 || s["0"] > 60 {
			t.Errorf("have %v", s)
		}
	})
}

// TestGaugesGoWithTheRange: what a replica tells of a range ends when it gives the
// range away, and its counters go on when it has it back.
func TestGaugesGoWithTheRange(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		if _, err := w.emu.Split("db", "docs", "0", cosmosemu.SplitOptions{}); err != nil {
			t.Fatal(err)
		}
		gauges := []string{"opfeed_feed_staleness_seconds", "opfeed_feed_oldest_unhandled_seconds", "opfeed_feed_lag_transactions"}
		counters := []string{"opfeed_feed_reads_total", "opfeed_feed_items_total", "opfeed_reader_blocked_seconds_total"}
		held := func(r *replica, token string, want bool) {
			t.Helper()
			for _, name := range gauges {
				if _, shown := gathered(t, r.metrics, name)[token]; shown != want {
					t.Errorf("%s of range %s: shown %t", name, token, shown)
				}
			}
		}
		a := w.start(inproc.New(w.emu))
		time.Sleep(10 * time.Second)
		for _, token := range []string{"1", "2"} {
			held(a, token, true)
		}
		b := w.start(inproc.New(w.emu))
		time.Sleep(30 * time.Second)
		given := "1"
		for _, r := range b.Snapshot().Ranges {
			if r.Mine {
				given = r.Token
			}
		}
		held(a, given, false)
		held(b, given, true)
		reads := show(t, a.metrics, "opfeed_feed_reads_total", "range="+given)
		for _, name := range counters {
			if n := show(t, b.metrics, name); n.series != show(t, b.metrics, name, "range="+given).series || n.series == 0 {
				t.Errorf("%s: %+v of ranges that b never held", name, n)
			}
			if n := show(t, a.metrics, name, "range="+given); n.series == 0 {
				t.Errorf("%s: those of a range that was given away are gone", name)
			}
		}
		b.stop()
		time.Sleep(time.Minute)
		held(a, given, true)
		if n := show(t, a.metrics, "opfeed_feed_reads_total", "range="+given); n.value <= reads.value {
			t.Errorf("%+v reads after the range came back, before %+v", n, reads)
		}
	})
}

// TestOldestUnhandledAgesWithAHungLook, and with nothing else.
func TestOldestUnhandledAgesWithAHungLook(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := newLibrary(t, stringKey, 1)
		hung := make(chan struct{})
		l.fail = func(i processor.Item, _ doc) error {
			if i.ID == "held" {
				<-hung
			}
			return nil
		}
		metrics := prometheus.NewRegistry()
		deps := l.deps(inproc.New(l.emu))
		deps.Metrics = metrics
		l.startWith(deps, fromBeginning)
		age := func() float64 { return show(t, metrics, "opfeed_feed_oldest_unhandled_seconds").value }
		l.put(doc{ID: "first"})
		time.Sleep(10 * time.Second)
		if have := age(); have != 0 {
			t.Errorf("%v while nothing is unhandled", have)
		}
		l.put(doc{ID: "held"})
		for range 10 {
			time.Sleep(time.Minute)
			l.put(doc{ID: "other"})
		}
		time.Sleep(time.Second)
		if have := age(); have < 600 || have > 602 {
			t.Errorf("%v after ten minutes", have)
		}
		if s := show(t, metrics, "opfeed_feed_staleness_seconds"); s.value > 1 {
			t.Errorf("the feed is stale: %+v", s)
		}
		close(hung)
		time.Sleep(time.Second)
		if have := age(); have != 0 {
			t.Errorf("%v once it is handled", have)
		}
	})
}

// TestUncoveredRangesAreTold by a replica that sees them and may write no lease.
func TestUncoveredRangesAreTold(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		if _, err := w.emu.Split("db", "docs", "0", cosmosemu.SplitOptions{}); err != nil {
			t.Fatal(err)
		}
		first := w.start(inproc.New(w.emu))
		time.Sleep(5 * time.Second)
		var refused atomic.Bool
		refused.Store(true)
		r := w.start(&faulty{next: inproc.New(w.emu), before: func(req *http.Request) error {
			if refused.Load() && req.Method == http.MethodPut {
				return errors.New("no")
			}
			return nil
		}})
		uncovered := func() float64 { return show(t, r.metrics, "opfeed_ranges_uncovered").value }
		time.Sleep(30 * time.Second)
		if have := uncovered(); have != 0 {
			t.Errorf("%v while the first replica runs", have)
		}
		first.stop()
		time.Sleep(time.Minute)
		if have := uncovered(); have != 2 {
			t.Errorf("%v ranges, want both", have)
		}
		refused.Store(false)
		time.Sleep(time.Minute)
		if have := uncovered(); have != 0 {
			t.Errorf("%v with both held", have)
		}
	})
}

// TestBlockedIsCountedWhileItLasts, by its range.
func TestBlockedIsCountedWhileItLasts(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := newLibrary(t, stringKey, 1)
		hung := make(chan struct{})
		l.fail = func(i processor.Item, _ doc) error {
			if strings.HasPrefix(i.ID, "held") {
				<-hung
			}
			return nil
		}
		metrics := prometheus.NewRegistry()
		deps := l.deps(inproc.New(l.emu))
		deps.Metrics = metrics
		l.startWith(deps, fromBeginning, func(c *processor.Config) { c.Waiting = 2 })
		blocked := func() float64 {
			return show(t, metrics, "opfeed_reader_blocked_seconds_total", "range=0").value
		}
		time.Sleep(10 * time.Second)
		if n := show(t, metrics, "opfeed_reader_blocked_seconds_total"); n.series != 1 || n.value != 0 {
			t.Errorf("in health: %+v", n)
		}
		for n := range 5 {
			l.put(doc{ID: fmt.Sprint("held-", n)})
		}
		for n := range 3 {
			time.Sleep(time.Minute)
			if have := blocked(); have < 58+60*float64(n) || have > 61+60*float64(n) {
				t.Errorf("%v after %d min", have, n+1)
			}
		}
		close(hung)
		time.Sleep(10 * time.Second)
		after := blocked()
		time.Sleep(time.Minute)
		if have := blocked(); have != after || have > 182 {
			t.Errorf("%v, %v at the end", after, have)
		}
	})
}

// TestListsAreTimed, those that fail apart.
func TestListsAreTimed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		var fails atomic.Bool
		r := w.start(&faulty{next: inproc.New(w.emu), before: func(req *http.Request) error {
			if !isQueryOf(req, "docs") {
				return nil
			}
			time.Sleep(3 * time.Second)
			if fails.Load() {
				return errors.New("no")
			}
			return nil
		}})
		list := func(result string) shown {
			return show(t, r.metrics, "opfeed_list_duration_seconds", "result="+result)
		}
		time.Sleep(10 * time.Second)
		if ok, failed := list("ok"), list("error"); ok.count != 1 || ok.sum < 3 || ok.sum > 4 || failed.series != 1 || failed.count != 0 {
			t.Errorf("the list on takeover: %+v, failed %+v", ok, failed)
		}
		fails.Store(true)
		time.Sleep(2 * time.Minute)
		if ok, failed := list("ok"), list("error"); ok.count != 1 || failed.count == 0 || failed.sum < 3*float64(failed.count) {
			t.Errorf("lists that fail: %+v, failed %+v", ok, failed)
		}
		if n := show(t, r.metrics, "opfeed_lists_total"); n.value != float64(list("ok").count+list("error").count) {
			t.Errorf("%+v counted", n)
		}
	})
}

// TestQuarantinedIsCountedByItsFault, whatever a reason says.
func TestQuarantinedIsCountedByItsFault(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		r := w.start(inproc.New(w.emu))
		time.Sleep(time.Second)
		w.put(doc{ID: "a", Value: "1", Op: "poison"})
		w.put(doc{ID: "b", Value: "1", Op: "poison"})
		w.put(doc{ID: "c", Value: "1", Op: "keyless"}) // the handler names no class
		time.Sleep(5 * time.Second)
		wantQuarantined(t, r.metrics, map[string]float64{"panic": 2, "other": 1})
		r.stop()

		l := newLibrary(t, stringKey, 1)
		l.fail = func(i processor.Item, _ doc) error {
			switch i.ID {
			case "panics":
				panic("undecodable")
			case "hopeless":
				return processor.GiveUp(errors.New("panic"))
			case "fails":
				return errors.New("no")
			}
			return nil
		}
		metrics := prometheus.NewRegistry()
		deps := l.deps(inproc.New(l.emu))
		deps.Metrics = metrics
		l.startWith(deps, fromBeginning, func(c *processor.Config) { c.FeedInterval = time.Second })
		for _, id := range []string{"panics", "hopeless", "fails"} {
			l.put(doc{ID: id})
		}
		time.Sleep(5 * time.Second)
		wantQuarantined(t, metrics, map[string]float64{"panic": 1, "given_up": 1})
		for n := range 60 {
			l.put(doc{ID: "well", Value: fmt.Sprint(n)})
			time.Sleep(time.Minute)
		}
		wantQuarantined(t, metrics, map[string]float64{"panic": 1, "given_up": 2})
	})
}

// wantQuarantined checks all series, those at 0 included.
func wantQuarantined(t *testing.T, from *prometheus.Registry, want map[string]float64) {
	t.Helper()
	reasons := []string{"undecodable", "unaddressable", "panic", "refused", "given_up", "other"}
	for _, reason := range reasons {
		if n := show(t, from, "opfeed_quarantined_total", "reason="+reason); n.series != 1 || n.value != want[reason] {
			t.Errorf("%s: %+v, want %v", reason, n, want[reason])
		}
	}
	if n := show(t, from, "opfeed_quarantined_total"); n.series != len(reasons) {
		t.Errorf("%d series", n.series)
	}
}
