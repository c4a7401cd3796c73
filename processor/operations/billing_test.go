package operations

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/data/azcosmos"
	"github.com/google/uuid"
	"go.uber.org/zap/zapcore"

	"opfeed/internal/inproc"
	"opfeed/processor/dispatch"
)

// newBillingRig is a rig with a container of billing documents, and with a cluster
// that a front end has just asked Cluster Service for.
func newBillingRig(t *testing.T) *rig {
	r := newRig(t)
	r.bills(r.h)
	r.order()
	return r
}

func (r *rig) bills(h *Handler) {
	h.deps.Billing, h.deps.Location = r.container(r.own, "Billing"), "westeurope"
}

// order asks Cluster Service for the cluster, as front ends do.
func (r *rig) order() {
	r.t.Helper()
	const order = `{"id":"h1","name":"c1","azure":{"managed_resource_group_name":"Managed-1"}}`
	req, err := http.NewRequestWithContext(r.t.Context(), http.MethodPost, "http://cs.test/api/aro_hcp/v1alpha1/clusters", strings.NewReader(order))
	if err != nil {
		r.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	if resp, err := inproc.New(r.sim).RoundTrip(req); err != nil || resp.StatusCode != http.StatusCreated {
		r.t.Fatalf("have %v, %v", resp, err)
	}
}

// billed lists the billing documents of sub, by creation time.
func (r *rig) billed() []doc {
	r.t.Helper()
	var list []doc
	pager := r.billing.NewQueryItemsPager("SELECT * FROM c ORDER BY c.creationTime", azcosmos.NewPartitionKeyString(sub), nil)
	for pager.More() {
		page, err := pager.NextPage(r.t.Context())
		if err != nil {
			r.t.Fatal(err)
		}
		for _, row := range page.Items {
			var d doc
			if err := json.Unmarshal(row, &d); err != nil {
				r.t.Fatal(err)
			}
			list = append(list, d)
		}
	}
	return list
}

// open counts those of them that have no deletionTime.
func open(list []doc) int {
	n := 0
	for _, d := range list {
		if d["deletionTime"] == nil {
			n++
		}
	}
	return n
}

func (r *rig) putBilling(d doc) {
	r.t.Helper()
	raw, err := json.Marshal(d)
	if err != nil {
		r.t.Fatal(err)
	}
	if _, err := r.billing.UpsertItem(r.t.Context(), azcosmos.NewPartitionKeyString(sub), raw, nil); err != nil {
		r.t.Fatal(err)
	}
}

// billOf is a document as the predecessor left it.
func billOf(id string, created time.Time) doc {
	return doc{"id": id, "subscriptionId": sub, "resourceId": armCluster, "creationTime": created.UTC().Format(time.RFC3339), "location": "eastus"}
}

func isBilling(req *http.Request) bool { return strings.Contains(req.URL.Path, "/colls/Billing/docs") }

func isBillingQuery(req *http.Request) bool { return isBilling(req) && isQuery(req) }

func isBillingCreate(req *http.Request) bool {
	return isBilling(req) && !isQuery(req) && req.Method == http.MethodPost
}

func isBillingPatch(req *http.Request) bool { return isBilling(req) && req.Method == http.MethodPatch }

// create is a create of a cluster, with its document of a generation.
func (r *rig) create(generation string) dispatch.Change {
	op := operationDoc("op-1", Create)
	props(op)["tenantId"] = "tenant-1"
	r.put(op)
	r.put(resourceDoc(generation, "own", armCluster, "op-1"))
	return dispatch.Change{Key: key("op-1")}
}

// delete is a delete of that cluster, which Cluster Service has begun.
func (r *rig) delete(generation string) dispatch.Change {
	r.put(operationDoc("op-2", Delete))
	r.put(resourceDoc(generation, "own", armCluster, "op-2"))
	r.send(http.MethodDelete, "/api/aro_hcp/v1alpha1/clusters/h1")
	return dispatch.Change{Key: key("op-2")}
}

// TestBillingFollowsItsCluster from its creation to its deletion.
func TestBillingFollowsItsCluster(t *testing.T) {
	const uid = "3f2504e0-4f89-41d3-9a0c-0305e82c3301"
	for _, g := range append([]string{"uid"}, generations...) {
		t.Run(g, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ordered := time.Now().UTC()
				r := newBillingRig(t)
				generation := strings.ReplaceAll(g, "uid", "newest")
				c := r.create(generation)
				if g == "uid" {
					own := resourceDoc(generation, "own", armCluster, "op-1")
					props(own)["serviceProviderProperties"].(doc)["clusterUID"] = uid
					r.put(own)
				}
				if step, _ := r.drive(c); step.Label != Succeeded {
					t.Fatalf("have %+v", step)
				}
				list := r.billed()
				if len(list) != 1 {
					t.Fatalf("have %v", list)
				}
				have := list[0]
				for name := range have {
					if strings.HasPrefix(name, "_") {
						delete(have, name)
					}
				}
				want := doc{
					"id": have["id"], "creationTime": ordered.Format(time.RFC3339), "location": "westeurope", "tenantId": "tenant-1",
					"subscriptionId": sub, "resourceId": armCluster, "managedResourceGroup": "/subscriptions/" + sub + "/resourceGroups/Managed-1",
				}
				if !maps.Equal(have, want) || (have["id"] == uid) != (g == "uid") {
					t.Errorf("have %v, want %v", have, want)
				}
				time.Sleep(time.Hour)
				if step, _ := r.drive(r.delete(generation)); step.Label != Succeeded {
					t.Fatalf("have %+v", step)
				}
				after := r.billed()
				if len(after) != 1 || after[0]["id"] != have["id"] {
					t.Fatalf("have %v", after)
				}
				end, err := time.Parse(time.RFC3339Nano, fmt.Sprint(after[0]["deletionTime"]))
				if moved := r.field("op-2", "/properties/lastTransitionTime"); err != nil || fmt.Sprint(after[0]["deletionTime"]) > moved || time.Since(end) > time.Minute {
					t.Errorf("closed at %v (%v), ended at %s", end, err, moved)
				}
				if n := r.metric("opfeed_billing_failed_total"); n != 0 {
					t.Errorf("%v failures", n)
				}
			})
		})
	}
}

