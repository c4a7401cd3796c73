package operations

import (
	"encoding/json"
	"errors"
	"fmt"
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

const armCluster = "/subscriptions/" + sub + "/resourceGroups/rg/providers/Microsoft.RedHatOpenShift/hcpOpenShiftClusters/c1"

// generations are the three in which a resource gives its own id.
var generations = []string{"flat", "middle", "newest"}

// resourceDoc is a resource of a generation, by its ARM id, linked to an operation
// or, for "", to none.
func resourceDoc(generation, id, armID, operation string) doc {
	segments := strings.Split(armID, "/")
	types := segments[6:8]
	for i := 9; i < len(segments); i += 2 {
		types = append(slices.Clip(types), segments[i])
	}
	kind := strings.Join(types, "/")
	p := doc{"provisioningState": Succeeded, "unknown": 1}
	d := doc{"id": id, "partitionKey": sub, "resourceType": kind, "properties": p}
	switch generation {
	case "flat":
		p["resourceId"] = armID
	case "middle":
		d["resourceID"] = armID
	case "newest":
		d["resourceID"], d["resourceType"] = strings.ToUpper(armID), strings.ToLower(kind)
		p["cosmosMetadata"] = doc{"instanceVersion": 5, "resourceID": armID, "partitionKey": sub}
		if operation != "" {
			p["serviceProviderProperties"] = doc{"activeOperationId": operation}
		}
		return d
	}
	if operation != "" {
		p["activeOperationId"] = operation
	}
	return d
}

// deleting is a rig with a delete that is under way.
func deleting(t *testing.T, generation string) *rig {
	r := newRig(t)
	r.put(operationDoc("op-1", Delete))
	r.put(resourceDoc(generation, "own", armCluster, "op-1"))
	r.plant(clusterID, "uninstalling")
	return r
}

// endDelete drives the delete to its end.
func (r *rig) endDelete() {
	r.t.Helper()
	s := dispatch.Change{Key: key("op-1")}
	step, err := r.step(s)
	if err != nil || step.Verdict != dispatch.Again {
		r.t.Fatalf("have %+v, %v", step, err)
	}
	r.plant(clusterID, "gone")
	time.Sleep(step.After)
	if step, _ = r.drive(next(s, step)); step.Verdict != dispatch.Done || step.Label != Succeeded {
		r.t.Fatalf("have %s, %s: %s", step.Verdict, step.Label, step.Reason)
	}
}

// erased tells whether a document of a generation is gone as its generation goes.
func (r *rig) erased(generation, id string) bool {
	r.t.Helper()
	raw := r.get(id)
	if generation != "newest" {
		return raw == nil
	}
	if raw == nil {
		return true // its ttl has passed
	}
	have := leaves(r.t, raw)
	return have["/deletionTimestamp"] != "" && have["/ttl"] == "30" && have["/properties/cosmosMetadata/instanceVersion"] == "6" &&
		have["/properties/unknown"] == "1"
}

// batches lists the ids of each batch that is sent, from now on.
func (r *rig) batches() *[][]string {
	var list [][]string
	before := r.cosmos.before
	r.cosmos.before = func(req *http.Request) error {
		if isBatch(req) {
			var writes []struct{ ID string }
			if err := json.Unmarshal([]byte(body(r.t, req)), &writes); err != nil {
				r.t.Error(err)
			}
			var ids []string
			for _, w := range writes {
				ids = append(ids, w.ID)
			}
			list = append(list, ids)
		}
		if before != nil {
			return before(req)
		}
		return nil
	}
	return &list
}

// TestChildrenGoWithTheirCluster in one batch, each as its generation goes,
// whatever generation their cluster is of.
func TestChildrenGoWithTheirCluster(t *testing.T) {
	for _, generation := range generations {
		t.Run(generation, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := deleting(t, generation)
				for _, g := range generations {
					r.put(resourceDoc(g, g+"-pool", armCluster+"/nodePools/p", ""))
					r.put(resourceDoc(g, g+"-auth", strings.ToLower(armCluster)+"/externalAuths/a", ""))
					r.put(resourceDoc(g, g+"-companion", armCluster+"/serviceProviderClusters/default", ""))
					r.put(resourceDoc(g, g+"-pool-companion", armCluster+"/nodePools/p/serviceProviderNodePools/default", ""))
				}
				short := resourceDoc("newest", "newest-short", armCluster+"/nodePools/q", "")
				delete(short, "resourceID") // its metadata say it
				r.put(short)
				kept := map[string]string{}
				for _, g := range generations {
					for id, armID := range map[string]string{
						"controller":       armCluster + "/hcpOpenShiftControllers/x",
						"pool-controller":  armCluster + "/nodePools/p/hcpOpenShiftNodePoolControllers/x",
						"neighbour":        armCluster + "x/nodePools/p",
						"neighbour-itself": armCluster + "x",
						"twin":             armCluster, // gives itself the id of the cluster, and is not linked
					} {
						id = g + "-" + id
						r.put(resourceDoc(g, id, armID, ""))
						kept[id] = string(r.get(id))
					}
				}
				deleted := resourceDoc("newest", "deleted", armCluster+"/nodePools/q", "")
				deleted["deletionTimestamp"], deleted["ttl"] = "2026-01-01T00:00:00Z", 3600
				r.put(deleted)
				kept["deleted"] = string(r.get("deleted"))
				elsewhere := resourceDoc("flat", "elsewhere", armCluster+"/nodePools/p", "")
				elsewhere["partitionKey"] = "another"
				r.put(elsewhere)

				batches := r.batches()
				r.endDelete()
				if len(*batches) != 1 || len((*batches)[0]) != 15 || (*batches)[0][0] != "op-1" {
					t.Errorf("batches of %v", *batches)
				}
				if !r.erased(generation, "own") || !r.erased("newest", "newest-short") {
					t.Errorf("the cluster is there: %s", r.get("own"))
				}
				for _, g := range generations {
					for _, id := range []string{g + "-pool", g + "-auth", g + "-companion", g + "-pool-companion"} {
						if !r.erased(g, id) {
							t.Errorf("%s is there: %s", id, r.get(id))
						}
					}
				}
				for id, before := range kept {
					if have := string(r.get(id)); have != before {
						t.Errorf("%s was %s, is %s", id, before, have)
					}
				}
				if r.getFrom("another", "elsewhere") == nil {
					t.Error("another subscription lost a document")
				}
			})
		})
	}
}

