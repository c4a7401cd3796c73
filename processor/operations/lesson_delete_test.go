package operations

import (
	"maps"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"opfeed/processor/dispatch"
)

// aroHCP is the form of a path that the simulator's requests and journal have.
func aroHCP(internalID string) string {
	return strings.Replace(internalID, "clusters_mgmt/v1", "aro_hcp/v1alpha1", 1)
}

// endsWhenGone deletes one object in Cluster Service and drives the Delete of
// another, which goes with it or is the same, from a state: it ends when that is
// gone, not before, and soon.
func endsWhenGone(t *testing.T, state, deleted, object string) {
	t.Helper()
	r := newRig(t)
	r.plant(clusterID, "ready")
	r.plant(object, state)
	d, resource := operationDoc("op-1", Delete), clusterDoc("r1", "op-1")
	props(d)["internalId"], props(resource)["internalId"] = object, object
	r.put(d)
	r.put(resource)
	r.send(http.MethodDelete, aroHCP(deleted))
	step, steps := r.drive(dispatch.Change{Key: key("op-1"), Source: dispatch.Feed})
	var gone time.Time
	for _, o := range r.sim.Journal().Objects {
		if o.InternalID == aroHCP(object) && o.Gone {
			gone = o.Mutations[len(o.Mutations)-1].OutcomeAt
		}
	}
	if late := time.Since(gone); gone.IsZero() || late > 12*time.Second || step.Label != Succeeded || len(steps) < 10 {
		t.Errorf("%s after %d looks, gone %v before", step.Label, len(steps), late)
	}
	if raw := r.get("r1"); raw != nil {
		t.Errorf("the resource is left: %s", raw)
	}
}

// TestLesson02ReadyEndsNoDelete: the predecessor took ready for the success of a
// Delete. A node pool that is deleted through its cluster stays ready until both
// are gone: its resource vanished while it was there. Here only a 404 that is
// confirmed ends a Delete well.
func TestLesson02ReadyEndsNoDelete(t *testing.T) {
	for name, deleted := range map[string]string{"the pool": clusterID + "/node_pools/n1", "its cluster": clusterID} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { endsWhenGone(t, "ready", deleted, clusterID+"/node_pools/n1") })
		})
	}
}

// TestLesson10ExternalAuthIsDeletedWhenGone: to the predecessor an external auth
// that exists was a success, of its Delete, too. Here that it exists is ready, and
// ready ends no Delete, whether a Cluster Service tells its status or not.
func TestLesson10ExternalAuthIsDeletedWhenGone(t *testing.T) {
	const auth = clusterID + "/external_auth_config/external_auths/e1"
	for name, c := range map[string]struct{ state, deleted string }{
		"with a status":                         {"ready", auth},
		"without a status":                      {"", auth},
		"through its cluster":                   {"ready", clusterID},
		"without a status, through its cluster": {"", clusterID},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { endsWhenGone(t, c.state, c.deleted, auth) })
		})
	}
}

// TestFieldBug12LateDeleteSparesTheRecreated: a resource that was deleted and made
// again under its id was taken for the one of before. Here a Delete that ends late
// touches no document that names another operation by then, nor one of another
// version than it was decided from.
func TestFieldBug12LateDeleteSparesTheRecreated(t *testing.T) {
	for name, resource := range map[string]func(id, operation string) doc{"older": clusterDoc, "newest": newestClusterDoc} {
		for _, when := range []string{"before the look", "between look and write"} {
			t.Run(name+", "+when, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					r := newRig(t)
					r.put(operationDoc("op-1", Delete))
					r.put(resource("r1", "op-1"))
					r.plant(clusterID, "uninstalling")
					s := dispatch.Change{Key: key("op-1")}
					seen, err := r.step(s)
					if err != nil {
						t.Fatal(err)
					}
					r.plant(clusterID, "gone")
					var again map[string]string
					recreate := func() {
						r.remove("r1")
						r.put(resource("r1", "op-2"))
						again = leaves(t, r.get("r1"))
					}
					if when == "before the look" {
						recreate()
					}
					r.cosmos.before = func(req *http.Request) error {
						if isBatch(req) && again == nil {
							recreate()
						}
						return nil
					}
					if step, _ := r.drive(next(s, seen)); step.Label != Succeeded || again == nil {
						t.Fatalf("have %+v", step)
					}
					if !maps.Equal(again, leaves(t, r.get("r1"))) {
						t.Errorf("have %s", r.get("r1"))
					}
				})
			})
		}
	}
}
