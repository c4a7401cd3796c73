package system_test

import (
	"flag"
	"testing"
	"testing/synctest"
	"time"

	"opfeed/cs/cssim"
	"opfeed/internal/inproc"
	"opfeed/internal/service"
	"opfeed/internal/workload"
)

var limits = flag.Bool("limits", false, "run the tests of make limits: how much is held up by much work")

// TestSweepIsKept has 10,000 operations pending over 100 subscriptions, with 50 ms
// for each answer of Cluster Service, and holds every write-back to the interval of
// the sweep, with a little for the answers and the second look. What is told is never
// from before the request, so that nothing has to settle first.
func TestSweepIsKept(t *testing.T) {
	if !*limits {
		t.Skip("SKIPPED: takes minutes, make limits runs it")
	}
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		rate, many := 70.0, 10000
		if testing.Short() {
			rate, many = 14, 2000
		}
		w.cs = cssim.New(cssim.Options{Seed: 3, Speed: 3, FailureRate: 0.1, Latency: 50 * time.Millisecond,
			StaleAfterPatch: -1, StaleAfterDelete: -1})
		w.tune = func(c *service.Config) { c.Operations.SettleTime = time.Second }
		r := w.start(inproc.New(w.cosmos))
		time.Sleep(settle)
		f := w.frontEnd(func(c *workload.Config) {
			c.Subscriptions, c.Rate, c.For, c.Drain = 100, rate, 6*time.Minute, time.Hour
		})
		ended := make(chan workload.Report, 1)
		go func() {
			report, err := f.Run(t.Context())
			if err != nil {
				t.Error(err)
			}
			ended <- report
		}()
		most := 0
		for range 60 {
			time.Sleep(10 * time.Second)
			pending := r.Snapshot().Pending
			most = max(most, pending)
		}
		report := <-ended
		w.want(report, 2*many)
		t.Logf("at most %d pending\n%s", most, report.Words())
		if most < many {
			t.Errorf("at most %d were pending: too few to prove anything", most)
		}
		const bound = 12 // a sweep, a second look, and what goes on beside
		if late := report.WriteBackSeconds; late.Max > bound {
			t.Errorf("an outcome is written back after %.1f s, want %d s at most", late.Max, bound)
		}
	})
}