// TestCompanionsGoWithTheirPool: a node pool that is deleted by itself takes what
// lies below it, and nothing beside it.
func TestCompanionsGoWithTheirPool(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const pool = armCluster + "/nodePools/p"
		r := newRig(t)
		op := operationDoc("op-1", Delete)
		props(op)["internalId"], props(op)["externalId"] = clusterID+"/node_pools/n1", pool
		r.put(op)
		r.put(resourceDoc("flat", "own", pool, "op-1"))
		r.put(resourceDoc("newest", "companion", pool+"/serviceProviderNodePools/default", ""))
		r.put(resourceDoc("flat", "cluster", armCluster, ""))
		r.put(resourceDoc("flat", "other", armCluster+"/nodePools/p2", ""))
		r.plant(clusterID+"/node_pools/n1", "gone")
		if step, _ := r.drive(dispatch.Change{Key: key("op-1")}); step.Label != Succeeded {
			t.Fatalf("have %+v", step)
		}
		if r.get("own") != nil || !r.erased("newest", "companion") || r.get("cluster") == nil || r.get("other") == nil {
			t.Error("too few or too many are gone")
		}
	})
}

// TestChildWithAnOperationOfItsOwnIsLeft: that erases it.
func TestChildWithAnOperationOfItsOwnIsLeft(t *testing.T) {
	for _, g := range generations {
		t.Run(g, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := deleting(t, g)
				r.put(resourceDoc(g, "busy", armCluster+"/nodePools/busy", "op-2"))
				r.put(resourceDoc(g, "ours", armCluster+"/nodePools/ours", "OP-1"))
				both := resourceDoc(g, "both", armCluster+"/nodePools/both", "op-2")
				props(both)["activeOperationId"] = "op-2"
				props(both)["serviceProviderProperties"] = doc{"activeOperationId": "op-3"}
				r.put(both)
				before := map[string]string{"busy": string(r.get("busy")), "both": string(r.get("both"))}
				r.endDelete()
				for id, was := range before {
					if have := string(r.get(id)); have != was {
						t.Errorf("%s was %s, is %s", id, was, have)
					}
				}
				if !r.erased(g, "own") || !r.erased(g, "ours") {
					t.Errorf("left %s, %s", r.get("own"), r.get("ours"))
				}
				if n := r.logs.FilterMessage("resources below the deleted one are left to operations of their own").Len(); n != 1 {
					t.Errorf("logged %d times", n)
				}
			})
		})
	}
}

