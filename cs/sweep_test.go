package cs_test

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"opfeed/cs"
	"opfeed/cs/cssim"
	"opfeed/internal/fault"
)

const (
	listsTotal    = "opfeed_cluster_service_lists_total"
	listAnswers   = "opfeed_cluster_service_list_answers_total"
	disagreements = "opfeed_cluster_service_list_disagreements_total"
)

// sweeping is a Sweep over the simulator.
type sweeping struct {
	*rig
	*cs.Sweep
	sim *cssim.Server
}

func newSweeping(t *testing.T, o cssim.Options, change ...func(*cs.Config)) *sweeping {
	t.Helper()
	sim := cssim.New(o)
	r := newRig(t, sim, change...)
	return &sweeping{r, cs.NewSweep(r.Client), sim}
}

// pending plants objects in a state and expects each within the next 2 s.
func (s *sweeping) pending(t *testing.T, kind cs.Kind, n int, state string) []cs.Ref {
	t.Helper()
	refs := many(kind, n)
	for i, ref := range refs {
		plant(t, s.sim, cssim.Planted{InternalID: ref.Path(), State: state})
		s.Expect(ref, time.Now().Add(time.Duration(i)*2*time.Second/time.Duration(n)))
	}
	return refs
}

func (s *sweeping) fault(t *testing.T, f cssim.Fault) {
	t.Helper()
	f.Name = "f"
	if err := s.sim.Faults().Add(f); err != nil {
		t.Fatal(err)
	}
}

func (s *sweeping) requests() int {
	_, n := s.sim.Requests()
	return n
}

func onLists(e cssim.Effect) cssim.Fault {
	return cssim.Fault{Match: fault.Match{"kind": "list"}, Effect: e}
}

// TestSweepSharesLists: all that are due about now are answered by one list, and
// what has changed, is gone or was never there is to be asked for.
func TestSweepSharesLists(t *testing.T) {
	for _, kind := range []cs.Kind{cs.Cluster, cs.NodePool, cs.ExternalAuth} {
		synctest.Test(t, func(t *testing.T) {
			s := newSweeping(t, cssim.Options{Latency: 50 * time.Millisecond})
			refs := s.pending(t, kind, 60, "stuck")
			plant(t, s.sim, cssim.Planted{InternalID: refs[7].Path(), State: "ready"})
			plant(t, s.sim, cssim.Planted{InternalID: refs[8].Path(), State: "gone"})
			absent := cs.Ref{Kind: kind, Cluster: "c", Child: "never"}
			if kind == cs.Cluster {
				absent = cs.Ref{Kind: kind, Cluster: "never"}
			}
			s.Expect(absent, time.Now())
			for i, ref := range append(refs, absent) {
				start := time.Now()
				got := same(s.Unchanged(t.Context(), ref, "stuck"))
				if want := i != 7 && i != 8 && ref != absent; got != want {
					t.Errorf("%v: %v, want %v", ref, got, want)
				}
				if took := time.Since(start); i > 0 && took != 0 {
					t.Errorf("%v: waited %v for a list that is there", ref, took)
				}
			}
			if n := s.requests(); n != 1 {
				t.Errorf("%v: %d requests, want one list", kind, n)
			}
			if same(s.Unchanged(t.Context(), refs[0], "")) || same(s.Unchanged(t.Context(), refs[0], "Stuck")) {
				t.Error("unchanged in a state that it is not in")
			}
			answers := s.counter(t, listAnswers)
			if k := kind.String(); answers[k+"/unchanged"] != 58 || answers[k+"/changed"] != 2 || answers[k+"/missing"] != 2 {
				t.Errorf("counted %v", answers)
			}
			// It is good for 2.5 s from its begin.
			time.Sleep(2450 * time.Millisecond)
			if !same(s.Unchanged(t.Context(), refs[3], "stuck")) || s.requests() != 1 {
				t.Error("a list of 2.5 s ago is not used")
			}
			time.Sleep(time.Millisecond)
			if same(s.Unchanged(t.Context(), refs[3], "stuck")) || s.requests() != 1 {
				t.Error("a list that is too old is used, or one is read for nobody else")
			}
		})
	}
}

