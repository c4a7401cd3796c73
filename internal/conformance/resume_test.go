package conformance

import (
	"math/rand/v2"
	"net/http"
	"slices"
	"strconv"
	"testing"

	"github.com/Azure/azure-sdk-for-go/sdk/data/azcosmos"
)

// follower reads the feed of the whole container with azcosmos: each page with a
// client of its own, from the token of the page before.
type follower struct {
	*container
	options azcosmos.ChangeFeedOptions
}

func (f *follower) page() []item {
	f.Helper()
	if f.options.Continuation == nil {
		f.options.FeedRange = &azcosmos.FeedRange{MinInclusive: "", MaxExclusive: "FF"}
	}
	response, err := f.newItems().ReadChangeFeed(f.Context(), &f.options)
	if err != nil {
		f.Fatalf("read feed: %v", err)
	}
	f.options.FeedRange, f.options.Continuation = nil, &response.ContinuationToken
	var items []item
	for _, text := range response.Items {
		items = append(items, decode[item](f, text))
	}
	if len(items) == 0 && response.RawResponse.StatusCode != http.StatusNotModified {
		f.Errorf("an empty page has status %d", response.RawResponse.StatusCode)
	}
	return items
}

func (f *follower) drain() []item {
	f.Helper()
	var all []item
	for range 300 {
		items := f.page()
		if len(items) == 0 {
			return all
		}
		all = append(all, items...)
	}
	f.Fatal("the feed does not end")
	return nil
}

// ledger compares what was written with what the feed brought.
type ledger struct {
	*testing.T
	written map[string]int // the last version, by partition and id
	seen    map[string]int
	count   int
}

func newLedger(t *testing.T) *ledger {
	return &ledger{T: t, written: map[string]int{}, seen: map[string]int{}}
}

func (l *ledger) wrote(i item) { l.written[i.PK+"/"+i.ID] = i.N }

// saw checks that no version comes twice or after a later one.
func (l *ledger) saw(items []item) {
	l.Helper()
	for _, i := range items {
		before, again := l.seen[i.PK+"/"+i.ID]
		if again && i.N <= before {
			l.Errorf("version %d of %s comes after version %d", i.N, i.ID, before)
		}
		l.seen[i.PK+"/"+i.ID] = i.N
		l.count++
	}
}

// settle checks that the last version of everything has come.
func (l *ledger) settle(least int) {
	l.Helper()
	for name, n := range l.written {
		if l.seen[name] != n {
			l.Errorf("the last version of %s is %d, the feed ended with %d", name, n, l.seen[name])
		}
	}
	if len(l.seen) != len(l.written) {
		l.Errorf("the feed brought %d items, %d were written", len(l.seen), len(l.written))
	}
	if l.count < least {
		l.Errorf("the feed brought %d changes: too few to show anything", l.count)
	}
}

// scramble writes and reads by turns, in an order drawn by lot.
func scramble(c *container, l *ledger, seed uint64, read func(limit int32)) {
	random := rand.New(rand.NewPCG(seed, 0))
	for n := 1; n <= 150; n++ {
		if random.IntN(4) == 0 {
			read(1 + random.Int32N(6))
		}
		i := item{ID: strconv.Itoa(random.IntN(12)), PK: strconv.Itoa(random.IntN(5)), N: n}
		c.put(i)
		l.wrote(i)
	}
}

func TestFeedResumesWithNewClients(t *testing.T) {
	t.Parallel()
	c, l := newContainer(t), newLedger(t)
	feed := follower{container: c}
	scramble(c, l, 1, func(limit int32) {
		feed.options.MaxItemCount = limit
		l.saw(feed.page())
	})
	l.saw(feed.drain())
	l.settle(60)
}

func TestFeedResumesFromRawETags(t *testing.T) {
	t.Parallel()
	c, l := newContainer(t), newLedger(t)
	var feeds []*reader
	for _, id := range c.rangeIDs() {
		feeds = append(feeds, c.readRange(id))
	}
	scramble(c, l, 2, func(limit int32) {
		for _, feed := range feeds {
			items, _ := feed.page(int(limit))
			l.saw(items)
		}
	})
	for _, feed := range feeds {
		l.saw(feed.drain(5))
	}
	l.settle(60)
}

// azcosmos names the range beside the key; that the service then reads only the
// key is what azcosmos' documentation says, not the service's.
func TestFeedOfOneKeyByAzcosmos(t *testing.T) {
	t.Parallel()
	c := newContainer(t)
	key := azcosmos.NewPartitionKeyString("p")
	feed := follower{container: c, options: azcosmos.ChangeFeedOptions{PartitionKey: &key}}
	c.put(item{ID: "other", PK: "elsewhere"})
	c.put(item{ID: "a", PK: "p"})
	if got := ids(feed.drain()); !slices.Equal(got, []string{"a"}) {
		t.Errorf("got %q", got)
	}
	c.put(item{ID: "another", PK: "elsewhere"})
	c.put(item{ID: "b", PK: "p"})
	if got := ids(feed.drain()); !slices.Equal(got, []string{"b"}) {
		t.Errorf("then got %q", got)
	}
}
