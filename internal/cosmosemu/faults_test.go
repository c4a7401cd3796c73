package cosmosemu_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/data/azcosmos"

	"opfeed/internal/cosmosemu"
	"opfeed/internal/fault"
	"opfeed/internal/inproc"
)

func read(t *testing.T, response *http.Response) string {
	t.Helper()
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}

// reader follows the change feed.
type reader struct {
	*rig
	position azcosmos.ChangeFeedOptions
}

// next is what comes, and the position after it.
func (f *reader) next() string {
	f.Helper()
	page := f.feed(f.position)
	f.position = azcosmos.ChangeFeedOptions{Continuation: &page.ContinuationToken}
	return strings.Join(append(f.ids(page), "@"+strings.Trim(string(page.ETag), `"`)), " ")
}

func (f *reader) expect(want ...string) {
	f.Helper()
	for _, page := range want {
		if have := f.next(); have != page {
			f.Errorf("the feed has %q, want %q", have, page)
		}
	}
}

const feedRule = "feed"

// distorted is a reader of a feed that lies, of two items.
func distorted(t *testing.T, e cosmosemu.Effect) *reader {
	t.Helper()
	r := newRig(t)
	r.create("p", `{"id":"a","pk":"p"}`)
	r.create("p", `{"id":"b","pk":"p"}`)
	r.fault(cosmosemu.Fault{Name: feedRule, Match: fault.Match{"kind": "feed"}, Effect: e})
	return &reader{rig: r}
}

func TestFeedSilent(t *testing.T) {
	f := distorted(t, cosmosemu.Effect{Feed: cosmosemu.FeedSilent})
	f.expect("@0", "@0")
	f.server.Faults().Clear()
	f.expect("a b @2", "@2")
}

func TestFeedSkip(t *testing.T) {
	f := distorted(t, cosmosemu.Effect{Feed: cosmosemu.FeedSkip})
	f.position.MaxItemCount = 1 // more is lost than a page
	f.expect("@2")
	f.server.Faults().Clear()
	f.create("p", `{"id":"c","pk":"p"}`)
	f.expect("c @3")
}

func TestFeedRepeat(t *testing.T) {
	f := distorted(t, cosmosemu.Effect{Feed: cosmosemu.FeedRepeat})
	f.expect("a b @0", "a b @0")
	f.server.Faults().Clear()
	f.expect("a b @2", "@2")
}

// Who starts at a time keeps it, though the position that a silent feed gives is
// not a time.
func TestFeedSilentFromATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := distorted(t, cosmosemu.Effect{Feed: cosmosemu.FeedSilent})
		since := time.Now()
		f.position.StartFrom = &since
		time.Sleep(time.Minute)
		f.expect("@2")
		f.create("p", `{"id":"c","pk":"p"}`)
		f.position = azcosmos.ChangeFeedOptions{StartFrom: &since}
		f.expect("@2")
		f.server.Faults().Clear()
		f.expect("c @3")
	})
}

func TestFeedDelay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := distorted(t, cosmosemu.Effect{FeedDelay: fault.Duration(5 * time.Second)})
		f.expect("@0")
		time.Sleep(3 * time.Second)
		f.create("p", `{"id":"c","pk":"p"}`)
		time.Sleep(2*time.Second - 1)
		f.expect("@0")
		time.Sleep(time.Nanosecond)
		f.expect("a b @2", "@2")
		time.Sleep(3*time.Second - 1)
		f.upsert("a") // hides an older version that was seen, and itself for a while
		f.expect("@2")
		time.Sleep(time.Nanosecond)
		f.expect("c @3", "@3")
		time.Sleep(5*time.Second - 2)
		f.expect("@3")
		time.Sleep(time.Nanosecond)
		f.expect("a @4")
		// The clock of the account has no part in it.
		f.upsert("b")
		if err := f.server.AdvanceClock(time.Minute); err != nil {
			t.Fatal(err)
		}
		f.expect("@4")
	})
}

// After a merge, changes of one LSN may be of different times: the feed shows
// all of them at once, or it would lose the younger ones.
func TestFeedDelayAfterAMerge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRigWith(t, cosmosemu.Options{}, cosmosemu.Container{ID: "items", PartitionKey: "/pk", Ranges: 2})
		f := &reader{rig: r}
		r.create("p", `{"id":"left","pk":"p"}`)
		time.Sleep(3 * time.Second)
		r.create("a", `{"id":"right","pk":"a"}`)
		if _, err := r.server.Merge("db", "items", "0", "1"); err != nil {
			t.Fatal(err)
		}
		r.fault(cosmosemu.Fault{Name: "it", Effect: cosmosemu.Effect{FeedDelay: fault.Duration(5 * time.Second)}})
		f.expect("@0")
		time.Sleep(3 * time.Second)
		f.expect("@0")
		time.Sleep(2 * time.Second)
		f.expect("left right @1", "@2")
	})
}

