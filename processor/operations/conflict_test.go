package operations

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap/zapcore"

	"opfeed/processor/dispatch"
)

func TestConflicts(t *testing.T) {
	for name, c := range map[string]struct {
		id    string // who is changed before each of the first batches
		times int
		want  dispatch.Verdict
	}{
		"operation once":       {"op-1", 1, dispatch.Done},
		"resource once":        {"r1", 1, dispatch.Done},
		"operation four times": {"op-1", 4, dispatch.Done},
		"resource four times":  {"r1", 4, dispatch.Done},
		"operation for ever":   {"op-1", 100, dispatch.Again},
		"resource for ever":    {"r1", 100, dispatch.Again},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t)
				r.put(operationDoc("op-1", Create))
				r.put(clusterDoc("r1", "op-1"))
				r.plant(clusterID, "ready")
				n := 0
				r.cosmos.before = func(req *http.Request) error {
					if isBatch(req) {
						if n++; n <= c.times {
							r.change(c.id, "/properties/touched", n)
						}
					}
					return nil
				}
				step, err := r.step(dispatch.Change{Key: key("op-1")})
				if err != nil || step.Verdict != c.want {
					t.Fatalf("have %+v, %v", step, err)
				}
				if want := min(c.times, maxRounds); r.metric("opfeed_write_conflicts_total") != float64(want) {
					t.Errorf("%v conflicts, want %d", r.metric("opfeed_write_conflicts_total"), want)
				}
				if calls := r.service.requests(all); calls != 1 {
					t.Errorf("%d calls to cluster service", calls)
				}
				if c.want == dispatch.Again {
					if step.After != time.Second || step.Document != nil || r.field("op-1", "/properties/status") != Accepted {
						t.Errorf("have %+v", step)
					}
					return
				}
				if r.field("op-1", "/properties/status") != Succeeded || r.field("r1", "/properties/provisioningState") != Succeeded {
					t.Error("not written")
				}
				if r.field(c.id, "/properties/touched") == "" {
					t.Error("the other's write is lost")
				}
			})
		})
	}
}

// TestRereadCarriesTheSession holds that after a conflict everything is read
// with the session token of the answer that told of it.
func TestRereadCarriesTheSession(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.put(operationDoc("op-1", Create))
		r.put(clusterDoc("r1", "op-1"))
		r.plant(clusterID, "ready")
		var told string
		var after []string
		first := 0
		r.cosmos.before = func(req *http.Request) error {
			if isBatch(req) && told == "" {
				r.change("r1", "/properties/touched", 1)
			}
			if isLock(req) || strings.Trim(req.URL.Path, "/") == "" || req.Method == http.MethodPost && strings.Contains(req.URL.Path, "Locks") {
				return nil
			}
			if req.Header.Get(headerSession) == "" {
				first++ // the first read of all: nothing is known before
			}
			if told != "" {
				after = append(after, req.Header.Get(headerSession))
			}
			return nil
		}
		r.cosmos.after = func(req *http.Request, resp *http.Response) (*http.Response, error) {
			if isBatch(req) && told == "" {
				told = resp.Header.Get(headerSession)
			}
			return resp, nil
		}
		if step, err := r.step(dispatch.Change{Key: key("op-1")}); err != nil || step.Verdict != dispatch.Done {
			t.Fatalf("have %+v, %v", step, err)
		}
		if first != 1 {
			t.Errorf("%d requests without a session", first)
		}
		if told == "" || len(after) != 3 || slices.Contains(after, "") || after[0] != told {
			t.Errorf("told %q, then sent %q", told, after)
		}
	})
}

