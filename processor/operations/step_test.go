package operations

import (
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap/zapcore"

	"opfeed/processor/dispatch"
)

func TestCreateRunsToItsEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.put(newestOperationDoc("op-1", Create))
		r.put(newestClusterDoc("r1", "op-1"))
		r.plant(clusterID, "validating")
		began := time.Now()
		step, steps := r.drive(dispatch.Change{Key: key("op-1"), Source: dispatch.Feed})
		if step.Verdict != dispatch.Done || step.Label != Succeeded {
			t.Fatalf("have %+v", step)
		}
		labels := []string{}
		for _, s := range steps {
			if len(labels) == 0 || labels[len(labels)-1] != s.Label {
				labels = append(labels, s.Label)
			}
		}
		if want := []string{Accepted, Provisioning, Succeeded}; !slices.Equal(labels, want) {
			t.Errorf("have %v, want %v", labels, want)
		}
		took := time.Since(began)
		if n, most := r.service.requests(all), int(took/(10*time.Second))+2; n > most {
			t.Errorf("%d calls to cluster service in %v", n, took)
		}
		// Two transitions, two versions, nothing else.
		for path, want := range map[string]string{
			"/properties/status": Succeeded, "/properties/cosmosMetadata/instanceVersion": "5", "/properties/error": "",
		} {
			if have := r.field("op-1", path); have != want {
				t.Errorf("%s is %s, want %s", path, have, want)
			}
		}
		for path, want := range map[string]string{
			"/properties/serviceProviderProperties/provisioningState": Succeeded,
			"/properties/serviceProviderProperties/activeOperationId": "",
			"/properties/cosmosMetadata/instanceVersion":              "7",
		} {
			if have := r.field("r1", path); have != want {
				t.Errorf("%s is %s, want %s", path, have, want)
			}
		}
		if n := r.metric("opfeed_operation_transitions_total", "kind=Cluster", "request=Create"); n != 2 {
			t.Errorf("%v transitions counted", n)
		}
		want := []string{"operation seen", "cluster service answered", "cluster service answered", "status written"}
		if have := r.messages("op-1"); !slices.Equal(have[:min(2, len(have))], want[:2]) || have[len(have)-1] != "status written" {
			t.Errorf("the log says %q", have)
		}
		fields := r.logs.FilterMessage("status written").All()[0].ContextMap()
		for _, key := range []string{"subscription_id", "operation", "operation_id", "document_id", "resource_group", "resource_name",
			"resource_id", "hcp_cluster_name", "internal_id", "client_request_id", "correlation_request_id"} {
			if fields[key] == nil {
				t.Errorf("no %s in the log", key)
			}
		}
	})
}

func TestFailureIsToldWithItsCode(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.put(operationDoc("op-1", Create))
		r.put(clusterDoc("r1", "op-1"))
		r.plant(clusterID, "error")
		step, _ := r.drive(dispatch.Change{Key: key("op-1")})
		if step.Verdict != dispatch.Done || r.field("op-1", "/properties/status") != Failed || r.field("r1", "/properties/provisioningState") != Failed {
			t.Errorf("have %+v and %s", step, r.get("op-1"))
		}
		if code, message := r.field("op-1", "/properties/error/code"), r.field("op-1", "/properties/error/message"); code == "" || message == "" {
			t.Errorf("have code %q and message %q", code, message)
		}
	})
}

