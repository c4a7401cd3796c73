package processor_test

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap/zapcore"

	"opfeed/internal/cosmosemu"
	"opfeed/internal/fault"
	"opfeed/internal/inproc"
	"opfeed/processor"
	"opfeed/processor/dispatch"
)

func TestChangesAreHandledWithinTheFeedInterval(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.put(doc{ID: "old", Value: "0"}) // before the first start: now is the start
		r := w.start(inproc.New(w.emu))
		time.Sleep(time.Second)
		w.put(doc{ID: "a", Value: "1"})
		w.put(doc{ID: "b", Value: "1"})
		w.put(doc{ID: "c", Value: "1", Op: "skip"})
		time.Sleep(250 * time.Millisecond)
		w.wantHandled(map[string][]string{"a": {"1"}, "b": {"1"}})
		w.put(doc{ID: "a", Value: "2"})
		time.Sleep(250 * time.Millisecond)
		w.wantHandled(map[string][]string{"a": {"1", "2"}, "b": {"1"}})
		if err := r.Ready(); err != nil {
			t.Errorf("ready: %v", err)
		}
		if s := r.Snapshot(); len(s.Ranges) != 1 || !s.Ranges[0].Mine || s.Recovered != 0 {
			t.Errorf("snapshot: %+v", s)
		}
	})
}

func TestStartFromTheBeginning(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.put(doc{ID: "old", Value: "0"})
		w.start(inproc.New(w.emu), func(c *processor.Config) { c.Start = processor.FromBeginning() })
		time.Sleep(time.Second)
		w.wantHandled(map[string][]string{"old": {"0"}})
	})
}

func TestStartFromATime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.put(doc{ID: "old", Value: "0"})
		time.Sleep(10 * time.Second)
		from := time.Now()
		time.Sleep(10 * time.Second)
		w.put(doc{ID: "new", Value: "0"})
		time.Sleep(10 * time.Second)
		w.start(inproc.New(w.emu), func(c *processor.Config) { c.Start = processor.FromTime(from) })
		time.Sleep(time.Second)
		w.wantHandled(map[string][]string{"new": {"0"}})
	})
}

func TestRestartResumesWhereItStopped(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		first := w.start(inproc.New(w.emu))
		time.Sleep(time.Second)
		w.put(doc{ID: "a", Value: "1"})
		time.Sleep(time.Second)
		first.stop()
		w.put(doc{ID: "b", Value: "1"})
		before := w.stepsSoFar()
		w.start(inproc.New(w.emu))
		time.Sleep(time.Second) // at once: the lease was given back
		w.wantHandled(map[string][]string{"a": {"1"}, "b": {"1"}})
		if n := w.stepsSoFar() - before; n != 1 {
			t.Errorf("%d steps after the restart, want 1", n)
		}
	})
}

func TestPendingIsRestoredOnTakeover(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.put(doc{ID: "p", Value: "1", Op: "pending"}) // nobody's feed will bring it
		r := w.start(inproc.New(w.emu))
		time.Sleep(time.Second)
		w.wantHandled(map[string][]string{"p": {"1"}})
		time.Sleep(30 * time.Second)
		if n := w.stepsSoFar(); n != 4 {
			t.Errorf("%d steps in 31s, want 4: one at once and one every 10s", n)
		}
		if s := r.Snapshot(); s.Recovered != 0 || s.Pending != 1 || s.PendingByState["pending"] != 1 {
			t.Errorf("snapshot: %+v", s)
		}
	})
}

func TestSilentFeedIsReplacedByTheList(t *testing.T) {
	t.Parallel()
	for name, silence := range map[string]func(*http.Request) error{
		"fails": func(*http.Request) error { return errors.New("no answer") },
		"hangs": func(req *http.Request) error { <-req.Context().Done(); return req.Context().Err() },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				var silent atomic.Bool
				r := w.start(&faulty{next: inproc.New(w.emu), before: func(req *http.Request) error {
					if silent.Load() && isFeed(req) {
						return silence(req)
					}
					return nil
				}})
				time.Sleep(time.Minute)
				silent.Store(true)
				w.put(doc{ID: "p", Value: "1", Op: "pending"}) // the feed will never bring it
				time.Sleep(12 * time.Second)
				w.wantHandled(map[string][]string{"p": {"1"}})
				w.put(doc{ID: "q", Value: "1", Op: "pending"})
				time.Sleep(12 * time.Second)
				w.wantHandled(map[string][]string{"p": {"1"}, "q": {"1"}})
				time.Sleep(30 * time.Second)
				if r.Ready() == nil {
					t.Error("ready although the feed is silent")
				}
				silent.Store(false)
				time.Sleep(15 * time.Second)
				if err := r.Ready(); err != nil {
					t.Errorf("ready: %v", err)
				}
			})
		})
	}
}

