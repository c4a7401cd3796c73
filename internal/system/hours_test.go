package system_test

import (
	"flag"
	"testing"
	"testing/synctest"
	"time"

	"opfeed/internal/inproc"
	"opfeed/internal/workload"
)

// hour is how long TestHours lets each fault last: `make faults` a simulated
// hour, everybody else some minutes.
var hour = flag.Duration("faults.for", shortHour, "how long each fault of TestHours lasts")

// TestHours lets the service work for an hour under each fault in turn. It may
// be slow then, but goes on: most operations are taken up long before the fault
// is over. When it is, every operation ends as Cluster Service says, and no
// document has been blamed for it.
func TestHours(t *testing.T) {
	t.Parallel()
	for name, trouble := range cosmosFaults {
		inHour(t, "cosmos/"+name, func(w *world) error { return w.cosmos.Faults().Add(trouble.rule(name, nil)) })
	}
	for name, trouble := range csFaults {
		inHour(t, "cs/"+name, func(w *world) error { return w.cs.Faults().Add(trouble.rule(name, nil)) })
	}
}

func inHour(t *testing.T, name string, begin func(*world) error) {
	t.Run(name, func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t)
			if err := begin(w); err != nil {
				t.Fatal(err)
			}
			r := w.start(inproc.New(w.cosmos))
			over := make(chan struct{})
			go func() {
				defer close(over)
				time.Sleep(*hour)
				w.wantHit()
				w.heal()
			}()
			const rate, slow = 0.25, 45 * time.Second
			report, err := w.frontEnd(func(c *workload.Config) {
				c.Subscriptions, c.Rate, c.For, c.Drain = 5, rate, *hour-10*time.Second, 10*time.Minute
			}).Run(t.Context())
			if err != nil {
				t.Error(err)
			}
			<-over
			w.want(report, int(rate*hour.Seconds()/4))
			if p := report.PickupSeconds; p.P50 > slow.Seconds() {
				t.Errorf("half of the operations were taken up after more than %v: %+v", slow, p)
			}
			if s := r.Snapshot(); len(s.Quarantined) > 0 || s.LeftAlone > 0 {
				t.Errorf("quarantined %+v, left alone %d", s.Quarantined, s.LeftAlone)
			}
			picked, took := report.PickupSeconds, report.WriteBackSeconds
			t.Logf("%s: %d operations, picked up p50 %.2f s, max %.1f s; written back p50 %.1f s, max %.1f s",
				name, report.Operations.Created, picked.P50, picked.Max, took.P50, took.Max)
		})
	})
}

// wantHit fails the test if a fault hit nothing: then it proved nothing.
func (w *world) wantHit() {
	w.t.Helper()
	hits := 0
	for _, f := range w.cosmos.Faults().Reports() {
		hits += f.Hits
	}
	for _, f := range w.cs.Faults().Reports() {
		hits += f.Hits
	}
	if hits == 0 {
		w.t.Error("the fault hit no request")
	}
}

// heal ends all faults.
func (w *world) heal() {
	w.cosmos.Faults().Clear()
	w.cs.Faults().Clear()
}
