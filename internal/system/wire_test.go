package system_test

import (
	"bytes"
	"io"
	"math/rand/v2"
	"net/http"
	"sync"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
)

// wire is what no server can do to a process: it freezes, as if the whole
// process were stopped, and sends requests twice now and then, as a proxy may.
type wire struct {
	next  policy.Transporter
	twice float64 // the part of the requests

	mu     sync.Mutex
	rng    *rand.Rand
	frozen chan struct{} // closed by thaw
}

// Do implements policy.Transporter.
func (w *wire) Do(req *http.Request) (*http.Response, error) {
	w.wait()
	defer w.wait() // a reply finds a frozen process, too
	if w.draw() {
		return w.repeat(req)
	}
	return w.next.Do(req)
}

func (w *wire) draw() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.rng.Float64() < w.twice
}

// repeat answers with the second reply.
func (w *wire) repeat(req *http.Request) (*http.Response, error) {
	var body []byte
	if req.Body != nil {
		body, _ = io.ReadAll(req.Body)
	}
	again := func() *http.Request {
		r := req.Clone(req.Context())
		r.Body = io.NopCloser(bytes.NewReader(body))
		return r
	}
	if resp, err := w.next.Do(again()); err == nil {
		_ = resp.Body.Close()
	}
	resp, err := w.next.Do(again())
	if err == nil {
		resp.Request = req
	}
	return resp, err
}

// freeze stops everything that passes through; false if it is frozen already.
func (w *wire) freeze() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.frozen != nil {
		return false
	}
	w.frozen = make(chan struct{})
	return true
}

func (w *wire) thaw() {
	w.mu.Lock()
	defer w.mu.Unlock()
	close(w.frozen)
	w.frozen = nil
}

func (w *wire) wait() {
	w.mu.Lock()
	frozen := w.frozen
	w.mu.Unlock()
	if frozen != nil {
		<-frozen
	}
}
