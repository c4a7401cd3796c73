package dispatch_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"opfeed/processor/dispatch"
)

// bench runs one dispatcher in a bubble and records what it does.
type bench struct {
	t      *testing.T
	d      *dispatch.Dispatcher
	cancel context.CancelCauseFunc

	mu      sync.Mutex
	looks   []dispatch.Change
	handled map[string]int
}

// run starts a dispatcher whose looks are recorded before step decides.
func run(t *testing.T, cfg dispatch.Config, step dispatch.Handle) *bench {
	t.Helper()
	b := &bench{t: t, handled: map[string]int{}}
	cfg.Handle = func(ctx context.Context, c dispatch.Change) (dispatch.Apply, error) {
		b.mu.Lock()
		b.looks = append(b.looks, c)
		b.mu.Unlock()
		return step(ctx, c)
	}
	b.d = dispatch.New(cfg)
	ctx, cancel := context.WithCancelCause(t.Context())
	b.cancel = cancel
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		if err := b.d.Run(ctx); err != nil {
			t.Errorf("Run: %v", err)
		}
	}()
	t.Cleanup(func() { cancel(errors.New("test ended")); <-ended })
	return b
}

func (b *bench) submit(c dispatch.Change) {
	b.t.Helper()
	name := c.ID + "@" + c.ETag
	if err := b.d.Submit(b.t.Context(), c, func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.handled[name]++
	}); err != nil {
		b.t.Errorf("submit %s: %v", name, err)
	}
}

func (b *bench) wantHandled(name string, n int) {
	b.t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.handled[name] != n {
		b.t.Errorf("%s handled %d times, want %d", name, b.handled[name], n)
	}
}

func (b *bench) wantLooks(want ...string) {
	b.t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	got := make([]string, 0, len(b.looks))
	for _, c := range b.looks {
		got = append(got, c.ID+"@"+c.ETag+" "+c.Source.String())
	}
	if !slices.Equal(got, want) {
		b.t.Errorf("looks:\n got %q\nwant %q", got, want)
	}
}

func version(partition, id, etag string) dispatch.Change {
	return dispatch.Change{
		Key:      dispatch.Key{Partition: partition, ID: id},
		ETag:     etag,
		Document: json.RawMessage(`{"id":"` + id + `"}`),
	}
}

func apply(o dispatch.Outcome) dispatch.Apply {
	return func(context.Context) (dispatch.Outcome, error) { return o, nil }
}

func done(context.Context, dispatch.Change) (dispatch.Apply, error) {
	return apply(dispatch.Outcome{}), nil
}

// takes returns a step whose look takes so long.
func takes(d time.Duration, o dispatch.Outcome) dispatch.Handle {
	return func(ctx context.Context, _ dispatch.Change) (dispatch.Apply, error) {
		select {
		case <-time.After(d):
			return apply(o), nil
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

func TestNewerVersionReplacesOneThatWaits(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := run(t, dispatch.Config{Beside: 1}, takes(time.Second, dispatch.Outcome{}))
		b.submit(version("s", "busy", "1"))
		synctest.Wait()
		b.submit(version("s", "o", "1"))
		b.submit(version("s", "o", "2"))
		synctest.Wait()
		b.wantHandled("o@1", 1) // superseded
		b.wantHandled("o@2", 0)
		time.Sleep(3 * time.Second)
		b.wantHandled("o@2", 1)
		b.wantLooks("busy@1 feed", "o@2 feed")
	})
}

func TestNewerVersionWaitsForTheRunningStep(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := run(t, dispatch.Config{}, takes(time.Second, dispatch.Outcome{}))
		b.submit(version("s", "o", "1"))
		synctest.Wait()
		b.submit(version("s", "o", "2"))
		synctest.Wait()
		b.wantLooks("o@1 feed")
		b.wantHandled("o@1", 0)
		time.Sleep(1500 * time.Millisecond)
		b.wantHandled("o@1", 1)
		b.wantHandled("o@2", 0)
		time.Sleep(time.Second)
		b.wantHandled("o@2", 1)
		b.wantLooks("o@1 feed", "o@2 feed")
	})
}

