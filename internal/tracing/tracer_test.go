package tracing

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"testing"
	"time"

	"go.opentelemetry.io/otel/codes"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"
)

// TestRootsHaveNoParent: a service runs for months under one context, which may
// hold a span of whoever started it.
func TestRootsHaveNoParent(t *testing.T) {
	t.Parallel()
	spans := tracetest.NewInMemoryExporter()
	tracer := New(sdktrace.NewTracerProvider(sdktrace.WithSyncer(spans)), "test")
	above, outer := tracer.Start(t.Context(), "outer", trace.SpanKindInternal, trace.SpanContext{})
	_, span := tracer.Start(above, "step", trace.SpanKindConsumer, outer.SpanContext())
	span.End()
	within, page := tracer.Page(above)
	tracer.Record(within, Call{Name: "in time", Began: time.Now()})
	page.Tell(above, "page", "", "")
	tracer.Record(within, Call{Name: "too late", Began: time.Now()})
	var names []string
	for _, s := range spans.GetSpans() {
		names = append(names, s.Name)
		if s.Parent.IsValid() != (s.Name == "in time") || s.Parent.SpanID() == outer.SpanContext().SpanID() || len(s.Links) != 0 && s.Name != "step" {
			t.Errorf("%s has parent %v, links %v", s.Name, s.Parent, s.Links)
		}
	}
	if !slices.Equal(names, []string{"step", "in time", "page"}) {
		t.Errorf("have %q", names)
	}
}

func TestWhatIsNotSampledIsNotTold(t *testing.T) {
	t.Parallel()
	spans := tracetest.NewInMemoryExporter()
	tracer := New(sdktrace.NewTracerProvider(sdktrace.WithSyncer(spans), sdktrace.WithSampler(sdktrace.NeverSample())), "test")
	ctx, span := tracer.Start(t.Context(), "step", trace.SpanKindConsumer, trace.SpanContext{})
	if tracer.Wants(ctx) {
		t.Error("requests of a step that is not sampled are wanted")
	}
	span.End()
	within, page := tracer.Page(t.Context())
	tracer.Record(within, Call{Name: "call", Began: time.Now()})
	if told := page.Tell(t.Context(), "page", "", ""); told.IsSampled() || len(spans.GetSpans()) != 0 {
		t.Errorf("have %v", spans.GetSpans())
	}
}

func TestCosmosCalls(t *testing.T) {
	t.Parallel()
	const docs = "https://account.test/dbs/db/colls/Resources/docs"
	for _, c := range []struct {
		method, url, header string
		status              int
		err                 error
		name, failure       string
	}{
		{http.MethodGet, docs + "/id?x=5ecret", "", 200, nil, "read_item Resources", ""},
		{http.MethodGet, docs, "A-IM", 304, nil, "query_change_feed Resources", ""},
		{http.MethodPost, docs, "x-ms-documentdb-query", 200, nil, "query_items Resources", ""},
		{http.MethodPost, docs, "x-ms-cosmos-is-query-plan-request", 200, nil, "query_items Resources", ""},
		{http.MethodPost, docs, "x-ms-cosmos-is-batch-request", 412, nil, "execute_batch Resources", ""},
		{http.MethodPost, docs, "x-ms-documentdb-is-upsert", 201, nil, "upsert_item Resources", ""},
		{http.MethodPost, docs, "", 409, nil, "create_item Resources", ""},
		{http.MethodPut, docs + "/id", "", 200, nil, "replace_item Resources", ""},
		{http.MethodPatch, docs + "/id", "", 400, nil, "patch_item Resources", "400"},
		{http.MethodDelete, docs + "/id", "", 404, nil, "delete_item Resources", ""},
		{http.MethodGet, docs + "/id", "", 429, nil, "read_item Resources", "429"},
		{http.MethodGet, docs + "/id", "", 0, context.DeadlineExceeded, "read_item Resources", "timeout"},
		{http.MethodGet, docs + "/id", "", 0, context.Canceled, "read_item Resources", "canceled"},
		{http.MethodGet, docs + "/id", "", 0, errors.New("5ecret"), "read_item Resources", "connection"},
		{http.MethodGet, "https://account.test/dbs/db/colls/Resources/pkranges", "", 200, nil, "read_partition_key_ranges Resources", ""},
		{http.MethodGet, "https://account.test/dbs/db/colls/Resources", "", 200, nil, "read_container Resources", ""},
		{http.MethodGet, "https://account.test/dbs/db", "", 200, nil, "read_database", ""},
		{http.MethodGet, "https://account.test/", "", 503, nil, "read_account", "503"},
	} {
		req, err := http.NewRequestWithContext(t.Context(), c.method, c.url, http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		if c.header != "" {
			req.Header.Set(c.header, "True")
		}
		var resp *http.Response
		if c.status != 0 {
			resp = &http.Response{StatusCode: c.status, Header: http.Header{"X-Ms-Substatus": {"1002"}, "X-Ms-Request-Charge": {"NaN"}}}
		}
		call := cosmosCall(req, resp, c.err, time.Now())
		if call.Name != c.name || call.Failure != c.failure || (call.Words == "") != (c.failure == "") {
			t.Errorf("%s %s: have %q, %q, %q", c.method, c.url, call.Name, call.Failure, call.Words)
		}
		for _, a := range call.Attributes {
			if s := a.Value.String(); s == "NaN" || s == "id" || s == "5ecret" {
				t.Errorf("%s %s: %s is %s", c.method, c.url, a.Key, s)
			}
		}
	}
}

func TestFailureIsBounded(t *testing.T) {
	t.Parallel()
	spans := tracetest.NewInMemoryExporter()
	tracer := New(sdktrace.NewTracerProvider(sdktrace.WithSyncer(spans)), "test")
	_, span := tracer.Start(t.Context(), "step", trace.SpanKindConsumer, trace.SpanContext{})
	Fail(span, "error", "get http://h/p?token=s3cret: \xff"+string(make([]byte, 10_000)))
	span.End()
	if s := spans.GetSpans()[0].Status; s.Code != codes.Error || len(s.Description) > maxText+len("…") || Text(s.Description) != s.Description {
		t.Errorf("have %+v", s)
	}
}
