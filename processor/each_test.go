package processor_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/data/azcosmos"

	"opfeed/internal/cosmosemu"
	"opfeed/internal/fault"
	"opfeed/internal/inproc"
	"opfeed/leases"
	"opfeed/processor"
)

// TestEachOfAnyContainer brings each document of containers with keys of every
// kind to the function, once with the document that the feed brought, and once
// with one that had to be read by its key because no memory is left for it.
func TestEachOfAnyContainer(t *testing.T) {
	t.Parallel()
	multi := azcosmos.PartitionKeyDefinition{Paths: []string{"/tenant", "/user", "/day"}, Kind: azcosmos.PartitionKeyKindMultiHash, Version: 2}
	hash := func(version int, path string) azcosmos.PartitionKeyDefinition {
		return azcosmos.PartitionKeyDefinition{Paths: []string{path}, Kind: azcosmos.PartitionKeyKindHash, Version: version}
	}
	for name, c := range map[string]struct {
		key  azcosmos.PartitionKeyDefinition
		docs map[string]string // header of the partition → document but for its id
	}{
		"one": {hash(2, "/pk"), map[string]string{
			`["a"]`: `"pk":"a"`, `["1"]`: `"pk":"1"`, `[1]`: `"pk":1`, `[-0.5]`: `"pk":-0.5`, `[0]`: `"pk":-0.0`, `[1e+300]`: `"pk":1E300`,
			`[true]`: `"pk":true`, `[false]`: `"pk":false`, `[null]`: `"pk":null`, `[{}]`: `"PK":"x"`, `[""]`: `"pk":""`,
			`["\u00e4\ud83d\ude00 \"\\/\u0001"]`: `"pk":"ä😀 \"\\/\u0001"`,
		}},
		"first version": {hash(1, "/pk"), map[string]string{`["a"]`: `"pk":"a"`, `[1]`: `"pk":1`, `[{}]`: `"x":1`}},
		"nested":        {hash(2, "/a/b"), map[string]string{`["x"]`: `"a":{"b":"x"}`, `[{}]`: `"a":7`, `[null]`: `"a":{"b":null}`}},
		"quoted":        {hash(2, `/"a/b"/c`), map[string]string{`["x"]`: `"a/b":{"c":"x"}`, `[{}]`: `"a":{"b":{"c":1}}`}},
		"the id":        {hash(2, "/id"), map[string]string{`["0"]`: `"x":1`}},
		"hierarchical": {multi, map[string]string{
			`["t","u",1]`: `"tenant":"t","user":"u","day":1`, `["t","v",true]`: `"tenant":"t","user":"v","day":true`,
			`["t",null,"d"]`: `"tenant":"t","user":null,"day":"d"`, `["t",{},"d"]`: `"tenant":"t","day":"d"`, `[{},{},{}]`: `"x":1`,
		}},
	} {
		for _, read := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, read=%v", strings.ReplaceAll(name, " ", "-"), read), func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					l := newLibrary(t, c.key, 4)
					want := map[string][]string{}
					keys := map[string]string{}
					for i, header := range slices.Sorted(maps.Keys(c.docs)) {
						id := fmt.Sprint(i)
						l.write(header, json.RawMessage(fmt.Sprintf(`{"id":%q,"value":"1",%s}`, id, c.docs[header])))
						want[id], keys[id] = []string{"1"}, header
					}
					orders := l.container(inproc.New(l.emu), "orders")
					l.failing(func(i processor.Item, _ doc) error {
						if i.Partition != keys[i.ID] {
							t.Errorf("document %s is of partition %s, want %s", i.ID, i.Partition, keys[i.ID])
						}
						if i.ETag == "" || i.Written.IsZero() || i.Trusted() != nil {
							t.Errorf("item %+v, trusted: %v", i, i.Trusted())
						}
						if strings.Contains(i.Partition, "{}") {
							return nil // azcosmos cannot say it
						}
						_, err := orders.ReadItem(t.Context(), i.PartitionKey, i.ID, nil)
						return err
					})
					r := l.start(inproc.New(l.emu), fromBeginning, func(c *processor.Config) {
						if read {
							c.Memory = 1
						}
					})
					time.Sleep(5 * time.Second)
					l.wantDone(want)
					if err := r.Ready(); err != nil {
						t.Error(err)
					}
					if s := r.Snapshot(); len(s.Quarantined) != 0 {
						t.Errorf("quarantined: %+v", s.Quarantined)
					}
				})
			})
		}
	}
}

