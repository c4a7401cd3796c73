package service

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"
)

// answerError is a status by which a server says that it does not work for us.
type answerError int

func (e answerError) Error() string {
	return fmt.Sprintf("answered %d %s", int(e), http.StatusText(int(e)))
}

// reason says in a few words why a call failed. It leaves out what differs from
// try to try (ids, local ports), so that equal reasons compare equal, and what is
// too long for a probe's answer.
func reason(err error) string {
	if e, ok := errors.AsType[*setupError](err); ok {
		return e.Error()
	}
	if e, ok := errors.AsType[*azcore.ResponseError](err); ok {
		return answerError(e.StatusCode).Error()
	}
	if _, ok := errors.AsType[*azidentity.AuthenticationFailedError](err); ok {
		return "Entra ID gave no token"
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return "no answer in time"
	}
	if e, ok := errors.AsType[*net.DNSError](err); ok {
		return "host not found: " + e.Name
	}
	if e, ok := errors.AsType[*net.OpError](err); ok {
		return e.Op + ": " + e.Err.Error()
	}
	if e, ok := errors.AsType[*url.Error](err); ok {
		err = e.Err // without the URL
	}
	text, _, _ := strings.Cut(err.Error(), "\n")
	const limit = 200
	if len(text) > limit {
		text = strings.ToValidUTF8(text[:limit], "") + "…"
	}
	return text
}
