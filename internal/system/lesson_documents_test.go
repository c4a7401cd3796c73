package system_test

import (
	"fmt"
	"net/http"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"opfeed/internal/inproc"
)

// TestLesson07OperationAndResourceAgree: the predecessor wrote an operation and then
// its resource, and what died in between left the resource busy for good. Here both
// are one batch: whichever write a replica dies at, before or after it was applied,
// nobody ever sees the two differ, and the next replica ends them.
func TestLesson07OperationAndResourceAgree(t *testing.T) {
	t.Parallel()
	var writes int64
	synctest.Test(t, func(t *testing.T) { writes = dyingAt(t, 0, false) })
	if writes != 6 {
		t.Fatalf("%d writes, want a lock, a batch and a release for Provisioning and for Succeeded", writes)
	}
	for n := int64(1); n <= writes; n++ {
		for _, applied := range []bool{false, true} {
			t.Run(fmt.Sprintf("%d, applied=%v", n, applied), func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) { dyingAt(t, n, applied) })
			})
		}
	}
}

// dyingAt lets a replica die at its n-th write to what it shares with front ends,
// and returns how many there were.
func dyingAt(t *testing.T, n int64, applied bool) int64 {
	w := newWorld(t)
	p := w.person()
	agree := func(*http.Request) {
		op, r := p.together("s", "op-1", "r1")
		if linked := r["activeOperationId"] == "op-1"; op != nil && (op["status"] != r["provisioningState"] || linked == (op["status"] == "Succeeded")) {
			t.Errorf("operation is %v, resource %v", op["status"], r)
		}
	}
	victim := &mortal{next: inproc.New(w.cosmos), n: n, applied: applied}
	w.start(&tap{after: agree, next: doFunc(func(req *http.Request) (*http.Response, error) {
		if isOn(req, "Leases") && !victim.dead.Load() {
			return victim.next.Do(req) // not counted
		}
		return victim.Do(req)
	})})
	time.Sleep(settle)
	p.plant(clusterID("c"), "installing")
	r := linked("s", "r1", "op-1")
	p.put(r, operation("s", "op-1", "Create", "c"))
	if n > 0 {
		until(t, time.Minute, "the death of the replica", victim.dead.Load)
		agree(nil)
		w.start(&tap{next: inproc.New(w.cosmos), after: agree})
	}
	until(t, 2*time.Minute, "the end of the operation", func() bool { return p.status("s", "op-1") == "Succeeded" })
	time.Sleep(time.Second) // the lock is released
	agree(nil)
	return victim.writes.Load()
}

type doFunc func(*http.Request) (*http.Response, error)

// Do implements policy.Transporter.
func (f doFunc) Do(req *http.Request) (*http.Response, error) { return f(req) }

// TestLesson07ALinkLeftIsFollowed: what a writer without batches left between its
// two writes is brought in line; a resource that names another operation by now is
// left alone, and its old operation ends without it.
func TestLesson07ALinkLeftIsFollowed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.cs = atLeisure()
		p := w.person()
		left, superseded := operation("s", "op-1", "Create", "c1"), operation("s", "op-2", "Create", "c2")
		left["properties"].(doc)["status"] = "Failed"
		p.plant(clusterID("c2"), "ready")
		p.put(left, linked("s", "r1", "op-1"), superseded, linked("s", "r2", "op-3"))
		w.start(inproc.New(w.cosmos))
		until(t, 90*time.Second, "the resource follows", func() bool {
			r := p.properties("s", "r1")
			return r["provisioningState"] == "Failed" && r["activeOperationId"] == nil
		})
		if r := p.properties("s", "r2"); p.status("s", "op-2") != "Succeeded" || r["activeOperationId"] != "op-3" || r["provisioningState"] != "Accepted" {
			t.Errorf("operation is %s, resource %v", p.status("s", "op-2"), r)
		}
	})
}