func (r *rig) upsert(id string) azcosmos.ItemResponse {
	r.Helper()
	response, err := r.items.UpsertItem(r.Context(), pk("p"), fmt.Appendf(nil, `{"id":%q,"pk":"p"}`, id), withBody)
	if err != nil {
		r.Fatalf("upsert %s: %v", id, err)
	}
	return response
}

// A conditional write loses against somebody else's that comes right before, and
// wins when it is tried again.
func TestTouch(t *testing.T) {
	r := newRig(t)
	old := r.create("p", `{"id":"a","pk":"p","n":1,"ttl":7}`)
	r.fault(cosmosemu.Fault{
		Name: "it", Match: fault.Match{"kind": "replace", "id": "a"}, When: fault.When{After: 1, Times: 1},
		Effect: cosmosemu.Effect{Touch: true},
	})
	etag := old.ETag
	replace := func() error {
		response, err := r.items.ReplaceItem(t.Context(), pk("p"), "a", []byte(`{"id":"a","pk":"p","n":2}`), &azcosmos.ItemOptions{IfMatchEtag: &etag})
		if err == nil {
			etag = response.ETag
		}
		return err
	}
	if err := replace(); err != nil {
		t.Fatal(err)
	}
	before := r.read("p", "a")
	r.refused(replace(), http.StatusPreconditionFailed, "0")
	after := r.read("p", "a")
	if after["_etag"] == before["_etag"] || after["n"] != before["n"] || after["ttl"] != before["ttl"] || r.feedPosition() != 3 {
		t.Errorf("have %v after %v, at %d", after, before, r.feedPosition())
	}
	etag = azcore.ETag(after["_etag"].(string))
	if err := replace(); err != nil {
		t.Error(err)
	}
	// Whoever asks for no version does not notice.
	r.fault(cosmosemu.Fault{Name: "it", Match: fault.Match{"kind": "upsert"}, Effect: cosmosemu.Effect{Touch: true}})
	r.upsert("a")
	r.upsert("new")
	if have := r.feedPosition(); have != 4+2+1 {
		t.Errorf("the feed is at %d", have)
	}
}

// In a batch, only what is conditional is touched, what is not there stays so.
func TestTouchBatch(t *testing.T) {
	r := newRig(t)
	a, b := r.create("p", `{"id":"a","pk":"p"}`), r.create("p", `{"id":"b","pk":"p"}`)
	r.fault(cosmosemu.Fault{Name: "it", Match: fault.Match{"kind": "batch", "id": "*a*"}, When: fault.When{Times: 1}, Effect: cosmosemu.Effect{Touch: true}})
	run := func(etag string) azcosmos.TransactionalBatchResponse {
		return r.batch(func(batch *azcosmos.TransactionalBatch) {
			tag := azcore.ETag(etag)
			batch.UpsertItem([]byte(`{"id":"b","pk":"p"}`), nil)
			batch.CreateItem([]byte(`{"id":"c","pk":"p"}`), nil)
			batch.ReplaceItem("a", []byte(`{"id":"a","pk":"p"}`), &azcosmos.TransactionalBatchItemOptions{IfMatchETag: &tag})
		}, nil)
	}
	r.statuses(run(string(a.ETag)), 424, 424, 412)
	now := r.read("p", "a")["_etag"].(string)
	if now == string(a.ETag) || r.read("p", "b")["_etag"] != string(b.ETag) || r.feedPosition() != 3 {
		t.Errorf("a is %s, was %s; b is %v, was %s", now, a.ETag, r.read("p", "b")["_etag"], b.ETag)
	}
	r.statuses(run(now), 200, 201, 200)
}