// TestChildLinkedMeanwhile: a front end gives a child an operation while the batch
// that erases it is on its way. The batch draws 412, and the child is left.
func TestChildLinkedMeanwhile(t *testing.T) {
	for _, g := range generations {
		t.Run(g, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := deleting(t, g)
				for _, id := range []string{"a", "b"} {
					r.put(resourceDoc(g, id, armCluster+"/nodePools/"+id, ""))
				}
				linked := false
				r.cosmos.before = func(req *http.Request) error {
					if isBatch(req) && !linked {
						linked = true
						r.change("b", "/properties/activeOperationId", "op-2")
					}
					return nil
				}
				batches := r.batches()
				r.endDelete()
				want := [][]string{{"op-1", "own", "a", "b"}, {"op-1", "own", "a"}}
				if !slices.EqualFunc(*batches, want, slices.Equal[[]string]) {
					t.Errorf("batches of %v", *batches)
				}
				if !r.erased(g, "own") || !r.erased(g, "a") || r.field("b", "/properties/activeOperationId") != "op-2" || r.field("b", "/ttl") == "30" {
					t.Errorf("left %s, %s; b is %s", r.get("own"), r.get("a"), r.get("b"))
				}
			})
		})
	}
}

// TestManyChildren: documents that no batch holds go in several, each
// under a lock of its own, and the operation ends with the last.
func TestManyChildren(t *testing.T) {
	for _, n := range []int{98, 99, 198, 199, 250} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := deleting(t, "newest")
				r.putPools(n)
				held, locks := 0, 0
				r.cosmos.before = func(req *http.Request) error {
					switch {
					case isLockCreation(req):
						held = 1
						locks++
					case held > 0:
						held++ // batch, release
					}
					if isQuery(req) && r.lockHeld() {
						t.Error("a query under the lock")
					}
					if held > 3 {
						t.Errorf("%d round trips under the lock", held)
					}
					if isLock(req) && req.Method == http.MethodDelete {
						held = 0
					}
					if isBatch(req) && r.field("op-1", "/properties/status") == Succeeded {
						t.Error("the operation has ended before its last batch")
					}
					return nil
				}
				batches := r.batches()
				r.endDelete()
				total := n + 2 // the operation, and the cluster
				if want := (total + maxBatch - 1) / maxBatch; len(*batches) != want || locks != want {
					t.Errorf("%d batches under %d locks, want %d", len(*batches), locks, want)
				}
				for i, ids := range *batches {
					last := i == len(*batches)-1
					if len(ids) > maxBatch || slices.Contains(ids, "op-1") != last || slices.Contains(ids, "own") != last {
						t.Errorf("batch %d of %d: %d documents, %v …", i, len(*batches), len(ids), ids[:2])
					}
				}
				r.wantErased(n)
			})
		})
	}
}

func (r *rig) putPools(n int) {
	r.t.Helper()
	for i := range n {
		g := generations[i%3]
		r.put(resourceDoc(g, fmt.Sprintf("pool-%d", i), fmt.Sprintf("%s/nodePools/p%d", armCluster, i), ""))
	}
}

