package cosmosemu_test

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/Azure/azure-sdk-for-go/sdk/data/azcosmos"

	"opfeed/internal/cosmosemu"
	"opfeed/internal/inproc"
)

// TestConcurrentUse writes pairs of items, each pair in one batch with one
// number, from several goroutines. Whoever reads both at once, by query or by
// feed, must see the same number twice; and no conditional increment is lost.
func TestConcurrentUse(t *testing.T) {
	r, ctx := newRig(t), t.Context()
	r.transport.next = nil // its list of calls is not for several goroutines
	r.items = r.concurrent()
	r.create("p", `{"id":"counter","pk":"p","n":0}`)
	const writers, rounds = 4, 100
	var writing, reading sync.WaitGroup
	for w := range writers {
		writing.Go(func() {
			items, random := r.concurrent(), rand.New(rand.NewPCG(uint64(w), 0))
			for round := range rounds {
				name, n := strconv.Itoa(random.IntN(3)), w*rounds+round
				batch := items.NewTransactionalBatch(pk("p"))
				batch.UpsertItem(fmt.Appendf(nil, `{"id":"%s-left","pk":"p","pair":%q,"n":%d}`, name, name, n), nil)
				batch.UpsertItem(fmt.Appendf(nil, `{"id":"%s-right","pk":"p","pair":%q,"n":%d}`, name, name, n), nil)
				if response, err := items.ExecuteTransactionalBatch(ctx, batch, nil); err != nil || !response.Success {
					t.Errorf("batch: %v", err)
				}
				var ops azcosmos.PatchOperations
				ops.AppendIncrement("/n", 1)
				for {
					read, err := items.ReadItem(ctx, pk("p"), "counter", nil)
					if err != nil {
						t.Errorf("read: %v", err)
						return
					}
					_, err = items.PatchItem(ctx, pk("p"), "counter", ops, &azcosmos.ItemOptions{IfMatchEtag: &read.ETag})
					if err == nil {
						break
					}
					if !strings.Contains(err.Error(), strconv.Itoa(http.StatusPreconditionFailed)) {
						t.Errorf("patch: %v", err)
						return
					}
				}
			}
		})
	}
	done := make(chan struct{})
	reading.Go(func() { r.watchPairs(r.concurrent(), done) })
	writing.Wait()
	close(done)
	reading.Wait()
	if n := r.read("p", "counter")["n"]; n != float64(writers*rounds) {
		t.Errorf("%d increments made %v", writers*rounds, n)
	}
}

// concurrent is one more client, for a goroutine of its own: nothing records
// what it sends.
func (r *rig) concurrent() *azcosmos.ContainerClient {
	r.Helper()
	o := r.options()
	o.Transport = inproc.New(r.server)
	credential, err := azcosmos.NewKeyCredential(cosmosemu.WellKnownKey)
	if err != nil {
		r.Fatal(err)
	}
	client, err := azcosmos.NewClientWithKey(r.endpoint(), credential, o)
	if err != nil {
		r.Fatal(err)
	}
	items, err := client.NewContainer("db", "items")
	if err != nil {
		r.Fatal(err)
	}
	return items
}

// watchPairs holds every page of the feed and every query to the pairs.
func (r *rig) watchPairs(items *azcosmos.ContainerClient, done <-chan struct{}) {
	token := from(`"0"`)
	for {
		select {
		case <-done:
			return
		default:
		}
		page, err := items.ReadChangeFeed(r.Context(), &azcosmos.ChangeFeedOptions{Continuation: token, MaxItemCount: 1})
		if err != nil {
			r.Errorf("feed: %v", err)
			return
		}
		token = &page.ContinuationToken
		r.checkPairs("feed", page.Items)
		rows, err := items.NewQueryItemsPager("SELECT * FROM c", pk("p"), nil).NextPage(r.Context())
		if err != nil {
			r.Errorf("query: %v", err)
			return
		}
		r.checkPairs("query", rows.Items)
	}
}

func (r *rig) checkPairs(source string, items [][]byte) {
	seen := map[any][]any{}
	for _, text := range items {
		if item := r.object(text); item["pair"] != nil {
			seen[item["pair"]] = append(seen[item["pair"]], item["n"])
		}
	}
	for pair, numbers := range seen {
		if len(numbers) != 2 || numbers[0] != numbers[1] {
			r.Errorf("%s: pair %v has %v", source, pair, numbers)
		}
	}
}
