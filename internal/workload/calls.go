package workload

import (
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"sync"
)

const callsPath = "/_opfeed-dev/calls"

// CountCalls wraps a Cluster Service simulator and counts its API calls by
// agent, the first word of the User-Agent. It tells them at
// GET /_opfeed-dev/calls; the report's clusterServiceCalls comes from there.
// Safe for concurrent use.
func CountCalls(simulator http.Handler) http.Handler {
	var mu sync.Mutex
	calls := map[string]int64{}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.URL.Path == callsPath && r.Method == http.MethodGet:
			mu.Lock()
			body, err := json.Marshal(calls)
			mu.Unlock()
			if err != nil {
				w.WriteHeader(http.StatusInternalServerError)
				return
			}
			w.Header().Set("Content-Type", "application/json")
			_, _ = w.Write(body)
			return
		case strings.HasPrefix(r.URL.Path, "/api/"):
			agent, _, _ := strings.Cut(r.UserAgent(), " ")
			agent, _, _ = strings.Cut(agent, "/")
			mu.Lock()
			calls[agent]++
			mu.Unlock()
		}
		simulator.ServeHTTP(w, r)
	})
}

// calls is how often the service has called Cluster Service; 0 where nobody
// counts.
func (a *admin) calls(ctx context.Context) int64 {
	var c map[string]int64
	if a.do(ctx, a.clusterService, http.MethodGet, a.cfg.ClusterServiceURL, callsPath, nil, &c) != nil {
		return 0
	}
	return c[serviceAgent]
}