func (r *rig) wantErased(n int) {
	r.t.Helper()
	for i := range n {
		if id := fmt.Sprintf("pool-%d", i); !r.erased(generations[i%3], id) {
			r.t.Errorf("%s is there: %s", id, r.get(id))
		}
	}
	if !r.erased("newest", "own") || r.field("op-1", "/properties/status") != Succeeded {
		r.t.Errorf("own is %s, operation %s", r.get("own"), r.field("op-1", "/properties/status"))
	}
}

// TestKilledBetweenBatches kills the process before, and after, each batch, or
// loses the reply to it: the next one finds what is left, by the operation or by
// the link.
func TestKilledBetweenBatches(t *testing.T) {
	for batch := 1; batch <= 3; batch++ {
		for _, when := range []string{"before", "after", "reply lost"} {
			t.Run(fmt.Sprint(when, " ", batch), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					r := deleting(t, "newest")
					const n = 250
					r.putPools(n)
					s := dispatch.Change{Key: key("op-1")}
					step, err := r.step(s)
					if err != nil {
						t.Fatal(err)
					}
					r.plant(clusterID, "gone")
					count, dead := 0, false
					r.cosmos.before = func(req *http.Request) error {
						if isBatch(req) {
							if count++; count == batch && when == "before" {
								dead = true
							}
						}
						if dead {
							return errCut
						}
						return nil
					}
					r.cosmos.after = func(req *http.Request, resp *http.Response) (*http.Response, error) {
						if isBatch(req) && count == batch && when != "before" {
							dead = dead || when == "after"
							return nil, errCut
						}
						return resp, nil
					}
					for err == nil && step.Verdict == dispatch.Again {
						s = next(s, step)
						time.Sleep(step.After)
						step, err = r.step(s)
					}
					if count != batch || !errors.Is(err, errCut) {
						t.Fatalf("%d batches, %v", count, err)
					}
					ended := r.field("op-1", "/properties/status") == Succeeded
					if last := batch == 3 && when != "before"; ended != last || ended != r.erased("newest", "own") {
						t.Errorf("after batch %d: operation ended: %t, own is %s", batch, ended, r.get("own"))
					}
					// Another process takes over, and knows nothing.
					time.Sleep(10 * time.Second) // the dead one's lock expires
					r.cosmos.before, r.cosmos.after = nil, nil
					if r.h, err = New(r.h.cfg, r.h.deps.withoutMetrics()); err != nil {
						t.Fatal(err)
					}
					r.drive(dispatch.Change{Key: key("op-1"), Source: dispatch.List})
					r.wantErased(n)
				})
			})
		}
	}
}

// withoutMetrics lets a second handler have the same registry.
func (d Deps) withoutMetrics() Deps {
	d.Metrics = nil
	return d
}

// TestFieldBug12RecreatedClusterKeepsItsChildren: a delete that is late, of a
// cluster that was made anew under the same id.
func TestFieldBug12RecreatedClusterKeepsItsChildren(t *testing.T) {
	for _, g := range generations {
		for name, link := range map[string]string{"being created": "op-2", "at rest": ""} {
			t.Run(g+" "+name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					r := newRig(t)
					r.put(operationDoc("op-1", Delete))
					r.put(resourceDoc(g, "own", armCluster, link))
					r.put(resourceDoc(g, "pool", armCluster+"/nodePools/p", ""))
					// Something else still hangs on the old operation.
					r.put(resourceDoc(g, "forgotten", armCluster+"/nodePools/forgotten", "op-1"))
					own, pool := string(r.get("own")), string(r.get("pool"))
					r.plant(clusterID, "uninstalling")
					r.endDelete()
					if string(r.get("own")) != own || string(r.get("pool")) != pool {
						t.Errorf("have %s, %s", r.get("own"), r.get("pool"))
					}
					if !r.erased(g, "forgotten") {
						t.Errorf("have %s", r.get("forgotten"))
					}
				})
			})
		}
	}
}