// TestBillingIDs: one for each cluster that has had the name, and the same whatever
// the casing of that.
func TestBillingIDs(t *testing.T) {
	id := func(external, internal string, own resource) string {
		l := &look{}
		d, _ := parseDocument(fmt.Appendf(nil, `{"properties":{"externalId":%q,"internalId":%q}}`, external, internal))
		l.take(operation{document: d, internalID: internal})
		l.ref.Cluster = internal
		return l.billingID([]resource{own})
	}
	first := id(armCluster, "h1", resource{})
	if first != id(strings.ToUpper(armCluster), "h1", resource{}) || first == id(armCluster, "h2", resource{}) || first == id(armCluster+"x", "h1", resource{}) {
		t.Error("ids differ that should not, or do not that should")
	}
	for uid, ours := range map[string]bool{
		`"3f2504e0-4f89-41d3-9a0c-0305e82c3301"`: true, `""`: false, `7`: false, `"../x"`: false, `"x/y"`: false, `null`: false, `{}`: false,
	} {
		d, _ := parseDocument([]byte(`{"resourceID":"` + armCluster + `","properties":{"serviceProviderProperties":{"clusterUID":` + uid + `}}}`))
		if have := id(armCluster, "h1", resource{d}); (have != first) != ours {
			t.Errorf("%s gives %s", uid, have)
		}
	}
}

// TestBillingKilledAtEveryRequest cuts each request to Cosmos DB in turn, before it
// is applied or after, and lets another process take over: a cluster never has more
// than one document, and no operation has ended without it.
func TestBillingKilledAtEveryRequest(t *testing.T) {
	for _, request := range []string{Create, Delete} {
		for _, applied := range []bool{false, true} {
			t.Run(fmt.Sprint(request, " applied ", applied), func(t *testing.T) {
				cut := 0
				for reached := true; reached; cut++ {
					synctest.Test(t, func(t *testing.T) { reached = killedAt(t, request, applied, cut) })
				}
				if cut < 8 {
					t.Errorf("only %d requests", cut)
				}
			})
		}
	}
}

