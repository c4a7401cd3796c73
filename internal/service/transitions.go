package service

import (
	"sync"

	"opfeed/processor/status"
)

// transitionsKept is how many of the last transitions are shown.
const transitionsKept = 200

// transitions are the last ones that this replica has written.
type transitions struct {
	mu    sync.Mutex
	ring  [transitionsKept]status.Transition
	count int // ever
}

// Add is called by the one who writes, and never waits.
func (t *transitions) Add(n status.Transition) {
	n = n.Clipped()
	t.mu.Lock()
	defer t.mu.Unlock()
	t.ring[t.count%transitionsKept] = n
	t.count++
}

// Newest gives them, the newest first.
func (t *transitions) Newest() []status.Transition {
	t.mu.Lock()
	defer t.mu.Unlock()
	list := []status.Transition{}
	for i := t.count - 1; i >= 0 && i >= t.count-transitionsKept; i-- {
		list = append(list, t.ring[i%transitionsKept])
	}
	return list
}

// Count is how many there have ever been.
func (t *transitions) Count() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.count
}
