package leases

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"testing"
	"time"

	"go.uber.org/zap/zapcore"

	"opfeed/internal/cosmosemu"
	emufault "opfeed/internal/fault"
)

// A renewal that was applied and whose reply was lost is recognised, and what
// was given meanwhile is written onto it.
func TestReplyLost(t *testing.T) {
	inWorld(t, func(w *world) {
		p := w.process("a").start(func(stop, _ context.Context, s *tenureSeen) error {
			for i := 1; stop.Err() == nil; i++ {
				s.t.Checkpoint(at(i))
				sleep(stop, 300*time.Millisecond)
			}
			return nil
		})
		time.Sleep(5 * time.Second)
		for _, every := range []int{2, 3, 7} {
			nth := map[string]int{} // of each lease
			p.wire.set(func(r *http.Request, _ int) fault {
				if !isWrite(r) {
					return pass
				}
				if nth[r.URL.Path]++; nth[r.URL.Path]%every == 0 {
					return swallow
				}
				return pass
			})
			time.Sleep(30 * time.Second)
		}
		p.wire.set(nil)
		p.stop()
		for _, r := range w.ranges {
			if s := p.seen(r.Token); len(s) != 1 || s[0].cause != nil {
				t.Errorf("range %s was lost: %v", r.Token, s)
			}
			if d := w.read(r.Token); d.Owner != "" || number(t, d.Continuation) < 300 {
				t.Errorf("stored %+v", d)
			}
			checkNeverBack(t, w.history(r.Token))
		}
		if !slices.Contains(p.wire.replies, http.StatusPreconditionFailed) {
			t.Error("no write was ever refused: nothing was tested")
		}
		if p.metric("opfeed_lease_write_failures_total") == 0 {
			t.Error("no failure was counted")
		}
	})
}

// The reply to the release is lost: it must not be waited for, and not be
// undone.
func TestReleaseReplyLost(t *testing.T) {
	inWorld(t, func(w *world) {
		p := w.process("a").start(func(stop, _ context.Context, s *tenureSeen) error {
			<-stop.Done()
			s.t.Checkpoint(at(8))
			return nil
		})
		time.Sleep(3 * time.Second)
		p.wire.set(func(r *http.Request, _ int) fault {
			if !isWrite(r) {
				return pass
			}
			p.wire.fault = nil // held by the caller
			return swallow
		})
		p.stop()
		for _, r := range w.ranges {
			if d := w.read(r.Token); d.Owner != "" || d.Continuation != at(8) {
				t.Errorf("stored %+v", d)
			}
		}
		if p.metric("opfeed_lease_lost_total") != 0 || p.logged("lease given back") != 2 {
			t.Error("a lease that was given back counts as lost")
		}
	})
}

func TestStorms(t *testing.T) {
	for name, kind := range map[string]fault{"429": throttle, "503": down, "hang": hang} {
		t.Run(name+" shorter", func(t *testing.T) {
			inWorld(t, func(w *world) {
				a := w.process("a").start(nil)
				b := w.process("b")
				time.Sleep(5 * time.Second)
				b.start(nil)
				time.Sleep(5 * time.Second)
				for range 10 {
					a.wire.set(always(kind))
					// A call may hang for 3 s, and the retry comes after up to 2 s.
					w.guard(2500*time.Millisecond, a, b)
					a.wire.set(nil)
					w.guard(7*time.Second, a, b)
				}
				if len(a.seen("")) != 2 || len(b.seen("")) != 1 { // b has its share
					t.Errorf("%d and %d tenures", len(a.seen("")), len(b.seen("")))
				}
				a.stop()
				b.stop()
			})
		})
		t.Run(name+" longer", func(t *testing.T) {
			inWorld(t, func(w *world) {
				a := w.process("a").start(nil)
				time.Sleep(10 * time.Second)
				began := time.Now()
				a.wire.set(always(kind))
				time.Sleep(15 * time.Second)
				for _, s := range a.seen("") {
					if after := s.workEnded.Sub(began); !errors.Is(s.cause, ErrLost) || after > 8*time.Second || after < 6*time.Second {
						t.Errorf("work ended after %s with %v", after, s.cause)
					}
				}
				if len(a.seen("")) != 2 {
					t.Errorf("%d tenures", len(a.seen("")))
				}
				a.wire.set(nil)
				time.Sleep(10 * time.Second)
				for _, r := range w.ranges {
					// Nobody else took it: it is its own orphan, and need not expire.
					if s := a.seen(r.Token); len(s) != 2 || s[1].t.Epoch() != 2 || s[1].t.Trusted() != nil {
						t.Errorf("range %s was not taken again: %d tenures", r.Token, len(s))
					}
				}
				if n := a.logged("lease write failed, trying again"); n != 2 {
					t.Errorf("the failure of two leases was logged %d times", n)
				}
				a.stop()
			})
		})
	}
}

