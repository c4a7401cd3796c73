package cosmosemu_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/data/azcosmos"

	"opfeed/internal/cosmosemu"
	"opfeed/internal/epk"
)

// newRigOf has a container that starts with so many ranges.
func newRigOf(t *testing.T, ranges int) *rig {
	t.Helper()
	ttl := int32(-1)
	return newRigWith(t, cosmosemu.Options{}, cosmosemu.Container{ID: "items", PartitionKey: "/pk", DefaultTTL: &ttl, Ranges: ranges})
}

func (r *rig) split(id string, o cosmosemu.SplitOptions) []string {
	r.Helper()
	children, err := r.server.Split("db", "items", id, o)
	if err != nil {
		r.Fatal(err)
	}
	return children
}

func (r *rig) merge(left, right string) string {
	r.Helper()
	id, err := r.server.Merge("db", "items", left, right)
	if err != nil {
		r.Fatal(err)
	}
	return id
}

// pkRange is a range as pkranges shows it.
type pkRange struct {
	ID      string   `json:"id"`
	Min     string   `json:"minInclusive"`
	Max     string   `json:"maxExclusive"`
	Parents []string `json:"parents"`
}

// ranges reads pkranges, which must cover the key space once.
func (r *rig) ranges() []pkRange {
	r.Helper()
	response := r.raw(http.MethodGet, "/dbs/db/colls/items/pkranges", "")
	var list struct {
		Ranges []pkRange `json:"PartitionKeyRanges"`
	}
	if err := json.NewDecoder(response.Body).Decode(&list); err != nil {
		r.Fatal(err)
	}
	end := ""
	for _, one := range list.Ranges {
		if one.Min != end {
			r.Fatalf("the ranges have a gap: %+v", list.Ranges)
		}
		end = one.Max
	}
	if end != "FF" {
		r.Fatalf("the ranges do not end with FF: %+v", list.Ranges)
	}
	return list.Ranges
}

// keysIn returns partition keys of a range.
func keysIn(low, high string, n int) []string {
	var keys []string
	for i := 0; len(keys) < n; i++ {
		if key := "key-" + strconv.Itoa(i); epk.Contains(low, high, epk.Of(key)) {
			keys = append(keys, key)
		}
	}
	return keys
}

// high is a partition key in the last quarter of the key space.
var high = keysIn("30", "FF", 1)[0]

// rawFeed reads the feed by range id.
func (r *rig) rawFeed(id, etag string, headers ...string) *http.Response {
	r.Helper()
	headers = append([]string{"A-IM", "Incremental Feed", "x-ms-documentdb-partitionkeyrangeid", id, "If-None-Match", etag}, headers...)
	return r.raw(http.MethodGet, "/dbs/db/colls/items/docs", "", headers...)
}

// documents returns the items of an answer, and their ids.
func (r *rig) documents(response *http.Response) (items []map[string]any, ids []string) {
	r.Helper()
	ids = []string{}
	if response.StatusCode == http.StatusNotModified {
		return nil, ids
	}
	var page struct{ Documents []map[string]any }
	if err := json.NewDecoder(response.Body).Decode(&page); err != nil {
		r.Fatal(err)
	}
	for _, item := range page.Documents {
		ids = append(ids, item["id"].(string))
	}
	return page.Documents, ids
}

func (r *rig) status(response *http.Response, status int, substatus string) {
	r.Helper()
	if got := response.Header.Get("x-ms-substatus"); response.StatusCode != status || got != substatus {
		r.Errorf("got %d/%s, want %d/%s", response.StatusCode, got, status, substatus)
	}
}