func TestLyingFeedIsFoundOutByTheList(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		var lying atomic.Bool
		transport := &faulty{next: inproc.New(w.emu)}
		transport.before = func(req *http.Request) error {
			if lying.Load() && isFeed(req) {
				// Asked from now on, the feed has never anything to say.
				req.Header.Set("If-None-Match", "*")
			}
			return nil
		}
		r := w.start(transport)
		time.Sleep(time.Minute + 2*time.Second) // no list is due for a while
		if n := r.Snapshot().Recovered; n != 0 {
			t.Errorf("recovered %d in health", n)
		}
		lying.Store(true)
		w.put(doc{ID: "p", Value: "1", Op: "pending"})
		time.Sleep(70 * time.Second)
		w.wantHandled(map[string][]string{"p": {"1"}})
		if n := r.Snapshot().Recovered; n != 1 {
			t.Errorf("recovered %d, want 1", n)
		}
		// After a find the list runs every 10 s.
		w.put(doc{ID: "q", Value: "1", Op: "pending"})
		time.Sleep(21 * time.Second)
		w.wantHandled(map[string][]string{"p": {"1"}, "q": {"1"}})
	})
}

// TestRepeatedPageIsReadAtTheUsualPace has a feed that does not get on: its page
// comes again and again.
func TestRepeatedPageIsReadAtTheUsualPace(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		var reads atomic.Int64
		w.start(&faulty{next: inproc.New(w.emu), before: func(req *http.Request) error {
			if isFeed(req) {
				reads.Add(1)
			}
			return nil
		}})
		time.Sleep(10 * time.Second)
		repeat := fault.Rule[cosmosemu.Effect]{Name: "repeat", Match: fault.Match{"kind": "feed"}, Effect: cosmosemu.Effect{Feed: cosmosemu.FeedRepeat}}
		repeat.Effect.Before = fault.Duration(time.Millisecond) // of no time at all there is too much
		if err := w.emu.Faults().Add(repeat); err != nil {
			t.Fatal(err)
		}
		w.put(doc{ID: "p", Value: "1"})
		before := reads.Load()
		time.Sleep(5 * time.Second)
		if n := reads.Load() - before; n < 10 || n > 30 {
			t.Errorf("%d reads of the feed in 5 s", n)
		}
		w.emu.Faults().Clear()
		w.put(doc{ID: "q", Value: "1"})
		time.Sleep(5 * time.Second)
		w.mu.Lock()
		defer w.mu.Unlock()
		if len(w.handled["p"]) == 0 || len(w.handled["q"]) != 1 {
			t.Errorf("handled: %v", w.handled)
		}
	})
}

// TestNothingWasMissed lists what must not be counted as missed by the feed: an
// old version of what is settled already, and what has no age.
func TestNothingWasMissed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		r := w.start(inproc.New(w.emu))
		time.Sleep(10 * time.Second)
		w.mu.Lock()
		w.ghosts = []dispatch.Change{
			{Key: dispatch.Key{Partition: "s", ID: "ended"}, ETag: "1", Written: time.Now()},
			{Key: dispatch.Key{Partition: "s", ID: "ageless"}, ETag: "1"},
		}
		w.mu.Unlock()
		w.put(doc{ID: "ageless", Value: "1", Op: "pending"})
		time.Sleep(3 * time.Minute)
		if n := r.Snapshot().Recovered; n != 0 {
			t.Errorf("recovered %d", n)
		}
	})
}

// TestListOnTakeoverMayFail lets only the backstop's later list succeed: what it
// brings is restored, not missed.
func TestListOnTakeoverMayFail(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.put(doc{ID: "p", Value: "1", Op: "pending"})
		var failing atomic.Bool
		failing.Store(true)
		r := w.start(&faulty{next: inproc.New(w.emu), before: func(req *http.Request) error {
			if failing.Load() && isQueryOf(req, "docs") {
				return errors.New("too many requests")
			}
			return nil
		}})
		time.Sleep(15 * time.Second)
		w.put(doc{ID: "a", Value: "1"}) // the feed does not wait for it
		time.Sleep(time.Second)
		w.wantHandled(map[string][]string{"a": {"1"}})
		if r.Ready() == nil {
			t.Error("ready although what is pending is not known")
		}
		failing.Store(false)
		time.Sleep(11 * time.Second)
		w.wantHandled(map[string][]string{"a": {"1"}, "p": {"1"}})
		if n := r.Snapshot().Recovered; n != 0 || r.Ready() != nil {
			t.Errorf("recovered %d, ready: %v", n, r.Ready())
		}
	})
}

