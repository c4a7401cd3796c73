package operations

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"opfeed/cs"
	"opfeed/processor/dispatch"
)

// pause is what the dispatcher reads of an error.
func pause(err error) time.Duration {
	if asking, ok := errors.AsType[interface {
		error
		RetryAfter() time.Duration
	}](err); ok {
		return asking.RetryAfter()
	}
	return 0
}

func TestRetriable(t *testing.T) {
	plain := errors.New("plain")
	busy := fmt.Errorf("look: %w", &cs.UnavailableError{RetryAfter: 2 * time.Minute})
	for err, want := range map[error]time.Duration{plain: 0, busy: 2 * time.Minute} {
		if have := retriable(err); !errors.Is(have, err) || pause(have) != want {
			t.Errorf("have %v, asking for %v, want %v", have, pause(have), want)
		}
	}
}

// TestThrottledStepIsPutOff: the pause that Cosmos DB asks for, once azcore has
// given up, is the dispatcher's to keep.
func TestThrottledStepIsPutOff(t *testing.T) {
	for name, c := range map[string]struct {
		status      int
		name, value string
		want        time.Duration
	}{
		"milliseconds":    {http.StatusTooManyRequests, "x-ms-retry-after-ms", "7500", 7500 * time.Millisecond},
		"seconds":         {http.StatusServiceUnavailable, "Retry-After", "20", 20 * time.Second},
		"date":            {http.StatusServiceUnavailable, "Retry-After", "Sat, 01 Jan 2000 00:00:40 GMT", 40 * time.Second},
		"too long":        {http.StatusTooManyRequests, "x-ms-retry-after-ms", "9000000", time.Minute},
		"too long a date": {http.StatusServiceUnavailable, "Retry-After", "Sun, 02 Jan 2000 00:00:00 GMT", time.Minute},
		"none":            {http.StatusServiceUnavailable, "Retry-After", "", 0},
		"nonsense":        {http.StatusServiceUnavailable, "Retry-After", "soon", 0},
		"negative":        {http.StatusServiceUnavailable, "Retry-After", "-5", 0},
		"another status":  {http.StatusForbidden, "Retry-After", "20", 0},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { // it begins with the year 2000
				r := newRig(t)
				r.cosmos.after = func(req *http.Request, resp *http.Response) (*http.Response, error) {
					if req.Method == http.MethodGet && strings.Contains(req.URL.Path, "/docs/") {
						return &http.Response{StatusCode: c.status, Request: req, Body: io.NopCloser(strings.NewReader(`{}`)),
							Header: http.Header{http.CanonicalHeaderKey(c.name): {c.value}}}, nil
					}
					return resp, nil
				}
				_, err := r.h.Handle(t.Context(), dispatch.Change{Key: key("op-1")})
				if err == nil || pause(err) > c.want || pause(err) < c.want-time.Second {
					t.Errorf("have %v, asking for %v, want %v", err, pause(err), c.want)
				}
			})
		})
	}
}
