package operator_test

import (
	"encoding/json"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"opfeed/cs/cssim"
	"opfeed/internal/fault"
	"opfeed/internal/operator"
	"opfeed/internal/service"
)

func TestShow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		fill(w)
		time.Sleep(time.Minute)
		show := func(id string) string { t.Helper(); return w.show(operator.ShowOptions{ID: id}) }
		w.put(doc{"id": "old", "partitionKey": sub, "resourceType": "Microsoft.RedHatOpenShift/hcpOpenShiftClusters",
			"deletionTimestamp": "2000-01-01T00:00:00Z", "ttl": 30, "properties": doc{"provisioningState": "Deleting"},
			"resourceID": "/subscriptions/" + sub + "/resourceGroups/rg/providers/Microsoft.RedHatOpenShift/hcpOpenShiftClusters/C1"})
		for name, c := range map[string]struct {
			id   string
			want string
		}{
			"active": {"aaaa", `
				state            active
				waits for        cluster service
				request          Create Cluster
				status           Provisioning
				started          1999-12-31T23:55:00Z, 6m ago
				last transition  2000-01-01T00:00:00Z, 80s ago
				resource id      /subscriptions/0465bc32-c654-41b8-8d87-9815d7abe8f6/resourceGroups/rg/providers/Microsoft.RedHatOpenShift/hcpOpenShiftClusters/c1
				internal id      /api/aro_hcp/v1alpha1/clusters/h1
				resource         c1
				                 Microsoft.RedHatOpenShift/hcpOpenShiftClusters, state Provisioning, names operation aaaa
				resource         old
				                 Microsoft.RedHatOpenShift/hcpOpenShiftClusters, state Deleting, names no operation, softly deleted
				cluster service  state "installing"
				next             kept as it is: unchanged; next look after 10s
				                 as at a first look: a replica that has looked before has seen more, and may decide more
				`},
			"without an internal id": {"bbbb", `
				state            active
				waits for        an internalId
				request          Create NodePool
				status           Accepted
				started          1999-12-31T23:58:30Z, 2m ago
				last transition  1999-12-31T23:58:30Z, 2m ago
				resource id      /subscriptions/s/resourceGroups/g/providers/Microsoft.RedHatOpenShift/hcpOpenShiftClusters/c/nodePools/p
				resource         none names this operation
				cluster service  not asked: no internal id yet
				next             kept as it is: no internal id yet; next look after 10s
				                 as at a first look: a replica that has looked before has seen more, and may decide more
				`},
			"owed": {"cccc", `
				state            owed
				waits for        ARM to be told, at rp.management.azure.com
				request          Update Cluster
				status           Succeeded
				started          1999-12-31T21:59:00Z, 2h ago
				last transition  1999-12-31T21:59:00Z, 2h ago
				resource id      /subscriptions/0465bc32-c654-41b8-8d87-9815d7abe8f6/resourceGroups/rg/providers/Microsoft.RedHatOpenShift/hcpOpenShiftClusters/c1
				internal id      /api/aro_hcp/v1alpha1/clusters/h1
				to be notified   rp.management.azure.com
				resource         old
				                 Microsoft.RedHatOpenShift/hcpOpenShiftClusters, state Deleting, names no operation, softly deleted
				cluster service  not asked: operation has ended
				`},
			"quarantined": {"eeee", `
				state            quarantined
				waits for        a change or a retry, quarantined 80s ago: properties.internalId is not a path of cluster service
				request          Update
				status           Updating
				fault            properties.internalId is not a path of cluster service
				started          1999-12-29T22:00:00Z, 2d ago
				last transition  1999-12-29T22:00:00Z, 2d ago
				resource id      /subscriptions/0465bc32-c654-41b8-8d87-9815d7abe8f6/resourceGroups/rg/providers/Microsoft.RedHatOpenShift/hcpOpenShiftClusters/c1
				internal id      /evil/path
				resource         old
				                 Microsoft.RedHatOpenShift/hcpOpenShiftClusters, state Deleting, names no operation, softly deleted
				cluster service  not asked: properties.internalId is not a path of cluster service
				quarantined      2000-01-01T00:00:00Z, 80s ago, by replica-1: properties.internalId is not a path of cluster service
				                 ends by itself 2000-01-08T00:00:00Z
				`},
		} {
			have := show(c.id)
			head, rest, _ := strings.Cut(have, "state  ")
			want(t, "state  "+rest, c.want)
			for _, line := range []string{"operation        " + c.id + "\n", "subscription     " + sub + "\n", "document id      " + c.id + "\n", "version          "} {
				if !strings.Contains(head, line) {
					t.Errorf("%s: no %q in\n%s", name, line, head)
				}
			}
		}
		for _, id := range []string{"ffff", "FFFF", operationID(other, "ffff"), strings.ToUpper(operationID(other, "ffff")) + "/",
			"|subscriptions|" + sub + "|providers|microsoft.redhatopenshift|hcpoperationstatuses|ffff"} {
			if have := show(id); !strings.HasPrefix(have, "operation        ffff\nsubscription     "+other+"\n") {
				t.Errorf("%s shows\n%s", id, have)
			}
		}
		if said, refused := w.retry("", "no-such"); said != "" || refused != "no operation, and nothing in quarantine, is called no-such" {
			t.Errorf("have %q, %q", said, refused)
		}
	})
}

