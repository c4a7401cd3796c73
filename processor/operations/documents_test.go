package operations

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/data/azcosmos"

	"opfeed/processor/dispatch"
)

// system lists what the server itself writes.
func system(path string) bool {
	return slices.Contains([]string{"/_etag", "/_ts", "/_rid", "/_self", "/_attachments", "/_lsn"}, path)
}

// TestRealOperationsRunToTheirEnd loads every operation that is not terminal,
// with all other documents beside it, runs it to its end, and compares every
// property of every document before and after.
func TestRealOperationsRunToTheirEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		docs := realDocuments(t)
		r := newRig(t)
		before := map[dispatch.Key][]byte{}
		ops := map[dispatch.Key]operation{}
		for name, raw := range docs {
			d, _ := parseDocument(raw)
			if d.isOperation() && !strings.Contains(name, "accepted") {
				continue
			}
			r.put(raw)
			k := dispatch.Key{Partition: d.partition, ID: d.id}
			if d.isOperation() {
				op, fault := parseOperation(d)
				if fault != "" {
					t.Fatalf("%s: %s", name, fault)
				}
				ops[k] = op
				r.plant(op.internalID, "ready")
			}
			before[k] = nil
		}
		if len(ops) < 10 {
			t.Fatalf("only %d operations", len(ops))
		}
		for k := range before {
			before[k] = r.getFrom(k.Partition, k.ID)
		}
		time.Sleep(time.Second)

		var pending []dispatch.Change
		if err := r.h.Pending(t.Context(), "", false, func(c dispatch.Change) {
			if _, ok := ops[c.Key]; ok {
				pending = append(pending, c)
			}
		}); err != nil {
			t.Fatal(err)
		}
		if len(pending) != len(ops) {
			t.Errorf("%d of %d operations listed", len(pending), len(ops))
		}
		for _, s := range pending {
			step, _ := r.drive(s)
			if step.Verdict != dispatch.Done || step.Label != Succeeded {
				t.Errorf("%s: %+v", s.ID, step)
			}
		}

		touched := 0
		for k, old := range before {
			now := r.getFrom(k.Partition, k.ID)
			if now == nil {
				t.Errorf("%v is gone", k)
				continue
			}
			_, isOp := ops[k]
			for path, change := range difference(t, old, now) {
				switch {
				case system(path):
				case isOp && (path == "/properties/status" || path == "/properties/lastTransitionTime" || path == "/properties/cosmosMetadata/instanceVersion"):
				case !isOp && (allowed(path) || change == " -> {}"):
					touched++
				default:
					t.Errorf("%v %s: %s", k, path, change)
				}
			}
			if isOp {
				if !terminal(mustOperation(t, now).status) {
					t.Errorf("%v has not ended", k)
				}
				continue
			}
			// No link is left that names one of the operations, and no resource
			// is touched that named none of them.
			d, _ := parseDocument(old)
			named := false
			for _, link := range (resource{d}).links() {
				for ok, op := range ops {
					named = named || ok.Partition == k.Partition && sameName(op.name, link)
				}
			}
			d, _ = parseDocument(now)
			if links := (resource{d}).links(); named && len(links) > 0 {
				t.Errorf("%v still names %v", k, links)
			}
			if !named && d.etag != etagIn(old) {
				t.Errorf("%v was written", k)
			}
		}
		if touched < 10 {
			t.Errorf("only %d properties of resources changed", touched)
		}
	})
}

func etagIn(raw []byte) string {
	d, _ := parseDocument(raw)
	return d.etag
}

func mustOperation(t *testing.T, raw []byte) operation {
	t.Helper()
	d, _ := parseDocument(raw)
	op, fault := parseOperation(d)
	if fault != "" {
		t.Fatal(fault)
	}
	return op
}

// TestGenerationsTogether lets one operation end that resources of all
// generations name: all must follow, in one batch, and keep what they have.
func TestGenerationsTogether(t *testing.T) {
	for _, request := range []string{Create, Delete} {
		t.Run(request, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t)
				files, _ := filepath.Glob("testdata/generations/*.json")
				before := map[string][]byte{}
				for _, file := range files {
					raw := readFile(t, file)
					r.put(raw)
					d, _ := parseDocument(raw)
					before[d.id] = r.get(d.id)
				}
				r.put(operationDoc("op-1", request))
				r.plant(clusterID, "ready")
				if request == Delete {
					r.plant(clusterID, "gone")
				}
				step, _ := r.drive(dispatch.Change{Key: key("op-1")})
				if step.Label != Succeeded {
					t.Fatalf("have %+v", step)
				}
				if n := r.cosmos.requests(isBatch); n != 1 {
					t.Errorf("%d batches", n)
				}
				for id, old := range before {
					d, _ := parseDocument(old)
					now := r.get(id)
					if soft := d.properties.object("cosmosMetadata") != nil; request == Delete && !soft {
						if now != nil {
							t.Errorf("%s is still there", id)
						}
						continue
					}
					want, err := (resource{d}).follow("op-1", Succeeded).apply(old)
					if request == Delete {
						want, err = (resource{d}).erase("op-1", time.Now()).apply(old)
					}
					if err != nil {
						t.Fatal(err)
					}
					for path, change := range difference(t, want, now) {
						if !system(path) && path != "/deletionTimestamp" {
							t.Errorf("%s %s: %s", id, path, change)
						}
					}
				}
			})
		})
	}
}

