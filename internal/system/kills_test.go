package system_test

import (
	"cmp"
	"flag"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// How often TestKills kills or freezes, and what it draws from; `make kills` asks
// for many.
var (
	killCount = flag.Int("kills.count", 0, "how many kills and freezes TestKills makes; 0: it is skipped")
	killSeed  = flag.Uint64("kills.seed", 1, "what TestKills draws follows from it")
)

// TestKills kills and freezes three replicas again and again, in real time. Often
// two are in trouble at once, now and then all. In the end nothing is lost, and
// whoever lives ends cleanly.
func TestKills(t *testing.T) {
	if *killCount == 0 {
		t.Skip("SKIPPED: takes 5 s a kill; make kills")
	}
	// Faster, and a credential would expire before a revocation that each new owner
	// of its range waits anew to believe.
	const ranges, replicas, speed = 6, 3, 60
	plan := drawTroubles(*killSeed, *killCount, replicas)
	last := plan[len(plan)-1]
	t.Logf("seed %d: %d kills and freezes over %v", *killSeed, *killCount, last.at.Round(time.Second))

	f := newFleet(t, ranges, replicas, speed)
	f.begin()
	load := f.load(last.at+5*time.Second, "--rate", "4")
	c := &carnage{fleet: f, load: load, start: time.Now(), holding: make([][]string, replicas)}
	for _, s := range plan {
		c.await(s.at)
		c.suffer(s)
	}
	c.await(last.at + 5*time.Second)
	t.Logf("all live again; waiting for the last operations to end")
	for i := range f.seats {
		f.alive(i)
	}
	c.follow()

	r := load.report(t, 10)
	t.Log(r.Words())
	t.Logf("%d kills, %d freezes; %d of them woke up without the ranges they had held; leases changed hands %d times",
		c.kills, c.freezes, c.robbed, f.leases.changed())
	if f.leases.changed() < *killCount/10 {
		t.Errorf("leases changed hands %d times only", f.leases.changed())
	}
	for i := range f.seats {
		f.stop(i)
	}
}

// carnage is TestKills under way.
type carnage struct {
	*fleet
	load  *traffic
	start time.Time

	holding                [][]string // by seat, what it held when it was frozen
	kills, freezes, robbed int
	shown                  time.Time
}

// suffer does one thing to one replica.
func (c *carnage) suffer(s suffering) {
	c.t.Helper()
	switch name := c.seats[s.seat].name; s.what {
	case killing:
		c.kills++
		c.kill(s.seat)
	case starting:
		c.fleet.start(s.seat)
	case freezing:
		c.freezes++
		c.holding[s.seat] = c.leases.of(name)
		c.freeze(s.seat)
	case thawing:
		if had := c.holding[s.seat]; len(had) > 0 && len(c.leases.of(name)) == 0 {
			c.robbed++
		}
		c.thaw(s.seat)
	}
}

// await lets time pass, and tells every few seconds how it goes.
func (c *carnage) await(at time.Duration) {
	c.t.Helper()
	for due := c.start.Add(at); time.Now().Before(due); {
		select {
		case <-time.After(min(time.Until(due), time.Second)):
		case <-c.load.gone:
			c.t.Fatal("the front end ended before its time")
		case <-c.t.Context().Done():
			c.t.Fatal(c.t.Context().Err())
		}
		c.tell()
	}
}

// follow tells how it goes until the front end has ended.
func (c *carnage) follow() {
	c.t.Helper()
	within(c.t, time.Hour, func() bool {
		c.tell()
		select {
		case <-c.load.gone:
			return true
		default:
			return false
		}
	})
}

func (c *carnage) tell() {
	if time.Since(c.shown) < 5*time.Second {
		return
	}
	c.shown = time.Now()
	c.t.Logf("%4.0f s  %d kills, %d freezes, %d robbed, %d changes of owner, %d of %d ranges owned | %s", time.Since(c.start).Seconds(),
		c.kills, c.freezes, c.robbed, c.leases.changed(), c.leases.held(), len(c.leases.all()), c.load.live())
}

// suffering is one thing that happens to one replica.
type suffering struct {
	at   time.Duration
	seat int
	what int
}

const (
	killing = iota
	starting
	freezing
	thawing
)

// drawTroubles draws so many kills and freezes, each with its end, in order of
// time. They come in rounds: in each a replica is spared for long enough to see
// the leases of the others expire, but in every fourth or so none is.
func drawTroubles(seed uint64, count, seats int) (plan []suffering) {
	rng := rand.New(rand.NewPCG(seed, 5))
	between := func(least, most float64) time.Duration {
		return time.Duration((least + rng.Float64()*(most-least)) * float64(time.Second))
	}
	for round := time.Second; count > 0; round += between(16, 18) {
		spared := rng.IntN(seats + 1)
		for _, seat := range rng.Perm(seats) {
			at := round + between(0, 2)
			switch {
			case seat == spared:
			case rng.IntN(3) == 0 && count > 0:
				count--
				plan = append(plan, suffering{at, seat, freezing}, suffering{at + between(11, 14), seat, thawing})
			default:
				for kills := 1 + rng.IntN(3); kills > 0 && count > 0; kills-- {
					count--
					back := at + between(0, 2)
					plan = append(plan, suffering{at, seat, killing}, suffering{back, seat, starting})
					at = back + between(0.3, 3)
				}
			}
		}
	}
	slices.SortStableFunc(plan, func(a, b suffering) int { return cmp.Compare(a.at, b.at) })
	return plan
}

// Each replica is killed and frozen while it runs alone, and all that was asked
// for happens.
func TestDrawTroubles(t *testing.T) {
	together := 0
	for seed := range uint64(200) {
		const count = 60
		down, total := make([]bool, 3), 0
		for _, s := range drawTroubles(seed, count, len(down)) {
			begins := s.what == killing || s.what == freezing
			if down[s.seat] == begins {
				t.Fatalf("seed %d: at %v replica %d is down already, or up: %+v", seed, s.at, s.seat, s)
			}
			if down[s.seat] = begins; begins {
				total++
			}
			if !slices.Contains(down, false) {
				together++
			}
		}
		if total != count || slices.Contains(down, true) {
			t.Errorf("seed %d: %d of %d troubles, down in the end: %v", seed, total, count, down)
		}
	}
	if together == 0 {
		t.Error("never are all down at once")
	}
	if last := drawTroubles(1, 200, 3); last[len(last)-1].at > 18*time.Minute {
		t.Errorf("200 troubles take %v", last[len(last)-1].at)
	}
}
