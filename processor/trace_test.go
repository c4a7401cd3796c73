package processor_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.opentelemetry.io/otel/codes"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"

	"opfeed/internal/inproc"
	"opfeed/processor"
)

// TestSpansOfALibrary: a user's function finds the span of its step, one that
// panics leaves none open and none that says with what, and a feed that fails is seen.
func TestSpansOfALibrary(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLibrary(t, stringKey, 1)
		spans := tracetest.NewInMemoryExporter()
		var away atomic.Bool
		deps := l.deps(&faulty{next: inproc.New(l.emu), before: func(r *http.Request) error {
			if away.Load() && isFeed(r) {
				return errors.New("dial https://account.test/dbs?token=5ecret: refused")
			}
			return nil
		}})
		deps.Tracing = sdktrace.NewTracerProvider(sdktrace.WithSyncer(spans))
		l.hang = func(ctx context.Context, i processor.Item) error {
			if !trace.SpanFromContext(ctx).IsRecording() {
				t.Error("no span in the function's context")
			}
			if i.ID == "bad" {
				panic("5ecret document")
			}
			return nil
		}
		l.startWith(deps, fromBeginning)
		time.Sleep(10 * time.Second)
		away.Store(true)
		time.Sleep(2 * time.Second)
		away.Store(false)
		time.Sleep(10 * time.Second)
		l.put(doc{ID: "good", Value: "1"})
		l.put(doc{ID: "bad", Value: "1"})
		time.Sleep(5 * time.Second)

		seen := map[string]int{}
		for _, s := range spans.GetSpans() {
			line := s.Name
			if s.Status.Code == codes.Error {
				line += " !" + s.Status.Description
			}
			if strings.HasPrefix(s.Name, "read ") && s.Status.Code == codes.Error {
				line = "read fails"
			}
			seen[line]++
			for _, a := range s.Attributes {
				line += a.Value.String()
			}
			if strings.Contains(line+s.Status.Description, "5ecret") || s.Parent.IsValid() {
				t.Errorf("span %s, parent %v, %s", line, s.Parent, s.Status.Description)
			}
		}
		for _, want := range []string{"process orders", "process orders !handler panicked", "quarantine orders"} {
			if seen[want] != 1 {
				t.Errorf("%d spans %q in %v", seen[want], want, seen)
			}
		}
		if seen["read orders"] == 0 || seen["read fails"] == 0 || len(seen) != 5 {
			t.Errorf("have %v", seen)
		}
	})
}
