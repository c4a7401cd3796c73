package system_test

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"opfeed/internal/inproc"
	"opfeed/internal/workload"
)

// TestFiveHundredSubscriptions spreads operations over 500 subscriptions and
// sees every one of them handled.
func TestFiveHundredSubscriptions(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const subscriptions, rate = 500, 25
		w := newWorld(t)
		r := w.start(inproc.New(w.cosmos))
		time.Sleep(settle)
		report, err := w.frontEnd(func(c *workload.Config) {
			c.Subscriptions, c.Rate, c.For, c.Drain = subscriptions, rate, 40*time.Second, 2*time.Minute
		}).Run(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		w.want(report, 2*subscriptions)
		if s := r.Snapshot(); s.Recovered != 0 || len(s.Quarantined) != 0 || s.LeftAlone != 0 {
			t.Errorf("in health: recovered %d, quarantined %d, left alone %d", s.Recovered, len(s.Quarantined), s.LeftAlone)
		}
		t.Log(report.Words())
	})
}

// TestKilledAtEveryWrite kills a replica at each of its writes in turn, before
// or after the write was applied, while operations of all nine kinds are under
// way, and starts another one.
func TestKilledAtEveryWrite(t *testing.T) {
	t.Parallel()
	for _, applied := range []bool{false, true} {
		t.Run(fmt.Sprintf("applied=%v", applied), func(t *testing.T) {
			t.Parallel()
			most := int64(1)
			if everyWrite > 1 {
				t.Logf("with the race detector one write of %d is tried; without it every one", everyWrite)
			}
			for n := int64(1); n <= most; n += everyWrite {
				t.Run(fmt.Sprint(n), func(t *testing.T) {
					synctest.Test(t, func(t *testing.T) {
						if writes := killedAt(t, n, applied); n == 1 {
							most = writes
						}
					})
				})
			}
		})
	}
}

func killedAt(t *testing.T, n int64, applied bool) int64 {
	w := newWorld(t)
	victim := &mortal{next: inproc.New(w.cosmos), n: n, applied: applied}
	w.start(victim)
	done := make(chan workload.Report, 1)
	f := w.frontEnd(func(c *workload.Config) {
		c.Subscriptions, c.Rate, c.For, c.Drain = 3, 2.5, 6*time.Second, 4*time.Minute
	})
	go func() {
		defer close(done)
		report, err := f.Run(t.Context())
		if err != nil {
			t.Error(err)
		}
		done <- report
	}()
	for start := time.Now(); !victim.dead.Load() && time.Since(start) < 5*time.Minute; {
		time.Sleep(100 * time.Millisecond)
	}
	survivor := &mortal{next: inproc.New(w.cosmos)}
	w.start(survivor)
	w.want(<-done, 10)
	return survivor.writes.Load()
}