// TestFailedChangeHoldsThePosition: without a list nothing but the feed brings a
// change back, so that no position after one that has failed may be stored.
func TestFailedChangeHoldsThePosition(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := newLibrary(t, stringKey, 1)
		l.failing(func(_ processor.Item, d doc) error {
			if d.Op == "poison" {
				return errAway
			}
			return nil
		})
		first := l.start(inproc.New(l.emu))
		time.Sleep(time.Second)
		l.put(doc{ID: "bad", Value: "1", Op: "poison"})
		time.Sleep(10 * time.Second)
		for n := range 20 { // others are not held up
			l.put(doc{ID: fmt.Sprint("good", n), Value: "1"})
			time.Sleep(time.Second)
			if l.called(fmt.Sprint("good", n)) != 1 {
				t.Fatalf("document %d waits", n)
			}
		}
		before := first.Snapshot().Ranges[0].Continuation
		first.stop()
		if l.called("bad") < 3 {
			t.Errorf("tried %d times", l.called("bad"))
		}
		l.failing(nil)
		second := l.start(inproc.New(l.emu))
		time.Sleep(5 * time.Second)
		l.mu.Lock()
		if !slices.Equal(l.done["bad"], []string{"1"}) {
			t.Errorf("after the restart: %v", l.done["bad"])
		}
		l.mu.Unlock()
		if after := second.Snapshot().Ranges[0].Continuation; after == before {
			t.Errorf("the position stays at %s", after)
		}
	})
}

// TestOneVersionAtATime writes versions faster than the function takes them.
func TestOneVersionAtATime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := newLibrary(t, stringKey, 1)
		var mu sync.Mutex
		running, most := map[string]bool{}, 0
		l.failing(func(i processor.Item, _ doc) error {
			mu.Lock()
			if running[i.ID] {
				t.Errorf("two versions of %s at once", i.ID)
			}
			running[i.ID] = true
			most = max(most, len(running))
			mu.Unlock()
			time.Sleep(700 * time.Millisecond)
			mu.Lock()
			delete(running, i.ID)
			mu.Unlock()
			if i.Attempt == 0 {
				return errAway
			}
			return nil
		})
		l.start(inproc.New(l.emu))
		time.Sleep(time.Second)
		for n := range 50 {
			for i := range 5 {
				l.put(doc{ID: fmt.Sprint(i), Value: fmt.Sprint(n)})
			}
			time.Sleep(100 * time.Millisecond)
		}
		time.Sleep(10 * time.Second)
		l.mu.Lock()
		defer l.mu.Unlock()
		for i := range 5 {
			seen := l.done[fmt.Sprint(i)]
			if len(seen) == 0 || seen[len(seen)-1] != "49" || !slices.IsSortedFunc(seen, func(a, b string) int { return len(a) - len(b) }) {
				t.Errorf("versions of %d: %v", i, seen)
			}
		}
		if most != 5 {
			t.Errorf("%d documents at once, want 5", most)
		}
	})
}

// TestOneAfterTheOther: with one place for each partition key its documents follow
// each other as the feed has them, however long each takes.
func TestOneAfterTheOther(t *testing.T) {
	t.Parallel()
	for _, beside := range []int{1, 8} {
		t.Run(fmt.Sprint(beside), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				l := newLibrary(t, stringKey, 1)
				var mu sync.Mutex
				ended := map[string][]int{}
				l.failing(func(i processor.Item, _ doc) error {
					n, err := strconv.Atoi(i.ID)
					time.Sleep(time.Duration(n*7%5) * 100 * time.Millisecond)
					mu.Lock()
					defer mu.Unlock()
					ended[i.Partition] = append(ended[i.Partition], n)
					return err
				})
				for n := range 60 {
					key := fmt.Sprint("s", n%3)
					l.write(fmt.Sprintf(`[%q]`, key), doc{ID: strconv.Itoa(n), Partition: key, Value: "1"})
				}
				l.start(inproc.New(l.emu), fromBeginning, func(c *processor.Config) { c.LooksBeside = beside })
				time.Sleep(time.Minute)
				mu.Lock()
				defer mu.Unlock()
				sorted := true
				for partition, numbers := range ended {
					if len(numbers) != 20 {
						t.Errorf("%s: %v", partition, numbers)
					}
					sorted = sorted && slices.IsSorted(numbers)
				}
				if len(ended) != 3 || sorted != (beside == 1) {
					t.Errorf("in order: %t, of %d partitions", sorted, len(ended))
				}
			})
		})
	}
}

