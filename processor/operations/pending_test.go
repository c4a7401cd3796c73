package operations

import (
	"fmt"
	"net/http"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"opfeed/processor/dispatch"
)

func (r *rig) list(documents bool) map[string]dispatch.Change {
	r.t.Helper()
	list := map[string]dispatch.Change{}
	if err := r.h.Pending(r.t.Context(), "", documents, func(c dispatch.Change) {
		if _, twice := list[c.ID]; twice {
			r.t.Errorf("%s is listed twice", c.ID)
		}
		list[c.ID] = c
	}); err != nil {
		r.t.Fatal(err)
	}
	return list
}

func with(d doc, status any) doc {
	if status == nil {
		delete(props(d), "status")
	} else {
		props(d)["status"] = status
	}
	return d
}

func TestPending(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		for i, status := range []any{Accepted, nil, "", "AwaitingSecret", 7} {
			r.put(with(operationDoc(fmt.Sprintf("active-%d", i), Create), status))
		}
		for _, status := range []string{Succeeded, Failed, Canceled, "succeeded", "CANCELED"} {
			r.put(with(operationDoc("ended-"+status, Create), status))
		}
		deleted := operationDoc("deleted", Create)
		deleted["deletionTimestamp"] = "2026-01-01T00:00:00Z"
		r.put(deleted)
		odd := operationDoc("odd-type", Create)
		odd["resourceType"] = "microsoft.redhatopenshift/HCPOPERATIONSSTATUS"
		r.put(odd)
		implicit := newestOperationDoc("implicit", Delete)
		delete(props(implicit), "operationId")
		implicit["resourceID"] = "/a/Named"
		r.put(implicit)
		other := operationDoc("elsewhere", Create)
		other["partitionKey"] = "another-subscription"
		r.put(other)
		r.put(clusterDoc("linked", "ACTIVE-0"))
		r.put(newestClusterDoc("linked-implicitly", "named"))
		r.put(clusterDoc("orphan", "ended-Succeeded"))
		r.put(clusterDoc("orphan-odd-case", "ended-succeeded"))
		r.put(newestClusterDoc("nobody's", "nobody"))
		r.put(clusterDoc("elsewhere's name", "elsewhere"))
		r.put(clusterDoc("free", ""))
		gone := newestClusterDoc("orphan-deleted", "ended-Failed")
		gone["deletionTimestamp"] = "2026-01-01T00:00:00Z"
		r.put(gone)
		r.put(clusterDoc("odd-link", ""))
		r.change("odd-link", "/properties/activeOperationId", 5)

		for _, documents := range []bool{false, true} {
			list := r.list(documents)
			want := []string{"active-0", "active-1", "active-2", "active-3", "active-4", "elsewhere", "implicit", "odd-type",
				"orphan", "orphan-odd-case"}
			var have []string
			for id := range list {
				have = append(have, id)
			}
			slices.Sort(have)
			if !slices.Equal(have, want) {
				t.Errorf("have %q\nwant %q", have, want)
			}
			s := list["active-0"]
			if s.Partition != sub || s.ETag != etagIn(r.get("active-0")) || s.Source != dispatch.List || time.Since(s.Written) > time.Second ||
				(s.Document != nil) != documents {
				t.Errorf("have %+v", s)
			}
			if o := list["orphan"]; !o.Written.IsZero() || o.Document != nil || list["elsewhere"].Partition != "another-subscription" {
				t.Errorf("have %+v", o)
			}
		}
	})
}

func TestPendingPagesThroughAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		const n = 2500
		for i := range n {
			d := operationDoc(fmt.Sprintf("op-%d", i), Create)
			d["partitionKey"] = fmt.Sprintf("sub-%d", i%50)
			r.put(d)
		}
		if have := len(r.list(false)); have != n {
			t.Errorf("%d of %d", have, n)
		}
		sent := map[string]int{}
		r.cosmos.before = func(req *http.Request) error {
			sent[req.Header.Get(headerSession)]++
			return nil
		}
		if err := r.h.Pending(t.Context(), "0:-1#3", false, func(dispatch.Change) {}); err != nil || len(sent) != 1 || sent["0:-1#3"] < 2 {
			t.Errorf("sent %v, %v", sent, err)
		}
	})
}

func TestPendingFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.cosmos.before = func(*http.Request) error { return errCut }
		if err := r.h.Pending(t.Context(), "", false, func(dispatch.Change) {}); err == nil {
			t.Error("no error")
		}
	})
}

