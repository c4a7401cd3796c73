package system_test

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
)

// unreliable is a transport that fails in one of several ways, by chance, and
// that can be frozen, as if the whole process were stopped.
type unreliable struct {
	next   policy.Transporter
	faults []fault
	rate   float64 // of requests that fail

	mu     sync.Mutex
	rng    *rand.Rand
	well   bool
	frozen chan struct{} // closed by thaw
}

// fault is one way to fail; within is a time drawn for it, up to 4 s.
type fault func(u *unreliable, req *http.Request, within time.Duration) (*http.Response, error)

// Do implements policy.Transporter.
func (u *unreliable) Do(req *http.Request) (*http.Response, error) {
	u.wait()
	defer u.wait() // a reply finds a frozen process, too
	f, within := u.draw()
	if f == nil {
		return u.next.Do(req)
	}
	return f(u, req, within)
}

// RoundTrip implements http.RoundTripper.
func (u *unreliable) RoundTrip(req *http.Request) (*http.Response, error) { return u.Do(req) }

func (u *unreliable) draw() (fault, time.Duration) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.well || u.rng.Float64() >= u.rate {
		return nil, 0
	}
	return u.faults[u.rng.IntN(len(u.faults))], time.Duration(u.rng.IntN(4000)) * time.Millisecond
}

// freeze stops everything that passes through; false if it is frozen already.
func (u *unreliable) freeze() bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.frozen != nil {
		return false
	}
	u.frozen = make(chan struct{})
	return true
}

func (u *unreliable) thaw() {
	u.mu.Lock()
	defer u.mu.Unlock()
	close(u.frozen)
	u.frozen = nil
}

func (u *unreliable) heal() {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.well = true
}

func (u *unreliable) wait() {
	u.mu.Lock()
	frozen := u.frozen
	u.mu.Unlock()
	if frozen != nil {
		<-frozen
	}
}

// answer is a fault that answers without asking the server.
func answer(status int, contentType, body string, headers ...string) fault {
	return func(_ *unreliable, req *http.Request, _ time.Duration) (*http.Response, error) {
		r := &http.Response{
			StatusCode: status, Status: strconv.Itoa(status), Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
			Header: http.Header{"Content-Type": {contentType}}, Body: io.NopCloser(strings.NewReader(body)), Request: req,
		}
		for i := 0; i < len(headers); i += 2 {
			r.Header.Set(headers[i], headers[i+1])
		}
		return r, nil
	}
}

func hang(_ *unreliable, req *http.Request, _ time.Duration) (*http.Response, error) {
	return nil, pause(req, 15*time.Second) // as long as the service's own client waits
}

func reset(*unreliable, *http.Request, time.Duration) (*http.Response, error) {
	return nil, &net.OpError{Op: "read", Err: syscall.ECONNRESET}
}

// replyLost applies the request.
func replyLost(u *unreliable, req *http.Request, _ time.Duration) (*http.Response, error) {
	if resp, err := u.next.Do(req); err == nil {
		_ = resp.Body.Close()
	}
	return nil, &net.OpError{Op: "read", Err: syscall.ECONNRESET}
}

// late applies the request, and tells of it late.
func late(u *unreliable, req *http.Request, within time.Duration) (*http.Response, error) {
	if err := pause(req, within/2); err != nil {
		return nil, err
	}
	resp, err := u.next.Do(req)
	if err == nil {
		err = pause(req, within/2)
	}
	return resp, err
}

// twice sends the request two times, as a proxy may.
func twice(u *unreliable, req *http.Request, _ time.Duration) (*http.Response, error) {
	var body []byte
	if req.Body != nil {
		body, _ = io.ReadAll(req.Body)
	}
	again := func() *http.Request {
		r := req.Clone(req.Context())
		r.Body = io.NopCloser(bytes.NewReader(body))
		return r
	}
	if resp, err := u.next.Do(again()); err == nil {
		_ = resp.Body.Close()
	}
	resp, err := u.next.Do(again())
	if err == nil {
		resp.Request = req
	}
	return resp, err
}

// cut ends the body half way, with an error or as if that were all.
func cut(end error) fault {
	return func(u *unreliable, req *http.Request, _ time.Duration) (*http.Response, error) {
		resp, err := u.next.Do(req)
		if err != nil {
			return nil, err
		}
		body, _ := io.ReadAll(resp.Body)
		half := io.Reader(bytes.NewReader(body[:len(body)/2]))
		if end != nil {
			half = io.MultiReader(half, failing{end})
		}
		resp.Body, resp.ContentLength = io.NopCloser(half), -1
		return resp, nil
	}
}

type failing struct{ err error }

// Read implements io.Reader.
func (f failing) Read([]byte) (int, error) { return 0, f.err }

func pause(req *http.Request, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-req.Context().Done():
		return req.Context().Err()
	}
}

const (
	asJSON = "application/json"
	asHTML = "text/html"
)

var cosmosFaults = []fault{
	answer(http.StatusTooManyRequests, asJSON, `{"code":"429"}`, "x-ms-substatus", "3200", "x-ms-retry-after-ms", "300"),
	answer(http.StatusServiceUnavailable, asJSON, `{"code":"503"}`),
	answer(449, asJSON, `{"code":"449"}`),
	answer(http.StatusRequestTimeout, asJSON, `{"code":"408"}`),
	answer(http.StatusNotFound, asJSON, `{"code":"NotFound"}`, "x-ms-substatus", "1002"),
	answer(http.StatusBadRequest, asHTML, "<html>bad request</html>"),
	answer(http.StatusOK, asHTML, "<html>log in first</html>", "etag", `"1"`, "x-ms-session-token", "0:-1#1"),
	hang, reset, replyLost, late, twice, cut(io.ErrUnexpectedEOF), cut(nil), cut(errors.New("connection reset")),
}

var clusterServiceFaults = []fault{
	answer(http.StatusServiceUnavailable, asJSON, `{"kind":"Error","id":"503","code":"X","reason":"down"}`),
	answer(http.StatusTooManyRequests, asJSON, `{"kind":"Error","id":"429","code":"X","reason":"slow"}`, "Retry-After", "2"),
	answer(http.StatusNotFound, asHTML, "<html>not found</html>"),
	answer(http.StatusNotFound, asJSON, ""),
	answer(http.StatusNotFound, asJSON, `{"message":"no Route matched"}`),
	answer(http.StatusOK, asJSON, "{}"),
	answer(http.StatusOK, asJSON, `{"state":"rea`),
	answer(http.StatusOK, asJSON, `{"kind":"ClusterStatus","id":"x","state":"hibernating"}`),
	hang, reset, late, cut(io.ErrUnexpectedEOF),
}