// TestListsThatFail: a replica whose list has worked once and does not any more
// says so in the end, for then nobody would notice what the feed leaves out; and a
// panic beside it does not end the lists for good.
func TestListsThatFail(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		var failing, panicked atomic.Bool
		w.logged = func(e zapcore.Entry) error {
			if e.Message == "dependency failing, trying again" && !panicked.Swap(true) {
				panic("as it logs")
			}
			return nil
		}
		r := w.start(&faulty{next: inproc.New(w.emu), before: func(req *http.Request) error {
			if failing.Load() && isQueryOf(req, "docs") {
				return errors.New("too many requests")
			}
			return nil
		}})
		time.Sleep(2 * time.Minute)
		failing.Store(true)
		time.Sleep(4 * time.Minute)
		if err := r.Ready(); err != nil {
			t.Errorf("not ready after three lists that failed: %v", err)
		}
		time.Sleep(2 * time.Minute)
		if err := r.Ready(); err == nil || !strings.Contains(err.Error(), "not listed for more than 5m0s") {
			t.Errorf("after five: %v", err)
		}
		failing.Store(false)
		time.Sleep(time.Minute)
		if err := r.Ready(); err != nil || !panicked.Load() {
			t.Errorf("ready: %v; panicked: %t", err, panicked.Load())
		}
	})
}

// TestIdleAndUnableIsNotReady: a replica that finds everything held by others, and
// could not serve a range if it had to, does not let a rollout pass.
func TestIdleAndUnableIsNotReady(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.start(inproc.New(w.emu))
		time.Sleep(time.Minute)
		var unable atomic.Bool
		unable.Store(true)
		second := w.start(&faulty{next: inproc.New(w.emu), before: func(req *http.Request) error {
			if unable.Load() && isFeed(req) {
				return errors.New("not allowed")
			}
			return nil
		}})
		time.Sleep(time.Minute)
		if err := second.Ready(); err == nil || !strings.Contains(err.Error(), "change feed not read yet") {
			t.Errorf("ready though it cannot read the feed: %v", err)
		}
		unable.Store(false)
		time.Sleep(15 * time.Second)
		if err := second.Ready(); err != nil || len(second.Snapshot().Ranges) != 1 || second.Snapshot().Ranges[0].Mine {
			t.Errorf("ready: %v; %+v", err, second.Snapshot().Ranges)
		}
	})
}

// TestNewLeaseHasAPosition kills a replica between making a lease and taking it:
// what was written since is not lost, though every start is from now.
func TestNewLeaseHasAPosition(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		first := w.start(&faulty{next: inproc.New(w.emu), before: func(req *http.Request) error {
			if req.Method == http.MethodPut {
				return errDead // the lease is made by POST and taken by PUT
			}
			return nil
		}})
		time.Sleep(2 * time.Second)
		w.put(doc{ID: "a", Value: "1"})
		first.stop()
		w.start(inproc.New(w.emu))
		time.Sleep(5 * time.Second)
		w.wantHandled(map[string][]string{"a": {"1"}})
	})
}

// TestFirstPositionIsStoredFirst takes a lease without a position, as another
// program may have made it: nothing is delivered before the position is stored.
func TestFirstPositionIsStoredFirst(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.putLease(`{"id":"test..0","version":0,"LeaseToken":"0","Owner":null,"ContinuationToken":null,` +
			`"FeedRange":{"Range":{"min":"","max":"FF"}},"properties":{}}`)
		var taken, away atomic.Bool
		away.Store(true)
		w.start(&faulty{next: inproc.New(w.emu), before: func(req *http.Request) error {
			if req.Method == http.MethodPut && taken.Swap(true) && away.Load() {
				return errors.New("service unavailable")
			}
			return nil
		}})
		time.Sleep(time.Second)
		w.put(doc{ID: "a", Value: "1"})
		time.Sleep(3 * time.Second)
		w.wantHandled(map[string][]string{})
		away.Store(false)
		time.Sleep(5 * time.Second)
		w.wantHandled(map[string][]string{"a": {"1"}})
	})
}

func TestPoisonDelaysNothingAndIsRemembered(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		first := w.start(inproc.New(w.emu))
		time.Sleep(time.Second)
		w.put(doc{ID: "bad", Value: "1", Op: "poison"})
		w.put(doc{ID: "a", Value: "1"})
		time.Sleep(250 * time.Millisecond)
		w.wantHandled(map[string][]string{"a": {"1"}})
		time.Sleep(5 * time.Second)
		if q := first.Snapshot().Quarantined; len(q) != 1 || q[0].ID != "bad" || q[0].Reason != "handler panicked: poison" {
			t.Errorf("quarantined: %+v", q)
		}
		first.stop()
		second := w.start(inproc.New(w.emu))
		time.Sleep(5 * time.Second)
		if q := second.Snapshot().Quarantined; len(q) != 1 || q[0].ID != "bad" {
			t.Errorf("quarantined after the restart: %+v", q)
		}
		w.put(doc{ID: "bad", Value: "2"}) // mended
		time.Sleep(time.Second)
		w.wantHandled(map[string][]string{"a": {"1"}, "bad": {"2"}})
		if q := second.Snapshot().Quarantined; len(q) != 0 {
			t.Errorf("quarantined after the repair: %+v", q)
		}
		second.stop()
		third := w.start(inproc.New(w.emu))
		time.Sleep(5 * time.Second)
		if q := third.Snapshot().Quarantined; len(q) != 0 {
			t.Errorf("quarantined after repair and restart: %+v", q)
		}
	})
}