func TestOrphanedLinks(t *testing.T) {
	ended := func(id, request, status string, at time.Duration) doc {
		d := with(operationDoc(id, request), status)
		props(d)["lastTransitionTime"] = time.Now().Add(at).UTC().Format(time.RFC3339Nano)
		return d
	}
	named := func(d doc, name string) doc {
		props(d)["operationId"] = "/x/" + name
		return d
	}
	for name, c := range map[string]struct {
		docs  func() []doc
		want  dispatch.Verdict
		state string // of r1 afterwards; "absent"
		link  string
	}{
		"ended":             {func() []doc { return []doc{ended("op-1", Create, Failed, 0), clusterDoc("r1", "op-1")} }, dispatch.Done, Failed, ""},
		"ended, other case": {func() []doc { return []doc{ended("op-1", Update, Succeeded, 0), clusterDoc("r1", "OP-1")} }, dispatch.Done, Succeeded, ""},
		"active":            {func() []doc { return []doc{operationDoc("op-1", Create), clusterDoc("r1", "op-1")} }, dispatch.Done, Accepted, "op-1"},
		"nobody":            {func() []doc { return []doc{clusterDoc("r1", "op-1")} }, dispatch.Done, Accepted, "op-1"},
		"longer name":       {func() []doc { return []doc{ended("xop-1", Create, Failed, 0), clusterDoc("r1", "op-1")} }, dispatch.Done, Accepted, "op-1"},
		"bare name": {func() []doc {
			d := ended("a", Create, Failed, 0)
			props(d)["operationId"] = "op-1"
			return []doc{d, clusterDoc("r1", "op-1")}
		}, dispatch.Done, Failed, ""},
		"name with a slash":  {func() []doc { return []doc{named(ended("a", Create, Failed, 0), "op-1//"), clusterDoc("r1", "op-1")} }, dispatch.Done, Failed, ""},
		"id of another name": {func() []doc { return []doc{named(ended("op-1", Create, Failed, 0), "other"), clusterDoc("r1", "op-1")} }, dispatch.Done, Accepted, "op-1"},
		"deleted":            {func() []doc { return []doc{ended("op-1", Delete, Succeeded, 0), clusterDoc("r1", "op-1")} }, dispatch.Done, "absent", "absent"},
		"delete failed":      {func() []doc { return []doc{ended("op-1", Delete, Failed, 0), clusterDoc("r1", "op-1")} }, dispatch.Done, Failed, ""},
		"canceled":           {func() []doc { return []doc{ended("op-1", Update, Canceled, 0), clusterDoc("r1", "op-1")} }, dispatch.Done, Canceled, ""},
		"two of one name": {func() []doc {
			return []doc{named(ended("a", Create, Failed, -time.Hour), "op-1"), named(ended("b", Update, Succeeded, -time.Minute), "op-1"), clusterDoc("r1", "op-1")}
		}, dispatch.Done, Succeeded, ""},
		"two of one name, other order": {func() []doc {
			return []doc{named(ended("a", Create, Succeeded, -time.Minute), "op-1"), named(ended("b", Update, Failed, -time.Hour), "op-1"), clusterDoc("r1", "op-1")}
		}, dispatch.Done, Succeeded, ""},
		"two of one name, one active": {func() []doc {
			return []doc{named(ended("a", Create, Failed, 0), "op-1"), named(operationDoc("b", Update), "op-1"), clusterDoc("r1", "op-1")}
		}, dispatch.Done, Accepted, "op-1"},
		"no link any more": {func() []doc { return []doc{clusterDoc("r1", "")} }, dispatch.Done, Accepted, ""},
		"one at fault counts as active": {func() []doc {
			return []doc{with(operationDoc("op-1", Create), 7), clusterDoc("r1", "op-1")}
		}, dispatch.Done, Accepted, "op-1"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t)
				for _, d := range c.docs() {
					r.put(d)
				}
				step, err := r.step(dispatch.Change{Key: key("r1"), Source: dispatch.List})
				if err != nil || step.Verdict != c.want {
					t.Fatalf("have %+v, %v", step, err)
				}
				state, link := r.field("r1", "/properties/provisioningState"), r.field("r1", "/properties/activeOperationId")
				if state != c.state || link != c.link {
					t.Errorf("have %s, %s", state, link)
				}
				if n := r.service.requests(all); n != 0 || r.lockHeld() {
					t.Errorf("%d calls to cluster service", n)
				}
				if step, err = r.step(next(dispatch.Change{Key: key("r1")}, step)); err != nil || step.Verdict != c.want {
					t.Errorf("a second time: %+v, %v", step, err)
				}
			})
		})
	}
}

func TestOrphanedLinkOfTheNewestGeneration(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.put(with(operationDoc("op-1", Delete), Succeeded))
		r.put(newestClusterDoc("r1", "op-1"))
		n := 0
		r.cosmos.before = func(req *http.Request) error {
			if isBatch(req) {
				if n++; n < 3 {
					r.change("r1", "/properties/touched", n)
				}
			}
			return nil
		}
		if step, err := r.step(dispatch.Change{Key: key("r1")}); err != nil || step.Verdict != dispatch.Done {
			t.Fatalf("have %+v, %v", step, err)
		}
		if r.field("r1", "/ttl") != "30" || r.field("r1", "/deletionTimestamp") == "" || r.field("r1", "/properties/touched") != "2" {
			t.Errorf("have %s", r.get("r1"))
		}
		if len(r.list(false)) != 0 {
			t.Error("still listed")
		}
	})
}

func TestBusyLockOfALink(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.put(with(operationDoc("op-1", Create), Succeeded))
		r.put(clusterDoc("r1", "op-1"))
		r.hold()
		step, err := r.step(dispatch.Change{Key: key("r1")})
		if err != nil || step.Verdict != dispatch.Again || step.After != time.Second {
			t.Fatalf("have %+v, %v", step, err)
		}
		if step, _ = r.drive(next(dispatch.Change{Key: key("r1")}, step)); r.field("r1", "/properties/provisioningState") != Succeeded {
			t.Errorf("have %+v", step)
		}
	})
}
