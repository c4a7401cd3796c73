package cs_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"opfeed/cs"
	"opfeed/cs/cssim"
	"opfeed/internal/fault"
)

// gauge reads one metric without labels.
func (r *rig) gauge(t *testing.T, name string) float64 {
	t.Helper()
	families, err := r.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, family := range families {
		if family.GetName() == name {
			return family.GetMetric()[0].GetGauge().GetValue()
		}
	}
	t.Fatalf("no metric %s", name)
	return 0
}

const breakerOpen = "opfeed_cluster_service_breaker_open"

// TestOutage: 1,000 objects are polled every 10 s by as many callers, and Cluster
// Service answers nobody for 10 minutes.
func TestOutage(t *testing.T) {
	const objects, outage = 1000, 10 * time.Minute
	for name, effect := range map[string]fault.Effect{
		"503":   {Status: 503},
		"reset": {Reply: fault.Reset},
		"hang":  {Reply: fault.Hang},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				sim := cssim.New(cssim.Options{Latency: 50 * time.Millisecond})
				r := newRig(t, sim)
				refs := many(cs.Cluster, objects)
				for _, ref := range refs {
					plant(t, sim, cssim.Planted{InternalID: ref.Path(), State: "ready"})
				}
				if r.gauge(t, breakerOpen) != 0 {
					t.Error("it is open from the start")
				}
				ctx, cancel := context.WithCancel(t.Context())
				var first [objects]atomic.Int64 // answer after the outage, as the time since its end
				var end atomic.Pointer[time.Time]
				var refusals atomic.Int64
				var wg sync.WaitGroup
				for i, ref := range refs {
					wg.Go(func() {
						time.Sleep(time.Duration(i) * 10 * time.Millisecond)
						for ctx.Err() == nil {
							pause := 10 * time.Second
							_, err := r.Status(ctx, ref)
							var u *cs.UnavailableError
							switch {
							case err == nil:
								if end := end.Load(); end != nil {
									first[i].CompareAndSwap(0, int64(time.Since(*end)))
								}
							case errors.As(err, &u) && u.RetryAfter > 0:
								pause = u.RetryAfter
								refusals.Add(1)
							}
							select {
							case <-time.After(pause):
							case <-ctx.Done():
							}
						}
					})
				}
				time.Sleep(30 * time.Second)
				_, before := sim.Requests()
				start := time.Now()
				if err := sim.Faults().Add(cssim.Fault{Name: "outage", Effect: cssim.Effect{Effect: effect}}); err != nil {
					t.Fatal(err)
				}
				time.Sleep(outage)
				_, after := sim.Requests()
				if ok, since, _ := r.Healthy(); ok || since.Before(start) || since.Sub(start) > 15*time.Second {
					t.Errorf("at the end of the outage: healthy %v since %v", ok, since.Sub(start))
				}
				if r.gauge(t, breakerOpen) != 1 {
					t.Error("it is not open at the end of the outage")
				}
				// Until it opens: 15 s of calls at 100 a second; of those that hang, three
				// full pools, since the first tells only after the deadline.
				early, probes := 1500+10, int(outage/(5*time.Second))
				if n := after - before; n > probes+early || n < probes/3 {
					t.Errorf("%d requests in the outage, want at most %d probes and %d before it is noticed", n, probes, early)
				}
				least, most := time.Hour, time.Duration(0)
				for _, ref := range refs {
					var u *cs.UnavailableError
					if _, err := r.Status(t.Context(), ref); errors.As(err, &u) && errors.Is(err, cs.ErrOpen) {
						least, most = min(least, u.RetryAfter), max(most, u.RetryAfter)
					}
				}
				if most-least < 4*time.Second || most > 10*time.Second {
					t.Errorf("told to come back after %v to %v, want a spread of 5 s", least, most)
				}
				sim.Faults().Clear()
				now := time.Now()
				end.Store(&now)
				// The pause until a probe and the spread after it are 5 s each at most, and
				// who is refused while it runs comes a second later. A probe that hangs
				// has to end first.
				bound := 11*time.Second + 200*time.Millisecond
				if effect.Reply == fault.Hang {
					bound += 10 * time.Second
				}
				time.Sleep(30 * time.Second)
				var worst time.Duration
				for i := range first {
					at := time.Duration(first[i].Load())
					worst = max(worst, at)
					if at == 0 || at > bound {
						t.Fatalf("object %d was answered %v after the end, want within %v", i, at, bound)
					}
				}
				if r.gauge(t, breakerOpen) != 0 {
					t.Error("it is open after the outage")
				}
				cancel()
				wg.Wait()
				t.Logf("%d requests, %d calls that failed at once; all answered %v after the end", after-before, refusals.Load(), worst)
				var lines []string
				for _, e := range r.logs.All() {
					lines = append(lines, e.Message)
				}
				if want := "[cluster service works cluster service does not work cluster service works]"; fmt.Sprint(lines) != want {
					t.Errorf("logged %v, want %v", lines, want)
				}
			})
		})
	}
}

// pollers asks for each object every 10 s, or when a refusal says, and hands each
// answer to told. The stop func waits for all.
func pollers(t *testing.T, r *rig, refs []cs.Ref, told func(ref cs.Ref, took time.Duration, err error)) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	for i, ref := range refs {
		wg.Go(func() {
			time.Sleep(time.Duration(i) * 10 * time.Second / time.Duration(len(refs)))
			for ctx.Err() == nil {
				start, pause := time.Now(), 10*time.Second
				_, err := r.Status(ctx, ref)
				told(ref, time.Since(start), err)
				var u *cs.UnavailableError
				if errors.As(err, &u) && u.RetryAfter > 0 {
					pause = u.RetryAfter
				}
				select {
				case <-time.After(pause):
				case <-ctx.Done():
				}
			}
		})
	}
	return func() { cancel(); wg.Wait() }
}

