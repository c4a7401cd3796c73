package tracing

import (
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.opentelemetry.io/otel/attribute"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
	"go.uber.org/goleak"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
)

// collector keeps what it is sent, by path.
type collector struct {
	*httptest.Server
	mu   sync.Mutex
	sent map[string][]string
}

func newCollector(t *testing.T) *collector {
	c := &collector{sent: map[string][]string{}}
	c.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body := io.Reader(r.Body)
		if r.Header.Get("Content-Encoding") == "gzip" {
			var err error
			if body, err = gzip.NewReader(r.Body); err != nil {
				http.Error(w, err.Error(), http.StatusBadRequest)
				return
			}
		}
		all, err := io.ReadAll(body)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		c.sent[r.URL.Path] = append(c.sent[r.URL.Path], string(all))
	}))
	t.Cleanup(c.Close)
	return c
}

// ran runs a provider of this process's environment around some work.
func ran(t *testing.T, log *zap.Logger, work func(trace.TracerProvider)) {
	t.Helper()
	p := FromEnvironment(t.Context(), os.Environ(), io.Discard, Process{Name: "opfeed", Version: "v1", Instance: "replica-1"}, log)
	if p == nil {
		t.Fatal("nothing is traced")
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- p.Run(ctx) }()
	<-p.running
	work(p.Tracers())
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// step makes one span with what a hostile document may hold.
func step(p trace.TracerProvider) {
	_, span := New(p, "test").Start(context.Background(), "process Resources", trace.SpanKindConsumer, trace.SpanContext{},
		String("correlation_request_id", "c0rrelation\xff\xfe"), attribute.Int("opfeed.attempt", 0))
	Fail(span, "error", "wrong\xff")
	span.End()
}

// TestSpansReachACollector: what cannot be written as UTF-8 would keep all of them
// from it.
func TestSpansReachACollector(t *testing.T) {
	for _, c := range []struct{ name, protocol, compression string }{
		{"protobuf", "http/protobuf", "none"},
		{"json", "http/json", "gzip"},
	} {
		t.Run(c.name, func(t *testing.T) {
			server := newCollector(t)
			t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", server.URL)
			t.Setenv("OTEL_EXPORTER_OTLP_PROTOCOL", c.protocol)
			t.Setenv("OTEL_EXPORTER_OTLP_COMPRESSION", c.compression)
			t.Setenv("OTEL_SERVICE_NAME", "checkout")
			t.Setenv("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=test")
			ran(t, zap.NewNop(), step)

			all := server.sent["/v1/traces"]
			if len(all) != 1 || len(server.sent) != 1 {
				t.Fatalf("received %q", server.sent)
			}
			for _, text := range []string{"service.name", "checkout", "deployment.environment.name", "service.instance.id", "replica-1",
				"process Resources", "correlation_request_id", "c0rrelation", "wrong", "opfeed/test"} {
				if !strings.Contains(all[0], text) {
					t.Errorf("%q is missing in %q", text, all[0])
				}
			}
			if c.protocol == "http/json" && !json.Valid([]byte(all[0])) {
				t.Errorf("no JSON: %q", all[0])
			}
		})
	}
}

func TestSamplerOfTheEnvironment(t *testing.T) {
	server := newCollector(t)
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", server.URL)
	t.Setenv("OTEL_TRACES_SAMPLER", "always_off")
	ran(t, zap.NewNop(), step)
	if len(server.sent) != 0 {
		t.Errorf("received %q", server.sent)
	}
}

func TestConsole(t *testing.T) {
	t.Setenv("OTEL_TRACES_EXPORTER", "console")
	var out strings.Builder
	p := FromEnvironment(t.Context(), os.Environ(), &out, Process{Name: "opfeed"}, zap.NewNop())
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	done := make(chan error)
	go func() { done <- p.Run(ctx) }()
	<-p.running
	step(p.Tracers())
	cancel()
	<-done
	if !strings.Contains(out.String(), "process Resources") {
		t.Errorf("written: %q", out.String())
	}
}

// TestOffIsNothing: no provider, no goroutine, no span.
func TestOffIsNothing(t *testing.T) {
	before := goleak.IgnoreCurrent()
	p := FromEnvironment(t.Context(), []string{"PATH=/bin"}, io.Discard, Process{}, zap.NewNop())
	if p != nil || p.Tracers() != nil || New(p.Tracers(), "x") != nil {
		t.Errorf("have %v", p)
	}
	if err := p.Run(t.Context()); err != nil {
		t.Error(err)
	}
	if New(nil, "x").Wants(t.Context()) {
		t.Error("a nil tracer wants requests")
	}
	if n := testing.AllocsPerRun(100, func() { New(nil, "x").Wants(t.Context()) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
	goleak.VerifyNone(t, before)
}

// TestMalformedVariables: the SDK would write them to standard error, values and all.
func TestMalformedVariables(t *testing.T) {
	core, logs := observer.New(zap.DebugLevel)
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://user:s3cret@127.0.0.1:1")
	t.Setenv("OTEL_EXPORTER_OTLP_HEADERS", "authorization s3cret")
	t.Setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "s3cret")
	t.Setenv("OTEL_TRACES_SAMPLER", "sometimes")
	t.Setenv("OTEL_RESOURCE_ATTRIBUTES", "s3cret")
	ran(t, zap.New(core), step)
	said := 0
	for _, e := range logs.All() {
		for _, field := range e.Context {
			if strings.Contains(field.String, "s3cret") {
				t.Errorf("%s: %s", e.Message, field.String)
			}
		}
		if e.Level == zap.WarnLevel {
			said++
		}
	}
	if said < 4 {
		t.Errorf("logged %d lines: %v", said, logs.All())
	}
}

// receiver is an exporter whose other end fails or hangs.
type receiver struct {
	fails atomic.Bool
	hangs bool
}

func (r *receiver) ExportSpans(ctx context.Context, _ []sdktrace.ReadOnlySpan) error {
	if r.hangs {
		<-ctx.Done()
		return ctx.Err()
	}
	if r.fails.Load() {
		return errors.New("failed to send to http://c: 401 (body: s3cret)")
	}
	return nil
}

func (*receiver) Shutdown(context.Context) error { return nil }

func TestTroubleIsToldOncePerChange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		core, logs := observer.New(zap.DebugLevel)
		r := &receiver{}
		p := newProvider([]*exporter{wrap("otlp", r, zap.New(core))})
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- p.Run(ctx) }()
		synctest.Wait()
		for i := range 40 {
			r.fails.Store(i >= 10 && i < 30)
			step(p.Tracers())
			pause(ctx, 10*time.Second)
		}
		var lines []string
		for _, e := range logs.All() {
			lines = append(lines, e.Message)
		}
		if have := strings.Join(lines, "; "); have != "traces are not taken, spans are lost; traces are taken again" {
			t.Errorf("logged: %s", have)
		}
		if all := logs.All(); len(all) == 2 {
			if text, _ := all[0].ContextMap()["error"].(string); strings.Contains(text, "s3cret") || !strings.Contains(text, "401") {
				t.Errorf("error: %q", text)
			}
			if all[1].ContextMap()["lost"] != int64(20) {
				t.Errorf("have %v", all[1].ContextMap())
			}
		}
		cancel()
		<-done
	})
}

