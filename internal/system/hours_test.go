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
// be slow then; when the fault is over every operation ends as Cluster Service
// says.
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
			w.start(inproc.New(w.cosmos))
			over := make(chan struct{})
			go func() {
				defer close(over)
				time.Sleep(*hour)
				w.wantHit()
				w.heal()
			}()
			const rate = 0.25
			report, err := w.frontEnd(func(c *workload.Config) {
				c.Subscriptions, c.Rate, c.For, c.Drain = 5, rate, *hour-10*time.Second, 10*time.Minute
			}).Run(t.Context())
			if err != nil {
				t.Error(err)
			}
			<-over
			w.want(report, int(rate*hour.Seconds()/4))
			took := report.WriteBackSeconds
			t.Logf("%s: %d operations, write-back p50 %.1f s, p99 %.1f s, max %.1f s", name, report.Operations.Created, took.P50, took.P99, took.Max)
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