// TestRecordThatAProxyTook: an answer of success that is not the account's stores
// no record, and without one the document is not handled.
func TestRecordThatAProxyTook(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		first := w.start(inproc.New(w.emu))
		time.Sleep(time.Second)
		html := "<html>log in first</html>"
		page := fault.Rule[cosmosemu.Effect]{Name: "page", Match: fault.Match{"kind": "upsert", "container": "leases"}}
		page.Effect.Status, page.Effect.Body = http.StatusOK, &html
		if err := w.emu.Faults().Add(page); err != nil {
			t.Fatal(err)
		}
		w.put(doc{ID: "bad", Value: "1", Op: "poison"})
		time.Sleep(10 * time.Second)
		if q := first.Snapshot().Quarantined; len(q) != 0 {
			t.Errorf("quarantined although nothing is stored: %+v", q)
		}
		w.emu.Faults().Clear()
		time.Sleep(15 * time.Second)
		first.stop()
		second := w.start(inproc.New(w.emu))
		time.Sleep(5 * time.Second)
		if q := second.Snapshot().Quarantined; len(q) != 1 || q[0].ID != "bad" {
			t.Errorf("quarantined after the restart: %+v", q)
		}
	})
}

func TestOutageOfCosmosIsSurvived(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		var away atomic.Bool
		r := w.start(&faulty{next: inproc.New(w.emu), before: func(*http.Request) error {
			if away.Load() {
				return errors.New("connection refused")
			}
			return nil
		}})
		time.Sleep(time.Minute)
		w.put(doc{ID: "a", Value: "1"})
		time.Sleep(time.Second)
		away.Store(true)
		time.Sleep(20 * time.Second) // longer than the lease's expiry
		_ = r.Ready()
		time.Sleep(40 * time.Second)
		if r.Ready() == nil {
			t.Error("ready without Cosmos DB")
		}
		away.Store(false)
		w.put(doc{ID: "b", Value: "1"})
		time.Sleep(30 * time.Second)
		w.wantHandled(map[string][]string{"a": {"1"}, "b": {"1"}})
		if err := r.Ready(); err != nil {
			t.Errorf("ready: %v", err)
		}
	})
}

// TestKilledAtEveryRequest kills a processor at each of its requests in turn,
// before or after the request was applied, and starts another one: every
// document is handled, whatever the first one was doing.
func TestKilledAtEveryRequest(t *testing.T) {
	t.Parallel()
	for _, applied := range []bool{false, true} {
		t.Run(fmt.Sprintf("applied=%v", applied), func(t *testing.T) {
			t.Parallel()
			const enough = 40
			for n := int64(1); n <= enough; n++ {
				t.Run(fmt.Sprint(n), func(t *testing.T) {
					synctest.Test(t, func(t *testing.T) { killedAt(t, n, applied) })
				})
			}
		})
	}
}

func killedAt(t *testing.T, n int64, applied bool) {
	w := newWorld(t)
	var requests atomic.Int64
	die := func(*http.Request) error {
		if requests.Load() > n {
			return errDead
		}
		return nil
	}
	victim := &faulty{next: inproc.New(w.emu), before: func(req *http.Request) error {
		if requests.Add(1) == n && applied {
			return nil
		}
		if requests.Load() >= n {
			return errDead
		}
		return nil
	}}
	victim.after = func(req *http.Request) error {
		if requests.Load() >= n {
			return errDead
		}
		return die(req)
	}
	// A document that exists before the first start counts from the beginning.
	fromBeginning := func(c *processor.Config) { c.Start = processor.FromBeginning() }
	first := w.start(victim, fromBeginning)
	want := map[string][]string{}
	for i := range 10 {
		id := fmt.Sprint("o", i)
		w.put(doc{ID: id, Partition: fmt.Sprint("s", i%3), Value: "1"})
		want[id] = []string{"1"}
		time.Sleep(300 * time.Millisecond)
	}
	time.Sleep(time.Second)
	first.stop()
	w.start(inproc.New(w.emu), fromBeginning)
	time.Sleep(20 * time.Second) // a lease that was not given back expires after 10, the lock of the first start is not waited for after 15
	w.wantHandled(want)
}