func TestRanges(t *testing.T) {
	r := newRigOf(t, 3)
	bounds := func() string {
		var text []string
		for _, one := range r.ranges() {
			text = append(text, fmt.Sprintf("%s=[%s,%s)%v", one.ID, one.Min, one.Max, one.Parents))
		}
		return strings.Join(text, " ")
	}
	etag := r.raw(http.MethodGet, "/dbs/db/colls/items/pkranges", "").Header.Get("etag")
	if got, want := bounds(), "0=[,1555555555555555)[] 1=[1555555555555555,2AAAAAAAAAAAAAAA)[] 2=[2AAAAAAAAAAAAAAA,FF)[]"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if got := r.split("2", cosmosemu.SplitOptions{At: "30"}); !slices.Equal(got, []string{"3", "4"}) {
		t.Errorf("children %v", got)
	}
	r.status(r.raw(http.MethodGet, "/dbs/db/colls/items/pkranges", "", "If-None-Match", etag), http.StatusOK, "")
	if got := r.split("0", cosmosemu.SplitOptions{}); !slices.Equal(got, []string{"5", "6"}) {
		t.Errorf("children %v", got)
	}
	r.merge("1", "3")
	r.merge("5", "6")
	want := "8=[,1555555555555555)[0 5 6] 7=[1555555555555555,30)[1 2 3] 4=[30,FF)[2]"
	if got := bounds(); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	r.split("4", cosmosemu.SplitOptions{}) // between 30 and 40, where keys end
	if got := bounds(); !strings.HasSuffix(got, "9=[30,38)[2 4] 10=[38,FF)[2 4]") {
		t.Errorf("got %s", got)
	}
}

func TestSplitRefusals(t *testing.T) {
	r := newRigOf(t, 3)
	r.split("1", cosmosemu.SplitOptions{Hold: -1})
	for name, o := range map[string]cosmosemu.SplitOptions{
		"before": {At: "00"}, "its end": {At: "1555555555555555"}, "after": {At: "30"}, "odd": {At: "123"},
		"no key": {At: "xx"}, "lower case": {At: "0a"}, "too long": {At: "01" + strings.Repeat("0", 32)},
	} {
		if _, err := r.server.Split("db", "items", "0", o); err == nil {
			t.Errorf("split at %s (%s) was done", name, o.At)
		}
	}
	for _, ids := range [][2]string{{"0", "2"}, {"0", "1"}, {"0", "0"}, {"9", "0"}, {"0", "9"}} {
		if _, err := r.server.Merge("db", "items", ids[0], ids[1]); err == nil {
			t.Errorf("ranges %v were merged", ids)
		}
	}
	for name, err := range map[string]error{
		"held range":   second(r.server.Split("db", "items", "1", cosmosemu.SplitOptions{})),
		"no range":     second(r.server.Split("db", "items", "9", cosmosemu.SplitOptions{})),
		"no container": second(r.server.Split("db", "absent", "0", cosmosemu.SplitOptions{})),
		"no database":  second(r.server.Split("absent", "items", "0", cosmosemu.SplitOptions{})),
		"no hold":      r.server.Release("db", "items", "0"),
	} {
		if err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	if len(r.ranges()) != 3 {
		t.Errorf("ranges %v", r.ranges())
	}
}

func second[T any](_ T, err error) error { return err }

// TestThroughputMakesRanges creates containers as clients do.
func TestThroughputMakesRanges(t *testing.T) {
	r := newRig(t)
	database, err := r.client.NewDatabase("db")
	if err != nil {
		t.Fatal(err)
	}
	manual, autoscale := azcosmos.NewManualThroughputProperties, azcosmos.NewAutoscaleThroughputProperties
	for name, test := range map[string]struct {
		throughput azcosmos.ThroughputProperties
		version    int
		ranges     int
	}{
		"least": {manual(400), 2, 1}, "one": {manual(10_000), 2, 1}, "more": {manual(10_100), 2, 2}, "three": {manual(30_000), 2, 3},
		"autoscale": {autoscale(25_000), 2, 3}, "old hash": {manual(30_000), 1, 1},
	} {
		_, err := database.CreateContainer(t.Context(), azcosmos.ContainerProperties{
			ID: name, PartitionKeyDefinition: azcosmos.PartitionKeyDefinition{Paths: []string{"/pk"}, Version: test.version},
		}, &azcosmos.CreateContainerOptions{ThroughputProperties: &test.throughput})
		if err != nil {
			t.Fatal(err)
		}
		container, err := database.NewContainer(name)
		if err != nil {
			t.Fatal(err)
		}
		if ranges, err := container.ReadFeedRanges(t.Context(), nil); err != nil || len(ranges) != test.ranges {
			t.Errorf("%s: %v, %v", name, ranges, err)
		}
	}
	if _, err := r.server.Split("db", "old hash", "0", cosmosemu.SplitOptions{}); err == nil {
		t.Error("a container with version 1 of the hash was split")
	}
	more := manual(2_000_000)
	_, err = database.CreateContainer(t.Context(), azcosmos.ContainerProperties{
		ID: "too much", PartitionKeyDefinition: azcosmos.PartitionKeyDefinition{Paths: []string{"/pk"}},
	}, &azcosmos.CreateContainerOptions{ThroughputProperties: &more})
	r.refused(err, http.StatusBadRequest, "0")
	if err := r.server.Create("db", cosmosemu.Container{ID: "x", PartitionKey: "/pk", Ranges: -1}); err == nil {
		t.Error("a container with -1 ranges was made")
	}
}

// TestSplitKeepsTheFeed follows a split with azcosmos: the whole token delivers
// every write once, and the token that the SDK offers for it loses half.
func TestSplitKeepsTheFeed(t *testing.T) {
	r, ctx := newRig(t), t.Context()
	left, right := keysIn("", "20", 1)[0], keysIn("20", "FF", 1)[0]
	write := func(key, id string) {
		if _, err := r.items.UpsertItem(ctx, pk(key), fmt.Appendf(nil, `{"id":%q,"pk":%q}`, id, key), nil); err != nil {
			t.Fatal(err)
		}
	}
	write(left, "l1")
	write(right, "r1")
	write(left, "l2")
	page := r.feed(azcosmos.ChangeFeedOptions{MaxItemCount: 2})
	if got := r.ids(page); !slices.Equal(got, []string{"l1", "r1"}) {
		t.Fatalf("before: %v", got)
	}
	children := r.split("0", cosmosemu.SplitOptions{})
	write(right, "r2")
	write(left, "l1")

	r.transport.calls, r.transport.ranges = nil, nil
	token := page.ContinuationToken
	page = r.feed(azcosmos.ChangeFeedOptions{Continuation: &token})
	wantCalls := []string{
		"GET /dbs/db/colls/items/docs", "GET /dbs/db/colls/items",
		"GET /dbs/db/colls/items/pkranges", "GET /dbs/db/colls/items/pkranges", "GET /dbs/db/colls/items/docs",
	}
	if !slices.Equal(r.transport.calls, wantCalls) || !slices.Equal(r.transport.ranges, []string{"0", children[0]}) {
		t.Errorf("calls %q, ranges %q", r.transport.calls, r.transport.ranges)
	}
	delivered := r.ids(page)
	whole := page.ContinuationToken
	half, err := page.GetCompositeContinuationToken()
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		page = r.feed(azcosmos.ChangeFeedOptions{Continuation: &whole})
		delivered, whole = append(delivered, r.ids(page)...), page.ContinuationToken
	}
	if want := []string{"l2", "l1", "r2"}; !slices.Equal(delivered, want) {
		t.Errorf("after the split: got %v, want %v", delivered, want)
	}
	write(right, "r3")
	if got := r.ids(r.feed(azcosmos.ChangeFeedOptions{Continuation: &whole})); !slices.Equal(got, []string{"r3"}) {
		t.Errorf("with the whole token: %v", got)
	}
	// The trap: this token names only the range that was read last.
	if got := r.ids(r.feed(azcosmos.ChangeFeedOptions{Continuation: &half})); len(got) != 0 || strings.Contains(half, `"FF"`) {
		t.Errorf("with the half token %s: %v", half, got)
	}
}

