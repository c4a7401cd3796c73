package operations

import (
	"context"
	"errors"
	"maps"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/data/azcosmos"

	"opfeed/processor/dispatch"
)

// TestLesson04PanicFreesTheLock: the lock of a request that panicked stayed until
// its time to live was over, and whoever else wanted the subscription was refused.
// Here the release is deferred, the panic is the document's own fault, and the next
// operation of the subscription does not wait.
func TestLesson04PanicFreesTheLock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		panicked := false
		r.cosmos.before = func(req *http.Request) error {
			if isBatch(req) && strings.Contains(body(t, req), `"id":"op-1"`) {
				panicked = r.lockHeld()
				panic("in the middle of a write")
			}
			return nil
		}
		r.plant(clusterID, "ready")
		quarantined := ""
		d := dispatch.New(dispatch.Config{Handle: r.h.Handle, Quarantine: func(_ context.Context, c dispatch.Change, _ string) error {
			quarantined = c.ID
			return nil
		}})
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() { ended <- d.Run(ctx) }()
		for _, id := range []string{"op-1", "op-2"} {
			r.put(operationDoc(id, Create))
			if err := d.Submit(t.Context(), dispatch.Change{Key: key(id)}, nil); err != nil {
				t.Fatal(err)
			}
			time.Sleep(50 * time.Millisecond) // less than a try for a busy lock takes
		}
		if !panicked || quarantined != "op-1" {
			t.Errorf("panicked: %t; quarantined: %q", panicked, quarantined)
		}
		if r.lockHeld() || r.field("op-2", "/properties/status") != Succeeded {
			t.Error("the lock is held on")
		}
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

// errLost is what a lease that is lost says.
var errLost = errors.New("lease is lost")

// TestLesson05ALostLockStopsTheWrite: the predecessor renewed its lock under one
// context and wrote under another, so that who had lost it went on, beside the next
// holder, with writes that asked for no version. Here no write is started once the
// lock, or the lease, is not trusted any more; one that was under way by then meets
// the version that the next holder wrote; and the next holder's lock is left alone.
func TestLesson05ALostLockStopsTheWrite(t *testing.T) {
	for name, c := range map[string]struct {
		lost    func(r *rig)  // while the batch is on its way; nil: before it is sent
		late    time.Duration // of the reply that the lock is ours
		trusted error         // says the lease by then
		want    error
		batches int
	}{
		"its time was over":            {late: 8 * time.Second, want: errLockExpired},
		"the lease was lost meanwhile": {trusted: errLost, want: errLost},
		"it expired under way":         {late: 2 * time.Second, lost: func(*rig) { time.Sleep(9 * time.Second) }, batches: 1},
		"somebody deleted it":          {lost: (*rig).breakLock, batches: 1},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t)
				r.put(operationDoc("op-1", Create))
				r.put(clusterDoc("r1", "op-1"))
				r.plant(clusterID, "ready")
				var theirs []map[string]string
				var trusted error
				r.cosmos.after = func(req *http.Request, resp *http.Response) (*http.Response, error) {
					if isLockCreation(req) {
						time.Sleep(c.late)
						trusted = c.trusted
					}
					return resp, nil
				}
				batches := 0
				r.cosmos.before = func(req *http.Request) error {
					if isBatch(req) {
						if batches++; batches == 1 && c.lost != nil {
							c.lost(r)
							r.hold() // fails unless ours is gone
							theirs = r.supersede()
						}
					}
					return nil
				}
				_, err := r.step(dispatch.Change{Key: key("op-1"), Trusted: func() error { return trusted }})
				if !errors.Is(err, c.want) || batches != c.batches {
					t.Errorf("have %v and %d batches", err, batches)
				}
				if c.lost == nil {
					theirs = []map[string]string{leaves(t, r.get("op-1")), leaves(t, r.get("r1"))}
					if s := r.field("op-1", "/properties/status"); s != Accepted {
						t.Errorf("written: %s", s)
					}
				} else if !r.lockHeld() {
					t.Error("the next holder's lock was released")
				}
				r.unchanged(theirs)
			})
		})
	}
}

// breakLock deletes the lock whosever it is.
func (r *rig) breakLock() {
	r.t.Helper()
	if _, err := r.locks.DeleteItem(r.t.Context(), azcosmos.NewPartitionKeyString(sub), sub, nil); err != nil {
		r.t.Fatal(err)
	}
}

// supersede cancels op-1 as a front end does that has got a newer request for r1,
// and returns what the two documents are then.
func (r *rig) supersede() []map[string]string {
	r.t.Helper()
	pk := azcosmos.NewPartitionKeyString(sub)
	var cancel, link azcosmos.PatchOperations
	cancel.AppendSet("/properties/status", Canceled)
	cancel.AppendSet("/properties/lastTransitionTime", "2026-01-01T00:00:00Z")
	cancel.AppendSet("/properties/error", doc{"code": Canceled, "message": "This operation was superseded by another"})
	link.AppendSet("/properties/activeOperationId", "op-2")
	link.AppendSet("/properties/provisioningState", Updating)
	batch := r.resources.NewTransactionalBatch(pk)
	batch.PatchItem("op-1", cancel, nil)
	batch.PatchItem("r1", link, nil)
	if resp, err := r.resources.ExecuteTransactionalBatch(r.t.Context(), batch, nil); err != nil || !resp.Success {
		r.t.Fatal(resp.Success, err)
	}
	return []map[string]string{leaves(r.t, r.get("op-1")), leaves(r.t, r.get("r1"))}
}

// unchanged compares op-1 and r1 with what they were.
func (r *rig) unchanged(were []map[string]string) {
	r.t.Helper()
	for i, id := range []string{"op-1", "r1"} {
		if len(were) != 2 || !maps.Equal(were[i], leaves(r.t, r.get(id))) {
			r.t.Errorf("%s has changed: %s", id, r.get(id))
		}
	}
}
