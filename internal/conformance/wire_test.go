package conformance

import (
	"bytes"
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"
)

// wire carries the requests of one test, of azcosmos and raw ones. It waits
// where the account throttles, so that a cheap one is enough, and checks what
// every reply must have. Safe for concurrent use.
type wire struct {
	t *testing.T
}

// Do is what azcosmos calls.
func (w *wire) Do(req *http.Request) (*http.Response, error) {
	var body []byte
	if req.Body != nil {
		var err error
		if body, err = io.ReadAll(req.Body); err != nil {
			return nil, err
		}
		req.Body.Close()
	}
	for attempt := 0; ; attempt++ {
		req.Body = io.NopCloser(bytes.NewReader(body))
		response, err := account.transport.RoundTrip(req)
		if err != nil {
			return nil, err
		}
		if response.StatusCode != http.StatusTooManyRequests || attempt == 100 {
			w.check(req, response)
			return response, nil
		}
		response.Body.Close()
		pause, err := strconv.Atoi(response.Header.Get("x-ms-retry-after-ms"))
		if err != nil {
			pause = 1000
		}
		select {
		case <-time.After(time.Duration(pause) * time.Millisecond):
		case <-req.Context().Done():
			return nil, req.Context().Err()
		}
	}
}

// check looks at the replies about items. Whether the service charges refusals
// other than these is not documented.
func (w *wire) check(req *http.Request, response *http.Response) {
	if w.t.Context().Err() != nil || !strings.Contains(req.URL.Path, "/docs") {
		return
	}
	switch response.StatusCode {
	case http.StatusOK, http.StatusCreated, http.StatusNoContent, http.StatusMultiStatus, http.StatusNotModified,
		http.StatusNotFound, http.StatusConflict, http.StatusPreconditionFailed:
		if charge := charge(response.Header); charge <= 0 {
			w.t.Errorf("%s %s: status %d: the charge is %q", req.Method, req.URL.Path, response.StatusCode, response.Header.Get("x-ms-request-charge"))
		}
	}
	if response.Header.Get("x-ms-activity-id") == "" {
		w.t.Errorf("%s %s: status %d: no x-ms-activity-id", req.Method, req.URL.Path, response.StatusCode)
	}
}

// charge is in request units; -1 if there is none.
func charge(header http.Header) float64 {
	value, err := strconv.ParseFloat(header.Get("x-ms-request-charge"), 64)
	if err != nil {
		return -1
	}
	return value
}
