package cs

import (
	"sync"
	"time"

	"go.uber.org/zap"
)

// logEvery keeps a server that fails every other call from filling the log.
const logEvery = 10 * time.Second

// health keeps whether Cluster Service works, by its latest answer.
type health struct {
	log *zap.Logger

	mu      sync.Mutex
	ok      bool
	since   time.Time // zero: not asked yet
	lastErr string

	logged   bool // the state that the log shows last
	loggedAt time.Time
}

func newHealth(log *zap.Logger) *health { return &health{log: log} }

func (h *health) get() (ok bool, since time.Time, lastErr string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.ok, h.since, h.lastErr
}

// set takes note of one answer (err nil) or of its absence.
func (h *health) set(err error) {
	ok, now := err == nil, time.Now()
	h.mu.Lock()
	before := h.since
	if h.since.IsZero() || ok != h.ok {
		h.ok, h.since = ok, now
	}
	h.lastErr = ""
	if !ok {
		h.lastErr = err.Error()
	}
	// A change that comes too soon after the last line is told by a later
	// answer, if it still holds then.
	tell := h.loggedAt.IsZero() || ok != h.logged && now.Sub(h.loggedAt) >= logEvery
	if tell {
		h.logged, h.loggedAt = ok, now
	}
	h.mu.Unlock()

	switch {
	case !tell:
	case ok:
		h.log.Info("cluster service works", zap.Duration("after", after(before, now)))
	default:
		h.log.Warn("cluster service does not work", zap.Error(err))
	}
}

func after(before, now time.Time) time.Duration {
	if before.IsZero() {
		return 0
	}
	return now.Sub(before)
}
