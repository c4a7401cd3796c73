package cssim_test

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	arohcp "github.com/openshift-online/ocm-sdk-go/arohcp/v1alpha1"

	"opfeed/cs/cssim"
)

func TestLifeOfACluster(t *testing.T) {
	for seed := range uint64(5) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, cssim.Options{Seed: seed})
				body, err := arohcp.NewCluster().ID("c").Name("one").Build()
				if err != nil {
					t.Fatal(err)
				}
				added, err := w.clusters().Add().Body(body).SendContext(t.Context())
				if err != nil || added.Body().ID() != "c" || added.Body().Name() != "one" || added.Body().HREF() != clusterC {
					t.Fatalf("add: %v %+v", err, added.Body())
				}
				created := w.watch(clusterC, "ready")
				wantStates(t, created, "validating pending installing ready")
				wantSpan(t, "create", created[3].after, 12*time.Minute, 20*time.Minute+time.Second)

				patched, err := w.cluster().Update().Body(body).SendContext(t.Context())
				if err != nil || patched.Body().State() != "ready" {
					t.Fatalf("patch: %v, state %q", err, patched.Body().State())
				}
				updated := w.watch(clusterC+"/status", "ready")
				wantStates(t, updated, "ready updating ready")
				wantSpan(t, "stale phase", updated[1].after, 0, 21*time.Second)
				wantSpan(t, "update", updated[2].after-updated[1].after, 8*time.Minute, 14*time.Minute+time.Second)

				if _, err := w.cluster().Delete().SendContext(t.Context()); err != nil {
					t.Fatal(err)
				}
				deleted := w.watch(clusterC, "gone")
				if deleted[0].state == "ready" {
					wantSpan(t, "stale phase", deleted[1].after, 0, 4*time.Second)
					deleted = deleted[1:]
				}
				wantStates(t, deleted, "uninstalling gone")
				wantSpan(t, "delete", deleted[1].after, 8*time.Minute, 14*time.Minute+4*time.Second)
			})
		})
	}
}

func TestLifeOfANodePool(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, cssim.Options{Seed: 3})
		if err := w.sim.Plant(clusterC, "ready"); err != nil {
			t.Fatal(err)
		}
		w.want(201, "POST", clusterC+"/node_pools", `{"id":"p","replicas":2}`)
		created := w.watch(poolP, "ready")
		wantStates(t, created, "validating pending installing ready")
		wantSpan(t, "create", created[3].after, 8*time.Minute, 15*time.Minute+time.Second)

		body, err := arohcp.NewNodePool().Replicas(3).Build()
		if err != nil {
			t.Fatal(err)
		}
		patched, err := w.pool().Update().Body(body).SendContext(t.Context())
		if err != nil || patched.Body().Replicas() != 3 || patched.Body().Status().State().NodePoolStateValue() != "ready" {
			t.Fatalf("patch: %v %+v", err, patched.Body())
		}
		updated := w.watch(poolP, "ready")
		wantStates(t, updated, "ready validating_update pending_update updating ready")
		wantSpan(t, "stale phase", updated[1].after, 0, 21*time.Second)
		wantSpan(t, "update", updated[4].after-updated[1].after, 6*time.Minute, 12*time.Minute+time.Second)

		w.want(204, "DELETE", poolP, "")
		deleted := w.watch(poolP, "gone")
		if deleted[0].state == "ready" {
			deleted = deleted[1:]
		}
		wantStates(t, deleted, "uninstalling gone")
		wantSpan(t, "delete", deleted[1].after, 5*time.Minute, 10*time.Minute+4*time.Second)
		if got := w.state(clusterC); got != "ready" {
			t.Errorf("cluster is %q after its pool's delete, want ready", got)
		}
	})
}

func TestLifeOfAnExternalAuth(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, cssim.Options{})
		if err := w.sim.Plant(clusterC, "ready"); err != nil {
			t.Fatal(err)
		}
		w.want(201, "POST", clusterC+"/external_auth_config/external_auths", `{"id":"e"}`)
		if got := w.state(authE); got != "ready" {
			t.Errorf("after create: %q, want ready", got)
		}
		w.want(200, "PATCH", authE, `{"claim":{}}`)
		for range 60 {
			if got := w.state(authE); got != "ready" {
				t.Fatalf("after update: %q, want ready", got)
			}
			time.Sleep(time.Second)
		}
		w.want(204, "DELETE", authE, "")
		deleted := w.watch(authE, "gone")
		if deleted[0].state == "ready" {
			deleted = deleted[1:]
		}
		wantStates(t, deleted, "uninstalling gone")
		wantSpan(t, "delete", deleted[1].after, 2*time.Minute, 5*time.Minute+4*time.Second)
	})
}

