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
		w.tellsARM()
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

// TestReplicasShareLeases keeps the other tests honest: their replicas are rivals
// for the same range, and not each alone with leases of its own.
func TestReplicasShareLeases(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		replicas := []*replica{w.start(inproc.New(w.cosmos)), w.start(inproc.New(w.cosmos))}
		time.Sleep(settle)
		holders := 0
		for _, r := range replicas {
			ranges := r.Snapshot().Ranges
			if len(ranges) != 1 {
				t.Fatalf("a replica sees %d leases, want 1: %+v", len(ranges), ranges)
			}
			if ranges[0].Mine {
				holders++
			}
		}
		if holders != 1 {
			t.Errorf("%d replicas hold the range", holders)
		}
	})
}

// TestKilledAtEveryWrite kills a replica at each of its writes in turn, before
// or after the write was applied, while operations of all eleven kinds are under
// way, and starts another one.
func TestKilledAtEveryWrite(t *testing.T) {
	t.Parallel()
	var writes int64
	synctest.Test(t, func(t *testing.T) { writes = killedAt(t, 0, false) })
	if writes < 50 {
		t.Fatalf("a replica that is not killed writes %d times: too few to prove anything", writes)
	}
	if everyWrite > 1 {
		t.Logf("with the race detector one write of %d is tried; without it each of the %d", everyWrite, writes)
	}
	for _, applied := range []bool{false, true} {
		t.Run(fmt.Sprintf("applied=%v", applied), func(t *testing.T) {
			t.Parallel()
			for n := int64(1); n <= writes; n += everyWrite {
				t.Run(fmt.Sprint(n), func(t *testing.T) {
					synctest.Test(t, func(t *testing.T) { killedAt(t, n, applied) })
				})
			}
		})
	}
}

// killedAt runs the traffic against a replica that is killed at its n-th write,
// and another one that takes over. It returns how much the first one wrote until
// all operations had ended; with n of 0 it is not killed.
func killedAt(t *testing.T, n int64, applied bool) int64 {
	w := newWorld(t)
	victim := &mortal{next: inproc.New(w.cosmos), n: n, applied: applied}
	w.start(victim)
	f := w.frontEnd(func(c *workload.Config) {
		c.Subscriptions, c.Rate, c.For, c.Drain = 3, 2.5, 6*time.Second, 4*time.Minute
	})
	ended := make(chan workload.Report, 1)
	go func() {
		report, err := f.Run(t.Context())
		if err != nil {
			t.Error(err)
		}
		ended <- report
	}()
	if n > 0 {
		for start := time.Now(); !victim.dead.Load(); time.Sleep(100 * time.Millisecond) {
			if time.Since(start) > 5*time.Minute {
				t.Fatalf("write %d never came", n)
			}
		}
		w.start(inproc.New(w.cosmos))
	}
	w.want(<-ended, 10)
	return victim.writes.Load()
}