func TestEchoOfOwnWriteCostsNoStep(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := run(t, dispatch.Config{}, takes(time.Second,
			dispatch.Outcome{Verdict: dispatch.Again, After: time.Hour, ETag: "2", Document: json.RawMessage(`{}`)}))
		b.submit(version("s", "o", "1"))
		synctest.Wait()
		b.submit(version("s", "o", "2")) // the echo overtakes the reply
		time.Sleep(2 * time.Second)
		b.wantHandled("o@2", 1)
		b.submit(version("s", "o", "2")) // and comes again
		synctest.Wait()
		b.wantHandled("o@2", 2)
		b.wantLooks("o@1 feed")
	})
}

func TestListNeverReplacesWhatIsKnown(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := run(t, dispatch.Config{}, takes(time.Second, dispatch.Outcome{Verdict: dispatch.Again, After: time.Hour}))
		b.submit(version("s", "o", "2"))
		listed := version("s", "o", "1")
		listed.Source = dispatch.List
		b.submit(listed) // while waiting or running: handled with that step
		b.wantHandled("o@1", 0)
		time.Sleep(2 * time.Second)
		b.wantHandled("o@1", 1)
		b.submit(listed) // while pending: what is stored is read, whichever is newer
		b.wantHandled("o@1", 2)
		time.Sleep(2 * time.Second)
		unknown := version("s", "p", "1")
		unknown.Source = dispatch.List
		b.submit(unknown)
		time.Sleep(2 * time.Second)
		b.wantLooks("o@2 feed", "o@2 list", "p@1 list")
		b.mu.Lock()
		defer b.mu.Unlock()
		if b.looks[1].Document != nil {
			t.Errorf("the second look at o was given %s", b.looks[1].Document)
		}
	})
}

func TestPendingIsDueAgainWithWhatWasSeen(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		step := func(_ context.Context, c dispatch.Change) (dispatch.Apply, error) {
			n, _ := c.Seen.(int)
			if n == 2 {
				return apply(dispatch.Outcome{}), nil
			}
			return apply(dispatch.Outcome{Verdict: dispatch.Again, After: 10 * time.Second, Seen: n + 1}), nil
		}
		b := run(t, dispatch.Config{}, step)
		b.submit(version("s", "o", "1"))
		time.Sleep(9999 * time.Millisecond) // not earlier than asked
		b.wantLooks("o@1 feed")
		time.Sleep(11 * time.Second)
		b.wantLooks("o@1 feed", "o@1 due", "o@1 due")
		if got := b.d.Stats(); got.Pending != 0 || got.Memory != 0 {
			t.Errorf("after the end: %+v", got)
		}
	})
}

func TestLooksOfOnePartitionAreBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		running, most, applying := map[string]int{}, map[string]int{}, map[string]int{}
		all, mostAll := 0, 0
		step := func(_ context.Context, c dispatch.Change) (dispatch.Apply, error) {
			mu.Lock()
			running[c.Partition]++
			all++
			most[c.Partition] = max(most[c.Partition], running[c.Partition])
			mostAll = max(mostAll, all)
			mu.Unlock()
			time.Sleep(time.Second)
			mu.Lock()
			running[c.Partition]--
			all--
			mu.Unlock()
			return func(context.Context) (dispatch.Outcome, error) {
				mu.Lock()
				applying[c.Partition]++
				if applying[c.Partition] > 1 {
					t.Errorf("two steps of %s are applied at once", c.Partition)
				}
				mu.Unlock()
				time.Sleep(100 * time.Millisecond)
				mu.Lock()
				applying[c.Partition]--
				mu.Unlock()
				return dispatch.Outcome{}, nil
			}, nil
		}
		b := run(t, dispatch.Config{Beside: 3, Gate: dispatch.NewGate(7)}, step)
		for i := range 30 {
			b.submit(version(fmt.Sprint("s", i%3), fmt.Sprint("o", i), "1"))
		}
		time.Sleep(time.Minute)
		for i := range 30 {
			b.wantHandled(fmt.Sprintf("o%d@1", i), 1)
		}
		mu.Lock()
		defer mu.Unlock()
		for p, n := range most {
			if n > 3 {
				t.Errorf("%s ran %d looks at once, more than 3", p, n)
			}
		}
		if mostAll != 7 {
			t.Errorf("%d looks at once over all, want 7", mostAll)
		}
	})
}

