package cosmosemu_test

import (
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/Azure/azure-sdk-for-go/sdk/data/azcosmos"

	"opfeed/internal/cosmosemu"
	"opfeed/internal/epk"
)

var everywhere = azcosmos.NewPartitionKey()

func (r *rig) fill(n int) {
	r.Helper()
	for i := range n {
		r.create("p", fmt.Sprintf(`{"id":"%02d","pk":"p","n":%d,"mod":%d}`, i, n-i, i%3))
	}
	r.create("q", `{"id":"other","pk":"q","n":1}`)
}

func TestQueryScope(t *testing.T) {
	r := newRig(t)
	r.fill(4)
	no := false
	for _, test := range []struct {
		query string
		key   azcosmos.PartitionKey
		o     *azcosmos.QueryOptions
		rows  int
	}{
		{"SELECT * FROM c", pk("p"), nil, 4},
		{"SELECT * FROM c", pk("q"), nil, 1},
		{"SELECT * FROM c", pk("absent"), nil, 0},
		{"SELECT * FROM c", everywhere, nil, 5},
		{"SELECT * FROM c WHERE c.n = 1", everywhere, nil, 2},
		{"SELECT * FROM c WHERE c.pk = 'p' ORDER BY c.n", everywhere, nil, 4},
		{"SELECT * FROM c WHERE c.pk = 'p' AND c.n > 1", everywhere, &azcosmos.QueryOptions{EnableCrossPartitionQuery: &no}, 3},
		{"SELECT VALUE COUNT(1) FROM c WHERE @p = c.pk", everywhere, &azcosmos.QueryOptions{
			QueryParameters: []azcosmos.QueryParameter{{Name: "@p", Value: "p"}},
		}, 1},
	} {
		rows, _, err := r.query(test.query, test.key, test.o)
		if err != nil || len(rows) != test.rows {
			t.Errorf("%s: got %d rows, want %d, %v", test.query, len(rows), test.rows, err)
		}
	}
}

func TestQueryRefusals(t *testing.T) {
	r := newRig(t)
	r.fill(1)
	no := false
	_, _, err := r.query("SELECT * FROM c", everywhere, &azcosmos.QueryOptions{EnableCrossPartitionQuery: &no})
	r.refused(err, http.StatusBadRequest, "0")
	for _, query := range []string{
		"SELECT * FROM c ORDER BY c.n", "SELECT TOP 1 * FROM c", "SELECT VALUE COUNT(1) FROM c",
		"SELECT * FROM c OFFSET 0 LIMIT 1", "SELECT * FROM c WHERE c.pk = 'p' OR c.pk = 'q' ORDER BY c.n",
		"SELECT * FROM c WHERE c.pk = c.id ORDER BY c.n", "SELECT DISTINCT c.n FROM c", "SELECT SUM(c.n) FROM c",
	} {
		_, _, err := r.query(query, everywhere, nil)
		r.refused(err, http.StatusBadRequest, "1004")
		if !strings.Contains(err.Error(), "cross partition query can not be directly served by the gateway") {
			t.Errorf("%s: %v", query, err)
		}
	}
	for query, names := range map[string]string{
		"SELECT * FROM c WHERE SOUNDEX(c.n) = 1": "SOUNDEX",
		"SELECT * FROM c JOIN x IN c.list":       "JOIN",
		"SELECT c.n FROM c GROUP BY c.n":         "GROUP BY",
		"SELECT COUNT(1), c.n FROM c":            "not contained in an aggregate function",
		"SELECT * FROM c WHERE c.n = @missing":   "@missing",
		"nonsense":                               "nonsense",
	} {
		_, _, err := r.query(query, pk("p"), nil)
		r.refused(err, http.StatusBadRequest, "0")
		if !strings.Contains(err.Error(), names) || !strings.Contains(err.Error(), `"message": "{\"errors\":[{\"severity\":\"Error\",\"location\":`) {
			t.Errorf("%s: %v", query, err)
		}
	}
	for name, body := range map[string]string{
		"no JSON": "{", "no text": `{"query":1}`, "nothing": "{}",
		"parameter twice":     `{"query":"SELECT * FROM c","parameters":[{"name":"@a"},{"name":"@a"}]}`,
		"parameter without @": `{"query":"SELECT * FROM c","parameters":[{"name":"a"}]}`,
	} {
		got := r.raw(http.MethodPost, "/dbs/db/colls/items/docs", body, "x-ms-documentdb-query", "True", "x-ms-documentdb-partitionkey", `["p"]`)
		if got.StatusCode != http.StatusBadRequest {
			t.Errorf("%s: %d", name, got.StatusCode)
		}
	}
}