// TestDelete follows a delete of each generation to the end of its resource.
func TestDelete(t *testing.T) {
	for name, c := range map[string]struct {
		resource func(id, operation string) doc
		want     map[string]string // of the resource; nil = it is gone
	}{
		"older":  {clusterDoc, nil},
		"newest": {newestClusterDoc, map[string]string{"/ttl": "30", "/properties/cosmosMetadata/instanceVersion": "7", "/properties/serviceProviderProperties/activeOperationId": "", "/properties/serviceProviderProperties/provisioningState": Deleting}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t)
				d := operationDoc("op-1", Delete)
				props(d)["status"] = Accepted // to see a write before the end
				r.put(d)
				r.put(c.resource("r1", "op-1"))
				r.plant(clusterID, "ready")
				s := dispatch.Change{Key: key("op-1")}
				step, err := r.step(s)
				if err != nil || step.Verdict != dispatch.Again || step.Label != Accepted {
					t.Fatalf("ready: %+v, %v", step, err)
				}
				time.Sleep(step.After)
				r.plant(clusterID, "uninstalling")
				s = next(s, step)
				if step, err = r.step(s); err != nil || step.Label != Deleting {
					t.Fatalf("uninstalling: %+v, %v", step, err)
				}
				r.plant(clusterID, "gone")
				time.Sleep(step.After)
				s = next(s, step)
				if step, err = r.step(s); err != nil || step.Verdict != dispatch.Again || step.After != time.Second {
					t.Fatalf("gone once: %+v, %v", step, err)
				}
				time.Sleep(step.After)
				s = next(s, step)
				if step, err = r.step(s); err != nil || step.Verdict != dispatch.Done || step.Label != Succeeded {
					t.Fatalf("gone twice: %+v, %v", step, err)
				}
				if r.field("op-1", "/properties/status") != Succeeded {
					t.Errorf("have %s", r.get("op-1"))
				}
				if c.want == nil {
					if raw := r.get("r1"); raw != nil {
						t.Errorf("resource is still there: %s", raw)
					}
					return
				}
				for path, want := range c.want {
					if have := r.field("r1", path); have != want {
						t.Errorf("%s is %s, want %s", path, have, want)
					}
				}
				if _, err := time.Parse(time.RFC3339, r.field("r1", "/deletionTimestamp")); err != nil {
					t.Error(err)
				}
				time.Sleep(31 * time.Second)
				if r.get("r1") != nil {
					t.Error("resource has not expired")
				}
			})
		})
	}
}

// TestUpdateIsNotEndedByTheStateBefore follows an update whose object shows its
// old state for a while, as the simulator makes it.
func TestUpdateIsNotEndedByTheStateBefore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.put(operationDoc("op-1", Update))
		r.put(clusterDoc("r1", "op-1"))
		r.plant(clusterID, "ready")
		time.Sleep(time.Second)
		began := time.Now()
		step, steps := r.drive(dispatch.Change{Key: key("op-1")})
		// Nothing ever changed: it settles.
		if took := time.Since(began); step.Label != Succeeded || took < 29*time.Second || took > 35*time.Second {
			t.Errorf("have %+v after %v and %d steps", step, took, len(steps))
		}
		if n := r.service.requests(all); n > 6 {
			t.Errorf("%d calls", n)
		}
	})
}

func TestNoInternalID(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		d := operationDoc("op-1", Create)
		delete(props(d), "internalId")
		r.put(d)
		s := dispatch.Change{Key: key("op-1"), Source: dispatch.Feed}
		for range 3 {
			step, err := r.step(s)
			if err != nil || step.Verdict != dispatch.Again || step.After != 10*time.Second || step.Label != labelNoInternalID {
				t.Fatalf("have %+v, %v", step, err)
			}
			time.Sleep(step.After)
			s = next(s, step)
		}
		if n := r.service.requests(all); n != 0 {
			t.Errorf("%d calls to cluster service", n)
		}
		if n := r.logs.FilterMessage("operation has no internal id yet").Len(); n != 1 {
			t.Errorf("logged %d times", n)
		}
		// The newer version brings it: polled at once.
		r.plant(clusterID, "ready")
		props(d)["internalId"] = clusterID
		s.ETag, s.Source = r.put(d), dispatch.Feed
		s.Document = r.get("op-1")
		if step, err := r.step(s); err != nil || step.Verdict != dispatch.Done || step.Label != Succeeded {
			t.Errorf("have %+v, %v", step, err)
		}
	})
}

func TestEchoCostsNoCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.put(operationDoc("op-1", Create))
		r.plant(clusterID, "installing")
		s := dispatch.Change{Key: key("op-1"), Source: dispatch.Feed}
		step, err := r.step(s)
		if err != nil || step.Label != Provisioning || step.ETag == "" {
			t.Fatalf("have %+v, %v", step, err)
		}
		r.service.requests(all)
		r.cosmos.requests(all)
		time.Sleep(time.Second)
		echo := next(s, step)
		echo.Source, echo.Document = dispatch.Feed, r.get("op-1")
		again, err := r.step(echo)
		if err != nil || again.Verdict != dispatch.Again || again.After != 9*time.Second {
			t.Errorf("have %+v, %v", again, err)
		}
		if a, b := r.service.requests(all), r.cosmos.requests(all); a+b != 0 {
			t.Errorf("%d calls to cluster service and %d to cosmos", a, b)
		}
		// The step after needs no read, and its end's echo no call.
		r.plant(clusterID, "ready")
		time.Sleep(again.After)
		end, err := r.step(next(echo, again))
		if err != nil || end.Verdict != dispatch.Done {
			t.Fatalf("have %+v, %v", end, err)
		}
		if n := r.cosmos.requests(func(req *http.Request) bool { return req.Method == http.MethodGet && !isLock(req) }); n != 0 {
			t.Errorf("%d reads", n)
		}
		r.service.requests(all)
		if step, err := r.step(dispatch.Change{Key: key("op-1"), Document: r.get("op-1"), ETag: end.ETag}); err != nil || step.Verdict != dispatch.Done {
			t.Errorf("have %+v, %v", step, err)
		}
		if n := r.service.requests(all); n != 0 {
			t.Errorf("%d calls for an echo", n)
		}
	})
}

