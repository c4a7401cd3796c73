package system_test

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

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
	w.twins = seed%2 == 0
	c := &cast{world: w, seed: seed, rate: 0.05 + 0.12*float64(seed%3)}
	c.add()
	c.add()
	over := make(chan struct{})
	go func() {
		defer close(over)
		c.trouble(rand.New(rand.NewPCG(seed, 99)))
		c.heal()
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

// cast is the replicas of one run, in order of age.
type cast struct {
	*world
	seed uint64
	rate float64

	replicas []*replica
	ways     []*unreliable // of each, to Cosmos DB
	all      []*unreliable // of those, too, that have left
	leaving  sync.WaitGroup
}

// add starts a replica.
func (c *cast) add() {
	n := uint64(len(c.all))
	cosmos := &unreliable{
		next: inproc.New(c.cosmos), faults: cosmosFaults, rate: c.rate, rng: rand.New(rand.NewPCG(c.seed, n)),
	}
	cs := &unreliable{
		next: inproc.New(c.cs), faults: clusterServiceFaults, rate: 0.2, rng: rand.New(rand.NewPCG(c.seed, n+1000)),
	}
	c.replicas = append(c.replicas, c.startOn(cosmos, cs))
	c.ways = append(c.ways, cosmos)
	c.all = append(c.all, cosmos, cs)
}

// trouble restarts and freezes replicas for a few minutes.
func (c *cast) trouble(rng *rand.Rand) {
	for range 9 {
		time.Sleep(time.Duration(3+rng.IntN(25)) * time.Second)
		if rng.IntN(3) == 0 {
			c.leaving.Go(c.replicas[0].stop)
			c.replicas, c.ways = c.replicas[1:], c.ways[1:]
			c.add()
			continue
		}
		if frozen := c.ways[rng.IntN(len(c.ways))]; frozen.freeze() {
			time.Sleep(time.Duration(8+rng.IntN(20)) * time.Second)
			frozen.thaw()
		}
	}
}

func (c *cast) heal() {
	for _, u := range c.all {
		u.heal()
	}
}
