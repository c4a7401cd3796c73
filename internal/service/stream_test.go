package service

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"opfeed/processor/status"
)

// pipes is a network inside a bubble: what is dialled is accepted.
type pipes struct {
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func newPipes() *pipes { return &pipes{conns: make(chan net.Conn), closed: make(chan struct{})} }

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error   { p.once.Do(func() { close(p.closed) }); return nil }
func (p *pipes) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 8081} }

func (p *pipes) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	ours, theirs := net.Pipe()
	select {
	case p.conns <- theirs:
		return ours, nil
	case <-p.closed:
		return nil, net.ErrClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (p *pipes) client() *http.Client {
	return &http.Client{Transport: &http.Transport{DialContext: p.dial, DisableKeepAlives: true}}
}

// events is an open stream.
type events struct {
	body  io.ReadCloser
	lines *bufio.Scanner
}

func open(t *testing.T, client *http.Client, url string) *events {
	t.Helper()
	resp, err := client.Get(url + "/api/v1/events")
	if err != nil {
		t.Fatal(err)
	}
	if resp.StatusCode != 200 || resp.Header.Get("Content-Type") != "text/event-stream" || resp.Header.Get("Cache-Control") != "no-store" {
		t.Fatalf("status %d, headers %v", resp.StatusCode, resp.Header)
	}
	e := &events{resp.Body, bufio.NewScanner(resp.Body)}
	e.lines.Buffer(nil, 1<<20)
	if !e.lines.Scan() || e.lines.Text() != "retry: 2000" || !e.lines.Scan() || e.lines.Text() != "" {
		t.Fatalf("the stream begins with %q", e.lines.Text())
	}
	return e
}

// next is the next snapshot; false at the end.
func (e *events) next(t *testing.T) (s status.Snapshot, ok bool) {
	t.Helper()
	if !e.lines.Scan() {
		return s, false
	}
	name := e.lines.Text()
	e.lines.Scan()
	data, isData := strings.CutPrefix(e.lines.Text(), "data: ")
	if e.lines.Scan(); name != "event: snapshot" || !isData || e.lines.Text() != "" {
		t.Fatalf("no event: %q, %.40q, %q", name, data, e.lines.Text())
	}
	if err := json.Unmarshal([]byte(data), &s); err != nil {
		t.Fatal(err)
	}
	return s, true
}

// counting counts the snapshots that the engine was asked for.
func counting(n *atomic.Int64) func(*Service) {
	return func(s *Service) {
		wire := s.wire
		s.wire = func(st *stores) (*engine, error) {
			e, err := wire(st)
			e.snapshot = func() status.Snapshot {
				return status.Snapshot{Instance: "\u2028\n</script>", Now: time.Now(), Waiting: int(n.Add(1))}
			}
			return e, err
		}
	}
}

func TestStreams(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var listed atomic.Bool
		var asked atomic.Int64
		admin := newPipes()
		r := start(t, testConfig(t), Deps{Cosmos: newAccount(), CS: &clusterService{}, AdminListener: admin}, idle(&listed), counting(&asked))
		pause(t.Context(), 10*time.Second)
		client := admin.client()
		const url = "http://127.0.0.1"

		// Nobody watches: only the history asks.
		before := asked.Load()
		pause(t.Context(), time.Minute)
		if n := asked.Load() - before; n < 11 || n > 13 {
			t.Errorf("%d snapshots in a minute without a page, want 12", n)
		}

		var streams []*events
		for range mostStreams - 1 {
			streams = append(streams, open(t, client, url))
		}
		var read sync.WaitGroup
		for _, s := range streams {
			read.Go(func() {
				for range 91 { // the first comes at once
					if snap, ok := s.next(t); !ok || snap.Instance != "\u2028\n</script>" {
						t.Errorf("have %+v, %v", snap, ok)
						return
					}
				}
			})
		}
		began, before := time.Now(), asked.Load()
		read.Wait()
		if took := time.Since(began); took < 89*time.Second || took > 91*time.Second {
			t.Errorf("90 events took %v", took)
		}
		if n := asked.Load() - before; n < 100 || n > 90+18+mostStreams {
			t.Errorf("%d snapshots in 90 s with %d pages: want one a second for all", n, len(streams))
		}

		// The sixteenth reads nothing, and holds nobody up; the seventeenth is refused.
		slow := open(t, client, url)
		resp, err := client.Get(url + "/api/v1/events")
		if err != nil {
			t.Fatal(err)
		}
		if resp.StatusCode != http.StatusServiceUnavailable || resp.Header.Get("Content-Type") != "application/json" {
			t.Errorf("one too many: %d %v", resp.StatusCode, resp.Header)
		}
		_ = resp.Body.Close()
		for _, s := range streams[1:] {
			go func() {
				for ok := true; ok; _, ok = s.next(t) {
				}
			}()
		}
		began = time.Now()
		for range 10 {
			streams[0].next(t)
		}
		if took := time.Since(began); took > 11*time.Second {
			t.Errorf("beside one that does not read 10 events took %v", took)
		}
		// streams[0] is not read from here on, either: both are dropped in time.
		pause(t.Context(), 2*frameTimeout)
		r.frames.mu.Lock()
		left := r.frames.streams
		r.frames.mu.Unlock()
		if left != mostStreams-2 {
			t.Errorf("%d streams are left, want %d", left, mostStreams-2)
		}
		_, _ = slow.body.Close(), streams[0].body.Close()
		// A page that is closed gives its place back.
		last := open(t, client, url)
		last.next(t)
		_ = last.body.Close()
		pause(t.Context(), 2*time.Second)
		if r.frames.mu.Lock(); r.frames.streams != mostStreams-2 {
			t.Errorf("%d streams after one was closed", r.frames.streams)
		}
		r.frames.mu.Unlock()

		began = time.Now()
		r.stop()
		if err := <-r.result; err != nil || time.Since(began) > 100*time.Millisecond {
			t.Errorf("stopped after %v with %v", time.Since(began), err)
		}
		if r.logs.FilterMessage("connections closed before their end").Len() > 0 {
			t.Error("streams had to be cut off")
		}
	})
}

// TestStreamOverLoopback is the same in short over real sockets.
func TestStreamOverLoopback(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var listed atomic.Bool
	r := start(t, testConfig(t), Deps{Cosmos: newAccount(), CS: &clusterService{}, AdminListener: l}, idle(&listed))
	client := &http.Client{}
	defer client.CloseIdleConnections()
	e := open(t, client, "http://"+l.Addr().String())
	for range 3 {
		if _, ok := e.next(t); !ok {
			t.Fatal("the stream has ended")
		}
	}
	r.stop()
	for ok := true; ok; _, ok = e.next(t) {
	}
	if err := <-r.result; err != nil {
		t.Error(err)
	}
	if n := r.logs.FilterMessage("connections closed before their end").Len(); n > 0 {
		t.Error("the stream had to be cut off")
	}
}
