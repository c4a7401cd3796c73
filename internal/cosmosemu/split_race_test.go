package cosmosemu_test

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"testing"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/data/azcosmos"

	"opfeed/internal/cosmosemu"
	"opfeed/internal/epk"
)

// TestFeedWhileRangesChange writes, reshapes the ranges and reads the feed, all
// at once. No write is refused or lost; a reader that asks for its part of the
// ranges gets the last version of every item, none twice, every logical
// partition in order, and no batch torn; azcosmos, which reads whole ranges,
// gets every last version at least once.
func TestFeedWhileRangesChange(t *testing.T) {
	for seed := range uint64(3) {
		t.Run(strconv.FormatUint(seed, 10), func(t *testing.T) {
			feedWhileRangesChange(t, seed)
		})
	}
}

func feedWhileRangesChange(t *testing.T, seed uint64) {
	t.Helper()
	r := newRigOf(t, 1+int(seed)%3)
	r.transport.next = nil // its list of calls is not for several goroutines
	const writers = 3
	stored := make([]map[string]azcore.ETag, writers)
	ticks := make(chan struct{})
	var writing, reading sync.WaitGroup
	for w := range writers {
		items, random := r.concurrent(), rand.New(rand.NewPCG(seed, uint64(w)))
		writing.Go(func() { stored[w] = r.writeAtRandom(items, w, random, ticks) })
	}
	exact := &partReader{rig: r, parts: []part{{"", "FF", `"0"`}}}
	whole := &wholeReader{rig: r, token: *from(`"0"`), items: r.concurrent()}
	wakeExact, wakeWhole := make(chan struct{}, 1), make(chan struct{}, 1)
	reading.Go(func() { r.readWhenWoken(wakeExact, exact.read) })
	reading.Go(func() { r.readWhenWoken(wakeWhole, whole.read) })
	go func() { writing.Wait(); close(ticks) }()
	random, changes := rand.New(rand.NewPCG(seed, 99)), 0
	for range ticks {
		r.reshape(random)
		changes++
		wakeExact <- struct{}{} // it is at most one change behind, so that it meets them all
		select {
		case wakeWhole <- struct{}{}:
		default: // it has not come to rest
		}
	}
	close(wakeExact)
	close(wakeWhole)
	reading.Wait()
	if changes < 50 || exact.gone < 10 {
		t.Errorf("only %d changes, of which the reader met %d: the test does not test", changes, exact.gone)
	}
	last := map[string]azcore.ETag{}
	for _, one := range stored {
		maps.Copy(last, one)
	}
	r.holdsOnly(last)
	for name, seen := range map[string]map[string]azcore.ETag{"parts": exact.seen, "azcosmos": whole.seen} {
		for key, etag := range last {
			if seen[key] != etag {
				t.Errorf("%s: %s is %s, delivered was %q", name, key, etag, seen[key])
			}
		}
	}
}

// readWhenWoken reads to the end each time, and for the last time when wake is
// closed.
func (r *rig) readWhenWoken(wake <-chan struct{}, read func() bool) {
	for open := true; open; {
		_, open = <-wake
		for !r.Failed() && read() {
		}
	}
}

// writeAtRandom writes items of its own, in partitions of all, and returns their
// last versions. Now and then it gives a tick.
func (r *rig) writeAtRandom(items *azcosmos.ContainerClient, w int, random *rand.Rand, ticks chan<- struct{}) map[string]azcore.ETag {
	ctx, stored := r.Context(), map[string]azcore.ETag{}
	for round := range 300 {
		if round%10 == 0 {
			ticks <- struct{}{}
		}
		key := "key-" + strconv.Itoa(random.IntN(30))
		id := fmt.Sprintf("%d-%d", w, random.IntN(4))
		name, body := key+"/"+id, fmt.Appendf(nil, `{"id":%q,"pk":%q,"n":%d}`, id, key, round)
		var err error
		var response azcosmos.ItemResponse
		switch kind := random.IntN(10); {
		case kind == 0 && stored[name] != "":
			_, err = items.DeleteItem(ctx, pk(key), id, nil)
			delete(stored, name)
		case kind <= 2 && stored[name] != "":
			var ops azcosmos.PatchOperations
			ops.AppendIncrement("/n", 1)
			etag := stored[name]
			response, err = items.PatchItem(ctx, pk(key), id, ops, &azcosmos.ItemOptions{IfMatchEtag: &etag})
			stored[name] = response.ETag
		case kind <= 4:
			err = r.writePair(ctx, items, key, w, round, stored)
		default:
			response, err = items.UpsertItem(ctx, pk(key), body, nil)
			stored[name] = response.ETag
		}
		if err != nil {
			r.Errorf("write %s: %v", name, err)
			break
		}
	}
	return stored
}