func TestEndedByAnother(t *testing.T) {
	for name, interfere := range map[string]func(r *rig){
		"canceled":     func(r *rig) { r.change("op-1", "/properties/status", Canceled) },
		"deleted":      func(r *rig) { r.remove("op-1") },
		"soft deleted": func(r *rig) { r.change("op-1", "/deletionTimestamp", "2026-01-01T00:00:00Z") },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t)
				r.put(operationDoc("op-1", Update))
				r.put(clusterDoc("r1", "op-1"))
				r.plant(clusterID, "updating")
				once := false
				var before map[string]string
				r.cosmos.before = func(req *http.Request) error {
					if isBatch(req) && !once {
						once = true
						interfere(r)
						before = leaves(t, r.get("r1"))
					}
					return nil
				}
				step, err := r.step(dispatch.Change{Key: key("op-1")})
				if err != nil || step.Verdict != dispatch.Done {
					t.Fatalf("have %+v, %v", step, err)
				}
				if !maps.Equal(before, leaves(t, r.get("r1"))) {
					t.Errorf("the resource was written: %s", r.get("r1"))
				}
				if n := r.metric("opfeed_operation_transitions_total"); n != 0 {
					t.Errorf("%v transitions", n)
				}
				if name == "canceled" && r.field("op-1", "/properties/status") != Canceled {
					t.Error("a terminal status has changed")
				}
			})
		})
	}
}

// TestSupersededResource: the resource names another operation by now.
func TestSupersededResource(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.put(operationDoc("op-1", Create))
		r.put(clusterDoc("r1", "op-2"))
		r.plant(clusterID, "ready")
		before := leaves(t, r.get("r1"))
		if step, err := r.step(dispatch.Change{Key: key("op-1")}); err != nil || step.Label != Succeeded {
			t.Fatalf("have %+v, %v", step, err)
		}
		if !maps.Equal(before, leaves(t, r.get("r1"))) {
			t.Errorf("have %s", r.get("r1"))
		}
	})
}

func TestReplyLostAfterTheBatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.put(newestOperationDoc("op-1", Create))
		r.put(newestClusterDoc("r1", "op-1"))
		r.plant(clusterID, "ready")
		lost := false
		r.cosmos.after = func(req *http.Request, resp *http.Response) (*http.Response, error) {
			if isBatch(req) && !lost {
				lost = true
				return nil, errCut
			}
			return resp, nil
		}
		s := dispatch.Change{Key: key("op-1"), Document: r.get("op-1")}
		if _, err := r.step(s); !errors.Is(err, errCut) {
			t.Fatalf("have %v", err)
		}
		// Even with the document of before at hand nothing is written twice.
		time.Sleep(time.Second)
		written := r.field("op-1", "/properties/lastTransitionTime")
		step, err := r.step(s)
		if err != nil || step.Verdict != dispatch.Done {
			t.Fatalf("have %+v, %v", step, err)
		}
		s.Document = nil
		r.service.requests(all)
		if step, err = r.step(s); err != nil || step.Verdict != dispatch.Done || r.service.requests(all) != 0 {
			t.Fatalf("have %+v, %v", step, err)
		}
		if r.field("op-1", "/properties/lastTransitionTime") != written || r.field("op-1", "/properties/cosmosMetadata/instanceVersion") != "4" ||
			r.field("r1", "/properties/cosmosMetadata/instanceVersion") != "6" {
			t.Errorf("written twice: %s", r.get("op-1"))
		}
	})
}

