package operations

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/data/azcosmos"
	"go.uber.org/zap/zapcore"

	"opfeed/processor/dispatch"
)

// TestOwedIsTold: whoever ended it. The first look does no I/O, the body is what
// is stored, and of the document only the URI goes.
func TestOwedIsTold(t *testing.T) {
	const path = "/subscriptions/" + sub + "/providers/Microsoft.RedHatOpenShift/locations/l/hcpOperationStatuses/op-1"
	for name, c := range map[string]struct {
		change func(doc)
		want   map[string]any // of the body, beside the times
	}{
		"succeeded": {func(doc) {}, map[string]any{"id": path, "name": "op-1", "status": Succeeded}},
		"canceled by a front end": {func(d doc) {
			props(d)["status"] = Canceled
			props(d)["error"] = doc{"code": "Canceled", "message": "This operation was superseded by another"}
		}, map[string]any{"id": path, "name": "op-1", "status": Canceled,
			"error": map[string]any{"code": "Canceled", "message": "This operation was superseded by another"}}},
		"failed for several reasons": {func(d doc) {
			props(d)["status"] = "failed"
			props(d)["error"] = doc{"code": "MultipleErrorsOccurred", "message": "m", "target": "t", "unknown": 1,
				"details": []any{doc{"code": "a", "message": "b"}, 7, doc{"code": 5, "message": "c"}}}
		}, map[string]any{"id": path, "name": "op-1", "status": Failed, "error": map[string]any{"code": "MultipleErrorsOccurred", "message": "m",
			"target": "t", "details": []any{map[string]any{"code": "a", "message": "b"}, map[string]any{"message": "c"}}}}},
		"implicit, without operationId": {func(d doc) {
			delete(props(d), "operationId")
			props(d)["resourceId"] = "/subscriptions/s/providers/p/hcpOperationStatuses/own"
		}, map[string]any{"id": "/subscriptions/s/providers/p/hcpOperationStatuses/own", "name": "own", "status": Succeeded}},
		"implicit, of the newest generation": {func(d doc) {
			delete(props(d), "operationId")
		}, map[string]any{"id": "/subscriptions/" + sub + "/providers/Microsoft.RedHatOpenShift/hcpOperationStatuses/op-1", "name": "op-1", "status": Succeeded}},
		"error of another type": {func(d doc) { props(d)["error"] = []any{"x"} }, map[string]any{"id": path, "name": "op-1", "status": Succeeded}},
		"older generation": {func(d doc) {
			delete(props(d), "cosmosMetadata")
			props(d)["request"] = "RevokeCredentials"
		}, map[string]any{"id": path, "name": "op-1", "status": Succeeded}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r, a := newOutboxRig(t)
				d := endedDoc("op-1", Create, Succeeded)
				c.change(d)
				r.put(d)
				before := r.get("op-1")
				r.cosmos.requests(all)
				first, err := r.step(r.fed("op-1"))
				if err != nil || first.Verdict != dispatch.Again || !first.Aside || first.After != 0 || first.Label != LabelOwed {
					t.Fatalf("have %+v, %v", first, err)
				}
				if n := r.cosmos.requests(all) + len(a.told()); n != 0 {
					t.Errorf("%d requests at the first look", n)
				}
				last, steps := r.drive(next(r.fed("op-1"), first))
				if last.Verdict != dispatch.Done || !last.Wrote || len(steps) != 1 {
					t.Errorf("have %+v after %d steps", last, len(steps))
				}
				if n := r.service.requests(all); n != 0 {
					t.Errorf("%d calls to cluster service", n)
				}
				told := a.told()
				if len(told) != 1 || told[0].url != armURI {
					t.Fatalf("told %+v", told)
				}
				var have map[string]any
				if err := json.Unmarshal([]byte(told[0].body), &have); err != nil {
					t.Fatal(err)
				}
				c.want["startTime"], c.want["endTime"] = props(d)["startTime"], props(d)["lastTransitionTime"]
				if fmt.Sprint(have) != fmt.Sprint(c.want) {
					t.Errorf("told %v\nwant %v", have, c.want)
				}
				want := map[string]string{"/properties/" + fieldNotify: `"` + armURI + `" -> `}
				if _, ok := props(d)["cosmosMetadata"]; ok {
					want["/properties/cosmosMetadata/instanceVersion"] = "3 -> 4"
				}
				changed := difference(t, before, r.get("op-1"))
				maps.DeleteFunc(changed, func(path, _ string) bool { return path == "/_etag" || path == "/_ts" })
				for path := range changed {
					changed[path] = strings.ReplaceAll(changed[path], `\u0026`, "&")
				}
				if !maps.Equal(changed, want) {
					t.Errorf("changed %v", changed)
				}
				if r.settled(overDelivered) != 1 || r.metric("opfeed_notifications_total", "result=delivered") != 1 {
					t.Error("not counted")
				}
				r.wantNoToken()
			})
		})
	}
}

