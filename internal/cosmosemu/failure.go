package cosmosemu

import (
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"
)

// failure is a refusal as the client sees it.
type failure struct {
	status    int
	substatus int
	message   string
	info      string // more for the client to read; empty: none
	charge    float64
	wait      time.Duration // until it is worth trying again; 0: unknown
}

func (f *failure) Error() string { return f.message }

func refuse(status int, format string, args ...any) *failure {
	return &failure{status: status, message: fmt.Sprintf(format, args...)}
}

// because adds the substatus, which tells one cause of a status from another.
func (f *failure) because(substatus int) *failure {
	f.substatus = substatus
	return f
}

func (f *failure) costs(charge float64) *failure {
	f.charge = charge
	return f
}

const (
	substatusPartitionKeyMismatch = 1001
	substatusSessionNotAvailable  = 1002
	substatusRangeGone            = 1002
	substatusOwnerNotFound        = 1003
	substatusCrossPartition       = 1004
	substatusRangeSplitting       = 1007
	substatusRateIsLarge          = 3200
	substatusTokenNotAuthorized   = 5300
)

func asFailure(err error) *failure {
	var f *failure
	if errors.As(err, &f) {
		return f
	}
	return refuse(http.StatusBadRequest, "%v", err)
}

func refusal(err error) *reply {
	f := asFailure(err)
	r := &reply{status: f.status, substatus: f.substatus, charge: f.charge, body: errorBody(errorCode(f.status), f.message, f.info)}
	r.set("x-ms-substatus", strconv.Itoa(f.substatus))
	if f.wait > 0 {
		r.set("x-ms-retry-after-ms", strconv.FormatInt(f.wait.Milliseconds(), 10))
	}
	return r
}

func errorCode(status int) string {
	switch status {
	case http.StatusBadRequest:
		return "BadRequest"
	case http.StatusUnauthorized:
		return "Unauthorized"
	case http.StatusForbidden:
		return "Forbidden"
	case http.StatusNotFound:
		return "NotFound"
	case http.StatusMethodNotAllowed:
		return "MethodNotAllowed"
	case http.StatusConflict:
		return "Conflict"
	case http.StatusGone:
		return "Gone"
	case http.StatusPreconditionFailed:
		return "PreconditionFailed"
	case http.StatusRequestEntityTooLarge:
		return "RequestEntityTooLarge"
	default:
		return strconv.Itoa(status)
	}
}

func errorBody(code, message, info string) []byte {
	body := appendString([]byte(`{"code":`), code)
	body = appendString(append(body, `,"message":`...), message)
	if info != "" {
		body = appendString(append(body, `,"additionalErrorInfo":`...), info)
	}
	return append(body, '}')
}
