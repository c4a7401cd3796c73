package operations

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap/zapcore"

	"opfeed/processor/dispatch"
)

// refuseBatchesWith answers every batch that holds one of these documents as the
// service does when it refuses one document of a batch: the first that it meets.
func (r *rig) refuseBatchesWith(status int, ids ...string) {
	r.cosmos.mu.Lock()
	defer r.cosmos.mu.Unlock()
	r.cosmos.reply = func(req *http.Request) *http.Response {
		if !isBatch(req) {
			return nil
		}
		var list []struct{ ID string }
		if err := json.Unmarshal([]byte(body(r.t, req)), &list); err != nil {
			r.t.Error(err)
		}
		culprit := -1
		for i, d := range list {
			for _, id := range ids {
				if d.ID == id && culprit < 0 {
					culprit = i
				}
			}
		}
		if culprit < 0 {
			return nil
		}
		var results []string
		for i := range list {
			code := http.StatusFailedDependency
			if i == culprit {
				code = status
			}
			results = append(results, fmt.Sprintf(`{"statusCode":%d,"requestCharge":1}`, code))
		}
		return canned(req, http.StatusMultiStatus, "["+strings.Join(results, ",")+"]")
	}
}

// TestOneRefusalOfTheWhole: a proxy may refuse a batch for reasons of its own.
func TestOneRefusalOfTheWhole(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.put(operationDoc("op-1", Create))
		r.put(clusterDoc("r1", "op-1"))
		r.plant(clusterID, "ready")
		n := 0
		r.cosmos.reply = func(req *http.Request) *http.Response {
			if isBatch(req) {
				if n++; n == 1 {
					return canned(req, http.StatusBadRequest, "<html>400 Bad Request</html>")
				}
			}
			return nil
		}
		step, _ := r.drive(dispatch.Change{Key: key("op-1")})
		if step.Verdict != dispatch.Done || step.Label != Succeeded || n != 2 || r.field("r1", "/properties/activeOperationId") != "" {
			t.Errorf("have %s, %s after %d batches", step.Verdict, step.Label, n)
		}
	})
}

// TestRefusalsMustBeInARow: two of them quarantine the operation, with none
// between.
func TestRefusalsMustBeInARow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.put(operationDoc("op-1", Create))
		c := dispatch.Change{Key: key("op-1")}
		for i, look := range []struct {
			state string
			want  dispatch.Verdict
		}{
			{"ready", dispatch.Again}, {"validating", dispatch.Again}, {"ready", dispatch.Again}, {"ready", dispatch.Quarantine},
		} {
			r.plant(clusterID, look.state)
			r.refuseBatchesWith(http.StatusRequestEntityTooLarge, "op-1")
			step, err := r.step(c)
			if err != nil || step.Verdict != look.want || look.want == dispatch.Quarantine && (step.Fault != dispatch.Refused || step.ETag != etagIn(r.get("op-1"))) {
				t.Fatalf("look %d: %s, %v", i, step.Verdict, err)
			}
			c = next(c, step)
			time.Sleep(step.After)
		}
	})
}

// TestResourcesThatCannotBeWritten are left out. The operation ends, and whoever
// else follows it with it; those resources are quarantined themselves, as links.
func TestResourcesThatCannotBeWritten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.put(operationDoc("op-1", Create))
		for _, id := range []string{"bad-1", "bad-2", "good"} {
			r.put(clusterDoc(id, "op-1"))
		}
		r.refuseBatchesWith(http.StatusBadRequest, "bad-1", "bad-2")
		c := dispatch.Change{Key: key("op-1")}
		for _, state := range []string{"installing", "ready"} {
			r.plant(clusterID, state)
			for range 4 {
				step, err := r.step(c)
				if err != nil || step.Verdict == dispatch.Quarantine {
					t.Fatalf("have %s, %v", step.Verdict, err)
				}
				if c = next(c, step); step.Wrote {
					break
				}
				time.Sleep(step.After)
			}
		}
		if have := r.field("op-1", "/properties/status") + " " + r.field("good", "/properties/provisioningState"); have != Succeeded+" "+Succeeded {
			t.Errorf("have %s", have)
		}
		// Once for each resource, though they would have drawn it at the end again.
		if n := r.logs.FilterLevelExact(zapcore.ErrorLevel).Len(); n != 2 {
			t.Errorf("%d errors logged", n)
		}
		list := r.list(false)
		if len(list) != 2 {
			t.Errorf("%d listed", len(list))
		}
		for id, c := range list {
			step, _ := r.drive(c)
			if step.Verdict != dispatch.Quarantine || step.Fault != dispatch.Refused || step.ETag != etagIn(r.get(id)) {
				t.Errorf("%s: %s", id, step.Verdict)
			}
		}
	})
}

