package conformance

import (
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/data/azcosmos"
)

// reader reads the feed by raw requests, each from the ETag of the one before,
// and checks what holds for every page.
type reader struct {
	*container
	scope []string // the header that says what to read, and its value
	from  string   // If-None-Match; empty: the beginning
	since string   // If-Modified-Since; empty: none
	lsn   int64    // of the last item
}

// readKey reads one logical partition.
func (c *container) readKey(pk string) *reader {
	return &reader{container: c, scope: []string{headerKey, key(pk)}}
}

// readRange reads one physical partition.
func (c *container) readRange(id string) *reader {
	return &reader{container: c, scope: []string{"x-ms-documentdb-partitionkeyrangeid", id}}
}

func (r *reader) send(limit int) reply {
	r.Helper()
	headers := append([]string{"A-IM", "Incremental Feed", "x-ms-max-item-count", strconv.Itoa(limit)}, r.scope...)
	if r.from != "" {
		headers = append(headers, "If-None-Match", r.from)
	}
	if r.since != "" {
		headers = append(headers, "If-Modified-Since", r.since)
	}
	return r.container.send(http.MethodGet, "docs", "", headers...)
}

// page returns no items at the end of the feed: 304.
func (r *reader) page(limit int) (items []item, end bool) {
	r.Helper()
	got := r.send(limit)
	switch got.status {
	case http.StatusOK:
		items = decode[struct{ Documents []item }](r, got.body).Documents
	case http.StatusNotModified:
		end = true
		if len(got.body) > 0 {
			r.Errorf("304 with a body: %s", got.body)
		}
	default:
		r.Fatalf("read feed from %q: %v", r.from, got)
	}
	if got.etag() == "" {
		r.Fatalf("read feed from %q: status %d without an ETag", r.from, got.status)
	}
	for _, i := range items {
		if i.LSN < r.lsn || i.LSN == 0 {
			r.Errorf("%+v comes after LSN %d", i, r.lsn)
		}
		r.lsn = i.LSN
	}
	r.from = got.etag()
	return items, end
}

// drain reads to the end of the feed.
func (r *reader) drain(limit int) []item {
	r.Helper()
	var all []item
	for range 300 {
		items, end := r.page(limit)
		if all = append(all, items...); end {
			return all
		}
	}
	r.Fatal("the feed does not end")
	return nil
}

// ids is what the tests compare.
func ids(items []item) []string {
	list := []string{}
	for _, i := range items {
		list = append(list, i.ID)
	}
	return list
}

func (r *reader) wants(want ...string) {
	r.Helper()
	if got := ids(r.drain(100)); !slices.Equal(got, want) {
		r.Errorf("the feed brings %q, want %q", got, want)
	}
}

func TestFeedKeepsTheOrderOfALogicalPartition(t *testing.T) {
	t.Parallel()
	c := newContainer(t)
	const partitions = 3
	last := map[string]int{} // the number of the last write, by id
	for n := range 40 {
		i := item{ID: strconv.Itoa(n * 7 % 25), PK: strconv.Itoa(n % partitions), N: n}
		c.put(i)
		last[i.PK+"/"+i.ID] = n
	}
	seen, number := 0, map[string]int{}
	for _, id := range c.rangeIDs() {
		for _, i := range c.readRange(id).drain(3) {
			before, again := number[i.PK]
			if again && i.N <= before || i.N != last[i.PK+"/"+i.ID] {
				t.Errorf("%+v comes after write %d", i, before)
			}
			number[i.PK] = i.N
			seen++
		}
	}
	if seen != len(last) || len(number) != partitions {
		t.Errorf("the feed brought %d items of %d partitions, want %d of %d", seen, len(number), len(last), partitions)
	}
}

// An intermediate version may be skipped, or not: the service promises only the
// last one.
func TestFeedEndsWithTheLastVersion(t *testing.T) {
	t.Parallel()
	c := newContainer(t)
	feed, version := c.readKey("p"), 0
	for n := 1; n <= 9; n++ {
		c.put(item{ID: "a", PK: "p", N: n})
		if n%3 != 0 {
			continue
		}
		for _, i := range feed.drain(1) {
			if i.N < version {
				t.Errorf("version %d comes after %d", i.N, version)
			}
			version = i.N
		}
		if version != n {
			t.Errorf("the feed ends with version %d of %d", version, n)
		}
	}
}