// A lock that lives for 10 s is gone after a jump of 10 s, whose clock is in the
// Date header and in _ts; signatures are still good.
func TestClockJump(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.create("p", `{"id":"lock","pk":"p","ttl":10}`)
		r.fault(cosmosemu.Fault{
			Name: "it", Match: fault.Match{"id": "lock"}, When: fault.When{After: 1, Times: 1},
			Effect: cosmosemu.Effect{ClockJump: fault.Duration(10 * time.Second)},
		})
		ts := r.read("p", "lock")["_ts"].(float64)
		_, err := r.items.ReadItem(t.Context(), pk("p"), "lock", nil)
		r.refused(err, http.StatusNotFound, "0")
		if err := r.server.AdvanceClock(time.Hour); err != nil {
			t.Fatal(err)
		}
		r.create("p", `{"id":"lock","pk":"p"}`)
		if now := r.read("p", "lock")["_ts"].(float64); now != ts+3610 {
			t.Errorf("_ts went from %v to %v", ts, now)
		}
		if have, want := r.transport.last.Header.Get("Date"), time.Now().Add(3610*time.Second).UTC().Format(http.TimeFormat); have != want {
			t.Errorf("the date is %s, want %s", have, want)
		}
		if err := r.server.AdvanceClock(1000 * time.Hour); err != nil {
			t.Fatal(err)
		}
		if got := r.raw(http.MethodGet, "/dbs/db", ""); got.StatusCode != http.StatusOK { // with a token
			t.Errorf("have %d", got.StatusCode)
		}
		if err := r.server.AdvanceClock(-1); err == nil {
			t.Error("the clock goes back")
		}
	})
}

// What a query or the condition of a patch takes for the time is the account's, as
// _ts is, so that the two can be compared.
func TestClockOfQueries(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		if err := r.server.AdvanceClock(time.Hour); err != nil {
			t.Fatal(err)
		}
		r.create("p", `{"id":"a","pk":"p"}`)
		const fresh = "FROM c WHERE c._ts * 1000 = GetCurrentTimestamp()"
		if rows, _, err := r.query("SELECT VALUE c.id "+fresh, pk("p"), nil); err != nil || len(rows) != 1 {
			t.Errorf("have %v, %v", rows, err)
		}
		var ops azcosmos.PatchOperations
		ops.SetCondition(fresh)
		ops.AppendSet("/n", 1)
		if _, err := r.items.PatchItem(t.Context(), pk("p"), "a", ops, nil); err != nil {
			t.Error(err)
		}
		r.statuses(r.batch(func(batch *azcosmos.TransactionalBatch) { batch.PatchItem("a", ops, nil) }, nil), 200)
	})
}

// The clock stops in time for times to be computed with.
func TestClockEnds(t *testing.T) {
	r := newRig(t)
	for range 5 {
		if err := r.server.AdvanceClock(1<<63 - 1); err != nil {
			t.Fatal(err)
		}
	}
	r.create("p", `{"id":"a","pk":"p"}`)
	if year := time.Unix(int64(r.read("p", "a")["_ts"].(float64)), 0).Year(); year < 2100 || year > 2200 {
		t.Errorf("the year is %d", year)
	}
}

// A request that waits is applied when its time has come, not as of before.
func TestDelayedWrite(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.fault(cosmosemu.Fault{
			Name: "it", Match: fault.Match{"kind": "create"}, Effect: cosmosemu.Effect{Effect: fault.Effect{Before: fault.Duration(time.Minute)}},
		})
		start := time.Now()
		created := r.create("p", `{"id":"a","pk":"p"}`)
		if ts := r.object(created.Value)["_ts"].(float64); int64(ts) != time.Now().Unix() || time.Since(start) < time.Minute {
			t.Errorf("_ts is %v after %v", ts, time.Since(start))
		}
	})
}

// A reply may be lost though the write was done.
func TestLostReply(t *testing.T) {
	for _, how := range []fault.Reply{fault.Reset, fault.Hang} {
		t.Run(string(how), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t)
				e := replying(how)
				e.Applied = true
				r.fault(cosmosemu.Fault{Name: "it", Match: fault.Match{"method": "POST"}, Effect: e})
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				defer cancel()
				_, err := r.items.CreateItem(ctx, pk("p"), []byte(`{"id":"a","pk":"p"}`), nil)
				if want := map[fault.Reply]error{fault.Reset: inproc.ErrReset, fault.Hang: context.DeadlineExceeded}[how]; !errors.Is(err, want) {
					t.Errorf("have error %v, want %v", err, want)
				}
				r.read("p", "a")
				kept, _ := r.server.Requests()
				if lost := kept[len(kept)-2]; lost.Kind != "create" || lost.Status != 0 || lost.RequestUnits <= 0 || lost.Faults[0] != "it" {
					t.Errorf("the log has %+v", lost)
				}
			})
		})
	}
}