// killedAt tells whether there was a request of that number.
func killedAt(t *testing.T, request string, applied bool, cut int) (reached bool) {
	r := newBillingRig(t)
	c, id := r.create("newest"), "op-1"
	if request == Delete {
		r.drive(c)
		time.Sleep(time.Hour)
		c, id = r.delete("newest"), "op-2"
	}
	var n atomic.Int64 // azcosmos reads the account in goroutines of its own
	r.cosmos.mu.Lock()
	r.cosmos.before = func(*http.Request) error {
		if i := int(n.Add(1)) - 1; i > cut || i == cut && !applied {
			return errCut
		}
		return nil
	}
	r.cosmos.after = func(req *http.Request, resp *http.Response) (*http.Response, error) {
		if int(n.Load()) > cut {
			return nil, errCut
		}
		return resp, nil
	}
	r.cosmos.mu.Unlock()
	step, err := r.step(c)
	for err == nil && step.Verdict == dispatch.Again {
		c = next(c, step)
		time.Sleep(step.After)
		step, err = r.step(c)
	}
	r.cosmos.mu.Lock()
	r.cosmos.before, r.cosmos.after = nil, nil
	r.cosmos.mu.Unlock()
	if want := map[string]int{Create: 1, Delete: 0}[request]; r.field(id, "/properties/status") == Succeeded && open(r.billed()) != want {
		t.Errorf("cut at %d: has ended with %v", cut, r.billed())
	}
	times := map[string]any{}
	for _, d := range r.billed() {
		times[fmt.Sprint(d["id"])] = d["deletionTime"]
	}
	time.Sleep(time.Minute)
	if r.h, err = New(r.h.cfg, r.h.deps.withoutMetrics()); err != nil {
		t.Fatal(err)
	}
	r.drive(dispatch.Change{Key: key(id), Source: dispatch.List})
	list := r.billed()
	if len(list) != 1 || open(list) != map[string]int{Create: 1, Delete: 0}[request] || r.field(id, "/properties/status") != Succeeded {
		t.Errorf("cut at %d: in the end %v", cut, list)
	}
	for _, d := range list {
		if was := times[fmt.Sprint(d["id"])]; was != nil && was != d["deletionTime"] {
			t.Errorf("cut at %d: deletionTime moved from %v to %v", cut, was, d["deletionTime"])
		}
	}
	return int(n.Load()) > cut
}

// TestBillingWithoutAnAnswer: while the container cannot be had, no operation ends;
// afterwards it ends billed.
func TestBillingWithoutAnAnswer(t *testing.T) {
	reply := func(status int, substatus, body, charge string) func(*http.Request) *http.Response {
		return func(req *http.Request) *http.Response {
			resp := canned(req, status, body)
			resp.Header.Set(headerSubStatus, substatus)
			if charge != "" {
				resp.Header.Set(headerCharge, charge)
			}
			return resp
		}
	}
	answers := map[string]func(*http.Request) *http.Response{
		"throttled":      reply(429, "3200", "{}", "0"),
		"unavailable":    reply(503, "", "{}", "0"),
		"timeout":        reply(408, "", "{}", "1"),
		"retry with":     reply(449, "", "{}", "1"),
		"failover":       reply(403, "3", "{}", "1"),
		"moved":          reply(403, "1008", "{}", "1"),
		"not authorised": reply(401, "", "{}", "1"),
		"no container":   reply(404, "1003", "{}", "1"),
		"session":        reply(404, "1002", "{}", "1"),
		"proxy says 200": reply(200, "", "<html>log in first</html>", ""),
		"proxy says 201": reply(201, "", "", ""),
		"proxy says 204": reply(204, "", "", ""),
		"proxy says 400": reply(400, "", "<html>bad request</html>", ""),
		"proxy says 403": reply(403, "", "<html>forbidden</html>", ""),
		"proxy says 404": reply(404, "", "<html>not found</html>", ""),
		"proxy says 409": reply(409, "", "<html>conflict</html>", ""),
		"proxy says 412": reply(412, "", "<html>precondition</html>", ""),
		"proxy says 413": reply(413, "", "<html>too large</html>", ""),
	}
	for call, c := range map[string]struct {
		request string
		match   func(*http.Request) bool
	}{"create": {Create, isBillingCreate}, "query": {Delete, isBillingQuery}, "patch": {Delete, isBillingPatch}} {
		for name, answer := range answers {
			if call == "query" && name == "no container" {
				continue // azcosmos reads the container, and asks again
			}
			t.Run(call+" "+name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					r := newBillingRig(t)
					ch, id, want := r.create("flat"), "op-1", 1
					if c.request == Delete {
						r.drive(ch)
						time.Sleep(time.Hour)
						ch, id, want = r.delete("flat"), "op-2", 0
					}
					hit, batches := 0, 0
					r.cosmos.reply = func(req *http.Request) *http.Response {
						if c.match(req) && hit < 20 {
							hit++
							return answer(req)
						}
						if isBatch(req) && strings.Contains(body(t, req), Succeeded) {
							batches++
							if hit < 20 {
								t.Errorf("ended after %d answers", hit)
							}
						}
						return nil
					}
					if step, _ := r.drive(ch); step.Label != Succeeded || batches != 1 || hit != 20 {
						t.Errorf("have %+v after %d batches, %d answers", step, batches, hit)
					}
					if list := r.billed(); len(list) != 1 || open(list) != want || r.field(id, "/properties/status") != Succeeded {
						t.Errorf("have %v", list)
					}
					if n := r.metric("opfeed_billing_failed_total"); n != 0 {
						t.Errorf("%v failures", n)
					}
				})
			})
		}
	}
}