// writePair writes two items in one batch, with one number.
func (r *rig) writePair(ctx context.Context, items *azcosmos.ContainerClient, key string, w, n int, stored map[string]azcore.ETag) error {
	batch := items.NewTransactionalBatch(pk(key))
	names := []string{fmt.Sprintf("%d-left", w), fmt.Sprintf("%d-right", w)}
	for _, id := range names {
		batch.UpsertItem(fmt.Appendf(nil, `{"id":%q,"pk":%q,"pair":"%s-%d","n":%d}`, id, key, key, w, n), nil)
	}
	response, err := items.ExecuteTransactionalBatch(ctx, batch, nil)
	if err != nil {
		return err
	}
	for i, result := range response.OperationResults {
		if !response.Success {
			return fmt.Errorf("operation %d of the batch: %d", i, result.StatusCode)
		}
		stored[key+"/"+names[i]] = result.ETag
	}
	return nil
}

// holdsOnly compares what is stored with what was written.
func (r *rig) holdsOnly(want map[string]azcore.ETag) {
	r.Helper()
	got, token := map[string]azcore.ETag{}, ""
	for first := true; first || token != ""; first = false {
		page := r.raw(http.MethodGet, "/dbs/db/colls/items/docs", "", "x-ms-continuation", token)
		items, _ := r.documents(page)
		for _, item := range items {
			got[nameOf(item)] = azcore.ETag(item["_etag"].(string))
		}
		token = page.Header.Get("x-ms-continuation")
	}
	if !maps.Equal(got, want) {
		r.Errorf("%d items are stored, %d were written, or not in these versions", len(got), len(want))
	}
}

func nameOf(item map[string]any) string { return item["pk"].(string) + "/" + item["id"].(string) }

// part is a part of the key space, and how far it was read.
type part struct{ min, max, etag string }

// partReader reads the feed by range ids and asks for its parts of ranges only.
type partReader struct {
	*rig
	parts []part
	known []pkRange
	gone  int // requests that named a range that was no more
	seen  map[string]azcore.ETag
	lsns  map[string]float64 // by partition key
}

// read reads every part once, and reports whether there was anything.
func (p *partReader) read() bool {
	if p.known == nil {
		p.known, p.seen, p.lsns = p.ranges(), map[string]azcore.ETag{}, map[string]float64{}
	}
	some := false
	for i := 0; i < len(p.parts); i++ {
		one := p.parts[i]
		at := slices.IndexFunc(p.known, func(k pkRange) bool { return epk.Contains(k.Min, k.Max, one.min) })
		if epk.Compare(p.known[at].Max, one.max) < 0 { // The range was split: so is the part, at the same position.
			rest := part{p.known[at].Max, one.max, one.etag}
			one.max = p.known[at].Max
			p.parts[i] = one
			p.parts = slices.Insert(p.parts, i+1, rest)
		}
		response := p.rawFeed(p.known[at].ID, one.etag, "x-ms-start-epk", one.min, "x-ms-end-epk", one.max, "x-ms-max-item-count", "3")
		switch response.StatusCode {
		case http.StatusGone:
			p.gone++
			p.known = p.ranges()
			i--
			continue
		case http.StatusOK:
			some = true
			items, _ := p.documents(response)
			p.take(items)
		case http.StatusNotModified:
		default:
			p.Errorf("feed of %+v: %d", one, response.StatusCode)
			return false
		}
		p.parts[i].etag = response.Header.Get("etag")
	}
	return some
}

func (p *partReader) take(items []map[string]any) {
	pairs := map[string]int{}
	for _, item := range items {
		name, key, lsn := nameOf(item), item["pk"].(string), item["_lsn"].(float64)
		etag := azcore.ETag(item["_etag"].(string))
		if p.seen[name] == etag {
			p.Errorf("%s came twice as %s", name, etag)
		}
		if lsn < p.lsns[key] {
			p.Errorf("%s has LSN %v, after %v", name, lsn, p.lsns[key])
		}
		p.seen[name], p.lsns[key] = etag, lsn
		if pair, ok := item["pair"].(string); ok {
			pairs[fmt.Sprint(pair, item["n"])]++
		}
	}
	for pair, n := range pairs {
		if n != 2 {
			p.Errorf("%d of the pair %s are on a page", n, pair)
		}
	}
}

