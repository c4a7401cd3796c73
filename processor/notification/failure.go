package notification

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
)

// failure says why there was no answer, given how the context stands. The words
// are ours: net/http puts what a server sent into the texts of its errors.
func failure(ctx context.Context, err error) *UnavailableError {
	switch ended := ctx.Err(); {
	case errors.Is(ended, context.Canceled):
		return &UnavailableError{Reason: "caller gave up", result: resultCanceled, err: ended}
	case ended != nil, timedOut(err):
		// The dialer keeps the deadline by a clock of its own and may be first.
		return &UnavailableError{Reason: "no answer in time", result: resultTimeout, err: context.DeadlineExceeded}
	}
	if refused, ok := errors.AsType[*addressError](err); ok {
		return &UnavailableError{Reason: refused.Error(), result: resultAddress}
	}
	if _, ok := errors.AsType[*net.DNSError](err); ok {
		return &UnavailableError{Reason: "host name not resolved", result: resultConnection}
	}
	if _, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return &UnavailableError{Reason: "certificate not trusted", result: resultTLS}
	}
	if dial, ok := errors.AsType[*net.OpError](err); ok && dial.Op == "dial" {
		return &UnavailableError{Reason: "not connected", result: resultConnection}
	}
	if _, ok := errors.AsType[*setupError](err); ok {
		return &UnavailableError{Reason: "no TLS connection", result: resultTLS}
	}
	return &UnavailableError{Reason: "connection ended without a usable answer", result: resultConnection}
}

func timedOut(err error) bool {
	timeout, ok := errors.AsType[net.Error](err)
	return ok && timeout.Timeout()
}
