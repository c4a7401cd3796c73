package notification

import (
	"fmt"
	"time"
)

// RefusedError means that the notification will never get through: the URI is
// not one that may be called, or ARM's answer is final.
type RefusedError struct {
	Status int    // of ARM's answer; 0: nothing was sent
	Reason string // of a fixed set; nothing of the URI or the answer is in it

	result result
}

// Error says why.
func (e *RefusedError) Error() string { return "notification refused: " + e.Reason }

// UnavailableError means that it is not known that ARM has taken the
// notification, and that it may be sent again. It may have arrived all the same.
// A caller who gave up is among the causes: errors.Is finds the context's error,
// and context.DeadlineExceeded where Config.Timeout was over.
type UnavailableError struct {
	Status int    // of ARM's answer; 0: none was had
	Reason string // of a fixed set, but for a status or an address in it
	// RetryAfter is how long ARM asked not to be asked again, at most 10 minutes;
	// 0: it did not say.
	RetryAfter time.Duration

	result result
	err    error // of a context, nil for others: their texts may hold what the server sent
}

// Error says what went wrong.
func (e *UnavailableError) Error() string {
	if e.RetryAfter > 0 {
		return fmt.Sprintf("notification not taken, retry after %v: %s", e.RetryAfter, e.Reason)
	}
	return "notification not taken: " + e.Reason
}

// Unwrap returns the context's error, if that was the cause.
func (e *UnavailableError) Unwrap() error { return e.err }