// TestPositionsOutliveSplitAndMerge reads with positions of ranges that are
// gone.
func TestPositionsOutliveSplitAndMerge(t *testing.T) {
	r := newRigOf(t, 2)
	left, right := keysIn("", "20", 1)[0], keysIn("20", "FF", 1)[0]
	for i := range 5 {
		r.create(left, fmt.Sprintf(`{"id":"l%d","pk":%q}`, i, left))
	}
	r.create(right, fmt.Sprintf(`{"id":"r0","pk":%q}`, right))
	r.create(right, fmt.Sprintf(`{"id":"r1","pk":%q}`, right))
	merged := r.merge("0", "1")
	r.create(right, fmt.Sprintf(`{"id":"r2","pk":%q}`, right))
	r.create(left, fmt.Sprintf(`{"id":"l5","pk":%q}`, left))
	for _, test := range []struct {
		name, etag string
		low, high  string
		want       string
	}{
		{"left", `"3"`, "", "20", "l3 l4 l5"},
		{"right", `"1"`, "20", "FF", "r1 r2"},
		{"both from the left's", `"3"`, "", "", "l3 l4 r2 l5"},
		{"both from the right's", `"1"`, "", "", "l1 r1 l2 l3 l4 r2 l5"},
		{"beginning", `"0"`, "", "", "l0 r0 l1 r1 l2 l3 l4 r2 l5"},
		{"now", `*`, "", "", ""},
	} {
		_, ids := r.documents(r.rawFeed(merged, test.etag, "x-ms-start-epk", test.low, "x-ms-end-epk", test.high))
		if got := strings.Join(ids, " "); got != test.want {
			t.Errorf("%s: got %q, want %q", test.name, got, test.want)
		}
	}
	response := r.rawFeed(merged, "*")
	if got := response.Header.Get("etag"); got != `"8"` { // 5, then the merge, then two writes
		t.Errorf("the position after the merge is %s", got)
	}
	r.split(merged, cosmosemu.SplitOptions{})
	items, ids := r.documents(r.rawFeed("4", `"1"`))
	if !slices.Equal(ids, []string{"r1", "r2"}) || items[0]["_lsn"] != 2.0 || items[1]["_lsn"] != 7.0 {
		t.Errorf("the right child: %v", items)
	}
	for _, id := range []string{"0", "1", "2"} {
		r.status(r.rawFeed(id, "*"), http.StatusGone, "1002")
	}
}

