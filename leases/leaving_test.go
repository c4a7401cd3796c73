package leases

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"time"
)

// A position that is given while the reply to the release is lost is not stored,
// and nobody is told that it is.
func TestCheckpointNowIsTrue(t *testing.T) {
	inWorld(t, func(w *world) {
		w.oneRange()
		result := make(chan error, 1)
		p := w.process("a").start(func(stop, _ context.Context, s *tenureSeen) error {
			s.t.Checkpoint(at(1))
			<-stop.Done()
			return nil
		})
		time.Sleep(3 * time.Second)
		p.wire.set(func(r *http.Request, _ int) fault {
			if !isWrite(r) {
				return pass
			}
			p.wire.fault = nil // held by the caller
			tenure := p.tenures[0].t
			go func() {
				time.Sleep(20 * time.Millisecond)
				result <- tenure.CheckpointNow(context.Background(), at(2))
			}()
			return swallow
		})
		p.stop()
		err := <-result
		if d := w.read("0"); (err == nil) != (d.Continuation == at(2)) {
			t.Errorf("told %v, stored %s", err, d.Continuation)
		}
	})
}

// Names that hosts may have.
func TestOddNames(t *testing.T) {
	for what, name := range map[string]string{
		"spaces": "a b  c ", "long": strings.Repeat("\"", 255), "html": "<a>&\u2028",
	} {
		t.Run(what, func(t *testing.T) {
			inWorld(t, func(w *world) {
				w.sixRanges()
				a := w.process("a").start(w.counting)
				time.Sleep(5 * time.Second)
				b := w.process(name).start(w.counting)
				time.Sleep(10 * time.Second)
				if n := len(b.holding()); n != 3 {
					t.Errorf("it has %d of six", n)
				}
				b.stop()
				time.Sleep(5 * time.Second)
				if n := len(a.holding()); n != 6 {
					t.Errorf("the other has %d of six after it has left", n)
				}
				a.stop()
			})
		})
	}
}

// Names that would not come back from a document as they were, or make none.
func TestBadNames(t *testing.T) {
	for what, name := range map[string]string{
		"control": "a\nb\x00\t", "long": strings.Repeat("x", 2048), "utf8": "a\xffb",
	} {
		if _, err := NewManager(DefaultConfig(), Deps{Store: NewStore(nil, testPrefix), Instance: name}); err == nil {
			t.Errorf("%s: taken", what)
		}
	}
}

// A host that announces itself and cannot take anything.
func TestWedgedHost(t *testing.T) {
	inWorld(t, func(w *world) {
		w.sixRanges()
		a, c := w.process("a").start(nil), w.process("c").start(nil)
		time.Sleep(10 * time.Second)
		b := w.process("b")
		b.wire.set(func(r *http.Request, _ int) fault {
			if r.Method == http.MethodPut {
				return refuse
			}
			return pass
		})
		b.start(nil)
		time.Sleep(10 * time.Second)
		c.wire.set(always(hang))
		var worst time.Duration
		for _, d := range w.longest(time.Minute, a, b) {
			worst = max(worst, d)
		}
		if worst > 20*time.Second {
			t.Errorf("a range was served by nobody for %s", worst)
		}
		a.stop()
		b.stop()
		c.wire.set(always(refuse))
		c.cancel()
		<-c.done
	})
}

// All hosts leave at once, and new ones come.
func TestAllLeaveAtOnce(t *testing.T) {
	for n := 2; n <= 4; n++ {
		inWorld(t, func(w *world) {
			w.sixRanges()
			var old, all []*process
			for range n {
				old = append(old, w.process("h").start(w.counting))
			}
			time.Sleep(20 * time.Second)
			all = append(all, old...)
			for _, p := range old {
				go func() { p.cancel() }()
			}
			for range n {
				all = append(all, w.process("h").start(w.counting))
			}
			var worst time.Duration
			for _, d := range w.longest(40*time.Second, all...) {
				worst = max(worst, d)
			}
			t.Logf("%d hosts: %s", n, worst)
			if worst > 5*time.Second {
				t.Errorf("a range was served by nobody for %s", worst)
			}
			for _, p := range old {
				<-p.done
			}
			for _, p := range all[n:] {
				p.stop()
			}
			for _, r := range w.ranges {
				checkNeverBack(t, w.history(r.Token))
			}
		})
	}
}

// A host that offers its leases is killed.
func TestKilledWhileLeaving(t *testing.T) {
	for _, after := range []time.Duration{50 * time.Millisecond, 300 * time.Millisecond, 700 * time.Millisecond, 1500 * time.Millisecond, 3 * time.Second} {
		inWorld(t, func(w *world) {
			w.sixRanges()
			slowWork := func(stop, work context.Context, s *tenureSeen) error {
				<-stop.Done()
				sleep(work, 4*time.Second)
				return nil
			}
			a, b := w.process("a").start(slowWork), w.process("b").start(slowWork)
			time.Sleep(20 * time.Second)
			a.cancel()
			time.Sleep(after)
			a.wire.set(always(hang))
			var worst time.Duration
			for _, d := range w.longest(time.Minute, a, b) {
				worst = max(worst, d)
			}
			t.Logf("killed after %s: %s", after, worst)
			if worst > 20*time.Second {
				t.Errorf("a range was served by nobody for %s", worst)
			}
			<-a.done
			b.stop()
		})
	}
}

// A host that starts asks for a lease while the one that it was handed over to
// takes it.
func TestRequestDoesNotDelayTheHeir(t *testing.T) {
	inWorld(t, func(w *world) {
		w.oneRange()
		a := w.process("a").start(nil)
		time.Sleep(5 * time.Second)
		b := w.process("b")
		var asked time.Time
		b.wire.set(func(r *http.Request, _ int) fault {
			if r.Method == http.MethodPut && asked.IsZero() && w.read("0").Owner == "b" {
				asked = time.Now()
				d := w.read("0")
				d.Request = Host{"c", "someone"}.String()
				w.put(d)
			}
			return pass
		})
		b.start(nil)
		time.Sleep(5 * time.Second)
		a.stop()
		time.Sleep(5 * time.Second)
		b.wire.set(nil) // nobody writes asked any more
		if asked.IsZero() || len(b.seen("0")) != 1 {
			t.Fatalf("asked for at %v, taken by the heir %d times", asked, len(b.seen("0")))
		}
		if took := b.seen("0")[0].began.Sub(asked); took > 100*time.Millisecond {
			t.Errorf("taken %v later", took)
		}
		b.stop()
	})
}