// TestShowWhatClusterServiceSays: each way in which it may answer or not.
func TestShowWhatClusterServiceSays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.put(operation("del", "Delete", "Deleting", time.Hour, with("internalId", "/api/clusters_mgmt/v1/clusters/gone")))
		w.put(operation("err", "Create", "Provisioning", time.Hour))
		time.Sleep(3 * time.Minute)
		if err := w.cs.PlantObject(cssim.Planted{InternalID: clusterID, State: "error", ErrorCode: "OCM3055", ErrorMessage: "quota\x1b[2J of \u202ecores"}); err != nil {
			t.Fatal(err)
		}
		has := func(id string, lines ...string) {
			t.Helper()
			have := w.show(operator.ShowOptions{ID: id})
			for _, line := range lines {
				if !strings.Contains(have, "\n"+line+"\n") {
					t.Errorf("no %q in\n%s", line, have)
				}
			}
		}
		has("del", "cluster service  there is no /api/aro_hcp/v1alpha1/clusters/gone", "next             kept as it is: gone, to be confirmed; next look after 1s")
		has("err", `cluster service  state "error", OCM3055, quota�[2J of �cores`, "next             Failed: error", "                 with error OCM3055: quota�[2J of �cores")
		var answer struct {
			ClusterService struct{ State, Message string }
			Next           struct {
				Status string
				Error  struct{ Code string }
			}
		}
		if err := json.Unmarshal([]byte(w.show(operator.ShowOptions{ID: "err", JSON: true})), &answer); err != nil ||
			answer.ClusterService.State != "error" || answer.Next.Status != "Failed" || answer.Next.Error.Code != "OCM3055" {
			t.Errorf("have %+v, %v", answer, err)
		}
		var e cssim.Effect
		e.Status = 503
		if err := w.cs.Faults().Add(fault.Rule[cssim.Effect]{Name: "away", Effect: e}); err != nil {
			t.Fatal(err)
		}
		if have := w.show(operator.ShowOptions{ID: "err"}); !strings.Contains(have, "cluster service  no answer: ask cluster service for Cluster: ") || strings.Contains(have, "next ") {
			t.Errorf("have\n%s", have)
		}
		if have := w.status("err"); have != "Provisioning" {
			t.Errorf("to look has written %s", have)
		}
	})
	t.Run("not configured", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, func(c *service.Config) { c.CS.URL = "" })
			w.put(operation("aaaa", "Create", "Accepted", time.Minute))
			if have := w.show(operator.ShowOptions{ID: "aaaa"}); !strings.Contains(have, "cluster service  not asked: cluster service is not configured\n") {
				t.Errorf("have\n%s", have)
			}
		})
	})
}