// TestOwnEndIsToldAtOnce: what we write is owed with the write, and told as it
// was stored, never before.
func TestOwnEndIsToldAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, a := newOutboxRig(t)
		d := operationDoc("op-1", Create)
		props(d)[fieldNotify] = armURI
		r.put(d)
		r.plant(clusterID, "ready")
		r.cosmos.before = func(req *http.Request) error {
			if isBatch(req) {
				return errCut
			}
			return nil
		}
		c := dispatch.Change{Key: key("op-1")}
		for range 10 {
			if _, err := r.step(c); err == nil {
				t.Fatal("written")
			}
			c.Attempt++
			time.Sleep(10 * time.Second)
		}
		if n := len(a.told()); n != 0 {
			t.Fatalf("told %d times of what was not written", n)
		}
		r.cosmos.before = nil
		a.set(func(w http.ResponseWriter, _ *http.Request) {
			if have := r.field("op-1", "/properties/status"); have != Succeeded {
				t.Errorf("told while %s is stored", have)
			}
			w.WriteHeader(http.StatusOK)
		})
		step, err := r.step(c)
		if err != nil || step.Verdict != dispatch.Again || !step.Aside || step.After != 0 || !step.Wrote || step.Label != LabelOwed {
			t.Fatalf("have %+v, %v", step, err)
		}
		if step, _ = r.drive(next(c, step)); step.Verdict != dispatch.Done || len(a.told()) != 1 || a.told()[0].status(t) != Succeeded {
			t.Errorf("have %+v, told %v", step, a.told())
		}
		if r.field("op-1", "/properties/"+fieldNotify) != "" {
			t.Error("the URI is still there")
		}
	})
}

// TestEndedByAnotherIsTold: a front end that cancels between our look and our
// write, and a URI that comes after the end.
func TestEndedByAnotherIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, a := newOutboxRig(t)
		d := operationDoc("op-1", Create)
		props(d)[fieldNotify] = armURI
		r.put(d)
		r.plant(clusterID, "ready")
		canceled := false
		r.cosmos.before = func(req *http.Request) error {
			if isBatch(req) && !canceled {
				canceled = true
				r.change("op-1", "/properties/status", Canceled)
			}
			return nil
		}
		step, err := r.step(r.fed("op-1"))
		if err != nil || !step.Aside || len(a.told()) != 0 {
			t.Fatalf("have %+v, %v, told %v", step, err, a.told())
		}
		if step, _ = r.drive(next(r.fed("op-1"), step)); step.Verdict != dispatch.Done || len(a.told()) != 1 || a.told()[0].status(t) != Canceled {
			t.Errorf("have %+v, told %v", step, a.told())
		}
		r.put(with(operationDoc("late", Create), Failed))
		if step, err := r.step(r.fed("late")); err != nil || step.Verdict != dispatch.Done {
			t.Errorf("have %+v, %v", step, err)
		}
		time.Sleep(time.Hour)
		r.change("late", "/properties/"+fieldNotify, armURI)
		if step, _ := r.drive(r.fed("late")); step.Verdict != dispatch.Done || len(a.told()) != 2 || a.told()[1].status(t) != Failed {
			t.Errorf("have %+v, told %v", step, a.told())
		}
	})
}

