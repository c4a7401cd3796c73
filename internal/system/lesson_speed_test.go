package system_test

import (
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"opfeed/cs/cssim"
	"opfeed/internal/fault"
	"opfeed/internal/inproc"
)

// TestLesson01AFailedListTakesNothingForAbsent: the predecessor took a page that it
// could not read for "no operations". Here a list that fails in the middle is none:
// the one on takeover is repeated soon, and what a later one did not come to is not
// taken for absent.
func TestLesson01AFailedListTakesNothingForAbsent(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const operations = 1200 // more than a page
		w := newWorld(t)
		p := w.person()
		for i := range operations {
			op := operation(fmt.Sprint("sub-", i%10), fmt.Sprint("op-", i), "Create", "")
			delete(op["properties"].(doc), "internalId") // they stay pending, at no cost
			p.put(op)
		}
		var broken atomic.Bool
		var pages, reads atomic.Int64
		broken.Store(true)
		// Nobody has read the feed yet, which begins now: the list alone knows them.
		r := w.start(&tap{next: inproc.New(w.cosmos), before: func(req *http.Request) error {
			switch {
			case broken.Load() && isOn(req, "Resources") && req.Header.Get("x-ms-continuation") != "" && req.Method == http.MethodPost:
				pages.Add(1)
				return errDead
			case req.Method == http.MethodGet && strings.Contains(req.URL.Path, "/colls/Resources/docs/"):
				reads.Add(1)
			}
			return nil
		}})
		known := func() int { s := r.Snapshot(); return s.Pending + s.Running + s.Waiting }
		time.Sleep(settle)
		broken.Store(false)
		time.Sleep(settle)
		if known() != operations || pages.Load() == 0 {
			t.Errorf("%d operations are known; %d pages failed", known(), pages.Load())
		}
		broken.Store(true)
		pages.Store(0)
		reads.Store(0)
		time.Sleep(2 * time.Minute)
		if pages.Load() == 0 || reads.Load() > 0 || known() != operations {
			t.Errorf("%d pages failed, %d operations were looked for one by one, %d are known", pages.Load(), reads.Load(), known())
		}
	})
}

// TestLesson14NobodyWaitsToBeNoticed: the predecessor listed the subscriptions every
// ten minutes, asked for an operation one interval after it had found it, and for
// those of a subscription one after another. Here what a front end writes is asked
// about within a second, in whatever subscription, and eight of one subscription are
// asked about at once.
func TestLesson14NobodyWaitsToBeNoticed(t *testing.T) {
	t.Parallel()
	t.Run("in a new subscription", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t)
			w.cs = atLeisure()
			p := w.person()
			w.start(inproc.New(w.cosmos))
			time.Sleep(settle)
			written := map[string]time.Time{}
			for i := range 50 {
				id := fmt.Sprint("c", i)
				p.plant(clusterID(id), "installing")
				p.put(operation(fmt.Sprint("never-seen-", i), id, "Create", id))
				written[id] = time.Now()
				time.Sleep(337 * time.Millisecond)
			}
			time.Sleep(time.Second)
			for id, at := range w.asked() {
				if took := at.Sub(written[id]); at.IsZero() || took > time.Second {
					t.Errorf("%s: asked about after %v", id, took)
				}
			}
		})
	})
	t.Run("many, slowly", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t)
			w.cs = atLeisure()
			for name, e := range map[string]fault.Effect{
				"good-*": {Before: second}, "bad-*": {Before: 3 * second, Status: http.StatusInternalServerError},
			} {
				if err := w.cs.Faults().Add(cssim.Fault{Name: name, Match: fault.Match{"cluster": name}, Effect: cssim.Effect{Effect: e}}); err != nil {
					t.Fatal(err)
				}
			}
			p := w.person()
			w.start(inproc.New(w.cosmos))
			time.Sleep(settle)
			for i := range 50 {
				id := fmt.Sprintf("%s-%d", []string{"good", "bad"}[i%2], i)
				p.plant(clusterID(id), "ready")
				p.put(operation("s", id, "Create", id))
			}
			// All in turn they would take 100 s, and eight at once about 13.
			until(t, 20*time.Second, "the end of all that can end", func() bool {
				for i := 0; i < 50; i += 2 {
					if p.status("s", fmt.Sprintf("good-%d", i)) != "Succeeded" {
						return false
					}
				}
				return true
			})
		})
	})
}

// TestLesson15HangingCallsStopNoLease: in the predecessor a call without a deadline
// held its worker for good, and the loop that fed the workers with it. Here, while
// every call to Cluster Service hangs, the lease is renewed and the feed is read,
// and what can be answered again is asked about at once.
func TestLesson15HangingCallsStopNoLease(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.cs = atLeisure()
		hang := cssim.Fault{Name: "hang", Match: fault.Match{"agent": "opfeed", "cluster": "hanging-*"}, Effect: cssim.Effect{Effect: fault.Effect{Reply: fault.Hang}}}
		if err := w.cs.Faults().Add(hang); err != nil {
			t.Fatal(err)
		}
		p := w.person()
		first := w.start(inproc.New(w.cosmos))
		time.Sleep(settle)
		second := w.start(inproc.New(w.cosmos))
		for i := range 120 {
			id := fmt.Sprint("hanging-", i)
			p.plant(clusterID(id), "ready")
			p.put(operation(fmt.Sprint("hanging-", i%3), id, "Create", id))
		}
		epoch := first.Snapshot().Ranges[0].Epoch
		for i := range 10 {
			time.Sleep(10 * time.Second)
			id := fmt.Sprint("fine-", i)
			p.plant(clusterID(id), "ready")
			p.put(operation(fmt.Sprint("fine-", i%4), id, "Create", id))
			until(t, time.Second, id+" ends", func() bool { return p.status(fmt.Sprint("fine-", i%4), id) == "Succeeded" })
		}
		held := first.Snapshot().Ranges[0]
		if !held.Mine || held.Epoch != epoch || time.Since(held.LastRead) > time.Second || second.Snapshot().Ranges[0].Mine {
			t.Errorf("have %+v, and began with epoch %d", held, epoch)
		}
		w.heal()
		until(t, 30*time.Second, "the end of those that hung", func() bool { return first.Snapshot().Pending+first.Snapshot().Running+first.Snapshot().Waiting == 0 })
	})
}
