package cssim

import (
	"net/http"
	"time"

	"opfeed/internal/fault"
)

// Request is one request, as the log has it.
type Request struct {
	At     time.Time `json:"at"`
	Agent  string    `json:"agent"` // as in Mutation.FirstRead
	Method string    `json:"method"`
	Path   string    `json:"path"` // with the query
	Kind   string    `json:"kind"` // as for Fault.Match
	// Status is the one that was sent; 0: none.
	Status int            `json:"status"`
	Took   fault.Duration `json:"took"`
	// Faults are the names of those that hit.
	Faults []string `json:"faults,omitempty"`
}

// Requests returns the last Options.LogRequests requests, in the order in which
// they ended, and how many there have been in all. Those of an administrator do
// not count.
func (s *Server) Requests() (kept []Request, total int) { return s.requests.Entries() }

func (s *Server) log(r request, hits []fault.Hit[Effect], status int, start time.Time) {
	entry := Request{
		At: start, Agent: r.agent, Method: r.Method, Path: r.URL.RequestURI(), Kind: r.kind,
		Status: status, Took: fault.Duration(time.Since(start)),
	}
	for _, hit := range hits {
		entry.Faults = append(entry.Faults, hit.Rule)
	}
	s.requests.Add(entry)
}

func (s *Server) serveRequests(w http.ResponseWriter, _ *http.Request) {
	kept, total := s.Requests()
	if kept == nil {
		kept = []Request{}
	}
	writeJSON(w, http.StatusOK, map[string]any{"requests": kept, "total": total})
}