// TestHopelessChangeIsGivenUp: one document fails for ever, the others do not.
// After GiveUpAfter it is in quarantine, where it can be seen, and holds up no
// position any more.
func TestHopelessChangeIsGivenUp(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := newLibrary(t, stringKey, 1)
		l.failing(func(_ processor.Item, d doc) error {
			if d.Op == "poison" {
				return fmt.Errorf("cannot count %s", d.ID)
			}
			return nil
		})
		first := l.start(inproc.New(l.emu), seldom)
		time.Sleep(time.Second)
		l.put(doc{ID: "bad", Value: "1", Op: "poison"})
		live := func(d time.Duration) {
			for n := 0; d > 0; d -= 3 * time.Second {
				n++
				l.put(doc{ID: "good", Value: fmt.Sprint(n)})
				time.Sleep(3 * time.Second)
			}
		}
		live(29 * time.Minute)
		if q := first.Snapshot().Quarantined; len(q) != 0 {
			t.Fatalf("given up too early: %+v", q)
		}
		held := first.Snapshot().Ranges[0].Continuation
		live(2 * time.Minute)
		q := first.Snapshot().Quarantined
		if len(q) != 1 || q[0].ID != "bad" || q[0].Partition != `["s"]` ||
			!strings.HasPrefix(q[0].Reason, "given up after ") || !strings.HasSuffix(q[0].Reason, ": cannot count bad") {
			t.Fatalf("quarantined: %+v", q)
		}
		if now := first.Snapshot().Ranges[0].Continuation; now == held {
			t.Errorf("the position stays at %s", now)
		}
		tried := l.called("bad")
		if tried < 100 {
			t.Errorf("tried %d times in half an hour", tried)
		}
		first.stop()
		second := l.start(inproc.New(l.emu), seldom)
		live(time.Minute)
		if l.called("bad") != tried || len(second.Snapshot().Quarantined) != 1 {
			t.Errorf("after the restart: tried %d times more, quarantined %+v", l.called("bad")-tried, second.Snapshot().Quarantined)
		}
		l.failing(nil)
		l.removeRecords() // its record has ended
		live(2 * time.Minute)
		l.mu.Lock()
		if !slices.Equal(l.done["bad"], []string{"1"}) {
			t.Errorf("when its record had ended: %v", l.done["bad"])
		}
		l.mu.Unlock()
		if q := second.Snapshot().Quarantined; len(q) != 0 {
			t.Errorf("still quarantined: %+v", q)
		}
	})
}

// removeRecords removes all quarantine records, as an operator does.
func (l *library) removeRecords() {
	l.t.Helper()
	ctx := context.WithoutCancel(l.t.Context())
	records := processor.NewRecords(l.container(inproc.New(l.emu), "leases"), l.prefix())
	var all []processor.Record
	if err := records.Each(ctx, func(r processor.Record) { all = append(all, r) }); err != nil || len(all) == 0 {
		l.t.Fatalf("records: %v, %v", all, err)
	}
	for _, r := range all {
		if err := records.Remove(ctx, r); err != nil {
			l.t.Fatal(err)
		}
	}
}

// seldom lets long tests read the feed now and then.
func seldom(c *processor.Config) { c.FeedInterval = 5 * time.Second }

// TestOutageIsNoDocumentsFault: while everything fails nothing is given up, and
// afterwards everything is handled.
func TestOutageIsNoDocumentsFault(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := newLibrary(t, stringKey, 2)
		r := l.start(inproc.New(l.emu), seldom, func(c *processor.Config) { c.GiveUpAfter = 2 * time.Minute })
		time.Sleep(time.Second)
		want := map[string][]string{}
		l.put(doc{ID: "before", Value: "1"})
		time.Sleep(10 * time.Second)
		l.failing(func(processor.Item, doc) error { return errAway })
		want["before"] = []string{"1"}
		for n := range 30 {
			id := fmt.Sprint("o", n)
			l.write(fmt.Sprintf(`["s%d"]`, n%7), doc{ID: id, Partition: fmt.Sprint("s", n%7), Value: "1"})
			want[id] = []string{"1"}
			time.Sleep(20 * time.Second)
		}
		if q := r.Snapshot().Quarantined; len(q) != 0 {
			t.Errorf("quarantined in an outage: %d", len(q))
		}
		l.failing(nil)
		time.Sleep(30 * time.Second)
		l.wantDone(want)
	})
}

