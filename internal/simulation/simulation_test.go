package simulation_test

import (
	"flag"
	"fmt"
	"os"
	"runtime/debug"
	"sync"
	"testing"
	"testing/synctest"
)

var (
	seedCount = flag.Uint64("simulate.seeds", fewSeeds, "how many clusters TestSimulate runs")
	firstSeed = flag.Uint64("simulate.first", 1, "first seed of TestSimulate")
	length    = flag.Duration("simulate.for", fewMinutes, "how long operations are started in each, and a minute, in simulated time")
	reshape   = flag.Bool("simulate.reshape", true, "split and merge ranges, too")
	logs      = flag.Bool("simulate.log", false, "show the replicas' log")
	atLeast   = flag.Float64("simulate.hours", 0, "fail if fewer cluster hours were simulated, or too little happened in them")
)

// TestMain lets the collector take more memory: clusters are short, and there are
// two cores.
func TestMain(m *testing.M) {
	debug.SetGCPercent(800)
	os.Exit(m.Run())
}

// TestSimulate runs clusters, one for each seed, and holds them to the invariants;
// see the package's comment.
func TestSimulate(t *testing.T) {
	const tellEach = 20
	var (
		mu   sync.Mutex
		all  tally
		done int
	)
	t.Run("seeds", func(t *testing.T) {
		for seed := *firstSeed; seed < *firstSeed+*seedCount; seed++ {
			t.Run(fmt.Sprint(seed), func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					one := simulate(t, newPlan(seed, *length, *reshape))
					mu.Lock()
					defer mu.Unlock()
					all.add(one)
					if done++; *atLeast > 0 && done%tellEach == 0 {
						fmt.Printf("%d of %d seeds, %.1f cluster hours\n", done, *seedCount, all.hours)
					}
				})
			})
		}
	})
	fmt.Println(all)
	all.check(t)
}

func (a tally) String() string {
	return fmt.Sprintf("simulated %.1f cluster hours: %d operations (%.2f a second), %d faults, %d changes of ownership, %d crashes, %d pauses, %d restarts, %d splits, %d merges",
		a.hours, a.operations, a.rate(), a.faults, a.owners, a.crashes, a.pauses, a.restarts, a.splits, a.merges)
}

func (a tally) rate() float64 { return float64(a.operations) / max(1, a.hours*3600) }

// check fails a run that is to prove something, and was too small to.
func (a tally) check(t *testing.T) {
	t.Helper()
	if *atLeast == 0 {
		return
	}
	part := *atLeast / 60 // of what the long run must reach
	if a.hours < *atLeast || a.rate() < 1 || float64(a.faults) < 2000*part || float64(a.owners) < 500*part {
		t.Errorf("that is too little: want %v cluster hours, an operation a second, %.0f faults, %.0f changes of ownership", *atLeast, 2000*part, 500*part)
	}
}

// simulate runs one cluster. A failure tells its story.
func simulate(t *testing.T, p plan) tally {
	t.Helper()
	c := newCluster(t, fmt.Sprintf("seed-%d", p.seed), p)
	c.log = *logs
	count := c.run()
	c.tell()
	return count
}

// tell fails the test if an invariant was violated, with the story.
func (c *cluster) tell() {
	c.t.Helper()
	if c.story.violation == "" {
		return
	}
	again := fmt.Sprintf("go test ./internal/simulation -run TestSimulate -simulate.first=%d -simulate.seeds=1 -simulate.for=%v", c.plan.seed, *length)
	if !*reshape {
		again += " -simulate.reshape=false"
	}
	c.t.Errorf("seed %d: %s\nagain: %s\n%s", c.plan.seed, c.story.violation, again, c.story)
}
