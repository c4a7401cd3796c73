package cssim

import (
	"net/http"

	"opfeed/internal/fault"
)

// ownPath is where the simulator's own port has what Admin serves.
const ownPath = "/_simulator"

// Admin is what an administrator asks and changes over HTTP, in JSON:
//
//	GET    requests  {"total", "requests": [Request]}
//	GET    journal   Journal
//	GET    faults    the rules, and how many requests they matched and hit
//	POST   faults    adds a Fault
//	DELETE faults    removes all; ?name= one
//	POST   objects   plants an object, a Planted
//
// The simulator serves the same under /_simulator/. No fault hits it, and it asks
// for no key: a tool for development, to be reached from the same machine only.
func (s *Server) Admin() http.Handler { return s.admin }

func (s *Server) newAdmin() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /requests", s.serveRequests)
	mux.HandleFunc("GET /journal", s.serveJournal)
	mux.Handle("/faults", s.faults)
	mux.HandleFunc("POST /objects", s.servePlant)
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		fault.Refuse(w, http.StatusNotFound, r.Method+" "+r.URL.Path+" is not known here")
	})
	return mux
}
