package leases

import (
	"context"
	"errors"
	"net/http"
	"testing"
	"testing/synctest"
	"time"
)

// A process that was stopped past the window and goes on must not trust its
// lease, even if none of its timers has run yet.
func TestTrustedAfterThaw(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cancelled := 0
		tenure := newTenure(Document{}, time.Now().Add(time.Second), func(cause error) {
			if cancelled++; !errors.Is(cause, ErrLost) {
				t.Errorf("cause %v", cause)
			}
		}, nil)
		if err := tenure.Trusted(); err != nil {
			t.Fatal(err)
		}
		tenure.window.Stop() // as if it were late
		time.Sleep(time.Second)
		if err := tenure.Trusted(); !errors.Is(err, ErrLost) {
			t.Errorf("after the window: %v", err)
		}
		if err := tenure.CheckpointNow(t.Context(), at(1)); !errors.Is(err, ErrLost) {
			t.Errorf("checkpoint after the window: %v", err)
		}
		if tenure.wrote(position{}, time.Now().Add(time.Hour), time.Now()) || tenure.Trusted() == nil {
			t.Error("a reply opened the window again")
		}
		tenure.closeWindow()
		tenure.closeWindow()
		if cancelled != 1 {
			t.Errorf("lost %d times", cancelled)
		}
	})
}

func TestWindowIsExtended(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lost := false
		tenure := newTenure(Document{}, time.Now().Add(time.Second), func(error) { lost = true }, nil)
		for range 10 {
			time.Sleep(900 * time.Millisecond)
			if !tenure.wrote(position{}, time.Now().Add(time.Second), time.Now()) {
				t.Fatal("a reply in time was refused")
			}
			tenure.closeWindow() // a timer that fired while it was extended
		}
		if lost || tenure.Trusted() != nil {
			t.Error("lost while it was renewed")
		}
		time.Sleep(time.Second)
		synctest.Wait()
		if !lost || tenure.Trusted() == nil {
			t.Error("not lost after the window")
		}
	})
}

func TestCheckpointRate(t *testing.T) {
	inWorld(t, func(w *world) {
		p := w.process("a")
		p.start(func(stop, _ context.Context, s *tenureSeen) error {
			for i := 1; stop.Err() == nil; i++ {
				s.t.Checkpoint(at(i))
				if i%10 == 0 && s.token == "1" {
					if err := s.t.CheckpointNow(stop, at(i)); err != nil && stop.Err() == nil {
						t.Errorf("checkpoint: %v", err)
					}
				}
				sleep(stop, 10*time.Millisecond)
			}
			return nil
		})
		time.Sleep(30 * time.Second)
		for _, r := range w.ranges {
			h := w.history(r.Token)
			// Create, acquire, the first checkpoint at once, then one a second.
			if len(h) < 30 || len(h) > 33 {
				t.Errorf("range %s: %d writes in 30 s", r.Token, len(h))
			}
			checkNeverBack(t, h)
		}
		stored := number(t, w.read("0").Continuation)
		p.stop()
		if last := number(t, w.read("0").Continuation); last < stored || last < 2900 {
			t.Errorf("the last position is %d, before it was %d", last, stored)
		}
	})
}

// The same position again, as after a page without changes, costs nothing.
func TestCheckpointUnchanged(t *testing.T) {
	inWorld(t, func(w *world) {
		p := w.process("a").start(func(stop, _ context.Context, s *tenureSeen) error {
			for stop.Err() == nil {
				s.t.Checkpoint(at(1))
				s.t.Checkpoint("")
				if err := s.t.CheckpointNow(stop, at(1)); err != nil && stop.Err() == nil {
					t.Errorf("checkpoint: %v", err)
				}
				sleep(stop, 250*time.Millisecond)
			}
			return nil
		})
		time.Sleep(time.Minute)
		if n := len(w.history("0")); n > 33 {
			t.Errorf("%d writes in a minute", n)
		}
		p.stop()
		if d := w.read("0"); d.Continuation != at(1) {
			t.Errorf("stored %+v", d)
		}
	})
}

func TestCheckpointNow(t *testing.T) {
	inWorld(t, func(w *world) {
		p := w.process("a").start(nil)
		time.Sleep(time.Second)
		tenure := p.holds("0")
		began := time.Now()
		if err := tenure.CheckpointNow(w.t.Context(), at(1)); err != nil || time.Since(began) > 10*time.Millisecond {
			t.Errorf("first checkpoint: %v after %s", err, time.Since(began))
		}
		if d := w.read("0"); d.Continuation != at(1) {
			t.Errorf("stored %+v", d)
		}
		if err := tenure.CheckpointNow(w.t.Context(), ""); err == nil {
			t.Error("an empty position was stored")
		}
		p.wire.set(always(throttle))
		ctx, cancel := context.WithTimeoutCause(w.t.Context(), 3*time.Second, errors.New("too slow"))
		defer cancel()
		if err := tenure.CheckpointNow(ctx, at(2)); err == nil || err.Error() != "too slow" {
			t.Errorf("checkpoint in a storm: %v", err)
		}
		if d := w.read("0"); d.Continuation != at(1) {
			t.Errorf("stored %+v", d)
		}
		p.wire.set(nil)
		if err := tenure.CheckpointNow(w.t.Context(), at(2)); err != nil {
			t.Errorf("checkpoint after it: %v", err)
		}
		p.wire.set(func(r *http.Request, _ int) fault {
			if isWrite(r) {
				return hang
			}
			return pass
		})
		if err := tenure.CheckpointNow(w.t.Context(), at(3)); !errors.Is(err, ErrLost) {
			t.Errorf("checkpoint while it is lost: %v", err)
		}
		p.wire.set(nil)
		p.stop()
		if err := tenure.CheckpointNow(w.t.Context(), at(4)); !errors.Is(err, ErrLost) {
			t.Errorf("checkpoint after the end: %v", err)
		}
		if d := w.read("0"); d.Continuation != at(2) {
			t.Errorf("stored %+v", d)
		}
	})
}
