// Package inproc carries HTTP requests to an http.Handler without a socket.
//
// It lets real clients (azcosmos, ocm-sdk-go) talk to an emulated server inside
// a testing/synctest bubble, where network I/O would stop the fake clock.
package inproc

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
)

// ErrReset is what a caller sees when the handler panics with
// http.ErrAbortHandler: the connection was closed before a reply.
var ErrReset = errors.New("read: connection reset by peer")

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
	rec := &recorder{header: http.Header{}}
	if err := t.serve(rec, serverRequest(req)); err != nil {
		return nil, err
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	return rec.response(req), nil
}

func (t *Transport) serve(w http.ResponseWriter, req *http.Request) (err error) {
	defer func() {
		switch p := recover(); p {
		case nil:
		case http.ErrAbortHandler:
			err = ErrReset
		default:
			panic(p)
		}
	}()
	t.handler.ServeHTTP(w, req)
	return nil
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
	header http.Header
	sent   http.Header
	status int
	body   bytes.Buffer
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

func (r *recorder) response(req *http.Request) *http.Response {
	r.WriteHeader(http.StatusOK)
	return &http.Response{
		Status:        fmt.Sprintf("%d %s", r.status, http.StatusText(r.status)),
		StatusCode:    r.status,
		Proto:         "HTTP/1.1",
		ProtoMajor:    1,
		ProtoMinor:    1,
		Header:        r.sent,
		Body:          io.NopCloser(bytes.NewReader(r.body.Bytes())),
		ContentLength: int64(r.body.Len()),
		// azcosmos reads the request's headers back from here.
		Request: req,
	}
}
