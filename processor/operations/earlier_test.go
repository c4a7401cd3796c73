package operations

import (
	"testing"
	"testing/synctest"
	"time"

	"opfeed/cs/cssim"
	"opfeed/internal/fault"
	"opfeed/processor/dispatch"
)

// TestUpdateBeforeIsNoChange lets a replica that lags show the update before,
// which has just ended, at the first look: the ready that follows is still the one
// from before this update.
func TestUpdateBeforeIsNoChange(t *testing.T) {
	for seed := range uint64(8) {
		synctest.Test(t, func(t *testing.T) {
			r := updating(t, seed)
			r.update()
			r.outcome()
			time.Sleep(time.Second)
			r.update()
			lag := cssim.Fault{Name: "lag", When: fault.When{Times: 1}, Effect: cssim.Effect{Stale: fault.Duration(8 * time.Second)}}
			if err := r.sim.Faults().Add(lag); err != nil {
				t.Fatal(err)
			}
			last, _ := r.drive(dispatch.Change{Key: key("op-1")})
			if now, end := time.Now(), r.outcome(); now.Before(end) {
				t.Errorf("seed %d: %s %v before its object", seed, last.Label, end.Sub(now))
			}
		})
	}
}

// TestFlappingStateIsNoOutcome lets every second look at an object that is updating
// see it ready: none of them ends the update, and the end is found when that is
// over.
func TestFlappingStateIsNoOutcome(t *testing.T) {
	for seed := range uint64(8) {
		synctest.Test(t, func(t *testing.T) {
			r := updating(t, seed)
			r.update()
			flap := cssim.Fault{Name: "flap", When: fault.When{For: fault.Duration(3 * time.Minute)}, Effect: cssim.Effect{Flap: true}}
			if err := r.sim.Faults().Add(flap); err != nil {
				t.Fatal(err)
			}
			last, _ := r.drive(dispatch.Change{Key: key("op-1")})
			if now, end := time.Now(), r.outcome(); last.Label != Succeeded || now.Before(end) {
				t.Errorf("seed %d: %s %v before its object", seed, last.Label, end.Sub(now))
			}
		})
	}
}