// TestFieldBug15CrashBetweenPostAndClear: ARM is told again after a crash, but
// not by a process that knows; and what another writes meanwhile is not stomped.
func TestFieldBug15CrashBetweenPostAndClear(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, a := newOutboxRig(t)
		r.put(endedDoc("op-1", Create, Succeeded))
		outage := true
		r.cosmos.before = func(req *http.Request) error {
			if isBatch(req) && outage {
				return errCut
			}
			return nil
		}
		c := r.fed("op-1")
		for range 100 {
			step, err := r.step(c)
			if err != nil || step.Verdict != dispatch.Again {
				t.Fatalf("have %+v, %v", step, err)
			}
			c = next(c, step)
			time.Sleep(step.After)
		}
		if n := len(a.told()); n != 1 {
			t.Errorf("told %d times by one process", n)
		}
		if n := r.logs.FilterMessage("notification uri not removed, it is tried again").FilterLevelExact(zapcore.InfoLevel).Len(); n != 1 {
			t.Errorf("the outage is logged %d times", n)
		}
		r.restart()
		r.change("op-1", "/properties/touched", 1)
		outage = false
		stomped := false
		r.cosmos.before = func(req *http.Request) error {
			if isBatch(req) && !stomped {
				stomped = true
				r.change("op-1", "/properties/touched", 2)
			}
			return nil
		}
		if step, _ := r.drive(r.fed("op-1")); step.Verdict != dispatch.Done {
			t.Errorf("have %+v", step)
		}
		if n := len(a.told()); n != 2 || r.field("op-1", "/properties/"+fieldNotify) != "" || r.field("op-1", "/properties/touched") != "2" {
			t.Errorf("told %d times, left %s", n, r.get("op-1"))
		}
		if r.metric("opfeed_write_conflicts_total") != 1 {
			t.Error("the removal was not conditional")
		}
		if n := r.settled(overDelivered); n != 1 {
			t.Errorf("settled %v times", n)
		}
	})
}

// TestRemovalWhoseReplyIsLost is counted, and found out by reading.
func TestRemovalWhoseReplyIsLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, a := newOutboxRig(t)
		r.put(endedDoc("op-1", Create, Succeeded))
		r.cosmos.after = func(req *http.Request, resp *http.Response) (*http.Response, error) {
			if isBatch(req) {
				return nil, errCut
			}
			return resp, nil
		}
		if step, _ := r.drive(r.fed("op-1")); step.Verdict != dispatch.Done || len(a.told()) != 1 || r.settled(overDelivered) != 1 {
			t.Errorf("have %+v, told %d, settled %v", step, len(a.told()), r.settled(overDelivered))
		}
	})
}

// TestFieldBug16RefusedURIsAreNeverCalled: the URI is anybody's. It is removed
// and seen, and no request is made to it or to where it redirects.
func TestFieldBug16RefusedURIsAreNeverCalled(t *testing.T) {
	for name, uri := range map[string]string{
		"another host":        "https://example.com/" + armToken,
		"host that begins so": "https://management.azure.com.example.com/" + armToken,
		"http":                "http://management.azure.com/" + armToken,
		"private address":     "https://10.0.0.1/" + armToken,
		"metadata":            "http://169.254.169.254/metadata/" + armToken,
		"this machine":        "https://localhost/" + armToken,
		"loopback":            "https://[::1]/" + armToken,
		"user":                "https://management.azure.com@example.com/" + armToken,
		"port":                "https://management.azure.com:8443/" + armToken,
		"not a URI":           "\x00" + armToken,
		"blank":               " ",
		"too long":            "https://management.azure.com/" + strings.Repeat("a", 10000),
		"redirect":            armURI,
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r, a := newOutboxRig(t)
				a.set(answers(http.StatusTemporaryRedirect, "Location", "https://10.0.0.1/"+armToken))
				d := endedDoc("op-1", Create, Failed)
				props(d)[fieldNotify] = uri
				r.put(d)
				want := 0
				if uri == armURI {
					want = 1
				}
				if step, _ := r.drive(r.fed("op-1")); step.Verdict != dispatch.Done || len(a.told()) != want {
					t.Errorf("have %+v, told %v", step, a.told())
				}
				if r.field("op-1", "/properties/"+fieldNotify) != "" || r.settled(overRefused) != 1 {
					t.Errorf("settled %v, left %s", r.settled(overRefused), r.get("op-1"))
				}
				if n := r.logs.FilterLevelExact(zapcore.WarnLevel).Len(); n != 1 {
					t.Errorf("%d warnings", n)
				}
				r.wantNoToken()
			})
		})
	}
}