func TestQueryPages(t *testing.T) {
	r := newRig(t)
	r.fill(20)
	for _, test := range []struct {
		query string
		size  int32
		rows  int
		pages int
	}{
		{"SELECT VALUE c.id FROM c", 5, 20, 5}, // the last one is empty
		{"SELECT VALUE c.id FROM c", 6, 20, 4},
		{"SELECT VALUE c.id FROM c", -1, 20, 1},
		{"SELECT VALUE c.id FROM c WHERE c.mod = 0", 3, 7, 3},
		{"SELECT VALUE c.id FROM c ORDER BY c.n", 10, 20, 2},
		{"SELECT VALUE c.id FROM c ORDER BY c.mod", 3, 20, 7},
		{"SELECT TOP 7 VALUE c.id FROM c", 3, 7, 3},
		{"SELECT TOP 0 * FROM c", 3, 0, 1},
		{"SELECT VALUE c.id FROM c OFFSET 5 LIMIT 6", 4, 6, 2},
		{"SELECT VALUE c.id FROM c ORDER BY c.n DESC OFFSET 15 LIMIT 100", 4, 5, 2},
		{"SELECT VALUE c.missing FROM c", 5, 0, 1},
		{"SELECT TOP 3 VALUE c.id FROM c ORDER BY c.missing", 2, 3, 2},
		{"SELECT VALUE c.id FROM c ORDER BY c.mod DESC, c.n", 3, 20, 7},
		{"SELECT VALUE c.id FROM c ORDER BY c.mod, c.missing, c.n DESC OFFSET 3 LIMIT 9", 4, 9, 3},
		{"SELECT DISTINCT VALUE c.mod FROM c", 2, 3, 2},
		{"SELECT DISTINCT c.mod, {'m': c.mod} AS o FROM c", 1, 3, 3},
		{"SELECT DISTINCT VALUE c.mod FROM c ORDER BY c.mod DESC", 2, 3, 2},
		{"SELECT DISTINCT TOP 2 c.mod FROM c", 1, 2, 2},
		{"SELECT DISTINCT VALUE c.missing FROM c", 2, 0, 1},
		{"SELECT VALUE 1", 1, 1, 1},
	} {
		rows, pages, err := r.query(test.query, pk("p"), &azcosmos.QueryOptions{PageSizeHint: test.size})
		if err != nil || len(rows) != test.rows || pages != test.pages {
			t.Errorf("%s by %d: got %d rows on %d pages, want %d on %d: %v", test.query, test.size, len(rows), pages, test.rows, test.pages, err)
		}
		slices.Sort(rows)
		if len(slices.Compact(rows)) != test.rows {
			t.Errorf("%s by %d: duplicates", test.query, test.size)
		}
	}
}

func TestQueryOrder(t *testing.T) {
	r := newRig(t)
	for i, value := range []string{`"b"`, `10`, `true`, `null`, `"a"`, `9`, `false`, `-1`} {
		r.create("p", fmt.Sprintf(`{"id":"%d","pk":"p","v":%s}`, i, value))
	}
	r.create("p", `{"id":"8","pk":"p"}`)
	for _, size := range []int32{1, 2, 4, 100} {
		up, _, err := r.query("SELECT VALUE c.id FROM c ORDER BY c.v", pk("p"), &azcosmos.QueryOptions{PageSizeHint: size})
		if want := []string{`"8"`, `"3"`, `"6"`, `"2"`, `"7"`, `"5"`, `"1"`, `"4"`, `"0"`}; err != nil || !slices.Equal(up, want) {
			t.Errorf("by %d: got %v, want %v, %v", size, up, want, err)
		}
		down, _, err := r.query("SELECT VALUE c.id FROM c ORDER BY c.v DESC", pk("p"), &azcosmos.QueryOptions{PageSizeHint: size})
		slices.Reverse(down)
		if err != nil || !slices.Equal(up, down) {
			t.Errorf("descending by %d: %v, %v", size, down, err)
		}
	}
	rows, _, err := r.query("SELECT VALUE c.id FROM c", pk("p"), nil)
	if err != nil || !slices.IsSorted(rows) {
		t.Errorf("without ORDER BY, not in the order of creation: %v, %v", rows, err)
	}
}