// TestRecreatedWhileChildrenGo: the front end makes the cluster anew between two
// batches. The next draws 412, and what follows erases nothing.
func TestRecreatedWhileChildrenGo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := deleting(t, "flat")
		for i := range 250 {
			r.put(resourceDoc("flat", fmt.Sprintf("pool-%03d", i), fmt.Sprintf("%s/nodePools/p%d", armCluster, i), ""))
		}
		n := 0
		r.cosmos.before = func(req *http.Request) error {
			if isBatch(req) {
				if n++; n == 3 {
					r.change("own", "/properties/activeOperationId", "op-2")
				}
			}
			return nil
		}
		r.endDelete()
		left := 0
		for i := range 250 {
			if r.get(fmt.Sprintf("pool-%03d", i)) != nil {
				left++
			}
		}
		if left != 98 || r.field("own", "/properties/activeOperationId") != "op-2" {
			t.Errorf("%d left, own is %s", left, r.get("own"))
		}
	})
}

// TestLesson21HostileDocumentsBelow: what does not fit together is not erased, and nothing
// of it keeps the delete from its end.
func TestLesson21HostileDocumentsBelow(t *testing.T) {
	below := armCluster + "/nodePools/p"
	good := func() doc { return resourceDoc("newest", "x", below, "") }
	for name, spoil := range map[string]func() doc{
		"ids that differ":       func() doc { d := good(); props(d)["resourceId"] = armCluster + "x"; return d },
		"own id differs":        func() doc { d := good(); d["resourceID"] = "/subscriptions/" + sub; return d },
		"metadata's id differs": func() doc { d := good(); props(d)["cosmosMetadata"].(doc)["resourceID"] = "x"; return d },
		"a cluster's type": func() doc {
			d := good()
			d["resourceType"] = "Microsoft.RedHatOpenShift/hcpOpenShiftClusters"
			return d
		},
		"an operation": func() doc {
			d := good()
			d["resourceType"] = "Microsoft.RedHatOpenShift/hcpOperationStatuses"
			return d
		},
		"a subscription":        func() doc { d := good(); d["resourceType"] = "Microsoft.Resources/subscriptions"; return d },
		"a foreign type":        func() doc { d := good(); d["resourceType"] = "Other/hcpOpenShiftClusters/nodePools"; return d },
		"no type":               func() doc { d := good(); delete(d, "resourceType"); return d },
		"a type that is a list": func() doc { d := good(); d["resourceType"] = []any{d["resourceType"]}; return d },
		"a controller in capitals": func() doc {
			d := good()
			d["resourceType"] = "MICROSOFT.REDHATOPENSHIFT/HCPOPENSHIFTCLUSTERS/XCONTROLLERS"
			return d
		},
		"the cluster's id and a slash": func() doc { d := resourceDoc("middle", "x", below, ""); d["resourceID"] = armCluster + "/"; return d },
		"id that cannot be sent":       func() doc { d := good(); d["id"] = `x"y`; return d },
		"properties are a list":        func() doc { d := good(); d["properties"] = []any{1}; return d },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := deleting(t, "newest")
				d := spoil()
				r.put(d)
				r.put(resourceDoc("flat", "good", armCluster+"/nodePools/good", ""))
				before := string(r.get(d["id"].(string)))
				batches := r.batches()
				r.endDelete()
				if name == "properties are a list" { // says no more than where it is, and goes
					if r.get("x") != nil {
						t.Error("it is there")
					}
				} else if have := string(r.get(d["id"].(string))); have != before || before == "" {
					t.Errorf("was %s, is %s", before, have)
				}
				if !r.erased("newest", "own") || r.get("good") != nil || len(*batches) != 1 {
					t.Errorf("left %s, %s after %v", r.get("own"), r.get("good"), *batches)
				}
				warned := r.logs.FilterMessage("resources that cannot be written are left as they are").FilterLevelExact(zapcore.WarnLevel).Len()
				if (warned == 1) != (name == "id that cannot be sent") {
					t.Errorf("warned %d times", warned)
				}
			})
		})
	}
}