func TestHungLookDelaysNoOther(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		step := func(ctx context.Context, c dispatch.Change) (dispatch.Apply, error) {
			if c.ID == "hung" {
				<-ctx.Done()
				return nil, ctx.Err()
			}
			return apply(dispatch.Outcome{}), nil
		}
		b := run(t, dispatch.Config{}, step)
		b.submit(version("s", "hung", "1"))
		b.submit(version("s", "o", "1"))
		synctest.Wait()
		b.wantHandled("o@1", 1)
		b.wantHandled("hung@1", 0)
	})
}

// TestHangingPartitionStarvesNoOther lets very many looks of a few partitions
// hang: one of another partition waits for one place at most.
func TestHangingPartitionStarvesNoOther(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const deadline = 10 * time.Second
		step := func(context.Context, dispatch.Change) (dispatch.Apply, error) { return nil, nil }
		hanging := func(ctx context.Context, c dispatch.Change) (dispatch.Apply, error) {
			if c.Partition == "healthy" {
				return step(ctx, c)
			}
			time.Sleep(deadline)
			return nil, errors.New("no answer")
		}
		b := run(t, dispatch.Config{Gate: dispatch.NewGate(64), Memory: 100}, hanging)
		for i := range 3000 {
			b.submit(version(fmt.Sprint("s", i%30), fmt.Sprint("h", i), "1"))
		}
		time.Sleep(35 * time.Second)
		start := time.Now()
		b.submit(version("healthy", "o", "1"))
		if time.Since(start) > 0 {
			t.Errorf("the reader was kept for %s", time.Since(start))
		}
		time.Sleep(deadline)
		b.wantHandled("o@1", 1)
		if got := b.d.Stats(); got.Memory > 100 {
			t.Errorf("%d bytes of documents are kept", got.Memory)
		}
	})
}

func TestBadDocumentsDelayNoGoodOnes(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var storing atomic.Value // the one whose record is being stored: its next version waits
		b := run(t, dispatch.Config{Quarantine: func(_ context.Context, c dispatch.Change, _ string) error {
			storing.Store(c.ID)
			time.Sleep(5 * time.Second)
			return errors.New("no answer")
		}}, func(_ context.Context, c dispatch.Change) (dispatch.Apply, error) {
			if c.ETag == "bad" {
				panic("poison")
			}
			return nil, nil
		})
		for i := range 20 {
			b.submit(version("s", fmt.Sprint("b", i), "bad"))
		}
		synctest.Wait()
		mended, left := "b3", "b4"
		if storing.Load() == mended {
			mended, left = left, mended
		}
		b.submit(version("s", "o", "1"))
		b.submit(version("s", mended, "mended"))
		synctest.Wait()
		b.wantHandled("o@1", 1)
		b.wantHandled(mended+"@mended", 1)
		b.wantHandled(mended+"@bad", 1) // superseded
		b.wantHandled(left+"@bad", 0)
	})
}