func TestRefusals(t *testing.T) {
	reply := func(status int, substatus, body string) func(*http.Request) *http.Response {
		return func(req *http.Request) *http.Response {
			return &http.Response{StatusCode: status, Request: req, Body: io.NopCloser(bytes.NewReader([]byte(body))),
				Header: http.Header{"X-Ms-Substatus": {substatus}, "Content-Type": {"application/json"}}}
		}
	}
	const failed = `[{"statusCode":%,"requestCharge":1},{"statusCode":424,"requestCharge":1}]`
	for name, c := range map[string]struct {
		reply func(*http.Request) *http.Response
		want  dispatch.Verdict
		err   bool
	}{
		"batch 400":        {reply(400, "", `{}`), dispatch.Done, true},
		"batch 400, page":  {reply(400, "", `<html>400 Bad Request</html>`), dispatch.Done, true},
		"batch 413":        {reply(413, "", `{}`), dispatch.Done, true},
		"patch 400":        {reply(207, "", strings.Replace(failed, "%", "400", 1)), dispatch.Again, false},
		"patch 413":        {reply(207, "", strings.Replace(failed, "%", "413", 1)), dispatch.Again, false},
		"patch 429":        {reply(207, "", strings.Replace(failed, "%", "429", 1)), dispatch.Done, true},
		"patch 449":        {reply(207, "", strings.Replace(failed, "%", "449", 1)), dispatch.Done, true},
		"batch 503":        {reply(503, "", `{}`), dispatch.Done, true},
		"batch 404/1002":   {reply(404, "1002", `{}`), dispatch.Done, true},
		"batch 403":        {reply(403, "3", `{}`), dispatch.Done, true},
		"batch not JSON":   {reply(200, "", `<html>`), dispatch.Done, true},
		"batch 207 empty":  {reply(207, "", `[]`), dispatch.Done, true},
		"batch 200 empty":  {reply(200, "", `[]`), dispatch.Done, true},
		"batch no body":    {reply(200, "", ``), dispatch.Done, true},
		"batch one of two": {reply(200, "", `[{"statusCode":200,"requestCharge":1,"eTag":"1"}]`), dispatch.Done, true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t)
				r.put(operationDoc("op-1", Create))
				r.put(clusterDoc("r1", "op-1"))
				r.plant(clusterID, "ready")
				r.cosmos.after = func(req *http.Request, resp *http.Response) (*http.Response, error) {
					if isBatch(req) {
						return c.reply(req), nil
					}
					return resp, nil
				}
				f, err := r.h.Handle(t.Context(), dispatch.Change{Key: dispatch.Key{Partition: sub, ID: "op-1"}})
				if err != nil {
					t.Fatal(err)
				}
				step, err := f(ctxWith(t, time.Minute))
				if (err != nil) != c.err || err == nil && step.Verdict != c.want {
					t.Errorf("have %+v, %v", step, err)
				}
				if r.lockHeld() {
					t.Error("the lock was not given back")
				}
			})
		})
	}
}

func TestReadFailures(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		if step, err := r.step(dispatch.Change{Key: key("nobody"), Source: dispatch.List}); err != nil || step.Verdict != dispatch.Done {
			t.Errorf("absent: %+v, %v", step, err)
		}
		r.cosmos.after = func(req *http.Request, resp *http.Response) (*http.Response, error) {
			if req.Method == http.MethodGet && strings.Contains(req.URL.Path, "/docs/") {
				resp.StatusCode = http.StatusNotFound
				resp.Header.Set(headerSubStatus, "1002")
			}
			return resp, nil
		}
		r.put(operationDoc("op-1", Create))
		if step, err := r.step(dispatch.Change{Key: key("op-1"), Session: "0:-1#99"}); err == nil {
			t.Errorf("a lagging replica: %+v", step)
		}
	})
}

// ahead is a session token that no replica will ever reach, as a failover that
// lost writes may leave it.
const ahead = "0:-1#999999"

func TestSessionAheadOfAllReplicas(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.put(operationDoc("op-1", Create))
		r.put(clusterDoc("r1", "op-1"))
		r.plant(clusterID, "ready")
		tokens := map[string]int{}
		r.cosmos.before = func(req *http.Request) error {
			if strings.Contains(req.URL.Path, "/colls/Resources/docs") {
				tokens[req.Header.Get(headerSession)]++
			}
			return nil
		}
		step, err := r.step(dispatch.Change{Key: key("op-1"), Session: ahead})
		if err != nil || step.Verdict != dispatch.Done || r.field("r1", "/properties/provisioningState") != Succeeded {
			t.Errorf("have %+v, %v", step, err)
		}
		if tokens[ahead] != 2 || tokens[""] != 1 { // azcosmos itself asks twice; all else carries the token of the answer
			t.Errorf("sent %v", tokens)
		}
	})
}

// TestAbsentWithoutTheSession: a replica that lags does not prove that a document
// is gone, but not even a broken token keeps one for ever.
func TestAbsentWithoutTheSession(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.put(operationDoc("other", Create)) // so that there is a partition
		for attempt, gone := range []bool{false, false, false, true} {
			step, err := r.step(dispatch.Change{Key: key("op-1"), Session: ahead, Attempt: attempt})
			if gone != (err == nil && step.Verdict == dispatch.Done) || gone == errors.Is(err, errUnproven) {
				t.Errorf("attempt %d: %+v, %v", attempt, step, err)
			}
		}
	})
}

