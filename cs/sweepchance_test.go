package cs_test

import (
	"bytes"
	"context"
	"encoding/json"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"opfeed/cs"
	"opfeed/cs/cssim"
	"opfeed/internal/fault"
)

// witness stands before a simulator and keeps what its lists showed, and who was in
// two of them at once.
type witness struct {
	t   *testing.T
	sim http.Handler

	mu       sync.Mutex
	underWay map[string]int // lists that were asked for an id, or for a path
	shown    map[string][]showing
}

type showing struct {
	begun time.Time
	state string
}

var quotedID = regexp.MustCompile(`'([^']*)'`)

func (w *witness) ServeHTTP(rw http.ResponseWriter, req *http.Request) {
	last := req.URL.Path[strings.LastIndex(req.URL.Path, "/")+1:]
	if last != "clusters" && last != "node_pools" {
		w.sim.ServeHTTP(rw, req)
		return
	}
	begun, names := time.Now(), []string{req.URL.Path}
	if last == "clusters" {
		names = nil
		for _, m := range quotedID.FindAllStringSubmatch(req.URL.Query().Get("search"), -1) {
			names = append(names, m[1])
		}
	}
	w.count(names, 1)
	defer w.count(names, -1) // of a connection that is cut, too
	rec := httptest.NewRecorder()
	w.sim.ServeHTTP(rec, req)
	var list struct {
		Items []struct {
			ID     string
			Status struct{ State json.RawMessage }
		}
	}
	if json.NewDecoder(bytes.NewReader(rec.Body.Bytes())).Decode(&list) == nil {
		w.mu.Lock()
		for _, item := range list.Items {
			var state string
			var full struct{ Value string }
			if json.Unmarshal(item.Status.State, &state) != nil && json.Unmarshal(item.Status.State, &full) == nil {
				state = full.Value
			}
			w.shown[item.ID] = append(w.shown[item.ID], showing{begun, state})
		}
		w.mu.Unlock()
	}
	maps.Copy(rw.Header(), rec.Header())
	rw.WriteHeader(rec.Code)
	rw.Write(rec.Body.Bytes())
}

func (w *witness) count(names []string, by int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, name := range names {
		w.underWay[name] += by
		if w.underWay[name] > 1 {
			w.t.Errorf("%s is in two lists at once", name)
		}
	}
}

// saw reports whether a list that was begun since a time showed an id in a state.
func (w *witness) saw(id, state string, since time.Time) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, s := range w.shown[id] {
		if s.state == state && !s.begun.Before(since) {
			return true
		}
	}
	return false
}

// TestSweepByChance: whatever happens beside each other, with objects that change
// and lists that hang, fail, lag and leave out states, no look is told that an object
// is unchanged that a list of the last 2.5 s did not show so, none waits for longer
// than 2 s, and no cluster is in two lists at once.
func TestSweepByChance(t *testing.T) {
	for seed := range uint64(10) {
		synctest.Test(t, func(t *testing.T) {
			sim := cssim.New(cssim.Options{Seed: seed, Latency: 20 * time.Millisecond, LatencyJitter: 200 * time.Millisecond})
			w := &witness{t: t, sim: sim, underWay: map[string]int{}, shown: map[string][]showing{}}
			r := newRig(t, w)
			s := cs.NewSweep(r.Client)
			refs := many(cs.Cluster, 20)
			for _, ref := range many(cs.NodePool, 10) {
				ref.Child = "p" + ref.Child
				refs = append(refs, ref)
			}
			states := []string{"a", "b"}
			id := func(ref cs.Ref) string {
				if ref.Kind == cs.Cluster {
					return ref.Cluster
				}
				return ref.Child
			}
			ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
			defer cancel()
			var wg sync.WaitGroup
			act := func(n uint64, do func(chance *rand.Rand)) {
				wg.Go(func() {
					chance := rand.New(rand.NewPCG(seed, n))
					for ctx.Err() == nil {
						do(chance)
					}
				})
			}
			for _, ref := range refs {
				plant(t, sim, cssim.Planted{InternalID: ref.Path(), State: "a"})
			}
			act(1, func(chance *rand.Rand) {
				time.Sleep(time.Duration(chance.IntN(int(300 * time.Millisecond))))
				ref := refs[chance.IntN(len(refs))]
				plant(t, sim, cssim.Planted{InternalID: ref.Path(), State: states[chance.IntN(2)]})
			})
			act(2, func(chance *rand.Rand) {
				time.Sleep(time.Duration(chance.IntN(int(4 * time.Second))))
				sim.Faults().Clear()
				if chance.IntN(3) > 0 {
					return
				}
				effects := []cssim.Effect{
					{Effect: fault.Effect{Reply: fault.Hang}}, {Effect: fault.Effect{Reply: fault.Reset}}, {DropStatus: true},
					{Effect: fault.Effect{Status: 503}}, {Effect: fault.Effect{Reply: fault.Short}}, {Stale: fault.Duration(5 * time.Second)},
					{Effect: fault.Effect{Before: fault.Duration(time.Second), Jitter: fault.Duration(2 * time.Second)}},
				}
				if err := sim.Faults().Add(cssim.Fault{Name: "f", Match: fault.Match{"kind": "list"},
					Effect: effects[chance.IntN(len(effects))]}); err != nil {
					t.Error(err)
				}
			})
			var trues, falses int
			var mu sync.Mutex
			for n := range 3 * len(refs) { // three looks at each object beside each other
				ref := refs[n%len(refs)]
				act(uint64(10+n), func(chance *rand.Rand) {
					time.Sleep(time.Duration(chance.IntN(int(time.Second))))
					switch chance.IntN(24) {
					case 0:
						s.Forget(ref)
					case 1:
						s.Exact(ref, states[chance.IntN(2)])
					case 2, 3, 4, 5, 6, 7, 8, 9:
						s.Expect(ref, time.Now().Add(time.Duration(chance.IntN(int(4*time.Second)))))
					default:
						by, stop := context.WithTimeout(ctx, time.Duration(chance.IntN(int(5*time.Second))))
						defer stop()
						state, start := states[chance.IntN(2)], time.Now()
						unchanged := same(s.Unchanged(by, ref, state))
						if took := time.Since(start); took > 2*time.Second {
							t.Errorf("%v: waited for %v", ref, took)
						}
						if unchanged && !w.saw(id(ref), state, time.Now().Add(-2500*time.Millisecond)) {
							t.Errorf("%v: unchanged in %s, which no list showed", ref, state)
						}
						mu.Lock()
						defer mu.Unlock()
						if unchanged {
							trues++
						} else {
							falses++
						}
					}
				})
			}
			wg.Wait()
			if trues < 200 || falses < 200 {
				t.Errorf("unchanged %d times, changed %d times: this shows nothing", trues, falses)
			}
		})
	}
}