// TestHostileDeletesTakeNoChildren: an operation that names too much, or another
// thing than what is gone.
func TestHostileDeletesTakeNoChildren(t *testing.T) {
	pool := clusterID + "/node_pools/n1"
	group, _, _ := strings.Cut(armCluster, "/providers")
	for name, c := range map[string]struct{ external, own, internal string }{
		"the subscription":       {"/subscriptions/" + sub, "/subscriptions/" + sub, clusterID},
		"the group":              {group, group, clusterID},
		"nothing":                {"", "", clusterID},
		"a slash":                {"/", "/", clusterID},
		"a slash too many":       {armCluster + "/", armCluster + "/", clusterID},
		"an empty name":          {strings.TrimSuffix(armCluster, "c1"), strings.TrimSuffix(armCluster, "c1"), clusterID},
		"another provider":       {strings.ReplaceAll(armCluster, "RedHat", "Blue"), strings.ReplaceAll(armCluster, "RedHat", "Blue"), clusterID},
		"the cluster of a pool":  {armCluster, armCluster, pool},
		"another's resource":     {armCluster, armCluster + "x", clusterID},
		"a resource without ids": {armCluster, "", clusterID},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t)
				op := operationDoc("op-1", Delete)
				props(op)["externalId"], props(op)["internalId"] = c.external, c.internal
				r.put(op)
				own := resourceDoc("flat", "own", armCluster, "op-1")
				props(own)["resourceId"] = c.own
				r.put(own)
				r.put(resourceDoc("flat", "pool", armCluster+"/nodePools/p", ""))
				r.put(resourceDoc("flat", "other", armCluster+"x", ""))
				r.plant(c.internal, "gone")
				if step, _ := r.drive(dispatch.Change{Key: key("op-1")}); step.Label != Succeeded {
					t.Fatalf("have %+v", step)
				}
				if r.get("own") != nil || r.get("pool") == nil || r.get("other") == nil {
					t.Error("too few or too many are gone")
				}
			})
		})
	}
}

// TestWhoseIdIsIt holds that a document which gives itself several ids counts for
// none of them, and one that is softly deleted for nothing, whatever the query says.
func TestWhoseIdIsIt(t *testing.T) {
	const below = armCluster + "/nodePools/p"
	for name, c := range map[string]struct {
		doc       string
		itself    bool
		isBelow   bool
		resources string // type
	}{
		"itself":            {`"resourceID":"` + armCluster + `"`, true, false, "hcpOpenShiftClusters"},
		"itself, thrice":    {`"resourceID":"` + armCluster + `","properties":{"resourceId":"` + strings.ToUpper(armCluster) + `","cosmosMetadata":{"resourceID":"` + armCluster + `"}}`, true, false, "hcpOpenShiftClusters"},
		"itself and more":   {`"resourceID":"` + armCluster + `","properties":{"resourceId":"` + armCluster + `x"}`, false, false, "hcpOpenShiftClusters"},
		"both":              {`"resourceID":"` + armCluster + `","properties":{"resourceId":"` + below + `"}`, false, false, "hcpOpenShiftClusters/nodePools"},
		"below":             {`"properties":{"resourceId":"` + below + `","cosmosMetadata":{"resourceID":7}}`, false, true, "hcpOpenShiftClusters/nodePools"},
		"below and deleted": {`"deletionTimestamp":"x","properties":{"resourceId":"` + below + `"}`, false, false, "hcpOpenShiftClusters/nodePools"},
		"nothing":           {`"properties":{}`, false, false, "hcpOpenShiftClusters/nodePools"},
	} {
		d, ok := parseDocument([]byte(`{"resourceType":"Microsoft.RedHatOpenShift/` + c.resources + `",` + c.doc + `}`))
		if r := (resource{d}); !ok || r.isResource(armCluster) != c.itself || r.isBelow(armCluster) != c.isBelow {
			t.Errorf("%s: itself %t, below %t", name, r.isResource(armCluster), r.isBelow(armCluster))
		}
	}
}