// TestPatchedDocumentIsTheStoredOne compares what a step hands back with what
// the service made of the patch.
func TestPatchedDocumentIsTheStoredOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.put(newestOperationDoc("op-1", Create))
		r.plant(clusterID, "error")
		step, _ := r.drive(dispatch.Change{Key: key("op-1")})
		stored := r.get("op-1")
		for path, change := range difference(t, stored, step.Document) {
			if path != "/_ts" && path != "/_lsn" {
				t.Errorf("%s: %s", path, change)
			}
		}
		if d, _ := parseDocument(stored); d.etag != step.ETag {
			t.Errorf("etag %s, stored %s", step.ETag, d.etag)
		}
	})
}

func TestUnknownStateIsVisibleOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.put(operationDoc("op-1", Create))
		r.plant(clusterID, "hibernating")
		s := dispatch.Change{Key: key("op-1")}
		for range 3 {
			step, err := r.step(s)
			if err != nil || step.Verdict != dispatch.Again {
				t.Fatalf("have %+v, %v", step, err)
			}
			s = next(s, step)
			time.Sleep(step.After)
		}
		if r.metric("opfeed_unknown_states_total", "kind=Cluster") != 1 || r.logs.FilterLevelExact(zapcore.WarnLevel).Len() != 1 {
			t.Errorf("counted %v", r.metric("opfeed_unknown_states_total"))
		}
		r.plant(clusterID, "ready")
		if step, _ := r.drive(s); step.Label != Succeeded {
			t.Errorf("have %+v", step)
		}
	})
}

// TestNotFoundOnTheStatusIsNoProof: only the object itself can be gone.
func TestNotFoundOnTheStatusIsNoProof(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.put(operationDoc("op-1", Delete))
		r.plant(clusterID, "ready")
		r.service.after = func(req *http.Request, resp *http.Response) (*http.Response, error) {
			if strings.HasSuffix(req.URL.Path, "/status") {
				resp.StatusCode = http.StatusNotFound
				resp.Body = io.NopCloser(strings.NewReader(`{"kind":"Error","id":"404","code":"X-404","reason":"no status"}`))
			}
			return resp, nil
		}
		s := dispatch.Change{Key: key("op-1")}
		for range 40 {
			step, err := r.step(s)
			if err != nil || step.Verdict != dispatch.Again {
				t.Fatalf("have %+v, %v", step, err)
			}
			s = next(s, step)
			time.Sleep(step.After)
		}
		r.service.after = nil
		r.plant(clusterID, "gone")
		if step, _ := r.drive(s); step.Label != Succeeded {
			t.Errorf("have %+v", step)
		}
	})
}

func TestExternalAuthIsAskedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		d := operationDoc("op-1", Delete)
		props(d)["internalId"] = clusterID + "/external_auth_config/external_auths/e1"
		r.put(d)
		r.plant(clusterID, "ready")
		if step, err := r.step(dispatch.Change{Key: key("op-1")}); err != nil || step.Verdict != dispatch.Again {
			t.Fatalf("have %+v, %v", step, err)
		}
		if n := r.service.requests(all); n != 1 {
			t.Errorf("%d calls", n)
		}
	})
}

// TestAnotherObjectIsSeenAnew: what was seen of one object says nothing of another.
func TestAnotherObjectIsSeenAnew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		d := operationDoc("op-1", Update)
		r.put(d)
		r.plant(clusterID, "pending") // a change, if ready follows
		s := dispatch.Change{Key: key("op-1")}
		step, err := r.step(s)
		if err != nil || step.Verdict != dispatch.Again {
			t.Fatalf("have %+v, %v", step, err)
		}
		props(d)["internalId"] = "/api/clusters_mgmt/v1/clusters/h2"
		r.put(d)
		r.plant("/api/clusters_mgmt/v1/clusters/h2", "ready")
		s = next(s, step)
		s.Document = nil
		if step, err = r.step(s); err != nil || step.Verdict != dispatch.Again {
			t.Errorf("have %+v, %v", step, err)
		}
	})
}
