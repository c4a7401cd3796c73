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
	"opfeed/internal/fault"
	"opfeed/processor/dispatch"
)

// creating drives so many creates at once to their ends, and returns by how much
// the latest write-back was late, and how often each of them was asked for itself.
func creating(t *testing.T, r *rig, clusters int) (latest time.Duration, exact map[string][]time.Time) {
	t.Helper()
	exact = map[string][]time.Time{}
	var mu sync.Mutex
	r.service.mu.Lock()
	r.service.before = func(req *http.Request) error {
		if path, ok := strings.CutSuffix(req.URL.Path, "/status"); ok {
			mu.Lock()
			defer mu.Unlock()
			exact[path] = append(exact[path], time.Now())
		}
		return nil
	}
	r.service.mu.Unlock()
	ends := map[string]time.Time{}
	var wg sync.WaitGroup
	for i := range clusters {
		wg.Go(func() {
			time.Sleep(time.Duration(i) * 53 * time.Millisecond)
			path := fmt.Sprintf("/api/aro_hcp/v1alpha1/clusters/c%d", i)
			r.plant(path, "pending")
			id := fmt.Sprintf("op-%d", i)
			d := operationDoc(id, Create)
			props(d)["internalId"] = path
			r.put(d)
			last, _ := r.drive(dispatch.Change{Key: key(id)})
			mu.Lock()
			defer mu.Unlock()
			ends[path] = time.Now()
			if last.Label != Succeeded {
				t.Errorf("%s ended as %s", path, last.Label)
			}
		})
	}
	wg.Wait()
	for _, o := range r.sim.Journal().Objects {
		m := o.Mutations[len(o.Mutations)-1]
		if late := ends[o.InternalID].Sub(m.OutcomeAt); late < 0 {
			t.Errorf("%s ended %v before its object", o.InternalID, -late)
		} else {
			latest = max(latest, late)
		}
	}
	return latest, exact
}

// TestListsSaveCalls: what lists show is asked for itself once a minute, and when it
// has changed, and nothing is noticed later for that.
func TestListsSaveCalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.living(cssim.Options{Seed: 1})
		began := time.Now()
		latest, exact := creating(t, r, 50)
		if latest > DefaultConfig().PollInterval+time.Second {
			t.Errorf("an outcome was written back after %v", latest)
		}
		calls := 0
		for path, at := range exact {
			calls += len(at)
			for i := 1; i < len(at); i++ {
				if gap := at[i].Sub(at[i-1]); gap > DefaultConfig().ExactInterval {
					t.Errorf("%s was not asked about for %v", path, gap)
				}
			}
		}
		polls := int(r.metric("opfeed_operations_handled_total", "result=listed")) + calls
		if len(exact) != 50 || calls > polls/2 {
			t.Errorf("%d of %d polls of %d clusters were calls of their own", calls, polls, len(exact))
		}
		t.Logf("%d of %d polls in %v were calls of their own; the latest write-back was %v late", calls, polls, time.Since(began), latest)
	})
}

// TestListsThatLag: an outcome that lists do not show yet is found by asking for the
// object itself, a minute later at most, and counted.
func TestListsThatLag(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.living(cssim.Options{Seed: 1})
		shown := cssim.Fault{Name: "shown", Match: fault.Match{"kind": "list"}, Effect: cssim.Effect{State: "installing"}}
		if err := r.sim.Faults().Add(shown); err != nil {
			t.Fatal(err)
		}
		latest, _ := creating(t, r, 20)
		if latest > DefaultConfig().ExactInterval+time.Second {
			t.Errorf("an outcome was written back after %v", latest)
		}
		if n := r.metric("opfeed_cluster_service_list_disagreements_total"); n == 0 {
			t.Error("nobody noticed that lists are wrong")
		}
	})
}