func TestSubmitBlocksWhileTooManyWait(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := run(t, dispatch.Config{Waiting: 2, Beside: 1}, takes(time.Second, dispatch.Outcome{}))
		start := time.Now()
		for i := range 4 {
			b.submit(version("s", fmt.Sprint("o", i), "1"))
		}
		if took := time.Since(start); took != 2*time.Second {
			t.Errorf("four submissions at two places took %s, want 2s", took)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		if err := b.d.Submit(ctx, version("s", "late", "1"), nil); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("submission to a full queue: %v, want the context's end", err)
		}
		time.Sleep(10 * time.Second)
		if got := b.d.Stats(); got.Waiting+got.Running+got.Pending != 0 {
			t.Errorf("after the end: %+v", got)
		}
	})
}

func TestBlockedSubmissionEndsWithTheDispatcher(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := run(t, dispatch.Config{Waiting: 1}, takes(time.Hour, dispatch.Outcome{}))
		b.submit(version("s", "o", "1"))
		if err := b.d.TrySubmit(version("s", "p", "1"), nil); !errors.Is(err, dispatch.ErrFull) {
			t.Errorf("try of a full queue: %v", err)
		}
		ended := make(chan error)
		go func() { ended <- b.d.Submit(context.WithoutCancel(t.Context()), version("s", "p", "1"), nil) }()
		synctest.Wait()
		b.cancel(errors.New("lease lost"))
		if err := <-ended; !errors.Is(err, dispatch.ErrStopped) {
			t.Errorf("blocked submission: %v", err)
		}
	})
}

func TestErrorsAreTriedAgain(t *testing.T) {
	t.Parallel()
	for _, half := range []string{"look", "apply"} {
		t.Run(half, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				boom := errors.New("boom")
				step := func(_ context.Context, c dispatch.Change) (dispatch.Apply, error) {
					switch {
					case c.Attempt == 3:
						return apply(dispatch.Outcome{}), nil
					case half == "look":
						return nil, boom
					default:
						return func(context.Context) (dispatch.Outcome, error) { return dispatch.Outcome{}, boom }, nil
					}
				}
				b := run(t, dispatch.Config{RetryMin: time.Second, RetryMax: 2 * time.Second}, step)
				b.submit(version("s", "o", "1"))
				synctest.Wait()
				b.wantHandled("o@1", 1) // an error, too, is a first look
				time.Sleep(5 * time.Second)
				b.mu.Lock()
				defer b.mu.Unlock()
				if len(b.looks) != 4 {
					t.Fatalf("%d looks in 5s, want 4", len(b.looks))
				}
				// What a failed write left behind is unknown: read again.
				if reread := b.looks[1].Document == nil; reread != (half == "apply") {
					t.Errorf("document read again: %v", reread)
				}
			})
		})
	}
}

type laterError struct{ error }

func (laterError) RetryAfter() time.Duration { return time.Minute }

func TestRetryAfterIsHonoured(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := run(t, dispatch.Config{}, func(_ context.Context, c dispatch.Change) (dispatch.Apply, error) {
			if c.Attempt == 0 {
				return nil, fmt.Errorf("ask: %w", laterError{errors.New("busy")})
			}
			return apply(dispatch.Outcome{}), nil
		})
		b.submit(version("s", "o", "1"))
		time.Sleep(59 * time.Second)
		b.wantLooks("o@1 feed")
		time.Sleep(2 * time.Second)
		b.wantLooks("o@1 feed", "o@1 due")
	})
}

