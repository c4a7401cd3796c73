package browser_test

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"sync"
	"testing"
	"time"

	"opfeed/internal/service"
	"opfeed/processor/status"
	"opfeed/processor/status/page"
)

// server tells the page what a test wants it to hear: the contract of /api/v1,
// served from values.
type server struct {
	t       *testing.T
	address string
	tick    time.Duration // between two events

	http *http.Server
	done chan struct{} // closed when it has stopped

	mu          sync.Mutex
	snapshot    service.Snapshot
	changes     []status.Change
	transitions []status.Transition
	history     status.History
	refuse      bool          // streams get 503
	mute        bool          // streams get no snapshot
	broken      bool          // everything but streams gets 500
	queries     []string      // of /api/v1/operations
	ahead       time.Duration // of its clock
	lag         int           // events that pass before a question is answered
	sent        int           // events so far
	another     chan struct{} // closed with the next event
	held        []string      // questions whose answer had to wait
	dropped     []string      // those that were taken back before it
	streams     int           // open ones
	idle        chan struct{} // gets a value when there is none any more
}

// serve starts a server that ends with the test. It sends events faster than
// the service does, so that no test waits for seconds.
func serve(t *testing.T, fill func(*server)) *server {
	t.Helper()
	s := &server{t: t, tick: 50 * time.Millisecond, idle: make(chan struct{}, 1), address: "127.0.0.1:0", another: make(chan struct{})}
	fill(s)
	s.up()
	t.Cleanup(s.down)
	return s
}

// up listens, on the port of the last time if there was one.
func (s *server) up() {
	s.t.Helper()
	l, err := (&net.ListenConfig{}).Listen(s.t.Context(), "tcp", s.address)
	if err != nil {
		s.t.Fatal(err)
	}
	s.address, s.done = l.Addr().String(), make(chan struct{})
	s.http = &http.Server{Handler: s.handler()}
	go func(h *http.Server, done chan struct{}) {
		defer close(done)
		_ = h.Serve(l)
	}(s.http, s.done)
}

// down breaks every connection, as a killed process does.
func (s *server) down() {
	_ = s.http.Close()
	<-s.done
}

func (s *server) url() string { return "http://" + s.address + "/" }

// set changes what is told from now on.
func (s *server) set(change func(*server)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change(s)
}

// until waits until a condition holds, looking after each event.
func (s *server) until(holds func(*server) bool) {
	s.t.Helper()
	timer := time.NewTimer(patience)
	defer timer.Stop()
	for {
		s.mu.Lock()
		ok, another := holds(s), s.another
		s.mu.Unlock()
		if ok {
			return
		}
		select {
		case <-another:
		case <-timer.C:
			s.t.Fatal("the server never saw it")
		}
	}
}

func (s *server) handler() http.Handler {
	mux := http.NewServeMux()
	answer := func(path string, value func(url.Values) any) {
		mux.HandleFunc("GET "+path, func(w http.ResponseWriter, r *http.Request) {
			if !s.lags(r) {
				return
			}
			s.mu.Lock()
			defer s.mu.Unlock()
			if s.broken {
				http.Error(w, "broken", http.StatusInternalServerError)
				return
			}
			w.Header().Set("Content-Type", "application/json")
			_ = json.NewEncoder(w).Encode(value(r.URL.Query()))
		})
	}
	answer("/api/v1/snapshot", func(url.Values) any { return s.now() })
	answer("/api/v1/operations", func(q url.Values) any {
		s.queries = append(s.queries, q.Encode())
		query, err := status.ParseQuery(q)
		if err != nil {
			s.t.Errorf("the page asks %s: %v", q.Encode(), err)
		}
		o := query.Select(s.changes)
		o.Now = time.Now().Add(s.ahead)
		return o
	})
	answer("/api/v1/transitions", func(url.Values) any {
		return map[string]any{"transitions": s.transitions}
	})
	answer("/api/v1/history", func(url.Values) any { return s.history })
	mux.HandleFunc("GET /api/v1/events", s.events)
	mux.Handle("GET /", page.Handler())
	return mux
}

// lags waits until it is time to answer; false if the question is taken back.
func (s *server) lags(r *http.Request) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.lag > 0 {
		s.held = append(s.held, r.URL.RequestURI())
	}
	for began := s.sent; s.sent < began+s.lag; {
		another := s.another
		s.mu.Unlock()
		select {
		case <-another:
		case <-r.Context().Done():
		}
		s.mu.Lock()
		if r.Context().Err() != nil {
			s.dropped = append(s.dropped, r.URL.RequestURI())
			return false
		}
	}
	return true
}

func (s *server) events(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	refuse := s.refuse
	s.mu.Unlock()
	if refuse {
		http.Error(w, "too many streams", http.StatusServiceUnavailable)
		return
	}
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("Cache-Control", "no-store")
	s.set(func(s *server) { s.streams++ })
	defer s.set(func(s *server) {
		if s.streams--; s.streams == 0 {
			select {
			case s.idle <- struct{}{}:
			default:
			}
		}
	})
	ticker := time.NewTicker(s.tick)
	defer ticker.Stop()
	for {
		s.mu.Lock()
		text, err := json.Marshal(s.now())
		mute := s.mute
		s.mu.Unlock()
		if err != nil {
			return
		}
		if mute {
			text = nil // an event, but no snapshot
		}
		if _, err := fmt.Fprintf(w, "event: snapshot\ndata: %s\n\n", text); err != nil {
			return
		}
		if err := http.NewResponseController(w).Flush(); err != nil {
			return
		}
		s.set(func(s *server) {
			s.sent++
			close(s.another)
			s.another = make(chan struct{})
		})
		select {
		case <-ticker.C:
		case <-r.Context().Done():
			return
		}
	}
}

// now is the snapshot of this moment.
func (s *server) now() service.Snapshot {
	snap := s.snapshot
	snap.Now = time.Now().Add(s.ahead)
	snap.QuarantinedTotal = max(snap.QuarantinedTotal, len(snap.Quarantined))
	return snap
}
