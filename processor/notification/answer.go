package notification

import (
	"fmt"
	"net/http"
	"strconv"
	"time"
)

// maxRetryAfter is the longest wait that ARM itself lets a header ask for.
const maxRetryAfter = 10 * time.Minute

// judge says what an answer means, nil for taken. Final is what would be
// answered to the same request for ever, or what says that nobody waits any
// more; whatever may change, or is not known, is worth another try, because who
// calls stops trying at some time anyway.
func judge(status int, header http.Header, now time.Time) error {
	switch status {
	case http.StatusBadRequest, // the same bytes will be no better
		http.StatusGone, // the operation is not waited for
		http.StatusMethodNotAllowed, http.StatusLengthRequired,
		http.StatusRequestEntityTooLarge, http.StatusRequestURITooLong,
		http.StatusUnsupportedMediaType, http.StatusUnprocessableEntity,
		http.StatusRequestHeaderFieldsTooLarge:
		return &RefusedError{Status: status, Reason: answered(status), result: resultFinal}
	}
	switch status / 100 {
	case 2:
		return nil
	case 3:
		return &RefusedError{Status: status, Reason: answered(status) + ": redirects are not followed", result: resultRedirect}
	}
	// 404 is here, since what stands before ARM may have lost it for a while. 401 and
	// 403 are here: ARM may have lost its own way to check a token, or we
	// may be at fault as a whole, and that is no reason to give up each of many.
	return &UnavailableError{
		Status: status, Reason: answered(status), RetryAfter: retryAfter(header, now), result: resultAnswer,
	}
}

func answered(status int) string { return fmt.Sprintf("answered %d", status) }

// retryAfter reads the header's two forms, seconds and a date.
func retryAfter(h http.Header, now time.Time) time.Duration {
	text := h.Get("Retry-After")
	var wait time.Duration
	if seconds, err := strconv.ParseInt(text, 10, 64); err == nil {
		wait = time.Duration(min(max(seconds, 0), int64(maxRetryAfter/time.Second))) * time.Second
	} else if at, err := http.ParseTime(text); err == nil {
		wait = at.Sub(now)
	}
	return min(max(wait, 0), maxRetryAfter)
}
