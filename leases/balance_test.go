package leases

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"sync/atomic"
	"testing"
	"time"
)

// sixRanges gives the world six ranges to share out.
func (w *world) sixRanges() {
	w.ranges = nil
	bounds := []string{"", "04", "08", "0C", "10", "14", "FF"}
	for i := range 6 {
		w.ranges = append(w.ranges, Range{Token: fmt.Sprint(i), Continuation: at(1), Range: feedRangeOf(bounds[i], bounds[i+1])})
	}
}

// counting checkpoints a number of its own each 100 ms, so that it shows what is
// lost or done twice.
func (w *world) counting(stop, _ context.Context, s *tenureSeen) error {
	for n := number(w.t, s.t.Lease().Continuation); stop.Err() == nil; sleep(stop, 100*time.Millisecond) {
		n++
		s.t.Checkpoint(at(n))
	}
	return nil
}

// From one to three and back: everybody has its share within two intervals, no
// position is lost, and no lease is without an owner for more than a moment.
func TestBalance(t *testing.T) {
	inWorld(t, func(w *world) {
		w.sixRanges()
		interval := DefaultConfig().AcquireInterval
		a := w.process("a").start(w.counting)
		time.Sleep(3 * interval)
		b, c := w.process("b").start(w.counting), w.process("c").start(w.counting)
		w.guard(2*interval, a, b, c)
		for _, p := range []*process{a, b, c} {
			if n := len(p.holding()); n != 2 {
				t.Errorf("%s holds %v two intervals after three there are", p.name, p.holding())
			}
		}
		w.guard(time.Minute, a, b, c)
		if n := len(a.seen("")) + len(b.seen("")) + len(c.seen("")); n < 6+4 || n > 6+4+2 {
			// One of two that start together may take the other's share at first.
			t.Errorf("%d tenures: leases go to and fro", n)
		}
		both := make(chan struct{})
		go func() { c.stop(); close(both) }()
		b.stop()
		<-both
		left := time.Now()
		w.guard(2*interval, a)
		if n := len(a.holding()); n != 6 {
			t.Errorf("a holds %v two intervals after the others have left", a.holding())
		}
		for _, s := range a.seen("") {
			if s.began.After(left.Add(time.Second)) {
				t.Errorf("range %s was taken %s after the others had left", s.token, s.began.Sub(left))
			}
		}
		for _, r := range w.ranges {
			checkNeverBack(t, w.history(r.Token))
			checkGaps(t, w.history(r.Token), 400*time.Millisecond)
		}
		if a.metric("opfeed_lease_lost_total")+b.metric("opfeed_lease_lost_total")+c.metric("opfeed_lease_lost_total") != 0 {
			t.Error("a lease that was handed over counts as lost")
		}
		if n := b.metric("opfeed_lease_handovers_total") + c.metric("opfeed_lease_handovers_total"); n < 4 {
			t.Errorf("%v were handed over by those that left", n)
		}
		a.stop()
	})
}

// checkGaps says whether a lease lay with nobody at work for longer than most: from
// the write that handed it over to the acquisition.
func checkGaps(t *testing.T, history []Document, most time.Duration) {
	t.Helper()
	for i := 1; i < len(history); i++ {
		if history[i].Epoch > history[i-1].Epoch && history[i-1].Epoch > 0 {
			if gap := history[i].Timestamp.Sub(history[i-1].Timestamp); gap > most {
				t.Errorf("range %s changed hands within %s", history[i].Token, gap)
			}
		}
	}
}

// A successor that dies after it has asked costs an expiry, as any other that
// dies, and one that dies before it costs nothing.
func TestSuccessorDies(t *testing.T) {
	for name, after := range map[string]int{"before it asks": 0, "after it has asked": 1} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, func(w *world) {
				w.oneRange()
				a := w.process("a").start(w.counting)
				time.Sleep(5 * time.Second)
				b := w.process("b").start(w.counting)
				time.Sleep(5 * time.Second)
				asked := 0
				b.wire.set(func(r *http.Request, n int) fault {
					if r.Method == http.MethodPut && asked < after {
						asked++
						return pass
					}
					if asked >= after && isWrite(r) {
						asked = 99
					}
					if asked == 99 {
						return always(refuse)(r, n)
					}
					return pass
				})
				began := time.Now()
				a.stop()
				if took := time.Since(began); took > 4*time.Second {
					t.Errorf("it took %s to leave", took)
				}
				c := w.process("c").start(w.counting)
				w.guard(20*time.Second, a, b, c)
				if c.holds("0") == nil {
					t.Error("the lease is nobody's")
				}
				checkNeverBack(t, w.history("0"))
				b.wire.set(nil)
				b.stop()
				c.stop()
			})
		})
	}
}

