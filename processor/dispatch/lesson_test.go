package dispatch_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"opfeed/processor/dispatch"
)

// TestLesson15NothingWaitsForWhatHangs: the predecessor's queue blocked the loop
// that filled it, a subscription that was still being worked at was queued again and
// held up a second worker, and one call that hung kept its worker for good. Here a
// call that hangs, a subscription all of whose calls hang, and a queue that is full
// by that delay the first look and the next of no other operation, what lists and
// submits is not held up for longer than it wants, and nothing is handled twice at
// once, however often it is submitted.
func TestLesson15NothingWaitsForWhatHangs(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const every = 10 * time.Second
		var mu sync.Mutex
		inHand, looks := map[dispatch.Key]int{}, map[dispatch.Key][]time.Time{}
		step := func(ctx context.Context, c dispatch.Change) (dispatch.Apply, error) {
			mu.Lock()
			if inHand[c.Key]++; inHand[c.Key] > 1 {
				t.Errorf("%v is handled twice at once", c.Key)
			}
			looks[c.Key] = append(looks[c.Key], time.Now())
			mu.Unlock()
			defer func() {
				mu.Lock()
				defer mu.Unlock()
				inHand[c.Key]--
			}()
			if c.Partition == "slow" || c.ID == "hung" {
				<-ctx.Done()
				return nil, ctx.Err()
			}
			time.Sleep(50 * time.Millisecond)
			return apply(dispatch.Outcome{Verdict: dispatch.Again, After: every}), nil
		}
		b := run(t, dispatch.Config{Waiting: 400}, step)
		start := time.Now()
		b.submit(version("s0", "hung", "1"))
		for i := range 100 {
			b.submit(version("slow", fmt.Sprint(i), "1"))
			b.submit(version(fmt.Sprint("s", i%20), fmt.Sprint(i), "1"))
		}
		time.Sleep(25 * time.Millisecond) // in the middle of a look
		start = start.Add(25 * time.Millisecond)
		b.submit(version("s0", "hung", "2"))
		for i := range 100 {
			b.submit(version(fmt.Sprint("s", i%20), fmt.Sprint(i), "2"))
		}
		if waited := time.Since(start); waited > 0 {
			t.Errorf("the reader was kept for %v", waited)
		}
		time.Sleep(every / 2)
		for i := 100; i < 400; i++ { // until the queue is full of them
			_ = b.d.TrySubmit(version("slow", fmt.Sprint(i), "1"), nil)
		}
		began := time.Now()
		if err := b.d.TrySubmit(version("s1", "late", "1"), nil); !errors.Is(err, dispatch.ErrFull) || time.Since(began) > 0 {
			t.Errorf("a list is told %v after %v", err, time.Since(began))
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := b.d.Submit(ctx, version("s1", "late", "1"), nil); err == nil || time.Since(began) != time.Second {
			t.Errorf("the reader is told %v after %v", err, time.Since(began))
		}
		for range 9 { // lists that show everything again
			time.Sleep(every - 2*time.Second)
			for i := range 100 {
				for _, c := range []dispatch.Change{version("slow", fmt.Sprint(i), "1"), version(fmt.Sprint("s", i%20), fmt.Sprint(i), "2")} {
					c.Source = dispatch.List
					_ = b.d.TrySubmit(c, nil)
				}
			}
		}
		mu.Lock()
		defer mu.Unlock()
		for i := range 100 {
			at := append([]time.Time{start}, looks[dispatch.Key{Partition: fmt.Sprint("s", i%20), ID: fmt.Sprint(i)}]...)
			if len(at) < 8 {
				t.Errorf("operation %d was looked at %d times", i, len(at)-1)
			}
			for n := 1; n < len(at); n++ {
				if gap := at[n].Sub(at[n-1]); n == 1 && gap > time.Second || gap > every+time.Second {
					t.Errorf("operation %d: look %d came after %v", i, n, gap)
				}
			}
		}
	})
}

// TestFieldBug12RecreatedIsLookedAt: readers that held each version's number against
// the last one they had seen dropped whatever was deleted and made again under its
// id, since that begins at one again. Here a version is known by its ETag alone,
// whatever became of the one before.
func TestFieldBug12RecreatedIsLookedAt(t *testing.T) {
	t.Parallel()
	for name, before := range map[string]dispatch.Outcome{
		"pending":     {Verdict: dispatch.Again, After: time.Hour},
		"done":        {},
		"left alone":  {Verdict: dispatch.LeftAlone},
		"quarantined": {Verdict: dispatch.Quarantine, Reason: "at fault"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				b := run(t, dispatch.Config{}, func(context.Context, dispatch.Change) (dispatch.Apply, error) { return apply(before), nil })
				made := func(etag string, version int, lsn int64, written time.Time) dispatch.Change {
					return dispatch.Change{Key: dispatch.Key{Partition: "s", ID: "o"}, ETag: etag, LSN: lsn, Written: written,
						Document: fmt.Appendf(nil, `{"id":"o","properties":{"cosmosMetadata":{"instanceVersion":%d}}}`, version)}
				}
				b.submit(made("e7", 7, 70, time.Now()))
				time.Sleep(time.Second)
				// By a range that was split meanwhile, from a server whose clock is behind.
				b.submit(made("e1", 1, 3, time.Now().Add(-time.Minute)))
				time.Sleep(time.Second)
				b.wantLooks("o@e7 feed", "o@e1 feed")
				b.wantHandled("o@e1", 1)
			})
		})
	}
}
