package tracing

import (
	"context"
	"errors"
	"io"
	"sync"
	"time"

	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/exporters/stdout/stdouttrace"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"
	"go.uber.org/zap"
)

// flushTimeout bounds how long the end of a process waits for spans to be taken.
const flushTimeout = 2 * time.Second

// Process is what spans say of where they come from, unless the environment says
// it. Instance tells replicas apart.
type Process struct{ Name, Version, Instance string }

// Provider makes the spans of a process and sends them. A nil Provider makes none.
type Provider struct {
	tracers   *sdktrace.TracerProvider
	exporters []*exporter
	running   chan struct{} // closed when spans are sent
}

// FromEnvironment returns a provider as the standard OTEL_ variables ask for one,
// nil if they ask for none. It sends nothing until Run. What is wrong with the
// variables is logged and never in the way of the service: a platform may set
// them for all that runs on it.
//
// environ is the process's own environment, as of os.Environ: the SDK reads it
// itself, too. So there is one provider in a process, and FromEnvironment gives
// log to the SDK, which would write to standard error what it finds wrong, with
// the values of headers.
func FromEnvironment(ctx context.Context, environ []string, console io.Writer, process Process, log *zap.Logger) *Provider {
	names, err := wanted(environ)
	if err != nil {
		log.Warn("environment of tracing is wrong, nothing is traced", zap.Error(err))
	}
	if len(names) == 0 {
		return nil
	}
	logSDK(log)
	var exporters []*exporter
	for _, name := range names {
		target, err := newExporter(ctx, name, console)
		if err != nil {
			log.Warn("exporter of traces cannot be made", zap.String("exporter", name), zap.String("error", Text(err.Error())))
			continue
		}
		exporters = append(exporters, wrap(name, target, log))
	}
	if len(exporters) == 0 {
		return nil
	}
	return newProvider(exporters, sdktrace.WithResource(describe(ctx, process, log)))
}

func newProvider(exporters []*exporter, options ...sdktrace.TracerProviderOption) *Provider {
	return &Provider{tracers: sdktrace.NewTracerProvider(options...), exporters: exporters, running: make(chan struct{})}
}

func newExporter(ctx context.Context, name string, console io.Writer) (sdktrace.SpanExporter, error) {
	if name == exporterConsole {
		return stdouttrace.New(stdouttrace.WithWriter(console))
	}
	return otlptracehttp.New(ctx) // makes no connection yet
}

// describe is the resource: what the environment says goes first.
func describe(ctx context.Context, process Process, log *zap.Logger) *resource.Resource {
	r, err := resource.New(ctx,
		resource.WithSchemaURL(semconv.SchemaURL),
		resource.WithAttributes(semconv.ServiceName(process.Name), semconv.ServiceVersion(process.Version),
			semconv.ServiceInstanceID(process.Instance)),
		resource.WithTelemetrySDK(),
		resource.WithFromEnv(),
	)
	if err != nil { // what was good is in it all the same
		log.Warn("OTEL_RESOURCE_ATTRIBUTES cannot be read")
	}
	return r
}

// Tracers is what all others get: nil for none.
func (p *Provider) Tracers() trace.TracerProvider {
	if p == nil {
		return nil
	}
	return p.tracers
}

// Run sends spans until ctx ends, and then what is left of them, for a bounded
// time. It returns nil.
func (p *Provider) Run(ctx context.Context) error {
	if p == nil {
		return nil
	}
	var senders []sdktrace.SpanProcessor
	for _, e := range p.exporters {
		sender := sdktrace.NewBatchSpanProcessor(e)
		p.tracers.RegisterSpanProcessor(sender)
		senders = append(senders, sender)
	}
	close(p.running)
	<-ctx.Done()
	within, cancel := context.WithTimeoutCause(context.WithoutCancel(ctx), flushTimeout, errors.New("flush timeout"))
	defer cancel()
	// Beside each other: the SDK would end none after one that takes all the time.
	var ending sync.WaitGroup
	for _, sender := range senders {
		ending.Go(func() { _ = sender.Shutdown(within) }) // the exporters tell what fails
	}
	ending.Wait()
	_ = p.tracers.Shutdown(within)
	for _, e := range p.exporters {
		e.end()
	}
	return nil
}
