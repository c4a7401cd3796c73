package leases

import (
	"errors"
	"math/rand/v2"
	"net/http"
	"strconv"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
)

// backoff doubles a wait from first to most, and takes a random half off. The
// zero value is no backoff; use newBackoff.
type backoff struct {
	first, most, now time.Duration
}

func newBackoff(first, most time.Duration) backoff {
	return backoff{first: first, most: most, now: first}
}

// next gives the wait before the next try after err. A server that names a time
// is obeyed, up to most.
func (b *backoff) next(err error) time.Duration {
	wait := jitter(b.now)
	b.now = min(2*b.now, b.most)
	return max(wait, min(retryAfter(err), b.most))
}

func (b *backoff) reset() { b.now = b.first }

// jitter gives half of d to d.
func jitter(d time.Duration) time.Duration {
	if d <= 1 {
		return d
	}
	return d/2 + rand.N(d/2)
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
