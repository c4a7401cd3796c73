package cssim

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strconv"
	"time"

	"opfeed/cs"
)

// render gives an object as it is posted, with what CS adds.
func (o *object) render(a api, st state) map[string]any {
	path := a.path(o.ref)
	out := make(map[string]any, len(o.body)+10)
	for name, value := range o.body {
		out[name] = value
	}
	out["kind"], out["id"], out["href"] = o.ref.Kind.String(), idOf(o.ref), path
	switch o.ref.Kind {
	case cs.Cluster:
		out["state"] = st.name
		out["status"] = o.clusterStatus(st)
		out["azure"] = o.azure()
		out["creation_timestamp"] = timestamp(o.created)
		out["node_pools"] = map[string]any{"kind": "NodePoolListLink", "href": path + "/node_pools"}
		out["inflight_checks"] = map[string]any{"kind": "InflightCheckListLink", "href": path + "/inflight_checks"}
		if _, ok := out["name"]; !ok {
			out["name"] = o.ref.Cluster
		}
	case cs.NodePool:
		out["status"] = o.nodePoolStatus(st)
	case cs.BreakGlassCredential:
		o.renderCredential(out, st)
	default: // an external auth
		delete(out, "status")
		if st.name != "" {
			out["status"] = map[string]any{
				"message": st.message,
				"state":   map[string]any{"value": st.name, "last_updated_timestamp": timestamp(st.from)},
			}
		}
	}
	return out
}

// azure gives what a cluster was posted with, and what every cluster has.
func (o *object) azure() map[string]any {
	out := map[string]any{}
	if json.Unmarshal(o.body["azure"], &out) != nil || out == nil { // another JSON value
		out = map[string]any{}
	}
	for name, value := range map[string]string{"tenant_id": "tenant", "managed_resource_group_name": "managed-" + o.ref.Cluster} {
		if _, ok := out[name]; !ok {
			out[name] = value
		}
	}
	return out
}

// renderStatus gives the status sub-resource.
func (o *object) renderStatus(a api, st state) map[string]any {
	out, kind := o.clusterStatus(st), "ClusterStatus"
	if o.ref.Kind == cs.NodePool {
		out, kind = o.nodePoolStatus(st), "NodePoolStatus"
	}
	out["kind"], out["id"], out["href"] = kind, idOf(o.ref), a.path(o.ref)+"/status"
	return out
}

func (o *object) clusterStatus(st state) map[string]any {
	settled := st.name == stateReady || st.name == stateUpdating
	out := map[string]any{
		"state":                        st.name,
		"description":                  "",
		"dns_ready":                    settled,
		"oidc_ready":                   settled,
		"configuration_mode":           "full",
		"limited_support_reason_count": 0,
		"current_compute":              0,
	}
	if st.message != "" {
		out["provision_error_code"], out["provision_error_message"] = st.code, st.message
		out["description"] = st.message
	}
	return out
}

func (o *object) nodePoolStatus(st state) map[string]any {
	return map[string]any{
		"kind":             "NodePoolStatus",
		"current_replicas": 0,
		"message":          st.message,
		"state": map[string]any{
			"kind": "NodePoolState", "value": st.name, "last_updated_timestamp": timestamp(st.from),
		},
	}
}

// writeJSON sends a body, unless the status is 204.
func writeJSON(w http.ResponseWriter, status int, body any) {
	data, err := json.Marshal(body)
	if err != nil { // only if a client's raw JSON was stored unchecked
		panic(err)
	}
	if status == http.StatusNoContent {
		w.WriteHeader(status)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	w.Write(data) //nolint:errcheck // the client is gone, then
}

// fail tells an error the way CS does.
func (s *Server) fail(w http.ResponseWriter, a api, err error) {
	answer := s.failed(a, err)
	writeJSON(w, answer.status, answer.body)
}

func (s *Server) failed(a api, err error) answer {
	var f *failure
	if !errors.As(err, &f) {
		f = &failure{http.StatusInternalServerError, err.Error()}
	}
	id := strconv.Itoa(f.status)
	return answer{f.status, map[string]any{
		"kind":         "Error",
		"id":           id,
		"href":         string(a) + "/errors/" + id,
		"code":         "CLUSTERS-MGMT-" + id,
		"reason":       f.reason,
		"operation_id": s.operationID(),
		"timestamp":    time.Now().UTC().Format(time.RFC3339Nano),
	}}
}

// operationID makes a UUID that no other error of this server has.
func (s *Server) operationID() string {
	s.mu.Lock()
	s.errors++
	n := s.errors
	s.mu.Unlock()
	r := rand.New(rand.NewPCG(s.options.Seed, n))
	return fmt.Sprintf("%08x-%04x-4%03x-8%03x-%012x",
		r.Uint32(), r.Uint32N(1<<16), r.Uint32N(1<<12), r.Uint32N(1<<12), n)
}
