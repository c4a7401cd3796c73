package processor

import (
	"context"
	"sync"

	"go.opentelemetry.io/otel/attribute"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"

	"opfeed/internal/logkey"
	"opfeed/internal/tracing"
	"opfeed/processor/dispatch"
	"opfeed/processor/feed"
)

// traceRead reads a page, and makes a span of it if there is anything to tell: an
// idle reader reads four empty pages a second, each with one request.
func (t *tenure) traceRead(ctx context.Context, read func(context.Context) (feed.Page, error)) (feed.Page, error) {
	if t.tracer == nil {
		return read(ctx)
	}
	within, span := t.tracer.Page(ctx)
	page, err := read(within)
	switch {
	case ctx.Err() != nil, err == nil && len(page.Items) == 0 && span.Requests() <= 1: // nothing to tell
	case err != nil:
		span.Tell(ctx, t.spanName("read"), resultError, logkey.Words(err), t.messaging("receive", "read")...)
	default:
		about := append(t.messaging("receive", "read"), semconv.MessagingBatchMessageCount(len(page.Items)), attribute.Int64("opfeed.lsn", page.LSN))
		t.told.add(page, span.Tell(ctx, t.spanName("read"), "", "", about...))
	}
	return page, err
}

// traceStep is the handler's step under a span of its own, which links to the page
// that brought the change.
func (t *tenure) traceStep(ctx context.Context, c dispatch.Change) (dispatch.Apply, error) {
	if t.tracer == nil {
		return t.handler.Handle(ctx, c)
	}
	ctx, span := t.tracer.Start(ctx, t.spanName("process"), trace.SpanKindConsumer, t.pageOf(c), append(t.messaging("process", "process"),
		tracing.String(logkey.SubscriptionID, c.Partition), tracing.String(logkey.DocumentID, c.ID),
		attribute.Stringer("opfeed.source", c.Source), attribute.Int("opfeed.attempt", c.Attempt), attribute.Bool("opfeed.aside", c.Aside))...)
	s := &step{Span: span}
	defer s.endInPanic()
	apply, err := t.handler.Handle(ctx, c)
	s.returned = true
	if err != nil || apply == nil {
		s.end(dispatch.Outcome{}, err)
		return apply, err
	}
	span.AddEvent("looked")
	return func(ctx context.Context) (dispatch.Outcome, error) {
		s.returned = false
		defer s.endInPanic()
		span.AddEvent("apply")
		out, err := apply(trace.ContextWithSpan(ctx, span))
		s.returned = true
		s.end(out, err)
		return out, err
	}, nil
}

// traceRecord stores a quarantine record under a span of its own.
func (t *tenure) traceRecord(ctx context.Context, c dispatch.Change, reason string) error {
	if t.tracer == nil {
		return t.quarantine.add(ctx, t.lease.Token(), c, reason)
	}
	ctx, span := t.tracer.Start(ctx, t.spanName("quarantine"), trace.SpanKindConsumer, t.pageOf(c), append(t.messaging("settle", "quarantine"),
		tracing.String(logkey.SubscriptionID, c.Partition), tracing.String(logkey.DocumentID, c.ID),
		attribute.String("opfeed.reason", tracing.Reason(reason)))...)
	defer span.End()
	err := t.quarantine.add(ctx, t.lease.Token(), c, reason)
	if err != nil {
		tracing.Fail(span, resultError, logkey.Words(err))
	}
	return err
}

// step is the span of one step.
type step struct {
	trace.Span
	returned bool // the handler has, and did not panic
}

func (s *step) end(out dispatch.Outcome, err error) {
	defer s.End()
	if err != nil {
		tracing.Fail(s, resultError, logkey.Words(err))
		return
	}
	s.SetAttributes(attribute.Stringer("opfeed.verdict", out.Verdict), attribute.Bool("opfeed.wrote", out.Wrote))
	if out.Label != "" {
		s.SetAttributes(tracing.String("opfeed.label", out.Label))
	}
	if out.Verdict == dispatch.Quarantine {
		tracing.Fail(s, out.Verdict.String(), tracing.Reason(out.Reason))
	}
}

// endInPanic leaves the panic to who drives the step, and its value out: it may be
// a document.
func (s *step) endInPanic() {
	if !s.returned {
		tracing.Fail(s, "panic", "handler panicked")
		s.End()
	}
}

func (t *tenure) spanName(operation string) string { return operation + " " + t.deps.Monitored.ID() }

// messaging describes the change feed in the words of the semantic conventions.
func (t *tenure) messaging(kind, operation string) []attribute.KeyValue {
	return []attribute.KeyValue{
		semconv.MessagingSystemKey.String(semconv.DBSystemNameAzureCosmosDB.Value.AsString()),
		semconv.MessagingOperationTypeKey.String(kind),
		semconv.MessagingOperationName(operation),
		semconv.MessagingDestinationName(t.deps.Monitored.ID()),
		semconv.MessagingDestinationPartitionID(t.lease.Token()),
	}
}

// pageOf is the span of the page that brought a change, if there is one.
func (t *tenure) pageOf(c dispatch.Change) trace.SpanContext {
	if c.Source != dispatch.Feed {
		return trace.SpanContext{}
	}
	return t.told.of(c.LSN)
}

// pages remembers the spans of the latest pages, by their transactions.
type pages struct {
	mu     sync.Mutex
	latest []toldPage // newest first
}

type toldPage struct {
	from, to int64
	span     trace.SpanContext
}

func (p *pages) add(page feed.Page, span trace.SpanContext) {
	const most = 64
	if len(page.Items) == 0 || !span.IsSampled() {
		return
	}
	one := toldPage{page.Items[0].LSN, page.Items[0].LSN, span}
	for _, item := range page.Items {
		one.from, one.to = min(one.from, item.LSN), max(one.to, item.LSN)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.latest = append([]toldPage{one}, p.latest[:min(len(p.latest), most-1)]...)
}

func (p *pages) of(lsn int64) trace.SpanContext {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, page := range p.latest {
		if page.from <= lsn && lsn <= page.to {
			return page.span
		}
	}
	return trace.SpanContext{}
}