// TestSweepLeavesAlone what lists cannot save.
func TestSweepLeavesAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSweeping(t, cssim.Options{})
		refs := s.pending(t, cs.Cluster, 2, "stuck")
		far := cs.Ref{Kind: cs.Cluster, Cluster: "far"}
		plant(t, s.sim, cssim.Planted{InternalID: far.Path(), State: "stuck"})
		s.Expect(far, time.Now().Add(3*time.Second))
		cred := cs.Ref{Kind: cs.BreakGlassCredential, Cluster: "c", Child: "b"}
		for _, ref := range append(refs, cred, cs.Ref{}, cs.Ref{Kind: cs.Cluster, Cluster: "x')"}) {
			s.Expect(ref, time.Now())
			if same(s.Unchanged(t.Context(), ref, "stuck")) {
				t.Errorf("%v: unchanged", ref)
			}
			s.Exact(ref, "stuck")
		}
		if n := s.requests(); n != 0 {
			t.Errorf("%d requests for two that are due", n)
		}
		s.Expect(far, time.Now().Add(2*time.Second))
		s.Expect(refs[0], time.Now())
		s.Forget(refs[0])
		if same(s.Unchanged(t.Context(), refs[1], "stuck")) || s.requests() != 0 {
			t.Error("one that was forgotten makes up the number")
		}
		s.Expect(refs[0], time.Now())
		if !same(s.Unchanged(t.Context(), refs[1], "stuck")) || s.requests() != 1 {
			t.Error("no list for three that are due")
		}

		off := newSweeping(t, cssim.Options{}, func(c *cs.Config) { c.ListPolling = false })
		for _, ref := range off.pending(t, cs.Cluster, 50, "stuck") {
			if same(off.Unchanged(t.Context(), ref, "stuck")) {
				t.Error("a list although they are switched off")
			}
		}
		if off.requests() != 0 {
			t.Error("a list although they are switched off")
		}
	})
}

// TestSweepIsBounded: objects that nobody looks at, and never says so, are dropped.
func TestSweepIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSweeping(t, cssim.Options{})
		for i := range 1000 {
			ref := cs.Ref{Kind: cs.NodePool, Cluster: fmt.Sprint("c", i), Child: "p"}
			s.Expect(ref, time.Now())
			same(s.Unchanged(t.Context(), ref, "stuck"))
			time.Sleep(time.Second)
		}
		if objects, queues := s.Size(); objects > 130 || queues > 130 {
			t.Errorf("%d objects in %d queues are remembered", objects, queues)
		}
	})
}

// TestSweepHang: lists that hang cost a look 2 s, whoever waits, and are not begun
// again for those who waited; they say nothing of Cluster Service's health.
func TestSweepHang(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSweeping(t, cssim.Options{})
		refs := s.pending(t, cs.Cluster, 80, "stuck")
		status(t, s.Client, refs[0])
		s.fault(t, onLists(cssim.Effect{Effect: fault.Effect{Reply: fault.Hang}}))
		start, before := time.Now(), s.requests()
		var wg sync.WaitGroup
		for i, ref := range refs {
			wg.Go(func() {
				time.Sleep(time.Duration(i) * 40 * time.Millisecond) // up to 3.2 s
				began := time.Now()
				if same(s.Unchanged(t.Context(), ref, "stuck")) {
					t.Error("unchanged")
				}
				if took, most := time.Since(began), max(0, 2*time.Second-began.Sub(start)); took > most {
					t.Errorf("waited %v, want %v at most", took, most)
				}
			})
		}
		wg.Wait()
		if n := s.requests() - before; n != 1 {
			t.Errorf("%d lists, want 1", n)
		}
		if ok, _, _ := s.Healthy(); !ok {
			t.Error("a list that took too long counts against health")
		}
		if counts := s.counter(t, listsTotal); counts["Cluster/failed"] != 1 {
			t.Errorf("counted %v", counts)
		}
	})
}

