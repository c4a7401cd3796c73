package cosmosemu_test

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/data/azcosmos"
)

var wholeRange = azcosmos.FeedRange{MinInclusive: "", MaxExclusive: "FF"}

func (r *rig) feed(o azcosmos.ChangeFeedOptions) azcosmos.ChangeFeedResponse {
	r.Helper()
	o.FeedRange = &wholeRange
	response, err := r.items.ReadChangeFeed(r.Context(), &o)
	if err != nil {
		r.Fatal(err)
	}
	return response
}

// from is a composite token at a position.
func from(etag string) *string {
	token := fmt.Sprintf(`{"version":1,"resourceId":"","continuation":[{"minInclusive":"","maxExclusive":"FF","continuationToken":%q}]}`, etag)
	return &token
}

// feedPosition is how many commits there were.
func (r *rig) feedPosition() int {
	r.Helper()
	etag := string(r.feed(azcosmos.ChangeFeedOptions{Continuation: from("*")}).ETag)
	position, err := strconv.Atoi(strings.Trim(etag, `"`))
	if err != nil {
		r.Fatalf("the etag of the feed is %s", etag)
	}
	return position
}

func (r *rig) ids(page azcosmos.ChangeFeedResponse) []string {
	r.Helper()
	ids := []string{}
	for _, item := range page.Items {
		ids = append(ids, r.object(item)["id"].(string))
	}
	return ids
}

