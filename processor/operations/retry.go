package operations

import (
	"errors"
	"net/http"
	"strconv"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"

	"opfeed/cs"
)

// maxRetryAfter bounds how long Cosmos DB can put a step off: a header may say
// anything.
const maxRetryAfter = time.Minute

// retryAfter is an error that says when to try again, in the dispatcher's terms.
type retryAfter struct {
	error
	after time.Duration
}

func (e retryAfter) Unwrap() error             { return e.error }
func (e retryAfter) RetryAfter() time.Duration { return e.after }

// retriable lets an error say how long whoever refused asked not to be asked
// again, if it did.
func retriable(err error) error {
	var after time.Duration
	if u, ok := errors.AsType[*cs.UnavailableError](err); ok {
		after = u.RetryAfter
	} else if e, ok := errors.AsType[*azcore.ResponseError](err); ok && e.RawResponse != nil {
		switch e.StatusCode {
		case http.StatusTooManyRequests, http.StatusServiceUnavailable:
			after = min(askedFor(e.RawResponse.Header), maxRetryAfter)
		}
	}
	if after <= 0 {
		return err
	}
	return retryAfter{err, after}
}

// askedFor is the pause that an answer asks for, 0 for none. The first header is
// Cosmos DB's own, the second that of whatever stands before it.
func askedFor(h http.Header) time.Duration {
	if ms, err := strconv.Atoi(h.Get("x-ms-retry-after-ms")); err == nil && ms > 0 {
		return time.Duration(min(ms, int(maxRetryAfter/time.Millisecond))) * time.Millisecond
	}
	value := h.Get("Retry-After")
	if seconds, err := strconv.Atoi(value); err == nil {
		return time.Duration(min(seconds, int(maxRetryAfter/time.Second))) * time.Second
	}
	if at, err := http.ParseTime(value); err == nil {
		return time.Until(at)
	}
	return 0
}
