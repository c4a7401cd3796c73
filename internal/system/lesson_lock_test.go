package system_test

import (
	"context"
	"fmt"
	"net/http"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"opfeed/cs/cssim"
	"opfeed/internal/fault"
	"opfeed/internal/inproc"
)

const busy = "0465bc32-c654-41b8-8d87-9815d7abe8f6" // a subscription

// TestLesson16TheLockIsFreeForTheFrontEnd: the predecessor held a subscription's
// lock for as long as it went through its operations, and users were refused. Here
// it is held for a batch and its release, so that a front end that takes it for
// every request seldom meets it, and is never refused for longer than three round
// trips, not even while one write follows another.
func TestLesson16TheLockIsFreeForTheFrontEnd(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		// As much to write in a minute as 200 operations at the usual pace have.
		const operations = 100
		life := cssim.Between{Min: 6 * time.Minute, Max: 10 * time.Minute}
		w := newWorld(t)
		w.cs = cssim.New(cssim.Options{Seed: 1, Latency: 50 * time.Millisecond, LogRequests: -1, Durations: cssim.Durations{ClusterCreate: life}})
		p := w.person()
		w.start(w.near())
		time.Sleep(settle)
		begin := func(group, state string) {
			for i := range operations {
				id := fmt.Sprintf("%s%d", group, i)
				p.plant(clusterID(id), state)
				p.put(operation(busy, id, "Create", id), linked(busy, "r-"+id, id))
			}
		}
		ended := func(group string) bool {
			for i := range operations {
				if p.status(busy, fmt.Sprintf("%s%d", group, i)) != "Succeeded" {
					return false
				}
			}
			return true
		}
		watch := func(during func()) knocks {
			ctx, stop := context.WithCancel(t.Context())
			fared := make(chan knocks)
			go func() { fared <- p.knock(ctx, busy, 97*time.Millisecond) }()
			during()
			stop()
			return <-fared
		}
		usual := watch(func() {
			begin("usual", "validating")
			time.Sleep(life.Max + time.Minute)
		})
		if !ended("usual") || usual.attempts < 5_000 || usual.met*100 > usual.attempts || usual.met == 0 || usual.longest > 3*roundTrip {
			t.Errorf("%+v, ended: %t", usual, ended("usual"))
		}
		burst := watch(func() {
			begin("burst", "ready")
			time.Sleep(15 * time.Second)
		})
		if !ended("burst") || burst.met == 0 || burst.longest > 3*roundTrip {
			t.Errorf("in a burst %+v, ended: %t", burst, ended("burst"))
		}
		t.Logf("usual %+v, in a burst %+v", usual, burst)
	})
}

// TestFieldBug14NoLockDuringCalls: the predecessor's calls to Cluster Service were
// made under the lock of the subscription, and a slow Cluster Service starved its
// front ends. Here no lock is taken before there is something to write.
func TestFieldBug14NoLockDuringCalls(t *testing.T) {
	t.Parallel()
	for name, effect := range map[string]fault.Effect{
		"slow":    {Before: 3 * second},
		"failing": {Before: 3 * second, Status: http.StatusInternalServerError},
		"hanging": {Reply: fault.Hang},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				w.cs = atLeisure()
				if err := w.cs.Faults().Add(cssim.Fault{Name: "f", Effect: cssim.Effect{Effect: effect}}); err != nil {
					t.Fatal(err)
				}
				p := w.person()
				var locks atomic.Int64
				w.start(&tap{next: inproc.New(w.cosmos), before: func(req *http.Request) error {
					if isOn(req, "Locks") && isWrite(req) {
						locks.Add(1)
					}
					return nil
				}})
				time.Sleep(settle)
				for i := range 50 {
					id := fmt.Sprint("c", i)
					p.plant(clusterID(id), "pending") // which is nothing to write
					p.put(operation(busy, id, "Create", id))
				}
				ctx, stop := context.WithTimeout(t.Context(), 30*time.Second)
				defer stop()
				k := p.knock(ctx, busy, 50*time.Millisecond)
				if _, asked := w.cs.Requests(); k.attempts < 500 || k.met > 0 || locks.Load() > 0 || asked < 8 {
					t.Errorf("%+v, %d locks, asked %d times", k, locks.Load(), asked)
				}
			})
		})
	}
}