// TestBillingRefused: a document that the account will not take is for a person to
// see, and no customer waits for it.
func TestBillingRefused(t *testing.T) {
	for call, c := range map[string]struct {
		request, action string
		match           func(*http.Request) bool
	}{
		"create": {Create, billingCreate, isBillingCreate}, "query": {Delete, billingClose, isBillingQuery}, "patch": {Delete, billingClose, isBillingPatch},
	} {
		for _, status := range []int{400, 403, 413} {
			t.Run(fmt.Sprint(call, " ", status), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					r := newBillingRig(t)
					ch := r.create("newest")
					if c.request == Delete {
						r.drive(ch)
						ch = r.delete("newest")
					}
					synctest.Wait() // azcosmos looks for regions aside
					r.cosmos.reply = func(req *http.Request) *http.Response {
						if !c.match(req) {
							return nil
						}
						resp := canned(req, status, `{"code":"Refused","message":"no"}`)
						resp.Header.Set(headerCharge, "1")
						return resp
					}
					if step, _ := r.drive(ch); step.Label != Succeeded {
						t.Errorf("have %+v", step)
					}
					errs := r.logs.FilterLevelExact(zapcore.ErrorLevel).All()
					if n := r.metric("opfeed_billing_failed_total", "action="+c.action); n != 1 || len(errs) != 1 || errs[0].ContextMap()["operation_id"] == nil {
						t.Errorf("%v counted, %d logged", n, len(errs))
					}
				})
			})
		}
	}
}

// TestFieldBug12LateDeleteClosesNoOtherCluster: the cluster was made anew under the
// same id, and is paid for, when the delete of the one before is done at last.
func TestFieldBug12LateDeleteClosesNoOtherCluster(t *testing.T) {
	for name, relink := range map[string]string{"being created": "op-9", "at rest": ""} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newBillingRig(t)
				r.drive(r.create("newest"))
				time.Sleep(time.Hour)
				late := r.delete("newest")
				time.Sleep(time.Hour)
				// Others have deleted the resource, and made it anew.
				r.put(resourceDoc("newest", "own", strings.ToLower(armCluster), relink))
				later := billOf("later", time.Now())
				r.putBilling(later)
				time.Sleep(time.Hour)
				if step, _ := r.drive(late); step.Label != Succeeded {
					t.Fatalf("have %+v", step)
				}
				list := r.billed()
				if len(list) != 2 || list[0]["deletionTime"] == nil || list[1]["id"] != "later" || list[1]["deletionTime"] != nil {
					t.Errorf("have %v", list)
				}
			})
		})
	}
}