func TestPanicIsQuarantinedAndDelaysNoOther(t *testing.T) {
	t.Parallel()
	for _, half := range []string{"look", "apply"} {
		t.Run(half, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				var mu sync.Mutex
				stores, reasons := 0, []string{}
				cfg := dispatch.Config{Quarantine: func(_ context.Context, _ dispatch.Change, reason string) error {
					mu.Lock()
					defer mu.Unlock()
					stores++
					reasons = append(reasons, reason)
					if stores < 3 {
						return errors.New("store is away")
					}
					return nil
				}}
				b := run(t, cfg, func(_ context.Context, c dispatch.Change) (dispatch.Apply, error) {
					switch {
					case c.ID == "o":
						return apply(dispatch.Outcome{}), nil
					case half == "look":
						panic("poison")
					default:
						return func(context.Context) (dispatch.Outcome, error) { panic("poison") }, nil
					}
				})
				b.submit(version("s", "bad", "1"))
				synctest.Wait()
				b.submit(version("s", "o", "1"))
				synctest.Wait()
				b.wantHandled("o@1", 1)
				b.wantHandled("bad@1", 0) // its record is not stored yet
				time.Sleep(10 * time.Second)
				b.wantHandled("bad@1", 1)
				b.submit(version("s", "bad", "1")) // known at this version
				synctest.Wait()
				b.wantHandled("bad@1", 2)
				b.wantLooks("bad@1 feed", "o@1 feed")
				b.submit(version("s", "bad", "2")) // a new version gets a new chance
				time.Sleep(time.Second)
				b.wantLooks("bad@1 feed", "o@1 feed", "bad@2 feed")
				mu.Lock()
				defer mu.Unlock()
				if stores != 4 || reasons[0] != "handler panicked: poison" {
					t.Errorf("stored %d times for %q", stores, reasons)
				}
			})
		})
	}
}

func TestPoisonTakesNoStep(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var reason string
		b := run(t, dispatch.Config{Quarantine: func(_ context.Context, _ dispatch.Change, r string) error {
			reason = r
			return nil
		}}, done)
		handled := false
		if err := b.d.SubmitPoison(t.Context(), version("", "x", "1"), "no object", func() { handled = true }); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if !handled || reason != "no object" || b.d.Stats().Quarantined != 1 {
			t.Errorf("handled %v, reason %q, stats %+v", handled, reason, b.d.Stats())
		}
		b.wantLooks()
		b.d.Settle(dispatch.Key{ID: "y"}, "7", "earlier")
		b.submit(version("", "y", "7"))
		synctest.Wait()
		b.wantHandled("y@7", 1)
		b.wantLooks()
	})
}

func TestDrainWaitsForWorkAndRefusesMore(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := run(t, dispatch.Config{}, takes(time.Second, dispatch.Outcome{Verdict: dispatch.Again, After: time.Second}))
		b.submit(version("s", "o", "1"))
		start := time.Now()
		if err := b.d.Drain(t.Context()); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(start); took != time.Second {
			t.Errorf("drained after %s, want 1s", took)
		}
		b.wantHandled("o@1", 1)
		if err := b.d.Submit(t.Context(), version("s", "p", "1"), nil); !errors.Is(err, dispatch.ErrStopped) {
			t.Errorf("submission while draining: %v", err)
		}
		time.Sleep(time.Minute)
		b.wantLooks("o@1 feed") // nothing is due any more
	})
}

func TestDrainGivesUpWithItsContext(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := run(t, dispatch.Config{}, takes(time.Hour, dispatch.Outcome{}))
		b.submit(version("s", "o", "1"))
		late := errors.New("late")
		ctx, cancel := context.WithTimeoutCause(t.Context(), time.Second, late)
		defer cancel()
		if err := b.d.Drain(ctx); !errors.Is(err, late) {
			t.Errorf("drain: %v, want its context's cause", err)
		}
	})
}

func TestLostWorkIsNotHandled(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		applied := false
		b := run(t, dispatch.Config{}, func(ctx context.Context, _ dispatch.Change) (dispatch.Apply, error) {
			<-ctx.Done()
			return func(context.Context) (dispatch.Outcome, error) {
				applied = true
				return dispatch.Outcome{}, nil
			}, nil
		})
		b.submit(version("s", "o", "1"))
		synctest.Wait()
		b.cancel(errors.New("lease lost"))
		synctest.Wait()
		b.wantHandled("o@1", 0)
		if applied {
			t.Error("a step was applied after the work was called off")
		}
	})
}

