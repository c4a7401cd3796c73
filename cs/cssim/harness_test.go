package cssim_test

import (
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	sdk "github.com/openshift-online/ocm-sdk-go"
	arohcp "github.com/openshift-online/ocm-sdk-go/arohcp/v1alpha1"

	"opfeed/cs/cssim"
	"opfeed/internal/inproc"
)

const (
	clusterC = "/api/aro_hcp/v1alpha1/clusters/c"
	poolP    = clusterC + "/node_pools/p"
	authE    = clusterC + "/external_auth_config/external_auths/e"
)

// world is a simulator and the two ways to it: the real SDK and bare requests.
type world struct {
	t   *testing.T
	sim *cssim.Server
	sdk *sdk.Connection
}

func newWorld(t *testing.T, o cssim.Options) *world {
	t.Helper()
	sim := cssim.New(o)
	conn, err := sdk.NewUnauthenticatedConnectionBuilder().
		URL("http://sim.test").Agent("frontend/1.0").RetryLimit(0).
		TransportWrapper(func(http.RoundTripper) http.RoundTripper { return inproc.New(sim) }).
		Build()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return &world{t: t, sim: sim, sdk: conn}
}

func (w *world) clusters() *arohcp.ClustersClient { return w.sdk.AroHCP().V1alpha1().Clusters() }
func (w *world) cluster() *arohcp.ClusterClient   { return w.clusters().Cluster("c") }
func (w *world) pool() *arohcp.NodePoolClient     { return w.cluster().NodePools().NodePool("p") }

// do sends one bare request and returns status, headers and body.
func (w *world) do(method, path, body string) (int, http.Header, string) {
	w.t.Helper()
	req, err := http.NewRequestWithContext(w.t.Context(), method, "http://sim.test"+path, strings.NewReader(body))
	if err != nil {
		w.t.Fatal(err)
	}
	req.Header.Set("User-Agent", "raw/2 x")
	resp, err := inproc.New(w.sim).RoundTrip(req)
	if err != nil {
		w.t.Fatal(err)
	}
	text, _ := io.ReadAll(resp.Body)
	return resp.StatusCode, resp.Header, string(text)
}

func (w *world) want(status int, method, path, body string) string {
	w.t.Helper()
	got, header, text := w.do(method, path, body)
	if got != status {
		w.t.Fatalf("%s %s: status %d, want %d: %s", method, path, got, status, text)
	}
	switch {
	case status == http.StatusNoContent:
		if text != "" {
			w.t.Errorf("%s %s: 204 with body %q", method, path, text)
		}
	case header.Get("Content-Type") != "application/json" || !json.Valid([]byte(text)):
		w.t.Errorf("%s %s: not JSON: %q %q", method, path, header.Get("Content-Type"), text)
	}
	return text
}

// state reads an object's state; "gone" for a 404.
func (w *world) state(path string) string {
	w.t.Helper()
	status, _, text := w.do("GET", path, "")
	if status == http.StatusNotFound {
		return "gone"
	}
	var o struct {
		State  json.RawMessage
		Status struct{ State json.RawMessage }
	}
	if err := json.Unmarshal([]byte(text), &o); err != nil {
		w.t.Fatalf("%s: %v: %s", path, err, text)
	}
	for _, raw := range []json.RawMessage{o.State, o.Status.State} { // a cluster's is a string
		var name string
		var full struct{ Value string }
		if json.Unmarshal(raw, &name) == nil {
			return name
		}
		if json.Unmarshal(raw, &full) == nil {
			return full.Value
		}
	}
	return ""
}

type seen struct {
	state string
	after time.Duration
}

// watch looks once a second and returns the states in order, each with the time
// since the start, until the last of them is reached or an hour has passed.
func (w *world) watch(path string, until string) []seen {
	w.t.Helper()
	start := time.Now()
	var states []seen
	for time.Since(start) <= time.Hour {
		s := w.state(path)
		if len(states) == 0 || states[len(states)-1].state != s {
			states = append(states, seen{s, time.Since(start)})
		}
		if s == until && len(states) > 1 {
			return states
		}
		time.Sleep(time.Second)
	}
	w.t.Fatalf("%s: %q not reached within an hour: %v", path, until, states)
	return nil
}

func names(states []seen) string {
	var list []string
	for _, s := range states {
		list = append(list, s.state)
	}
	return strings.Join(list, " ")
}

func wantStates(t *testing.T, got []seen, want string) {
	t.Helper()
	if names(got) != want {
		t.Errorf("states %v, want %s", got, want)
	}
}

func wantSpan(t *testing.T, what string, got, least, most time.Duration) {
	t.Helper()
	if got < least || got > most {
		t.Errorf("%s took %v, want %v to %v", what, got, least, most)
	}
}