// TestLateDeleteCannotTell which cluster a document is of: it is left open, which a
// person sees. Not where the id says it, or the resource, which is still linked.
func TestLateDeleteCannotTell(t *testing.T) {
	ours := uuid.NewSHA1(billingNamespace, []byte(strings.ToLower(armCluster)+"|h1")).String()
	for name, c := range map[string]struct {
		id             string
		start, created any
		linked, closed bool
	}{
		"no start":            {"b", nil, "2026-01-01T00:00:00Z", false, false},
		"a start to come":     {"b", "2100-01-01T00:00:00Z", "2026-01-01T00:00:00Z", false, false},
		"no creation":         {"b", "1999-12-31T00:00:00Z", nil, false, false},
		"creation of no time": {"b", "1999-12-31T00:00:00Z", 7, false, false},
		"all is well":         {"b", "1999-12-31T00:00:00Z", "1999-12-30T00:00:00Z", false, true},
		"our id":              {ours, nil, nil, false, true},
		"our id, later":       {ours, "1999-12-31T00:00:00Z", "1999-12-31T00:00:01Z", false, true}, // by a clock that is ahead
		"linked":              {"b", nil, nil, true, true},
		"linked, later":       {"b", "1999-12-31T00:00:00Z", "1999-12-31T00:00:01Z", true, true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newBillingRig(t)
				op := operationDoc("op-2", Delete)
				props(op)["startTime"] = c.start
				r.put(op)
				if c.linked {
					r.put(resourceDoc("middle", "own", armCluster, "op-2"))
				}
				bill := billOf(c.id, time.Now())
				bill["creationTime"] = c.created
				r.putBilling(bill)
				r.plant(clusterID, "gone")
				if step, _ := r.drive(dispatch.Change{Key: key("op-2")}); step.Label != Succeeded {
					t.Fatalf("have %+v", step)
				}
				failed := r.metric("opfeed_billing_failed_total", "action=close")
				if (open(r.billed()) == 0) != c.closed || (failed == 0) != c.closed {
					t.Errorf("have %v, %v failures", r.billed(), failed)
				}
			})
		})
	}
}

// TestLesson21SeveralBillingDocuments: all that are open are closed, and none twice.
// More than one once kept deletes from their end.
func TestLesson21SeveralBillingDocuments(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newBillingRig(t)
		r.drive(r.create("flat"))
		before := time.Now().Add(-time.Minute)
		for _, id := range []string{"a", "b", "raced", "with null"} {
			r.putBilling(billOf(id, before))
		}
		null := billOf("with null", before)
		null["deletionTime"], null["resourceId"] = nil, strings.ToUpper(armCluster)
		r.putBilling(null)
		closed := billOf("closed", before)
		closed["deletionTime"] = "2020-01-01T00:00:00Z"
		r.putBilling(closed)
		other := billOf("other", before)
		other["resourceId"] = armCluster + "x"
		r.putBilling(other)
		r.cosmos.mu.Lock()
		r.cosmos.before = func(req *http.Request) error {
			if isBillingPatch(req) && strings.HasSuffix(req.URL.Path, "/docs/raced") {
				raced := billOf("raced", before)
				raced["deletionTime"] = "2021-01-01T00:00:00Z"
				r.putBilling(raced)
			}
			return nil
		}
		r.cosmos.mu.Unlock()
		if step, _ := r.drive(r.delete("flat")); step.Label != Succeeded {
			t.Fatalf("have %+v", step)
		}
		if n := r.logs.FilterMessage("step failed, it is tried again").Len(); n != 0 {
			t.Errorf("%d steps failed", n)
		}
		for _, d := range r.billed() {
			switch have := d["deletionTime"]; d["id"] {
			case "other":
				if have != nil {
					t.Error("another cluster's is closed")
				}
			case "closed", "raced":
				if have != map[any]string{"closed": "2020-01-01T00:00:00Z", "raced": "2021-01-01T00:00:00Z"}[d["id"]] {
					t.Errorf("%s is moved to %v", d["id"], have)
				}
			default:
				if have == nil {
					t.Errorf("%v is open", d)
				}
			}
		}
	})
}

