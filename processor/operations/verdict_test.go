package operations

import (
	"fmt"
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
		credential := clusterID + "/break_glass_credentials/b1"
		for i, c := range []struct {
			request string
			spoil   func(p doc)
			reason  string
		}{
			{"Whatever", func(doc) {}, reasonRequest},
			{"", func(doc) {}, reasonRequest},
			{Create, func(p doc) { p["internalId"] = credential }, reasonKind},
			{RequestCredential, func(doc) {}, reasonKind},
			{RevokeCredentials, func(p doc) { p["internalId"] = credential }, reasonKind},
			{RequestCredential, func(p doc) { p["internalId"] = ""; p["systemAdminCredentialRequest"] = doc{} }, reasonForeign},
			{RevokeCredentials, func(p doc) { p["systemAdminCredentialRevocation"] = doc{"x": 1} }, reasonForeign},
		} {
			id := fmt.Sprintf("op-%d", i)
			d := operationDoc(id, c.request)
			c.spoil(props(d))
			etag := r.put(d)
			before := r.metric("opfeed_operations_left_alone_total", "reason="+c.reason)
			step, err := r.step(dispatch.Change{Key: key(id), Document: r.get(id), ETag: etag})
			if err != nil || step.Verdict != dispatch.LeftAlone || step.Reason == "" {
				t.Errorf("%s: %v %s, %v", c.request, step.Verdict, step.Reason, err)
			}
			if step, err = r.step(next(dispatch.Change{Key: key(id)}, step)); err != nil || step.Verdict != dispatch.LeftAlone {
				t.Errorf("%s: %v, %v", c.request, step.Verdict, err)
			}
			if n := r.metric("opfeed_operations_left_alone_total", "reason="+c.reason) - before; n != 1 {
				t.Errorf("%s: counted %v for %s", c.request, n, c.reason)
			}
		}
		if n := r.logs.FilterMessage("operation left alone").Len(); n != 7 {
			t.Errorf("logged %d times", n)
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
		for _, s := range []struct {
			dispatch.Change
			fault dispatch.Fault
		}{
			{dispatch.Change{Key: key("op-1")}, dispatch.Undecodable},
			{dispatch.Change{Key: key(`a","operationType":"Delete`)}, dispatch.Unaddressable},
			{dispatch.Change{Key: key("")}, dispatch.Unaddressable},
			{dispatch.Change{Key: key("op-2"), Document: []byte(`[]`), ETag: "x"}, dispatch.Undecodable},
			{dispatch.Change{Key: key("op-2"), Document: []byte(`{"resourceType":"Microsoft.RedHatOpenShift/hcpOperationStatuses","properties":{"status":5}}`), ETag: "x"}, dispatch.Undecodable},
		} {
			step, err := r.step(s.Change)
			if err != nil || step.Verdict != dispatch.Quarantine || step.Fault != s.fault || step.Reason == "" || len(step.Reason) > 200 || strings.Contains(step.Reason, "secret") {
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
