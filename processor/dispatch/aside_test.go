package dispatch_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"opfeed/processor/dispatch"
)

// hanging is a world in which looks aside get no answer within 10 s.
type hanging struct {
	mu      sync.Mutex
	running map[string]int
	most    map[string]int // of each partition, and "" of all
	aside   map[string]int // looks aside that have ended, by id
}

const noAnswer = 10 * time.Second

func newHanging() *hanging {
	return &hanging{running: map[string]int{}, most: map[string]int{}, aside: map[string]int{}}
}

// step puts every key whose id begins with "owed" aside, and is done with others.
func (h *hanging) step(ctx context.Context, c dispatch.Change) (dispatch.Apply, error) {
	if len(c.ID) < 4 || c.ID[:4] != "owed" {
		return apply(dispatch.Outcome{}), nil
	}
	if !c.Aside {
		return apply(dispatch.Outcome{Verdict: dispatch.Again, Aside: true, ETag: c.ETag, Label: "Owed"}), nil
	}
	h.count(c.Partition, 1)
	defer h.count(c.Partition, -1)
	select {
	case <-time.After(noAnswer):
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.aside[c.ID]++
	return apply(dispatch.Outcome{Verdict: dispatch.Again, After: time.Minute, Aside: true}), nil
}

func (h *hanging) count(partition string, n int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, p := range []string{partition, ""} {
		h.running[p] += n
		h.most[p] = max(h.most[p], h.running[p])
	}
}

// atOnce is how many ran at once, and how many have ended.
func (h *hanging) atOnce() (most, ended int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.most[""], len(h.aside)
}

func (h *hanging) ended(id string) int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.aside[id]
}

// TestHangingAsidesDelayNothing lets a thousand looks aside hang, in one
// partition and in many: everything else is handled as if they were not there.
func TestHangingAsidesDelayNothing(t *testing.T) {
	t.Parallel()
	for _, partitions := range []int{1, 50} {
		t.Run(fmt.Sprint(partitions), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				h := newHanging()
				b := run(t, dispatch.Config{Waiting: 5, Aside: dispatch.NewGate(4), Gate: dispatch.NewGate(8)}, h.step)
				start := time.Now()
				for i := range 1000 {
					b.submit(version(fmt.Sprint("s", i%partitions), fmt.Sprint("owed", i), "1"))
				}
				synctest.Wait()
				for i := range 1000 {
					b.submit(version(fmt.Sprint("s", i%partitions), fmt.Sprint("owed", i), "1")) // its echo
				}
				for i := range 200 {
					b.submit(version(fmt.Sprint("s", i%partitions), fmt.Sprint("new", i), "1"))
				}
				synctest.Wait()
				// Of a key that waits aside a newer version waits for nothing.
				for i := range 100 {
					b.submit(version(fmt.Sprint("s", i%partitions), fmt.Sprint("owed", i), "2"))
				}
				synctest.Wait()
				if took := time.Since(start); took > 0 {
					t.Errorf("it took %s", took)
				}
				for i := range 200 {
					b.wantHandled(fmt.Sprint("new", i, "@1"), 1)
				}
				for i := range 1000 {
					b.wantHandled(fmt.Sprint("owed", i, "@1"), 2)
				}
				if n := b.count("@2"); n < 96 {
					t.Errorf("%d newer versions are handled; no more than 4 find a look that runs", n)
				}
				if got := b.d.Stats(); got.Labels["Owed"] != 1000 || got.Running != 4 {
					t.Errorf("have %+v", got)
				}
				time.Sleep(time.Hour)
				for i := range 1000 {
					if h.ended(fmt.Sprint("owed", i)) == 0 {
						t.Fatalf("owed%d had no turn in an hour", i)
					}
				}
				if most, _ := h.atOnce(); most != 4 {
					t.Errorf("%d at once, want 4", most)
				}
			})
		})
	}
}

// count is how many versions of this name were handled.
func (b *bench) count(suffix string) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	n := 0
	for name := range b.handled {
		if strings.HasSuffix(name, suffix) {
			n++
		}
	}
	return n
}

// TestHangingAsidesLeaveAPlaceToOthers: the place that becomes free goes to the
// partition that has the fewest.
func TestHangingAsidesLeaveAPlaceToOthers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newHanging()
		b := run(t, dispatch.Config{Aside: dispatch.NewGate(8)}, h.step)
		for i := range 1000 {
			b.submit(version(fmt.Sprint("s", i%2), fmt.Sprint("owed", i), "1"))
		}
		time.Sleep(15 * time.Second)
		b.submit(version("other", "owed-other", "1"))
		time.Sleep(2 * noAnswer)
		if h.ended("owed-other") != 1 {
			t.Error("one partition's turn has not come")
		}
	})
}