// TestRefusedChildIsLeftOut: it keeps no delete from its end.
func TestRefusedChildIsLeftOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := deleting(t, "newest")
		r.putPools(150)
		r.refuseBatchesWith(http.StatusBadRequest, "pool-7", "pool-149")
		r.endDelete()
		left := 0
		for i := range 150 {
			if !r.erased(generations[i%3], fmt.Sprintf("pool-%d", i)) {
				left++
			}
		}
		if left != 2 || r.get("pool-7") == nil || r.get("pool-149") == nil {
			t.Errorf("%d are left", left)
		}
		if n := r.logs.FilterLevelExact(zapcore.ErrorLevel).Len(); n != 2 {
			t.Errorf("%d errors logged", n)
		}
	})
}

// TestMirroredDeleteTakesChildren: a writer ended the operation and died before it
// erased the resource. What brings that in line takes the children, too, and the
// resource with the last of them, or its link would not be listed again.
func TestMirroredDeleteTakesChildren(t *testing.T) {
	for batch := range 4 {
		t.Run(fmt.Sprint("killed after batch ", batch), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t)
				r.put(with(operationDoc("op-1", Delete), Succeeded))
				r.put(resourceDoc("newest", "own", armCluster, "op-1"))
				const n = 250
				r.putPools(n)
				count := 0
				r.cosmos.before = func(req *http.Request) error {
					if isBatch(req) {
						if count++; batch > 0 && count == batch+1 {
							return errCut
						}
					}
					return nil
				}
				if _, err := r.step(dispatch.Change{Key: key("own"), Source: dispatch.List}); (err != nil) != (batch == 1 || batch == 2) {
					t.Fatal(err)
				}
				if err := r.h.Pending(t.Context(), "", false, func(c dispatch.Change) { r.drive(c) }); err != nil {
					t.Fatal(err)
				}
				r.wantErased(n)
			})
		})
	}
}

// TestMirroredDeleteOfTheSubscription: an ended operation need not have an
// internalId that says what it was about.
func TestMirroredDeleteOfTheSubscription(t *testing.T) {
	for external, takes := range map[string]bool{"/subscriptions/" + sub: false, armCluster: true} {
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t)
			op := with(operationDoc("op-1", Delete), Succeeded)
			props(op)["internalId"], props(op)["externalId"] = "", external
			r.put(op)
			own := resourceDoc("flat", "own", armCluster, "op-1")
			props(own)["resourceId"] = external
			r.put(own)
			r.put(resourceDoc("flat", "pool", armCluster+"/nodePools/p", ""))
			r.drive(dispatch.Change{Key: key("own"), Source: dispatch.List})
			if r.get("own") != nil || (r.get("pool") == nil) != takes {
				t.Errorf("%s: pool is %s", external, r.get("pool"))
			}
		})
	}
}

// TestMirroredEndsTakeNoChildren: only a delete that has succeeded does.
func TestMirroredEndsTakeNoChildren(t *testing.T) {
	for name, c := range map[string]struct{ request, status string }{
		"failed delete": {Delete, Failed}, "canceled delete": {Delete, Canceled}, "create": {Create, Succeeded},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t)
				r.put(with(operationDoc("op-1", c.request), c.status))
				r.put(resourceDoc("newest", "own", armCluster, "op-1"))
				r.put(resourceDoc("newest", "pool", armCluster+"/nodePools/p", ""))
				before := leaves(t, r.get("pool"))
				if step, _ := r.drive(dispatch.Change{Key: key("own"), Source: dispatch.List}); !step.Wrote {
					t.Errorf("have %+v", step)
				}
				if !maps.Equal(before, leaves(t, r.get("pool"))) {
					t.Errorf("have %s", r.get("pool"))
				}
			})
		})
	}
}