// TestPoisonousObjects: objects that draw 500 or hang for ever cost the others
// nothing while these are answered, and no more than a few probes after an outage,
// although they ask, and are refused, like all others.
func TestPoisonousObjects(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sim := cssim.New(cssim.Options{Latency: 50 * time.Millisecond})
		r := newRig(t, sim)
		refs := many(cs.Cluster, 12)
		for _, ref := range refs {
			plant(t, sim, cssim.Planted{InternalID: ref.Path(), State: "ready"})
		}
		poison := map[string]fault.Effect{"x000|x001|x002|x003|x004|x005|x006|x007": {Status: 500}, "x008|x009|x010": {Reply: fault.Hang}}
		well := refs[11]
		for ids, effect := range poison {
			if err := sim.Faults().Add(cssim.Fault{Name: ids[:4], Match: fault.Match{"cluster": ids}, Effect: cssim.Effect{Effect: effect}}); err != nil {
				t.Fatal(err)
			}
		}
		var answered atomic.Int64
		stop := pollers(t, r, refs, func(ref cs.Ref, _ time.Duration, err error) {
			if ref == well && err == nil {
				answered.Add(1)
			}
		})
		defer stop()
		// One of twelve is well: eleven silent ones in a row open the breaker, and the
		// well one still has its turns.
		time.Sleep(30 * time.Minute)
		if n := answered.Load(); n < 20 {
			t.Errorf("the well one was answered %d times in half an hour", n)
		}
		for range 5 {
			if err := sim.Faults().Add(cssim.Fault{Name: "outage", Effect: cssim.Effect{Effect: fault.Effect{Status: 503}}}); err != nil {
				t.Fatal(err)
			}
			time.Sleep(2 * time.Minute)
			answered.Store(0)
			sim.Faults().Remove("outage")
			end := time.Now()
			for answered.Load() == 0 {
				time.Sleep(time.Second)
				// Eleven turns of others: 5 s or, of those that hang, 10 s each, and as
				// much as 6 s until the next one comes.
				if time.Since(end) > 3*time.Minute {
					t.Fatal("a well object is not answered 3 minutes after the outage")
				}
			}
			t.Logf("answered %v after the outage", time.Since(end))
		}
	})
}

// TestMixDoesNotOpen: every other call fails, and the others keep it closed.
func TestMixDoesNotOpen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sim := cssim.New(cssim.Options{Latency: 50 * time.Millisecond})
		r := newRig(t, sim)
		refs := many(cs.Cluster, 100)
		for _, ref := range refs {
			plant(t, sim, cssim.Planted{InternalID: ref.Path(), State: "ready"})
		}
		if err := sim.Faults().Add(cssim.Fault{Name: "mix", When: fault.When{Probability: .5, Seed: 1}, Effect: cssim.Effect{Effect: fault.Effect{Status: 503}}}); err != nil {
			t.Fatal(err)
		}
		var refusals atomic.Int64
		stop := pollers(t, r, refs, func(_ cs.Ref, _ time.Duration, err error) {
			if errors.Is(err, cs.ErrOpen) {
				refusals.Add(1)
			}
		})
		time.Sleep(10 * time.Minute)
		stop()
		if n := refusals.Load(); n > 0 {
			t.Errorf("%d calls were refused", n)
		}
	})
}

// TestHiccup: all calls in flight fail at once, and no other.
func TestHiccup(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sim := cssim.New(cssim.Options{})
		r := newRig(t, sim)
		refs := many(cs.Cluster, 64)
		for _, ref := range refs {
			plant(t, sim, cssim.Planted{InternalID: ref.Path(), State: "ready"})
		}
		if err := sim.Faults().Add(cssim.Fault{Name: "hiccup", When: fault.When{Times: 64}, Effect: cssim.Effect{Effect: fault.Effect{Reply: fault.Reset}}}); err != nil {
			t.Fatal(err)
		}
		var wg sync.WaitGroup
		for _, ref := range refs {
			wg.Go(func() {
				if _, err := r.Status(t.Context(), ref); sortOf(err) != unavailable || errors.Is(err, cs.ErrOpen) {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		status(t, r.Client, refs[0])
	})
}

// TestHungCallDelaysNoOther: one object hangs for ever, and costs no other anything,
// and itself its deadline.
func TestHungCallDelaysNoOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sim := cssim.New(cssim.Options{Latency: 50 * time.Millisecond})
		r := newRig(t, sim)
		refs := many(cs.Cluster, 1000)
		for _, ref := range refs {
			plant(t, sim, cssim.Planted{InternalID: ref.Path(), State: "ready"})
		}
		hung := refs[17]
		if err := sim.Faults().Add(cssim.Fault{Name: "hang", Match: fault.Match{"cluster": hung.Cluster}, Effect: cssim.Effect{Effect: fault.Effect{Reply: fault.Hang}}}); err != nil {
			t.Fatal(err)
		}
		var calls atomic.Int64
		stop := pollers(t, r, refs, func(ref cs.Ref, took time.Duration, err error) {
			calls.Add(1)
			want := 50 * time.Millisecond
			if ref == hung {
				want = 10 * time.Second
			}
			// The last round is cut short by the end of the test.
			if took != want && !errors.Is(err, context.Canceled) {
				t.Errorf("%v: %v after %v, want %v", ref, err, took, want)
			}
		})
		time.Sleep(5 * time.Minute)
		stop()
		if n := calls.Load(); n < 29_000 {
			t.Errorf("%d calls", n)
		}
	})
}
