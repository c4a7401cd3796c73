package operations

import (
	"fmt"
	"strings"
	"time"
	"unicode/utf8"
)

// CloudError is the error of a failed operation, as ARM shows it: a code that
// programs go by, and a message for people. Neither is ever empty.
type CloudError struct {
	Code    string       `json:"code"`
	Message string       `json:"message"`
	Details []CloudError `json:"details,omitempty"`
}

// Codes that are ours; others are Cluster Service's.
const (
	codeInternal = "InternalServerError"
	codeMultiple = "MultipleErrorsOccurred"
	codeTimedOut = "OperationTimedOut"
	codeNotFound = "NotFound"
	// codeInflight is Cluster Service's, for a cluster whose inflight checks failed.
	codeInflight = "OCM4001"
)

// Bounds, in bytes and in number, of what is copied into an error.
const (
	maxMessage = 4096
	maxCode    = 128
	maxDetails = 20
	maxDetail  = 1024
)

// failure is the error of an operation that Cluster Service says has failed.
func failure(in Input) *CloudError {
	switch in.Request {
	case RequestCredential:
		return credentialFailure(in.state())
	case RevokeCredentials:
		return &CloudError{Code: codeInternal, Message: "Failed to revoke cluster credential."}
	}
	s := in.Answer.Status
	e := &CloudError{Code: clip(s.ErrorCode, maxCode), Message: clip(s.Message, maxMessage)}
	switch checks := in.Answer.Checks; len(checks) {
	case 0:
	case 1:
		*e = checkFailure(checks[0])
	default:
		*e = CloudError{Code: codeMultiple, Message: "Cluster provisioning failed due to multiple errors."}
		for _, message := range checks[:min(len(checks), maxDetails)] {
			e.Details = append(e.Details, checkFailure(message))
		}
		if more := len(checks) - maxDetails; more > 0 {
			e.Message = fmt.Sprintf("Cluster provisioning failed due to %d errors; these are the first %d.", len(checks), maxDetails)
		}
	}
	if strings.TrimSpace(e.Code) == "" {
		e.Code = codeInternal
	}
	if strings.TrimSpace(e.Message) == "" {
		e.Message = "Internal server error."
	}
	return e
}

func checkFailure(message string) CloudError {
	if strings.TrimSpace(message) == "" {
		message = "A check of the cluster's environment failed."
	}
	return CloudError{Code: codeInternal, Message: clip(message, maxDetail)}
}

func credentialFailure(state string) *CloudError {
	e := &CloudError{Code: codeInternal, Message: "Failed to provision cluster credential."}
	switch state {
	case stateRevoked:
		e.Message = "The cluster credential was revoked before it was issued."
	case stateExpired:
		e.Message = "The cluster credential has expired."
	}
	return e
}

// timedOut is the error of an operation that is past its deadline.
func timedOut(cfg Config, in Input) *CloudError {
	within := inWords(cfg.deadline(in.Request))
	switch {
	case in.Answer.NoID:
		return &CloudError{Code: codeTimedOut, Message: "The operation was not started within " + within + "."}
	case in.Answer.Gone:
		return &CloudError{Code: codeNotFound, Message: "The resource was not found in the service that provides it within " + within + " of the request."}
	}
	message := "The operation did not finish within " + within + "."
	if _, known := meanings(in.Kind, in.Request)[in.state()]; known && !in.Answer.Unreadable {
		message += " The last known state is " + in.state() + "."
	}
	return &CloudError{Code: codeTimedOut, Message: message}
}

// inWords is a duration for people.
func inWords(d time.Duration) string {
	unit, name := time.Second, "seconds"
	switch {
	case d >= 2*time.Hour && d%time.Hour == 0:
		unit, name = time.Hour, "hours"
	case d%time.Minute == 0:
		unit, name = time.Minute, "minutes"
	}
	return fmt.Sprintf("%d %s", d/unit, name)
}

// clip cuts s to at most n bytes, between characters.
func clip(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}
