package operations

import (
	"net/http"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"opfeed/processor/dispatch"
)

// TestExplainSaysWhatAStepDoes holds the explanation of an operation to the step of
// a replica that looks at it for the first time, before its deadline and after, and to
// reading.
func TestExplainSaysWhatAStepDoes(t *testing.T) {
	for _, age := range []time.Duration{5 * time.Minute, 13 * time.Hour} {
		synctest.Test(t, func(t *testing.T) { testExplain(t, age) })
	}
}

func testExplain(t *testing.T, age time.Duration) {
	t.Helper()
	r := newRig(t)
	viewer, err := NewViewer(r.h.cfg, r.h.deps)
	if err != nil {
		t.Fatal(err)
	}
	r.plant(clusterID, "installing")
	r.plant("/api/clusters_mgmt/v1/clusters/h2", "ready")
	r.plant("/api/clusters_mgmt/v1/clusters/h3", "error")
	cases := map[string]func(p doc){}
	for _, request := range []string{Create, Update, Delete, RequestCredential, RevokeCredentials, "Other", ""} {
		for _, id := range []string{clusterID, "/api/clusters_mgmt/v1/clusters/h2", "/api/clusters_mgmt/v1/clusters/h3",
			"/api/clusters_mgmt/v1/clusters/gone", "/api/clusters_mgmt/v1/clusters/h1/break_glass_credentials/b", "/x", ""} {
			cases[request+" of "+filepath.Base(id)] = func(p doc) { p["request"], p["internalId"] = request, id }
		}
	}
	cases["ended"] = func(p doc) { p["status"] = "succeeded" }
	cases["at fault"] = func(p doc) { p["status"] = 5 }
	for name, change := range cases {
		d := operationDoc("op "+name, Create)
		change(d["properties"].(doc))
		r.put(d)
	}
	time.Sleep(age)
	r.cosmos.requests(all)
	explained := map[string]Explanation{}
	for name := range cases {
		if explained[name], err = viewer.Explain(t.Context(), key("op "+name)); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
	}
	if n := r.cosmos.requests(func(req *http.Request) bool { return req.Method != http.MethodGet && !isQuery(req) }); n != 0 {
		t.Errorf("%d requests write", n)
	}
	for name := range cases {
		step, err := r.step(dispatch.Change{Key: key("op " + name)})
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if e := explained[name]; e.Reason != step.Reason {
			t.Errorf("%s, %v old: explained by %q, but a step does what follows from %q", name, age, e.Reason, step.Reason)
		}
	}
}

func TestExplainWhatIsNoOperation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		viewer, err := NewViewer(r.h.cfg, Deps{Resources: r.h.deps.Resources})
		if err != nil {
			t.Fatal(err)
		}
		r.put(clusterDoc("r1", "op-1"))
		for id, want := range map[string]string{"r1": "not an operation", "none": "document is gone", `"`: "id holds characters that cannot be sent"} {
			e, err := viewer.Explain(t.Context(), key(id))
			if err != nil || e.Reason != want || e.ID != id || (e.Document != nil) != (id == "r1") {
				t.Errorf("%s: have %+v, %v", id, e, err)
			}
		}
		r.put(operationDoc("op-1", Create))
		if e, err := viewer.Explain(t.Context(), key("op-1")); err != nil || e.Asked || e.Reason != "cluster service is not configured" || len(e.Resources) != 1 {
			t.Errorf("have %+v, %v", e, err)
		}
	})
}
