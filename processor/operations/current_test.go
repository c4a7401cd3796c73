package operations

import (
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"opfeed/cs/cssim"
	"opfeed/internal/fault"
	"opfeed/processor/dispatch"
)

// updating is a rig whose cluster's update takes a minute, after a while in the
// state from before, and the operation for it.
func updating(t *testing.T, seed uint64) *rig {
	t.Helper()
	r := newRig(t)
	minute := cssim.Between{Min: time.Minute, Max: time.Minute}
	r.sim = cssim.New(cssim.Options{Seed: seed, Durations: cssim.Durations{ClusterUpdate: minute}})
	r.service.next = transportTo(r.sim)
	r.plant(clusterID, "ready")
	time.Sleep(time.Hour)
	return r
}

// update sends one, and stores its operation.
func (r *rig) update() {
	r.t.Helper()
	r.send(http.MethodPatch, clusterID)
	r.put(operationDoc("op-1", Update))
	r.put(clusterDoc("r1", "op-1"))
}

// outcome waits for the end of the last update, and returns its time.
func (r *rig) outcome() time.Time {
	r.t.Helper()
	for range 10000 {
		m := r.sim.Journal().Objects[0].Mutations
		if last := m[len(m)-1]; !last.OutcomeAt.IsZero() {
			return last.OutcomeAt
		}
		time.Sleep(100 * time.Millisecond)
	}
	r.t.Fatal("the update does not end")
	return time.Time{}
}

// TestOlderAnswerIsNoOutcome lets a replica that lags answer right after one that
// has shown the update: its ready is the one from before.
func TestOlderAnswerIsNoOutcome(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := updating(t, 1)
		r.update()
		c := dispatch.Change{Key: key("op-1")}
		step, err := r.step(c)
		for err == nil && step.Label != Updating {
			time.Sleep(time.Second) // to meet the very beginning
			c = next(c, step)
			c.Source = dispatch.Due
			step, err = r.step(c)
		}
		if err != nil {
			t.Fatal(err)
		}
		lag := cssim.Fault{Name: "lag", Effect: cssim.Effect{Stale: fault.Duration(8 * time.Second)}}
		if err := r.sim.Faults().Add(lag); err != nil {
			t.Fatal(err)
		}
		c = next(c, step)
		time.Sleep(time.Second)
		if step, err = r.step(c); err != nil || step.Verdict != dispatch.Again || step.After != 9*time.Second {
			t.Errorf("an older ready, 1 s after updating: %v, look in %v, %v; want one in 9 s", step.Verdict, step.After, err)
		}
		time.Sleep(step.After)
		last, _ := r.drive(next(c, step))
		if now, end := time.Now(), r.outcome(); last.Label != Succeeded || now.Before(end) || now.After(end.Add(18*time.Second)) {
			t.Errorf("%s %v after its object", last.Label, now.Sub(end))
		}
	})
}

// TestUsualRhythmLosesNoTime holds that looks that come when they are due are
// never put off by the one before: every outcome is found at the first of them, and
// written at the look that confirms it.
func TestUsualRhythmLosesNoTime(t *testing.T) {
	for _, latency := range []time.Duration{0, 3 * time.Microsecond, 2 * time.Second} {
		for seed := range uint64(5) {
			synctest.Test(t, func(t *testing.T) {
				r := updating(t, seed)
				r.service.before = func(*http.Request) error { time.Sleep(latency); return nil }
				r.update()
				last, steps := r.drive(dispatch.Change{Key: key("op-1")})
				now := time.Now()
				late := now.Sub(r.outcome())
				if last.Label != Succeeded || late < 0 || late > DefaultConfig().PollInterval+DefaultConfig().ConfirmDelay+2*latency {
					t.Errorf("latency %v, seed %d: %s %v after its object", latency, seed, last.Label, late)
				}
				for i, step := range steps[:len(steps)-1] {
					want := DefaultConfig().PollInterval
					if i == len(steps)-2 {
						want = DefaultConfig().ConfirmDelay
					}
					if step.After != want {
						t.Errorf("latency %v, seed %d: the look after %d of %d is in %v", latency, seed, i+1, len(steps), step.After)
					}
				}
			})
		}
	}
}