func TestStartUpSequence(t *testing.T) {
	r := newRig(t)
	r.transport.calls = nil
	if _, err := r.items.ReadFeedRanges(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	want := []string{
		"GET /",
		"GET /dbs/db/colls/items", "GET /dbs/db/colls/items/pkranges", "GET /dbs/db/colls/items/pkranges",
	}
	if !slices.Equal(r.transport.calls, want) {
		t.Errorf("got %q, want %q", r.transport.calls, want)
	}
	r.transport.calls = nil
	ranges, err := r.items.ReadFeedRanges(t.Context(), nil)
	if err != nil || len(ranges) != 1 || ranges[0] != wholeRange || len(r.transport.calls) != 0 {
		t.Errorf("then: %v, %v, calls %q", ranges, err, r.transport.calls)
	}
}

func TestFeedPaging(t *testing.T) {
	r := newRig(t)
	for i := range 7 {
		r.create(strconv.Itoa(i%2), fmt.Sprintf(`{"id":"%d","pk":"%d"}`, i, i%2))
	}
	page := r.feed(azcosmos.ChangeFeedOptions{MaxItemCount: 3})
	if got := r.ids(page); !slices.Equal(got, []string{"0", "1", "2"}) || page.Count != 3 {
		t.Errorf("first page: %v, count %d", got, page.Count)
	}
	if page.ETag != `"3"` || r.object(page.Items[2])["_lsn"] != 3.0 {
		t.Errorf("etag %s, last item %s", page.ETag, page.Items[2])
	}
	header := page.RawResponse.Header
	if header.Get("x-ms-session-token") != "0:-1#7" || header.Get("lsn") != "7" || header.Get("x-ms-item-count") != "3" || header.Get("Date") == "" {
		t.Errorf("headers: %v", header)
	}
	if header.Get("x-ms-request-charge") == "0.00" || page.RequestCharge <= 1 {
		t.Errorf("charge %v", page.RequestCharge)
	}
	// An update moves an item to the end; a deletion takes it out.
	if _, err := r.items.UpsertItem(t.Context(), pk("1"), []byte(`{"id":"3","pk":"1","n":2}`), nil); err != nil {
		t.Fatal(err)
	}
	if _, err := r.items.DeleteItem(t.Context(), pk("0"), "4", nil); err != nil {
		t.Fatal(err)
	}
	page = r.feed(azcosmos.ChangeFeedOptions{Continuation: &page.ContinuationToken, MaxItemCount: 10})
	if got := r.ids(page); !slices.Equal(got, []string{"5", "6", "3"}) {
		t.Errorf("second page: %v", got)
	}
	page = r.feed(azcosmos.ChangeFeedOptions{Continuation: &page.ContinuationToken})
	if page.RawResponse.StatusCode != http.StatusNotModified || page.ETag != `"9"` || page.RequestCharge != 1 {
		t.Errorf("at the end: %d, etag %s, charge %v", page.RawResponse.StatusCode, page.ETag, page.RequestCharge)
	}
	if page.RawResponse.Header.Get("x-ms-session-token") != "0:-1#9" {
		t.Errorf("at the end: headers %v", page.RawResponse.Header)
	}
	key := pk("1")
	page = r.feed(azcosmos.ChangeFeedOptions{PartitionKey: &key})
	if got := r.ids(page); !slices.Equal(got, []string{"1", "5", "3"}) {
		t.Errorf("of one partition key: %v", got)
	}
}

// TestFeedNeverTearsACommit reads with pages smaller than a batch.
func TestFeedNeverTearsACommit(t *testing.T) {
	r := newRig(t)
	r.create("p", `{"id":"first","pk":"p"}`)
	for n := range 2 {
		r.batch(func(b *azcosmos.TransactionalBatch) {
			for i := range 5 {
				b.UpsertItem(fmt.Appendf(nil, `{"id":"%d-%d","pk":"p"}`, n, i), nil)
			}
		}, nil)
	}
	token := from(`"0"`)
	var sizes []int
	for range 4 {
		page := r.feed(azcosmos.ChangeFeedOptions{Continuation: token, MaxItemCount: 2})
		sizes = append(sizes, page.Count)
		token = &page.ContinuationToken
	}
	if !slices.Equal(sizes, []int{6, 5, 0, 0}) && !slices.Equal(sizes, []int{1, 5, 5, 0}) {
		t.Errorf("got pages of %v items", sizes)
	}
}

// TestFeedResume writes at random and reads with random page sizes from the
// stored position only: at the end, what was read is what is there, every page
// was in order, and nothing that did not change came twice.
func TestFeedResume(t *testing.T) {
	for seed := range uint64(3) {
		t.Run(strconv.FormatUint(seed, 10), func(t *testing.T) {
			r, ctx := newRig(t), t.Context()
			random := rand.New(rand.NewPCG(seed, 1))
			stored, seen := map[string]string{}, map[string]string{}
			token, lastLSN, deliveries := from(`"0"`), 0.0, 0
			read := func() bool {
				page := r.feed(azcosmos.ChangeFeedOptions{Continuation: token, MaxItemCount: 1 + random.Int32N(7)})
				for _, text := range page.Items {
					item := r.object(text)
					id, etag, lsn := item["id"].(string), item["_etag"].(string), item["_lsn"].(float64)
					if lsn < lastLSN {
						t.Fatalf("%s has LSN %v after %v", id, lsn, lastLSN)
					}
					if seen[id] == etag {
						t.Fatalf("%s came twice", id)
					}
					seen[id], lastLSN = etag, lsn
					deliveries++
				}
				token = &page.ContinuationToken
				return page.Count > 0
			}
			for range 2000 {
				partition := strconv.Itoa(random.IntN(3))
				id := partition + "-" + strconv.Itoa(random.IntN(40))
				body := fmt.Appendf(nil, `{"id":%q,"pk":%q}`, id, partition)
				switch {
				case random.IntN(5) == 0:
					read()
				case random.IntN(20) == 0:
					r.items.DeleteItem(ctx, pk(partition), id, nil) // perhaps absent
					delete(stored, id)
				default:
					response, err := r.items.UpsertItem(ctx, pk(partition), body, nil)
					if err != nil {
						t.Fatal(err)
					}
					stored[id] = string(response.ETag)
				}
			}
			for read() {
			}
			for id := range seen {
				if _, ok := stored[id]; !ok {
					delete(seen, id)
				}
			}
			if !maps.Equal(seen, stored) {
				t.Errorf("seen %d items, stored %d", len(seen), len(stored))
			}
			if deliveries < 200 {
				t.Errorf("only %d deliveries: the test does not test", deliveries)
			}
		})
	}
}

func TestFeedStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.create("p", `{"id":"old","pk":"p"}`)
		now := r.feed(azcosmos.ChangeFeedOptions{Continuation: from("*")})
		if now.RawResponse.StatusCode != http.StatusNotModified || now.ETag != `"1"` {
			t.Errorf("from now: %d, etag %s", now.RawResponse.StatusCode, now.ETag)
		}
		time.Sleep(1500 * time.Millisecond)
		start := time.Now()
		r.create("p", `{"id":"same second","pk":"p"}`)
		time.Sleep(time.Second)
		r.create("p", `{"id":"new","pk":"p"}`)

		if got := r.ids(r.feed(azcosmos.ChangeFeedOptions{Continuation: &now.ContinuationToken})); !slices.Equal(got, []string{"same second", "new"}) {
			t.Errorf("after now: %v", got)
		}
		late := r.feed(azcosmos.ChangeFeedOptions{StartFrom: &start})
		if got := r.ids(late); !slices.Equal(got, []string{"new"}) {
			t.Errorf("from a time (as UTC): %v", got)
		}
		// A position wins over a time.
		if got := r.ids(r.feed(azcosmos.ChangeFeedOptions{StartFrom: &start, Continuation: from(`"0"`)})); len(got) != 3 {
			t.Errorf("from the beginning, in spite of a time: %v", got)
		}
		headers := []string{"A-IM", "incremental feed", "If-Modified-Since", start.UTC().Format(http.TimeFormat)}
		if got := r.raw(http.MethodGet, "/dbs/db/colls/items/docs", "", headers...); got.Header.Get("x-ms-item-count") != "1" {
			t.Errorf("from a time (as GMT): %v", got.Header)
		}
		ahead := r.feed(azcosmos.ChangeFeedOptions{Continuation: from(`"100"`)})
		if ahead.RawResponse.StatusCode != http.StatusNotModified || ahead.ETag != `"100"` {
			t.Errorf("from a position that is not there yet: %d, etag %s", ahead.RawResponse.StatusCode, ahead.ETag)
		}
	})
}

