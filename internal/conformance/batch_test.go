package conformance

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/data/azcosmos"
)

func statuses(r azcosmos.TransactionalBatchResponse) []int32 {
	var list []int32
	for _, result := range r.OperationResults {
		list = append(list, result.StatusCode)
	}
	return list
}

func onlyIf(etag string) *azcosmos.TransactionalBatchItemOptions {
	return &azcosmos.TransactionalBatchItemOptions{IfMatchETag: (*azcore.ETag)(&etag)}
}

func setN(n int) azcosmos.PatchOperations {
	var p azcosmos.PatchOperations
	p.AppendSet("/n", n)
	return p
}

func TestBatchAppliesAll(t *testing.T) {
	t.Parallel()
	c := newContainer(t)
	replaced := c.put(item{ID: "replaced", PK: "p", N: 1})
	patched := c.put(item{ID: "patched", PK: "p", N: 1})
	deleted := c.put(item{ID: "deleted", PK: "p", N: 1})
	got := c.batch("p", func(b *azcosmos.TransactionalBatch) {
		b.CreateItem(item{ID: "created", PK: "p", N: 1}.json(), nil)
		b.ReplaceItem("replaced", item{ID: "replaced", PK: "p", N: 2}.json(), onlyIf(replaced.ETag))
		b.PatchItem("patched", setN(2), onlyIf(patched.ETag))
		b.DeleteItem("deleted", onlyIf(deleted.ETag))
		b.UpsertItem(item{ID: "upserted", PK: "p", N: 1}.json(), nil)
		// Later operations see what earlier ones did.
		b.PatchItem("created", setN(2), nil)
		b.ReadItem("created", nil)
	})
	if want := []int32{201, 200, 200, 204, 201, 200, 200}; !got.Success || !slices.Equal(statuses(got), want) {
		t.Fatalf("got %v, success %t, want %v", statuses(got), got.Success, want)
	}
	for n, result := range got.OperationResults {
		if result.RequestCharge <= 0 {
			t.Errorf("operation %d: charge %v", n, result.RequestCharge)
		}
	}
	if read := decode[item](t, got.OperationResults[6].ResourceBody); read.N != 2 {
		t.Errorf("the batch read %+v", read)
	}
	for id, n := range map[string]int{"created": 2, "replaced": 2, "patched": 2, "upserted": 1} {
		if read := decode[item](t, c.read("p", id).body); read.N != n {
			t.Errorf("%s: got %+v, want n = %d", id, read, n)
		}
	}
	if read := c.read("p", "deleted"); read.status != http.StatusNotFound {
		t.Errorf("deleted: got %v", read)
	}
}

// One operation that fails has its own status, the others 424; the whole is 207,
// and the feed shows nothing.
func TestBatchAppliesNothingIfOneFails(t *testing.T) {
	t.Parallel()
	type batch = azcosmos.TransactionalBatch
	for _, test := range []struct {
		name   string
		fail   func(b *batch, stale string)
		status int32
	}{
		{"replace of an old version", func(b *batch, stale string) {
			b.ReplaceItem("a", item{ID: "a", PK: "p", N: 9}.json(), onlyIf(stale))
		}, 412},
		{"upsert of an old version", func(b *batch, stale string) { b.UpsertItem(item{ID: "a", PK: "p", N: 9}.json(), onlyIf(stale)) }, 412},
		{"patch of an old version", func(b *batch, stale string) { b.PatchItem("a", setN(9), onlyIf(stale)) }, 412},
		{"delete of an old version", func(b *batch, stale string) { b.DeleteItem("a", onlyIf(stale)) }, 412},
		{"create of what exists", func(b *batch, _ string) { b.CreateItem(item{ID: "a", PK: "p", N: 9}.json(), nil) }, 409},
		{"replace of what is not there", func(b *batch, _ string) {
			b.ReplaceItem("none", item{ID: "none", PK: "p", N: 9}.json(), nil)
		}, 404},
		{"delete of what is not there", func(b *batch, _ string) { b.DeleteItem("none", nil) }, 404},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			c := newContainer(t)
			stale := c.put(item{ID: "a", PK: "p", N: 1})
			current := c.put(item{ID: "a", PK: "p", N: 2})
			feed := c.readKey("p")
			feed.wants("a")
			got := c.batch("p", func(b *batch) {
				b.CreateItem(item{ID: "before", PK: "p"}.json(), nil)
				test.fail(b, stale.ETag)
				b.UpsertItem(item{ID: "after", PK: "p"}.json(), nil)
			})
			if want := []int32{424, test.status, 424}; got.Success || !slices.Equal(statuses(got), want) {
				t.Errorf("got %v, success %t, want %v", statuses(got), got.Success, want)
			}
			if got.RawResponse.StatusCode != http.StatusMultiStatus {
				t.Errorf("the whole has status %d, want 207", got.RawResponse.StatusCode)
			}
			if read := decode[item](t, c.read("p", "a").body); read.ETag != current.ETag {
				t.Errorf("the item was %+v, is %+v", current, read)
			}
			for _, id := range []string{"before", "after", "none"} {
				if read := c.read("p", id); read.status != http.StatusNotFound {
					t.Errorf("%s: got %v, want 404", id, read)
				}
			}
			feed.wants()
		})
	}
}

// Whether more than 100 operations are refused with 400 is not documented; that
// they are refused is.
func TestBatchHasAtMost100Operations(t *testing.T) {
	t.Parallel()
	c := newContainer(t)
	send := func(prefix string, n int) reply {
		list := make([]string, n)
		for i := range list {
			list[i] = fmt.Sprintf(`{"operationType":"Create","resourceBody":{"id":"%s%d","pk":"p"}}`, prefix, i)
		}
		return c.sendBatch("[" + strings.Join(list, ",") + "]")
	}
	if got := send("few", 100); got.status != http.StatusOK {
		t.Errorf("100 operations: got %v", got)
	}
	if got := send("many", 101); got.status != http.StatusBadRequest {
		t.Errorf("101 operations: got %v, want 400", got)
	}
	if got := c.readKey("p").drain(1000); len(got) != 100 {
		t.Errorf("%d items were stored", len(got))
	}
}

func (c *container) sendBatch(body string) reply {
	c.Helper()
	return c.send(http.MethodPost, "docs", body, headerKey, key("p"), "Content-Type", "application/json",
		"x-ms-cosmos-is-batch-request", "True", "x-ms-cosmos-batch-atomic", "True", "x-ms-cosmos-batch-ordered", "True")
}
