package cs_test

import (
	"encoding/pem"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"opfeed/cs"
)

// These go over loopback, because what they check is the SDK's transport.

// TestPoolFitsConcurrency: with Go's default of two idle connections most calls
// would dial anew.
func TestPoolFitsConcurrency(t *testing.T) {
	const at, rounds = 16, 20
	var dialled atomic.Int64
	var barrier atomic.Pointer[sync.WaitGroup]
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		wg := barrier.Load()
		wg.Done()
		wg.Wait() // all of a round are in flight at once
		static(200, asJSON, `{"state":"ready"}`)(w, r)
	}))
	server.Config.ConnState = func(_ net.Conn, s http.ConnState) {
		if s == http.StateNew {
			dialled.Add(1)
		}
	}
	server.Start()
	defer server.Close()
	r := newRigOver(t, nil, func(c *cs.Config) { c.URL, c.Concurrency = server.URL, at })
	for range rounds {
		var gate, wg sync.WaitGroup
		gate.Add(at)
		barrier.Store(&gate)
		for range at {
			wg.Go(func() { status(t, r.Client, clusterRef) })
		}
		wg.Wait()
	}
	// Some slack: a connection is back in the pool a little after its reply.
	if n := dialled.Load(); n > 3*at {
		t.Errorf("%d connections for %d rounds of %d calls", n, rounds, at)
	}
	if err := r.Close(); err != nil {
		t.Error(err)
	}
}

func TestDeadlineOverTheNetwork(t *testing.T) {
	release := make(chan struct{})
	for name, h := range map[string]http.HandlerFunc{
		"no header": func(http.ResponseWriter, *http.Request) { <-release },
		"no end of the body": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", asJSON)
			w.Write([]byte(`{"state":`))
			w.(http.Flusher).Flush()
			<-release
		},
	} {
		server := httptest.NewServer(h)
		r := newRigOver(t, nil, func(c *cs.Config) { c.URL, c.Timeout = server.URL, 50*time.Millisecond })
		start := time.Now()
		if _, err := r.Status(t.Context(), clusterRef); sortOf(err) != unavailable {
			t.Errorf("%s: %v", name, err)
		}
		if took := time.Since(start); took > 5*time.Second {
			t.Errorf("%s: took %v", name, took)
		}
		if counts := r.counts(t); counts["Cluster/timeout"] != 1 {
			t.Errorf("%s: counted %v", name, counts)
		}
		defer server.Close()
	}
	close(release)
}

func TestConnectionCut(t *testing.T) {
	for name, h := range map[string]http.HandlerFunc{
		"at once": func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
		"in the body": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", asJSON)
			w.Header().Set("Content-Length", "1000")
			w.Write([]byte(`{"state":"ready","description":"`))
		},
	} {
		server := httptest.NewServer(h)
		r := newRigOver(t, nil, func(c *cs.Config) { c.URL = server.URL })
		if _, err := r.Status(t.Context(), clusterRef); sortOf(err) != unavailable {
			t.Errorf("%s: %v", name, err)
		}
		if counts := r.counts(t); counts["Cluster/connection"] != 1 {
			t.Errorf("%s: counted %v", name, counts)
		}
		server.Close()
		if _, err := r.Status(t.Context(), clusterRef); sortOf(err) != unavailable { // nobody listens
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestTLS(t *testing.T) {
	server := httptest.NewUnstartedServer(static(200, asJSON, `{"state":"ready"}`))
	server.Config.ErrorLog = log.New(io.Discard, "", 0) // of the handshake that must fail
	server.StartTLS()
	defer server.Close()
	file := filepath.Join(t.TempDir(), "ca.pem")
	block := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	if err := os.WriteFile(file, block, 0o600); err != nil {
		t.Fatal(err)
	}
	trusting := newRigOver(t, nil, func(c *cs.Config) { c.URL, c.CAFile = server.URL, file })
	status(t, trusting.Client, clusterRef)
	if err := trusting.Close(); err != nil {
		t.Error(err)
	}
	if _, err := newRigOver(t, nil, func(c *cs.Config) { c.URL = server.URL }).Status(t.Context(), clusterRef); sortOf(err) != unavailable {
		t.Errorf("an unknown authority: %v", err)
	}

	empty := filepath.Join(t.TempDir(), "empty.pem")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	cfg := cs.DefaultConfig()
	cfg.URL, cfg.CAFile = server.URL, empty
	if _, err := cs.New(cfg, cs.Deps{}); err == nil {
		t.Error("a file without certificates is taken for authorities")
	}
}