// TestLesson13StaleETagOnClearing: a document that changes between the POST and
// the removal is read again with the session of that answer; ARM is not told
// again.
func TestLesson13StaleETagOnClearing(t *testing.T) {
	const other = "https://management.azure.com/other"
	for name, c := range map[string]struct {
		meanwhile func(*rig)
		told      []string
		want      string // the URI afterwards
	}{
		"touched": {func(r *rig) { r.change("op-1", "/properties/touched", 1) }, []string{armURI}, ""},
		"another URI": {func(r *rig) { r.change("op-1", "/properties/"+fieldNotify, other) },
			[]string{armURI, other}, ""},
		"no URI any more": {func(r *rig) { r.change("op-1", "/properties/"+fieldNotify, "") }, []string{armURI}, ""},
		"softly deleted":  {func(r *rig) { r.change("op-1", "/deletionTimestamp", "2026-01-01T00:00:00Z") }, []string{armURI}, armURI},
		"gone":            {func(r *rig) { r.erase("op-1") }, []string{armURI}, "absent"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r, a := newOutboxRig(t)
				r.put(endedDoc("op-1", Create, Succeeded))
				done, token := false, ""
				r.cosmos.before = func(req *http.Request) error {
					if isBatch(req) && !done {
						done = true
						c.meanwhile(r)
					} else if token != "" && req.Method == http.MethodGet {
						if req.Header.Get(headerSession) != token {
							t.Errorf("read again with %q, not with the session of the conflict, %q", req.Header.Get(headerSession), token)
						}
						token = ""
					}
					return nil
				}
				r.cosmos.after = func(req *http.Request, resp *http.Response) (*http.Response, error) {
					if isBatch(req) && token == "" {
						token = resp.Header.Get(headerSession)
					}
					return resp, nil
				}
				if step, _ := r.drive(r.fed("op-1")); step.Verdict != dispatch.Done {
					t.Errorf("have %+v", step)
				}
				var urls []string
				for _, p := range a.told() {
					urls = append(urls, p.url)
				}
				left := strings.ReplaceAll(r.field("op-1", "/properties/"+fieldNotify), `\u0026`, "&")
				if !slices.Equal(urls, c.told) || left != c.want {
					t.Errorf("told %v, left %s", urls, r.get("op-1"))
				}
			})
		})
	}
}

func (r *rig) erase(id string) {
	r.t.Helper()
	if _, err := r.resources.DeleteItem(r.t.Context(), azcosmos.NewPartitionKeyString(sub), id, nil); err != nil {
		r.t.Fatal(err)
	}
}

// TestLesson13FailedNotificationsAreRetried: each try ends in time, and what ARM
// asks for is honoured.
func TestLesson13FailedNotificationsAreRetried(t *testing.T) {
	for name, c := range map[string]struct {
		answer   http.HandlerFunc
		min, max time.Duration // from one try to the next, for the first three
	}{
		"500":          {answers(http.StatusInternalServerError), 4 * time.Second, 20 * time.Second},
		"401":          {answers(http.StatusUnauthorized), 4 * time.Second, 20 * time.Second},
		"reset":        {func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, 4 * time.Second, 20 * time.Second},
		"hangs":        {hangs, 14 * time.Second, 30 * time.Second},
		"asks to wait": {answers(http.StatusTooManyRequests, "Retry-After", "300"), 5 * time.Minute, 5 * time.Minute},
		"asks to wait for ever": {answers(http.StatusServiceUnavailable, "Retry-After", "999999999"),
			10 * time.Minute, 10 * time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r, a := newOutboxRig(t)
				a.set(c.answer)
				r.put(endedDoc("op-1", Create, Succeeded))
				ch := r.fed("op-1")
				for len(a.told()) < 4 {
					step, err := r.step(ch)
					if err != nil || step.Verdict != dispatch.Again || !step.Aside || step.Document != nil {
						t.Fatalf("have %+v, %v", step, err)
					}
					ch = next(ch, step)
					time.Sleep(step.After)
				}
				told := a.told()
				for i := 1; i < len(told); i++ {
					if pause := told[i].at.Sub(told[i-1].at); pause < c.min || pause > c.max {
						t.Errorf("pause %d is %s", i, pause)
					}
				}
				a.set(nil)
				if step, _ := r.drive(ch); step.Verdict != dispatch.Done || r.settled(overDelivered) != 1 {
					t.Errorf("have %+v", step)
				}
				if n := r.logs.FilterMessage("arm was not told, it is tried again").FilterLevelExact(zapcore.InfoLevel).Len(); n != 1 {
					t.Errorf("logged %d times", n)
				}
				r.wantNoToken()
			})
		})
	}
}

