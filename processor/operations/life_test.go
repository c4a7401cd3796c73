package operations

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"opfeed/cs/cssim"
	"opfeed/processor/dispatch"
)

// TestAgainstLives lets the simulator live through updates and deletes of all
// kinds, with the state of before shown for a while, and compares each
// operation's end with what became of the object.
func TestAgainstLives(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.sim = cssim.New(cssim.Options{Seed: 7, FailureRate: 0.3, Latency: 20 * time.Millisecond, LatencyJitter: 100 * time.Millisecond})
		r.service.mu.Lock()
		r.service.next = transportTo(r.sim)
		r.service.mu.Unlock()
		ends := map[string]time.Time{}
		requests := map[string]string{}
		var mu sync.Mutex
		var wg sync.WaitGroup
		for i := range 30 {
			cluster := fmt.Sprintf("/api/aro_hcp/v1alpha1/clusters/c%d", i)
			path := []string{cluster, cluster + "/node_pools/n", cluster + "/external_auth_config/external_auths/e"}[i%3]
			request := []string{Update, Delete}[i/3%2]
			r.plant(path, "ready")
			wg.Go(func() {
				time.Sleep(time.Duration(i) * 1700 * time.Millisecond)
				r.send(map[string]string{Update: http.MethodPatch, Delete: http.MethodDelete}[request], path)
				id := fmt.Sprintf("op-%d", i)
				d := operationDoc(id, request)
				props(d)["internalId"] = path
				d["partitionKey"] = fmt.Sprintf("sub-%d", i)
				r.put(d)
				resource := newestClusterDoc("r-"+id, id)
				resource["partitionKey"] = d["partitionKey"]
				r.put(resource)
				step, _ := r.drive(dispatch.Change{Key: dispatch.Key{Partition: fmt.Sprintf("sub-%d", i), ID: id}, Source: dispatch.Feed})
				mu.Lock()
				defer mu.Unlock()
				ends[path+" "+step.Label], requests[path] = time.Now(), request
			})
		}
		wg.Wait()
		failures := 0
		for _, o := range r.sim.Journal().Objects {
			path := o.InternalID
			request, ours := requests[path]
			if !ours {
				continue
			}
			m := o.Mutations[len(o.Mutations)-1]
			want := map[string]string{"ready": Succeeded, "gone": Succeeded, "error": Failed}[m.Outcome]
			if want == Failed {
				failures++
			}
			at, ok := ends[path+" "+want]
			if !ok {
				t.Errorf("%s of %s: object ended as %q, operation did not", request, path, m.Outcome)
				continue
			}
			lag := at.Sub(m.OutcomeAt)
			// An external auth's update ends when it settles: it never shows a change.
			limit := 13 * time.Second
			if strings.Contains(path, "external_auths") && request == Update {
				limit = 45 * time.Second
			}
			if lag < 0 || lag > limit {
				t.Errorf("%s of %s: ended %v after the object (%s)", request, path, lag, m.Outcome)
			}
		}
		if len(ends) != 30 || failures == 0 {
			t.Errorf("%d ends, %d failures", len(ends), failures)
		}
	})
}
