package cs_test

import (
	"strings"
	"testing"

	"opfeed/cs"
)

func TestParseRef(t *testing.T) {
	for _, c := range []struct {
		in   string
		want cs.Ref
		path string
	}{
		{"/api/aro_hcp/v1alpha1/clusters/c", cs.Ref{Kind: cs.Cluster, Cluster: "c"}, "/api/aro_hcp/v1alpha1/clusters/c"},
		{"/api/clusters_mgmt/v1/clusters/1243e9e9-d150-4ef1-9735-2bbc3cabc7d0",
			cs.Ref{Kind: cs.Cluster, Cluster: "1243e9e9-d150-4ef1-9735-2bbc3cabc7d0"},
			"/api/aro_hcp/v1alpha1/clusters/1243e9e9-d150-4ef1-9735-2bbc3cabc7d0"},
		{"/API/Clusters_Mgmt/V1/Clusters/C/Node_Pools/P-1.a_b", cs.Ref{Kind: cs.NodePool, Cluster: "c", Child: "p-1.a_b"},
			"/api/aro_hcp/v1alpha1/clusters/c/node_pools/p-1.a_b"},
		{"/api/clusters_mgmt/v1/clusters/c/external_auth_config/external_auths/e",
			cs.Ref{Kind: cs.ExternalAuth, Cluster: "c", Child: "e"},
			"/api/aro_hcp/v1alpha1/clusters/c/external_auth_config/external_auths/e"},
		{"/api/clusters_mgmt/v1/clusters/c/break_glass_credentials/b",
			cs.Ref{Kind: cs.BreakGlassCredential, Cluster: "c", Child: "b"},
			"/api/clusters_mgmt/v1/clusters/c/break_glass_credentials/b"},
	} {
		got, err := cs.ParseRef(c.in)
		if err != nil || got != c.want || got.Path() != c.path {
			t.Errorf("ParseRef(%q) = %+v, %v, path %q, want %+v, path %q", c.in, got, err, got.Path(), c.want, c.path)
		}
	}
}

var badRefs = []string{
	"", "/", "c", "/clusters/c",
	"api/aro_hcp/v1alpha1/clusters/c",
	"/api/aro_hcp/v1/clusters/c",
	"/api/clusters_mgmt/v1alpha1/clusters/c",
	"/api/aro_hcp/v1alpha1/clusters",
	"/api/aro_hcp/v1alpha1/clusters/",
	"/api/aro_hcp/v1alpha1/clusters/c/",
	"/api/aro_hcp/v1alpha1/clusters//c",
	"/api/aro_hcp/v1alpha1/clusters/.",
	"/api/aro_hcp/v1alpha1/clusters/..",
	"/api/aro_hcp/v1alpha1/clusters/c..d",
	"/api/aro_hcp/v1alpha1/clusters/-",
	"/api/aro_hcp/v1alpha1/clusters/c%2fd",
	"/api/aro_hcp/v1alpha1/clusters/c?x=1",
	"/api/aro_hcp/v1alpha1/clusters/c#x",
	"/api/aro_hcp/v1alpha1/clusters/c d",
	"/api/aro_hcp/v1alpha1/clusters/c\n",
	"/api/aro_hcp/v1alpha1/clusters/c\\d",
	"/api/aro_hcp/v1alpha1/clusters/ü",
	"/api/aro_hcp/v1alpha1/clusters/" + strings.Repeat("x", 129),
	"/api/aro_hcp/v1alpha1/clusters/c/status",
	"/api/aro_hcp/v1alpha1/clusters/c/node_pools",
	"/api/aro_hcp/v1alpha1/clusters/c/node_pools/",
	"/api/aro_hcp/v1alpha1/clusters/c/node_pools/p/status",
	"/api/aro_hcp/v1alpha1/clusters/../node_pools/p",
	"/api/aro_hcp/v1alpha1/clusters/c/external_auths/e",
	"/api/aro_hcp/v1alpha1/clusters/c/external_auth_config/e",
	"/api/aro_hcp/v1alpha1/clusters/c/external_auth_config/node_pools/e",
	// Credentials exist in the older API only.
	"/api/aro_hcp/v1alpha1/clusters/c/break_glass_credentials/b",
}

func TestParseRefRefuses(t *testing.T) {
	for _, in := range badRefs {
		if got, err := cs.ParseRef(in); err == nil {
			t.Errorf("ParseRef(%q) = %+v, want an error", in, got)
		} else if got != (cs.Ref{}) {
			t.Errorf("ParseRef(%q) = %+v beside the error", in, got)
		}
	}
}

func FuzzParseRef(f *testing.F) {
	for _, in := range badRefs {
		f.Add(in)
	}
	f.Add("/api/clusters_mgmt/v1/clusters/C/node_pools/p")
	f.Add("/api/clusters_mgmt/v1/clusters/c/break_glass_credentials/b")
	f.Fuzz(func(t *testing.T, in string) {
		ref, err := cs.ParseRef(in)
		if err != nil {
			return
		}
		path := ref.Path()
		if path != strings.ToLower(path) || strings.ContainsAny(path, "%?#\\ ") ||
			strings.Contains(path, "..") || strings.Contains(path, "//") {
			t.Errorf("ParseRef(%q) gives the path %q", in, path)
		}
		if again, err := cs.ParseRef(path); err != nil || again != ref {
			t.Errorf("ParseRef(%q) = %+v, but its path reads as %+v, %v", in, ref, again, err)
		}
		if n := strings.Count(in, "/"); strings.Count(path, "/") != n {
			t.Errorf("%q and its path %q differ in the number of segments", in, path)
		}
	})
}

// TestHandMadeRefs: a Ref may come from elsewhere than ParseRef.
func TestHandMadeRefs(t *testing.T) {
	r := newRig(t, static(200, "application/json", `{"id":"x","state":"ready"}`))
	for _, ref := range []cs.Ref{
		{}, {Kind: cs.Cluster}, {Kind: cs.Cluster, Cluster: "../x"}, {Kind: cs.Cluster, Cluster: "c", Child: "p"},
		{Kind: cs.NodePool, Cluster: "c"}, {Kind: cs.NodePool, Cluster: "C", Child: "p"}, {Kind: 9, Cluster: "c"},
	} {
		if err := r.Exists(t.Context(), ref); err == nil {
			t.Errorf("%+v was asked for", ref)
		}
		if _, err := r.Status(t.Context(), ref); err == nil {
			t.Errorf("%+v was asked for", ref)
		}
	}
	if counts := r.counts(t); len(counts) != 0 {
		t.Errorf("calls were made: %v", counts)
	}
}
