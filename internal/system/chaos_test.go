package system_test

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"opfeed/internal/fault"
	"opfeed/internal/inproc"
	"opfeed/internal/workload"
)

// Which seeds TestChaos tries; `make chaos` tries many.
var (
	firstSeed = flag.Uint64("chaos.first", 1, "first seed of TestChaos")
	seedCount = flag.Uint64("chaos.seeds", 3, "how many seeds TestChaos tries")
)

// TestChaos lets two replicas work while their requests fail, hang, come late or
// twice, while they are restarted, and frozen for longer than a lease lasts. When
// the trouble ends every operation ends as Cluster Service says. A seed that fails
// is tried again by -chaos.first=SEED -chaos.seeds=1.
func TestChaos(t *testing.T) {
	t.Parallel()
	for seed := *firstSeed; seed < *firstSeed+*seedCount; seed++ {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) { chaos(t, seed) })
		})
	}
}

func chaos(t *testing.T, seed uint64) {
	w := newWorld(t)
	w.tellsARM()
	w.twins = seed%2 == 0
	w.fail(seed, 0.05+0.12*float64(seed%3), 0.2)
	c := &cast{world: w, seed: seed}
	c.add()
	c.add()
	over := make(chan struct{})
	go func() {
		defer close(over)
		c.trouble(rand.New(rand.NewPCG(seed, 99)))
		w.wantHit()
		w.heal()
	}()
	report, err := w.frontEnd(func(cfg *workload.Config) {
		cfg.Subscriptions, cfg.Rate, cfg.For, cfg.Drain, cfg.Seed = 4, 2, 150*time.Second, 8*time.Minute, seed
	}).Run(t.Context())
	if err != nil {
		t.Error(err)
	}
	<-over
	w.want(report, 250)
	c.leaving.Wait()
}

// fail adds all faults there are: together they hit these parts of the requests.
func (w *world) fail(seed uint64, ofCosmos, ofClusterService float64) {
	w.t.Helper()
	for name, trouble := range cosmosFaults {
		when := &fault.When{Probability: ofCosmos / float64(len(cosmosFaults)), Seed: seed}
		if err := w.cosmos.Faults().Add(trouble.rule(name, when)); err != nil {
			w.t.Fatal(err)
		}
	}
	for name, trouble := range csFaults {
		when := &fault.When{Probability: ofClusterService / float64(len(csFaults)), Seed: seed}
		if err := w.cs.Faults().Add(trouble.rule(name, when)); err != nil {
			w.t.Fatal(err)
		}
	}
}

// cast is the replicas of one run, in order of age.
type cast struct {
	*world
	seed uint64

	replicas []*replica
	wires    []*wire // of each, to Cosmos DB
	leaving  sync.WaitGroup
}

// add starts a replica.
func (c *cast) add() {
	cosmos := &wire{next: inproc.New(c.cosmos), twice: 0.01, rng: rand.New(rand.NewPCG(c.seed, uint64(c.starts)))}
	c.replicas = append(c.replicas, c.start(cosmos))
	c.wires = append(c.wires, cosmos)
}

// trouble restarts and freezes replicas for a few minutes.
func (c *cast) trouble(rng *rand.Rand) {
	for range 9 {
		time.Sleep(time.Duration(3+rng.IntN(25)) * time.Second)
		if rng.IntN(3) == 0 {
			c.leaving.Go(c.replicas[0].stop)
			c.replicas, c.wires = c.replicas[1:], c.wires[1:]
			c.add()
			continue
		}
		if frozen := c.wires[rng.IntN(len(c.wires))]; frozen.freeze() {
			time.Sleep(time.Duration(8+rng.IntN(20)) * time.Second)
			frozen.thaw()
		}
	}
}
