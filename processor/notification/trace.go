package notification

import (
	"context"
	"errors"
	"net/http"
	"time"

	"go.opentelemetry.io/otel/attribute"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"

	"opfeed/internal/tracing"
)

// trace makes the span of a notification. Of the URI it says what the log may.
func (s *Sender) trace(ctx context.Context, uri string, began time.Time, err error) {
	if !s.tracer.Wants(ctx) {
		return
	}
	call := tracing.Call{Name: http.MethodPost + " notification", Began: began, Attributes: []attribute.KeyValue{
		semconv.HTTPRequestMethodPost, semconv.ServerAddress(Loggable(uri)), attribute.String("opfeed.result", string(resultOf(err))),
	}}
	status := 0
	if refused, ok := errors.AsType[*RefusedError](err); ok {
		status = refused.Status
	}
	if unavailable, ok := errors.AsType[*UnavailableError](err); ok {
		status = unavailable.Status
	}
	if status != 0 { // that of an answer that was no success
		call.Attributes = append(call.Attributes, semconv.HTTPResponseStatusCode(status))
	}
	if err != nil {
		call.Failure, call.Words = string(resultOf(err)), err.Error()
	}
	s.tracer.Record(ctx, call)
}