// Who asks for a lease and leaves before it has got it takes the request back:
// the lease is given to nobody who is not there.
func TestAskerLeaves(t *testing.T) {
	for name, after := range map[string]time.Duration{"at once": 10 * time.Millisecond, "while the owner drains": 2500 * time.Millisecond} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, func(w *world) {
				a := w.process("a").start(func(stop, _ context.Context, s *tenureSeen) error {
					<-stop.Done()
					time.Sleep(3 * time.Second) // it drains
					s.t.Checkpoint(at(int(s.t.Epoch())))
					return nil
				})
				time.Sleep(5 * time.Second)
				b := w.process("b").start(nil)
				time.Sleep(after)
				if n := b.logged("lease asked for"); n != 1 {
					t.Fatalf("%d leases were asked for", n)
				}
				b.stop()
				if a.logged("lease handed over") != 0 {
					t.Error("it was handed over before: nothing was tested")
				}
				w.guard(7*time.Second, a, b) // under an expiry
				if n := len(a.holding()); n != 2 {
					t.Errorf("a holds %v, stored %+v and %+v", a.holding(), w.read("0"), w.read("1"))
				}
				a.stop()
			})
		})
	}
}

// A request that ends does not free the lease that came by another way meanwhile.
func TestHeldIsNotRetracted(t *testing.T) {
	inWorld(t, func(w *world) {
		a := w.process("a").start(nil)
		time.Sleep(5 * time.Second)
		before := w.read("0")
		a.m.retract(context.Background(), before.ID, false)
		if d := w.read("0"); d.Owner != "a" || d.ETag != before.ETag {
			t.Errorf("stored %+v", d)
		}
		a.stop()
	})
}

// split puts two ranges in the place of one.
func (w *world) split(token string, at string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	i := slices.IndexFunc(w.ranges, func(r Range) bool { return r.Token == token })
	r := w.ranges[i].Range
	w.ranges = slices.Replace(slices.Clone(w.ranges), i, i+1,
		Range{Token: token + "1", Range: feedRangeOf(r.MinInclusive, at)},
		Range{Token: token + "2", Range: feedRangeOf(at, r.MaxExclusive)})
}

// merge puts one range in the place of two neighbours.
func (w *world) merge(token string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	i := slices.IndexFunc(w.ranges, func(r Range) bool { return r.Token == token })
	w.ranges = slices.Replace(slices.Clone(w.ranges), i, i+2, Range{Token: token + "m",
		Range: feedRangeOf(w.ranges[i].Range.MinInclusive, w.ranges[i+1].Range.MaxExclusive)})
}

// live serves as counting does until its range is not live any more.
func (w *world) live(stop, work context.Context, s *tenureSeen) error {
	for n := number(w.t, s.t.Lease().Continuation); stop.Err() == nil; sleep(stop, 100*time.Millisecond) {
		if !w.readable(s.t.Lease()) {
			return ErrOutdated
		}
		n++
		s.t.Checkpoint(at(n))
	}
	return nil
}

func (w *world) readable(d Document) bool {
	return slices.ContainsFunc(w.rangesNow(), func(r Range) bool {
		return d.Version == VersionRange0 && r.Token == d.Token || d.Version == VersionEPK && within(d.Range, r.Range)
	})
}

// covers checks that the leases that can be read cover all keys once, and that
// nothing else is left.
func (w *world) covers(tokens ...string) {
	w.t.Helper()
	list, err := w.store.List(w.t.Context())
	if err != nil {
		w.t.Fatal(err)
	}
	var have []string
	for _, d := range list {
		have = append(have, d.Token)
		if d.Owner == "" {
			w.t.Errorf("range %s is nobody's", d.Token)
		}
	}
	slices.Sort(have)
	slices.Sort(tokens)
	if !slices.Equal(have, tokens) {
		w.t.Errorf("leases %v, want %v", have, tokens)
	}
}

func TestSplitAndMerge(t *testing.T) {
	inWorld(t, func(w *world) {
		w.oneRange()
		a, b := w.process("a").start(w.live), w.process("b").start(w.live)
		time.Sleep(10 * time.Second)
		w.split("0", "10")
		time.Sleep(10 * time.Second)
		w.covers("01", "02")
		was := number(t, w.history("0")[len(w.history("0"))-1].Continuation)
		for _, child := range []string{"01", "02"} {
			first := w.history(child)[0]
			if number(t, first.Continuation) != was || first.Epoch == 0 {
				t.Errorf("child %s began at %s, its parent ended at %d", child, first.Continuation, was)
			}
		}
		if len(a.holding()) != 1 || len(b.holding()) != 1 {
			t.Errorf("shared out as %v and %v", a.holding(), b.holding())
		}
		w.merge("01")
		time.Sleep(10 * time.Second)
		w.covers("-10", "10-FF")
		if d := w.read("-10"); d.Version != VersionEPK || number(t, w.history("-10")[0].Continuation) < was {
			t.Errorf("merged %+v", d)
		}
		w.split("01m", "20") // [10,FF) is cut in two, [,10) a part of a part
		time.Sleep(10 * time.Second)
		w.covers("-10", "10-20", "01m2")
		a.stop()
		b.stop()
		// Split while nobody ran.
		w.split("01m2", "80")
		c := w.process("c").start(w.live)
		time.Sleep(20 * time.Second)
		w.covers("-10", "10-20", "01m21", "01m22")
		if n := len(c.seen("01m2")); n != 0 {
			t.Error("a range that is not there was read")
		}
		c.stop()
	})
}