// TestNothingToClose: clusters from before there was a container.
func TestNothingToClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newBillingRig(t)
		if step, _ := r.drive(r.delete("newest")); step.Label != Succeeded || len(r.billed()) != 0 {
			t.Errorf("have %+v, %v", step, r.billed())
		}
		if n := r.logs.FilterMessage("no billing document to close").Len(); n != 1 || r.metric("opfeed_billing_failed_total") != 0 {
			t.Errorf("logged %d times, %v failures", n, r.metric("opfeed_billing_failed_total"))
		}
	})
}

// TestOnlyClustersAreBilled, when they are there, and where there is a container.
func TestOnlyClustersAreBilled(t *testing.T) {
	for name, c := range map[string]struct {
		change func(op doc, r *rig)
		label  string
		failed float64
	}{
		"no container": {func(_ doc, r *rig) { r.h.deps.Billing = nil; r.plant(clusterID, "ready") }, Succeeded, 0},
		"an update":    {func(op doc, r *rig) { props(op)["request"] = Update; r.plant(clusterID, "ready") }, Succeeded, 0},
		"a failure":    {func(_ doc, r *rig) { r.plant(clusterID, "error") }, Failed, 0},
		"a node pool": {func(op doc, r *rig) {
			props(op)["internalId"], props(op)["externalId"] = clusterID+"/node_pools/n", armCluster+"/nodePools/n"
			r.plant(clusterID+"/node_pools/n", "ready")
		}, Succeeded, 0},
		"a failed delete": {func(op doc, r *rig) {
			props(op)["request"] = Delete
			r.plant(clusterID, "uninstalling")
			time.AfterFunc(15*time.Second, func() { r.plant(clusterID, "error") })
		}, Failed, 0},
		"a pool's id": {func(op doc, r *rig) {
			props(op)["externalId"] = armCluster + "/nodePools/n"
			r.plant(clusterID, "ready")
		}, Succeeded, 1},
		"no id":        {func(op doc, r *rig) { delete(props(op), "externalId"); r.plant(clusterID, "ready") }, Succeeded, 1},
		"an id number": {func(op doc, r *rig) { props(op)["externalId"] = 7; r.plant(clusterID, "ready") }, Succeeded, 1},
		"a delete of no id": {func(op doc, r *rig) {
			props(op)["request"] = Delete
			delete(props(op), "externalId")
			r.plant(clusterID, "gone")
		}, Succeeded, 1},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newBillingRig(t)
				r.create("newest")
				op := operationDoc("op-1", Create)
				c.change(op, r)
				r.put(op)
				kept := billOf("kept", time.Now().Add(time.Hour)) // of nothing here
				kept["resourceId"] = armCluster + "y"
				r.putBilling(kept)
				if step, _ := r.drive(dispatch.Change{Key: key("op-1")}); step.Label != c.label {
					t.Fatalf("have %+v", step)
				}
				if list := r.billed(); len(list) != 1 || open(list) != 1 {
					t.Errorf("have %v", list)
				}
				if n := r.metric("opfeed_billing_failed_total"); n != c.failed {
					t.Errorf("%v failures", n)
				}
			})
		})
	}
}

// TestCreateEndedMeanwhileIsNotBilled: the delete that superseded it may have been
// through already, and nobody would close the document.
func TestCreateEndedMeanwhileIsNotBilled(t *testing.T) {
	for name, end := range map[string]func(*rig){
		"canceled": func(r *rig) { r.change("op-1", "/properties/status", Canceled) },
		"gone":     func(r *rig) { r.remove("op-1") },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newBillingRig(t)
				c := r.create("flat")
				r.plant(clusterID, "ready")
				apply, err := r.h.Handle(t.Context(), c)
				if err != nil {
					t.Fatal(err)
				}
				end(r) // while the step waits for its turn
				if step, err := apply(t.Context()); err != nil || step.Verdict != dispatch.Done {
					t.Errorf("have %+v, %v", step, err)
				}
				if list := r.billed(); len(list) != 0 {
					t.Errorf("have %v", list)
				}
			})
		})
	}
}

