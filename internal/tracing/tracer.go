package tracing

import (
	"context"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"
)

// Tracer makes the spans of one package. A nil Tracer makes none.
type Tracer struct{ tracer trace.Tracer }

// New returns a tracer whose spans name the package that makes them, nil for a
// provider that is nil.
func New(p trace.TracerProvider, scope string) *Tracer {
	if p == nil {
		return nil
	}
	return &Tracer{p.Tracer("opfeed/"+scope, trace.WithSchemaURL(semconv.SchemaURL))}
}

// Start begins a trace of its own, whatever ctx says: a service runs for months
// under one context. A link that leads nowhere is left out.
func (t *Tracer) Start(ctx context.Context, name string, kind trace.SpanKind, link trace.SpanContext, attributes ...attribute.KeyValue) (context.Context, trace.Span) {
	options := []trace.SpanStartOption{trace.WithNewRoot(), trace.WithSpanKind(kind), trace.WithAttributes(attributes...)}
	if link.IsValid() {
		options = append(options, trace.WithLinks(trace.Link{SpanContext: link}))
	}
	return t.tracer.Start(ctx, name, options...)
}

// Call is one request to another system that is over.
type Call struct {
	Name       string
	Began      time.Time // it ends now
	Attributes []attribute.KeyValue
	// Failure is the type of what went wrong, one word of a few, and Words says
	// more; "": nothing did.
	Failure, Words string
}

// Wants tells whether the requests of a context belong to a page or a step whose
// span is recorded. Others, such as renewals of leases, have none.
func (t *Tracer) Wants(ctx context.Context) bool {
	return t != nil && (trace.SpanFromContext(ctx).IsRecording() || pageOf(ctx) != nil)
}

// Record makes the span of a request under the page or the step of its context.
// It makes it in one go, after the event, since nothing happens below it.
func (t *Tracer) Record(ctx context.Context, c Call) {
	ended := time.Now()
	tell := func(ctx context.Context) {
		_, span := t.tracer.Start(ctx, c.Name, trace.WithTimestamp(c.Began), trace.WithSpanKind(trace.SpanKindClient),
			trace.WithAttributes(c.Attributes...))
		if c.Failure != "" {
			Fail(span, c.Failure, c.Words)
		}
		span.End(trace.WithTimestamp(ended))
	}
	if p := pageOf(ctx); p != nil {
		p.add(tell)
		return
	}
	tell(ctx)
}

// Fail marks a span as failed: kind is one word of a few, words are for people.
func Fail(span trace.Span, kind, words string) {
	span.SetAttributes(semconv.ErrorTypeKey.String(kind))
	span.SetStatus(codes.Error, Text(words))
}
