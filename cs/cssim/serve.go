package cssim

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
	"time"

	"opfeed/cs"
	"opfeed/internal/fault"
)

// maxBody bounds what a client may post.
const maxBody = 1 << 20

// request is one call. When it is applied, its wait is over.
type request struct {
	*http.Request
	api      api
	kind     string
	ref      cs.Ref // of a collection: without the last id
	agent    string
	received time.Time
	faults   []string // their names
	effect   Effect   // of all of them
	now      time.Time
	asOf     time.Time // when what a reader is shown was true
}

// answer is what a call gives: a status and, unless 204, a body.
type answer struct {
	status int
	body   any
}

// failure is an error that is told to the client.
type failure struct {
	status int
	reason string
}

func (f *failure) Error() string { return f.reason }

// serve answers one call under the faults that hit it, and logs it.
func (s *Server) serve(w http.ResponseWriter, req request, apply func(request) (answer, error)) {
	req.agent, req.received = agentOf(req.Request), time.Now()
	// First of all: net/http notices a client that goes away only once it has
	// read the request.
	if err := req.read(); err != nil {
		s.log(req, http.StatusRequestEntityTooLarge)
		s.fail(w, req.api, err)
		return
	}
	hits := s.faults.Fire(req.attribute)
	req.effect, req.faults = merge(hits), names(hits)
	e := req.effect.Effect
	e.Before += fault.Duration(s.latency(req.ref))
	fault.Serve(w, req.Request, e, fault.Answers{
		Apply: func(w http.ResponseWriter, _ *http.Request) {
			answer, err := s.apply(req, apply)
			if err != nil {
				answer = s.failed(req.api, err)
			}
			writeJSON(w, answer.status, req.effect.alter(answer.body))
		},
		Refuse: func(w http.ResponseWriter, e fault.Effect) {
			answer := s.failed(req.api, &failure{e.Status, cmp.Or(req.effect.Reason, http.StatusText(e.Status))})
			writeJSON(w, answer.status, req.effect.alter(answer.body))
		},
		Ended: func(end fault.End) { s.log(req, end.Status) },
	})
}

// read takes in the body.
func (r *request) read() error {
	body, err := io.ReadAll(http.MaxBytesReader(nil, r.Body, maxBody))
	if err != nil {
		return &failure{http.StatusRequestEntityTooLarge, "The request body is too long"}
	}
	r.Body = io.NopCloser(strings.NewReader(string(body)))
	return nil
}

// apply runs under the lock.
func (s *Server) apply(req request, apply func(request) (answer, error)) (answer, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	req.now = time.Now()
	req.asOf = req.now.Add(-time.Duration(req.effect.Stale))
	return apply(req)
}

// latency draws from the object's own sequence, so that what happens to others
// does not change it; nor do faults, since every request counts.
func (s *Server) latency(k cs.Ref) time.Duration {
	if s.options.LatencyJitter <= 0 {
		return s.options.Latency
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	var n uint64
	if o := s.objects[k]; o != nil {
		o.reads++
		n = o.reads
	}
	r := rand.New(rand.NewPCG(s.options.Seed, ^hash(k.Path(), n)))
	return s.options.Latency + time.Duration(r.Float64()*float64(s.options.LatencyJitter))
}

// readJSON reads one JSON object and nothing after it.
func readJSON(r *http.Request, into any) error {
	decoder := json.NewDecoder(http.MaxBytesReader(nil, r.Body, maxBody))
	if err := decoder.Decode(into); err != nil {
		return &failure{http.StatusBadRequest, fmt.Sprintf("%v: %v", errUnread, err)}
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return &failure{http.StatusBadRequest, errUnread.Error()}
	}
	return nil
}