func TestCosmosAwayAtStart(t *testing.T) {
	inWorld(t, func(w *world) {
		p := w.process("a")
		p.wire.set(always(refuse))
		p.start(nil)
		time.Sleep(time.Minute)
		if n := p.logged("leases cannot be listed or created, trying again"); n != 1 {
			t.Errorf("the outage was logged %d times", n)
		}
		p.wire.set(nil)
		time.Sleep(6 * time.Second)
		if p.holds("0") == nil || p.holds("1") == nil {
			t.Error("it did not come up")
		}
		p.wire.set(always(down))
		time.Sleep(time.Minute)
		p.wire.set(nil)
		time.Sleep(10 * time.Second)
		if p.logged("leases cannot be listed or created, trying again") != 2 || p.logged("leases can be listed and created again") != 2 {
			t.Errorf("two outages: %v", p.log.All())
		}
		if n := p.log.FilterLevelExact(zapcore.ErrorLevel).Len(); n != 0 {
			t.Errorf("%d errors were logged", n)
		}
		p.wire.set(always(hang))
		time.Sleep(time.Second)
		began := time.Now()
		p.stop()
		if took := time.Since(began); took > 8*time.Second {
			t.Errorf("it took %s to stop", took)
		}
	})
}

// Shutdown with a lease store that is away gives up when the window closes.
func TestStopDuringOutage(t *testing.T) {
	inWorld(t, func(w *world) {
		p := w.process("a").start(nil)
		time.Sleep(10 * time.Second)
		p.wire.set(always(throttle))
		began := time.Now()
		p.stop()
		if took := time.Since(began); took < 5*time.Second || took > 8*time.Second {
			t.Errorf("it took %s to stop", took)
		}
		if p.metric("opfeed_lease_lost_total") != 2 {
			t.Error("leases that were not given back do not count as lost")
		}
	})
}

// A call that ignores its context keeps the writer from noticing anything: the
// timer ends the work all the same.
func TestWriterIsStuck(t *testing.T) {
	inWorld(t, func(w *world) {
		release := make(chan struct{})
		p := w.process("a")
		p.wire.stuck = release
		p.start(nil)
		time.Sleep(time.Second)
		p.wire.set(always(stick)) // from the first renewal on
		time.Sleep(time.Minute)
		for _, s := range p.seen("") {
			if s.workEnded.Sub(s.began) != 8*time.Second || !errors.Is(s.cause, ErrLost) {
				t.Errorf("work ended after %s with %v", s.workEnded.Sub(s.began), s.cause)
			}
		}
		p.wire.set(nil)
		close(release)
		p.stop()
	})
}

// azcosmos keeps the error of its first look at the account for five minutes.
// The Manager cannot help that, but it must come up by itself.
func TestAccountAwayAtStart(t *testing.T) {
	inWorld(t, func(w *world) {
		p := w.process("a")
		p.wire.set(func(*http.Request, int) fault { return refuse })
		p.start(nil)
		time.Sleep(10 * time.Second)
		p.wire.set(nil)
		began := time.Now()
		for p.holds("0") == nil && time.Since(began) < 10*time.Minute {
			time.Sleep(time.Second)
		}
		t.Logf("it came up %s after the account", time.Since(began))
		if p.holds("0") == nil {
			t.Error("it did not come up")
		}
		if n := p.logged("leases cannot be listed or created, trying again"); n != 1 {
			t.Errorf("the outage was logged %d times", n)
		}
		p.stop()
	})
}

// The process dies at its nth lease write, before or after it was applied, for
// every n until it lives to the end. Whatever it was, the next process serves
// the ranges from a position that was given, and no earlier than one that was
// confirmed.
func TestCrashAtEveryWrite(t *testing.T) {
	for _, how := range []fault{refuse, swallow} {
		survived := false
		for nth := 1; !survived; nth++ {
			if nth > 100 {
				t.Fatal("the scenario does not end")
			}
			t.Run(fmt.Sprintf("%s %d", map[fault]string{refuse: "before", swallow: "after"}[how], nth), func(t *testing.T) {
				inWorld(t, func(w *world) { survived = crash(w, nth, how) })
			})
			if t.Failed() {
				return
			}
		}
	}
}