// TestGivenUpAtOnce: what panics, and what the function gives up.
func TestGivenUpAtOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := newLibrary(t, stringKey, 1)
		l.failing(func(_ processor.Item, d doc) error {
			switch d.Op {
			case "panic":
				panic("a bug")
			case "give up":
				return fmt.Errorf("count: %w", processor.GiveUp(errors.New("no number")))
			}
			return nil
		})
		r := l.start(inproc.New(l.emu))
		time.Sleep(time.Second)
		for _, op := range []string{"panic", "give up", ""} {
			l.put(doc{ID: "do " + op, Op: op, Value: "1"})
		}
		time.Sleep(5 * time.Second)
		reasons := map[string]string{}
		for _, q := range r.Snapshot().Quarantined {
			reasons[q.ID] = q.Reason
		}
		if want := map[string]string{"do panic": "handler panicked: a bug", "do give up": "handler gave up: no number"}; !maps.Equal(reasons, want) {
			t.Errorf("quarantined: %v", reasons)
		}
		if n := l.called("do panic") + l.called("do give up"); n != 2 {
			t.Errorf("%d calls, want one each", n)
		}
		l.wantDone(map[string][]string{"do ": {"1"}})
		l.put(doc{ID: "do panic", Value: "2"}) // mended
		time.Sleep(time.Second)
		l.wantDone(map[string][]string{"do ": {"1"}, "do panic": {"2"}})
		if q := r.Snapshot().Quarantined; len(q) != 1 {
			t.Errorf("quarantined: %+v", q)
		}
	})
}

// TestReaderPausesForWhatFails: what waits and what fails together are bounded.
func TestReaderPausesForWhatFails(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := newLibrary(t, stringKey, 1)
		l.failing(func(processor.Item, doc) error { return errAway })
		l.start(inproc.New(l.emu), func(c *processor.Config) { c.Waiting = 10 })
		time.Sleep(time.Second)
		want := map[string][]string{}
		for n := range 100 {
			id := fmt.Sprint("o", n)
			l.put(doc{ID: id, Value: "1"})
			want[id] = []string{"1"}
		}
		time.Sleep(10 * time.Minute)
		l.mu.Lock()
		if n := len(l.calls); n != 10 {
			t.Errorf("%d documents were tried, want 10", n)
		}
		l.mu.Unlock()
		l.failing(nil)
		time.Sleep(time.Minute)
		l.wantDone(want)
	})
}

// TestEachKilledAtEveryRequest kills a processor at each of its requests in turn,
// before or after the request was applied, while its function fails twice for
// every document: the next process brings all of them to an end.
func TestEachKilledAtEveryRequest(t *testing.T) {
	t.Parallel()
	for _, applied := range []bool{false, true} {
		t.Run(fmt.Sprintf("applied=%v", applied), func(t *testing.T) {
			t.Parallel()
			// Every other request before it is applied, the rest after: each takes a while.
			first := int64(1)
			if applied {
				first = 2
			}
			for n := first; n <= 60; n += 2 {
				t.Run(fmt.Sprint(n), func(t *testing.T) {
					synctest.Test(t, func(t *testing.T) { eachKilledAt(t, n, applied) })
				})
			}
		})
	}
}

func eachKilledAt(t *testing.T, n int64, applied bool) {
	l := newLibrary(t, stringKey, 2)
	twice := func(i processor.Item, _ doc) error {
		if i.Attempt < 2 {
			return errAway
		}
		return nil
	}
	var requests atomic.Int64
	l.failing(func(i processor.Item, d doc) error {
		if requests.Load() >= n {
			return errDead
		}
		return twice(i, d)
	})
	victim := &faulty{next: inproc.New(l.emu), before: func(*http.Request) error {
		if at := requests.Add(1); at > n || at == n && !applied {
			return errDead
		}
		return nil
	}, after: func(*http.Request) error {
		if requests.Load() >= n {
			return errDead
		}
		return nil
	}}
	first := l.start(victim, fromBeginning)
	want := map[string][]string{}
	for i := range 12 {
		id := fmt.Sprint("o", i)
		l.write(fmt.Sprintf(`["s%d"]`, i%5), doc{ID: id, Partition: fmt.Sprint("s", i%5), Value: "1"})
		want[id] = []string{"1"}
		time.Sleep(300 * time.Millisecond)
	}
	time.Sleep(4 * time.Second)
	first.stop()
	l.failing(twice)
	l.start(inproc.New(l.emu), fromBeginning)
	time.Sleep(25 * time.Second) // a lease that was not given back expires after 10
	l.wantDone(want)
}

