package inproc_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"

	"opfeed/internal/inproc"
)

func get(t *testing.T, next http.RoundTripper, url string) (*http.Response, error) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	return next.RoundTrip(req)
}

// A handler that closes the connection looks the same in process and through
// net/http: as an error before its first flush, as a short body after it.
func TestClosedConnection(t *testing.T) {
	for name, c := range map[string]struct {
		handler http.HandlerFunc
		want    string // the body that arrives; none: an error in place of a response
	}{
		"before anything": {func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, ""},
		"before a flush": {func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, "lost")
			panic(http.ErrAbortHandler)
		}, ""},
		"in the body": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "10")
			_, _ = io.WriteString(w, "half ")
			_ = http.NewResponseController(w).Flush()
			panic(http.ErrAbortHandler)
		}, "half "},
	} {
		t.Run(name, func(t *testing.T) {
			server := httptest.NewServer(c.handler)
			t.Cleanup(server.Close)
			for way, next := range map[string]http.RoundTripper{"socket": http.DefaultTransport, "in process": inproc.New(c.handler)} {
				resp, err := get(t, next, server.URL)
				if c.want == "" {
					if err == nil {
						t.Errorf("%s: no error", way)
						_ = resp.Body.Close()
					}
					continue
				}
				if err != nil {
					t.Errorf("%s: %v", way, err)
					continue
				}
				body, err := io.ReadAll(resp.Body)
				_ = resp.Body.Close()
				if string(body) != c.want || !errors.Is(err, io.ErrUnexpectedEOF) {
					t.Errorf("%s: read %q, %v; want %q and an unexpected end", way, body, err, c.want)
				}
			}
		})
	}
}

// Whoever gave up sees that, not how the handler ended.
func TestContextEndsFirst(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	transport := inproc.New(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		cancel()
		panic(http.ErrAbortHandler)
	}))
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://emulated.test", nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := transport.RoundTrip(req)
	if err == nil {
		_ = resp.Body.Close()
	}
	if !errors.Is(err, context.Canceled) {
		t.Errorf("have %v, want %v", err, context.Canceled)
	}
}
