package cosmosemu_test

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strconv"
	"testing"

	"github.com/Azure/azure-sdk-for-go/sdk/data/azcosmos"

	"opfeed/internal/cosmosemu"
	"opfeed/internal/epk"
)

// reshape splits a range or merges two, at random.
func (r *rig) reshape(random *rand.Rand) {
	r.Helper()
	ranges := r.ranges()
	at := random.IntN(len(ranges))
	if merge := random.IntN(8) < len(ranges); merge && at+1 < len(ranges) {
		r.merge(ranges[at].ID, ranges[at+1].ID)
		return
	}
	r.split(ranges[at].ID, cosmosemu.SplitOptions{})
}

// TestPagingWhileRangesChange reshapes the ranges between any two pages. Every
// item that is there all the time is a row once.
func TestPagingWhileRangesChange(t *testing.T) {
	for seed := range uint64(10) {
		t.Run(strconv.FormatUint(seed, 10), func(t *testing.T) {
			r, random := newRigOf(t, 3), rand.New(rand.NewPCG(seed, 2))
			var want []string
			for i := range 200 {
				id := fmt.Sprintf("%03d", i)
				key := "key-" + strconv.Itoa(random.IntN(40))
				r.create(key, fmt.Sprintf(`{"id":%q,"pk":%q}`, id, key))
				want = append(want, id)
			}
			for name, read := range map[string]func(token, size string) *http.Response{
				"list": func(token, size string) *http.Response {
					return r.raw(http.MethodGet, "/dbs/db/colls/items/docs", "", "x-ms-continuation", token, "x-ms-max-item-count", size)
				},
				"query": func(token, size string) *http.Response {
					return r.raw(http.MethodPost, "/dbs/db/colls/items/docs", `{"query":"SELECT * FROM c WHERE c.id >= '000'"}`,
						"Content-Type", "application/query+json", "x-ms-documentdb-query-enablecrosspartition", "True",
						"x-ms-continuation", token, "x-ms-max-item-count", size)
				},
			} {
				var got []string
				pages, token := 0, ""
				for first := true; first || token != ""; first = false {
					response := read(token, strconv.Itoa(1+random.IntN(20)))
					if response.StatusCode != http.StatusOK {
						t.Fatalf("%s: %d on page %d", name, response.StatusCode, pages)
					}
					_, ids := r.documents(response)
					got = append(got, ids...)
					if token = response.Header.Get("x-ms-continuation"); len(token) > 1000 {
						t.Fatalf("%s: a token of %d bytes", name, len(token))
					}
					if pages++; pages > 1000 {
						t.Fatalf("%s: the pages do not end", name)
					}
					r.reshape(random)
				}
				if slices.Sort(got); !slices.Equal(got, want) {
					t.Errorf("%s: %d rows on %d pages, want %d", name, len(got), pages, len(want))
				}
			}
		})
	}
}

// TestPageOfEachRange reads across ranges without changes.
func TestPageOfEachRange(t *testing.T) {
	r := newRigOf(t, 4)
	for i, low := range []string{"30", "10", "20"} {
		key := keysIn(low, low[:1]+"FFF", 1)[0]
		r.create(key, fmt.Sprintf(`{"id":"%d","pk":%q}`, i, key))
	}
	rows, pages, err := r.query("SELECT VALUE c.id FROM c", everywhere, nil)
	if err != nil || pages != 4 || !slices.Equal(rows, []string{`"1"`, `"2"`, `"0"`}) {
		t.Errorf("%v on %d pages, %v", rows, pages, err)
	}
	list := func(low, token string) *http.Response {
		return r.raw(http.MethodGet, "/dbs/db/colls/items/docs", "", "x-ms-start-epk", low, "x-ms-continuation", token)
	}
	token := list("10", "").Header.Get("x-ms-continuation")
	r.status(list("10", token), http.StatusOK, "")
	r.status(list("20", token), http.StatusBadRequest, "0")
}

// TestPrefixAcrossRanges queries the first level of a hierarchical key, whose
// second level is spread over several ranges.
func TestPrefixAcrossRanges(t *testing.T) {
	r := newRig(t)
	database, err := r.client.NewDatabase("db")
	if err != nil {
		t.Fatal(err)
	}
	_, err = database.CreateContainer(t.Context(), azcosmos.ContainerProperties{
		ID: "levels", PartitionKeyDefinition: azcosmos.PartitionKeyDefinition{
			Paths: []string{"/a", "/b"}, Kind: azcosmos.PartitionKeyKindMultiHash, Version: 2,
		},
	}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if r.items, err = r.client.NewContainer("db", "levels"); err != nil {
		t.Fatal(err)
	}
	var want []string
	for i := range 20 {
		for _, first := range []string{"one", "two"} {
			second := strconv.Itoa(i)
			body := fmt.Appendf(nil, `{"id":%q,"a":%q,"b":%q}`, second, first, second)
			if _, err := r.items.CreateItem(t.Context(), pk(first).AppendString(second), body, nil); err != nil {
				t.Fatal(err)
			}
		}
		want = append(want, `"`+strconv.Itoa(i)+`"`)
	}
	prefix := epk.Of("one")
	for id, tail := range []string{"20", "0C"} { // range 1 is the first child of range 0
		if _, err := r.server.Split("db", "levels", strconv.Itoa(id), cosmosemu.SplitOptions{At: prefix + tail}); err != nil {
			t.Fatal(err)
		}
	}
	rows, pages, err := r.query("SELECT VALUE c.id FROM c", pk("one"), &azcosmos.QueryOptions{PageSizeHint: 3})
	if err != nil || pages < 8 {
		t.Errorf("%d pages, %v", pages, err)
	}
	slices.Sort(rows)
	slices.Sort(want)
	if !slices.Equal(rows, want) {
		t.Errorf("got %v, want %v", rows, want)
	}
	for i := range 20 {
		key := pk("one").AppendString(strconv.Itoa(i))
		if rows, _, err := r.query("SELECT VALUE COUNT(1) FROM c", key, nil); err != nil || !slices.Equal(rows, []string{"1"}) {
			t.Errorf("of one key: %v, %v", rows, err)
		}
	}
}
