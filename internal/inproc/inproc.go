// Package inproc carries HTTP requests to an http.Handler without a socket.
//
// It lets real clients (azcosmos, ocm-sdk-go) talk to an emulated server inside
// a testing/synctest bubble, where network I/O would stop the fake clock.
package inproc

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"syscall"
)

// ErrReset is what a caller sees when the handler panics with
// http.ErrAbortHandler before it flushed anything: the connection was closed
// before a reply. Clients know it for what they would see of a socket, and try
// again or not as they would then.
var ErrReset error = &net.OpError{Op: "read", Net: "in-process", Err: syscall.ECONNRESET}

// Transport is an http.RoundTripper and an azcore policy.Transporter. It calls
// the handler in the caller's goroutine, so a handler that waits must watch the
// request's context. Safe for concurrent use if the handler is.
type Transport struct {
	handler http.Handler
}

// New returns a transport to h.
func New(h http.Handler) *Transport {
	return &Transport{handler: h}
}

// Do is RoundTrip under the name that azcore asks for.
func (t *Transport) Do(req *http.Request) (*http.Response, error) {
	return t.RoundTrip(req)
}

// RoundTrip serves one request. It fails with the context's error when the
// context ended meanwhile, even if the handler applied the request: as on a
// network, a lost reply says nothing about the effect.
func (t *Transport) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.Body != nil {
		defer req.Body.Close()
	}
	ctx := req.Context()
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	rec := &recorder{header: http.Header{}, flushed: -1}
	aborted := t.serve(rec, serverRequest(req))
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	switch {
	case !aborted:
		return rec.response(req, rec.body.Bytes(), nil), nil
	case rec.flushed >= 0:
		return rec.response(req, rec.body.Bytes()[:rec.flushed], io.ErrUnexpectedEOF), nil
	default:
		return nil, ErrReset
	}
}

// serve reports whether the handler closed the connection.
func (t *Transport) serve(w http.ResponseWriter, req *http.Request) (aborted bool) {
	defer func() {
		switch p := recover(); p {
		case nil:
		case http.ErrAbortHandler:
			aborted = true
		default:
			panic(p)
		}
	}()
	t.handler.ServeHTTP(w, req)
	return false
}

// serverRequest turns a client's request into what a server would have read.
func serverRequest(req *http.Request) *http.Request {
	in := req.Clone(req.Context())
	in.RequestURI = req.URL.RequestURI()
	in.RemoteAddr = "in-process"
	if in.Host == "" {
		in.Host = req.URL.Host
	}
	if in.Body == nil {
		in.Body = http.NoBody
	}
	return in
}

type recorder struct {
	header  http.Header
	sent    http.Header
	status  int
	body    bytes.Buffer
	flushed int // bytes of the body that are on their way; -1: not even the header is
}

func (r *recorder) Header() http.Header { return r.header }

func (r *recorder) WriteHeader(status int) {
	if r.sent == nil {
		r.status, r.sent = status, r.header.Clone()
	}
}

func (r *recorder) Write(p []byte) (int, error) {
	r.WriteHeader(http.StatusOK)
	return r.body.Write(p)
}

// FlushError is what http.ResponseController calls.
func (r *recorder) FlushError() error {
	r.WriteHeader(http.StatusOK)
	r.flushed = r.body.Len()
	return nil
}

// response is the reply with this much of its body; an end that is not nil is
// the error after it.
func (r *recorder) response(req *http.Request, body []byte, end error) *http.Response {
	r.WriteHeader(http.StatusOK)
	response := &http.Response{
		Status:        fmt.Sprintf("%d %s", r.status, http.StatusText(r.status)),
		StatusCode:    r.status,
		Proto:         "HTTP/1.1",
		ProtoMajor:    1,
		ProtoMinor:    1,
		Header:        r.sent,
		Body:          io.NopCloser(bytes.NewReader(body)),
		ContentLength: int64(len(body)),
		// azcosmos reads the request's headers back from here.
		Request: req,
	}
	if end != nil {
		response.Body = io.NopCloser(io.MultiReader(bytes.NewReader(body), failing{end}))
		response.ContentLength = -1
	}
	return response
}

type failing struct{ err error }

// Read implements io.Reader.
func (f failing) Read([]byte) (int, error) { return 0, f.err }