func TestFeedRefusals(t *testing.T) {
	r := newRig(t)
	r.create("p", `{"id":"a","pk":"p"}`)
	for _, test := range []struct {
		name      string
		status    int
		substatus string
		headers   []string
	}{
		{"by range", 200, "", []string{"x-ms-documentdb-partitionkeyrangeid", "0"}},
		{"by range with the container's id", 200, "", []string{"x-ms-documentdb-partitionkeyrangeid", "abc=,0"}},
		{"unknown range", 410, "1002", []string{"x-ms-documentdb-partitionkeyrangeid", "1"}},
		{"malformed position", 400, "0", []string{"If-None-Match", `"abc"`}},
		{"negative position", 400, "0", []string{"If-None-Match", `"-1"`}},
		{"huge position", 400, "0", []string{"If-None-Match", `"9223372036854775807"`}},
		{"malformed time", 400, "0", []string{"If-Modified-Since", "yesterday"}},
		{"time of another zone", 400, "0", []string{"If-Modified-Since", "Sun, 06 Nov 1994 08:49:37 CET"}},
		{"malformed page size", 400, "0", []string{"x-ms-max-item-count", "many"}},
		{"page size 0", 400, "0", []string{"x-ms-max-item-count", "0"}},
		{"page size -1", 200, "", []string{"x-ms-max-item-count", "-1"}},
		{"another mode", 400, "0", []string{"A-IM", "Full-Fidelity Feed"}},
		{"other keys", 304, "", []string{"x-ms-start-epk", "00", "x-ms-end-epk", "01"}},
		{"keys in lower case", 400, "0", []string{"x-ms-start-epk", "0a", "x-ms-end-epk", "3f"}},
		{"end of all keys in lower case", 400, "0", []string{"x-ms-end-epk", "ff"}},
		{"half a byte", 400, "0", []string{"x-ms-start-epk", "3"}},
	} {
		got := r.raw(http.MethodGet, "/dbs/db/colls/items/docs", "", append([]string{"A-IM", "Incremental Feed"}, test.headers...)...)
		if got.StatusCode != test.status || got.Header.Get("x-ms-substatus") != test.substatus {
			t.Errorf("%s: got %d/%s, want %d/%s", test.name, got.StatusCode, got.Header.Get("x-ms-substatus"), test.status, test.substatus)
		}
	}
}

