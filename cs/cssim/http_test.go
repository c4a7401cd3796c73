package cssim_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"opfeed/cs/cssim"
)

func TestErrorsAreJSON(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, cssim.Options{})
		if err := w.sim.Plant(poolP, "ready"); err != nil {
			t.Fatal(err)
		}
		ids := map[string]bool{}
		for _, c := range []struct {
			status             int
			method, path, body string
		}{
			{404, "GET", "/", ""},
			{404, "GET", "/api/aro_hcp/v1alpha1", ""},
			{404, "GET", "/api/aro_hcp/v1alpha1/clusters/", ""},
			{404, "GET", "/api/aro_hcp/v1alpha1//clusters", ""},
			{404, "GET", "/api/aro_hcp/v1alpha1/clusters/x/../c", ""},
			{404, "PUT", clusterC, "{}"},
			{404, "GET", clusterC + "x", ""},
			{404, "GET", strings.ToUpper(clusterC), ""},
			{404, "GET", clusterC + "/node_pools/q", ""},
			{404, "GET", clusterC + "/node_pools/q/status", ""},
			{404, "GET", clusterC + "/external_auth_config/external_auths/q", ""},
			{404, "GET", authE + "/status", ""},
			{404, "GET", clusterC + "x/node_pools", ""},
			{404, "POST", clusterC + "x/node_pools", `{"id":"p"}`},
			// Node-pool status exists in the newer API only.
			{404, "GET", "/api/clusters_mgmt/v1/clusters/c/node_pools/p/status", ""},
			{400, "POST", "/api/aro_hcp/v1alpha1/clusters", `{"id":`},
			{400, "POST", "/api/aro_hcp/v1alpha1/clusters", `[]`},
			{400, "POST", "/api/aro_hcp/v1alpha1/clusters", `null`},
			{400, "POST", "/api/aro_hcp/v1alpha1/clusters", ``},
			{400, "POST", "/api/aro_hcp/v1alpha1/clusters", `{} {}`},
			{400, "POST", "/api/aro_hcp/v1alpha1/clusters", `{"id":1}`},
			{400, "POST", "/api/aro_hcp/v1alpha1/clusters", `{"id":"../x"}`},
			{400, "POST", "/api/aro_hcp/v1alpha1/clusters", `{"id":"UPPER"}`},
			{400, "PATCH", clusterC, `"x"`},
			{409, "POST", "/api/aro_hcp/v1alpha1/clusters", `{"id":"c"}`},
			{413, "POST", "/api/aro_hcp/v1alpha1/clusters", `{"name":"` + strings.Repeat("x", 1<<20) + `"}`},
			{400, "GET", "/api/aro_hcp/v1alpha1/clusters?page=0", ""},
			{400, "GET", "/api/aro_hcp/v1alpha1/clusters?size=x", ""},
			{400, "GET", "/api/aro_hcp/v1alpha1/clusters?search=name+%3D+%27c%27", ""},
			{400, "GET", "/api/aro_hcp/v1alpha1/clusters?search=id+in+%28%29", ""},
			{400, "GET", "/api/aro_hcp/v1alpha1/clusters?search=id+in+%28%27c%27%29+or+1%3D1", ""},
			{400, "GET", clusterC + "/external_auth_config/external_auths?search=id+in+%28%27c%27%29", ""},
			{400, "POST", "/_simulator/objects", `{"internalId":"/x","state":"ready"}`},
			{400, "POST", "/_simulator/objects", `{"internalId":"` + clusterC + `","state":"ready","expires":"2999-01-01T00:00:00Z"}`},
			{400, "POST", "/_simulator/objects", `{"internalId":"` + clusterC + `","state":"ready","failedChecks":1}`},
			{400, "POST", "/_simulator/objects", `{"internalId":"` + clusterC + `","state":"error","failedChecks":-1}`},
			{400, "POST", "/_simulator/objects", `{"internalId":"` + poolP + `","state":"error","failedChecks":1}`},
			{400, "POST", "/_simulator/objects", `{"internalId":"` + clusterC + `","state":"error","failedChecks":1,"inflightChecks":[{}]}`},
			{400, "POST", credentials, `{"expiration_timestamp":"soon"}`},
			{400, "POST", credentials, `{"expiration_timestamp":"1999-01-01T00:00:00Z"}`},
			{400, "POST", credentials, `{"expiration_timestamp":1}`},
			{404, "GET", credentials + "/q", ""},
			{404, "PATCH", credentials + "/q", "{}"},
			{404, "DELETE", credentials + "/q", ""},
			{404, "GET", credentialB + "/status", ""},
			{404, "DELETE", strings.Replace(credentials, "/c/", "/x/", 1), ""},
			{404, "GET", strings.Replace(credentials, "/c/", "/x/", 1), ""},
			// Credentials exist in the older API only.
			{404, "GET", clusterC + "/break_glass_credentials", ""},
			{400, "POST", "/_simulator/objects", `{"internalId":"` + clusterC + `","state":""}`},
			{400, "POST", "/_simulator/objects", `{"internalId":"` + clusterC + `","state":"ready","since":"2999-01-01T00:00:00Z"}`},
			{400, "POST", "/_simulator/objects", `x`},
		} {
			var e struct {
				Kind, ID, Href, Code, Reason string
				OperationID                  string `json:"operation_id"`
			}
			text := w.want(c.status, c.method, c.path, c.body)
			if err := json.Unmarshal([]byte(text), &e); err != nil {
				t.Fatal(err)
			}
			if e.Kind != "Error" || e.ID != fmt.Sprint(c.status) || !strings.HasSuffix(e.Href, "/errors/"+e.ID) ||
				!strings.HasSuffix(e.Code, "-"+e.ID) || e.Reason == "" || ids[e.OperationID] || len(e.OperationID) != 36 {
				t.Errorf("%s %s: %s", c.method, c.path, text)
			}
			ids[e.OperationID] = true
		}
	})
}

func TestBothPrefixesOneStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, cssim.Options{})
		const mgmt = "/api/clusters_mgmt/v1/clusters"
		text := w.want(201, "POST", mgmt, `{"id":"c","azure":{"resource_name":"n"}}`)
		if !strings.Contains(text, `"href":"`+mgmt+`/c"`) || !strings.Contains(text, `"resource_name":"n"`) {
			t.Errorf("post: %s", text)
		}
		text = w.want(200, "GET", clusterC, "")
		if !strings.Contains(text, `"href":"`+clusterC+`"`) || !strings.Contains(text, `"resource_name":"n"`) {
			t.Errorf("get: %s", text)
		}
		w.want(200, "GET", mgmt+"/c/status", "")
		w.want(204, "DELETE", mgmt+"/c", "")
		time.Sleep(20 * time.Minute)
		w.want(404, "GET", clusterC, "")
	})
}

func TestLists(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, cssim.Options{})
		for i := range 105 {
			if err := w.sim.Plant(fmt.Sprintf("%s%03d", clusterC, i), "ready"); err != nil {
				t.Fatal(err)
			}
		}
		if err := w.sim.Plant(clusterC+"104", "gone"); err != nil {
			t.Fatal(err)
		}
		list := func(page, size int, search string) (n, total int, first string) {
			t.Helper()
			r := w.clusters().List()
			if page > 0 {
				r.Page(page)
			}
			if size > 0 {
				r.Size(size)
			}
			if search != "" {
				r.Search(search)
			}
			resp, err := r.SendContext(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if resp.Size() != resp.Items().Len() {
				t.Errorf("size %d of %d items", resp.Size(), resp.Items().Len())
			}
			if resp.Items().Len() > 0 {
				c := resp.Items().Get(0)
				first = c.ID()
				if c.State() != "ready" || c.Status().State() != "ready" {
					t.Errorf("embedded state %q, %q", c.State(), c.Status().State())
				}
			}
			return resp.Items().Len(), resp.Total(), first
		}
		for _, c := range []struct {
			page, size int
			search     string
			n, total   int
			first      string
		}{
			{0, 0, "", 100, 104, "c000"},
			{2, 0, "", 4, 104, "c100"},
			{3, 0, "", 0, 104, ""},
			{2, 10, "", 10, 104, "c010"},
			{0, 0, "id in ('c003','nobody', 'c001')", 2, 2, "c001"},
			{0, 0, "ID IN ( 'c104' )", 0, 0, ""},
			{0, 0, "id in ('it''s')", 0, 0, ""},
		} {
			n, total, first := list(c.page, c.size, c.search)
			if n != c.n || total != c.total || first != c.first {
				t.Errorf("page %d size %d search %q: %d of %d from %q, want %d of %d from %q",
					c.page, c.size, c.search, n, total, first, c.n, c.total, c.first)
			}
		}

		if err := w.sim.Plant(poolP, "updating"); err != nil {
			t.Fatal(err)
		}
		if err := w.sim.Plant(authE, "ready"); err != nil {
			t.Fatal(err)
		}
		pools, err := w.cluster().NodePools().List().SendContext(t.Context())
		if err != nil || pools.Total() != 1 || pools.Items().Get(0).Status().State().NodePoolStateValue() != "updating" {
			t.Errorf("pools: %v %+v", err, pools.Items())
		}
		auths, err := w.cluster().ExternalAuthConfig().ExternalAuths().List().SendContext(t.Context())
		if err != nil || auths.Total() != 1 || auths.Items().Get(0).Status().State().Value() != "ready" {
			t.Errorf("external auths: %v %+v", err, auths.Items())
		}
		checks, err := w.cluster().InflightChecks().List().SendContext(t.Context())
		if err != nil || checks.Total() != 0 {
			t.Errorf("inflight checks: %v %+v", err, checks.Items())
		}
		if err := w.sim.PlantObject(cssim.Planted{
			InternalID: clusterC, State: "error", ErrorCode: "OCM4001", ErrorMessage: "m",
			InflightChecks: []json.RawMessage{[]byte(`{"kind":"InflightCheck","id":"1","state":"failed","details":{"error":"why"}}`)},
		}); err != nil {
			t.Fatal(err)
		}
		checks, err = w.cluster().InflightChecks().List().SendContext(t.Context())
		if err != nil || checks.Total() != 1 || checks.Items().Get(0).State() != "failed" {
			t.Errorf("inflight checks: %v %+v", err, checks.Items())
		}
		if config, err := w.cluster().ExternalAuthConfig().Get().SendContext(t.Context()); err != nil || config.Body().State() != "enabled" {
			t.Errorf("external auth config: %v", err)
		}
	})
}