func TestFeedStartOnChildren(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		left, right := keysIn("", "20", 1)[0], keysIn("20", "FF", 1)[0]
		r.create(left, fmt.Sprintf(`{"id":"l-old","pk":%q}`, left))
		r.create(right, fmt.Sprintf(`{"id":"r-old","pk":%q,"ttl":60}`, right))
		r.create(right, fmt.Sprintf(`{"id":"r-gone","pk":%q}`, right))
		if _, err := r.items.DeleteItem(t.Context(), pk(right), "r-gone", nil); err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		time.Sleep(time.Second)
		r.create(right, fmt.Sprintf(`{"id":"r-new","pk":%q}`, right))
		child := r.split("0", cosmosemu.SplitOptions{})[1]
		since := []string{"If-Modified-Since", start.UTC().Format(http.TimeFormat)}
		if _, ids := r.documents(r.rawFeed(child, "", since...)); !slices.Equal(ids, []string{"r-new"}) {
			t.Errorf("from a time: %v", ids)
		}
		if _, ids := r.documents(r.rawFeed(child, "")); !slices.Equal(ids, []string{"r-old", "r-new"}) {
			t.Errorf("from the beginning: %v", ids)
		}
		now := r.rawFeed(child, "*")
		r.status(now, http.StatusNotModified, "")
		if now.Header.Get("etag") != `"6"` || now.Header.Get("x-ms-session-token") != child+":-1#6" {
			t.Errorf("from now: %v", now.Header)
		}
		time.Sleep(time.Minute)
		if _, ids := r.documents(r.rawFeed(child, "")); !slices.Equal(ids, []string{"r-new"}) {
			t.Errorf("after the time to live: %v", ids)
		}
	})
}

func TestSessionAfterSplit(t *testing.T) {
	r, ctx := newRig(t), t.Context()
	created := r.create(high, `{"id":"a","pk":"`+high+`"}`)
	child := r.split("0", cosmosemu.SplitOptions{})[1]
	read := func(token string) error {
		_, err := r.items.ReadItem(ctx, pk(high), "a", &azcosmos.ItemOptions{SessionToken: &token})
		return err
	}
	if err := read(*created.SessionToken); err != nil {
		t.Errorf("with the parent's token: %v", err)
	}
	if got := r.transport.last.Header.Get("x-ms-session-token"); got != child+":-1#2" {
		t.Errorf("the reply has the token %q", got)
	}
	r.refused(read("0:-1#3"), http.StatusNotFound, "1002")
	merged := r.merge("1", "2")
	for _, token := range []string{"0:-1#3", "1:-1#2", child + ":-1#2,0:-1#1"} {
		if err := read(token); err != nil {
			t.Errorf("with %s after the merge: %v", token, err)
		}
	}
	r.refused(read(child+":-1#4"), http.StatusNotFound, "1002")
	if got := r.transport.last.Header.Get("x-ms-session-token"); got != merged+":-1#3" {
		t.Errorf("the refusal has the token %q", got)
	}
}

