package operations

import (
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"

	"opfeed/internal/logkey"
	"opfeed/internal/tracing"
)

// describe tells the span of the step which operation it is about, in the words of
// the log. Neither the internal id nor the notification's URI are among them: the
// one may be anything, and the other holds a token.
func (l *look) describe(span trace.Span) {
	if !span.IsRecording() {
		return
	}
	p, about := l.op.properties, l.about()
	span.SetAttributes(attribute.String("kind", about.Kind), attribute.String("request", about.Request),
		tracing.String(logkey.OperationID, l.op.name))
	for key, value := range map[string]string{
		logkey.CorrelationRequestID: p.string("correlationRequestId"),
		logkey.ClientRequestID:      p.string("clientRequestId"),
	} {
		if value != "" {
			span.SetAttributes(tracing.String(key, value))
		}
	}
}