// TestSpeedLeavesTheStalePhase: the work is scaled, the staleness is not.
func TestSpeedLeavesTheStalePhase(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, cssim.Options{Speed: 600, Seed: 7})
		longest := time.Duration(0)
		for i := range 8 {
			path := fmt.Sprintf("%s%d", clusterC, i)
			if err := w.sim.Plant(path, "ready"); err != nil {
				t.Fatal(err)
			}
			w.want(200, "PATCH", path, `{}`)
			states := w.watch(path, "ready")
			wantSpan(t, "scaled update", states[2].after-states[1].after, 0, 3*time.Second)
			longest = max(longest, states[1].after)
		}
		wantSpan(t, "longest stale phase of eight", longest, 8*time.Second, 21*time.Second)
	})
}

func TestFailures(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, cssim.Options{FailureRate: 1, Speed: 60})
		w.want(201, "POST", "/api/aro_hcp/v1alpha1/clusters", `{"id":"c"}`)
		wantStates(t, w.watch(clusterC, "error"), "validating pending installing error")
		resp, err := w.cluster().Status().Get().SendContext(t.Context())
		if err != nil || resp.Body().ProvisionErrorCode() == "" || resp.Body().ProvisionErrorMessage() == "" {
			t.Errorf("status of a failed cluster: %v %+v", err, resp.Body())
		}
		// The old error is shown until the update begins.
		w.want(200, "PATCH", clusterC, `{}`)
		wantStates(t, w.watch(clusterC, "error"), "error updating error")

		w.want(201, "POST", clusterC+"/node_pools", `{"id":"p"}`)
		wantStates(t, w.watch(poolP, "error"), "validating pending installing error")
		pool, err := w.pool().Status().Get().SendContext(t.Context())
		if err != nil || pool.Body().Message() == "" {
			t.Errorf("status of a failed pool: %v %+v", err, pool.Body())
		}
		m := w.sim.Journal().Objects[0].Mutations
		if len(m) != 2 || m[0].Outcome != "error" || m[0].ErrorCode == "" || m[1].ErrorMessage == "" {
			t.Errorf("journal: %+v", m)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, cssim.Options{FailureRate: .3, Speed: 6000})
		failed := 0
		for i := range 200 {
			w.want(201, "POST", "/api/aro_hcp/v1alpha1/clusters", fmt.Sprintf(`{"id":"c%d"}`, i))
		}
		time.Sleep(time.Minute)
		for _, o := range w.sim.Journal().Objects {
			if o.Mutations[0].Outcome == "error" {
				failed++
			}
		}
		if failed < 40 || failed > 80 {
			t.Errorf("%d of 200 failed at a rate of 0.3", failed)
		}
	})
}

func TestClusterTakesItsChildrenWithIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, cssim.Options{Seed: 1})
		for path, state := range map[string]string{
			poolP: "ready", clusterC + "/node_pools/i": "installing", authE: "ready",
		} {
			if err := w.sim.Plant(path, state); err != nil {
				t.Fatal(err)
			}
		}
		w.want(204, "DELETE", clusterC, "")
		w.want(204, "DELETE", clusterC, "") // again: nothing new
		time.Sleep(5 * time.Second)
		w.want(204, "DELETE", clusterC, "")
		w.want(400, "PATCH", clusterC, `{}`)
		w.want(400, "POST", clusterC+"/node_pools", `{"id":"late"}`)
		for w.state(clusterC) != "gone" {
			if got := w.state(clusterC); got != "uninstalling" {
				t.Fatalf("cluster is %q, want uninstalling", got)
			}
			for path, want := range map[string]string{
				poolP: "ready", clusterC + "/node_pools/i": "installing", authE: "ready",
			} {
				if got := w.state(path); got != want {
					t.Fatalf("%s is %q while its cluster is there, want %q", path, got, want)
				}
			}
			time.Sleep(time.Second)
		}
		for _, path := range []string{
			clusterC + "/status", clusterC + "/inflight_checks", clusterC + "/node_pools",
			clusterC + "/external_auth_config", clusterC + "/external_auth_config/external_auths",
			poolP, poolP + "/status", clusterC + "/node_pools/i", authE,
		} {
			w.want(404, "GET", path, "")
		}
		w.want(404, "DELETE", clusterC, "")
		w.want(404, "PATCH", clusterC, "{}")
		w.want(404, "DELETE", poolP, "")
		w.want(404, "POST", clusterC+"/node_pools", `{"id":"late"}`)
		var ends []time.Time
		for _, o := range w.sim.Journal().Objects {
			m := o.Mutations[len(o.Mutations)-1]
			if !o.Gone || m.Kind != "delete" || m.Outcome != "gone" {
				t.Errorf("%s: %+v", o.InternalID, o)
			}
			ends = append(ends, m.OutcomeAt)
		}
		if ends = slices.Compact(ends); len(ends) != 1 {
			t.Errorf("cluster and children ended at %v, want one time", ends)
		}
	})
}