// The range of a request is split right before it: by name it is gone, or being
// split as long as that is held; by key the request finds its new owner.
func TestSplitOnHit(t *testing.T) {
	for _, c := range []struct {
		name  string
		hold  time.Duration
		first string // status and substatus of a feed read by name
		then  string
		count int
	}{
		{"at once", 0, "410/1002", "410/1002", 2},
		{"held", time.Minute, "410/1007", "410/1002", 2},
		{"until released", -1, "410/1007", "410/1007", 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t)
				r.create("p", `{"id":"a","pk":"p"}`)
				r.fault(cosmosemu.Fault{
					Name: "it", Match: fault.Match{"range": "0", "kind": "read|feed"}, When: fault.When{Times: 1},
					Effect: cosmosemu.Effect{Split: true, Hold: fault.Duration(c.hold)},
				})
				feed := func() string {
					got := r.raw(http.MethodGet, "/dbs/db/colls/items/docs", "", "A-IM", "Incremental Feed", "x-ms-documentdb-partitionkeyrangeid", "0")
					return fmt.Sprintf("%d/%s", got.StatusCode, got.Header.Get("x-ms-substatus"))
				}
				if have := feed(); have != c.first {
					t.Errorf("have %s, want %s", have, c.first)
				}
				time.Sleep(time.Minute)
				r.read("p", "a")
				if have := feed(); have != c.then || len(r.server.Partitions()) != c.count {
					t.Errorf("then have %s of %d ranges, want %s of %d", have, len(r.server.Partitions()), c.then, c.count)
				}
			})
		})
	}
}

// The hold of a split is by the account's clock.
func TestSplitHeldByTheClock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		advance := func(d time.Duration, want int) {
			t.Helper()
			if err := r.server.AdvanceClock(d); err != nil {
				t.Fatal(err)
			}
			if have := len(r.server.Partitions()); have != want {
				t.Errorf("have %d ranges, want %d", have, want)
			}
		}
		advance(time.Hour, 1)
		if _, err := r.server.Split("db", "items", "0", cosmosemu.SplitOptions{Hold: time.Minute}); err != nil {
			t.Fatal(err)
		}
		advance(time.Minute-1, 1)
		advance(1, 2)
	})
}

func TestSplitByKey(t *testing.T) {
	r := newRig(t)
	r.create("p", `{"id":"a","pk":"p"}`)
	r.fault(cosmosemu.Fault{Name: "it", Match: fault.Match{"range": "0"}, Effect: cosmosemu.Effect{Split: true}})
	r.read("p", "a")
	r.upsert("a")
	if have := len(r.server.Partitions()); have != 2 {
		t.Errorf("have %d ranges", have)
	}
}

