package tracing

import (
	"context"
	"io"
	"net/http"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/runtime"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
)

// discard is a processor that keeps nothing: what is left is the cost of a span.
type discard struct{}

func (discard) OnStart(context.Context, sdktrace.ReadWriteSpan) {}
func (discard) OnEnd(sdktrace.ReadOnlySpan)                     {}
func (discard) Shutdown(context.Context) error                  { return nil }
func (discard) ForceFlush(context.Context) error                { return nil }

// BenchmarkCall is what tracing adds to a request: to one without a span at all,
// to one that is none of a step's or page's, to one of a page that turns out to be
// empty, and to one of a step.
func BenchmarkCall(b *testing.B) {
	sdk := sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(discard{}))
	on := New(sdk, "bench")
	for name, tracer := range map[string]*Tracer{"off": nil, "outside": on, "empty page": on, "step": on} {
		b.Run(name, func(b *testing.B) {
			ctx := context.Background()
			if name == "step" {
				var span trace.Span
				ctx, span = tracer.Start(ctx, "step", trace.SpanKindInternal, trace.SpanContext{})
				defer span.End()
			}
			b.ReportAllocs()
			for b.Loop() {
				within := ctx
				if name == "empty page" {
					within, _ = tracer.Page(ctx)
				}
				if tracer.Wants(within) {
					tracer.Record(within, Call{Name: "call", Began: time.Now()})
				}
			}
		})
	}
}

// transport answers all at once.
type transport struct{}

func (transport) Do(r *http.Request) (*http.Response, error) {
	return &http.Response{StatusCode: http.StatusOK, Header: http.Header{"X-Ms-Request-Charge": {"1"}}, Body: http.NoBody, Request: r}, nil
}

// BenchmarkCosmos is a request through the pipeline of azcore, without the policy
// and with it.
func BenchmarkCosmos(b *testing.B) {
	sdk := sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(discard{}))
	for _, c := range []struct {
		name     string
		policies []policy.Policy
		step     bool
	}{{"off", nil, false}, {"outside", []policy.Policy{Cosmos(sdk)}, false}, {"step", []policy.Policy{Cosmos(sdk)}, true}} {
		b.Run(c.name, func(b *testing.B) {
			ctx := context.Background()
			if c.step {
				var span trace.Span
				ctx, span = New(sdk, "bench").Start(ctx, "step", trace.SpanKindInternal, trace.SpanContext{})
				defer span.End()
			}
			pipeline := runtime.NewPipeline("bench", "v1", runtime.PipelineOptions{}, &policy.ClientOptions{Transport: transport{}, PerRetryPolicies: c.policies})
			b.ReportAllocs()
			for b.Loop() {
				req, err := runtime.NewRequest(ctx, http.MethodGet, "https://account.test/dbs/db/colls/Resources/docs/id")
				if err != nil {
					b.Fatal(err)
				}
				resp, err := pipeline.Do(req)
				if err != nil {
					b.Fatal(err)
				}
				_, _ = io.Copy(io.Discard, resp.Body)
			}
		})
	}
}
