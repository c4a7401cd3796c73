package tracing

import (
	"context"
	"sync"
	"time"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.uber.org/zap"
)

// exporter keeps its errors from the SDK's global handler: it logs when sending
// begins to fail and when it works again.
type exporter struct {
	sdktrace.SpanExporter
	name    string
	log     *zap.Logger
	ended   chan struct{} // the SDK has shut it down
	closing chan struct{} // time is over

	mu    sync.Mutex
	since time.Time // when it began to fail
	lost  int
}

func wrap(name string, e sdktrace.SpanExporter, log *zap.Logger) *exporter {
	return &exporter{SpanExporter: e, name: name, log: log, ended: make(chan struct{}), closing: make(chan struct{})}
}

// ExportSpans implements sdktrace.SpanExporter. It returns nil.
func (e *exporter) ExportSpans(ctx context.Context, spans []sdktrace.ReadOnlySpan) error {
	ctx, cancel := context.WithCancel(ctx)
	var group sync.WaitGroup
	defer group.Wait()
	defer cancel()
	group.Go(func() {
		select {
		case <-e.closing:
			cancel()
		case <-ctx.Done():
		}
	})
	e.note(e.SpanExporter.ExportSpans(ctx, spans), len(spans))
	return nil
}

// Shutdown implements sdktrace.SpanExporter. The SDK calls it when the last export
// has ended.
func (e *exporter) Shutdown(ctx context.Context) error {
	defer close(e.ended)
	_ = e.SpanExporter.Shutdown(ctx)
	return nil
}

// end ends an export that is under way, and returns when the SDK is done with the
// exporter: its shutdown leaves a goroutine behind if it takes too long.
func (e *exporter) end() {
	close(e.closing)
	<-e.ended
}

func (e *exporter) note(err error, spans int) {
	e.mu.Lock()
	defer e.mu.Unlock()
	switch {
	case err == nil && !e.since.IsZero():
		e.log.Info("traces are taken again", zap.String("exporter", e.name), zap.Duration("after", time.Since(e.since)), zap.Int("lost", e.lost))
		e.since, e.lost = time.Time{}, 0
	case err != nil:
		e.lost += spans
		if e.since.IsZero() {
			e.since = time.Now()
			e.log.Warn("traces are not taken, spans are lost", zap.String("exporter", e.name), zap.String("error", failure(err)))
		}
	}
}
