package tracing

import (
	"context"
	"sync"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"
)

// Page is a read of the change feed, whose span is made if Tell says that it is
// worth one: an idle reader reads four empty pages a second.
type Page struct {
	tracer *Tracer
	began  time.Time

	mu    sync.Mutex
	calls []func(context.Context)
}

type pageKey struct{}

func pageOf(ctx context.Context) *Page {
	p, _ := ctx.Value(pageKey{}).(*Page)
	return p
}

// Page begins to read a page. The requests of the context that it returns are
// told with it.
func (t *Tracer) Page(ctx context.Context) (context.Context, *Page) {
	p := &Page{tracer: t, began: time.Now()}
	return context.WithValue(ctx, pageKey{}, p), p
}

// add keeps a request until the page is told. One that ends later, of a goroutine
// of azcosmos', is told nowhere.
func (p *Page) add(call func(context.Context)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.calls = append(p.calls, call)
}

// Requests is how many requests it took so far.
func (p *Page) Requests() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.calls)
}

// Tell makes the span of a page that was read, and those of its requests. failure
// and words are as in a Call. It returns what others can link to.
func (p *Page) Tell(ctx context.Context, name, failure, words string, attributes ...attribute.KeyValue) trace.SpanContext {
	ended := time.Now()
	ctx, span := p.tracer.tracer.Start(ctx, name, trace.WithNewRoot(), trace.WithTimestamp(p.began),
		trace.WithSpanKind(trace.SpanKindConsumer), trace.WithAttributes(attributes...))
	if failure != "" {
		Fail(span, failure, words)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, call := range p.calls {
		call(ctx)
	}
	span.End(trace.WithTimestamp(ended))
	return span.SpanContext()
}