// TestSweepWaitIsFromTheBegin: whoever comes late waits for the rest of the 2 s only,
// even if the list cannot be called off.
func TestSweepWaitIsFromTheBegin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, http.HandlerFunc(func(http.ResponseWriter, *http.Request) { time.Sleep(5 * time.Second) }))
		s := cs.NewSweep(r.Client)
		refs := many(cs.Cluster, 5)
		for _, ref := range refs {
			s.Expect(ref, time.Now())
		}
		var wg sync.WaitGroup
		wg.Go(func() { same(s.Unchanged(t.Context(), refs[0], "stuck")) })
		ms := func(n int) time.Duration { return time.Duration(n) * time.Millisecond }
		start := time.Now()
		for i, c := range []struct{ comes, goes int }{{1, 2000}, {1500, 2000}, {3000, 3000}, {4900, 4900}} {
			wg.Go(func() {
				time.Sleep(ms(c.comes))
				if same(s.Unchanged(t.Context(), refs[i+1], "stuck")) || time.Since(start) != ms(c.goes) {
					t.Errorf("%d: went after %v, want %v", i, time.Since(start), ms(c.goes))
				}
			})
		}
		wg.Wait()
	})
}

// TestSweepLeaderGivesUp: who waits for the list of another is told no, and begins
// none.
func TestSweepLeaderGivesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSweeping(t, cssim.Options{Latency: time.Second})
		refs := s.pending(t, cs.Cluster, 10, "stuck")
		ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
		defer cancel()
		var wg sync.WaitGroup
		start := time.Now()
		for i, ref := range refs {
			wg.Go(func() {
				by := t.Context()
				if i == 0 {
					by = ctx
				} else {
					time.Sleep(time.Millisecond)
				}
				if same(s.Unchanged(by, ref, "stuck")) || time.Since(start) != 500*time.Millisecond {
					t.Errorf("%v after %v", ref, time.Since(start))
				}
				s.Exact(ref, "stuck")
			})
		}
		wg.Wait()
		if n := s.requests(); n != 1 {
			t.Errorf("%d lists", n)
		}
		// And one who waits may give up alone.
		time.Sleep(3 * time.Second)
		for _, ref := range refs {
			s.Expect(ref, time.Now())
		}
		for i, ref := range refs {
			wg.Go(func() {
				by, cancel := context.WithCancel(t.Context())
				defer cancel()
				if i == 5 {
					time.AfterFunc(300*time.Millisecond, cancel)
				}
				time.Sleep(time.Duration(i) * time.Millisecond)
				if same(s.Unchanged(by, ref, "stuck")) == (i == 5) {
					t.Errorf("%v is wrong", ref)
				}
			})
		}
		wg.Wait()
	})
}