// TestACollectorThatHangsDelaysNoEnd: the bubble checks that nothing stays behind.
func TestACollectorThatHangsDelaysNoEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newProvider([]*exporter{wrap("otlp", &receiver{hangs: true}, zap.NewNop())})
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- p.Run(ctx) }()
		synctest.Wait()
		for range 5000 { // more than the queue holds: nobody waits
			step(p.Tracers())
		}
		began := time.Now()
		cancel()
		if err := <-done; err != nil || time.Since(began) > flushTimeout {
			t.Errorf("ended after %v with %v", time.Since(began), err)
		}
	})
}

// TestACollectorThatHangsKeepsNothingFromTheOthers: the SDK ends one after the other,
// and none any more once time is over.
func TestACollectorThatHangsKeepsNothingFromTheOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		kept := &keeper{}
		p := newProvider([]*exporter{
			wrap("otlp", &receiver{hangs: true}, zap.NewNop()), wrap("console", kept, zap.NewNop()),
		})
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- p.Run(ctx) }()
		synctest.Wait()
		step(p.Tracers())
		began := time.Now()
		cancel()
		select {
		case err := <-done:
			if err != nil || time.Since(began) > flushTimeout {
				t.Errorf("ended after %v with %v", time.Since(began), err)
			}
		case <-time.After(time.Hour):
			t.Fatal("still runs after an hour")
		}
		if n := kept.spans.Load(); n != 1 {
			t.Errorf("the other one has got %d spans", n)
		}
	})
}

// keeper counts the spans that it is given.
type keeper struct{ spans atomic.Int64 }

func (*keeper) Shutdown(context.Context) error { return nil }

func (k *keeper) ExportSpans(_ context.Context, spans []sdktrace.ReadOnlySpan) error {
	k.spans.Add(int64(len(spans)))
	return nil
}

func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}
