package leases

import (
	"context"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"opfeed/internal/inproc"
)

// late applies what matches, and lets the reply take its time.
type late struct {
	inner interface {
		Do(*http.Request) (*http.Response, error)
	}
	by func(*http.Request) time.Duration
}

func (l *late) Do(r *http.Request) (*http.Response, error) {
	reply, err := l.inner.Do(r)
	if by := l.by(r); by > 0 {
		select {
		case <-time.After(by):
		case <-r.Context().Done():
			return nil, r.Context().Err()
		}
	}
	return reply, err
}

func slow(w *world, by func(*http.Request) time.Duration) func(*Config, *Deps) {
	return func(_ *Config, d *Deps) {
		d.Store = NewStore(w.client(&late{&wire{w: w, inner: inprocOf(w)}, by}), testPrefix)
	}
}

// longest gives how long each range was served by nobody, at most, in a time.
func (w *world) longest(d time.Duration, processes ...*process) map[string]time.Duration {
	open, since := map[string]time.Duration{}, map[string]time.Time{}
	for end := time.Now().Add(d); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		for _, r := range w.rangesNow() {
			var holders []string
			for _, p := range processes {
				if p.holds(r.Token) != nil {
					holders = append(holders, p.name)
				}
			}
			if len(holders) > 1 {
				w.t.Errorf("range %s is trusted by %v", r.Token, holders)
			}
			if len(holders) > 0 {
				delete(since, r.Token)
				continue
			}
			if since[r.Token].IsZero() {
				since[r.Token] = time.Now()
			}
			open[r.Token] = max(open[r.Token], time.Since(since[r.Token]))
		}
	}
	return open
}

// The replies of one host's writes come after their deadline, though they are
// applied: it must not keep from the others what it cannot serve.
func TestSlowHostStrandsNothing(t *testing.T) {
	for _, kind := range []string{"puts", "all"} {
		t.Run(kind, func(t *testing.T) {
			inWorld(t, func(w *world) {
				a := w.process("a").start(nil)
				time.Sleep(10 * time.Second)
				b := w.process("b", slow(w, func(r *http.Request) time.Duration {
					if kind == "all" && !strings.HasSuffix(r.URL.Path, "pkranges") && r.URL.Path != "/" || r.Method == http.MethodPut {
						return 2500 * time.Millisecond
					}
					return 0
				})).start(nil)
				for token, d := range w.longest(2*time.Minute, a, b) {
					if d > 20*time.Second {
						t.Errorf("range %s was served by nobody for %s; %+v", token, d, w.read(token))
					}
				}
				a.stop()
				b.stop()
			})
		})
	}
}

// inWorlds runs f under each of some seeds.
func inWorlds(t *testing.T, seeds uint64, f func(w *world)) {
	t.Helper()
	for seed := range seeds {
		inWorld(t, func(w *world) { w.seed = seed; f(w) })
		if t.Failed() {
			t.Logf("seed %d", seed)
			return
		}
	}
}

// A host leaves the leases to others for a while, since it heard of none that it
// took. It must not go on with that when the others are gone.
func TestDeafHostIsTheLastOne(t *testing.T) {
	for _, how := range []string{"dies", "leaves"} {
		for _, lasts := range []time.Duration{30 * time.Second, 2 * time.Minute, 6 * time.Minute} {
			t.Run(how+lasts.String(), func(t *testing.T) {
				inWorlds(t, 3, func(w *world) {
					w.sixRanges()
					a := w.process("a").start(nil)
					time.Sleep(10 * time.Second)
					var deaf atomic.Bool
					deaf.Store(true)
					b := w.process("b", slow(w, func(r *http.Request) time.Duration {
						if deaf.Load() && r.Method == http.MethodPut {
							return 2500 * time.Millisecond
						}
						return 0
					})).start(nil)
					time.Sleep(lasts)
					deaf.Store(false)
					time.Sleep(3 * time.Second)
					if how == "dies" {
						a.wire.set(always(hang))
					} else {
						go a.cancel()
					}
					for token, d := range w.longest(6*time.Minute, a, b) {
						if d > 20*time.Second {
							t.Errorf("range %s was served by nobody for %s", token, d)
						}
					}
					a.wire.set(always(refuse))
					a.cancel()
					<-a.done
					b.stop()
				})
			})
		}
	}
}