// TestLinkBesideAResourceThatCannotBeWritten: the one that can be, is.
func TestLinkBesideAResourceThatCannotBeWritten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.put(with(operationDoc("op-1", Create), Canceled))
		r.put(clusterDoc("bad", "op-1"))
		r.put(clusterDoc("good", "op-1"))
		r.refuseBatchesWith(http.StatusBadRequest, "bad")
		if step, _ := r.drive(dispatch.Change{Key: key("good"), Source: dispatch.List}); step.Verdict != dispatch.Done ||
			r.field("good", "/properties/provisioningState") != Canceled || r.field("bad", "/properties/provisioningState") != Accepted {
			t.Errorf("have %s: %s", step.Verdict, r.get("good"))
		}
	})
}

// TestBackOff: whoever changes a document before each of our batches is not
// answered with a batch every second.
func TestBackOff(t *testing.T) {
	for name, c := range map[string]struct {
		id, looked string
		status     any
	}{
		"operation": {"op-1", "op-1", Accepted}, "its resource": {"r1", "op-1", Accepted}, "link": {"r1", "r1", Succeeded},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t)
				r.put(with(operationDoc("op-1", Create), c.status))
				r.put(clusterDoc("r1", "op-1"))
				r.plant(clusterID, "installing")
				n, on := 0, true
				r.cosmos.before = func(req *http.Request) error {
					if isBatch(req) && on {
						n++
						r.change(c.id, "/properties/touched", n)
					}
					return nil
				}
				change := dispatch.Change{Key: key(c.looked)}
				for _, want := range []time.Duration{time.Second, 2 * time.Second, 4 * time.Second, 8 * time.Second, 10 * time.Second, 10 * time.Second} {
					step, err := r.step(change)
					if err != nil || step.Verdict != dispatch.Again || step.After != want {
						t.Fatalf("have %s after %v, %v; want %v", step.Verdict, step.After, err, want)
					}
					change = next(change, step)
					if c.looked == "op-1" {
						// A version that the feed brings meanwhile waits, too.
						r.change("op-1", "/properties/touched", -n)
						r.cosmos.requests(all)
						fed := dispatch.Change{Key: key("op-1"), Document: r.get("op-1"), ETag: etagIn(r.get("op-1")), Seen: step.Seen, Source: dispatch.Feed}
						time.Sleep(step.After / 4)
						if step, err = r.step(fed); err != nil || step.After != want*3/4 || r.cosmos.requests(all) != 0 {
							t.Fatalf("have %s after %v, %v", step.Verdict, step.After, err)
						}
						change = next(fed, step)
					}
					time.Sleep(step.After)
				}
				on = false
				step, err := r.step(change)
				if err != nil || !step.Wrote {
					t.Fatalf("have %s, %v", step.Verdict, err)
				}
				if seen, ok := step.Seen.(Seen); c.looked == "op-1" && (!ok || seen.Lost != 0 || seen.State != "installing") {
					t.Errorf("have %+v", step.Seen)
				}
			})
		})
	}
}

// TestEndDuringAPauseIsSeenAtOnce: that a version waits is for what has not ended.
func TestEndDuringAPauseIsSeenAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.put(with(operationDoc("op-1", Create), Canceled))
		seen := Seen{First: time.Now(), Request: Create, InternalID: clusterID, Lost: 5, Due: time.Now().Add(time.Minute), ETag: "before"}
		step, err := r.step(dispatch.Change{Key: key("op-1"), Seen: seen, Document: r.get("op-1"), ETag: etagIn(r.get("op-1"))})
		if err != nil || step.Verdict != dispatch.Done {
			t.Errorf("have %s, %v", step.Verdict, err)
		}
	})
}

// TestDeleteByAClockThatIsBehind: an object that Cluster Service does not show
// yet has its grace from when the operation was stored.
func TestDeleteByAClockThatIsBehind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		d := operationDoc("op-1", Delete)
		props(d)["startTime"] = time.Now().Add(-3 * time.Minute).UTC().Format(time.RFC3339)
		r.put(clusterDoc("r1", "op-1"))
		r.put(d)
		stored := time.Now()
		c := dispatch.Change{Key: key("op-1"), Document: r.get("op-1"), ETag: etagIn(r.get("op-1")), Written: stored, Source: dispatch.Feed}
		step, _ := r.drive(c)
		if took := time.Since(stored); step.Label != Succeeded || took < 120*time.Second || took > 125*time.Second {
			t.Errorf("have %s after %v", step.Label, took)
		}
	})
}