func TestApplyThatWasCalledOffIsNotHandled(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := run(t, dispatch.Config{}, func(context.Context, dispatch.Change) (dispatch.Apply, error) {
			return func(ctx context.Context) (dispatch.Outcome, error) {
				<-ctx.Done()
				return dispatch.Outcome{}, ctx.Err()
			}, nil
		})
		b.submit(version("s", "o", "1"))
		synctest.Wait()
		b.cancel(errors.New("lease lost"))
		synctest.Wait()
		b.wantHandled("o@1", 0)
	})
}

func TestNewVersionKnowsWhatWasSeen(t *testing.T) {
	t.Parallel()
	for _, when := range []string{"pending", "running"} {
		t.Run(when, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				b := run(t, dispatch.Config{}, takes(time.Second,
					dispatch.Outcome{Verdict: dispatch.Again, After: time.Hour, Seen: "much"}))
				b.submit(version("s", "o", "1"))
				if when == "pending" {
					time.Sleep(2 * time.Second)
				}
				synctest.Wait()
				b.submit(version("s", "o", "2"))
				time.Sleep(2 * time.Second)
				b.wantLooks("o@1 feed", "o@2 feed")
				b.mu.Lock()
				defer b.mu.Unlock()
				if got := b.looks[len(b.looks)-1].Seen; got != "much" {
					t.Errorf("the look at the new version knows %v", got)
				}
			})
		})
	}
}

func TestMissingFromAListIsReadAnew(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := run(t, dispatch.Config{}, func(_ context.Context, c dispatch.Change) (dispatch.Apply, error) {
			switch {
			case c.ID == "alone":
				return apply(dispatch.Outcome{Verdict: dispatch.LeftAlone}), nil
			case c.Document == nil:
				return apply(dispatch.Outcome{}), nil // gone
			default:
				return apply(dispatch.Outcome{Verdict: dispatch.Again, After: time.Hour}), nil
			}
		})
		for _, id := range []string{"shown", "missing", "alone"} {
			b.submit(version("s", id, "1"))
		}
		time.Sleep(time.Second)
		since := time.Now()
		time.Sleep(time.Second)
		b.submit(version("s", "young", "1"))
		synctest.Wait()
		n := b.d.Missing(since, func(k dispatch.Key) bool { return k.ID == "shown" })
		synctest.Wait()
		if got := b.d.Stats(); n != 1 || got.Pending != 2 || got.LeftAlone != 0 {
			t.Errorf("read %d anew, left with %+v; want 1, and shown and young pending", n, got)
		}
		b.d.Recheck(dispatch.Key{Partition: "s", ID: "young"}, "s2")
		synctest.Wait()
		if got := b.d.Stats(); got.Pending != 1 {
			t.Errorf("after the recheck: %+v", got)
		}
	})
}

func TestPendingDocumentsAreBoundedInMemory(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		doc := json.RawMessage(`"0123456789"`)
		b := run(t, dispatch.Config{Memory: 30}, func(_ context.Context, c dispatch.Change) (dispatch.Apply, error) {
			return apply(dispatch.Outcome{Verdict: dispatch.Again, After: time.Minute, ETag: "2", Document: doc, Seen: c.ID}), nil
		})
		for i := range 5 {
			b.submit(version("s", fmt.Sprint("o", i), "1"))
		}
		synctest.Wait()
		if got := b.d.Stats(); got.Memory != 24 || got.Pending != 5 {
			t.Fatalf("kept %+v, want two documents of five", got)
		}
		time.Sleep(time.Minute + time.Second)
		b.mu.Lock()
		defer b.mu.Unlock()
		kept := 0
		for _, c := range b.looks[5:] {
			if c.Document != nil {
				kept++
			}
			if c.Seen != c.ID {
				t.Errorf("%s: seen %v is lost", c.ID, c.Seen)
			}
		}
		if kept != 2 {
			t.Errorf("%d documents kept, want 2", kept)
		}
	})
}

