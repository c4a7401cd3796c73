package cssim

import (
	"cmp"
	"fmt"
	"net/http"
	"path"
	"slices"
	"strings"
	"sync"
	"time"

	"opfeed/cs"
	"opfeed/internal/fault"
)

// Server is the simulator. It is safe for concurrent use.
type Server struct {
	options  Options
	mux      *http.ServeMux
	admin    http.Handler
	faults   *fault.Rules[Effect]
	requests *fault.Log[Request]

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
		faults:   fault.New[Effect](attributes[:]...),
		objects:  map[cs.Ref]*object{},
		childMap: map[string][]*object{},
		named:    map[string]uint64{},
	}
	s.requests = fault.NewLog[Request](s.options.LogRequests)
	s.admin = s.newAdmin()
	for _, a := range []api{aroHCP, clustersMgmt} {
		s.routes(a)
	}
	s.credentialRoutes()
	return s
}

// ServeHTTP serves one request.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if strings.HasPrefix(r.URL.Path, ownPath+"/") {
		http.StripPrefix(ownPath, s.admin).ServeHTTP(w, r)
		return
	}
	// The mux would answer what it does not know, and paths that are not clean,
	// in plain text.
	if _, pattern := s.mux.Handler(r); pattern == "" || path.Clean(r.URL.Path) != r.URL.Path {
		s.serve(w, request{Request: r, api: apiOf(r), kind: "other"}, unknown)
		return
	}
	s.mux.ServeHTTP(w, r)
}

func unknown(r request) (answer, error) {
	return answer{}, &failure{http.StatusNotFound,
		fmt.Sprintf("The requested resource '%s' doesn't exist", r.URL.Path)}
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
		s.handle(a, "GET "+collection, "list", k, s.list)
		s.handle(a, "POST "+collection, "post", k, s.post)
		s.handle(a, "GET "+one, "get", k, s.get)
		s.handle(a, "PATCH "+one, "patch", k, s.patch)
		s.handle(a, "DELETE "+one, "delete", k, s.delete)
		if k == cs.Cluster || k == cs.NodePool && a == aroHCP {
			s.handle(a, "GET "+one+"/status", "status", k, s.getStatus)
		}
	}
	one := string(a) + "/clusters/{cluster}"
	s.handle(a, "GET "+one+"/inflight_checks", "checks", cs.Cluster, s.listChecks)
	s.handle(a, "GET "+one+"/external_auth_config", "config", cs.Cluster, s.getExternalAuthConfig)
}

// handle answers the requests of one pattern, which are of one kind.
func (s *Server) handle(a api, pattern, kind string, k cs.Kind, apply func(request) (answer, error)) {
	s.mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
		ref := cs.Ref{Kind: k, Cluster: r.PathValue("cluster"), Child: r.PathValue("child")}
		s.serve(w, request{Request: r, api: a, kind: kind, ref: ref}, apply)
	})
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
	what := map[cs.Kind]string{cs.Cluster: "Cluster", cs.NodePool: "Node pool", cs.ExternalAuth: "External auth",
		cs.BreakGlassCredential: "Break glass credential"}[k.Kind]
	return &failure{http.StatusNotFound, fmt.Sprintf("%s with id '%s' not found", what, idOf(k))}
}