// TestLesson13NotificationHoldsNoLock: neither while ARM is told nor after.
func TestLesson13NotificationHoldsNoLock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, a := newOutboxRig(t)
		r.plant(clusterID, "ready")
		d := operationDoc("op-1", Create)
		props(d)[fieldNotify] = armURI
		r.put(d)
		step, err := r.step(r.fed("op-1"))
		if err != nil || !step.Aside || r.lockHeld() {
			t.Fatalf("have %+v, %v", step, err)
		}
		r.cosmos.requests(all)
		r.hold() // a front end's
		if step, _ = r.drive(next(r.fed("op-1"), step)); step.Verdict != dispatch.Done || len(a.told()) != 1 {
			t.Errorf("have %+v", step)
		}
		if n := r.cosmos.requests(isLock); n != 0 {
			t.Errorf("%d requests about locks", n)
		}
	})
}

// TestNotificationIsGivenUp after a day, visibly, and not without a try.
func TestNotificationIsGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, a := newOutboxRig(t)
		a.set(answers(http.StatusServiceUnavailable))
		start := time.Now()
		r.put(endedDoc("op-1", Create, Succeeded))
		r.put(endedDoc("op-2", Create, Succeeded))
		if step, _ := r.drive(r.fed("op-1")); step.Verdict != dispatch.Done {
			t.Errorf("have %+v", step)
		}
		told := a.told()
		if took := time.Since(start); took < 24*time.Hour || took > 24*time.Hour+10*time.Minute || len(told) < 24*6 || len(told) > 24*9 {
			t.Errorf("given up after %s and %d tries", took, len(told))
		}
		if r.settled(overGivenUp) != 1 || r.logs.FilterLevelExact(zapcore.ErrorLevel).Len() != 1 || r.field("op-1", "/properties/"+fieldNotify) != "" {
			t.Errorf("settled %v, %v", r.settled(overGivenUp), r.get("op-1"))
		}
		r.restart()
		time.Sleep(24 * time.Hour)
		if _, steps := r.drive(r.fed("op-2")); len(a.told()) != len(told)+1 || r.settled(overGivenUp) != 2 {
			t.Errorf("after the time: %d steps, %d tries", len(steps), len(a.told())-len(told))
		}
		r.put(endedDoc("op-3", Create, Succeeded))
		r.restart()
		time.Sleep(48 * time.Hour)
		a.set(nil)
		if r.drive(r.fed("op-3")); r.settled(overDelivered) != 1 {
			t.Error("a try that is the last one is not made")
		}
		r.wantNoToken()
	})
}