// TestRandomTraffic throws random versions, errors, panics and echoes at a
// dispatcher and checks the invariants: one step of a key at a time, one apply
// of a partition at a time, versions in order, every submission handled once,
// and the last version of each key looked at.
func TestRandomTraffic(t *testing.T) {
	t.Parallel()
	for seed := range uint64(20) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) { randomTraffic(t, seed) })
		})
	}
}

func randomTraffic(t *testing.T, seed uint64) {
	const keys, versions = 40, 800
	rng := rand.New(rand.NewPCG(seed, 1))
	var mu sync.Mutex
	chance := func(percent int) bool {
		mu.Lock()
		defer mu.Unlock()
		return rng.IntN(100) < percent
	}
	pause := func(most time.Duration) {
		mu.Lock()
		d := time.Duration(rng.Int64N(int64(most)))
		mu.Unlock()
		time.Sleep(d)
	}
	busyKey, busyPartition, looked := map[dispatch.Key]bool{}, map[string]bool{}, map[string]string{}
	enter := func(set func() bool, what string) {
		mu.Lock()
		defer mu.Unlock()
		if set() {
			t.Errorf("%s at once", what)
		}
	}
	step := func(_ context.Context, c dispatch.Change) (dispatch.Apply, error) {
		enter(func() bool {
			was := busyKey[c.Key]
			busyKey[c.Key] = true
			if c.ETag != "" && c.ETag < looked[c.ID] {
				t.Errorf("%s: version %s after %s", c.ID, c.ETag, looked[c.ID])
			}
			if c.ETag != "" {
				looked[c.ID] = c.ETag
			}
			return was
		}, "two steps of one key")
		leave := func() { mu.Lock(); busyKey[c.Key] = false; mu.Unlock() }
		pause(time.Second)
		if chance(10) {
			leave()
			return nil, errors.New("look failed")
		}
		if chance(5) {
			leave()
			panic("look panicked")
		}
		return func(context.Context) (dispatch.Outcome, error) {
			defer leave()
			enter(func() bool { was := busyPartition[c.Partition]; busyPartition[c.Partition] = true; return was },
				"two applies of one partition")
			defer func() { mu.Lock(); busyPartition[c.Partition] = false; mu.Unlock() }()
			pause(100 * time.Millisecond)
			switch {
			case chance(10):
				return dispatch.Outcome{}, errors.New("apply failed")
			case chance(50):
				return dispatch.Outcome{Verdict: dispatch.Again, After: 5 * time.Second, Aside: chance(50)}, nil
			default:
				return dispatch.Outcome{}, nil
			}
		}, nil
	}
	cfg := dispatch.Config{Waiting: 10, Beside: 3, Gate: dispatch.NewGate(6), Aside: dispatch.NewGate(2), Quarantine: func(context.Context, dispatch.Change, string) error {
		if chance(30) {
			return errors.New("store is away")
		}
		return nil
	}}
	b := run(t, cfg, step)
	last := map[string]string{}
	ids := rand.New(rand.NewPCG(seed, 2))
	for v := range versions {
		id := fmt.Sprint("o", ids.IntN(keys))
		etag := fmt.Sprintf("%04d", v)
		last[id] = etag
		b.submit(version("s"+id[len(id)-1:], id, etag))
		if v%10 == 0 {
			pause(time.Second)
		}
	}
	time.Sleep(5 * time.Minute)
	if err := b.d.Drain(t.Context()); err != nil {
		t.Fatal(err)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.handled) != versions {
		t.Errorf("%d of %d submissions were handled", len(b.handled), versions)
	}
	for name, n := range b.handled {
		if n != 1 {
			t.Errorf("%s handled %d times", name, n)
		}
	}
	mu.Lock()
	defer mu.Unlock()
	for id, etag := range last {
		if looked[id] != etag {
			t.Errorf("%s: last version %s, last looked at %s", id, etag, looked[id])
		}
	}
}