func TestPoolDeletedBeforeItsCluster(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, cssim.Options{})
		if err := w.sim.Plant(poolP, "ready"); err != nil {
			t.Fatal(err)
		}
		w.want(204, "DELETE", poolP, "")
		time.Sleep(4 * time.Second)
		w.want(204, "DELETE", clusterC, "")
		deleted := w.watch(poolP, "gone")
		wantStates(t, deleted, "uninstalling gone")
	})
}

// TestPoolOutlivedByNothing: a pool whose own delete would take longer than its
// cluster's ends with the cluster.
func TestPoolOutlivedByNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, cssim.Options{Durations: cssim.Durations{NodePoolDelete: cssim.Between{Min: time.Hour, Max: time.Hour}}})
		if err := w.sim.Plant(poolP, "ready"); err != nil {
			t.Fatal(err)
		}
		w.want(204, "DELETE", poolP, "")
		w.want(204, "DELETE", clusterC, "")
		time.Sleep(20 * time.Minute)
		objects := w.sim.Journal().Objects
		if len(objects) != 2 || !objects[0].Gone || !objects[1].Gone ||
			!objects[1].Mutations[1].OutcomeAt.Equal(objects[0].Mutations[1].OutcomeAt) {
			t.Errorf("after the cluster's end: %+v", objects)
		}
	})
}

func TestBornAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, cssim.Options{Speed: 60})
		if err := w.sim.Plant(poolP, "ready"); err != nil {
			t.Fatal(err)
		}
		w.want(204, "DELETE", clusterC, "")
		w.want(409, "POST", "/api/aro_hcp/v1alpha1/clusters", `{"id":"c"}`)
		time.Sleep(time.Minute)
		w.want(201, "POST", "/api/aro_hcp/v1alpha1/clusters", `{"id":"c"}`)
		wantStates(t, w.watch(clusterC, "ready"), "validating pending installing ready")
		if got := w.state(poolP); got != "gone" {
			t.Errorf("a pool of the former cluster is %q", got)
		}
	})
}

func TestDeterministic(t *testing.T) {
	run := func(t *testing.T, seed uint64, order []string) (ends map[string]time.Duration) {
		ends = map[string]time.Duration{}
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, cssim.Options{Seed: seed})
			start := time.Now()
			hrefs := map[string]string{}
			for _, name := range order {
				var made struct{ Href string }
				text := w.want(201, "POST", "/api/aro_hcp/v1alpha1/clusters", `{"name":"`+name+`"}`)
				if err := json.Unmarshal([]byte(text), &made); err != nil {
					t.Fatal(err)
				}
				hrefs[made.Href] = name
			}
			time.Sleep(time.Hour)
			for _, o := range w.sim.Journal().Objects {
				ends[hrefs[o.InternalID]+" "+o.InternalID] = o.Mutations[0].OutcomeAt.Sub(start)
			}
		})
		return ends
	}
	a, b := run(t, 1, []string{"x", "y", "z"}), run(t, 1, []string{"z", "x", "y"})
	if fmt.Sprint(a) != fmt.Sprint(b) {
		t.Errorf("another order gives another result:\n%v\n%v", a, b)
	}
	if c := run(t, 2, []string{"x", "y", "z"}); fmt.Sprint(a) == fmt.Sprint(c) {
		t.Error("another seed gives the same result")
	}
	for id := range a {
		id = id[strings.LastIndexByte(id, '/')+1:]
		if len(id) != 32 || strings.Trim(id, "0123456789abcdefghijklmnopqrstuv") != "" {
			t.Errorf("made-up id %q is not 32 of [0-9a-v]", id)
		}
	}
}

func TestLatency(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, cssim.Options{Latency: 100 * time.Millisecond, LatencyJitter: 50 * time.Millisecond})
		if err := w.sim.Plant(clusterC, "ready"); err != nil {
			t.Fatal(err)
		}
		took := map[time.Duration]bool{}
		for range 10 {
			start := time.Now()
			w.want(200, "GET", clusterC, "")
			took[time.Since(start)] = true
			wantSpan(t, "get", time.Since(start), 100*time.Millisecond, 150*time.Millisecond)
		}
		if len(took) < 5 {
			t.Errorf("latencies hardly vary: %v", took)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
		defer cancel()
		if _, err := w.cluster().Delete().SendContext(ctx); err == nil {
			t.Error("the wait ignores the context")
		}
		if m := w.sim.Journal().Objects[0].Mutations; len(m) != 1 {
			t.Errorf("a request that was given up took effect: %+v", m)
		}
	})
}