// TestHold splits in two steps: by time, and by hand.
func TestHold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, ctx := newRig(t), t.Context()
		r.create(high, `{"id":"a","pk":"`+high+`"}`)
		held := func(id string) {
			t.Helper()
			if ranges := r.ranges(); ranges[len(ranges)-1].ID != id {
				t.Errorf("ranges %v", ranges)
			}
			r.status(r.rawFeed(id, "*"), http.StatusGone, "1007")
			r.status(r.raw(http.MethodGet, "/dbs/db/colls/items/docs", "",
				"x-ms-documentdb-partitionkeyrangeid", id), http.StatusGone, "1007")
			r.status(r.raw(http.MethodPost, "/dbs/db/colls/items/docs", `{"query":"SELECT * FROM c"}`,
				"Content-Type", "application/query+json", "x-ms-documentdb-partitionkeyrangeid", id), http.StatusGone, "1007")
			r.read(high, "a")
			if _, err := r.items.UpsertItem(ctx, pk(high), []byte(`{"id":"b","pk":"`+high+`"}`), nil); err != nil {
				t.Errorf("write while splitting: %v", err)
			}
			for _, key := range []azcosmos.PartitionKey{pk(high), everywhere} {
				if rows, _, err := r.query("SELECT * FROM c", key, nil); err != nil || len(rows) != 2 {
					t.Errorf("query while splitting: %v, %v", rows, err)
				}
			}
			r.status(r.raw(http.MethodGet, "/dbs/db/colls/items/docs", "", "A-IM", "Incremental Feed",
				"x-ms-documentdb-partitionkey", `["`+high+`"]`), http.StatusOK, "")
		}
		if got := r.split("0", cosmosemu.SplitOptions{Hold: 10 * time.Second}); !slices.Equal(got, []string{"1", "2"}) {
			t.Errorf("children %v", got)
		}
		held("0")
		time.Sleep(10*time.Second - time.Nanosecond)
		held("0")
		time.Sleep(time.Nanosecond)
		r.status(r.rawFeed("0", "*"), http.StatusGone, "1002")
		r.status(r.rawFeed("1", "*"), http.StatusNotModified, "")

		r.split("2", cosmosemu.SplitOptions{Hold: -1})
		time.Sleep(time.Minute) // azcosmos does something of its own every 5 minutes
		held("2")
		if err := r.server.Release("db", "items", "2"); err != nil {
			t.Fatal(err)
		}
		r.status(r.rawFeed("2", "*"), http.StatusGone, "1002")
		if _, ids := r.documents(r.rawFeed("4", "")); !slices.Equal(ids, []string{"a", "b"}) {
			t.Errorf("in the child: %v", ids)
		}
		r.read(high, "b")
	})
}

// TestPartsOfARange asks for parts by effective partition keys.
func TestPartsOfARange(t *testing.T) {
	for _, ignore := range []bool{false, true} {
		t.Run(fmt.Sprintf("ignore=%t", ignore), func(t *testing.T) {
			r := newRigWith(t, cosmosemu.Options{IgnoreEPKHeaders: ignore}, cosmosemu.Container{ID: "items", PartitionKey: "/pk", Ranges: 2})
			for i, low := range []string{"00", "10", "20", "30"} {
				key := keysIn(low, low[:1]+"FFF", 1)[0]
				r.create(key, fmt.Sprintf(`{"id":"%d","pk":%q}`, i, key))
			}
			feed, query := []string{"A-IM", "Incremental Feed"}, []string{}
			for _, test := range []struct {
				name           string
				headers        []string
				id, low, high  string
				status, ignore int
				rows           string
			}{
				{"feed of a part", feed, "1", "30", "FF", 200, 200, "3"},
				{"feed of a part without its end", feed, "1", "30", "", 200, 200, "3"},
				{"feed of the whole", feed, "1", "20", "FF", 200, 200, "2 3"},
				{"feed outside the range", feed, "1", "10", "20", 410, 200, ""},
				{"feed beyond the range", feed, "0", "10", "30", 410, 200, ""},
				{"feed of keys in one range", feed, "", "10", "20", 200, 400, "1"},
				{"feed of keys in two ranges", feed, "", "10", "30", 410, 400, ""},
				{"feed of nothing", feed, "1", "30", "30", 400, 200, ""},
				{"feed beyond all", feed, "", "30", "FFFF", 410, 400, ""},
				{"feed of all", feed, "", "", "", 400, 400, ""},
				{"list of a part", query, "1", "30", "FF", 200, 200, "3"},
				{"list of an inner part", query, "1", "20", "30", 200, 200, "2"},
				{"list outside the range", query, "1", "10", "20", 410, 200, ""},
				{"list beyond the range", query, "0", "10", "30", 410, 200, ""},
				{"list of keys in two ranges, first page", query, "", "10", "30", 200, 200, "1"},
			} {
				got := r.raw(http.MethodGet, "/dbs/db/colls/items/docs", "", append(slices.Clone(test.headers),
					"x-ms-documentdb-partitionkeyrangeid", test.id, "x-ms-start-epk", test.low, "x-ms-end-epk", test.high)...)
				want, rows := test.status, test.rows
				if ignore {
					want, rows = test.ignore, map[string]string{"": "0 1", "0": "0 1", "1": "2 3"}[test.id]
				}
				if got.StatusCode != want || want == http.StatusGone && got.Header.Get("x-ms-substatus") != "1002" {
					t.Errorf("%s: got %d/%s, want %d", test.name, got.StatusCode, got.Header.Get("x-ms-substatus"), want)
				} else if _, ids := r.documents(got); want == http.StatusOK && strings.Join(ids, " ") != rows {
					t.Errorf("%s: got %v, want %s", test.name, ids, rows)
				}
			}
		})
	}
}

