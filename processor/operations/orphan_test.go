package operations

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"opfeed/processor/dispatch"
)

const orphanMessage = "resource names an operation that does not exist"

// TestOrphans: links to nobody cost one query for each list, however many they
// are, and are logged once, but do not stay orphans when their operation comes.
func TestOrphans(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		const n = 250
		for i := range n {
			d := clusterDoc(fmt.Sprintf("r-%d", i), "op-1")
			d["partitionKey"] = fmt.Sprintf("sub-%d", i)
			r.put(d)
		}
		r.put(newestClusterDoc("r1", "op-1"))
		r.cosmos.requests(all)
		for i, want := range []int{2 + 3, 2 + 1, 2 + 1} { // links and operations; then orphans
			if list := r.list(false); len(list) != 0 {
				t.Errorf("%d listed", len(list))
			}
			if have := r.cosmos.requests(isQuery); have != want {
				t.Errorf("list %d: %d queries, want %d", i, have, want)
			}
			time.Sleep(time.Minute)
		}
		if have := r.logs.FilterMessage(orphanMessage).Len(); have != n+1 || r.metric("opfeed_orphan_links") != n+1 ||
			r.metric("opfeed_operations_left_alone_total", "reason=no_operation") != n+1 {
			t.Errorf("logged %d, gauge %v", have, r.metric("opfeed_orphan_links"))
		}
		r.change("r1", "/properties/touched", 1)
		r.list(false)
		if have := r.logs.FilterMessage(orphanMessage).Len(); have != n+2 {
			t.Errorf("the new version makes it %d", have)
		}
		if have := len(r.logs.FilterMessage(orphanMessage).All()[0].ContextMap()); have < 4 {
			t.Errorf("%d fields logged", have)
		}

		// A front end writes the operation, active or canceled already; the
		// resource itself does not change.
		r.put(with(operationDoc("op-1", Update), "canceled"))
		r.cosmos.requests(all)
		list := r.list(false)
		if len(list) != 1 || list["r1"].ID != "r1" || r.cosmos.requests(isQuery) != 3 {
			t.Fatalf("%d listed", len(list))
		}
		if step, _ := r.drive(list["r1"]); step.Verdict != dispatch.Done || r.field("r1", "/properties/serviceProviderProperties/provisioningState") != Canceled {
			t.Errorf("have %s", r.get("r1"))
		}
		r.list(false)
		if have := r.metric("opfeed_orphan_links"); have != n {
			t.Errorf("gauge %v", have)
		}
	})
}

// TestOrphanWhoseOperationRanMeanwhile: it was active when listed, so nothing
// that was known before counts.
func TestOrphanWhoseOperationRanMeanwhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.put(clusterDoc("r1", "op-1"))
		r.list(false)
		r.put(operationDoc("op-1", Update))
		if list := r.list(false); len(list) != 1 || r.metric("opfeed_orphan_links") != 0 {
			t.Errorf("%d listed", len(list))
		}
		r.change("op-1", "/properties/status", Canceled)
		time.Sleep(20 * time.Minute) // without a list
		if list := r.list(false); len(list) != 1 || list["r1"].ID != "r1" {
			t.Errorf("%d listed", len(list))
		}
	})
}

// TestLookAtAnOrphanProvesNothing: the look may have been too early, so the same
// version of the resource is looked at again.
func TestLookAtAnOrphanProvesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.put(clusterDoc("r1", "op-1"))
		if step, err := r.step(dispatch.Change{Key: key("r1"), Source: dispatch.List}); err != nil || step.Verdict != dispatch.Done {
			t.Errorf("have %s, %v", step.Verdict, err)
		}
	})
}

// TestOrphansAreSearchedAgain: queries that show too little do not make an orphan
// for ever.
func TestOrphansAreSearchedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.put(clusterDoc("r1", "op-1"))
		r.list(false)
		r.put(with(operationDoc("op-1", Update), Canceled))
		r.cosmos.reply = func(req *http.Request) *http.Response {
			if isQuery(req) && strings.Contains(body(t, req), "@since") {
				return canned(req, http.StatusOK, `{"Documents":[]}`)
			}
			return nil
		}
		for range 59 {
			time.Sleep(time.Minute)
			if list := r.list(false); len(list) != 0 {
				t.Fatalf("%d listed", len(list))
			}
		}
		time.Sleep(time.Minute)
		if list := r.list(false); len(list) != 1 {
			t.Errorf("%d listed", len(list))
		}
	})
}
