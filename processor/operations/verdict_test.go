package operations

import (
	"net/http"
	"strings"
	"testing"
	"testing/synctest"

	"go.uber.org/zap/zapcore"
)

func TestLeftAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		for id, request := range map[string]string{"op-1": RequestCredential, "op-2": RevokeCredentials, "op-3": "Whatever", "op-4": ""} {
			etag := r.put(operationDoc(id, request))
			step, err := r.step(Sighting{ID: id, Document: r.get(id), ETag: etag})
			if err != nil || step.Verdict != LeftAlone || step.Reason == "" {
				t.Errorf("%s: %+v, %v", request, step, err)
			}
			if step, err = r.step(next(Sighting{ID: id}, step)); err != nil || step.Verdict != LeftAlone {
				t.Errorf("%s: %+v, %v", request, step, err)
			}
		}
		d := operationDoc("op-5", Create)
		props(d)["internalId"] = clusterID + "/break_glass_credentials/b1"
		r.put(d)
		if step, err := r.step(Sighting{ID: "op-5"}); err != nil || step.Verdict != LeftAlone {
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
		for _, s := range []Sighting{
			{ID: "op-1"},
			{ID: `a","operationType":"Delete`},
			{ID: ""},
			{ID: "op-2", Document: []byte(`[]`), ETag: "x"},
			{ID: "op-2", Document: []byte(`{"resourceType":"Microsoft.RedHatOpenShift/hcpOperationStatuses","properties":{"status":5}}`), ETag: "x"},
		} {
			step, err := r.step(s)
			if err != nil || step.Verdict != Quarantine || step.Reason == "" || len(step.Reason) > 200 || strings.Contains(step.Reason, "secret") {
				t.Errorf("%q: %+v, %v", s.ID, step, err)
			}
		}
		if n := r.service.requests(all) + r.cosmos.requests(func(req *http.Request) bool { return req.Method != http.MethodGet }); n != 0 {
			t.Errorf("%d calls", n)
		}
		if n := r.logs.FilterLevelExact(zapcore.ErrorLevel).Len(); n != 5 {
			t.Errorf("%d errors logged", n)
		}
	})
}

func TestTerminalIsDoneAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		for i, status := range []string{Succeeded, "failed", Canceled} {
			d := operationDoc("op-1", Create)
			props(d)["status"] = status
			if i == 2 {
				props(d)["notificationUri"] = "https://management.azure.com/x"
			}
			r.put(d)
			if step, err := r.step(Sighting{ID: "op-1"}); err != nil || step.Verdict != Done {
				t.Errorf("%s: %+v, %v", status, step, err)
			}
		}
		if n := r.service.requests(all); n != 0 || r.metric("opfeed_operations_handled_total", "result=owed") != 1 {
			t.Errorf("%d calls, %v owed", n, r.metric("opfeed_operations_handled_total", "result=owed"))
		}
	})
}