// TestImplicitOperations have no operationId: their links are found by what else
// names them.
func TestImplicitOperations(t *testing.T) {
	for name, c := range map[string]struct {
		id   string
		link string
		set  func(d doc)
	}{
		"resourceId": {"op-a", "name-1", func(d doc) { props(d)["resourceId"] = "/subscriptions/s/providers/p/hcpOperationStatuses/NAME-1" }},
		"resourceID of the envelope": {"op-a", "name-1", func(d doc) {
			props(d)["resourceId"] = nil
			d["resourceID"] = "/subscriptions/s/providers/p/hcpOperationStatuses/name-1/"
		}},
		"document id":          {"op-a", "OP-A", func(doc) {}},
		"document id by pipes": {"|subscriptions|s|hcpoperationstatuses|name-1", "name-1", func(doc) {}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t)
				d := operationDoc(c.id, Create)
				delete(props(d), "operationId")
				c.set(d)
				r.put(d)
				r.put(clusterDoc("r1", c.link))
				r.put(clusterDoc("r2", "another"))
				r.plant(clusterID, "ready")
				step, err := r.step(dispatch.Change{Key: key(c.id)})
				if err != nil || step.Label != Succeeded {
					t.Fatalf("have %+v, %v", step, err)
				}
				if r.field("r1", "/properties/provisioningState") != Succeeded || r.field("r1", "/properties/activeOperationId") != "" {
					t.Errorf("have %s", r.get("r1"))
				}
				if r.field("r2", "/properties/provisioningState") != Accepted {
					t.Errorf("have %s", r.get("r2"))
				}
			})
		})
	}
}

// TestHostileNeighbours holds that what cannot be written does not keep the rest
// from being written.
func TestHostileNeighbours(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.put(operationDoc("op-1", Create))
		r.put(clusterDoc("r1", "op-1"))
		r.put(clusterDoc(`r"2`, "op-1"))
		other := clusterDoc("r3", "op-1")
		other["partitionKey"] = "another-subscription"
		r.put(other)
		deleted := clusterDoc("r4", "op-1")
		deleted["deletionTimestamp"] = "2026-01-01T00:00:00Z"
		r.put(deleted)
		r.plant(clusterID, "ready")
		if step, err := r.step(dispatch.Change{Key: key("op-1")}); err != nil || step.Label != Succeeded {
			t.Fatalf("have %+v, %v", step, err)
		}
		for id, want := range map[string]string{"r1": Succeeded, `r"2`: Accepted, "r4": Accepted} {
			if have := r.field(id, "/properties/provisioningState"); have != want {
				t.Errorf("%s is %s", id, have)
			}
		}
		var d document
		if d, _ = parseDocument(r.getFrom("another-subscription", "r3")); d.properties.string(fieldState) != Accepted {
			t.Error("another subscription was written")
		}
	})
}

func TestMoreResourcesThanABatchTakes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.put(operationDoc("op-1", Create))
		ids := []string{}
		for i := range 120 {
			id := "r" + string(rune('a'+i/26)) + string(rune('a'+i%26))
			ids = append(ids, id)
			r.put(clusterDoc(id, "op-1"))
		}
		r.plant(clusterID, "ready")
		if step, err := r.step(dispatch.Change{Key: key("op-1")}); err != nil || step.Label != Succeeded {
			t.Fatalf("have %+v, %v", step, err)
		}
		// The rest is listed as links without an active operation.
		for range 2 {
			var rest []dispatch.Change
			if err := r.h.Pending(t.Context(), "", false, func(c dispatch.Change) { rest = append(rest, c) }); err != nil {
				t.Fatal(err)
			}
			for _, s := range rest {
				if step, err := r.step(s); err != nil || step.Verdict != dispatch.Done {
					t.Fatalf("have %+v, %v", step, err)
				}
			}
		}
		for _, id := range ids {
			if r.field(id, "/properties/provisioningState") != Succeeded {
				t.Errorf("%s has not followed", id)
			}
		}
	})
}

// TestHostileTakesRun steps through every hostile document that Route takes.
func TestHostileTakesRun(t *testing.T) {
	files, _ := filepath.Glob("testdata/hostile/take-*.json")
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".json"), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				raw := readFile(t, file)
				r := newRig(t)
				if _, err := r.resources.UpsertItem(t.Context(), azcosmos.NewPartitionKeyString(sub), raw, nil); err != nil {
					t.Skip("SKIPPED: the server itself refuses to store it: ", err)
				}
				r.plant("/api/clusters_mgmt/v1/clusters/h1", "ready")
				step, err := r.step(dispatch.Change{Key: key("a"), Document: raw, ETag: etagIn(r.get("a"))})
				if err != nil || step.Verdict != dispatch.Done || step.Label != Succeeded {
					t.Errorf("have %+v, %v", step, err)
				}
				for path, change := range difference(t, raw, r.get("a")) {
					if !system(path) && path != "/properties/status" && path != "/properties/lastTransitionTime" {
						t.Errorf("%s: %s", path, change)
					}
				}
			})
		})
	}
}
