package cssim_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	clustersmgmt "github.com/openshift-online/ocm-sdk-go/clustersmgmt/v1"

	"opfeed/cs/cssim"
)

const (
	credentials = "/api/clusters_mgmt/v1/clusters/c/break_glass_credentials"
	credentialB = credentials + "/b"
)

func (w *world) credentials() *clustersmgmt.BreakGlassCredentialsClient {
	return w.sdk.ClustersMgmt().V1().Clusters().Cluster("c").BreakGlassCredentials()
}

func (w *world) credential() *clustersmgmt.BreakGlassCredential {
	w.t.Helper()
	resp, err := w.credentials().BreakGlassCredential("b").Get().SendContext(w.t.Context())
	if err != nil {
		w.t.Fatal(err)
	}
	return resp.Body()
}

// watchCredential looks once a second, until a state is reached or two hours have
// passed. A kubeconfig is there when the credential is issued, and only then.
func (w *world) watchCredential(until string) []seen {
	w.t.Helper()
	start := time.Now()
	var states []seen
	for time.Since(start) <= 2*time.Hour {
		c := w.credential()
		s := string(c.Status())
		if len(states) == 0 || states[len(states)-1].state != s {
			states = append(states, seen{s, time.Since(start)})
		}
		if _, has := c.GetKubeconfig(); has != (s == "issued") || has != strings.Contains(c.Kubeconfig(), cssim.FakeSecret) {
			w.t.Fatalf("%s: kubeconfig %q", s, c.Kubeconfig())
		}
		if _, has := c.GetRevocationTimestamp(); has != (s == "revoked") {
			w.t.Fatalf("%s: revocation timestamp %v", s, c.RevocationTimestamp())
		}
		if s == until {
			return states
		}
		time.Sleep(time.Second)
	}
	w.t.Fatalf("%q not reached: %v", until, states)
	return nil
}

func plant(t *testing.T, sim *cssim.Server, p cssim.Planted) {
	t.Helper()
	if err := sim.PlantObject(p); err != nil {
		t.Fatal(err)
	}
}

func TestLifeOfACredential(t *testing.T) {
	for seed := range uint64(5) {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, cssim.Options{Seed: seed})
			plant(t, w.sim, cssim.Planted{InternalID: clusterC, State: "ready"})
			start := time.Now()
			body, err := clustersmgmt.NewBreakGlassCredential().ID("b").Username("me").Build()
			if err != nil {
				t.Fatal(err)
			}
			added, err := w.credentials().Add().Body(body).SendContext(t.Context())
			if err != nil || added.Status() != 201 || added.Body().Status() != "created" || added.Body().Username() != "me" || added.Body().HREF() != credentialB {
				t.Fatalf("add: %v %+v", err, added.Body())
			}
			issued := w.watchCredential("issued")
			wantStates(t, issued, "created issued")
			wantSpan(t, "issue", issued[1].after, time.Minute, 4*time.Minute+time.Second)

			if end := w.credential().ExpirationTimestamp(); !end.Equal(start.Add(24 * time.Hour)) {
				t.Errorf("expires at %v", end)
			}
			if _, err := w.credentials().Delete().SendContext(t.Context()); err != nil {
				t.Fatal(err)
			}
			w.want(204, "DELETE", credentials, "") // again: nothing new
			revoked := w.watchCredential("revoked")
			if revoked[0].state == "issued" {
				wantSpan(t, "stale phase", revoked[1].after, 0, 4*time.Second)
				revoked = revoked[1:]
			}
			wantStates(t, revoked, "awaiting_revocation revoked")
			wantSpan(t, "revocation", revoked[1].after, time.Minute, 5*time.Minute+4*time.Second)
			if at := w.credential().RevocationTimestamp(); time.Since(at) > time.Second || at.After(time.Now()) {
				t.Errorf("revoked at %v, want now", at)
			}
			w.want(204, "DELETE", credentials, "") // nothing to revoke
			time.Sleep(48 * time.Hour)
			wantStates(t, w.watchCredential("revoked"), "revoked")

			objects := w.sim.Journal().Objects
			m := objects[len(objects)-1].Mutations
			if len(m) != 2 || m[0].Kind != "create" || m[0].Outcome != "issued" || m[1].Kind != "revoke" || m[1].Outcome != "revoked" ||
				m[0].FirstRead["frontend"].IsZero() || m[1].FirstRead["frontend"].IsZero() {
				t.Errorf("journal: %+v", m)
			}
		})
	}
}

func TestCredentialsExpire(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, cssim.Options{StaleAfterDelete: -1})
		plant(t, w.sim, cssim.Planted{InternalID: clusterC, State: "ready"})
		end := time.Now().Add(10 * time.Minute)
		w.want(201, "POST", credentials, `{"id":"b","kubeconfig":"mine","status":"issued","expiration_timestamp":"`+end.UTC().Format(time.RFC3339)+`"}`)
		states := w.watchCredential("expired")
		wantStates(t, states, "created issued expired")
		wantSpan(t, "life", states[2].after, 10*time.Minute, 10*time.Minute+time.Second)
		// What has expired is not revoked.
		w.want(204, "DELETE", credentials, "")
		wantStates(t, w.watchCredential("expired"), "expired")
	})
}