func TestPlant(t *testing.T) {
	cases := []struct{ path, state, want string }{
		{clusterC, "validating", "validating pending installing ready"},
		{clusterC, "pending", "pending installing ready"},
		{clusterC, "installing", "installing ready"},
		{clusterC, "updating", "updating ready"},
		{clusterC, "uninstalling", "uninstalling gone"},
		{poolP, "installing", "installing ready"},
		{poolP, "validating_update", "validating_update pending_update updating ready"},
		{poolP, "pending_update", "pending_update updating ready"},
		{poolP, "updating", "updating ready"},
		{poolP, "uninstalling", "uninstalling gone"},
		{authE, "uninstalling", "uninstalling gone"},
		// These stay.
		{clusterC, "ready", "ready"},
		{clusterC, "error", "error"},
		{clusterC, "gone", "gone"},
		{clusterC, "hibernating", "hibernating"},
		{poolP, "recoverable_error", "recoverable_error"},
		{authE, "error", "error"},
		{authE, "", ""},
	}
	for _, c := range cases {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, cssim.Options{})
			body := fmt.Sprintf(`{"internalId":%q,"state":%q}`, strings.Replace(c.path, "aro_hcp/v1alpha1", "Clusters_Mgmt/v1", 1), c.state)
			w.want(201, "POST", "/_simulator/objects", body)
			words := strings.Fields(c.want)
			if len(words) < 2 {
				time.Sleep(time.Hour)
				if got := w.state(c.path); got != c.want {
					t.Errorf("%s planted in %q is %q after an hour", c.path, c.state, got)
				}
				return
			}
			wantStates(t, w.watch(c.path, words[len(words)-1]), c.want)
			if parent := w.state(clusterC); c.path != clusterC && parent != "ready" {
				t.Errorf("parent is %q, want ready", parent)
			}
		})
	}
}

