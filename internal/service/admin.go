package service

import (
	"net/http"
	"net/http/pprof"

	"opfeed/processor/status/page"
)

// AdminHandler serves what is for operators, for callers that bring their own
// server.
func (s *Service) AdminHandler() http.Handler {
	mux := http.NewServeMux()
	s.api(mux)
	shown := page.Handler()
	mux.Handle("GET /{$}", shown)
	mux.Handle("GET /{file}", shown)
	if s.deps.Level != nil {
		mux.HandleFunc("GET /api/v1/log-level", s.showLevel)
		mux.HandleFunc("PUT /api/v1/log-level", s.setLevel)
	}
	if s.cfg.Pprof {
		// Importing the package puts these on http.DefaultServeMux as well, which
		// nobody serves.
		mux.HandleFunc("GET /debug/pprof/", pprof.Index)
		mux.HandleFunc("GET /debug/pprof/cmdline", pprof.Cmdline)
		mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
		mux.HandleFunc("GET /debug/pprof/symbol", pprof.Symbol)
		mux.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
	}
	return guarded(s.ours(mux))
}
