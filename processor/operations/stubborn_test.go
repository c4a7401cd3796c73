package operations

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"opfeed/cs"
	"opfeed/processor/dispatch"
)

func (r *rig) answerCS(f func(req *http.Request) *http.Response) {
	r.service.mu.Lock()
	defer r.service.mu.Unlock()
	r.service.reply = f
}

func jsonAnswer(req *http.Request, status int, body string) *http.Response {
	resp := canned(req, status, body)
	resp.Header.Set("Content-Type", "application/json")
	return resp
}

// untilEnded drives op-1 as the dispatcher does, and returns how long it took.
func (r *rig) untilEnded() time.Duration {
	r.t.Helper()
	began, s := time.Now(), dispatch.Change{Key: key("op-1")}
	for time.Since(began) < 24*time.Hour {
		step, err := r.step(s)
		if err != nil {
			s.Attempt++
			time.Sleep(10 * time.Second)
			continue
		}
		if step.Verdict == dispatch.Done {
			return time.Since(began)
		}
		s = next(s, step)
		time.Sleep(step.After)
	}
	r.t.Errorf("after a day it is %s", r.field("op-1", "/properties/status"))
	return time.Since(began)
}

// TestStaleErrorEndsNoDelete deletes a failed cluster, of which a replica of Cluster
// Service that lags shows the state from before.
func TestStaleErrorEndsNoDelete(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.put(operationDoc("op-1", Delete))
		r.put(resourceDoc("middle", "own", armCluster, "op-1"))
		r.plant(clusterID, "uninstalling")
		s := dispatch.Change{Key: key("op-1")}
		step, err := r.step(s) // the replica that is up to date
		if err != nil {
			t.Fatal(err)
		}
		s = next(s, step)
		time.Sleep(step.After)
		r.plant(clusterID, "error") // the replica that lags: the state from before the DELETE
		if step, err = r.step(s); err != nil {
			t.Fatal(err)
		}
		r.plant(clusterID, "uninstalling")
		if step.Label == Failed {
			t.Errorf("the delete ended as %s by one look at a replica that lags 10 s, state %s, link %q",
				step.Label, r.field("own", "/properties/provisioningState"), r.field("own", "/properties/activeOperationId"))
		}
	})
}

// TestAnswersThatAreNeverHad: where Cluster Service tells the state, but not what goes
// with the outcome, the operation ends without that; where it refuses one object, by
// its deadline.
func TestAnswersThatAreNeverHad(t *testing.T) {
	state := func(req *http.Request, rest string) *http.Response {
		return jsonAnswer(req, http.StatusOK, `{"kind":"ClusterStatus","id":"h1",`+rest+`}`)
	}
	refusal := func(req *http.Request, status int) *http.Response {
		return jsonAnswer(req, status, fmt.Sprintf(`{"kind":"Error","id":"%d","reason":"no"}`, status))
	}
	for name, c := range map[string]struct {
		request string
		answer  func(*http.Request) *http.Response
		most    time.Duration
	}{
		"inflight checks": {Create, func(req *http.Request) *http.Response {
			if strings.Contains(req.URL.Path, "inflight_checks") {
				return refusal(req, http.StatusInternalServerError)
			}
			return state(req, `"state":"error","provision_error_code":"OCM4001"`)
		}, 2 * time.Minute},
		"facts for billing": {Create, func(req *http.Request) *http.Response {
			if !strings.HasSuffix(req.URL.Path, "/status") {
				return refusal(req, http.StatusNotFound)
			}
			return state(req, `"state":"ready"`)
		}, 2 * time.Minute},
		"the state itself": {Update, func(req *http.Request) *http.Response { return refusal(req, http.StatusForbidden) }, 66 * time.Minute},
	} {
		synctest.Test(t, func(t *testing.T) {
			r := newBillingRig(t)
			r.answerCS(c.answer)
			r.put(operationDoc("op-1", c.request))
			r.put(clusterDoc("r1", "op-1"))
			if took := r.untilEnded(); took > c.most {
				t.Errorf("%s: it ended after %v", name, took)
			}
		})
	}
}

