package leases

import (
	"errors"
	"net/http"
	"strconv"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
)

// backoff doubles a wait from first to most, and takes a random half off. The
// zero value is no backoff; use Manager.backoff.
type backoff struct {
	first, most, now time.Duration
	chance           chance
}

// chance draws from 0 to less than its argument, which is positive. Several
// goroutines may ask it at once.
type chance func(time.Duration) time.Duration

func (m *Manager) backoff(first, most time.Duration) backoff {
	return backoff{first: first, most: most, now: first, chance: m.chance}
}

// next gives the wait before the next try after err. A server that names a time
// is obeyed, up to most.
func (b *backoff) next(err error) time.Duration {
	wait := b.now
	if half := b.now / 2; half > 0 {
		wait = half + b.chance(half)
	}
	b.now = min(2*b.now, b.most)
	return max(wait, min(retryAfter(err), b.most))
}

func (b *backoff) reset() { b.now = b.first }

// spread gives d ± a tenth, so that replicas do not march in step.
func (m *Manager) spread(d time.Duration) time.Duration {
	return d - d/10 + m.chance(d/5+1)
}

// retryAfter reads what a throttled reply asks for; 0 when it asks for nothing.
func retryAfter(err error) time.Duration {
	var reply *azcore.ResponseError
	if !errors.As(err, &reply) || reply.RawResponse == nil {
		return 0
	}
	h := reply.RawResponse.Header
	if ms, err := strconv.ParseFloat(h.Get("x-ms-retry-after-ms"), 64); err == nil && ms > 0 && ms < 1e6 {
		return time.Duration(ms * float64(time.Millisecond))
	}
	if s, err := strconv.Atoi(h.Get("Retry-After")); err == nil && s > 0 && s < 1000 {
		return time.Duration(s) * time.Second
	}
	return 0
}

// throttledOrAway tells an outage, which passes by itself, from a reply that
// somebody has to do something about.
func throttledOrAway(err error) bool {
	var reply *azcore.ResponseError
	if !errors.As(err, &reply) {
		return true
	}
	switch reply.StatusCode {
	case http.StatusBadRequest, http.StatusUnauthorized, http.StatusForbidden, http.StatusNotFound:
		return false
	}
	return true
}