// Every attribute has the value that is documented: a rule with just that hits.
func TestFaultAttributes(t *testing.T) {
	const docs, key = "/dbs/db/colls/items/docs", "x-ms-documentdb-partitionkey"
	of := func(kind, method, rangeID, key, id string) map[string]string {
		return map[string]string{
			"kind": kind, "method": method, "range": rangeID, "key": key, "id": id,
			"agent": "agent", "database": "db", "container": "items",
		}
	}
	for name, c := range map[string]struct {
		method, path, body string
		headers            []string
		want               map[string]string
	}{
		"account":   {"GET", "/", "", nil, map[string]string{"kind": "account", "database": "", "container": "", "range": "", "id": "", "agent": "agent"}},
		"database":  {"GET", "/dbs/db", "", nil, map[string]string{"kind": "database", "database": "db", "container": ""}},
		"databases": {"GET", "/dbs", "", nil, map[string]string{"kind": "database", "database": ""}},
		"container": {"GET", "/dbs/db/colls/items", "", nil, of("container", "GET", "", "", "")},
		"offers":    {"GET", "/offers", "", nil, map[string]string{"kind": "offers", "database": ""}},
		"ranges":    {"GET", "/dbs/db/colls/items/pkranges", "", nil, of("ranges", "GET", "", "", "")},
		"read":      {"GET", docs + "/a%2Fb", "", []string{key, `["p"]`}, of("read", "GET", "0", `["p"]`, "a/b")},
		"create":    {"POST", docs, `{"pk":"p","id":"c"}`, []string{key, `["p"]`}, of("create", "POST", "0", `["p"]`, "c")},
		"upsert":    {"POST", docs, `{"pk":"p","id":"c"}`, []string{key, `["p"]`, "x-ms-documentdb-is-upsert", "true"}, of("upsert", "POST", "0", `["p"]`, "c")},
		"delete":    {"DELETE", docs + "/a", "", []string{key, `["a"]`}, of("delete", "DELETE", "1", `["a"]`, "a")},
		"batch": {
			"POST", docs, `[{"operationType":"Create","resourceBody":{"id":"c","pk":"p"}},{"operationType":"Read","id":"a"}]`,
			[]string{key, `["p"]`, "x-ms-cosmos-is-batch-request", "true", "x-ms-cosmos-batch-atomic", "true"}, of("batch", "POST", "0", `["p"]`, "c,a"),
		},
		"no batch":     {"POST", docs, `{`, []string{key, `["p"]`, "x-ms-cosmos-is-batch-request", "true"}, of("batch", "POST", "0", `["p"]`, "")},
		"feed":         {"GET", docs, "", []string{"A-IM", "Incremental Feed", "x-ms-documentdb-partitionkeyrangeid", "abc=,1"}, of("feed", "GET", "1", "", "")},
		"gone":         {"GET", docs, "", []string{"A-IM", "Incremental Feed", "x-ms-documentdb-partitionkeyrangeid", "7"}, of("feed", "GET", "7", "", "")},
		"list":         {"GET", docs, "", nil, of("crossquery", "GET", "", "", "")},
		"no key":       {"GET", docs, "", []string{key, `["p`}, of("query", "GET", "", `["p`, "")},
		"no container": {"GET", "/dbs/db/colls/none/docs/a", "", []string{key, `["p"]`}, map[string]string{"container": "none", "range": "", "id": "a"}},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRigWith(t, cosmosemu.Options{}, cosmosemu.Container{ID: "items", PartitionKey: "/pk", Ranges: 2})
			for attribute, value := range c.want {
				r.fault(cosmosemu.Fault{Name: attribute, Match: fault.Match{attribute: value}})
			}
			r.raw(c.method, c.path, c.body, append([]string{"User-Agent", "agent/1.0"}, c.headers...)...)
			for _, f := range r.server.Faults().Reports() {
				if f.Hits != 1 {
					t.Errorf("%s is not %q", f.Name, c.want[f.Name])
				}
			}
		})
	}
}

func TestFaultRefusals(t *testing.T) {
	s := cosmosemu.New(cosmosemu.Options{})
	for want, e := range map[string]cosmosemu.Effect{
		`feed is "loud"`:           {Feed: "loud"},
		"substatus needs a status": {Substatus: 1002},
		"hold needs split":         {Hold: 1},
		"cannot be negative":       {ClockJump: -1},
		"at most an hour":          {Stale: fault.Duration(2 * time.Hour)},
	} {
		if err := s.Faults().Add(cosmosemu.Fault{Name: "it", Effect: e}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("have %v, want %q", err, want)
		}
	}
	if len(s.Faults().Reports()) != 0 {
		t.Errorf("have %v", s.Faults().Reports())
	}
}

// Several rules may hit one request.
func TestFaultsTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		wait := fault.Effect{Before: fault.Duration(time.Second)}
		r.fault(cosmosemu.Fault{Name: "one", Effect: cosmosemu.Effect{Effect: wait, ClockJump: fault.Duration(time.Minute)}})
		r.fault(cosmosemu.Fault{Name: "two", Effect: cosmosemu.Effect{Effect: wait, ClockJump: fault.Duration(time.Minute)}})
		r.fault(cosmosemu.Fault{Name: "three", Effect: refusing(429, 3200)})
		r.fault(cosmosemu.Fault{Name: "four", Effect: refusing(404, 1002)})
		start := time.Now()
		got := r.raw(http.MethodGet, "/", "")
		date, err := http.ParseTime(got.Header.Get("Date"))
		if err != nil {
			t.Fatal(err)
		}
		if got.StatusCode != 429 || got.Header.Get("x-ms-substatus") != "3200" || time.Since(start) != 2*time.Second || time.Until(date) != 2*time.Minute {
			t.Errorf("have %d/%s after %v at %v", got.StatusCode, got.Header.Get("x-ms-substatus"), time.Since(start), date)
		}
		if kept, _ := r.server.Requests(); strings.Join(kept[0].Faults, " ") != "one two three four" {
			t.Errorf("the log has %+v", kept)
		}
		if !r.server.Faults().Remove("three") || r.server.Faults().Remove("three") {
			t.Error("a rule was not removed, or twice")
		}
	})
}
