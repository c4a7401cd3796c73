package operations

import (
	"net/http"
	"strings"
	"testing"
	"testing/synctest"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"opfeed/processor/dispatch"
)

func TestLeftAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		for id, request := range map[string]string{"op-1": RequestCredential, "op-2": RevokeCredentials, "op-3": "Whatever", "op-4": ""} {
			etag := r.put(operationDoc(id, request))
			step, err := r.step(dispatch.Change{Key: key(id), Document: r.get(id), ETag: etag})
			if err != nil || step.Verdict != dispatch.LeftAlone || step.Reason == "" {
				t.Errorf("%s: %+v, %v", request, step, err)
			}
			if step, err = r.step(next(dispatch.Change{Key: key(id)}, step)); err != nil || step.Verdict != dispatch.LeftAlone {
				t.Errorf("%s: %+v, %v", request, step, err)
			}
		}
		d := operationDoc("op-5", Create)
		props(d)["internalId"] = clusterID + "/break_glass_credentials/b1"
		r.put(d)
		if step, err := r.step(dispatch.Change{Key: key("op-5")}); err != nil || step.Verdict != dispatch.LeftAlone {
			t.Errorf("credential: %+v, %v", step, err)
		}
		if n := r.logs.FilterMessage("operation left alone").Len(); n != 5 {
			t.Errorf("logged %d times", n)
		}
		if a, b := r.metric("opfeed_operations_left_alone_total", "reason=request"), r.metric("opfeed_operations_left_alone_total", "reason=kind"); a != 4 || b != 1 {
			t.Errorf("counted %v and %v", a, b)
		}
		if n := r.service.requests(all); n != 0 {
			t.Errorf("%d calls", n)
		}
	})
}

func TestQuarantine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		d := operationDoc("op-1", Create)
		props(d)["internalId"] = "/api/clusters_mgmt/v1/clusters/h1/../../secret"
		r.put(d)
		for _, s := range []dispatch.Change{
			{Key: key("op-1")},
			{Key: key(`a","operationType":"Delete`)},
			{Key: key("")},
			{Key: key("op-2"), Document: []byte(`[]`), ETag: "x"},
			{Key: key("op-2"), Document: []byte(`{"resourceType":"Microsoft.RedHatOpenShift/hcpOperationStatuses","properties":{"status":5}}`), ETag: "x"},
		} {
			step, err := r.step(s)
			if err != nil || step.Verdict != dispatch.Quarantine || step.Reason == "" || len(step.Reason) > 200 || strings.Contains(step.Reason, "secret") {
				t.Errorf("%q: %+v, %v", s.ID, step, err)
			}
		}
		if n := r.service.requests(all) + r.cosmos.requests(func(req *http.Request) bool { return req.Method != http.MethodGet }); n != 0 {
			t.Errorf("%d calls", n)
		}
		// Whoever keeps the quarantine logs the error; here is said which operation it is.
		if n := r.logs.FilterLevelExact(zapcore.ErrorLevel).Len(); n != 0 {
			t.Errorf("%d errors logged", n)
		}
		if n := r.logs.FilterMessage("document is at fault").FilterField(zap.String("operation_id", "op-1")).Len(); n != 1 {
			t.Errorf("the operation is named %d times", n)
		}
	})
}

func TestTerminalIsDoneAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		for i, status := range []string{Succeeded, "failed", Canceled, "SUCCEEDED", "cANCELED"} {
			d := operationDoc("op-1", Create)
			props(d)["status"] = status
			if i == 2 {
				props(d)["notificationUri"] = "https://management.azure.com/x"
			}
			etag := r.put(d)
			for _, c := range []dispatch.Change{{Key: key("op-1")}, {Key: key("op-1"), Document: r.get("op-1"), ETag: etag}} {
				if step, err := r.step(c); err != nil || step.Verdict != dispatch.Done {
					t.Errorf("%s: %+v, %v", status, step, err)
				}
			}
		}
		if n := r.service.requests(all); n != 0 || r.metric("opfeed_operations_handled_total", "result=owed") != 2 {
			t.Errorf("%d calls, %v owed", n, r.metric("opfeed_operations_handled_total", "result=owed"))
		}
	})
}

// TestSoftlyDeletedIsDone: whatever else the document says of itself.
func TestSoftlyDeletedIsDone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		for name, spoil := range map[string]func(doc){
			"active":   func(doc) {},
			"ended":    func(d doc) { props(d)["status"] = Succeeded },
			"at fault": func(d doc) { props(d)["status"] = 7 },
		} {
			d := operationDoc("op-1", Create)
			d["deletionTimestamp"] = "2026-01-01T00:00:00Z"
			spoil(d)
			etag := r.put(d)
			for _, c := range []dispatch.Change{{Key: key("op-1")}, {Key: key("op-1"), Document: r.get("op-1"), ETag: etag}} {
				if step, err := r.step(c); err != nil || step.Verdict != dispatch.Done {
					t.Errorf("%s: %+v, %v", name, step, err)
				}
			}
		}
		if n := r.service.requests(all); n != 0 {
			t.Errorf("%d calls to cluster service", n)
		}
	})
}
