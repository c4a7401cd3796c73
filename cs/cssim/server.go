package cssim

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"path"
	"slices"
	"strings"
	"sync"
	"time"

	"opfeed/cs"
)

// maxBody bounds what a client may post.
const maxBody = 1 << 20

// Server is the simulator. It is safe for concurrent use.
type Server struct {
	options Options
	mux     *http.ServeMux

	mu       sync.Mutex // never held while waiting or writing
	objects  map[cs.Ref]*object
	childMap map[string][]*object // by cluster
	named    map[string]uint64    // ids made up so far, by collection and name
	errors   uint64               // errors told so far
}

// New returns a simulator with no objects.
func New(o Options) *Server {
	s := &Server{
		options:  o.withDefaults(),
		mux:      http.NewServeMux(),
		objects:  map[cs.Ref]*object{},
		childMap: map[string][]*object{},
		named:    map[string]uint64{},
	}
	s.mux.HandleFunc("GET /_simulator/journal", s.serveJournal)
	s.mux.HandleFunc("POST /_simulator/objects", s.servePlant)
	for _, a := range []api{aroHCP, clustersMgmt} {
		s.routes(a)
	}
	return s
}

// ServeHTTP serves one request.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	// The mux would answer what it does not know, and paths that are not clean,
	// in plain text.
	if _, pattern := s.mux.Handler(r); pattern == "" || path.Clean(r.URL.Path) != r.URL.Path {
		s.fail(w, apiOf(r), &failure{http.StatusNotFound,
			fmt.Sprintf("The requested resource '%s' doesn't exist", r.URL.Path)})
		return
	}
	s.mux.ServeHTTP(w, r)
}

func apiOf(r *http.Request) api {
	if strings.HasPrefix(r.URL.Path, string(clustersMgmt)) {
		return clustersMgmt
	}
	return aroHCP
}

// routes adds the paths of one API.
func (s *Server) routes(a api) {
	// Child paths have the cluster's id as {cluster}; ids of a wrong shape name
	// nothing, so they give the same 404 as unknown ones.
	for _, k := range []cs.Kind{cs.Cluster, cs.NodePool, cs.ExternalAuth} {
		one := a.path(cs.Ref{Kind: k, Cluster: "{cluster}", Child: "{child}"})
		collection := path.Dir(one)
		s.handle(a, "GET "+collection, k, s.list)
		s.handle(a, "POST "+collection, k, s.post)
		s.handle(a, "GET "+one, k, s.get)
		s.handle(a, "PATCH "+one, k, s.patch)
		s.handle(a, "DELETE "+one, k, s.delete)
		if k == cs.Cluster || k == cs.NodePool && a == aroHCP {
			s.handle(a, "GET "+one+"/status", k, s.getStatus)
		}
	}
	one := string(a) + "/clusters/{cluster}"
	s.handle(a, "GET "+one+"/inflight_checks", cs.Cluster, s.listChecks)
	s.handle(a, "GET "+one+"/external_auth_config", cs.Cluster, s.getExternalAuthConfig)
}

// request is one call, ready to be applied: its wait is over.
type request struct {
	*http.Request
	api   api
	ref   cs.Ref // of a collection: without the last id
	agent string
	now   time.Time
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

// handle waits out the latency before apply runs, under the lock.
func (s *Server) handle(a api, pattern string, k cs.Kind, apply func(request) (answer, error)) {
	s.mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
		req := request{Request: r, api: a, agent: agentOf(r)}
		req.ref = cs.Ref{Kind: k, Cluster: r.PathValue("cluster"), Child: r.PathValue("child")}
		body, err := io.ReadAll(http.MaxBytesReader(nil, r.Body, maxBody))
		if err != nil {
			s.fail(w, a, &failure{http.StatusRequestEntityTooLarge, "The request body is too long"})
			return
		}
		r.Body = io.NopCloser(strings.NewReader(string(body)))
		if !wait(r.Context(), s.latency(req.ref)) {
			return // nobody is there any more
		}
		answer, err := s.apply(req, apply)
		switch {
		case err != nil:
			s.fail(w, a, err)
		case answer.status == http.StatusNoContent:
			w.WriteHeader(http.StatusNoContent)
		default:
			writeJSON(w, answer.status, answer.body)
		}
	})
}

func (s *Server) apply(req request, apply func(request) (answer, error)) (answer, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	req.now = time.Now()
	return apply(req)
}

// latency draws from the object's own sequence, so that what happens to others
// does not change it.
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

// wait reports whether d passed before ctx ended.
func wait(ctx context.Context, d time.Duration) bool {
	if d <= 0 {
		return ctx.Err() == nil
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// object returns the object of k, made if there is none yet.
func (s *Server) object(k cs.Ref) *object {
	o := s.objects[k]
	if o == nil {
		o = &object{ref: k}
		s.objects[k] = o
		if k.Kind != cs.Cluster {
			s.childMap[k.Cluster] = append(s.childMap[k.Cluster], o)
			slices.SortFunc(s.childMap[k.Cluster], func(a, b *object) int {
				return cmp.Compare(a.ref.Child, b.ref.Child)
			})
		}
	}
	return o
}

func (s *Server) children(k cs.Ref) []*object { return s.childMap[k.Cluster] }

// find returns an object that exists now, or the 404 for it.
func (s *Server) find(k cs.Ref, now time.Time) (*object, state, error) {
	if k.Kind != cs.Cluster {
		if _, _, err := s.find(parentOf(k), now); err != nil {
			return nil, state{}, err
		}
	}
	o := s.objects[k]
	if o == nil {
		return nil, state{}, notFound(k)
	}
	st := o.stateAt(now)
	if st.gone {
		return nil, state{}, notFound(k)
	}
	return o, st, nil
}

func notFound(k cs.Ref) error {
	what := map[cs.Kind]string{cs.Cluster: "Cluster", cs.NodePool: "Node pool", cs.ExternalAuth: "External auth"}[k.Kind]
	return &failure{http.StatusNotFound, fmt.Sprintf("%s with id '%s' not found", what, idOf(k))}
}

// readJSON reads one JSON object and nothing after it.
func readJSON(r *http.Request, into any) error {
	decoder := json.NewDecoder(http.MaxBytesReader(nil, r.Body, maxBody))
	if err := decoder.Decode(into); err != nil {
		return &failure{http.StatusBadRequest, fmt.Sprintf("%v: %v", errUnread, err)}
	}
	if _, err := decoder.Token(); err != io.EOF {
		return &failure{http.StatusBadRequest, errUnread.Error()}
	}
	return nil
}
