package figures_test

import (
	"maps"
	"slices"
	"sync"
	"testing"
	"time"
)

// history is who handled what, and when.
type history struct {
	mu      sync.Mutex
	events  map[int][]event // by range
	open    map[string]bool // documents that were written and not handled yet
	changes int
	dead    map[int]bool
}

type event struct {
	at      time.Time
	replica int
}

func newHistory() *history {
	return &history{events: map[int][]event{}, open: map[string]bool{}, dead: map[int]bool{}}
}

func (d doc) key() string { return d.Partition + "/" + d.ID }

func (h *history) written(d doc) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.changes++
	h.open[d.key()] = true
}

func (h *history) handled(replica, rng int, d doc) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.dead[replica] {
		return
	}
	h.events[rng] = append(h.events[rng], event{time.Now(), replica})
	delete(h.open, d.key())
}

// bury says that a replica is dead: what its goroutines still do was never done.
func (h *history) bury(replica int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.dead[replica] = true
}

// ranges counts those of which a change was handled.
func (h *history) ranges() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.events)
}

// of gives the ranges whose last change was handled by a replica.
func (h *history) of(replica int) (list []int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, rng := range slices.Sorted(maps.Keys(h.events)) {
		if e := h.events[rng]; e[len(e)-1].replica == replica {
			list = append(list, rng)
		}
	}
	return list
}

// transfer is one change of hands, as seen by whoever waits for changes to be
// handled: the time between the last one of the old owner and the first of the new.
type transfer struct {
	rng, from, to int
	gap           time.Duration
}

// transfers gives what changed hands after a time.
func (h *history) transfers(after time.Time) (list []transfer) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, rng := range slices.Sorted(maps.Keys(h.events)) {
		events := h.events[rng]
		for i := 1; i < len(events); i++ {
			a, b := events[i-1], events[i]
			if a.replica != b.replica && b.at.After(after) {
				list = append(list, transfer{rng, a.replica, b.replica, b.at.Sub(a.at)})
			}
		}
	}
	return list
}

// complete says whether every document was handled.
func (h *history) complete() bool { return len(h.missing()) == 0 }

func (h *history) missing() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Sorted(maps.Keys(h.open))
}

// rate is the changes that were written in a second.
func (h *history) rate(d time.Duration) float64 {
	h.mu.Lock()
	defer h.mu.Unlock()
	return float64(h.changes) / d.Seconds()
}

func TestTransfers(t *testing.T) {
	h, start := newHistory(), time.Now()
	at := func(ms int, rng, replica int) {
		h.events[rng] = append(h.events[rng], event{start.Add(time.Duration(ms) * time.Millisecond), replica})
	}
	at(1, 0, 1)
	at(5, 0, 2) // before the time that is asked for
	at(1, 1, 2)
	at(3, 1, 2)
	at(14, 1, 1)
	at(15, 1, 1)
	at(17, 1, 2)
	want := []transfer{{1, 2, 1, 11 * time.Millisecond}, {1, 1, 2, 2 * time.Millisecond}}
	if have := h.transfers(start.Add(10 * time.Millisecond)); !slices.Equal(have, want) {
		t.Errorf("have %v, want %v", have, want)
	}
	h.written(doc{ID: "a"})
	h.written(doc{ID: "b"})
	h.handled(1, 0, doc{ID: "a"})
	h.bury(1)
	h.handled(1, 0, doc{ID: "b"})
	if have := h.missing(); !slices.Equal(have, []string{"/b"}) || h.complete() {
		t.Errorf("have %v: what the dead do counts", have)
	}
}
