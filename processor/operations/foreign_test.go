package operations

import (
	"errors"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"

	"opfeed/processor/dispatch"
)

// TestAnswersThatAreNotTheDocument: what a read brings under somebody else's 200
// is no fault of the document.
func TestAnswersThatAreNotTheDocument(t *testing.T) {
	const other = `{"id":"other","partitionKey":"` + sub + `","_etag":"ETAG"}`
	for name, c := range map[string]struct{ body, etag string }{
		"page":               {"<html>please log in</html>", ""},
		"page with its etag": {"<html>please log in</html>", "ETAG"},
		"empty":              {"", "ETAG"},
		"null":               {"null", "ETAG"},
		"array":              {"[]", "ETAG"},
		"truncated":          {`{"id":"op-1","prop`, "ETAG"},
		"without id":         {`{"status":"ok"}`, ""},
		"another document":   {other, "ETAG"},
		"another version":    {`{"id":"op-1","properties":7,"_etag":"x"}`, "ETAG"},
		"no version":         {`{"id":"op-1","properties":7}`, "ETAG"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t)
				etag := r.put(operationDoc("op-1", Create))
				r.put(clusterDoc("r1", "op-1"))
				r.plant(clusterID, "ready")
				spoilt := true
				r.cosmos.reply = func(req *http.Request) *http.Response {
					if !spoilt || req.Method != http.MethodGet || !strings.HasSuffix(req.URL.Path, "/docs/op-1") {
						return nil
					}
					resp := canned(req, http.StatusOK, strings.ReplaceAll(c.body, "ETAG", strings.ReplaceAll(etag, `"`, `\"`)))
					if c.etag != "" {
						resp.Header.Set("etag", etag)
					}
					return resp
				}
				if step, err := r.step(dispatch.Change{Key: key("op-1"), ETag: etag, Source: dispatch.List}); !errors.Is(err, errForeign) {
					t.Errorf("have %s, %v", step.Verdict, err)
				}
				// The same after a conflict.
				r.cosmos.before = func(req *http.Request) error {
					if isBatch(req) && spoilt {
						r.change("op-1", "/properties/touched", 1)
					}
					return nil
				}
				if step, err := r.step(dispatch.Change{Key: key("op-1"), Document: r.get("op-1"), ETag: etag}); !errors.Is(err, errForeign) {
					t.Errorf("after a conflict: %s, %v", step.Verdict, err)
				}
				spoilt = false
				if step, _ := r.drive(dispatch.Change{Key: key("op-1"), Attempt: 1}); step.Label != Succeeded {
					t.Errorf("in the end: %s", step.Label)
				}
			})
		})
	}
}

// TestReadFaultsAreQuarantined: a read that confirms the document confirms its fault.
func TestReadFaultsAreQuarantined(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		etag := r.put(with(operationDoc("op-1", Create), 7))
		step, err := r.step(dispatch.Change{Key: key("op-1"), Source: dispatch.List})
		if err != nil || step.Verdict != dispatch.Quarantine || step.ETag != etag {
			t.Errorf("have %s of %s, %v", step.Verdict, step.ETag, err)
		}
	})
}

// TestAnswersThatAreNoRows: nor do they prove that there is nothing.
func TestAnswersThatAreNoRows(t *testing.T) {
	for name, text := range map[string]string{
		"page": "<html>please log in</html>", "empty": "", "null": "null", "object": "{}", "truncated": `{"Documents":[{"id":"r1"`,
		"row null": `{"Documents":[null]}`, "row text": `{"Documents":["<html>"]}`,
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t)
				r.put(operationDoc("op-1", Create))
				r.put(clusterDoc("r1", "op-1"))
				r.put(with(operationDoc("op-2", Create), Canceled))
				r.put(clusterDoc("r2", "op-2"))
				r.plant(clusterID, "ready")
				r.cosmos.reply = func(req *http.Request) *http.Response {
					if isQuery(req) {
						return canned(req, http.StatusOK, text)
					}
					return nil
				}
				for _, id := range []string{"op-1", "r2"} {
					if step, err := r.step(dispatch.Change{Key: key(id)}); err == nil {
						t.Errorf("%s: %s", id, step.Verdict)
					}
				}
				if err := r.h.Pending(t.Context(), "", false, func(dispatch.Change) { t.Error("something is listed") }); err == nil {
					t.Error("listed without an error")
				}
			})
		})
	}
}