// A batch is one commit, and no page ends within it, however small the page was
// asked to be. Microsoft documents neither; both were seen, and opfeed relies on
// the order only.
func TestFeedNeverTearsABatch(t *testing.T) {
	t.Parallel()
	c := newContainer(t)
	sizes := []int{1, 5, 2}
	for b, size := range sizes {
		c.batch("p", func(batch *azcosmos.TransactionalBatch) {
			for n := range size {
				batch.CreateItem(item{ID: fmt.Sprintf("%d-%d", b, n), PK: "p", N: b}.json(), nil)
			}
		})
	}
	feed, count, lsn := c.readKey("p"), map[int]int{}, map[int]int64{}
	for end := false; !end; {
		var items []item
		items, end = feed.page(1)
		here := map[int]int{}
		for _, i := range items {
			here[i.N]++
			count[i.N]++
			if lsn[i.N] == 0 {
				lsn[i.N] = i.LSN
			}
			if i.LSN != lsn[i.N] {
				t.Errorf("%+v is of a batch with LSN %d", i, lsn[i.N])
			}
		}
		for b, n := range here {
			if n != sizes[b] {
				t.Errorf("a page holds %d items of a batch of %d", n, sizes[b])
			}
		}
	}
	for b, size := range sizes {
		if count[b] != size {
			t.Errorf("%d items of batch %d came, want %d", count[b], b, size)
		}
	}
}

// A poll that brings nothing must not lose the position: its ETag leads on.
func TestFeedKeepsItsPositionOverEmptyPolls(t *testing.T) {
	t.Parallel()
	c := newContainer(t)
	c.put(item{ID: "a", PK: "p"})
	feed := c.readKey("p")
	feed.wants("a")
	for range 5 {
		if items, end := feed.page(10); !end {
			t.Fatalf("nothing was written, and the feed brings %+v", items)
		}
	}
	first := *feed
	c.put(item{ID: "other", PK: "elsewhere"}) // moves the range, not the key
	feed.wants()
	c.put(item{ID: "b", PK: "p"})
	feed.wants("b")
	feed.wants()
	first.wants("b") // an ETag is good more than once
}

func TestFeedOfAnEmptyContainerHasAPosition(t *testing.T) {
	t.Parallel()
	c := newContainer(t)
	feed := c.readKey("p")
	feed.wants()
	c.put(item{ID: "a", PK: "p"})
	feed.wants("a")
}

func TestFeedFromNowBringsOnlyWhatComesLater(t *testing.T) {
	t.Parallel()
	c := newContainer(t)
	c.put(item{ID: "old", PK: "p"})
	feed := c.readKey("p")
	feed.from = "*"
	if items, end := feed.page(10); !end {
		t.Fatalf("from now, the feed brings %+v", items)
	}
	c.put(item{ID: "new", PK: "p"})
	c.put(item{ID: "newer", PK: "p"})
	feed.wants("new", "newer")
}

// The time has whole seconds, and whether it is inclusive is not documented. So
// it lies well between the two writes.
func TestFeedFromATime(t *testing.T) {
	t.Parallel()
	c := newContainer(t)
	old := c.put(item{ID: "old", PK: "p"})
	c.pause(3100 * time.Millisecond)
	c.put(item{ID: "new", PK: "p"})
	for _, test := range []struct {
		name  string
		start time.Time
		want  []string
	}{
		{"before both", time.Unix(old.TS-10, 0), []string{"old", "new"}},
		{"between", time.Unix(old.TS+1, 0), []string{"new"}},
	} {
		// azcosmos writes the zone as UTC, where HTTP has GMT.
		f := follower{container: c, options: azcosmos.ChangeFeedOptions{StartFrom: &test.start}}
		if got := ids(f.drain()); !slices.Equal(got, test.want) {
			t.Errorf("%s, azcosmos: got %q, want %q", test.name, got, test.want)
		}
		feed := c.readKey("p")
		feed.since = test.start.UTC().Format(http.TimeFormat)
		if got := ids(feed.drain(1)); !slices.Equal(got, test.want) {
			t.Errorf("%s, raw: got %q, want %q", test.name, got, test.want)
		}
	}
}

func TestFeedHasNoEventForADelete(t *testing.T) {
	t.Parallel()
	c := newContainer(t)
	seen := c.put(item{ID: "seen", PK: "p"})
	feed := c.readKey("p")
	feed.wants("seen")
	unseen := c.put(item{ID: "unseen", PK: "p"})
	c.remove(unseen)
	c.remove(seen)
	feed.wants()
	c.put(item{ID: "next", PK: "p"})
	feed.wants("next")
	c.readKey("p").wants("next")
}

func TestIDCanBeUsedAgainAfterADelete(t *testing.T) {
	t.Parallel()
	c := newContainer(t)
	first := c.put(item{ID: "a", PK: "p"})
	feed := c.readKey("p")
	feed.wants("a")
	c.remove(first)
	second := decode[item](t, c.create("p", `{"id":"a","pk":"p","n":2}`).body)
	if second.ETag == first.ETag {
		t.Errorf("both lives have the ETag %s", first.ETag)
	}
	feed.wants("a")
	if got := decode[item](t, c.read("p", "a").body); got.N != 2 {
		t.Errorf("read %+v", got)
	}
}
