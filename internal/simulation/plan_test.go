package simulation_test

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"
)

// plan is what a seed decides before a cluster starts.
type plan struct {
	seed          uint64
	arrivals      time.Duration // until the front end starts no more operations
	calm          time.Duration // when all trouble is over
	ranges        int
	replicas      int // at the start
	subscriptions int
	rate          float64       // operations a second
	twins         bool          // all replicas have one name
	latency       time.Duration // of Cluster Service
	feed          time.Duration // how often the feed is read; 0: the default
	deeds         []deed        // by time
	cheap         bool          // a scene that the race detector is given, too
}

// deed is one thing that is done to a cluster.
type deed struct {
	at   time.Duration
	what string
	who  int           // which of those that run, modulo how many there are
	last time.Duration // how long it lasts, or until the replica is back
	kind string        // of a spell: which faults
	part float64       // of the requests that a spell hits; of a range, where it is split
	flag bool          // a crash: after its last request was applied; a pause: what was sent arrives
}

// The deeds.
const (
	doCrash    = "crash"
	doPause    = "pause"
	doRestart  = "restart"
	doGrow     = "grow"     // two more replicas, which leave again
	doBlackout = "blackout" // all crash at once
	doReboot   = "reboot"   // all are restarted at once
	doSpell    = "spell"    // of faults
	doSplit    = "split"
	doMerge    = "merge"
	doPoison   = "poison" // a malformed document
)

// The weights of the deeds.
var deeds = []struct {
	what   string
	weight int
}{
	{doCrash, 6}, {doPause, 6}, {doRestart, 4}, {doGrow, 3}, {doBlackout, 1}, {doReboot, 1},
	{doSpell, 6}, {doPoison, 2}, {doSplit, 4}, {doMerge, 2},
}

const (
	warmUp    = 25 * time.Second // until the first trouble
	coolDown  = time.Minute      // from the last trouble to the last operation
	mostAlive = 5                // replicas
)

// newPlan draws a plan. Trouble, of which there may be several kinds at once,
// comes in spells; some of the pauses between them are long enough for the check
// of progress.
func newPlan(seed uint64, length time.Duration, reshape bool) plan {
	rng := rand.New(rand.NewPCG(seed, 0x51))
	p := plan{
		seed: seed, arrivals: length - time.Minute, ranges: 1 + rng.IntN(4),
		replicas: 1 + rng.IntN(3), subscriptions: 4 + rng.IntN(12), rate: 0.98 + 0.06*rng.Float64(),
		twins: rng.IntN(4) == 0, latency: time.Duration(rng.IntN(400)) * time.Millisecond,
		feed: []time.Duration{0, 500 * time.Millisecond, time.Second}[rng.IntN(3)],
	}
	p.calm = p.arrivals - coolDown
	for at := warmUp; ; {
		begin, end := at, at
		for range 1 + rng.IntN(3) {
			d := drawDeed(rng, begin, reshape)
			if d.at+d.last > p.calm {
				continue
			}
			p.deeds = append(p.deeds, d)
			end = max(end, d.at+d.last)
		}
		at = end + seconds(rng, 1, 15)
		if rng.IntN(2) == 0 {
			at += 30 * time.Second
		}
		if at > p.calm {
			break
		}
	}
	slices.SortStableFunc(p.deeds, func(a, b deed) int { return cmp.Compare(a.at, b.at) })
	return p
}

func drawDeed(rng *rand.Rand, begin time.Duration, reshape bool) deed {
	total := 0
	for _, d := range deeds {
		total += d.weight
	}
	n := rng.IntN(total)
	d := deed{at: begin + seconds(rng, 0, 10), who: rng.IntN(60), part: rng.Float64(), flag: rng.IntN(2) == 0}
	for _, one := range deeds {
		if n -= one.weight; n < 0 {
			d.what = one.what
			break
		}
	}
	switch d.what {
	case doCrash:
		d.last = seconds(rng, 1, 30)
	case doPause:
		d.last = seconds(rng, 3, 40) // a lease expires after 10 s
	case doGrow:
		d.last = seconds(rng, 10, 60)
	case doBlackout, doReboot:
		d.last = seconds(rng, 0, 30)
	case doSpell:
		d.last = seconds(rng, 5, 40)
		d.kind = spells[rng.IntN(len(spells))].name
		d.part *= 0.5
	case doSplit, doMerge:
		if !reshape {
			d.what = doRestart
		}
	}
	return d
}

func seconds(rng *rand.Rand, from, to int) time.Duration {
	return time.Duration(from*1000+rng.IntN((to-from)*1000)) * time.Millisecond
}

func (d deed) String() string {
	return fmt.Sprintf("%6.1fs %s who=%d last=%v %s %.2f %v", d.at.Seconds(), d.what, d.who, d.last, d.kind, d.part, d.flag)
}
