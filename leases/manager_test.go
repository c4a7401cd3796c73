package leases

import (
	"context"
	"errors"
	"net/http"
	"testing"
	"time"

	"go.uber.org/zap/zapcore"
)

func TestAcquireRenewRelease(t *testing.T) {
	inWorld(t, func(w *world) {
		w.ranges[0].Continuation = at(5)
		p := w.process("a").start(func(stop, _ context.Context, s *tenureSeen) error {
			<-stop.Done()
			time.Sleep(time.Second) // drains
			if s.token == "0" {
				s.t.Checkpoint(at(6))
				time.Sleep(100 * time.Millisecond)
				s.t.Checkpoint(at(7)) // too early for a write of its own
			}
			return context.Cause(stop)
		})
		time.Sleep(time.Minute)
		for i, r := range w.ranges {
			d := w.read(r.Token)
			if d.Owner != "a" || d.Epoch != 1 || d.StartID == "" || d.Range != r.Range || d.Continuation != r.Continuation {
				t.Errorf("lease %+v", d)
			}
			if d.Renewal < 28 || d.Renewal > 31 {
				t.Errorf("%d renewals in a minute", d.Renewal)
			}
			if !d.Timestamp.After(time.Now().Add(-3 * time.Second)) {
				t.Errorf("timestamp %s", d.Timestamp)
			}
			info := p.m.Snapshot()[i]
			if info.Token != r.Token || !info.Mine || info.Owner != "a" || info.Epoch != 1 || info.Continuation != r.Continuation || info.Renewed.IsZero() {
				t.Errorf("info %+v", info)
			}
			if tenure := p.holds(r.Token); tenure == nil || tenure.Lease().Continuation != r.Continuation || tenure.Epoch() != 1 || tenure.Range() != r.Range {
				t.Errorf("tenure %+v", tenure)
			}
		}
		if p.metric("opfeed_leases_owned") != 2 || p.metric("opfeed_lease_acquisitions_total") != 2 {
			t.Error("metrics of two held leases")
		}
		p.stop()
		for token, want := range map[string]string{"0": at(7), "1": ""} {
			if d := w.read(token); d.Owner != "" || d.Continuation != want || d.Epoch != 1 {
				t.Errorf("released lease %+v", d)
			}
			if s := p.seen(token); len(s) != 1 || s[0].cause != nil || !errors.Is(s[0].t.Trusted(), ErrLost) {
				t.Errorf("tenures %+v", s)
			}
		}
		h := w.history("0")
		if last, before := h[len(h)-1], h[len(h)-2]; last.Continuation != at(7) || last.Owner != "" || before.Continuation != at(6) {
			t.Errorf("the last checkpoint and the release were not one write: %+v, %+v", before, last)
		}
		if p.metric("opfeed_leases_owned") != 0 || p.metric("opfeed_lease_lost_total") != 0 {
			t.Error("metrics after the release")
		}
		if n := p.log.FilterLevelExact(zapcore.ErrorLevel).Len(); n != 0 {
			t.Errorf("%d errors were logged", n)
		}
		if err := p.m.Run(w.t.Context(), nil); err == nil {
			t.Error("a second run was allowed")
		}
	})
}

func TestNoTakeoverWhileRenewed(t *testing.T) {
	inWorld(t, func(w *world) {
		w.oneRange()
		a := w.process("a").start(nil)
		time.Sleep(5 * time.Second)
		b := w.process("b").start(nil)
		w.guard(5*time.Minute, a, b)
		if len(b.seen("")) != 0 || len(a.seen("")) != 1 {
			t.Errorf("b took %d leases, a has had %d tenures", len(b.seen("")), len(a.seen("")))
		}
		a.stop()
		b.stop()
	})
}

func TestTakeoverAfterDeath(t *testing.T) {
	for name, how := range map[string]fault{"refused": refuse, "hanging": hang, "swallowed": swallow} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, func(w *world) {
				w.oneRange()
				a := w.process("a").start(func(stop, _ context.Context, s *tenureSeen) error {
					if err := s.t.CheckpointNow(stop, at(3)); err != nil {
						return err
					}
					<-stop.Done()
					s.t.Checkpoint(at(4))
					return s.t.CheckpointNow(context.Background(), at(5))
				})
				b := w.process("b")
				time.Sleep(7 * time.Second)
				b.start(nil)
				time.Sleep(7 * time.Second)
				last := w.history("0")
				died := time.Now()
				a.wire.set(func(r *http.Request, n int) fault {
					if how == swallow && !isWrite(r) {
						return refuse
					}
					return always(how)(r, n)
				})
				w.guard(20*time.Second, a, b)
				for _, r := range w.ranges {
					old, took := a.seen(r.Token), b.seen(r.Token)
					if len(old) != 1 || len(took) != 1 {
						t.Fatalf("range %s: %d tenures, then %d", r.Token, len(old), len(took))
					}
					if !errors.Is(old[0].cause, ErrLost) || old[0].workEnded.After(died.Add(8*time.Second)) || old[0].workEnded.Before(died.Add(5*time.Second)) {
						t.Errorf("work ended after %s with %v", old[0].workEnded.Sub(died), old[0].cause)
					}
					// A last write up to 2 s after the death, listings each 2 s ± 10 %.
					if after := took[0].began.Sub(died); after < 8*time.Second || after > 17*time.Second {
						t.Errorf("taken over after %s", after)
					}
					if d := took[0].t.Lease(); d.Continuation != at(3) || d.Epoch != 2 {
						t.Errorf("taken over at %+v", d)
					}
				}
				a.wire.set(nil)
				w.guard(30*time.Second, a, b)
				if len(a.seen("")) != 1 {
					t.Error("the old owner took a lease back")
				}
				for _, d := range w.history("0")[len(last):] {
					if d.Owner == "" || d.Continuation != at(3) {
						t.Errorf("somebody wrote %+v", d)
					}
				}
				if a.metric("opfeed_lease_lost_total") != 1 || a.metric("opfeed_leases_owned") != 0 {
					t.Error("metrics of the lost leases")
				}
				a.stop()
				b.stop()
			})
		})
	}
}

