package operations

import (
	"encoding/json"
	"errors"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/data/azcosmos"
)

func (r *rig) lockHeld() bool {
	r.t.Helper()
	_, err := r.locks.ReadItem(r.t.Context(), azcosmos.NewPartitionKeyString(sub), sub, nil)
	if code, _ := status(err); code == http.StatusNotFound {
		return false
	}
	if err != nil {
		r.t.Fatal(err)
	}
	return true
}

func (r *rig) remove(id string) {
	r.t.Helper()
	if _, err := r.resources.DeleteItem(r.t.Context(), azcosmos.NewPartitionKeyString(sub), id, nil); err != nil {
		r.t.Fatal(err)
	}
}

// hold takes the lock as a front end does.
func (r *rig) hold() {
	r.t.Helper()
	raw, _ := json.Marshal(lockDocument{ID: sub, Owner: "frontend", TTL: 10})
	if _, err := r.locks.CreateItem(r.t.Context(), azcosmos.NewPartitionKeyString(sub), raw, nil); err != nil {
		r.t.Fatal(err)
	}
}

func TestBusyLock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.put(operationDoc("op-1", Create))
		r.plant(clusterID, "ready")
		r.hold()
		began := time.Now()
		step, err := r.step(Sighting{ID: "op-1"})
		took := time.Since(began)
		if err != nil || step.Verdict != Again || step.After != time.Second || took < 2*time.Second || took > 3*time.Second {
			t.Errorf("have %+v, %v after %v", step, err, took)
		}
		if r.metric("opfeed_lock_busy_total") != 1 || r.cosmos.requests(isBatch) != 0 {
			t.Error("busy and written, or not counted")
		}
		// The holder died: its ttl frees the lock.
		if step, _ = r.drive(Sighting{ID: "op-1"}); step.Label != Succeeded || time.Since(began) > 15*time.Second || r.lockHeld() {
			t.Errorf("have %+v after %v", step, time.Since(began))
		}
	})
}

// TestLockIsHeldOnlyAroundTheBatch looks at every request's time.
func TestLockIsHeldOnlyAroundTheBatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.put(operationDoc("op-1", Create))
		r.put(clusterDoc("r1", "op-1"))
		r.plant(clusterID, "ready")
		held := 0
		r.cosmos.before = func(*http.Request) error {
			if r.lockHeld() {
				held++
			}
			return nil
		}
		r.service.before = func(*http.Request) error {
			if r.lockHeld() {
				t.Error("cluster service is asked under the lock")
			}
			return nil
		}
		if step, err := r.step(Sighting{ID: "op-1"}); err != nil || step.Verdict != Done {
			t.Fatalf("have %+v, %v", step, err)
		}
		if held != 2 || r.lockHeld() { // the batch and the release
			t.Errorf("%d requests under the lock", held)
		}
	})
}

func TestLockIsNotTrustedForEver(t *testing.T) {
	for name, c := range map[string]struct {
		delay time.Duration
		want  error
	}{
		"slow":     {7900 * time.Millisecond, nil},
		"too slow": {8 * time.Second, errLockExpired},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t)
				r.put(operationDoc("op-1", Create))
				r.plant(clusterID, "ready")
				r.cosmos.after = func(req *http.Request, resp *http.Response) (*http.Response, error) {
					if isLock(req) || req.Method == http.MethodPost && req.Header.Get("x-ms-documentdb-query") == "" && !isBatch(req) {
						time.Sleep(c.delay)
					}
					return resp, nil
				}
				_, err := r.step(Sighting{ID: "op-1"})
				if !errors.Is(err, c.want) || (err == nil) != (r.cosmos.requests(isBatch) == 1) {
					t.Errorf("have %v", err)
				}
			})
		})
	}
}

func TestWithoutLocks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, func(_ *Config, d *Deps) { d.Locks = nil })
		r.put(operationDoc("op-1", Create))
		r.plant(clusterID, "ready")
		r.hold()
		if step, err := r.step(Sighting{ID: "op-1"}); err != nil || step.Label != Succeeded {
			t.Errorf("have %+v, %v", step, err)
		}
	})
}

func TestAnothersLockIsNotReleased(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.put(operationDoc("op-1", Create))
		r.plant(clusterID, "ready")
		r.cosmos.after = func(req *http.Request, resp *http.Response) (*http.Response, error) {
			if isBatch(req) {
				time.Sleep(11 * time.Second) // ours expires
				r.hold()
			}
			return resp, nil
		}
		f, err := r.h.Look(t.Context(), Sighting{Partition: sub, ID: "op-1"})
		if err != nil {
			t.Fatal(err)
		}
		_, _ = f(t.Context())
		if !r.lockHeld() {
			t.Error("another's lock was released")
		}
	})
}
