package operations

import (
	"bytes"
	"fmt"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap/zapcore"

	"opfeed/cs/cssim"
	"opfeed/processor/dispatch"
)

// TestLesson06CanceledSurvives: a poll of the predecessor that had begun before a
// front end canceled an operation wrote Provisioning over it, and the operation was
// pending again, for nobody. Here a write asks for the version that was looked at,
// and what is read after a conflict is not decided about if it has ended.
func TestLesson06CanceledSurvives(t *testing.T) {
	for _, when := range []string{"before the look", "unheard of", "between look and write", "during the write", "after a conflict"} {
		for state, request := range map[string]string{"installing": Create, "ready": Create, "updating": Update} {
			t.Run(when+", "+state, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					r := newRig(t)
					etag := r.put(operationDoc("op-1", request))
					r.put(clusterDoc("r1", "op-1"))
					r.plant(clusterID, state)
					c := dispatch.Change{Key: key("op-1"), ETag: etag, Document: r.get("op-1")}
					var theirs []map[string]string
					switch when {
					case "before the look":
						theirs = r.supersede()
						c.Document = nil
					case "unheard of":
						theirs = r.supersede() // and the feed has not told yet
					}
					apply, err := r.h.Handle(t.Context(), c)
					if err != nil {
						t.Fatal(err)
					}
					if when == "between look and write" {
						theirs = r.supersede()
					}
					batches := 0
					r.cosmos.before = func(req *http.Request) error {
						if !isBatch(req) {
							return nil
						}
						batches++
						switch {
						case when == "during the write" && batches == 1, when == "after a conflict" && batches == 2:
							theirs = r.supersede()
						case when == "after a conflict" && batches == 1:
							r.change("r1", "/properties/touched", true)
						}
						return nil
					}
					step, err := apply(t.Context())
					if err != nil || step.Verdict != dispatch.Done || (batches == 0) != (when == "before the look") {
						t.Errorf("have %+v, %v after %d batches", step, err, batches)
					}
					r.unchanged(theirs)
				})
			})
		}
	}
}

// TestLesson08UnchangedPollsWriteNothing: to the predecessor an answer that changed
// nothing was an error: counted, logged, and, where ARM was to be notified, the
// document was written again with a new lastTransitionTime, every ten seconds. Here
// such a look is no event at all, notificationUri or not.
func TestLesson08UnchangedPollsWriteNothing(t *testing.T) {
	const pool = clusterID + "/node_pools/n1"
	for _, c := range []struct{ request, object, state, status string }{
		{Create, clusterID, "pending", Accepted},
		{Create, clusterID, "validating", Accepted},
		{Create, clusterID, "installing", Provisioning},
		{Update, clusterID, "updating", Updating},
		{Update, pool, "pending_update", Updating},
		{Delete, clusterID, "uninstalling", Deleting},
		{Delete, pool, "ready", Deleting},
		{Create, pool, "recoverable_error", Provisioning},
		{RequestCredential, credentialID, "created", Provisioning},
		{RevokeCredentials, clusterID, "awaiting_revocation", Deleting},
	} {
		for _, uri := range []string{"", "https://management.azure.com/x"} {
			t.Run(fmt.Sprintf("%s %s, uri %t", c.request, c.state, uri != ""), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					r := newRig(t)
					planted := c.object
					if c.request == RevokeCredentials {
						planted = credentialID
					}
					r.plant(clusterID, "ready")
					r.plant(planted, c.state)
					d, resource := with(operationDoc("op-1", c.request), c.status), clusterDoc("r1", "op-1")
					props(d)["internalId"], props(resource)["provisioningState"] = c.object, c.status
					if uri != "" {
						props(d)["notificationUri"] = uri
					}
					r.put(d)
					r.put(resource)
					before, resourceBefore := r.get("op-1"), r.get("r1")
					s := dispatch.Change{Key: key("op-1"), Source: dispatch.Feed}
					for range 20 {
						// Nothing happens to the object meanwhile.
						if err := r.sim.PlantObject(cssim.Planted{InternalID: planted, State: c.state}); err != nil {
							t.Fatal(err)
						}
						step, err := r.step(s)
						if err != nil || step.Verdict != dispatch.Again || step.After != 10*time.Second || step.Label != c.status {
							t.Fatalf("have %+v, %v", step, err)
						}
						s = next(s, step)
						time.Sleep(step.After)
					}
					if !bytes.Equal(before, r.get("op-1")) || !bytes.Equal(resourceBefore, r.get("r1")) {
						t.Errorf("written: %s, %s", r.get("op-1"), r.get("r1"))
					}
					if n := r.cosmos.requests(func(req *http.Request) bool { return req.Method != http.MethodGet && !isQuery(req) }); n != 0 {
						t.Errorf("%d requests that write", n)
					}
					for _, e := range r.logs.All() {
						if e.Level >= zapcore.WarnLevel {
							t.Errorf("logged: %s", e.Message)
						}
					}
					if n, all := r.metric("opfeed_operations_handled_total", "result=error"), r.metric("opfeed_operations_handled_total"); n != 0 || all != 20 {
						t.Errorf("%v errors of %v", n, all)
					}
				})
			})
		}
	}
}