// TestReadManyAcrossRanges depends on the client's own idea of which range has
// which key, also after a split.
func TestReadManyAcrossRanges(t *testing.T) {
	r := newRigOf(t, 3)
	var wanted []azcosmos.ItemIdentity
	for i := range 30 {
		key, id := "key-"+strconv.Itoa(i), strconv.Itoa(i%7)
		r.create(key, fmt.Sprintf(`{"id":%q,"pk":%q}`, id, key))
		wanted = append(wanted, azcosmos.ItemIdentity{ID: id, PartitionKey: pk(key)})
	}
	asked := func() map[string]bool {
		t.Helper()
		r.transport.ranges = nil
		response, err := r.items.ReadManyItems(t.Context(), wanted, nil)
		if err != nil || len(response.Items) != len(wanted) {
			t.Errorf("%d items, %v", len(response.Items), err)
		}
		ranges := map[string]bool{}
		for _, id := range r.transport.ranges {
			ranges[id] = true
		}
		return ranges
	}
	if got := asked(); len(got) != 3 {
		t.Errorf("asked the ranges %v", got)
	}
	r.split("1", cosmosemu.SplitOptions{})
	if got := asked(); !got["3"] || !got["4"] {
		t.Errorf("after the split: asked the ranges %v", got)
	}
}

// TestDefaultTimeToLiveAfterSplit changes it after the range was split.
func TestDefaultTimeToLiveAfterSplit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, ctx := newRig(t), t.Context()
		r.create(high, `{"id":"a","pk":"`+high+`"}`)
		properties, err := r.items.Read(ctx, nil)
		if err != nil {
			t.Fatal(err)
		}
		five := int32(5)
		definition := *properties.ContainerProperties
		definition.DefaultTimeToLive = &five
		r.split("0", cosmosemu.SplitOptions{})
		if _, err := r.items.Replace(ctx, definition, nil); err != nil {
			t.Fatal(err)
		}
		r.split("2", cosmosemu.SplitOptions{})
		r.read(high, "a")
		time.Sleep(5 * time.Second)
		_, err = r.items.ReadItem(ctx, pk(high), "a", nil)
		r.refused(err, http.StatusNotFound, "0")
	})
}

// TestVersionsOutliveSplit holds that a version that was read before can be
// written on after.
func TestVersionsOutliveSplit(t *testing.T) {
	r := newRig(t)
	etag := r.create("p", `{"id":"a","pk":"p"}`).ETag
	write := func(etag azcore.ETag) error {
		_, err := r.items.ReplaceItem(t.Context(), pk("p"), "a", []byte(`{"id":"a","pk":"p"}`), &azcosmos.ItemOptions{IfMatchEtag: &etag})
		return err
	}
	r.split("0", cosmosemu.SplitOptions{})
	if err := write(etag); err != nil {
		t.Error(err)
	}
	r.refused(write(etag), http.StatusPreconditionFailed, "0")
}
