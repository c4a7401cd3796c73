package cssim

import (
	"net/http"

	"opfeed/internal/fault"
)

const adminPrefix = "/_simulator/"

// Admin is what the simulator serves under /_simulator/, for a port of its own:
//
//   - faults: GET lists the rules with their counts, POST adds one, DELETE
//     removes the one that ?name= names, or all;
//   - requests: GET reads the log of requests;
//   - journal: GET reads the Journal;
//   - objects: POST plants an object, a Planted.
//
// The paths are the same there as here. No fault hits them, and nobody is asked
// for a key: the simulator is a tool for tests and development, to be listened
// for on the machine itself only.
func (s *Server) Admin() http.Handler { return s.admin }

func (s *Server) administer() {
	s.admin.Handle(adminPrefix+"faults", s.faults)
	s.admin.HandleFunc("GET "+adminPrefix+"requests", s.serveRequests)
	s.admin.HandleFunc("GET "+adminPrefix+"journal", s.serveJournal)
	s.admin.HandleFunc("POST "+adminPrefix+"objects", s.servePlant)
	s.admin.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) {
		fault.Refuse(w, http.StatusNotFound,
			"there are GET, POST and DELETE "+adminPrefix+"faults, GET requests, GET journal and POST objects")
	})
}
