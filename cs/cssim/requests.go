package cssim

import (
	"net/http"
	"time"

	"opfeed/internal/fault"
)

// Request is one request, as the log has it.
type Request struct {
	// Time is when it came, Duration how long its answer took to begin, or, if
	// there was none, how long it was waited for.
	Time     time.Time      `json:"time"`
	Duration fault.Duration `json:"duration"`
	Agent    string         `json:"agent"` // as in Mutation.FirstRead
	Method   string         `json:"method"`
	Path     string         `json:"path"`             // with the query
	Kind     string         `json:"kind"`             // as in Fault
	Status   int            `json:"status"`           // 0: there was no answer
	Faults   []string       `json:"faults,omitempty"` // names of the rules that hit it
}

// Requests returns the last requests, as many as Options.LogRequests says, in the
// order of their answers, and how many there have been. Those of an administrator
// are not among them.
func (s *Server) Requests() (kept []Request, total int) { return s.requests.Entries() }

func (s *Server) log(r request, status int) {
	s.requests.Add(Request{
		Time: r.received, Duration: fault.Duration(time.Since(r.received)),
		Agent: r.agent, Method: r.Method, Path: r.URL.RequestURI(), Kind: r.kind,
		Status: status, Faults: r.faults,
	})
}

func (s *Server) serveRequests(w http.ResponseWriter, _ *http.Request) {
	kept, total := s.Requests()
	writeJSON(w, http.StatusOK, struct {
		Total    int       `json:"total"`
		Requests []Request `json:"requests"`
	}{total, append([]Request{}, kept...)})
}
