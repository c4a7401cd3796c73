package dispatch

import (
	"context"
	"slices"
	"sync"
)

// Gate bounds the looks that run at once, over all dispatchers that share it. A
// place that becomes free goes to the partition with the fewest looks under way,
// so that one whose calls hang takes no other's turn. Safe for concurrent use.
type Gate struct {
	places  int
	mu      sync.Mutex
	free    int
	running map[string]int // by partition
	queue   []*turn        // in order of arrival
}

// turn is one look that waits for a place.
type turn struct {
	partition string
	granted   chan struct{}
}

// NewGate returns a gate for n looks at once.
func NewGate(n int) *Gate { return &Gate{places: n, free: n, running: map[string]int{}} }

// Places says how many looks may run at once, and how many do.
func (g *Gate) Places() (all, used int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.places, g.places - g.free
}

// enter waits for a place; leave must follow unless it fails.
func (g *Gate) enter(ctx context.Context, partition string) error {
	g.mu.Lock()
	if g.free > 0 {
		g.take(partition)
		g.mu.Unlock()
		return nil
	}
	t := &turn{partition: partition, granted: make(chan struct{})}
	g.queue = append(g.queue, t)
	g.mu.Unlock()

	select {
	case <-t.granted:
		return nil
	case <-ctx.Done():
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if i := slices.Index(g.queue, t); i >= 0 {
		g.queue = slices.Delete(g.queue, i, i+1)
	} else { // granted meanwhile
		g.giveBack(partition)
	}
	return context.Cause(ctx)
}

func (g *Gate) leave(partition string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.giveBack(partition)
}

func (g *Gate) take(partition string) {
	g.free--
	g.running[partition]++
}

func (g *Gate) giveBack(partition string) {
	g.free++
	if g.running[partition]--; g.running[partition] == 0 {
		delete(g.running, partition)
	}
	if len(g.queue) == 0 {
		return
	}
	next := 0
	for i, t := range g.queue {
		if g.running[t.partition] < g.running[g.queue[next].partition] {
			next = i
		}
	}
	t := g.queue[next]
	g.queue = slices.Delete(g.queue, next, next+1)
	g.take(t.partition)
	close(t.granted)
}