// TestAbsentSaysAProxy: a page with status 404 does not end what is pending.
func TestAbsentSaysAProxy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.put(operationDoc("op-1", Create))
		r.cosmos.reply = func(req *http.Request) *http.Response {
			if req.Method == http.MethodGet && strings.Contains(req.URL.Path, "/docs/") {
				return canned(req, http.StatusNotFound, "<html>not found</html>")
			}
			return nil
		}
		for attempt := range 5 {
			if step, err := r.step(dispatch.Change{Key: key("op-1"), Attempt: attempt}); !errors.Is(err, errForeign) {
				t.Errorf("attempt %d: %+v, %v", attempt, step, err)
			}
		}
	})
}

// TestResourcesWithoutTheSession: a replica that lags does not prove that there is
// no resource to be written with the operation, but not even a broken token keeps
// that from ending for ever.
func TestResourcesWithoutTheSession(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.put(operationDoc("op-1", Create))
		r.put(clusterDoc("r1", "op-1"))
		r.plant(clusterID, "ready")
		r.cosmos.reply = func(req *http.Request) *http.Response {
			if !isQuery(req) {
				return nil
			}
			if req.Header.Get(headerSession) == "" {
				return canned(req, http.StatusOK, `{"_rid":"","Documents":[],"_count":0}`) // the resource has not reached it
			}
			resp := canned(req, http.StatusNotFound, `{}`)
			resp.Header.Set(headerSubStatus, subStatusSession)
			return resp
		}
		c := dispatch.Change{Key: key("op-1"), Document: r.get("op-1"), Session: ahead}
		for attempt, ended := range []bool{false, false, false, true} {
			c.Attempt = attempt
			step, err := r.step(c)
			if ended != (err == nil && step.Verdict == dispatch.Done) || ended != (r.field("op-1", "/properties/status") == Succeeded) {
				t.Errorf("attempt %d: %+v, %v", attempt, step, err)
			}
		}
	})
}

func TestListWithASessionAheadOfAllReplicas(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		const n = 1500 // more than a page
		for i := range n {
			r.put(operationDoc(fmt.Sprintf("op-%d", i), Create))
		}
		queries := 0
		have := map[dispatch.Key]int{}
		r.cosmos.before = func(req *http.Request) error {
			if req.Header.Get(headerSession) == "" {
				return nil
			}
			// The token is fine for the first page of operations, and no more.
			if queries++; queries < 3 {
				req.Header.Set(headerSession, "0:-1#1")
			}
			return nil
		}
		err := r.h.Pending(t.Context(), ahead, false, func(c dispatch.Change) { have[c.Key]++ })
		if err != nil || len(have) != n || queries < 3 {
			t.Errorf("%d of %d after %d queries, %v", len(have), n, queries, err)
		}
		for k, times := range have {
			if times != 1 {
				t.Errorf("%s is listed %d times", k.ID, times)
			}
		}
	})
}

// TestBatchWithoutETag: what was written is not known, so it is read.
func TestBatchWithoutETag(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.put(operationDoc("op-1", Create))
		r.plant(clusterID, "installing")
		r.cosmos.after = func(req *http.Request, resp *http.Response) (*http.Response, error) {
			if isBatch(req) {
				raw, err := io.ReadAll(resp.Body)
				if err != nil {
					return nil, err
				}
				resp.Body = io.NopCloser(bytes.NewReader(bytes.ReplaceAll(raw, []byte(`"eTag"`), []byte(`"none"`))))
				resp.ContentLength = -1
			}
			return resp, nil
		}
		c := dispatch.Change{Key: key("op-1"), Document: r.get("op-1"), ETag: etagIn(r.get("op-1"))}
		step, err := r.step(c)
		if err != nil || step.Label != Provisioning || step.ETag == "" || step.Document != nil {
			t.Fatalf("have %+v, %v", step, err)
		}
		r.plant(clusterID, "ready")
		time.Sleep(step.After)
		if step, err = r.step(next(c, step)); err != nil || step.Verdict != dispatch.Done || step.Label != Succeeded {
			t.Errorf("have %+v, %v", step, err)
		}
		if n := r.metric("opfeed_write_conflicts_total"); n != 0 {
			t.Errorf("%v conflicts", n)
		}
	})
}

