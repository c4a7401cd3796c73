package cs_test

import (
	"testing"
	"testing/synctest"
	"time"

	"opfeed/cs"
	"opfeed/cs/cssim"
)

func TestClusterFacts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sim := cssim.New(cssim.Options{})
		r := newRig(t, sim)
		start := time.Now().UTC()
		ask(t, sim, "POST", "/api/aro_hcp/v1alpha1/clusters",
			`{"id":"c","azure":{"tenant_id":"t","managed_resource_group_name":"mrg","subscription_id":"s"}}`)
		time.Sleep(time.Hour)
		got, err := r.Cluster(t.Context(), clusterRef)
		if want := (cs.ClusterFacts{ID: "c", Created: start, ManagedResourceGroup: "mrg", TenantID: "t"}); err != nil || got != want {
			t.Errorf("%+v, %v, want %+v", got, err, want)
		}
		// The simulator makes up what was not posted.
		plant(t, sim, cssim.Planted{InternalID: "/api/aro_hcp/v1alpha1/clusters/d", State: "ready"})
		got, err = r.Cluster(t.Context(), cs.Ref{Kind: cs.Cluster, Cluster: "d"})
		if err != nil || got.ManagedResourceGroup == "" || got.TenantID == "" || !got.Created.Equal(start.Add(time.Hour)) {
			t.Errorf("%+v, %v", got, err)
		}
	})
}

// TestClusterFactsOddReplies: facts are those of the cluster that was asked for, or
// there are none.
func TestClusterFactsOddReplies(t *testing.T) {
	for name, c := range map[string]struct {
		status int
		body   string
		sort   string
		want   cs.ClusterFacts
	}{
		"nothing more":    {200, `{"id":"c"}`, fine, cs.ClusterFacts{ID: "c"}},
		"other letters":   {200, `{"id":"C","azure":{"tenant_id":"T"}}`, fine, cs.ClusterFacts{ID: "C", TenantID: "T"}},
		"null azure":      {200, `{"id":"c","azure":null}`, fine, cs.ClusterFacts{ID: "c"}},
		"empty azure":     {200, `{"id":"c","azure":{}}`, fine, cs.ClusterFacts{ID: "c"}},
		"no id":           {200, `{"azure":{"managed_resource_group_name":"m"}}`, answered, cs.ClusterFacts{}},
		"another cluster": {200, `{"id":"d","azure":{"managed_resource_group_name":"m"}}`, answered, cs.ClusterFacts{}},
		"{}":              {200, `{}`, answered, cs.ClusterFacts{}},
		"null":            {200, `null`, answered, cs.ClusterFacts{}},
		"no time":         {200, `{"id":"c","creation_timestamp":"yesterday"}`, answered, cs.ClusterFacts{}},
		"empty":           {200, ``, unavailable, cs.ClusterFacts{}},
		"404":             {404, gone, notFound, cs.ClusterFacts{}},
		"404 no shard":    {404, noRoom, answered, cs.ClusterFacts{}},
		"500":             {500, `{"id":"c"}`, unavailable, cs.ClusterFacts{}},
	} {
		synctest.Test(t, func(t *testing.T) {
			got, err := newRig(t, static(c.status, asJSON, c.body)).Cluster(t.Context(), clusterRef)
			if sortOf(err) != c.sort || got != c.want {
				t.Errorf("%s: %+v, %v, want %s", name, got, err, c.sort)
			}
		})
	}
	if _, err := newRig(t, static(200, asJSON, `{"id":"p"}`)).Cluster(t.Context(), poolRef); sortOf(err) != answered {
		t.Errorf("of a node pool: %v", err)
	}
}