func TestEndedAt(t *testing.T) {
	first := time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)
	at := first.Add
	for name, c := range map[string]struct {
		transition, ts, written, want time.Time
	}{
		"both":                          {at(-time.Hour), at(-2 * time.Hour), time.Time{}, at(-time.Hour)},
		"uri came later":                {at(-48 * time.Hour), at(-time.Minute), at(-time.Minute), at(-time.Minute)},
		"front end's clock is ahead":    {at(time.Hour), at(-time.Minute), time.Time{}, at(-time.Minute)},
		"nonsense":                      {at(9e17), time.Time{}, time.Time{}, first},
		"nothing":                       {time.Time{}, time.Time{}, time.Time{}, first},
		"only the feed says":            {time.Time{}, time.Time{}, at(-time.Second), at(-time.Second)},
		"the database's clock is ahead": {at(-time.Hour), at(time.Hour), at(time.Hour), at(-time.Hour)},
	} {
		op := operation{transition: c.transition, document: document{envelope: object{}}}
		if !c.ts.IsZero() {
			op.envelope["_ts"] = json.RawMessage(fmt.Sprint(c.ts.Unix()))
		}
		if have := op.endedAt(c.written, first); !have.Equal(c.want) {
			t.Errorf("%s: have %s, want %s", name, have, c.want)
		}
	}
}

// TestCutOff: what ended before is not told, and the URI goes.
func TestCutOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		early := endedDoc("before", Create, Succeeded)
		time.Sleep(2 * time.Hour)
		cut := time.Now().Add(-time.Hour)
		r, a := newOutboxRig(t, func(cfg *Config, _ *Deps) { cfg.Outbox.CutOff = CutOff{cut} })
		r.put(early)
		r.put(endedDoc("after", Create, Succeeded))
		for _, id := range []string{"before", "after"} {
			if step, _ := r.drive(r.fed(id)); step.Verdict != dispatch.Done || r.field(id, "/properties/"+fieldNotify) != "" {
				t.Errorf("%s: %+v", id, step)
			}
		}
		if n := len(a.told()); n != 1 || r.settled(overCutOff) != 1 || r.settled(overDelivered) != 1 {
			t.Errorf("told %d times", n)
		}
	})
}

// TestNotificationsSwitchedOff: what is owed stays as it is, and is not listed.
func TestNotificationsSwitchedOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, a := newOutboxRig(t, func(cfg *Config, _ *Deps) { cfg.Outbox.Enabled = false })
		etag := r.put(endedDoc("op-1", Create, Succeeded))
		if step, _ := r.drive(r.fed("op-1")); step.Verdict != dispatch.Done || len(a.told()) != 0 || etagIn(r.get("op-1")) != etag {
			t.Errorf("have %+v", step)
		}
		if list := r.list(false); len(list) != 0 {
			t.Errorf("listed %v", list)
		}
	})
}

// TestUntrustedRangeTellsNobody: neither is ARM told nor the URI removed.
func TestUntrustedRangeTellsNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, a := newOutboxRig(t)
		etag := r.put(endedDoc("op-1", Create, Succeeded))
		c := r.fed("op-1")
		step, err := r.step(c)
		if err != nil {
			t.Fatal(err)
		}
		c = next(c, step)
		c.Trusted = func() error { return errCut }
		if _, err := r.step(c); err == nil || len(a.told()) != 0 {
			t.Errorf("%v, told %v", err, a.told())
		}
		// Lost between the POST and the removal.
		lost := false
		c.Trusted = func() error {
			if lost {
				return errCut
			}
			return nil
		}
		a.set(func(w http.ResponseWriter, _ *http.Request) { lost = true; w.WriteHeader(http.StatusOK) })
		if step, err := r.step(c); err != nil || step.Verdict != dispatch.Again || len(a.told()) != 1 || etagIn(r.get("op-1")) != etag {
			t.Errorf("have %+v, %v, told %v", step, err, a.told())
		}
	})
}

// TestRefusedRemoval: two in a row quarantine the operation; ARM is told once.
func TestRefusedRemoval(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, a := newOutboxRig(t)
		r.put(endedDoc("op-1", Create, Succeeded))
		r.refuseBatchesWith(http.StatusBadRequest, "op-1")
		if step, steps := r.drive(r.fed("op-1")); step.Verdict != dispatch.Quarantine || step.Fault != dispatch.Refused || len(steps) != 3 || len(a.told()) != 1 {
			t.Errorf("have %+v after %d steps, told %v", step, len(steps), a.told())
		}
	})
}

