package leases

import (
	"bytes"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"opfeed/internal/inproc"
)

// fault is what a wire does with a request.
type fault uint8

const (
	pass     fault = iota
	refuse         // it never arrives
	swallow        // it is applied, the reply is lost
	hang           // it never arrives, and nothing comes back
	throttle       // 429
	down           // 503
	stick          // it does not come back before stuck is closed, whatever its context says
)

// wire is the network between one process and the account.
type wire struct {
	w     *world
	inner *inproc.Transport
	stuck chan struct{}

	mu      sync.Mutex
	fault   func(r *http.Request, nthWrite int) fault // nil: pass
	nth     int                                       // lease writes so far
	writes  []time.Time
	replies []int
}

func (x *wire) set(f func(r *http.Request, nthWrite int) fault) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.fault = f
}

// count is how many writes there were so far.
func (x *wire) count() int {
	x.mu.Lock()
	defer x.mu.Unlock()
	return len(x.writes)
}

// always meets every request but that for the account: azcosmos would keep an
// error of that one for five minutes.
func always(f fault) func(*http.Request, int) fault {
	return func(r *http.Request, _ int) fault {
		if r.URL.Path == "/" || r.URL.Path == "" {
			return pass
		}
		return f
	}
}

func isWrite(r *http.Request) bool {
	return r.Method == http.MethodPut || r.Method == http.MethodDelete ||
		r.Method == http.MethodPost && !strings.Contains(r.Header.Get("Content-Type"), "query")
}

func (x *wire) Do(r *http.Request) (*http.Response, error) {
	var body []byte
	if r.Body != nil {
		body, _ = io.ReadAll(r.Body)
		r.Body = io.NopCloser(bytes.NewReader(body))
	}
	write := isWrite(r)
	x.mu.Lock()
	if write {
		x.nth++
		x.writes = append(x.writes, time.Now())
	}
	what := pass
	if x.fault != nil {
		what = x.fault(r, x.nth)
	}
	x.mu.Unlock()
	switch what {
	case refuse:
		return nil, syscall.ECONNRESET
	case hang:
		<-r.Context().Done()
		return nil, r.Context().Err()
	case stick:
		<-x.stuck
		return nil, syscall.ECONNRESET
	case throttle:
		return answer(r, http.StatusTooManyRequests, "x-ms-retry-after-ms", "200"), nil
	case down:
		return answer(r, http.StatusServiceUnavailable, "", ""), nil
	}
	reply, err := x.inner.Do(r)
	if err == nil && write {
		x.mu.Lock()
		x.replies = append(x.replies, reply.StatusCode)
		x.mu.Unlock()
		if reply.StatusCode < 300 && bytes.Contains(body, []byte(testPrefix+"..")) { // a lease
			d, decodeErr := decode(body, reply.Header.Get("etag"))
			if decodeErr != nil {
				x.w.t.Errorf("a lease was written that does not decode: %s", body)
			}
			x.w.mu.Lock()
			x.w.written = append(x.w.written, d)
			x.w.mu.Unlock()
		}
	}
	if what == swallow {
		return nil, syscall.ECONNRESET
	}
	return reply, err
}

func answer(r *http.Request, status int, name, value string) *http.Response {
	h := http.Header{}
	if name != "" {
		h.Set(name, value)
	}
	return &http.Response{StatusCode: status, Status: strconv.Itoa(status), Header: h, Body: http.NoBody, Request: r}
}
