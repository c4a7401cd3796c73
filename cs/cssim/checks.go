package cssim

import (
	"fmt"
	"math/rand/v2"
)

// How a cluster fails whose inflight checks do.
const (
	codeChecks    = "OCM4001"
	messageChecks = "Inflight checks failed."
)

// passing is how many checks pass beside those that fail.
const passing = 2

// check turns the failure of a create into that of inflight checks.
func (s *Server) check(o *object, r *rand.Rand, end fate) fate {
	o.checks, o.failing = nil, 0
	if s.options.FailedChecks <= 0 || end.message == "" {
		return end
	}
	o.failing = 1 + r.IntN(s.options.FailedChecks)
	return fate{code: codeChecks, message: messageChecks}
}

// inflightChecks gives those of a cluster: the planted ones, or those that are to
// fail, which run until the cluster has failed by them.
func (o *object) inflightChecks(a api, st state) []any {
	list := []any{} // never null
	for _, planted := range o.checks {
		list = append(list, planted)
	}
	if o.failing == 0 {
		return list
	}
	for i := range o.failing + passing {
		id := fmt.Sprintf("check-%04d", i+1)
		check := map[string]any{
			"kind": "InflightCheck", "id": id, "href": a.path(o.ref) + "/inflight_checks/" + id,
			"name": fmt.Sprintf("simulated-%d", i+1), "restarts": 0,
			"state": "running", "details": map[string]any{}, "started_at": timestamp(o.created),
		}
		switch st.name {
		case stateValidating, statePending, stateInstalling:
		default:
			check["state"] = "passed"
			if i < o.failing {
				check["state"] = "failed"
				check["details"] = map[string]any{"error": fmt.Sprintf("Simulated failure of check %d.", i+1)}
			}
		}
		list = append(list, check)
	}
	return list
}
