package operations

import (
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"opfeed/cs/cssim"
	"opfeed/internal/fault"
	"opfeed/processor/dispatch"
)

// TestLesson09NothingIsPendingForEver drives operations whose object never ends
// them, in every way there is, and holds each to its deadline: the predecessor
// asked for them until their documents expired, in silence.
func TestLesson09NothingIsPendingForEver(t *testing.T) {
	status := func(code int, body string) cssim.Effect {
		return cssim.Effect{Effect: fault.Effect{Status: code, Body: &body, Header: map[string]string{"Content-Type": "application/json"}}}
	}
	for _, c := range []struct {
		name     string
		request  string
		object   string
		state    string // planted; "" = nothing is
		effect   *cssim.Effect
		deadline time.Duration
		code     string
	}{
		{"create, gone", Create, clusterID, "", nil, time.Hour, codeNotFound},
		{"update, gone", Update, clusterID, "gone", nil, time.Hour, codeNotFound},
		{"create, unknown state", Create, clusterID, "brand_new", nil, time.Hour, codeTimedOut},
		{"create, recoverable error", Create, clusterID + "/node_pools/n", "recoverable_error", nil, time.Hour, codeTimedOut},
		{"update, waiting", Update, clusterID, "waiting", nil, time.Hour, codeTimedOut},
		{"delete, ready for ever", Delete, clusterID + "/node_pools/n", "ready", nil, 12 * time.Hour, codeTimedOut},
		{"request, gone", RequestCredential, credentialID, "gone", nil, 20 * time.Minute, codeNotFound},
		{"request, unknown", RequestCredential, credentialID, "brand_new", nil, 20 * time.Minute, codeTimedOut},
		{"create, refused", Create, clusterID, "ready", new(status(400, `{"kind":"Error","id":"400","reason":"no"}`)), time.Hour, codeTimedOut},
		{"create, another object", Create, clusterID, "ready", new(status(200, `{}`)), time.Hour, codeTimedOut},
		{"create, damaged", Create, clusterID, "ready", new(status(200, `{"state": {}}`)), time.Hour, codeTimedOut},
	} {
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t)
			if !strings.HasSuffix(c.object, "h1") {
				r.plant(clusterID, "ready")
			}
			if c.state != "" {
				r.plant(c.object, c.state)
			}
			if c.effect != nil {
				if err := r.sim.Faults().Add(cssim.Fault{Name: "f", Effect: *c.effect}); err != nil {
					t.Fatal(err)
				}
			}
			d := operationDoc("op-1", c.request)
			props(d)["internalId"] = c.object
			r.put(d)
			r.put(clusterDoc("r1", "op-1"))
			began := time.Now()
			change := dispatch.Change{Key: key("op-1")}
			var step dispatch.Outcome
			for step.Label != Failed {
				var err error
				if step, err = r.step(change); err != nil {
					t.Fatalf("%s: %v", c.name, err)
				}
				change = next(change, step)
				time.Sleep(step.After)
				if time.Since(began) > 13*time.Hour {
					t.Fatalf("%s: still %s", c.name, step.Label)
				}
			}
			e := r.properties("op-1")["error"].(doc)
			if took := time.Since(began); took < c.deadline+5*time.Minute || took > c.deadline+5*time.Minute+21*time.Second {
				t.Errorf("%s: failed after %v", c.name, took)
			}
			if e["code"] != c.code || e["message"] == "" {
				t.Errorf("%s: %v", c.name, e)
			}
			if r.field("r1", "/properties/provisioningState") != Failed || r.field("r1", "/properties/activeOperationId") != "" {
				t.Errorf("%s: resource is %s", c.name, r.get("r1"))
			}
			if n := r.logs.FilterMessage("operation is past its deadline").Len(); n != 1 {
				t.Errorf("%s: logged %d times", c.name, n)
			}
		})
	}
}

// TestSilenceFailsNothing: an operation far past its deadline stays as it is while
// Cluster Service is silent, or answers now and then only.
func TestSilenceFailsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.plant(clusterID, "recoverable_error")
		d := operationDoc("op-1", Create)
		props(d)["status"] = Provisioning
		r.put(d)
		c := dispatch.Change{Key: key("op-1")}
		for i := range 3000 { // more than eight hours
			silent := i%25 != 0 // one answer in four minutes
			r.service.mu.Lock()
			r.service.reply = nil
			if silent {
				r.service.reply = func(req *http.Request) *http.Response { return canned(req, 503, "") }
			}
			r.service.mu.Unlock()
			step, err := r.step(c)
			if (err != nil) != silent {
				t.Fatalf("look %d: %v", i, err)
			}
			if err == nil {
				if step.Label != Provisioning {
					t.Fatalf("look %d: %s", i, step.Label)
				}
				c = next(c, step)
			}
			time.Sleep(10 * time.Second)
		}
	})
}

// TestEmptyInternalID: an id that nobody fills in is no fault of the
// document, and no reason to wait for ever.
func TestEmptyInternalID(t *testing.T) {
	for _, c := range []struct {
		name    string
		request string
		linked  bool // a resource names the operation
		own     bool // the resource's document is there, and names none
		want    string
		after   time.Duration
	}{
		{"create", Create, true, false, Failed, time.Hour},
		{"update, no resource", Update, false, false, Failed, time.Hour},
		{"delete, linked", Delete, true, false, Failed, 12 * time.Hour},
		{"delete, not linked", Delete, false, true, Failed, 12 * time.Hour},
		{"delete, nothing left", Delete, false, false, Succeeded, 12 * time.Hour},
		{"request", RequestCredential, false, true, Failed, 20 * time.Minute},
	} {
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t)
			d := operationDoc("op-1", c.request)
			props(d)["internalId"] = ""
			r.put(d)
			if c.linked {
				r.put(clusterDoc("r1", "op-1"))
			}
			if c.own {
				own := clusterDoc("r2", "")
				props(own)["resourceId"] = strings.ToUpper(props(d)["externalId"].(string))
				r.put(own)
			}
			began := time.Now()
			change := dispatch.Change{Key: key("op-1")}
			var step dispatch.Outcome
			for step.Label != c.want {
				var err error
				if step, err = r.step(change); err != nil {
					t.Fatal(err)
				}
				if step.Verdict == dispatch.Again && step.Label != labelNoInternalID {
					t.Fatalf("%s: labelled %s", c.name, step.Label)
				}
				change = next(change, step)
				time.Sleep(step.After)
			}
			if took := time.Since(began); step.Label != c.want || took < c.after || took > c.after+11*time.Second {
				t.Errorf("%s: %s after %v", c.name, step.Label, took)
			}
			if c.linked && r.field("r1", "/properties/provisioningState") != c.want {
				t.Errorf("%s: resource is %s", c.name, r.get("r1"))
			}
			if n := r.service.requests(all); n != 0 {
				t.Errorf("%s: %d calls to cluster service", c.name, n)
			}
			if n := r.logs.FilterMessage("operation has no internal id yet").Len(); n != 1 {
				t.Errorf("%s: logged %d times", c.name, n)
			}
		})
	}
}
