package service

import (
	"encoding/json"
	"net/http"
	"strings"
	"time"

	"opfeed/processor/status"
)

// computed is how many answers that go through all changes are made at a time.
const computed = 2

// api serves what the page shows, for programs: read-only, and bounded whatever is
// asked.
func (s *Service) api(mux *http.ServeMux) {
	places := make(chan struct{}, computed)
	mux.HandleFunc("GET /api/v1/snapshot", func(w http.ResponseWriter, _ *http.Request) {
		s.writeJSON(w, http.StatusOK, s.Snapshot())
	})
	mux.HandleFunc("GET /api/v1/operations", func(w http.ResponseWriter, r *http.Request) {
		q, err := status.ParseQuery(r.URL.Query())
		if err != nil {
			s.refuse(w, http.StatusBadRequest, strings.ReplaceAll(err.Error(), "\n", "; "))
			return
		}
		select {
		case places <- struct{}{}:
		case <-r.Context().Done(): // the client has gone, or the service ends
			s.refuse(w, http.StatusServiceUnavailable, "the service ends")
			return
		}
		// To send it takes no place: who is slow, or gone, must not be in the way.
		body, err := s.selected(q, places)
		s.write(w, http.StatusOK, body, err)
	})
	mux.HandleFunc("GET /api/v1/transitions", func(w http.ResponseWriter, _ *http.Request) {
		s.writeList(w, struct {
			Transitions []status.Transition `json:"transitions"`
		}{s.transitions.Newest()})
	})
	mux.HandleFunc("GET /api/v1/history", func(w http.ResponseWriter, _ *http.Request) {
		s.writeList(w, s.history.shown())
	})
	mux.HandleFunc("GET /api/v1/events", s.stream)
}

// selected makes the answer to a query, and gives the place for that back.
func (s *Service) selected(q status.Query, place <-chan struct{}) ([]byte, error) {
	defer func() { <-place }()
	now := time.Now()
	o := q.Select(s.Changes())
	o.Now = now
	return json.Marshal(o)
}
