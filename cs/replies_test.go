package cs_test

import (
	"cmp"
	"errors"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	ocm "github.com/openshift-online/ocm-sdk-go/errors"

	"opfeed/cs"
)

const (
	asJSON   = "application/json"
	gone     = `{"kind":"Error","id":"404","href":"/api/x","code":"CLUSTERS-MGMT-404","reason":"Cluster with id 'c' not found.","operation_id":"o"}`
	noRoom   = `{"kind":"Error","id":"404","code":"CLUSTERS-MGMT-404","reason":"Unable to find shard in region"}`
	teapot   = `{"kind":"Error","id":"418","code":"CLUSTERS-MGMT-418","reason":"no coffee"}`
	badStamp = `{"kind":"Error","id":"404","reason":"gone","timestamp":"yesterday"}`
)

// TestReplies is the table of what replies mean. healthy is what the client
// thinks of CS afterwards.
func TestReplies(t *testing.T) {
	reset := http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })
	for _, c := range []struct {
		name    string
		ref     cs.Ref
		reply   http.Handler
		sort    string
		result  string
		healthy bool
		status  cs.Status
	}{
		{"cluster", clusterRef, static(200, asJSON, `{"kind":"ClusterStatus","state":"installing"}`),
			fine, "ok", true, cs.Status{State: "installing", HasStatus: true}},
		{"cluster with parameters in the content type", clusterRef, static(200, asJSON+"; charset=utf-8", `{"state":"ready"}`),
			fine, "ok", true, cs.Status{State: "ready", HasStatus: true}},
		{"unknown state", clusterRef, static(200, asJSON, `{"state":"Dreaming","new":{"x":[1]}}`),
			fine, "ok", true, cs.Status{State: "Dreaming", HasStatus: true}},
		{"cluster error", clusterRef, static(200, asJSON, `{"state":"error","description":"d","provision_error_code":"OCM1","provision_error_message":"m"}`),
			fine, "ok", true, cs.Status{State: "error", HasStatus: true, ErrorCode: "OCM1", Message: "m"}},
		{"cluster error with description only", clusterRef, static(200, asJSON, `{"state":"error","description":"d","provision_error_message":null}`),
			fine, "ok", true, cs.Status{State: "error", HasStatus: true, Message: "d"}},
		{"pool", poolRef, static(200, asJSON, `{"kind":"NodePoolStatus","message":"m","state":{"value":"recoverable_error","last_updated_timestamp":"2026-01-02T03:04:05Z"}}`),
			fine, "ok", true, cs.Status{State: "recoverable_error", HasStatus: true, Message: "m"}},
		{"external auth", authRef, static(200, asJSON, `{"id":"e","status":{"message":"m","state":{"value":"error"}}}`),
			fine, "ok", true, cs.Status{State: "error", HasStatus: true, Message: "m"}},
		{"external auth without status", authRef, static(200, asJSON, `{"kind":"ExternalAuth","id":"e","issuer":{"url":"u"}}`),
			fine, "ok", true, cs.Status{}},
		{"external auth with null status", authRef, static(200, asJSON, `{"id":"e","status":null}`),
			answered, "unusable", true, cs.Status{}},
		{"external auth with empty status", authRef, static(200, asJSON, `{"id":"e","status":{}}`),
			answered, "unusable", true, cs.Status{}},
		{"another external auth", authRef, static(200, asJSON, `{"id":"other"}`),
			answered, "unusable", true, cs.Status{}},
		{"external auth with status without state", authRef, static(200, asJSON, `{"id":"e","status":{"message":"m"}}`),
			answered, "unusable", true, cs.Status{}},
		{"credential", credRef, static(200, asJSON, `{"id":"b","status":"issued","kubeconfig":"secret"}`),
			fine, "ok", true, cs.Status{State: "issued", HasStatus: true}},

		{"404", clusterRef, static(404, asJSON, gone), notFound, "not_found", true, cs.Status{}},
		{"404 of a pool", poolRef, static(404, asJSON, gone), notFound, "not_found", true, cs.Status{}},
		{"404 of an external auth", authRef, static(404, asJSON, gone), notFound, "not_found", true, cs.Status{}},
		{"404 of a credential", credRef, static(404, asJSON, gone), notFound, "not_found", true, cs.Status{}},
		{"404 whose body lies about the status", clusterRef, static(404, asJSON, `{"status":200,"id":"200","reason":"r"}`), notFound, "not_found", true, cs.Status{}},
		{"404 no shard", clusterRef, static(404, asJSON, noRoom), answered, "client_error", true, cs.Status{}},
		{"404 empty", clusterRef, static(404, asJSON, ""), unavailable, "foreign_reply", false, cs.Status{}},
		{"404 html", clusterRef, static(404, "text/html", "<h1>no</h1>"), unavailable, "foreign_reply", false, cs.Status{}},
		{"404 text that reads like CS", clusterRef, static(404, "text/plain", gone), unavailable, "foreign_reply", false, cs.Status{}},
		{"404 without content type", clusterRef, static(404, "", gone), unavailable, "foreign_reply", false, cs.Status{}},
		{"404 JSON that says nothing", clusterRef, static(404, asJSON, `{}`), unavailable, "foreign_reply", false, cs.Status{}},
		{"404 JSON null", clusterRef, static(404, asJSON, `null`), unavailable, "foreign_reply", false, cs.Status{}},
		{"404 JSON of somebody else", clusterRef, static(404, asJSON, `{"message":"no route"}`), unavailable, "foreign_reply", false, cs.Status{}},
		{"404 JSON of a proxy", clusterRef, static(404, asJSON, `{"code":404,"message":"no route"}`), unavailable, "foreign_reply", false, cs.Status{}},
		{"404 bad timestamp", clusterRef, static(404, asJSON, badStamp), unavailable, "foreign_reply", false, cs.Status{}},
		{"404 malformed", clusterRef, static(404, asJSON, `{"id":"404`), unavailable, "", false, cs.Status{}},

		{"418", clusterRef, static(418, asJSON, teapot), answered, "client_error", true, cs.Status{}},
		{"400 html", clusterRef, static(400, "text/html", "bad"), unavailable, "foreign_reply", false, cs.Status{}},
		{"401", clusterRef, static(401, asJSON, strings.ReplaceAll(teapot, "418", "401")), unavailable, "credentials", false, cs.Status{}},
		{"403 html", clusterRef, static(403, "text/html", "no"), unavailable, "credentials", false, cs.Status{}},
		{"408", clusterRef, static(408, asJSON, strings.ReplaceAll(teapot, "418", "408")), unavailable, "timeout", false, cs.Status{}},
		{"429", clusterRef, static(429, asJSON, strings.ReplaceAll(teapot, "418", "429")), unavailable, "throttled", false, cs.Status{}},
		{"429 text", clusterRef, static(429, "text/plain", "slow down"), unavailable, "throttled", false, cs.Status{}},
		{"500", clusterRef, static(500, asJSON, strings.ReplaceAll(teapot, "418", "500")), unavailable, "server_error", false, cs.Status{}},
		{"500 empty", clusterRef, static(500, asJSON, ""), unavailable, "server_error", false, cs.Status{}},
		{"502 html", clusterRef, static(502, "text/html", "<h1>bad gateway</h1>"), unavailable, "server_error", false, cs.Status{}},
		{"503 of envoy", clusterRef, static(503, "text/plain", "upstream connect error"), unavailable, "server_error", false, cs.Status{}},
		{"503 that says gone", clusterRef, static(503, asJSON, gone), unavailable, "server_error", false, cs.Status{}},

		{"200 empty", clusterRef, static(200, asJSON, ""), unavailable, "foreign_reply", false, cs.Status{}},
		{"200 html", clusterRef, static(200, "text/html", "<h1>login</h1>"), unavailable, "foreign_reply", false, cs.Status{}},
		{"200 no content type", clusterRef, static(200, "", `{"state":"ready"}`), unavailable, "foreign_reply", false, cs.Status{}},
		{"200 {}", clusterRef, static(200, asJSON, `{}`), answered, "unusable", true, cs.Status{}},
		{"200 null", clusterRef, static(200, asJSON, `null`), answered, "unusable", true, cs.Status{}},
		{"200 null state", clusterRef, static(200, asJSON, `{"state":null}`), answered, "unusable", true, cs.Status{}},
		{"200 state is a number", clusterRef, static(200, asJSON, `{"state":7}`), answered, "unusable", true, cs.Status{}},
		{"200 null bool", clusterRef, static(200, asJSON, `{"state":"ready","dns_ready":null}`), answered, "unusable", true, cs.Status{}},
		{"200 array", clusterRef, static(200, asJSON, `["ready"]`), answered, "unusable", true, cs.Status{}},
		{"200 truncated", clusterRef, static(200, asJSON, `{"state":"ready","description":"x`), "", "", true, cs.Status{}},
		{"200 pool {}", poolRef, static(200, asJSON, `{}`), answered, "unusable", true, cs.Status{}},
		{"200 pool empty state", poolRef, static(200, asJSON, `{"state":{"value":""}}`), answered, "unusable", true, cs.Status{}},
		{"200 pool state is a string", poolRef, static(200, asJSON, `{"state":"ready"}`), answered, "unusable", true, cs.Status{}},
		{"200 pool bad timestamp", poolRef, static(200, asJSON, `{"state":{"value":"ready","last_updated_timestamp":"now"}}`), answered, "unusable", true, cs.Status{}},
		{"200 external auth {}", authRef, static(200, asJSON, `{}`), answered, "unusable", true, cs.Status{}},
		{"200 external auth empty state", authRef, static(200, asJSON, `{"id":"e","status":{"state":{"value":""}}}`), answered, "unusable", true, cs.Status{}},
		{"200 credential without status", credRef, static(200, asJSON, `{"id":"b"}`), answered, "unusable", true, cs.Status{}},
		{"200 too long", clusterRef, static(200, asJSON, `{"state":"ready","description":"`+strings.Repeat("x", 9<<20)+`"}`), answered, "unusable", true, cs.Status{}},
		{"201", clusterRef, static(201, asJSON, `{"state":"ready"}`), unavailable, "foreign_reply", false, cs.Status{}},
		{"204", clusterRef, static(204, "", ""), unavailable, "foreign_reply", false, cs.Status{}},
		{"redirect to another host", clusterRef, static(302, asJSON, `{}`, "Location", "https://evil.test/x"), unavailable, "", false, cs.Status{}},
		{"reset", clusterRef, reset, unavailable, "connection", false, cs.Status{}},
	} {
		t.Run(strings.ReplaceAll(c.name, " ", "-"), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				calls := 0
				r := newRig(t, http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
					calls++
					if req.Header.Get("User-Agent") != "opfeed/test" {
						t.Errorf("user agent %q", req.Header.Get("User-Agent"))
					}
					c.reply.ServeHTTP(w, req)
				}))
				got, err := r.Status(t.Context(), c.ref)
				if s := sortOf(err); s != c.sort && c.sort != "" {
					t.Errorf("%s: %v, want %s", s, err, c.sort)
				}
				if c.sort == "" && err == nil {
					t.Error("accepted")
				}
				if got != c.status {
					t.Errorf("status %+v, want %+v", got, c.status)
				}
				if err != nil && !strings.Contains(err.Error(), c.ref.Path()) {
					t.Errorf("error does not say what was asked: %v", err)
				}
				if calls != 1 {
					t.Errorf("%d calls, want 1: the SDK must not retry", calls)
				}
				counts := r.counts(t)
				if len(counts) != 1 || c.result != "" && counts[c.ref.Kind.String()+"/"+c.result] != 1 {
					t.Errorf("counted %v, want %s", counts, c.result)
				}
				ok, since, last := r.Healthy()
				if c.sort != "" && ok != c.healthy || !since.Equal(time.Now()) || ok != (last == "") {
					t.Errorf("healthy %v since %v (%q), want %v", ok, since, last, c.healthy)
				}
				if time.Since(since) != 0 {
					t.Error("the call took time")
				}
			})
		})
	}
}

