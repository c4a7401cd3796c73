package notification

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
)

// maxHeader bounds, in bytes, the header of an answer. Of its body nothing is
// read.
const maxHeader = 64 << 10

// network carries each request over a connection of its own. Outcomes are rare,
// and so nothing stays open between them: no idle connection to look after, no
// request that the transport repeats on a second connection unasked, no address
// that was checked long ago. HTTP/2 would gain nothing over that.
type network struct {
	dialer    *net.Dialer // connects to public addresses only
	transport *http.Transport
}

func newNetwork() *network {
	dialer := &net.Dialer{
		Control: guard,
		// The C library's resolver cannot be interrupted: its goroutine would
		// outlive the call.
		Resolver: &net.Resolver{PreferGo: true},
	}
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	return &network{dialer, &http.Transport{
		Proxy:                  nil, // not even from the environment: a proxy would resolve names unguarded
		DialContext:            dialer.DialContext,
		TLSClientConfig:        &tls.Config{MinVersion: tls.VersionTLS12},
		Protocols:              protocols,
		DisableKeepAlives:      true,
		DisableCompression:     true,
		MaxResponseHeaderBytes: maxHeader,
	}}
}

// RoundTrip dials, sends and returns the answer as it is, redirects too. All of
// it ends with the request's context; closing the body closes the connection.
// (Transport.RoundTrip would go on dialling after the context has ended.)
func (n *network) RoundTrip(req *http.Request) (*http.Response, error) {
	conn, err := n.transport.NewClientConn(req.Context(), "https", net.JoinHostPort(req.URL.Hostname(), port))
	if err != nil {
		return nil, &setupError{err}
	}
	resp, err := conn.RoundTrip(req)
	if err != nil {
		_ = conn.Close() // it has failed already
		return nil, err
	}
	resp.Body = &lastBody{resp.Body, conn}
	return resp, nil
}

// setupError means that nothing was sent: there was no connection to send on.
type setupError struct{ err error }

// Error is not for showing: it may hold what a server sent.
func (e *setupError) Error() string { return "connect: " + e.err.Error() }
func (e *setupError) Unwrap() error { return e.err }

// lastBody is the body of the only answer on a connection.
type lastBody struct {
	io.ReadCloser
	conn io.Closer
}

// Close closes the connection without reading on. The answer's status was read,
// which is all of it that counts.
func (b *lastBody) Close() error { return errors.Join(b.conn.Close(), b.ReadCloser.Close()) }
