package operations

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/data/azcosmos"

	"opfeed/processor/dispatch"
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
		step, err := r.step(dispatch.Change{Key: key("op-1")})
		took := time.Since(began)
		if err != nil || step.Verdict != dispatch.Again || step.After != time.Second || took < 2*time.Second || took > 3*time.Second {
			t.Errorf("have %+v, %v after %v", step, err, took)
		}
		if r.metric("opfeed_lock_busy_total") != 1 || r.cosmos.requests(isBatch) != 0 {
			t.Error("busy and written, or not counted")
		}
		// The holder died: its ttl frees the lock.
		if step, _ = r.drive(dispatch.Change{Key: key("op-1")}); step.Label != Succeeded || time.Since(began) > 15*time.Second || r.lockHeld() {
			t.Errorf("have %+v after %v", step, time.Since(began))
		}
	})
}

// TestLockThatAProxyGave: an answer of success that is not the account's is no lock.
func TestLockThatAProxyGave(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.put(operationDoc("op-1", Create))
		r.plant(clusterID, "ready")
		r.cosmos.reply = func(req *http.Request) *http.Response {
			if req.Method != http.MethodPost || !strings.HasSuffix(req.URL.Path, "/colls/Locks/docs") {
				return nil
			}
			resp := canned(req, http.StatusOK, "<html>log in first</html>")
			resp.Header.Set("ETag", `"1"`)
			return resp
		}
		if step, err := r.step(dispatch.Change{Key: key("op-1")}); !errors.Is(err, errForeign) || r.cosmos.requests(isBatch) != 0 {
			t.Errorf("have %+v, %v after %d batches", step, err, r.cosmos.requests(isBatch))
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
		if step, err := r.step(dispatch.Change{Key: key("op-1")}); err != nil || step.Verdict != dispatch.Done {
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
				_, err := r.step(dispatch.Change{Key: key("op-1")})
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
		if step, err := r.step(dispatch.Change{Key: key("op-1")}); err != nil || step.Label != Succeeded {
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
		f, err := r.h.Handle(t.Context(), dispatch.Change{Key: dispatch.Key{Partition: sub, ID: "op-1"}})
		if err != nil {
			t.Fatal(err)
		}
		_, _ = f(t.Context())
		if !r.lockHeld() {
			t.Error("another's lock was released")
		}
	})
}

// TestReleaseHoldsNothingUp: a lock that cannot be given back costs a second at
// most, and no more than it is trusted for.
func TestReleaseHoldsNothingUp(t *testing.T) {
	for name, c := range map[string]struct{ batch, most time.Duration }{
		"fresh": {0, time.Second},
		"old":   {7600 * time.Millisecond, 400 * time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t)
				r.put(operationDoc("op-1", Create))
				r.plant(clusterID, "ready")
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				var written time.Time
				r.cosmos.after = func(req *http.Request, resp *http.Response) (*http.Response, error) {
					if isBatch(req) {
						time.Sleep(c.batch)
						written = time.Now()
						cancel() // the process stops meanwhile
					}
					return resp, nil
				}
				tried := false
				r.cosmos.before = func(req *http.Request) error {
					if isLock(req) && req.Method == http.MethodDelete {
						tried = true
						<-req.Context().Done()
						return req.Context().Err()
					}
					return nil
				}
				f, err := r.h.Handle(ctx, dispatch.Change{Key: key("op-1")})
				if err != nil {
					t.Fatal(err)
				}
				_, _ = f(ctx)
				if took := time.Since(written); !tried || took < c.most-50*time.Millisecond || took > c.most {
					t.Errorf("returned after %v, tried: %t", took, tried)
				}
			})
		})
	}
}

// errOddlyCut is one that azcosmos does not know for a lost connection, so that
// azcore sends the request again.
var errOddlyCut = errors.New("server closed idle connection")

func isLockCreation(req *http.Request) bool {
	return req.Method == http.MethodPost && strings.HasSuffix(req.URL.Path, "/colls/Locks/docs")
}

// TestOwnLockInTheWay: the lock was written, its reply was lost, and azcore's
// next try met it.
func TestOwnLockInTheWay(t *testing.T) {
	for name, c := range map[string]struct {
		delay time.Duration // until the lost reply
		want  error
	}{
		"at once": {0, nil},
		"late":    {8 * time.Second, errLockExpired}, // trusted from the first try on
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t)
				r.put(operationDoc("op-1", Create))
				r.plant(clusterID, "ready")
				lost := false
				r.cosmos.after = func(req *http.Request, resp *http.Response) (*http.Response, error) {
					if isLock(req) && req.Method == http.MethodDelete && req.Header.Get("If-Match") == "" {
						t.Error("the lock is deleted whosever it is")
					}
					if isLockCreation(req) && !lost {
						lost = true
						time.Sleep(c.delay)
						return nil, errOddlyCut
					}
					return resp, nil
				}
				_, err := r.step(dispatch.Change{Key: key("op-1")})
				if !lost || !errors.Is(err, c.want) || (r.field("op-1", "/properties/status") == Succeeded) != (c.want == nil) {
					t.Errorf("have %v", err)
				}
				if n := r.metric("opfeed_lock_busy_total"); n != 0 {
					t.Errorf("busy %v times", n)
				}
				if c.want == nil && r.lockHeld() {
					t.Error("the lock was not given back")
				}
			})
		})
	}
}

// TestTwinsLockIsAnothers: a replica of the same name is another one, too.
func TestTwinsLockIsAnothers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.put(operationDoc("op-1", Create))
		r.plant(clusterID, "ready")
		if _, err := r.h.createLock(t.Context(), sub); err != nil {
			t.Fatal(err)
		}
		if step, err := r.step(dispatch.Change{Key: key("op-1")}); err != nil || step.Verdict != dispatch.Again || !r.lockHeld() {
			t.Errorf("have %+v, %v", step, err)
		}
	})
}

// TestNoLockForAKeyTooLong: a subscription whose key is no id has no lock, for
// nobody, and its operations are finished all the same.
func TestNoLockForAKeyTooLong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.plant(clusterID, "ready")
		long := strings.Repeat("s", maxID+1)
		d := operationDoc("op-1", Create)
		d["partitionKey"] = long
		r.put(d)
		step, err := r.step(dispatch.Change{Key: dispatch.Key{Partition: long, ID: "op-1"}})
		if err != nil || step.Label != Succeeded {
			t.Errorf("%s, %v", step.Label, err)
		}
		if n := r.cosmos.requests(isLock); n != 0 {
			t.Errorf("%d requests for a lock", n)
		}
	})
}
