package dispatch_test

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"opfeed/processor/dispatch"
)

// informed is an error that says what it is about.
type informed struct{ error }

func (informed) About() dispatch.About { return dispatch.About{Name: "broken", Kind: "cluster"} }

// What people are shown of each key: what its last step told, also if it failed,
// and for how long it has waited, run, or been late.
func TestKnown(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		began := time.Now().Add(-time.Hour)
		about := dispatch.About{Name: "create", Kind: "cluster", Request: "Create", Began: began}
		b := run(t, dispatch.Config{Beside: 1, Gate: dispatch.NewGate(2)}, func(ctx context.Context, c dispatch.Change) (dispatch.Apply, error) {
			switch c.ID {
			case "fails":
				return nil, informed{errors.New("no answer")}
			case "hangs":
				<-ctx.Done()
				return nil, ctx.Err()
			}
			return apply(dispatch.Outcome{Verdict: dispatch.Again, After: 10 * time.Second, Label: "Updating", Reason: "not yet", About: about}), nil
		})
		for _, id := range []string{"pending", "fails", "hangs"} {
			b.submit(version(id, id, "1"))
		}
		b.submit(version("hangs", "waits", "1"))
		time.Sleep(3 * time.Second / 2)

		known := b.d.Known()
		slices.SortFunc(known, func(x, y dispatch.Known) int { return cmp.Compare(x.ID, y.ID) })
		if len(known) != 4 {
			t.Fatalf("have %+v", known)
		}
		fails, hangs, pending, waits := known[0], known[1], known[2], known[3]
		if fails.About.Name != "broken" || fails.Attempt != 2 || fails.Error != "no answer" || fails.Label != "New" || fails.Due.IsZero() {
			t.Errorf("fails: %+v", fails)
		}
		if !hangs.Running || hangs.Waiting || time.Since(hangs.Since) != 3*time.Second/2 {
			t.Errorf("hangs: %+v", hangs)
		}
		if pending.About != about || pending.Label != "Updating" || pending.Reason != "not yet" || pending.Running || pending.Waiting ||
			time.Until(pending.Due) != 17*time.Second/2 || pending.Error != "" {
			t.Errorf("pending: %+v", pending)
		}
		if !waits.Waiting || waits.Label != "New" {
			t.Errorf("waits: %+v", waits)
		}
		s := b.d.Stats()
		if s.OldestWaiting != 3*time.Second/2 || s.LongestRunning != 3*time.Second/2 || s.Overdue != 0 {
			t.Errorf("stats: %+v", s)
		}
	})
}

// A pending change that finds no place when its time comes is overdue, and its
// step tells how long it has waited since.
func TestOverdue(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		gate := dispatch.NewGate(1)
		var mu sync.Mutex
		var steps []dispatch.Step
		release := make(chan struct{})
		b := run(t, dispatch.Config{Gate: gate, Observe: func(s dispatch.Step) {
			mu.Lock()
			defer mu.Unlock()
			steps = append(steps, s)
		}}, func(_ context.Context, c dispatch.Change) (dispatch.Apply, error) {
			if c.ID == "slow" {
				<-release
				return nil, nil
			}
			time.Sleep(time.Second)
			return apply(dispatch.Outcome{Verdict: dispatch.Again, After: 10 * time.Second}), nil
		})
		b.submit(version("s", "o", "1"))
		time.Sleep(5 * time.Second)
		b.submit(version("other", "slow", "1"))
		time.Sleep(26 * time.Second) // due 20 s ago
		if s := b.d.Stats(); s.Overdue != 20*time.Second || s.OldestWaiting != 20*time.Second || s.Waiting != 1 {
			t.Errorf("stats: %+v", s)
		}
		if all, used := gate.Places(); all != 1 || used != 1 {
			t.Errorf("%d of %d places are used", used, all)
		}
		close(release)
		time.Sleep(2 * time.Second)
		mu.Lock()
		defer mu.Unlock()
		if len(steps) != 3 {
			t.Fatalf("steps: %+v", steps)
		}
		if s := steps[0]; s.Waited != 0 || s.Took != time.Second || s.Interval != 0 {
			t.Errorf("first: %+v", s)
		}
		if s := steps[2]; s.Waited != 20*time.Second || s.Took != time.Second || s.Interval != 31*time.Second || s.Change.Source != dispatch.Due {
			t.Errorf("second: %+v", s)
		}
		if s := b.d.Stats(); s.Overdue != 0 || s.OldestWaiting != 0 {
			t.Errorf("stats in the end: %+v", s)
		}
	})
}

// Looks aside that wait for a place, since whoever they tell hangs, are no work that
// is left undone here.
func TestAsidesAreNotOverdue(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := run(t, dispatch.Config{Aside: dispatch.NewGate(1)}, func(ctx context.Context, c dispatch.Change) (dispatch.Apply, error) {
			if c.Aside {
				<-ctx.Done()
				return nil, ctx.Err()
			}
			return apply(dispatch.Outcome{Verdict: dispatch.Again, Aside: true, After: time.Second}), nil
		})
		for _, id := range []string{"hangs", "waits"} {
			b.submit(version("s", id, "1"))
		}
		time.Sleep(time.Minute)
		if s := b.d.Stats(); s.Waiting != 1 || s.Running != 1 || s.OldestWaiting != 0 || s.Overdue != 0 {
			t.Errorf("stats: %+v", s)
		}
	})
}