// TestFailuresAreLoggedOnce: the first of failures in a row is news; not that Cluster
// Service is silent, of which its client makes one line for all.
func TestFailuresAreLoggedOnce(t *testing.T) {
	for name, c := range map[string]struct {
		spoil func(r *rig)
		doing string
	}{
		"look": {func(r *rig) { r.service.before = func(*http.Request) error { return errCut } }, "ask cluster service for Cluster"},
		"read": {func(r *rig) {
			r.cosmos.before = failing(func(req *http.Request) bool { return req.Method == http.MethodGet })
		}, "read document"},
		"write": {func(r *rig) { r.cosmos.before = failing(isBatch) }, "write batch"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t)
				r.put(operationDoc("op-1", Create))
				r.plant(clusterID, "ready")
				// The account is read first, and once for all.
				if _, err := r.step(dispatch.Change{Key: key("nobody")}); err != nil {
					t.Fatal(err)
				}
				c.spoil(r)
				for attempt := range 3 {
					if step, err := r.step(dispatch.Change{Key: key("op-1"), Attempt: attempt}); err == nil {
						t.Fatalf("have %+v", step)
					}
				}
				failed := r.logs.FilterMessage("step failed, it is tried again")
				news := 1
				if name == "look" {
					news = 0
				}
				if n := failed.FilterLevelExact(zapcore.InfoLevel).Len(); n != news || failed.Len() != 3 {
					t.Fatalf("logged %d times, %d of them as info", failed.Len(), n)
				}
				fields := failed.All()[0].ContextMap()
				text, _ := fields["error"].(string)
				if fields["document_id"] != "op-1" || !strings.Contains(text, c.doing) || name != "read" && fields["operation"] != Create {
					t.Errorf("have %v", fields)
				}
			})
		})
	}
}

// TestCalledOffIsNoNews: when the process stops, everything that runs fails.
func TestCalledOffIsNoNews(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.put(operationDoc("op-1", Create))
		ctx, cancel := context.WithCancel(t.Context())
		r.service.before = func(req *http.Request) error {
			cancel()
			<-req.Context().Done()
			return req.Context().Err()
		}
		if _, err := r.h.Handle(ctx, dispatch.Change{Key: key("op-1")}); err == nil {
			t.Fatal("no error")
		}
		if n := r.logs.FilterMessage("step failed, it is tried again").FilterLevelExact(zapcore.InfoLevel).Len(); n != 0 {
			t.Errorf("logged %d times", n)
		}
	})
}

func failing(match func(*http.Request) bool) func(*http.Request) error {
	return func(req *http.Request) error {
		if match(req) {
			return errCut
		}
		return nil
	}
}

func TestClusterServiceDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.put(operationDoc("op-1", Create))
		r.plant(clusterID, "ready")
		r.service.before = func(*http.Request) error { return errCut }
		if step, err := r.step(dispatch.Change{Key: key("op-1")}); err == nil {
			t.Fatalf("have %+v", step)
		}
		time.AfterFunc(time.Minute, func() {
			r.service.mu.Lock()
			defer r.service.mu.Unlock()
			r.service.before = nil
		})
		r.logs.TakeAll()
		if step, _ := r.drive(dispatch.Change{Key: key("op-1")}); step.Label != Succeeded {
			t.Errorf("have %+v", step)
		}
		if n := r.logs.FilterMessage("operation seen").Len(); n != 1 {
			t.Errorf("logged %d times", n)
		}
	})
}

func TestUntrustedRangeWritesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.put(operationDoc("op-1", Create))
		r.plant(clusterID, "ready")
		lost := errors.New("lease is lost")
		_, err := r.step(dispatch.Change{Key: key("op-1"), Trusted: func() error { return lost }})
		if !errors.Is(err, lost) || r.cosmos.requests(isBatch) != 0 || r.lockHeld() {
			t.Errorf("have %v, status %s", err, r.field("op-1", "/properties/status"))
		}
	})
}