// TestSweepFeature: lists that Cluster Service does not have, or that show no
// states, are left alone for 10 minutes, and tried again; the log says each once.
func TestSweepFeature(t *testing.T) {
	for name, c := range map[string]struct {
		kind   cs.Kind
		effect cssim.Effect
		lists  int // until it is known
	}{
		"no states of clusters":  {cs.Cluster, cssim.Effect{DropStatus: true}, 20},
		"no states of pools":     {cs.NodePool, cssim.Effect{DropStatus: true}, 20},
		"no states of auths":     {cs.ExternalAuth, cssim.Effect{DropStatus: true}, 20},
		"no search":              {cs.Cluster, cssim.Effect{Effect: fault.Effect{Status: 400}}, 1},
		"no such list":           {cs.NodePool, cssim.Effect{Effect: fault.Effect{Status: 404}}, 20},
		"lists fail":             {cs.Cluster, cssim.Effect{Effect: fault.Effect{Status: 500}}, 4},
		"lists hang":             {cs.Cluster, cssim.Effect{Effect: fault.Effect{Reply: fault.Hang}}, 4},
		"lists cannot be read":   {cs.Cluster, cssim.Effect{Null: "dns_ready"}, 4},
		"lists are too slow":     {cs.NodePool, cssim.Effect{Effect: fault.Effect{Before: fault.Duration(3 * time.Second)}}, 4},
		"lists are a proxy's":    {cs.ExternalAuth, cssim.Effect{Effect: fault.Effect{Status: 404, Header: map[string]string{"Content-Type": "text/html"}}}, 4},
		"a list is lost":         {cs.Cluster, cssim.Effect{Effect: fault.Effect{Status: 503}}, 0},
		"no states for a moment": {cs.Cluster, cssim.Effect{DropStatus: true}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newSweeping(t, cssim.Options{})
				refs := s.pending(t, c.kind, 6, "stuck")
				f := onLists(c.effect)
				if c.lists == 0 {
					f.When.For = fault.Duration(25 * time.Second)
				}
				s.fault(t, f)
				// round looks at all for a time, every 10 s, and gives the lists it took.
				round := func(during time.Duration) int {
					before := s.counter(t, listsTotal)
					for end := time.Now().Add(during); time.Now().Before(end); time.Sleep(9400 * time.Millisecond) {
						for _, ref := range refs {
							if !same(s.Unchanged(t.Context(), ref, "stuck")) {
								s.Exact(ref, status(t, s.Client, ref).State)
							}
							s.Expect(ref, time.Now().Add(10*time.Second))
							time.Sleep(100 * time.Millisecond)
						}
					}
					n := 0.0
					for label, v := range s.counter(t, listsTotal) {
						n += v - before[label]
					}
					return int(n)
				}
				want := []string{"lists of cluster service are of no use, objects are asked for one by one", "lists of cluster service are used again"}
				if c.lists == 0 {
					want = nil
				}
				if n := round(time.Minute); c.lists > 0 && (n == 0 || n > c.lists) {
					t.Errorf("%d lists until it is known that they are of no use, want up to %d", n, c.lists)
				}
				if c.lists > 0 {
					if n := round(8 * time.Minute); n != 0 {
						t.Errorf("%d lists that are known to be of no use", n)
					}
					round(10 * time.Minute) // tried once more
					s.sim.Faults().Clear()
					round(12 * time.Minute)
				}
				if n := round(time.Minute); n < 5 {
					t.Errorf("%d lists in a minute, now that they are of use", n)
				}
				var lines []string
				for _, e := range s.logs.All() {
					if e.Message != "cluster service works" && e.Message != "cluster service does not work" {
						lines = append(lines, e.Message)
					}
				}
				if fmt.Sprint(lines) != fmt.Sprint(want) {
					t.Errorf("logged %q, want %q", lines, want)
				}
			})
		})
	}
}

// TestSweepDisagreement: a list that lags behind is found out by an exact answer,
// counted once, and not believed any more.
func TestSweepDisagreement(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSweeping(t, cssim.Options{})
		refs := s.pending(t, cs.Cluster, 10, "stuck")
		time.Sleep(time.Minute)
		for _, ref := range refs {
			s.Expect(ref, time.Now())
		}
		plant(t, s.sim, cssim.Planted{InternalID: refs[4].Path(), State: "error"})
		plant(t, s.sim, cssim.Planted{InternalID: refs[5].Path(), State: "gone"})
		s.fault(t, onLists(cssim.Effect{Stale: fault.Duration(30 * time.Second)}))
		for _, ref := range refs {
			if !same(s.Unchanged(t.Context(), ref, "stuck")) {
				t.Errorf("%v: the list shows it as it was", ref)
			}
		}
		for range 3 {
			for i, ref := range refs {
				state := "stuck"
				switch i {
				case 4:
					state = status(t, s.Client, ref).State
				case 5:
					state = "" // gone
				}
				s.Exact(ref, state)
			}
		}
		if n := s.counter(t, disagreements)["Cluster"]; n != 2 {
			t.Errorf("%v disagreements were counted, want 2", n)
		}
		if same(s.Unchanged(t.Context(), refs[4], "stuck")) || same(s.Unchanged(t.Context(), refs[4], "error")) {
			t.Error("a list that was wrong is believed")
		}
		if !same(s.Unchanged(t.Context(), refs[3], "stuck")) {
			t.Error("a list that was wrong of one is not believed of another")
		}
	})
}