func TestCredentialsFail(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, cssim.Options{FailureRate: 1, StaleAfterDelete: -1})
		plant(t, w.sim, cssim.Planted{InternalID: clusterC, State: "ready"})
		w.want(201, "POST", credentials, `{"id":"b"}`)
		wantStates(t, w.watchCredential("failed"), "created failed")
		plant(t, w.sim, cssim.Planted{InternalID: credentialB, State: "issued"})
		w.want(204, "DELETE", credentials, "")
		wantStates(t, w.watchCredential("failed"), "awaiting_revocation failed")
	})
}

func TestPlantedCredentials(t *testing.T) {
	for state, want := range map[string]string{
		"created":             "created issued expired",
		"issued":              "issued expired",
		"awaiting_revocation": "awaiting_revocation revoked",
		"revoked":             "revoked",
		"failed":              "failed",
		"expired":             "expired",
		"dreaming":            "dreaming",
	} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, cssim.Options{Durations: cssim.Durations{CredentialLife: cssim.Between{Min: 10 * time.Minute, Max: 10 * time.Minute}}})
			plant(t, w.sim, cssim.Planted{InternalID: credentialB, State: state})
			words := strings.Fields(want)
			wantStates(t, w.watchCredential(words[len(words)-1]), want)
		})
	}
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, cssim.Options{})
		plant(t, w.sim, cssim.Planted{InternalID: credentialB, State: "issued", Expires: time.Now().Add(time.Minute)})
		if states := w.watchCredential("expired"); states[1].after != time.Minute {
			t.Errorf("%v", states)
		}
		plant(t, w.sim, cssim.Planted{InternalID: credentialB, State: "gone"})
		w.want(404, "GET", credentialB, "")
	})
}

func TestCredentialsGoWithTheirCluster(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, cssim.Options{})
		plant(t, w.sim, cssim.Planted{InternalID: credentialB, State: "issued"})
		plant(t, w.sim, cssim.Planted{InternalID: credentials + "/r", State: "awaiting_revocation"})
		w.want(204, "DELETE", clusterC, "")
		w.want(400, "POST", credentials, `{"id":"late"}`)
		w.want(204, "DELETE", credentials, "") // what is going is not revoked
		for w.state(clusterC) != "gone" {
			if s := w.credential().Status(); s != "issued" {
				t.Fatalf("%s while the cluster is there", s)
			}
			time.Sleep(time.Second)
		}
		for _, path := range []string{credentials, credentialB, credentials + "/r"} {
			w.want(404, "GET", path, "")
		}
		w.want(404, "DELETE", credentials, "")
		w.want(404, "POST", credentials, `{}`)
		for _, o := range w.sim.Journal().Objects {
			if m := o.Mutations[len(o.Mutations)-1]; !o.Gone || m.Outcome != "gone" {
				t.Errorf("%+v", o)
			}
		}
	})
}

// TestFakeSecretStaysInside: neither the journal nor the log of requests has a
// kubeconfig, so that an administrator may show them.
func TestFakeSecretStaysInside(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, cssim.Options{})
		plant(t, w.sim, cssim.Planted{InternalID: credentialB, State: "issued"})
		for _, path := range []string{credentials, credentialB} {
			if !strings.Contains(w.want(200, "GET", path, ""), cssim.FakeSecret) {
				t.Errorf("%s has no kubeconfig", path)
			}
		}
		for _, path := range []string{"/_simulator/journal", "/_simulator/requests"} {
			text := w.want(200, "GET", path, "")
			if !strings.Contains(text, "break_glass_credentials/b") || strings.Contains(text, cssim.FakeSecret) {
				t.Errorf("%s: %s", path, text)
			}
		}
	})
}

func TestSearchAndOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, cssim.Options{})
		for id, state := range map[string]string{"a": "issued", "b": "revoked", "d": "issued", "e": "failed"} {
			plant(t, w.sim, cssim.Planted{InternalID: credentials + "/" + id, State: state})
		}
		for i := range 3 {
			w.want(201, "POST", "/api/aro_hcp/v1alpha1/clusters", fmt.Sprintf(
				`{"id":"x%d","azure":{"resource_name":"n%d","subscription_id":"s"}}`, i, i))
		}
		const clusters = "/api/aro_hcp/v1alpha1/clusters"
		for _, c := range []struct {
			path, search, order string
			want                string // the ids, or 400
		}{
			{credentials, "", "", "a b d e"},
			{credentials, "", "id desc", "e d b a"},
			{credentials, "", " ID  ASC ", "a b d e"},
			{credentials, "", "id", "a b d e"},
			{credentials, "", "status", "400"},
			{credentials, "", "id asc, status", "400"},
			{credentials, "status='issued'", "", "a d"},
			{credentials, "status = 'issued' and id in ('b','d')", "", "d"},
			{credentials, "id='b' OR status='failed'", "id desc", "e b"},
			{credentials, "id='b' or status='issued' and id='d'", "", "b d"},
			{credentials, "(id='b' or status='issued') and id='d'", "", "d"},
			{credentials, "id in('a' , 'b')", "", "a b"},
			{credentials, "status in ('revoked','failed')", "", "b e"},
			{credentials, "id = 'A'", "", ""},
			{credentials, "id = 'a'' or ''1'", "", ""},
			{credentials, "id = 'a' or '1' = '1'", "", "400"},
			{credentials, "id = 'a", "", "400"},
			{credentials, "id = a", "", "400"},
			{credentials, "id in 'a'", "", "400"},
			{credentials, "id in ('a'", "", "400"},
			{credentials, "id in ('a',)", "", "400"},
			{credentials, "id", "", "400"},
			{credentials, "id = 'a' and", "", "400"},
			{credentials, "id = 'a' id = 'b'", "", "400"},
			{credentials, "'id' = 'a'", "", "400"},
			{credentials, "(id = 'a'", "", "400"},
			{credentials, "azure.resource_name = 'n1'", "", "400"},
			{credentials, strings.Repeat("(", 40) + "id='a'" + strings.Repeat(")", 40), "", "400"},
			{clusters, "azure.subscription_id = 's' and azure.resource_name = 'n1'", "", "x1"},
			{clusters, "azure.subscription_id = 's'", "id desc", "x2 x1 x0"},
			{clusters, "azure.tenant_id = ''", "", ""},
			{clusters, "azure. = ''", "", "400"},
			{clusters, "status = 'ready'", "", "400"},
			{clusterC + "/external_auth_config/external_auths", "", "id asc", "400"},
		} {
			query := ""
			if c.search != "" {
				query += "&search=" + strings.NewReplacer(" ", "%20").Replace(c.search)
			}
			if c.order != "" {
				query += "&order=" + strings.ReplaceAll(c.order, " ", "%20")
			}
			status, _, text := w.do("GET", c.path+"?size=50"+query, "")
			got := fmt.Sprint(status)
			if status == 200 {
				var list struct{ Items []struct{ ID string } }
				if err := json.Unmarshal([]byte(text), &list); err != nil {
					t.Fatal(err)
				}
				var ids []string
				for _, item := range list.Items {
					ids = append(ids, item.ID)
				}
				got = strings.Join(ids, " ")
			}
			if got != c.want {
				t.Errorf("%s search %q order %q: %q, want %q", c.path, c.search, c.order, got, c.want)
			}
		}
	})
}

func TestFailedChecks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		count := func(w *world, path string) string {
			counts := map[string]int{}
			for page := 1; ; page++ {
				var list struct {
					Total int
					Items []struct {
						State   string
						Details struct{ Error string }
					}
				}
				text := w.want(200, "GET", fmt.Sprintf("%s/inflight_checks?page=%d", path, page), "")
				if err := json.Unmarshal([]byte(text), &list); err != nil {
					t.Fatal(err)
				}
				if len(list.Items) == 0 {
					return fmt.Sprint(counts)
				}
				for _, check := range list.Items {
					counts[check.State]++
					if (check.State == "failed") != (check.Details.Error != "") {
						t.Errorf("%+v", check)
					}
				}
			}
		}
		w := newWorld(t, cssim.Options{FailureRate: 1, FailedChecks: 3, Seed: 4, Speed: 60})
		failures := map[string]bool{}
		for i := range 12 {
			path := fmt.Sprintf("%s%d", clusterC, i)
			w.want(201, "POST", "/api/aro_hcp/v1alpha1/clusters", fmt.Sprintf(`{"id":"c%d"}`, i))
			if got := count(w, path); strings.Contains(got, "failed") || got == "map[]" {
				t.Errorf("at first: %s", got)
			}
			w.watch(path, "error")
			if !strings.Contains(w.want(200, "GET", path+"/status", ""), `"provision_error_code":"OCM4001"`) {
				t.Error("the error is another one")
			}
			failures[count(w, path)] = true
		}
		for n := 1; n <= 3; n++ {
			if !failures[fmt.Sprintf("map[failed:%d passed:2]", n)] {
				t.Errorf("never %d failed checks: %v", n, failures)
			}
		}
		if len(failures) != 3 {
			t.Errorf("failures: %v", failures)
		}
		plant(t, w.sim, cssim.Planted{InternalID: clusterC, State: "error", FailedChecks: 250})
		if got := count(w, clusterC); got != "map[failed:250 passed:2]" {
			t.Error(got)
		}
		if !strings.Contains(w.want(200, "GET", clusterC+"/status", ""), `"provision_error_code":"OCM4001"`) {
			t.Error("the planted error is another one")
		}
	})
}