// TestBillingOncePerLook: however often a step decides again.
func TestBillingOncePerLook(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newBillingRig(t)
		c := r.create("flat")
		r.plant(clusterID, "ready")
		creates, n := 0, 0
		r.cosmos.before = func(req *http.Request) error {
			if isBillingCreate(req) {
				creates++
			}
			if isBatch(req) && n < 3 {
				n++
				r.change("own", "/properties/touched", n)
			}
			return nil
		}
		if step, err := r.step(c); err != nil || step.Label != Succeeded || creates != 1 || n != 3 {
			t.Errorf("have %+v, %v after %d creates, %d conflicts", step, err, creates, n)
		}
	})
}

// TestUntrustedRangeBillsNothing: whoever has the range now does it.
func TestUntrustedRangeBillsNothing(t *testing.T) {
	lost := errors.New("lease is lost")
	synctest.Test(t, func(t *testing.T) {
		r := newBillingRig(t)
		c := r.create("flat")
		r.plant(clusterID, "ready")
		c.Trusted = func() error { return lost }
		if _, err := r.step(c); !errors.Is(err, lost) || len(r.billed()) != 0 {
			t.Errorf("have %v, %v", err, r.billed())
		}
	})
}

// TestBillingIsNotDoneUnderTheLock, nor is Cluster Service asked when it is the
// subscription's turn to write.
func TestBillingIsNotDoneUnderTheLock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newBillingRig(t)
		c := r.create("flat")
		r.cosmos.before = func(req *http.Request) error {
			if isBilling(req) && r.lockHeld() {
				t.Errorf("%s %s under the lock", req.Method, req.URL.Path)
			}
			return nil
		}
		r.plant(clusterID, "ready")
		apply, err := r.h.Handle(t.Context(), c)
		if err != nil {
			t.Fatal(err)
		}
		r.service.before = func(*http.Request) error { t.Error("cluster service is asked while others wait"); return nil }
		if step, err := apply(t.Context()); err != nil || step.Label != Succeeded {
			t.Errorf("have %+v, %v", step, err)
		}
		r.service.before = nil
		r.drive(r.delete("flat"))
		if open(r.billed()) != 0 {
			t.Error("not closed")
		}
	})
}

// TestClusterWithoutFacts: Cluster Service tells the state, but not the rest.
func TestClusterWithoutFacts(t *testing.T) {
	whole := func(req *http.Request) bool { return strings.HasSuffix(req.URL.Path, "/clusters/h1") }
	for name, c := range map[string]struct {
		reply   string // "" = none comes
		times   int
		created time.Duration // of the document, after the operation's start
		group   bool
	}{
		"for a while":  {"", 3, -time.Minute, true},
		"never":        {"", 1000, 0, false},
		"unusable":     {`{"id":"h1","creation_timestamp":7}`, 1000, 0, false},
		"without them": {`{"kind":"Cluster","id":"h1"}`, 1000, 0, false},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newBillingRig(t)
				time.Sleep(time.Minute)
				start := time.Now()
				ch := r.create("flat")
				n := 0
				r.service.reply = func(req *http.Request) *http.Response {
					if !whole(req) {
						return nil
					}
					if n++; n > c.times {
						return nil
					}
					if c.reply == "" {
						return canned(req, http.StatusBadGateway, "<html>")
					}
					resp := canned(req, http.StatusOK, c.reply)
					resp.Header.Set("Content-Type", "application/json")
					return resp
				}
				if step, _ := r.drive(ch); step.Label != Succeeded {
					t.Fatalf("have %+v", step)
				}
				list := r.billed()
				if len(list) != 1 {
					t.Fatalf("have %v", list)
				}
				created, err := time.Parse(time.RFC3339Nano, fmt.Sprint(list[0]["creationTime"]))
				if err != nil || !created.Equal(start.Add(c.created)) || (list[0]["managedResourceGroup"] != nil) != c.group {
					t.Errorf("have %v, %v", list[0], err)
				}
			})
		})
	}
}

// TestBillingNeedsALocation: it is a part of every document.
func TestBillingNeedsALocation(t *testing.T) {
	r := newRig(t)
	deps := r.h.deps.withoutMetrics()
	deps.Billing = r.billing
	if _, err := New(DefaultConfig(), deps); err == nil {
		t.Error("no error")
	}
}