// TestSweepBatch: a list has 100 objects at most, and the search a bound.
func TestSweepBatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSweeping(t, cssim.Options{})
		refs := s.pending(t, cs.Cluster, 250, "stuck")
		for _, ref := range refs {
			if !same(s.Unchanged(t.Context(), ref, "stuck")) {
				t.Errorf("%v", ref)
			}
		}
		if n := s.requests(); n != 3 {
			t.Errorf("%d lists of 250 clusters, want 3", n)
		}
	})
}

// TestSweepFigures: 10,000 clusters are pending in 100 subscriptions, each is looked
// at every 10 s, with 64 looks at once, and Cluster Service takes 50 ms. Every 60 s a
// look asks exactly. They are due one by one, or those of a subscription at once.
func TestSweepFigures(t *testing.T) {
	const objects, looks, interval, rounds = 10_000, 64, 10 * time.Second, 1
	for _, c := range []struct {
		on    bool
		burst int
		hang  bool // of lists
		late  time.Duration
	}{
		{false, 1, false, time.Second}, {true, 1, false, time.Second},
		{false, 100, false, time.Second}, {true, 100, false, time.Second},
		{true, 1, true, 4 * time.Second},
	} {
		on := c.on
		synctest.Test(t, func(t *testing.T) {
			s := newSweeping(t, cssim.Options{Latency: 50 * time.Millisecond}, func(c *cs.Config) { c.ListPolling = on })
			refs := many(cs.Cluster, objects)
			exact := make([]time.Time, objects)
			for i, ref := range refs {
				plant(t, s.sim, cssim.Planted{InternalID: ref.Path(), State: "stuck"})
				due := time.Now().Add(time.Duration(i/c.burst*c.burst) * interval / objects)
				exact[i] = due.Add(-time.Duration(1+i*7919%6) * interval) // as it comes to be in the long run
				s.Expect(ref, due)
			}
			type look struct {
				i   int
				due time.Time
			}
			due := make(chan look)
			var latest atomic.Int64
			var wg sync.WaitGroup
			for range looks {
				wg.Go(func() {
					for l := range due {
						ref := refs[l.i]
						if time.Since(exact[l.i]) >= time.Minute || !same(s.Unchanged(t.Context(), ref, "stuck")) {
							s.Exact(ref, status(t, s.Client, ref).State)
							exact[l.i] = time.Now()
						}
						s.Expect(ref, l.due.Add(interval))
						late := int64(time.Since(l.due))
						for {
							most := latest.Load()
							if late <= most || latest.CompareAndSwap(most, late) {
								break
							}
						}
					}
				})
			}
			if c.hang {
				s.fault(t, onLists(cssim.Effect{Effect: fault.Effect{Reply: fault.Hang}}))
			}
			start := time.Now()
			for n := range rounds * objects {
				at := start.Add(time.Duration(n/c.burst*c.burst) * interval / objects)
				time.Sleep(time.Until(at))
				due <- look{n % objects, at}
			}
			close(due)
			wg.Wait()
			lists := 0.0
			for _, v := range s.counter(t, listsTotal) {
				lists += v
			}
			perRound := s.requests() / rounds
			t.Logf("lists %v, hang %v, %d due at once: %d requests per 10 s, %d of them lists; a look is over %v after it was due at the latest",
				on, c.hang, c.burst, perRound, int(lists)/rounds, time.Duration(latest.Load()))
			if late := time.Duration(latest.Load()); late > c.late {
				t.Errorf("a look was over %v after it was due", late)
			}
			// A sixth is asked exactly, the others come by the hundred.
			if most := objects/6 + objects/100 + 200; on && !c.hang && perRound > most {
				t.Errorf("%d requests per 10 s, want %d at most", perRound, most)
			}
		})
	}
}

// same is what Unchanged says of the state.
func same(_ time.Time, unchanged bool) bool { return unchanged }