func crash(w *world, nth int, how fault) (survived bool) {
	a := w.process("a")
	died := make(chan struct{})
	dead := false
	a.wire.set(func(r *http.Request, n int) fault { // called under the wire's lock
		switch {
		case dead:
			return always(refuse)(r, n)
		case isWrite(r) && n == nth:
			dead = true
			close(died)
			return how
		}
		return pass
	})
	a.start(func(stop, work context.Context, s *tenureSeen) error {
		for i := 1; i <= 4 && stop.Err() == nil; i++ {
			n := number(w.t, s.t.Lease().Continuation) + i
			a.mu.Lock()
			s.checkpoints = append(s.checkpoints, at(n))
			a.mu.Unlock()
			if i%2 == 0 {
				s.t.Checkpoint(at(n))
			} else if s.t.CheckpointNow(work, at(n)) == nil {
				a.mu.Lock()
				s.stored = at(n)
				a.mu.Unlock()
			}
			sleep(stop, 700*time.Millisecond)
		}
		if stop.Err() == nil {
			return nil // so that it is given back, rests, and is taken again
		}
		return context.Cause(stop)
	})
	select {
	case <-died:
		// Killed: nothing of it reaches the account any more.
	case <-time.After(12 * time.Second):
		survived = true
		a.stop()
	}
	b := w.process("b").start(nil)
	time.Sleep(17 * time.Second) // less than two expiries
	for _, r := range w.ranges {
		given, confirmed := 0, 0
		for _, s := range a.seen(r.Token) {
			for _, c := range s.checkpoints {
				given = max(given, number(w.t, c))
			}
			confirmed = max(confirmed, number(w.t, s.stored))
		}
		s := b.seen(r.Token)
		if len(s) != 1 || s[0].t.Trusted() != nil {
			w.t.Errorf("range %s is not served again: %d tenures", r.Token, len(s))
			continue
		}
		from := number(w.t, s[0].t.Lease().Continuation)
		if from < confirmed || from > given {
			w.t.Errorf("range %s goes on from %d; confirmed %d, given %d", r.Token, from, confirmed, given)
		}
		if survived && from == 0 {
			w.t.Error("nothing was checkpointed")
		}
		checkNeverBack(w.t, w.history(r.Token))
	}
	if !survived {
		a.stop()
	}
	b.stop()
	return survived
}

func checkNeverBack(t *testing.T, history []Document) {
	t.Helper()
	for i := 1; i < len(history); i++ {
		before, after := history[i-1], history[i]
		if number(t, after.Continuation) < number(t, before.Continuation) {
			t.Errorf("position went back from %s to %s", before.Continuation, after.Continuation)
		}
		if after.Epoch < before.Epoch || after.Epoch == before.Epoch && (after.Renewal < before.Renewal || after.Renewal == before.Renewal && after.Request == before.Request && after.Owner == before.Owner) {
			t.Errorf("epoch %d renewal %d came after epoch %d renewal %d", after.Epoch, after.Renewal, before.Epoch, before.Renewal)
		}
	}
}

// Somebody writes the document right before each renewal. That costs a write
// now and then, not one after another, and the lease only if it goes on.
func TestOthersKeepWriting(t *testing.T) {
	inWorld(t, func(w *world) {
		p := w.process("a").start(nil)
		time.Sleep(5 * time.Second)
		emulator, _ := w.server.(*cosmosemu.Server)
		rule := emufault.Rule[cosmosemu.Effect]{Name: "touch", Match: emufault.Match{"kind": "replace"}, Effect: cosmosemu.Effect{Touch: true}}
		rule.Effect.Before = emufault.Duration(time.Millisecond) // of no time at all there is too much
		if err := emulator.Faults().Add(rule); err != nil {
			t.Fatal(err)
		}
		const most = 10 // of each lease, in 5 s
		before := p.wire.count()
		time.Sleep(5 * time.Second)
		emulator.Faults().Clear()
		if n := p.wire.count() - before; n < 2*len(w.ranges) || n > most*len(w.ranges) {
			t.Errorf("%d writes of %d leases in 5 s", n, len(w.ranges))
		}
		time.Sleep(5 * time.Second)
		if n := len(p.seen("")); n != len(w.ranges) || p.metric("opfeed_lease_lost_total") != 0 {
			t.Errorf("%d tenures of %d leases: some were lost", n, len(w.ranges))
		}
		p.stop()
	})
}

// A proxy answers in place of the account, with 200 and an ETag: that renews
// nothing, and what is not renewed is not trusted.
func TestWritesThatNeverArrive(t *testing.T) {
	inWorld(t, func(w *world) {
		a := w.process("a").start(nil)
		time.Sleep(5 * time.Second)
		emulator, _ := w.server.(*cosmosemu.Server)
		page := emufault.Rule[cosmosemu.Effect]{Name: "page", Match: emufault.Match{"kind": "create|replace"}}
		html := "<html>log in first</html>"
		page.Effect.Status, page.Effect.Body, page.Effect.Header = http.StatusOK, &html, map[string]string{"etag": `"1"`}
		if err := emulator.Faults().Add(page); err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		b := w.process("b").start(nil)
		time.Sleep(30 * time.Second)
		for _, s := range a.seen("") {
			if after := s.workEnded.Sub(began); !errors.Is(s.cause, ErrLost) || after > 8*time.Second {
				t.Errorf("work ended after %s with %v", after, s.cause)
			}
		}
		if len(a.seen("")) != len(w.ranges) || len(b.seen("")) != 0 {
			t.Errorf("%d and %d tenures of %d leases", len(a.seen("")), len(b.seen("")), len(w.ranges))
		}
		emulator.Faults().Clear()
		time.Sleep(15 * time.Second)
		for _, r := range w.ranges {
			if (a.holds(r.Token) == nil) == (b.holds(r.Token) == nil) {
				t.Errorf("range %s is not held by one", r.Token)
			}
		}
		a.stop()
		b.stop()
	})
}