func TestTimeToLive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, ctx := newRig(t), t.Context()
		r.create("p", `{"id":"stays","pk":"p"}`)
		r.create("p", `{"id":"never","pk":"p","ttl":-1}`)
		r.create("p", `{"id":"short","pk":"p","ttl":10}`)
		time.Sleep(9 * time.Second)
		r.read("p", "short")
		if _, err := r.items.ReplaceItem(ctx, pk("p"), "short", []byte(`{"id":"short","pk":"p","ttl":10}`), nil); err != nil {
			t.Fatal(err)
		}
		time.Sleep(9 * time.Second) // a write has restarted it
		r.read("p", "short")
		position := r.feedPosition()
		time.Sleep(time.Second)
		_, err := r.items.ReadItem(ctx, pk("p"), "short", nil)
		r.refused(err, http.StatusNotFound, "0")
		_, err = r.items.ReplaceItem(ctx, pk("p"), "short", []byte(`{"id":"short","pk":"p"}`), nil)
		r.refused(err, http.StatusNotFound, "0")
		if rows, _, err := r.query("SELECT VALUE c.id FROM c", pk("p"), nil); err != nil || len(rows) != 2 {
			t.Errorf("query: %v, %v", rows, err)
		}
		if got := r.ids(r.feed(azcosmos.ChangeFeedOptions{})); !slices.Equal(got, []string{"stays", "never"}) {
			t.Errorf("feed: %v", got)
		}
		if got := r.feedPosition(); got != position {
			t.Errorf("expiry moved the feed from %d to %d", position, got)
		}
		again := r.create("p", `{"id":"short","pk":"p"}`)
		if again.RawResponse.StatusCode != http.StatusCreated {
			t.Errorf("create after expiry: %d", again.RawResponse.StatusCode)
		}
		if got := r.ids(r.feed(azcosmos.ChangeFeedOptions{})); !slices.Equal(got, []string{"stays", "never", "short"}) {
			t.Errorf("feed: %v", got)
		}
	})
}

func TestDefaultTimeToLive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, ctx := newRig(t), t.Context()
		properties, err := r.items.Read(ctx, nil)
		if err != nil {
			t.Fatal(err)
		}
		exists := func(id string) bool {
			_, err := r.items.ReadItem(ctx, pk("p"), id, nil)
			return err == nil
		}
		define := func(ttl *int32) {
			definition := *properties.ContainerProperties
			definition.DefaultTimeToLive = ttl
			if _, err := r.items.Replace(ctx, definition, nil); err != nil {
				t.Fatal(err)
			}
		}
		five := int32(5)
		define(&five)
		r.create("p", `{"id":"default","pk":"p"}`)
		r.create("p", `{"id":"longer","pk":"p","ttl":8}`)
		r.create("p", `{"id":"never","pk":"p","ttl":-1}`)
		time.Sleep(5 * time.Second)
		if exists("default") || !exists("longer") || !exists("never") {
			t.Errorf("after 5 s: %t %t %t", exists("default"), exists("longer"), exists("never"))
		}
		define(nil) // off: nothing expires
		time.Sleep(time.Minute)
		if !exists("longer") {
			t.Error("an item expired although expiry is off")
		}
	})
}