// Whatever write the process dies at while it replaces a lease, the next one goes
// on from there: all keys are covered, and no position goes back.
func TestCrashWhileReplacing(t *testing.T) {
	for _, how := range []fault{refuse, swallow} {
		for what, change := range map[string]struct {
			do   func(*world)
			want []string
		}{
			"split": {func(w *world) { w.split("0", "10") }, []string{"01", "02"}},
			"merge": {func(w *world) { w.merge("0") }, []string{"-1FFF", "1FFF-FF"}},
		} {
			survived := false
			for nth := 1; !survived && nth < 30; nth++ {
				t.Run(fmt.Sprintf("%s/%d/%d", what, how, nth), func(t *testing.T) {
					inWorld(t, func(w *world) {
						w.oneRange()
						if what == "merge" {
							w.ranges = []Range{{Token: "0", Range: feedRangeOf("", "1FFF")}, {Token: "1", Range: feedRangeOf("1FFF", "FF")}}
						}
						a := w.process("a").start(w.live)
						time.Sleep(5 * time.Second)
						change.do(w)
						var dead atomic.Bool
						left := nth
						a.wire.set(func(r *http.Request, n int) fault {
							switch {
							case dead.Load():
								return always(refuse)(r, n)
							case isWrite(r):
								if left--; left == 0 {
									dead.Store(true)
									return how
								}
							}
							return pass
						})
						time.Sleep(5 * time.Second)
						survived = !dead.Load()
						b := w.process("b").start(w.live)
						w.guard(25*time.Second, a, b)
						w.covers(change.want...)
						most := 0
						for _, token := range []string{"0", "1"} {
							for _, d := range w.history(token) {
								most = max(most, number(t, d.Continuation))
							}
						}
						for _, token := range change.want {
							history := w.history(token)
							checkNeverBack(t, history)
							if n := number(t, history[0].Continuation); n == 0 || n > most {
								t.Errorf("%s began at %d of %d", token, n, most)
							}
						}
						a.wire.set(nil)
						time.Sleep(20 * time.Second)
						w.covers(change.want...)
						a.stop()
						b.stop()
					})
				})
			}
			if !survived {
				t.Errorf("%s: every try died", what)
			}
		}
	}
}

// A process that cannot ask for the live ranges leaves alone what it does not
// understand, and goes on with what it has.
func TestRangesUnknown(t *testing.T) {
	inWorld(t, func(w *world) {
		a := w.process("a").start(w.live)
		var fails atomic.Bool
		b := w.process("b", func(_ *Config, d *Deps) {
			ask := d.Ranges
			d.Ranges = func(ctx context.Context) ([]Range, error) {
				if fails.Load() {
					return nil, errors.New("throttled")
				}
				return ask(ctx)
			}
		}).start(w.live)
		time.Sleep(10 * time.Second)
		fails.Store(true)
		theirs, has, had := a.holding(), b.holding(), len(b.seen(""))
		w.split(theirs[0], map[string]string{"0": "10", "1": "80"}[theirs[0]])
		w.guard(30*time.Second, a, b)
		w.covers(has[0], theirs[0]+"1", theirs[0]+"2")
		if len(b.seen("")) != had || len(a.holding()) != 2 {
			t.Errorf("b has had %d tenures more, a holds %v", len(b.seen(""))-had, a.holding())
		}
		w.split(has[0], map[string]string{"0": "10", "1": "80"}[has[0]]) // it cannot be replaced
		w.guard(30*time.Second, a, b)
		fails.Store(false)
		w.guard(30*time.Second, a, b)
		w.covers("01", "02", "11", "12")
		if len(a.holding()) != 2 || len(b.holding()) != 2 {
			t.Errorf("a holds %v, b %v", a.holding(), b.holding())
		}
		a.stop()
		b.stop()
	})
}

// TestStopWhileReplacing: a stop does not wait for ranges that cannot be asked for.
func TestStopWhileReplacing(t *testing.T) {
	inWorld(t, func(w *world) {
		w.oneRange()
		var away atomic.Bool
		a := w.process("a", func(_ *Config, d *Deps) {
			inner := d.Ranges
			d.Ranges = func(ctx context.Context) ([]Range, error) {
				if away.Load() {
					return nil, errors.New("away")
				}
				return inner(ctx)
			}
		})
		var out atomic.Bool
		a.start(func(stop, _ context.Context, s *tenureSeen) error {
			s.t.Checkpoint(at(7))
			for stop.Err() == nil {
				time.Sleep(100 * time.Millisecond)
				if out.Load() {
					return ErrOutdated
				}
			}
			return nil
		})
		time.Sleep(3 * time.Second)
		away.Store(true)
		out.Store(true)
		time.Sleep(3 * time.Second)
		a.cancel()
		select {
		case <-a.done:
		case <-time.After(10 * time.Second):
			t.Error("still running 10 s after its stop")
			away.Store(false)
			<-a.done
		}
		if d := w.read("0"); d.Owner != "" || d.Continuation != at(7) {
			t.Errorf("stored %+v", d)
		}
	})
}