// wholeReader reads the feed with azcosmos.
type wholeReader struct {
	*rig
	items *azcosmos.ContainerClient
	token string
	seen  map[string]azcore.ETag

	errors int
}

func (w *wholeReader) read() bool {
	if w.seen == nil {
		w.seen = map[string]azcore.ETag{}
	}
	page, err := w.items.ReadChangeFeed(w.Context(), &azcosmos.ChangeFeedOptions{Continuation: &w.token, MaxItemCount: 3})
	if err != nil { // Ranges may change faster than azcosmos is ready to follow.
		if w.errors++; w.errors > 1000 {
			w.Errorf("azcosmos does not get on: %v", err)
			return false
		}
		return true
	}
	for _, text := range page.Items {
		item := w.object(text)
		w.seen[nameOf(item)] = azcore.ETag(item["_etag"].(string))
	}
	w.token = page.ContinuationToken
	return page.Count > 0
}

// TestWritesGoOnWhileRangesSplit counts what single writes and batches leave
// behind, also with splits that are held.
func TestWritesGoOnWhileRangesSplit(t *testing.T) {
	r := newRig(t)
	const writers, rounds = 2, 150
	var writing sync.WaitGroup
	for w := range writers {
		items := r.concurrent()
		writing.Go(func() {
			for n := range rounds {
				key := "key-" + strconv.Itoa(n%10)
				batch := items.NewTransactionalBatch(pk(key))
				for half := range 2 {
					batch.CreateItem(fmt.Appendf(nil, `{"id":"%d-%d-%d","pk":%q}`, w, n, half, key), nil)
				}
				if response, err := items.ExecuteTransactionalBatch(t.Context(), batch, nil); err != nil || !response.Success {
					t.Errorf("batch: %v", err)
				}
				if _, err := items.CreateItem(t.Context(), pk(key), fmt.Appendf(nil, `{"id":"%d-%d","pk":%q}`, w, n, key), nil); err != nil {
					t.Errorf("create: %v", err)
				}
				if _, err := items.ReadItem(t.Context(), pk(key), fmt.Sprintf("%d-%d", w, n), nil); err != nil {
					t.Errorf("read: %v", err)
				}
			}
		})
	}
	for i := range 40 {
		ranges := r.ranges()
		id := ranges[i%len(ranges)].ID
		if i%2 == 0 {
			r.split(id, cosmosemu.SplitOptions{})
			continue
		}
		r.split(id, cosmosemu.SplitOptions{Hold: -1})
		if err := r.server.Release("db", "items", id); err != nil {
			t.Error(err)
		}
	}
	writing.Wait()
	rows, _, err := r.query("SELECT VALUE c.id FROM c", everywhere, nil)
	slices.Sort(rows)
	if want := writers * rounds * 3; err != nil || len(rows) != want || len(slices.Compact(rows)) != want {
		t.Errorf("%d rows, want %d, %v", len(rows), want, err)
	}
}

// A list that picks from what a range holds does so without its lock, while
// heirs take the items over.
func TestListPartsWhileRangesChange(t *testing.T) {
	r := newRig(t)
	for i := range 50 {
		r.create("p", fmt.Sprintf(`{"id":"%d","pk":"p"}`, i))
		r.create("q", fmt.Sprintf(`{"id":"%d","pk":"q"}`, i))
	}
	done := make(chan struct{})
	var reading sync.WaitGroup
	for range 2 {
		reading.Go(func() {
			for lists := 0; ; lists++ {
				select {
				case <-done:
					if lists > 0 {
						return
					}
				default:
				}
				got := r.raw(http.MethodGet, "/dbs/db/colls/items/docs", "", "x-ms-start-epk", "01", "x-ms-end-epk", "3E")
				if got.StatusCode != http.StatusOK {
					t.Errorf("got status %d", got.StatusCode)
				}
			}
		})
	}
	id := "0"
	for range 50 {
		children, err := r.server.Split("db", "items", id, cosmosemu.SplitOptions{})
		if err == nil {
			id, err = r.server.Merge("db", "items", children[0], children[1])
		}
		if err != nil {
			t.Error(err)
			break
		}
	}
	close(done)
	reading.Wait()
}
