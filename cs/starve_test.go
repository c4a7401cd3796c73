package cs

import (
	"container/heap"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"
)

// TestWellObjectsAreNotShutOut has objects that draw 500, or hang, for ever beside some
// that are well, all polled as the dispatcher does: 10 s after an answer, else with a
// backoff of 1, 2, 4, 8, 10 s, or when told to.
func TestWellObjectsAreNotShutOut(t *testing.T) {
	for _, c := range []struct {
		bad, good int
		hang      time.Duration
	}{{4, 1, 0}, {8, 1, 0}, {8, 1, 0}, {12, 1, 0}, {12, 1, 0}, {20, 1, 0}, {20, 1, 0}, {20, 1, 0}, {20, 5, 0}, {50, 5, 0}, {20, 1, 10 * time.Second}, {20, 5, 10 * time.Second}} {
		worst, answersN := simulateBreaker(c.bad, c.good, c.hang)
		t.Logf("%d bad (hang %v), %d well: longest time without an answer of a well one: %v; answers %d in 1 h, %d without breaker",
			c.bad, c.hang, c.good, worst, answersN, c.good*360)
		if worst > time.Minute {
			t.Errorf("%d bad (hang %v), %d well: not asked for %v", c.bad, c.hang, c.good, worst)
		}
	}
}

type poll struct {
	at   time.Time
	id   int
	end  bool
	turn turn
}
type pollHeap []poll

func (h pollHeap) Len() int           { return len(h) }
func (h pollHeap) Less(i, j int) bool { return h[i].at.Before(h[j].at) }
func (h pollHeap) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }
func (h *pollHeap) Push(x any)        { *h = append(*h, x.(poll)) }
func (h *pollHeap) Pop() any          { o := *h; x := o[len(o)-1]; *h = o[:len(o)-1]; return x }

func simulateBreaker(bad, good int, hang time.Duration) (worst time.Duration, answersN int) {
	b := breaker{span: breakerSpan, threshold: 5, interval: 5 * time.Second}
	t0 := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	var h pollHeap
	attempt := make([]int, bad+good)
	last := make([]time.Time, bad+good)
	for i := range bad + good {
		last[i] = t0
		heap.Push(&h, poll{at: t0.Add(time.Duration(rand.N(int64(10 * time.Second)))), id: i})
	}
	for h[0].at.Before(t0.Add(time.Hour)) {
		e := heap.Pop(&h).(poll)
		path := fmt.Sprint(e.id)
		backoff := func() time.Duration {
			d := min(time.Second<<min(attempt[e.id], 10), 10*time.Second)
			attempt[e.id]++
			return d - rand.N(d/5+1)
		}
		if e.end {
			if e.id < bad {
				b.leave(e.turn, path, verdict{sort: silent}, e.at)
				heap.Push(&h, poll{at: e.at.Add(backoff()), id: e.id})
			} else {
				b.leave(e.turn, path, verdict{sort: answered}, e.at)
				worst = max(worst, e.at.Sub(last[e.id]))
				last[e.id], attempt[e.id] = e.at, 0
				answersN++
				heap.Push(&h, poll{at: e.at.Add(10 * time.Second), id: e.id})
			}
			continue
		}
		turn, wait, ok := b.enter(path, e.at)
		if !ok {
			heap.Push(&h, poll{at: e.at.Add(max(backoff(), wait+rand.N(b.interval+1))), id: e.id})
			continue
		}
		took := 50 * time.Millisecond
		if e.id < bad && hang > 0 {
			took = hang
		}
		heap.Push(&h, poll{at: e.at.Add(took), id: e.id, end: true, turn: turn})
	}
	for i := bad; i < bad+good; i++ {
		worst = max(worst, t0.Add(time.Hour).Sub(last[i]))
	}
	return worst, answersN
}
