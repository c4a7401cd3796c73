package dispatch_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"opfeed/processor/dispatch"
)

// TestUntilDone: without a list a version is handled only when nothing is owed to
// it any more, and keeps its place until then.
func TestUntilDone(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var outcomes sync.Map // verdicts by id; none: an error
		b := run(t, dispatch.Config{UntilDone: true, Waiting: 4, RetryMax: time.Second}, func(_ context.Context, c dispatch.Change) (dispatch.Apply, error) {
			known, ok := outcomes.Load(c.ID)
			v, _ := known.(dispatch.Verdict)
			if !ok {
				return nil, errors.New("away")
			}
			return apply(dispatch.Outcome{Verdict: v, After: time.Second}), nil
		})
		outcomes.Store("again", dispatch.Again)
		outcomes.Store("left", dispatch.LeftAlone)
		outcomes.Store("done", dispatch.Done)
		for _, id := range []string{"again", "left", "done", "bad"} {
			b.submit(version("s", id, "1"))
		}
		time.Sleep(time.Minute)
		for id, n := range map[string]int{"again": 0, "left": 1, "done": 1, "bad": 0} {
			b.wantHandled(id+"@1", n)
		}
		// A version that comes again while it is owed to is not handled either.
		again := version("s", "bad", "1")
		if err := b.d.TrySubmit(again, func() { b.mu.Lock(); b.handled["repeated"]++; b.mu.Unlock() }); err != nil {
			t.Fatal(err)
		}
		b.wantHandled("repeated", 0)
		// "again" and "bad" hold two of four places.
		b.submit(version("s", "bad2", "1"))
		b.submit(version("s", "bad3", "1"))
		if err := b.d.TrySubmit(version("s", "fifth", "1"), nil); !errors.Is(err, dispatch.ErrFull) {
			t.Errorf("a fifth: %v", err)
		}
		// What mends one of them needs no place of its own.
		time.Sleep(100 * time.Millisecond)
		if err := b.d.TrySubmit(version("s", "bad2", "2"), nil); err != nil {
			t.Errorf("a newer version: %v", err)
		}
		b.wantHandled("bad2@1", 1) // superseded
		outcomes.Store("bad", dispatch.Done)
		outcomes.Store("again", dispatch.Done)
		time.Sleep(2 * time.Second)
		for _, name := range []string{"bad@1", "repeated", "again@1", "bad2@1"} {
			b.wantHandled(name, 1)
		}
		b.wantHandled("bad3@1", 0)
		for n := range 2 { // their places are free again
			if err := b.d.TrySubmit(version("s", fmt.Sprint("new", n), "1"), nil); err != nil {
				t.Error(err)
			}
		}
	})
}

// TestUntilDoneWithRecords: what is put aside is handled when its record is stored,
// and gives its place back then.
func TestUntilDoneWithRecords(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var well atomic.Bool
		b := run(t, dispatch.Config{UntilDone: true, Waiting: 1, RetryMax: time.Second,
			Quarantine: func(context.Context, dispatch.Change, string) error {
				if !well.Load() {
					return errors.New("away")
				}
				return nil
			}}, func(context.Context, dispatch.Change) (dispatch.Apply, error) { panic("bug") })
		b.submit(version("s", "a", "1"))
		time.Sleep(time.Minute)
		b.wantHandled("a@1", 0)
		if err := b.d.TrySubmit(version("s", "b", "1"), nil); !errors.Is(err, dispatch.ErrFull) {
			t.Errorf("a second: %v", err)
		}
		well.Store(true)
		time.Sleep(2 * time.Second)
		b.wantHandled("a@1", 1)
		if err := b.d.TrySubmit(version("s", "b", "1"), nil); err != nil {
			t.Error(err)
		}
	})
}

// TestGiveUp: a version that fails for long while others succeed is put aside, and
// not before; its successor begins anew.
func TestGiveUp(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		var stored []string
		b := run(t, dispatch.Config{GiveUpAfter: time.Minute, Quarantine: func(_ context.Context, c dispatch.Change, reason string) error {
			mu.Lock()
			defer mu.Unlock()
			stored = append(stored, c.ID+"@"+c.ETag+" "+reason)
			return nil
		}}, func(_ context.Context, c dispatch.Change) (dispatch.Apply, error) {
			if c.ID == "bad3" {
				return nil, slow{}
			}
			if c.ID == "bad" {
				return nil, errors.New("no use")
			}
			return nil, nil
		})
		given := func() []string {
			mu.Lock()
			defer mu.Unlock()
			return slices.Clone(stored)
		}
		others := func(d time.Duration) {
			for n := 0; d > 0; d -= time.Second {
				n++
				b.submit(version("s", "good", fmt.Sprint(n)))
				time.Sleep(time.Second)
			}
		}
		b.submit(version("s", "bad", "1"))
		time.Sleep(10 * time.Minute) // alone: nothing shows that the fault is its own
		if reasons := given(); len(reasons) > 0 {
			t.Fatalf("given up alone: %q", reasons)
		}
		b.submit(version("s", "bad", "2"))
		others(50 * time.Second)
		if reasons := given(); len(reasons) > 0 {
			t.Fatalf("given up too early: %q", reasons)
		}
		others(30 * time.Second)
		if reasons := given(); len(reasons) != 1 || !strings.HasPrefix(reasons[0], "bad@2 given up after ") || !strings.HasSuffix(reasons[0], ": no use") {
			t.Fatalf("given up: %q", reasons)
		}
		if s := b.d.Stats(); s.Quarantined != 1 || s.Pending != 0 {
			t.Errorf("%+v", s)
		}
		// Errors far apart are few, however long they last.
		b.submit(version("s", "bad3", "1"))
		others(150 * time.Second)
		if reasons := given(); len(reasons) != 1 {
			t.Errorf("given up after four errors: %q", reasons)
		}
		others(20 * time.Second)
		if reasons := given(); len(reasons) != 2 {
			t.Errorf("after five errors: %q", reasons)
		}
	})
}

// slow is an error that asks for a pause.
type slow struct{}

func (slow) Error() string { return "slow" }

func (slow) RetryAfter() time.Duration { return 40 * time.Second }