// TestNotFoundKeepsCause: whoever logs wants CS's operation id.
func TestNotFoundKeepsCause(t *testing.T) {
	r := newRig(t, static(404, asJSON, gone))
	_, err := r.Status(t.Context(), clusterRef)
	var own *ocm.Error
	if !errors.As(err, &own) || own.OperationID() != "o" || own.Status() != 404 {
		t.Errorf("no ocm error in %v", err)
	}
}

func TestExists(t *testing.T) {
	for _, ref := range []cs.Ref{clusterRef, poolRef, authRef, credRef} {
		var paths []string
		reply := static(200, asJSON, `{"id":"x"}`)
		r := newRig(t, http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
			paths = append(paths, req.Method+" "+req.URL.Path)
			reply(w, req)
		}))
		for _, c := range []struct {
			reply http.HandlerFunc
			want  string
		}{
			{static(200, asJSON, `{"id":"`+cmp.Or(ref.Child, ref.Cluster)+`"}`), fine},
			{static(200, asJSON, `{"id":"x"}`), answered},
			{static(404, asJSON, gone), notFound},
			{static(404, asJSON, noRoom), answered},
			{static(404, asJSON, ""), unavailable},
			{static(404, "text/html", gone), unavailable},
			{static(200, asJSON, ""), unavailable},
			{static(200, asJSON, `{}`), answered},
			{static(200, asJSON, `null`), answered},
			{static(503, asJSON, gone), unavailable},
		} {
			reply = c.reply
			if err := r.Exists(t.Context(), ref); sortOf(err) != c.want {
				t.Errorf("%v: %s, want %s: %v", ref, sortOf(err), c.want, err)
			}
		}
		for _, path := range paths {
			if path != "GET "+ref.Path() {
				t.Errorf("asked %q, want the object %q", path, ref.Path())
			}
		}
	}
}
