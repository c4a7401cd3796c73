package cs

import (
	"errors"
	"fmt"
	"time"
)

// ErrNotFound means that Cluster Service itself said, in its own JSON, that the
// object does not exist. A proxy's 404, an empty 404 and "unable to find shard"
// are not that.
var ErrNotFound = errors.New("not found in cluster service")

// UnavailableError means that no answer of Cluster Service was had: nothing is
// known about the object, and the call may be repeated. Refused credentials are
// among the causes, because then CS answers nobody, and so are a wait for one's
// turn that took too long, a caller who gave up (errors.Is finds the context's
// error) and a closed client. When nobody is answered, calls are not even made.
type UnavailableError struct {
	// RetryAfter is how long CS asked not to be asked again, at most 5 minutes, or,
	// of a call that was not made, when it may be worth while, at random so that
	// not all come back at once; 0: nobody said.
	RetryAfter time.Duration

	err error
}

// Error says what went wrong.
func (e *UnavailableError) Error() string {
	if e.RetryAfter > 0 {
		return fmt.Sprintf("no answer of cluster service, retry after %v: %v", e.RetryAfter, e.err)
	}
	return fmt.Sprintf("no answer of cluster service: %v", e.err)
}

// Unwrap returns the cause.
func (e *UnavailableError) Unwrap() error { return e.err }

// errClosed is the cause when a call comes after Close.
var errClosed = errors.New("client is closed")