// TestQueryWhileWriting holds that changes between two pages hide nothing that
// was there all the time, and show nothing twice.
func TestQueryWhileWriting(t *testing.T) {
	for _, query := range []string{"SELECT VALUE c.id FROM c", "SELECT VALUE c.id FROM c ORDER BY c.n"} {
		t.Run(query, func(t *testing.T) {
			r := newRig(t)
			r.fill(30)
			pager := r.items.NewQueryItemsPager(query, pk("p"), &azcosmos.QueryOptions{PageSizeHint: 4})
			seen := map[string]int{}
			for round := 0; pager.More(); round++ {
				page, err := pager.NextPage(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				for _, row := range page.Items {
					seen[string(row)]++
				}
				id := fmt.Sprintf("%02d", (round*7)%30)
				if round%2 == 0 {
					r.items.DeleteItem(t.Context(), pk("p"), id, nil) // perhaps absent
					delete(seen, strconv.Quote(id))
				}
				r.create("p", fmt.Sprintf(`{"id":"new%d","pk":"p","n":0}`, round))
			}
			for i := range 30 {
				id := fmt.Sprintf("%02d", i)
				_, err := r.items.ReadItem(t.Context(), pk("p"), id, nil)
				if n := seen[strconv.Quote(id)]; err == nil && n != 1 {
					t.Errorf("%s was returned %d times", id, n)
				}
			}
		})
	}
}

func TestContinuation(t *testing.T) {
	r := newRig(t)
	long := strings.Repeat("x", 5000)
	for i := range 3 {
		r.create("p", fmt.Sprintf(`{"id":"%d","pk":"p","v":"%s%d"}`, i, long, i))
	}
	o := &azcosmos.QueryOptions{PageSizeHint: 1}
	page, err := r.items.NewQueryItemsPager("SELECT VALUE c.id FROM c ORDER BY c.v", pk("p"), o).NextPage(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if n := len(*page.ContinuationToken); n > 1000 {
		t.Errorf("the token has %d bytes", n)
	}
	rows, _, err := r.query("SELECT VALUE c.id FROM c ORDER BY c.v", pk("p"), &azcosmos.QueryOptions{PageSizeHint: 1, ContinuationToken: page.ContinuationToken})
	if want := []string{`"1"`, `"2"`}; err != nil || !slices.Equal(rows, want) {
		t.Errorf("continued: %v, %v", rows, err)
	}
	_, _, err = r.query("SELECT * FROM c", pk("p"), &azcosmos.QueryOptions{ContinuationToken: page.ContinuationToken})
	r.refused(err, http.StatusBadRequest, "0")
	for _, token := range []string{"nonsense", "bm9uc2Vuc2U", "e30="} {
		_, _, err := r.query("SELECT * FROM c", pk("p"), &azcosmos.QueryOptions{ContinuationToken: &token})
		r.refused(err, http.StatusBadRequest, "0")
	}
}

// A token leads into the items of one container. Another with the same name
// counts its own from the start: there the token would leave out the first ones.
func TestContinuationOfAContainerMadeAnew(t *testing.T) {
	r := newRig(t)
	list := func(token string) *http.Response {
		return r.raw(http.MethodGet, "/dbs/db/colls/items/docs", "", "x-ms-max-item-count", "1", "x-ms-continuation", token)
	}
	r.create("p", `{"id":"old","pk":"p"}`)
	token := list("").Header.Get("x-ms-continuation")
	if got := list(token).StatusCode; got != http.StatusOK {
		t.Fatalf("continued: %d", got)
	}
	if _, err := r.items.Delete(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	if err := r.server.Create("db", cosmosemu.Container{ID: "items", PartitionKey: "/pk"}); err != nil {
		t.Fatal(err)
	}
	r.create("p", `{"id":"new","pk":"p"}`)
	if got := list(token).StatusCode; got != http.StatusBadRequest {
		t.Errorf("continued in another container: %d", got)
	}
}

func TestListItems(t *testing.T) {
	r := newRig(t)
	r.fill(5)
	token, total, pages := "", 0, 0
	for {
		headers := []string{"x-ms-max-item-count", "2"}
		if token != "" {
			headers = append(headers, "x-ms-continuation", token)
		}
		page := r.raw(http.MethodGet, "/dbs/db/colls/items/docs", "", headers...)
		n, err := strconv.Atoi(page.Header.Get("x-ms-item-count"))
		if err != nil || page.StatusCode != http.StatusOK {
			t.Fatalf("%d, %v", page.StatusCode, err)
		}
		total, pages, token = total+n, pages+1, page.Header.Get("x-ms-continuation")
		if token == "" {
			break
		}
	}
	if total != 6 || pages != 4 {
		t.Errorf("%d items on %d pages", total, pages)
	}
	one := r.raw(http.MethodGet, "/dbs/db/colls/items/docs", "", "x-ms-documentdb-partitionkey", `["q"]`)
	if one.Header.Get("x-ms-item-count") != "1" || one.Header.Get("x-ms-session-token") == "" {
		t.Errorf("of one partition key: %v", one.Header)
	}
}

func TestReadMany(t *testing.T) {
	r := newRig(t)
	r.fill(3)
	all := []azcosmos.ItemIdentity{
		{ID: "00", PartitionKey: pk("p")}, {ID: "02", PartitionKey: pk("p")},
		{ID: "other", PartitionKey: pk("q")}, {ID: "absent", PartitionKey: pk("q")},
	}
	for n, want := range map[int]int{1: 1, 2: 2, 4: 3} {
		response, err := r.items.ReadManyItems(t.Context(), all[:n], nil)
		if err != nil || len(response.Items) != want {
			t.Errorf("%d asked: %d found, %v", n, len(response.Items), err)
		}
	}
}

// A partition key in WHERE narrows what the headers name, and never widens it.
func TestQueryOfPartsByKey(t *testing.T) {
	r := newRig(t)
	r.create("p", `{"id":"a","pk":"p"}`)
	rows := 0
	middle := epk.Of("p")[:2]
	for _, part := range [][2]string{{"", middle}, {middle, "FF"}} {
		got := r.raw(http.MethodPost, "/dbs/db/colls/items/docs", `{"query":"SELECT * FROM c WHERE c.pk = 'p'"}`, "x-ms-documentdb-isquery", "true",
			"x-ms-documentdb-query-enablecrosspartition", "true", "x-ms-start-epk", part[0], "x-ms-end-epk", part[1])
		text := read(t, got)
		if got.StatusCode != http.StatusOK {
			t.Fatalf("got %d: %s", got.StatusCode, text)
		}
		rows += strings.Count(text, `"id":"a"`)
	}
	if rows != 1 {
		t.Errorf("the parts of the key space have the item %d times", rows)
	}
}

func TestHierarchicalPartitionKey(t *testing.T) {
	r := newRigOfLevels(t)
	for _, key := range [][2]string{{"1", "x"}, {"1", "y"}, {"2", "x"}, {"1x", ""}} {
		_, err := r.items.CreateItem(t.Context(), pk(key[0]).AppendString(key[1]), fmt.Appendf(nil, `{"id":"i","a":%q,"b":%q}`, key[0], key[1]), nil)
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, test := range []struct {
		query string
		key   azcosmos.PartitionKey
		rows  int
	}{
		{"SELECT * FROM c ORDER BY c.id", pk("1").AppendString("x"), 1},
		{"SELECT * FROM c", pk("1"), 2},
		{"SELECT * FROM c WHERE c.a = '1'", everywhere, 2},
		{"SELECT * FROM c WHERE c.a = '1' AND c.b = 'y' ORDER BY c.id", everywhere, 1},
		{"SELECT * FROM c WHERE c.a = '1' AND c.b = 'y' ORDER BY c.id", pk("1"), 1},
		{"SELECT * FROM c WHERE c.a = '2' AND c.b = 'x'", pk("1"), 0},
		{"SELECT * FROM c", everywhere, 4},
	} {
		rows, _, err := r.query(test.query, test.key, nil)
		if err != nil || len(rows) != test.rows {
			t.Errorf("%s: %d rows, want %d: %v", test.query, len(rows), test.rows, err)
		}
	}
	_, err := r.items.ReadItem(t.Context(), pk("1"), "i", nil)
	r.refused(err, http.StatusBadRequest, "1001")
}

func TestNestedPartitionKey(t *testing.T) {
	r := newRigWith(t, cosmosemu.Options{}, cosmosemu.Container{ID: "items", PartitionKey: "/properties/sub"})
	r.transport.calls = nil
	if _, err := r.items.CreateItem(t.Context(), pk("s"), []byte(`{"id":"a","properties":{"x":1,"sub":"s"}}`), nil); err != nil {
		t.Fatal(err)
	}
	rows, _, err := r.query("SELECT VALUE c.properties.x FROM c WHERE c.properties.sub = 's' ORDER BY c.id", everywhere, nil)
	if err != nil || !slices.Equal(rows, []string{"1"}) {
		t.Errorf("%v, %v", rows, err)
	}
}
