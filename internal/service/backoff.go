package service

import (
	"context"
	"math/rand/v2"
	"time"
)

// Waits between tries to reach what is absent.
const (
	firstWait   = 500 * time.Millisecond
	longestWait = 15 * time.Second
)

// backoff spaces tries: each wait is random between half and all of a span that
// doubles, so that replicas that lost the same server do not return in step.
type backoff struct{ span time.Duration }

// wait pauses, and returns false if ctx ended meanwhile.
func (b *backoff) wait(ctx context.Context) bool {
	b.span = min(max(2*b.span, firstWait), longestWait)
	return pause(ctx, jitter(b.span))
}

func (b *backoff) reset() { b.span = 0 }

// jitter returns a random duration between half of d and d.
func jitter(d time.Duration) time.Duration {
	return d/2 + rand.N(d/2+1)
}

func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
