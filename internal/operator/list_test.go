package operator_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/data/azcosmos"

	"opfeed/internal/operator"
)

// fill makes a world of each kind, after a replica has looked at it.
func fill(w *world) {
	w.plant(clusterID, "installing")
	w.put(operation("aaaa", "Create", "Accepted", 5*time.Minute))
	w.put(cluster("c1", "aaaa", "Accepted"))
	w.put(operation("bbbb", "Create", "Accepted", 90*time.Second, with("internalId", ""),
		with("externalId", "/subscriptions/s/resourceGroups/g/providers/Microsoft.RedHatOpenShift/hcpOpenShiftClusters/c/nodePools/p")))
	w.put(operation("cccc", "Update", "Succeeded", 2*time.Hour+time.Minute, with("notificationUri", "https://rp.management.azure.com/n?t="+secret)))
	w.put(operation("dddd", "Delete", "Failed", 3*time.Hour))
	w.put(operation("eeee", "Update", "Updating", 50*time.Hour, with("internalId", "/evil/path")))
	w.put(operation("|subscriptions|"+sub+"|providers|microsoft.redhatopenshift|hcpoperationstatuses|ffff", "Delete", "Deleting", time.Minute,
		with("operationId", operationID(other, "ffff")), in(other)))
	stop, _ := w.start()
	time.Sleep(20 * time.Second)
	stop()
}

func TestList(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		want(t, w.list(operator.ListOptions{}), "no operation is active, owed or quarantined\n")
		want(t, w.list(operator.ListOptions{JSON: true}), "[\n]\n")
		fill(w)
		time.Sleep(time.Minute)
		want(t, w.list(operator.ListOptions{}), `
			SUBSCRIPTION                          ID    KIND      REQUEST  STATUS        AGE  INTERNAL ID                        WAITS FOR
			0465bc32-c654-41b8-8d87-9815d7abe8f6  eeee  –         Update   Updating      2d   /evil/path                         a change or a retry, quarantined 80s ago: properties.internalId is not a path of cluster service
			0465bc32-c654-41b8-8d87-9815d7abe8f6  cccc  Cluster   Update   Succeeded     2h   /api/aro_hcp/v1alpha1/clusters/h1  ARM to be told, at rp.management.azure.com
			0465bc32-c654-41b8-8d87-9815d7abe8f6  aaaa  Cluster   Create   Provisioning  6m   /api/aro_hcp/v1alpha1/clusters/h1  cluster service
			0465bc32-c654-41b8-8d87-9815d7abe8f6  bbbb  NodePool  Create   Accepted      2m   –                                  an internalId
			6b690bec-0c16-4ecb-8f67-781caf40bba7  ffff  Cluster   Delete   Deleting      2m   /api/aro_hcp/v1alpha1/clusters/h1  cluster service
			`)
		want(t, w.list(operator.ListOptions{Subscription: strings.ToUpper(other)}), `
			SUBSCRIPTION                          ID    KIND     REQUEST  STATUS    AGE  INTERNAL ID                        WAITS FOR
			6b690bec-0c16-4ecb-8f67-781caf40bba7  ffff  Cluster  Delete   Deleting  2m   /api/aro_hcp/v1alpha1/clusters/h1  cluster service
			`)
		if all := w.list(operator.ListOptions{All: true}); !strings.Contains(all, "  dddd  Cluster   Delete   Failed        3h   /api/aro_hcp/v1alpha1/clusters/h1  –\n") ||
			strings.Count(all, "\n") != 7 {
			t.Errorf("with those that have ended:\n%s", all)
		}
		var rows []map[string]any
		if err := json.Unmarshal([]byte(w.list(operator.ListOptions{JSON: true})), &rows); err != nil {
			t.Fatal(err)
		}
		var have []string
		for _, r := range rows {
			have = append(have, fmt.Sprint(r["name"], " ", r["state"]))
		}
		if want := "eeee quarantined, cccc owed, aaaa active, bbbb active, ffff active"; strings.Join(have, ", ") != want {
			t.Errorf("have %v, want %s", have, want)
		}
		if q, _ := rows[0]["quarantine"].(map[string]any); q["holds"] != true || q["instance"] != "replica-1" {
			t.Errorf("have %v", rows[0])
		}
	})
}

// TestListOfRecordsAlone: what is in quarantine is listed, whatever it is.
func TestListOfRecordsAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		stop, _ := w.start()
		time.Sleep(2 * time.Second)
		w.put([]byte(`{"id":"bad\u0007\"id","partitionKey":"` + sub + `"}`)) // of no type
		time.Sleep(2 * time.Second)
		stop()
		have := w.list(operator.ListOptions{})
		if !strings.Contains(have, sub+"  bad�\"id  –     –        –       –    –            a change or a retry, quarantined ") {
			t.Errorf("have\n%s", have)
		}
		if have := w.show(operator.ShowOptions{ID: "bad�\"id"}); !strings.Contains(have, "quarantined  ") ||
			!strings.Contains(have, "fault            id holds characters that cannot be sent\n") {
			t.Errorf("have\n%s", have)
		}
		if said, refused := w.retry(sub, "bad�\"id"); refused != "" || !strings.Contains(said, "out of quarantine") {
			t.Errorf("have %q, %q", said, refused)
		}
		want(t, w.list(operator.ListOptions{}), "no operation is active, owed or quarantined\n")
	})
}

// TestListOfTenThousand is sorted and whole, over several pages and ranges (with the
// race detector it is of fewer).
func TestListOfTenThousand(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		const n = many
		filler := strings.Repeat("x", 300)
		for s := range 100 {
			partition := fmt.Sprintf("sub-%d", s)
			batch := w.stores.Resources.NewTransactionalBatch(azcosmos.NewPartitionKeyString(partition))
			for i := s; i < n; i += 100 {
				raw, err := json.Marshal(operation(fmt.Sprintf("op-%05d", i), "Create", "Accepted", time.Duration(i)*time.Second,
					in(partition), with("unknown", filler)))
				if err != nil {
					t.Fatal(err)
				}
				batch.CreateItem(raw, nil)
			}
			if reply, err := w.stores.Resources.ExecuteTransactionalBatch(t.Context(), batch, nil); err != nil || !reply.Success {
				t.Fatalf("%v, %v", reply.Success, err)
			}
		}
		before := queries(w)
		lines := strings.Split(strings.TrimSpace(w.list(operator.ListOptions{})), "\n")
		requests := queries(w) - before
		if len(lines) != n+1 {
			t.Fatalf("%d lines", len(lines))
		}
		for i, line := range lines[1:] {
			if id := fmt.Sprintf("  op-%05d  ", n-1-i); !strings.Contains(line, id) {
				t.Fatalf("line %d is %s, want%s", i, line, id)
			}
		}
		if requests < 5 { // there are four ranges
			t.Errorf("%d requests: not page by page", requests)
		}
	})
}

func queries(w *world) (n int64) {
	for _, c := range w.cosmos.Stats().Charges {
		if c.Kind == "crossquery" {
			n += c.Requests
		}
	}
	return n
}