func TestReleaseIsTakenAtOnce(t *testing.T) {
	inWorld(t, func(w *world) {
		a := w.process("a").start(func(stop, _ context.Context, s *tenureSeen) error {
			<-stop.Done()
			s.t.Checkpoint(at(9))
			return nil
		})
		time.Sleep(3 * time.Second)
		b := w.process("b").start(nil)
		time.Sleep(10 * time.Second)
		a.stop()
		released := time.Now()
		w.guard(3*time.Second, a, b)
		for _, s := range b.seen("") {
			if s.began.Sub(released) > 2200*time.Millisecond || s.t.Lease().Continuation != at(9) {
				t.Errorf("taken after %s at %s", s.began.Sub(released), s.t.Lease().Continuation)
			}
		}
		if len(b.seen("")) != 2 {
			t.Errorf("%d leases were taken", len(b.seen("")))
		}
		b.stop()
	})
}

// A twin has the same instance name, as a pod of a StatefulSet that was cut off.
func TestTwins(t *testing.T) {
	inWorld(t, func(w *world) {
		w.oneRange()
		a := w.process("opfeed-0").start(nil)
		time.Sleep(3 * time.Second)
		b := w.process("opfeed-0").start(nil)
		w.guard(time.Minute, a, b)
		if len(b.seen("")) != 0 {
			t.Fatal("a twin took a lease that is renewed")
		}
		a.wire.set(always(hang))
		w.guard(20*time.Second, a, b)
		if len(b.seen("")) != 1 {
			t.Fatal("a twin did not take an expired lease")
		}
		a.wire.set(nil)
		w.guard(time.Minute, a, b)
		if len(a.seen("")) != 1 || b.holds("0") == nil {
			t.Error("the twins do not keep apart")
		}
		b.stop()
		a.stop()
	})
}

func TestLost(t *testing.T) {
	for name, lose := range map[string]func(w *world){
		"taken": func(w *world) {
			d := w.read("0")
			d.Owner, d.StartID, d.Epoch, d.Continuation = "thief", "T", d.Epoch+1, at(100)
			w.put(d)
		},
		"taken by a twin": func(w *world) {
			d := w.read("0")
			d.StartID, d.Epoch, d.Continuation = "T", d.Epoch+1, at(100)
			w.put(d)
		},
		"freed": func(w *world) {
			d := w.read("0")
			d.Owner, d.Continuation = "", at(100)
			w.put(d)
		},
		"deleted": func(w *world) {
			if err := w.store.Delete(w.t.Context(), w.read("0")); err != nil {
				w.t.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, func(w *world) {
				p := w.process("a").start(func(stop, work context.Context, s *tenureSeen) error {
					<-stop.Done()
					if s.token != "0" {
						return nil
					}
					<-work.Done()
					s.t.Checkpoint(at(50))
					if err := s.t.CheckpointNow(context.Background(), at(51)); !errors.Is(err, ErrLost) {
						t.Errorf("checkpoint of a lost lease: %v", err)
					}
					return errors.New("ignored")
				})
				time.Sleep(5 * time.Second)
				p.wire.set(func(r *http.Request, _ int) fault { // it must not be taken again
					if r.Method == "POST" {
						return refuse
					}
					return pass
				})
				lose(w)
				lostAt := time.Now()
				time.Sleep(20 * time.Second)
				s := p.seen("0")
				if len(s) != 1 || !errors.Is(s[0].cause, ErrLost) || s[0].workEnded.Sub(lostAt) > 2*time.Second || s[0].returned.IsZero() {
					t.Fatalf("tenures %+v", s)
				}
				for _, d := range w.history("0") {
					if d.Owner != "a" && d.Epoch != 0 || d.Continuation != "" {
						t.Errorf("written %+v", d)
					}
				}
				if name != "deleted" {
					if d := w.read("0"); d.Continuation != at(100) {
						t.Errorf("stored %+v", d)
					}
				}
				if p.holds("1") == nil {
					t.Error("the other range suffered")
				}
				p.stop()
			})
		})
	}
}