// TestEndedThatDoesNotDecode: what has ended is ended, and told, whatever else is
// wrong with it.
func TestEndedThatDoesNotDecode(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, a := newOutboxRig(t)
		d := endedDoc("op-1", Update, Canceled)
		props(d)["internalId"] = 5
		r.put(d)
		r.put(clusterDoc("r1", "op-1"))
		step, err := r.step(dispatch.Change{Key: key("op-1"), Source: dispatch.List})
		t.Logf("operation: %s %s %v", step.Verdict, step.Reason, err)
		if step.Verdict == dispatch.Again {
			time.Sleep(step.After)
			step, err = r.step(next(dispatch.Change{Key: key("op-1")}, step))
			t.Log(step, err)
		}
		link, err := r.step(dispatch.Change{Key: key("r1"), Source: dispatch.List})
		t.Logf("link: %s %s %v", link.Verdict, link.Reason, err)
		if len(a.told()) == 0 {
			t.Errorf("ARM is not told of a stored Canceled")
		}
		if r.field("r1", "/properties/activeOperationId") != "" {
			t.Errorf("resource stays linked to an ended operation: %s", r.get("r1"))
		}
	})
}

// TestTwinThatDoesNotDecode: nor does it keep a resource from what has ended.
func TestTwinThatDoesNotDecode(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.put(with(operationDoc("op-1", Update), Failed))
		twin := with(operationDoc("op-1", Update), Failed)
		twin["id"] = "twin"
		props(twin)["request"] = 7
		r.put(twin)
		r.put(clusterDoc("r1", "op-1"))
		link, err := r.step(dispatch.Change{Key: key("r1"), Source: dispatch.List})
		t.Logf("link: %s %s %v", link.Verdict, link.Reason, err)
		if r.field("r1", "/properties/activeOperationId") != "" {
			t.Errorf("resource stays linked to an ended operation")
		}
	})
}

// TestNoStartTime: then the age counts from when the operation was stored, however
// often its range changes hands.
func TestNoStartTime(t *testing.T) {
	cfg := DefaultConfig()
	t0 := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for restart := range 100 {
		first := t0.Add(time.Duration(restart) * 50 * time.Minute)
		seen := Seen{First: first, Written: t0}
		for at := first; at.Before(first.Add(50 * time.Minute)); at = at.Add(10 * time.Second) {
			d := Next(cfg, Input{Kind: cs.Cluster, Request: Create, Stored: Accepted, Now: at, Seen: seen, Answer: Answer{Status: cs.Status{State: "pending", HasStatus: true}}})
			if d.Status == Failed {
				return
			}
			seen = d.Seen
		}
	}
	t.Errorf("stored %v ago, and never past its deadline of an hour", 100*50*time.Minute)
}

// TestOwnClockAhead: this replica's clock is 10 min ahead of the database's.
func TestOwnClockAhead(t *testing.T) {
	cfg := DefaultConfig()
	right := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	now := right.Add(10 * time.Minute)
	seen := Seen{First: now, Written: right}
	for _, at := range []time.Time{now, now.Add(time.Second), now.Add(2 * time.Second)} {
		d := Next(cfg, Input{Kind: cs.Cluster, Request: Delete, Stored: Deleting, Start: right, Now: at, Skew: right.Sub(now), Seen: seen, Answer: Answer{Gone: true}})
		if d.Status == Succeeded {
			t.Errorf("an object never seen is believed gone %v after the start", at.Sub(now))
			return
		}
		seen = d.Seen
	}
}

// TestOwnClockAheadUnnamed: the same, an hour ahead.
func TestOwnClockAheadUnnamed(t *testing.T) {
	cfg := DefaultConfig()
	right := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	now := right.Add(61 * time.Minute)
	d := Next(cfg, Input{Request: Create, Stored: Accepted, Start: right, Now: now, Skew: right.Sub(now), Seen: Seen{First: now, Written: right}, Answer: Answer{NoID: true}})
	if d.Status == Failed {
		t.Errorf("a create stored this moment is Failed at its first look, without any confirmation: %s", d.Reason)
	}
}

// TestNewDeletionApproach: a deletion that controllers of the newest generation do is
// left to them, with all its documents.
func TestNewDeletionApproach(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.plant(clusterID, "gone")
		op := newestOperationDoc("op-1", Delete)
		props(op)["usesNewClusterDeletionApproach"] = true
		r.put(op)
		r.put(resourceDoc("newest", "own", armCluster, "op-1"))
		time.Sleep(time.Hour)
		step, err := r.step(dispatch.Change{Key: key("op-1")})
		if err != nil || step.Verdict != dispatch.LeftAlone || r.erased("newest", "own") {
			t.Errorf("%v, %v", step.Verdict, err)
		}
	})
}