// A host that holds leases hears of no reply in time any more, though what it sends
// arrives: the other has its ranges within two expiries.
func TestHostTurnsDeaf(t *testing.T) {
	for seed := range uint64(6) {
		inWorld(t, func(w *world) {
			w.seed = seed
			w.sixRanges()
			var deaf atomic.Bool
			a := w.process("a", slow(w, func(r *http.Request) time.Duration {
				if deaf.Load() && !strings.HasSuffix(r.URL.Path, "pkranges") && r.URL.Path != "/" {
					return 2500 * time.Millisecond
				}
				return 0
			})).start(nil)
			time.Sleep(5 * time.Second)
			b := w.process("b").start(nil)
			time.Sleep(15*time.Second + time.Duration(seed)*300*time.Millisecond)
			deaf.Store(true)
			for token, d := range w.longest(time.Minute, a, b) {
				if d > 20*time.Second {
					t.Errorf("seed %d: range %s was served by nobody for %s", seed, token, d)
				}
			}
			a.cancel()
			<-a.done
			b.stop()
		})
	}
}

// The second host turns deaf while the first, which was, is well and still leaves
// the leases to it.
func TestOneDeafAfterTheOther(t *testing.T) {
	for _, lasts := range []time.Duration{2 * time.Minute, 6 * time.Minute} {
		t.Run(lasts.String(), func(t *testing.T) {
			inWorlds(t, 3, func(w *world) {
				w.sixRanges()
				var deaf [2]atomic.Bool
				var hosts []*process
				for i, name := range []string{"a", "b"} {
					hosts = append(hosts, w.process(name, slow(w, func(r *http.Request) time.Duration {
						if deaf[i].Load() && r.Method == http.MethodPut {
							return 2500 * time.Millisecond
						}
						return 0
					})).start(nil))
					time.Sleep(10 * time.Second)
				}
				deaf[1].Store(true)
				time.Sleep(lasts)
				deaf[1].Store(false)
				time.Sleep(3 * time.Second)
				deaf[0].Store(true)
				for token, d := range w.longest(6*time.Minute, hosts...) {
					if d > 20*time.Second {
						t.Errorf("range %s was served by nobody for %s", token, d)
					}
				}
				hosts[0].cancel()
				<-hosts[0].done
				hosts[1].stop()
			})
		})
	}
}

// A pod dies and is back, with another start id, right before its leases expire.
func TestCrashAndBackBeforeExpiry(t *testing.T) {
	for _, back := range []time.Duration{2 * time.Second, 6 * time.Second, 9 * time.Second, 11 * time.Second} {
		t.Run(back.String(), func(t *testing.T) {
			inWorld(t, func(w *world) {
				w.sixRanges()
				a := w.process("a").start(nil)
				c := w.process("c").start(nil)
				time.Sleep(20 * time.Second)
				c.wire.set(always(hang))
				time.Sleep(back)
				c2 := w.process("c").start(nil)
				var worst time.Duration
				for _, d := range w.longest(time.Minute, a, c2) {
					worst = max(worst, d)
				}
				t.Logf("back after %s: %s", back, worst+back)
				if worst+back > 17500*time.Millisecond {
					t.Errorf("a range was served by nobody for %s", worst+back)
				}
				a.stop()
				c2.stop()
				c.wire.set(always(refuse))
				c.cancel()
				<-c.done
			})
		})
	}
}

// A host asks for a lease, and is stopped before it gets it.
func TestStoppedWhileAsking(t *testing.T) {
	inWorld(t, func(w *world) {
		a := w.process("a").start(func(stop, _ context.Context, s *tenureSeen) error {
			<-stop.Done()
			time.Sleep(2 * time.Second) // drains
			return nil
		})
		time.Sleep(10 * time.Second)
		b := w.process("b").start(nil)
		for w.read("0").Request == "" && w.read("1").Request == "" {
			time.Sleep(100 * time.Millisecond)
		}
		time.Sleep(1900 * time.Millisecond)
		b.stop()
		for token, d := range w.longest(30*time.Second, a) {
			t.Log(token, d)
			if d > 4*time.Second {
				t.Errorf("range %s was served by nobody for %s", token, d)
			}
		}
		a.stop()
	})
}

func inprocOf(w *world) *inproc.Transport { return inproc.New(w.server) }