// TestErrorsStayAside: a look aside that fails is tried again aside; one that
// says no more of it is not.
func TestErrorsStayAside(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var how []bool // aside
		step := func(_ context.Context, c dispatch.Change) (dispatch.Apply, error) {
			how = append(how, c.Aside)
			switch len(how) {
			case 1:
				return apply(dispatch.Outcome{Verdict: dispatch.Again, Aside: true}), nil
			case 2:
				return nil, errors.New("no answer")
			case 3:
				return func(context.Context) (dispatch.Outcome, error) { return dispatch.Outcome{}, errors.New("not written") }, nil
			case 4:
				return apply(dispatch.Outcome{Verdict: dispatch.Again}), nil
			}
			return apply(dispatch.Outcome{}), nil
		}
		b := run(t, dispatch.Config{}, step)
		b.submit(version("s", "o", "1"))
		time.Sleep(time.Minute)
		synctest.Wait()
		if want := []bool{false, true, true, true, false}; !slices.Equal(how, want) {
			t.Errorf("have %v, want %v", how, want)
		}
	})
}

// TestAsidesThatAreMissingAreReadAnew: not aside, where they would wait.
func TestAsidesThatAreMissingAreReadAnew(t *testing.T) {
	t.Parallel()
	for name, ask := range map[string]func(*bench, dispatch.Key){
		"missing": func(b *bench, _ dispatch.Key) {
			b.d.Missing(time.Now().Add(time.Hour), func(dispatch.Key) bool { return false })
		},
		"dropped": func(b *bench, k dispatch.Key) { b.d.Recheck(k, "s") },
		"listed in another version": func(b *bench, k dispatch.Key) {
			b.submit(dispatch.Change{Key: k, ETag: "2", Source: dispatch.List})
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				step := func(_ context.Context, c dispatch.Change) (dispatch.Apply, error) {
					switch {
					case c.Aside:
						t.Error("looked at aside")
					case c.Document == nil:
						return apply(dispatch.Outcome{}), nil // gone
					}
					return apply(dispatch.Outcome{Verdict: dispatch.Again, Aside: true, After: time.Hour}), nil
				}
				b := run(t, dispatch.Config{}, step)
				b.submit(version("s", "o", "1"))
				synctest.Wait()
				ask(b, dispatch.Key{Partition: "s", ID: "o"})
				synctest.Wait()
				if got := b.d.Stats(); got.Pending+got.Waiting+got.Running != 0 {
					t.Errorf("have %+v", got)
				}
			})
		})
	}
}

// TestAsideThatIsDroppedWhileItRuns is read anew, not aside.
func TestAsideThatIsDroppedWhileItRuns(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		step := func(_ context.Context, c dispatch.Change) (dispatch.Apply, error) {
			if c.Aside {
				time.Sleep(noAnswer)
			} else if c.Document == nil {
				return apply(dispatch.Outcome{}), nil // gone
			}
			return apply(dispatch.Outcome{Verdict: dispatch.Again, Aside: true, ETag: c.ETag}), nil
		}
		b := run(t, dispatch.Config{}, step)
		b.submit(version("s", "o", "1"))
		time.Sleep(time.Second)
		b.d.Recheck(dispatch.Key{Partition: "s", ID: "o"}, "s")
		time.Sleep(noAnswer)
		if got := b.d.Stats(); got.Pending+got.Waiting+got.Running != 0 {
			t.Errorf("have %+v", got)
		}
	})
}

// TestDrainWaitsForNoLookAside: what runs is cancelled and what waits is left to
// others: a lease that is handed over must not wait for a slow endpoint.
func TestDrainWaitsForNoLookAside(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newHanging()
		b := run(t, dispatch.Config{Aside: dispatch.NewGate(2)}, h.step)
		for i := range 100 {
			b.submit(version(fmt.Sprint("s", i%3), fmt.Sprint("owed", i), "1"))
		}
		time.Sleep(time.Second)
		start := time.Now()
		if err := b.d.Drain(t.Context()); err != nil || time.Since(start) != 0 {
			t.Errorf("drained after %s with %v", time.Since(start), err)
		}
		if most, ended := h.atOnce(); most != 2 || ended != 0 {
			t.Errorf("%d ran, %d at once", ended, most)
		}
	})
}