func TestAmbiguousIDs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.put(operation("same", "Create", "Accepted", time.Hour))
		w.put(operation("same", "Create", "Accepted", time.Hour, in(other), with("operationId", operationID(other, "same"))))
		w.put(operation("alias", "Create", "Accepted", time.Hour, with("operationId", operationID(sub, "same"))))
		candidates := `
			same may mean any of these; name the subscription, the whole document id, or the whole ARM id:
			  SUBSCRIPTION                          DOCUMENT ID  NAME
			  0465bc32-c654-41b8-8d87-9815d7abe8f6  alias        same
			  0465bc32-c654-41b8-8d87-9815d7abe8f6  $doc         same
			  6b690bec-0c16-4ecb-8f67-781caf40bba7  $doc         same`
		_, refused := w.retry("", "same")
		want(t, refused, strings.ReplaceAll(candidates, "$doc", "same"))
		if err := w.o.Show(t.Context(), io.Discard, operator.ShowOptions{ID: "same"}); err == nil || operator.Words(err) != refused {
			t.Errorf("have %v", err)
		}
		// Each can be named all the same.
		for _, c := range []struct{ subscription, id, document string }{
			{sub, "same", "same"}, {strings.ToUpper(sub), "same", "same"}, {other, "same", "same"},
			{"", "alias", "alias"}, {"", operationID(other, "same"), "same"},
		} {
			if have := w.show(operator.ShowOptions{ID: c.id, Subscription: c.subscription}); !strings.Contains(have, "\ndocument id      "+c.document+"\n") {
				t.Errorf("%+v shows\n%s", c, have)
			}
		}
		if _, refused := w.retry("", operationID(sub, "same")); !strings.Contains(refused, "alias") || strings.Contains(refused, other) {
			t.Errorf("have %s", refused)
		}
	})
}

// TestByResource: the ARM id of a resource, in any case, is that of its operation
// that has not ended, else of the last.
func TestByResource(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		const id = "/subscriptions/" + sub + "/resourcegroups/RG/providers/Microsoft.RedHatOpenShift/hcpOpenShiftClusters/c1"
		shows := func(id, document string) {
			t.Helper()
			if have := w.show(operator.ShowOptions{ID: id}); !strings.Contains(have, "\ndocument id      "+document+"\n") {
				t.Errorf("%s is not that of %s:\n%s", id, document, have)
			}
		}
		if err := w.o.Show(t.Context(), io.Discard, operator.ShowOptions{ID: id}); err == nil || !strings.Contains(operator.Words(err), "no operation") {
			t.Errorf("before there is one: %v", err)
		}
		w.put(operation("created", "Create", "Succeeded", 3*time.Hour))
		w.put(operation("updated", "Update", "Failed", 2*time.Hour))
		w.put(operation("pool", "Create", "Accepted", time.Minute, with("externalId", id+"/nodePools/p")))
		shows(id, "updated")
		w.put(operation("deleting", "Delete", "Deleting", 4*time.Hour)) // by a clock that is behind
		shows(id, "deleting")
		shows(id+"/", "deleting")
		shows(id+"/nodePools/P", "pool")
		// A name is not taken for a resource's.
		if err := w.o.Show(t.Context(), io.Discard, operator.ShowOptions{ID: "c1"}); err == nil {
			t.Error("c1 means something")
		}
	})
}

// TestNobodyTells: where notifications are off, nobody waits for ARM.
func TestNobodyTells(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, func(c *service.Config) { c.Operations.Outbox.Enabled = false })
		w.put(operation("cccc", "Update", "Succeeded", time.Hour, with("notificationUri", "https://rp.management.azure.com/n?t="+secret)))
		if have := w.list(operator.ListOptions{}); !strings.Contains(have, "  nobody, notifications are off\n") || strings.Contains(have, "ARM") {
			t.Errorf("have\n%s", have)
		}
	})
}