// TestLostLeaseEndsTheCall: a replica whose requests hang loses its lease in the
// middle of a call. The call is told so, and the next owner makes it anew.
func TestLostLeaseEndsTheCall(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := newLibrary(t, stringKey, 1)
		told := make(chan error, 1)
		l.hang = func(ctx context.Context, i processor.Item) error {
			if i.ID != "slow" || l.called("slow") > 1 {
				return nil
			}
			if err := i.Trusted(); err != nil {
				t.Errorf("not trusted from the start: %v", err)
			}
			<-ctx.Done()
			if err := i.Trusted(); !errors.Is(err, leases.ErrLost) {
				t.Errorf("trusted after the loss: %v", err)
			}
			told <- context.Cause(ctx)
			return ctx.Err()
		}
		var frozen atomic.Bool
		first := l.deps(&faulty{next: inproc.New(l.emu), before: func(req *http.Request) error {
			if frozen.Load() {
				<-req.Context().Done()
				return req.Context().Err()
			}
			return nil
		}})
		l.startWith(first)
		time.Sleep(time.Second)
		l.put(doc{ID: "slow", Value: "1"})
		l.put(doc{ID: "quick", Value: "1"})
		time.Sleep(time.Second)
		frozen.Store(true)
		second := l.deps(inproc.New(l.emu))
		second.Instance = "second"
		l.startWith(second)
		time.Sleep(20 * time.Second)
		select {
		case err := <-told:
			if !errors.Is(err, leases.ErrLost) {
				t.Errorf("the call ended with %v", err)
			}
		default:
			t.Error("the call goes on")
		}
		l.wantDone(map[string][]string{"slow": {"1"}, "quick": {"1"}})
		if n := l.called("quick"); n > 2 {
			t.Errorf("%d calls for the other document", n)
		}
	})
}

// TestEachInAStorm: half of all requests are refused, the function fails now and
// then, and the processor starts anew every half minute; nothing is lost.
func TestEachInAStorm(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := newLibrary(t, stringKey, 3)
		l.failing(func(i processor.Item, _ doc) error {
			if (len(i.ID)+i.Attempt)%3 != 0 {
				return errAway
			}
			return nil
		})
		var n atomic.Int64
		storm := &faulty{next: inproc.New(l.emu), before: func(*http.Request) error {
			if at := n.Add(1); at > 20 && at*7%10 < 5 {
				return errors.New("connection reset")
			}
			return nil
		}}
		storm429 := fault.Rule[cosmosemu.Effect]{Name: "storm", Match: fault.Match{"kind": "feed|read|replace|create|crossquery|ranges"},
			When: fault.When{Probability: 0.4}}
		storm429.Effect.Status, storm429.Effect.Substatus = http.StatusTooManyRequests, 3200
		if err := l.emu.Faults().Add(storm429); err != nil {
			t.Fatal(err)
		}
		want := map[string][]string{}
		for round := range 6 {
			r := l.start(storm, fromBeginning)
			for i := range 30 {
				id := fmt.Sprint(strings.Repeat("o", i%4), round, "-", i)
				key := fmt.Sprint("s", i%11)
				l.write(fmt.Sprintf(`[%q]`, key), doc{ID: id, Partition: key, Value: "1"})
				want[id] = []string{"1"}
				time.Sleep(time.Second)
			}
			r.stop()
		}
		l.emu.Faults().Clear()
		l.start(inproc.New(l.emu), fromBeginning)
		time.Sleep(2 * time.Minute)
		l.wantDone(want)
	})
}

// TestWithoutAProcessor: a function for Each can be tried by itself.
func TestWithoutAProcessor(t *testing.T) {
	t.Parallel()
	if err := (processor.Item{ID: "a"}).Trusted(); err != nil {
		t.Errorf("trusted: %v", err)
	}
	if err := processor.GiveUp(nil); err != nil {
		t.Errorf("giving nothing up: %v", err)
	}
}