// TestTouchedWhileOwed: a newer version with the same URI does not shorten the
// pause, and one with another is owed at once.
func TestTouchedWhileOwed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, a := newOutboxRig(t)
		a.set(answers(http.StatusTooManyRequests, "Retry-After", "500"))
		r.put(endedDoc("op-1", Create, Succeeded))
		c := r.fed("op-1")
		for range 2 {
			step, err := r.step(c)
			if err != nil {
				t.Fatal(err)
			}
			c = next(c, step)
		}
		time.Sleep(100 * time.Second)
		r.change("op-1", "/properties/touched", 1)
		fed := r.fed("op-1")
		fed.Seen = c.Seen
		if step, err := r.step(fed); err != nil || !step.Aside || step.After != 400*time.Second || len(a.told()) != 1 {
			t.Errorf("have %+v, %v", step, err)
		}
		r.change("op-1", "/properties/"+fieldNotify, armURI+"2")
		fed = r.fed("op-1")
		fed.Seen = c.Seen
		if step, err := r.step(fed); err != nil || !step.Aside || step.After != 0 {
			t.Errorf("have %+v, %v", step, err)
		}
	})
}

// TestOwedAreListed, too, and the links that name them are still followed.
func TestOwedAreListed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, _ := newOutboxRig(t)
		for _, status := range []string{Succeeded, Failed, Canceled, "succeeded", "CANCELED"} {
			r.put(endedDoc("owed-"+status, Create, status))
		}
		for i, uri := range []any{nil, "", 7, true, []any{armURI}, doc{"a": armURI}} {
			d := endedDoc(fmt.Sprint("not-owed-", i), Create, Succeeded)
			props(d)[fieldNotify] = uri
			r.put(d)
		}
		r.put(with(operationDoc("told", Create), Succeeded))
		active := endedDoc("active", Create, Provisioning)
		r.put(active)
		deleted := endedDoc("deleted", Create, Failed)
		deleted["deletionTimestamp"] = "2026-01-01T00:00:00Z"
		r.put(deleted)
		r.put(clusterDoc("linked", "owed-Failed"))
		r.put(clusterDoc("linked-to-active", "active"))
		other := endedDoc("other", Create, Succeeded)
		other["resourceType"] = "microsoft.redhatopenshift/hcpopenshiftclusters"
		r.put(other)
		want := []string{"active", "linked", "owed-CANCELED", "owed-Canceled", "owed-Failed", "owed-Succeeded", "owed-succeeded"}
		for _, documents := range []bool{false, true} {
			list := r.list(documents)
			if have := slices.Sorted(maps.Keys(list)); !slices.Equal(have, want) {
				t.Errorf("have %q\nwant %q", have, want)
			}
			s := list["owed-Failed"]
			if s.ETag != etagIn(r.get("owed-Failed")) || s.Written.IsZero() || (s.Document != nil) != documents {
				t.Errorf("have %+v", s)
			}
		}
		r.drive(dispatch.Change{Key: key("linked"), Source: dispatch.List})
		if state, link := r.field("linked", "/properties/provisioningState"), r.field("linked", "/properties/activeOperationId"); state != Failed || link != "" {
			t.Errorf("the link is not followed: %s, %q", state, link)
		}
	})
}

// TestHostileErrorsAreTold: whatever is stored as the error, ARM is told.
func TestHostileErrorsAreTold(t *testing.T) {
	deep := any("x")
	for range 30 {
		deep = doc{"code": "c", "details": []any{deep}}
	}
	for i, stored := range []any{nil, 7, "text", doc{}, doc{"code": nil, "details": "x"}, deep, doc{"message": "\u0000\ufffd<>&"}} {
		synctest.Test(t, func(t *testing.T) {
			r, a := newOutboxRig(t)
			d := endedDoc("op-1", Create, Failed)
			props(d)["error"] = stored
			props(d)["startTime"], props(d)["lastTransitionTime"] = "yesterday", 7
			r.put(d)
			if step, _ := r.drive(r.fed("op-1")); step.Verdict != dispatch.Done || len(a.told()) != 1 || a.told()[0].status(t) != Failed {
				t.Errorf("%d: have %+v, told %v", i, step, a.told())
			}
		})
	}
}
