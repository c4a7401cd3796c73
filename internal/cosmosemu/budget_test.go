package cosmosemu

import (
	"net/http"
	"testing"
	"time"
)

func TestBudget(t *testing.T) {
	const rate = 100
	start := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	type step struct {
		at    time.Duration
		wait  time.Duration // that admit answers
		spend float64       // if it admits
	}
	for name, steps := range map[string][]step{
		"a second's budget is spent in it":   {{0, 0, 60}, {0, 0, 40}, {0, time.Second, 0}, {400 * time.Millisecond, 600 * time.Millisecond, 0}, {time.Second, 0, 0}},
		"the last may spend more than there": {{0, 0, 99}, {0, 0, 50}, {999 * time.Millisecond, time.Millisecond, 0}, {time.Second, 0, 0}},
		"debt is carried":                    {{0, 0, 350}, {0, 3 * time.Second, 0}, {2500 * time.Millisecond, 500 * time.Millisecond, 0}, {3 * time.Second, 0, 49}, {3 * time.Second, 0, 1}, {3 * time.Second, time.Second, 0}},
		"what is left over is lost":          {{0, 0, 1}, {5 * time.Second, 0, 100}, {5 * time.Second, time.Second, 0}},
		"windows are seconds of the clock":   {{900 * time.Millisecond, 0, 100}, {950 * time.Millisecond, 50 * time.Millisecond, 0}, {time.Second, 0, 100}, {1001 * time.Millisecond, 999 * time.Millisecond, 0}},
		"a clock that goes back":             {{2 * time.Second, 0, 100}, {1500 * time.Millisecond, 1500 * time.Millisecond, 0}},
		"a debt that is exactly a window":    {{0, 0, 200}, {time.Second, time.Second, 0}, {2 * time.Second, 0, 0}},
	} {
		t.Run(name, func(t *testing.T) {
			var b budget
			for i, s := range steps {
				if got := b.admit(start.Add(s.at), rate); got != s.wait {
					t.Fatalf("step %d at %v: wait %v, want %v", i, s.at, got, s.wait)
				}
				b.charge(s.spend)
			}
		})
	}
}

// The rate follows the container's throughput and number of partitions.
func TestBudgetWithAnotherRate(t *testing.T) {
	var b budget
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	b.admit(now, 100)
	b.charge(150)
	if got := b.admit(now, 200); got != 0 {
		t.Errorf("the rate was doubled: wait %v", got)
	}
	if got := b.admit(now, 50); got != 3*time.Second {
		t.Errorf("the rate was halved: wait %v", got)
	}
}

// A request to several partitions is charged to each in equal parts, and to none
// if one of them has throttled it.
func TestSettle(t *testing.T) {
	var first, second budget
	x := &exchange{admitted: []*budget{&first, &second}}
	x.settle(&reply{status: http.StatusOK, charge: 5})
	x.settle(&reply{status: http.StatusTooManyRequests, charge: 5})
	if first.spent != 2.5 || second.spent != 2.5 {
		t.Errorf("%v and %v were spent", first.spent, second.spent)
	}
}