// TestLesson20EverySubscriptionIsServed: the predecessor passed over subscriptions
// that were not registered, and all of them once one had no document: their
// operations stayed as they were. Here no operation is looked for by subscription.
func TestLesson20EverySubscriptionIsServed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.cs = atLeisure()
		p := w.person()
		var subscriptions []string
		for state, properties := range map[string]any{
			"registered": doc{"state": "Registered"}, "unregistered": doc{"state": "Unregistered"}, "deleted": doc{"state": "Deleted"},
			"damaged": "?", "odd": doc{"state": []any{1}}, "missing": nil,
		} {
			subscriptions = append(subscriptions, state)
			if state != "missing" {
				p.put(doc{"id": state, "partitionKey": state, "resourceType": "microsoft.resources/subscriptions", "properties": properties})
			}
		}
		begin := func(which string) {
			for _, s := range subscriptions {
				id := which + "-" + s
				p.plant(clusterID(id), "ready")
				p.put(operation(s, id, "Create", id), linked(s, "r-"+id, id))
			}
		}
		begin("listed")
		r := w.start(inproc.New(w.cosmos))
		time.Sleep(settle)
		begin("fed")
		time.Sleep(2 * time.Second)
		for _, s := range subscriptions {
			for _, id := range []string{"listed-" + s, "fed-" + s} {
				if p.status(s, id) != "Succeeded" || p.properties(s, "r-"+id)["provisioningState"] != "Succeeded" {
					t.Errorf("%s: %s", id, p.status(s, id))
				}
			}
		}
		if n := r.Snapshot().Service.Subscriptions; n["Registered"] != 1 || n["Unregistered"] != 1 || n["Deleted"] != 1 || n["Unknown"] != 2 {
			t.Errorf("have %v", n)
		}
	})
}

// TestLesson21OneBadDocumentStopsNoOther: to the predecessor two documents of one
// resource, left by a change of ids, were an error for good; an internal id that did
// not parse ended the iteration of its partition; and a field that was missing where
// the newest generation has one stopped a region. Here all documents that name an
// operation follow it, an operation that is there twice is ended twice, what a
// document has too much or too little is its own business, and what cannot be used
// is put aside alone.
func TestLesson21OneBadDocumentStopsNoOther(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.cs = atLeisure()
		p := w.person()
		changed := func(d doc, change func(envelope, properties doc)) doc {
			change(d, d["properties"].(doc))
			return d
		}
		const resourceID = "/subscriptions/s/resourceGroups/rg/providers/Microsoft.RedHatOpenShift/hcpOpenShiftClusters/c"
		begin := func(which string) (good, bad []string) {
			name := func(s string) string { return which + "-" + s }
			op := func(id, suffix string) doc {
				good = append(good, name(id)+suffix)
				p.plant(clusterID(name(id)), "ready")
				d := operation("s", name(id), "Create", name(id))
				d["id"] = name(id) + suffix
				return d
			}
			spoilt := func(id string, change func(envelope, properties doc)) {
				bad = append(bad, name(id))
				p.put(changed(operation("s", name(id), "Create", "x"), change))
			}
			spoilt("a-path", func(_, properties doc) { properties["internalId"] = "/api/clusters_mgmt/v1/clusters" })
			p.put(op("first", ""))
			spoilt("another-path", func(_, properties doc) { properties["internalId"] = "../../secret" })
			spoilt("a-number", func(_, properties doc) { properties["internalId"] = 5 })
			p.put(op("rekeyed", ""), op("rekeyed", "-again"))
			for _, id := range []string{"old", "new"} {
				p.put(changed(linked("s", name(id), name("rekeyed")), func(envelope, properties doc) {
					envelope["resourceID"], properties["resourceId"] = resourceID, resourceID
				}))
			}
			spoilt("no-properties", func(envelope, _ doc) { envelope["properties"] = []any{} })
			p.put(changed(op("odd", ""), func(envelope, properties doc) {
				envelope["resourceID"], envelope["deletionTimestamp"] = 5, nil
				properties["startTime"], properties["lastTransitionTime"], properties["notificationUri"] = "yesterday", 7, []any{}
				properties["cosmosMetadata"], properties["error"] = "none", "none"
				delete(properties, "tenantId")
			}))
			return good, bad
		}
		good, bad := begin("listed")
		r := w.start(inproc.New(w.cosmos))
		time.Sleep(settle)
		moreGood, moreBad := begin("fed")
		time.Sleep(2 * time.Second)
		for _, id := range slices.Concat(good, moreGood) {
			if s := p.status("s", id); s != "Succeeded" {
				t.Errorf("%s: %s", id, s)
			}
		}
		for _, id := range []string{"listed-old", "listed-new", "fed-old", "fed-new"} {
			if r := p.properties("s", id); r["provisioningState"] != "Succeeded" || r["activeOperationId"] != nil {
				t.Errorf("%s: %v", id, r)
			}
		}
		var aside []string
		for _, q := range r.Snapshot().Quarantined {
			aside = append(aside, q.ID)
		}
		want := slices.Concat(bad, moreBad)
		slices.Sort(aside)
		slices.Sort(want)
		if !slices.Equal(aside, want) {
			t.Errorf("put aside: %q, want %q", aside, want)
		}
	})
}
