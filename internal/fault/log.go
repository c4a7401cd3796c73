package fault

import "sync"

// Log keeps the last requests of a server. It is safe for concurrent use.
type Log[T any] struct {
	size int

	mu      sync.Mutex
	entries []T
	total   int
}

// NewLog returns a log of the last size requests; 0: of none.
func NewLog[T any](size int) *Log[T] { return &Log[T]{size: size} }

// Add records a request.
func (l *Log[T]) Add(entry T) {
	if l.size <= 0 {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.entries) < l.size {
		l.entries = append(l.entries, entry)
	} else {
		l.entries[l.total%l.size] = entry
	}
	l.total++
}

// Entries returns the requests that are kept, oldest first, and how many there
// have been.
func (l *Log[T]) Entries() (kept []T, total int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.entries) < l.size {
		return append(kept, l.entries...), l.total
	}
	oldest := l.total % max(l.size, 1)
	return append(append(kept, l.entries[oldest:]...), l.entries[:oldest]...), l.total
}