func TestPlantAgainAndSince(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, cssim.Options{})
		if err := w.sim.Plant(poolP, "ready"); err != nil {
			t.Fatal(err)
		}
		w.want(204, "DELETE", clusterC, "")
		if err := w.sim.Plant(clusterC, "ready"); err != nil { // takes the delete back
			t.Fatal(err)
		}
		time.Sleep(time.Hour)
		if c, p := w.state(clusterC), w.state(poolP); c != "ready" || p != "ready" {
			t.Errorf("cluster %q, pool %q, want both ready", c, p)
		}
		if err := w.sim.PlantObject(cssim.Planted{
			InternalID: clusterC, State: "uninstalling", Since: time.Now().Add(-7 * time.Minute),
		}); err != nil {
			t.Fatal(err)
		}
		gone := w.watch(poolP, "gone")
		wantStates(t, gone, "ready gone")
		wantSpan(t, "the rest", gone[1].after, time.Minute, 8*time.Minute)
		if err := w.sim.Plant(poolP, "ready"); err != nil { // the cluster comes back for it
			t.Fatal(err)
		}
		if got := w.state(clusterC); got != "ready" {
			t.Errorf("cluster is %q, want ready", got)
		}
		if err := w.sim.Plant(clusterC, "gone"); err != nil {
			t.Fatal(err)
		}
		if got := w.state(poolP); got != "gone" {
			t.Errorf("pool of a cluster planted as gone is %q", got)
		}
	})
}

func TestJournal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, cssim.Options{Speed: 60})
		start := time.Now()
		w.want(201, "POST", "/api/clusters_mgmt/v1/clusters", `{"id":"c"}`)
		time.Sleep(2 * time.Second)
		w.want(200, "GET", clusterC, "")
		time.Sleep(3 * time.Second)
		w.want(200, "GET", clusterC+"/status", "") // not the first of this agent any more
		if _, err := w.clusters().List().SendContext(t.Context()); err != nil {
			t.Fatal(err)
		}
		if m := w.sim.Journal().Objects[0].Mutations[0]; m.Outcome != "" || !m.OutcomeAt.IsZero() {
			t.Errorf("outcome is told before it is there: %+v", m)
		}
		time.Sleep(time.Minute)
		w.want(200, "PATCH", clusterC, `{}`)
		w.want(204, "DELETE", clusterC, "") // overtakes the update
		time.Sleep(10 * time.Second)
		w.want(200, "GET", clusterC+"/status", "")
		time.Sleep(time.Minute)
		w.want(404, "GET", clusterC, "")

		var j cssim.Journal
		if err := json.Unmarshal([]byte(w.want(200, "GET", "/_simulator/journal", "")), &j); err != nil {
			t.Fatal(err)
		}
		if len(j.Objects) != 1 || j.Objects[0].InternalID != clusterC || !j.Objects[0].Gone || len(j.Objects[0].Mutations) != 3 {
			t.Fatalf("journal: %+v", j)
		}
		create, update, remove := j.Objects[0].Mutations[0], j.Objects[0].Mutations[1], j.Objects[0].Mutations[2]
		if create.Kind != "create" || !create.At.Equal(start) || create.Outcome != "ready" {
			t.Errorf("create: %+v", create)
		}
		wantSpan(t, "create", create.OutcomeAt.Sub(create.At), 12*time.Second, 20*time.Second)
		if got := create.FirstRead["raw"].Sub(start); got != 2*time.Second {
			t.Errorf("first read by raw after %v, want 2s: %v", got, create.FirstRead)
		}
		if got := create.FirstRead["frontend"].Sub(start); got != 5*time.Second {
			t.Errorf("first read by frontend (a list) after %v, want 5s: %v", got, create.FirstRead)
		}
		if update.Kind != "update" || update.Outcome != "" || len(update.FirstRead) != 0 {
			t.Errorf("update: %+v", update)
		}
		if remove.Kind != "delete" || remove.Outcome != "gone" || remove.FirstRead["raw"].Sub(remove.At) != 10*time.Second {
			t.Errorf("delete: %+v", remove)
		}
	})
}
