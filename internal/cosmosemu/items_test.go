package cosmosemu_test

import (
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/data/azcosmos"
)

func TestItemLifeCycle(t *testing.T) {
	r, ctx := newRig(t), t.Context()
	created := r.create("p", `{"id":"a","pk":"p","n":1.50,"b":"<&>","_etag":"mine","_lsn":7}`)
	if created.RawResponse.StatusCode != http.StatusCreated {
		t.Errorf("create: got %d", created.RawResponse.StatusCode)
	}
	if text := string(created.Value); !strings.HasPrefix(text, `{"id":"a","pk":"p","n":1.50,"b":"<&>","_rid":`) {
		t.Errorf("create: the item was rewritten: %s", text)
	}
	body := r.object(created.Value)
	if body["_etag"] != string(created.ETag) || !strings.HasPrefix(string(created.ETag), `"`) {
		t.Errorf("create: etag %s in the header, %v in the body", created.ETag, body["_etag"])
	}
	if body["_ts"] == nil || body["_self"] == nil || body["_lsn"] != nil {
		t.Errorf("create: system properties are wrong: %s", created.Value)
	}
	_, err := r.items.CreateItem(ctx, pk("p"), []byte(`{"id":"a","pk":"p"}`), nil)
	r.refused(err, http.StatusConflict, "0")
	// The same id in another partition key is another item.
	r.create("q", `{"id":"a","pk":"q"}`)

	replaced, err := r.items.ReplaceItem(ctx, pk("p"), "a", []byte(`{"id":"a","pk":"p","n":2}`), nil)
	if err != nil {
		t.Fatal(err)
	}
	if len(replaced.Value) != 0 || replaced.ETag == "" || replaced.ETag == created.ETag {
		t.Errorf("replace: body %q, etag %s", replaced.Value, replaced.ETag)
	}
	if got := r.read("p", "a")["n"]; got != 2.0 {
		t.Errorf("read: n is %v", got)
	}
	if got := r.read("p", "a")["_rid"]; got != body["_rid"] {
		t.Errorf("read: the rid changed from %v to %v", body["_rid"], got)
	}
	for want, text := range map[int]string{
		http.StatusOK:      `{"id":"a","pk":"p","n":3}`,
		http.StatusCreated: `{"id":"b","pk":"p"}`,
	} {
		upserted, err := r.items.UpsertItem(ctx, pk("p"), []byte(text), withBody)
		if err != nil || upserted.RawResponse.StatusCode != want {
			t.Errorf("upsert %s: got %d, %v", text, upserted.RawResponse.StatusCode, err)
		}
	}
	deleted, err := r.items.DeleteItem(ctx, pk("p"), "a", nil)
	if err != nil || deleted.RawResponse.StatusCode != http.StatusNoContent || len(deleted.Value) != 0 {
		t.Errorf("delete: %v, body %q", err, deleted.Value)
	}
	_, err = r.items.ReadItem(ctx, pk("p"), "a", nil)
	r.refused(err, http.StatusNotFound, "0")
	_, err = r.items.DeleteItem(ctx, pk("p"), "a", nil)
	r.refused(err, http.StatusNotFound, "0")
	_, err = r.items.ReplaceItem(ctx, pk("p"), "a", []byte(`{"id":"a","pk":"p"}`), nil)
	r.refused(err, http.StatusNotFound, "0")
	if again := r.create("p", `{"id":"a","pk":"p"}`); r.object(again.Value)["_rid"] == body["_rid"] {
		t.Error("an item that was created anew has the old rid")
	}
}

func TestItemPreconditions(t *testing.T) {
	r, ctx := newRig(t), t.Context()
	first := r.create("p", `{"id":"a","pk":"p"}`).ETag
	second := func() azcore.ETag {
		response, err := r.items.ReplaceItem(ctx, pk("p"), "a", []byte(`{"id":"a","pk":"p","n":2}`),
			&azcosmos.ItemOptions{IfMatchEtag: &first})
		if err != nil {
			t.Fatal(err)
		}
		return response.ETag
	}()
	stale := &azcosmos.ItemOptions{IfMatchEtag: &first}
	next := []byte(`{"id":"a","pk":"p","n":3}`)
	_, err := r.items.ReplaceItem(ctx, pk("p"), "a", next, stale)
	r.refused(err, http.StatusPreconditionFailed, "0")
	if r.transport.last.Header.Get("x-ms-session-token") == "" {
		t.Error("a 412 has no session token")
	}
	_, err = r.items.UpsertItem(ctx, pk("p"), next, stale)
	r.refused(err, http.StatusPreconditionFailed, "0")
	_, err = r.items.DeleteItem(ctx, pk("p"), "a", stale)
	r.refused(err, http.StatusPreconditionFailed, "0")
	if got := r.read("p", "a"); got["n"] != 2.0 || got["_etag"] != string(second) {
		t.Errorf("a refused write changed the item: %v", got)
	}
	// The service does not mind an upsert's If-Match where there is no item.
	if _, err := r.items.UpsertItem(ctx, pk("p"), []byte(`{"id":"new","pk":"p"}`), stale); err != nil {
		t.Error(err)
	}
	path := "/dbs/db/colls/items/docs/a"
	same := r.raw(http.MethodGet, path, "", "x-ms-documentdb-partitionkey", `["p"]`, "If-None-Match", string(second))
	if same.StatusCode != http.StatusNotModified || same.Header.Get("etag") != string(second) {
		t.Errorf("read of the known version: %d, etag %s", same.StatusCode, same.Header.Get("etag"))
	}
	other := r.raw(http.MethodGet, path, "", "x-ms-documentdb-partitionkey", `["p"]`, "If-None-Match", string(first))
	if other.StatusCode != http.StatusOK {
		t.Errorf("read of an unknown version: %d", other.StatusCode)
	}
	exists := r.raw(http.MethodPost, "/dbs/db/colls/items/docs", `{"id":"a","pk":"p"}`,
		"x-ms-documentdb-partitionkey", `["p"]`, "x-ms-documentdb-is-upsert", "True", "If-None-Match", "*")
	if exists.StatusCode != http.StatusPreconditionFailed {
		t.Errorf("upsert that must not find an item: %d", exists.StatusCode)
	}
}

func TestItemRefusals(t *testing.T) {
	r, ctx := newRig(t), t.Context()
	for _, test := range []struct {
		name, partition, body string
		status                int
		substatus             string
	}{
		{"other partition key", "p", `{"id":"a","pk":"q"}`, 400, "1001"},
		{"no partition key", "p", `{"id":"a"}`, 400, "1001"},
		{"partition key of another type", "1", `{"id":"a","pk":1}`, 400, "1001"},
		{"object as partition key", "p", `{"id":"a","pk":{}}`, 400, "1001"},
		{"no id", "p", `{"pk":"p"}`, 400, "0"},
		{"empty id", "p", `{"id":"","pk":"p"}`, 400, "0"},
		{"number as id", "p", `{"id":1,"pk":"p"}`, 400, "0"},
		{"long id", "p", `{"id":"` + strings.Repeat("x", 1024) + `","pk":"p"}`, 400, "0"},
		{"array", "p", `[]`, 400, "0"},
		{"no JSON", "p", `{"id":"a",`, 400, "0"},
		{"nothing", "p", ``, 400, "0"},
		{"invalid UTF-8", "p", "{\"id\":\"a\",\"pk\":\"p\",\"x\":\"\xff\"}", 400, "0"},
		{"number out of range", "p", `{"id":"a","pk":"p","x":1e999}`, 400, "0"},
		{"too deep", "p", `{"id":"a","pk":"p","x":` + strings.Repeat("[", 200) + strings.Repeat("]", 200) + `}`, 400, "0"},
		{"ttl 0", "p", `{"id":"a","pk":"p","ttl":0}`, 400, "0"},
		{"ttl -2", "p", `{"id":"a","pk":"p","ttl":-2}`, 400, "0"},
		{"ttl text", "p", `{"id":"a","pk":"p","ttl":"5"}`, 400, "0"},
		{"ttl fraction", "p", `{"id":"a","pk":"p","ttl":1.5}`, 400, "0"},
		{"too large", "p", `{"id":"a","pk":"p","x":"` + strings.Repeat("x", 2<<20) + `"}`, 413, "0"},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := r.items.CreateItem(ctx, pk(test.partition), []byte(test.body), nil)
			(&rig{T: t}).refused(err, test.status, test.substatus)
		})
	}
	created := r.create("p", `{"id":"a","pk":"p"}`)
	for name, odd := range map[string]struct {
		status  int
		headers []string
	}{
		"partition key": {http.StatusBadRequest, []string{"x-ms-documentdb-partitionkey", "[\"a\xff\"]"}},
		"version":       {http.StatusPreconditionFailed, []string{"x-ms-documentdb-partitionkey", `["p"]`, "If-Match", string(created.ETag) + "\xff"}},
	} {
		response := r.raw(http.MethodGet, "/dbs/db/colls/items/docs/a", "", odd.headers...)
		body, err := io.ReadAll(response.Body)
		if err != nil {
			t.Fatal(err)
		}
		if response.StatusCode != odd.status || !utf8.Valid(body) {
			t.Errorf("%s that is no UTF-8: %d, %q", name, response.StatusCode, body)
		}
	}
	_, err := r.items.ReplaceItem(ctx, pk("p"), "a", []byte(`{"id":"b","pk":"p"}`), nil)
	r.refused(err, http.StatusBadRequest, "0")
	_, err = r.items.ReadItem(ctx, azcosmos.NewPartitionKey(), "a", nil)
	r.refused(err, http.StatusBadRequest, "1001")
	for _, name := range []struct{ database, container string }{{"db", "none"}, {"none", "items"}} {
		absent, err := r.client.NewContainer(name.database, name.container)
		if err != nil {
			t.Fatal(err)
		}
		_, err = absent.ReadItem(ctx, pk("p"), "a", nil)
		r.refused(err, http.StatusNotFound, "1003")
	}
}

func TestItemWithOddID(t *testing.T) {
	r, ctx := newRig(t), t.Context()
	for _, id := range []string{
		"a/b", `a\b`, "a b", "a%2Fb", "a#b", "a?b", "ü→😀", "a|b|/subscriptions/c", "a..b", "a+b", "a'b", `a"b`, "x ",
	} {
		text := `{"id":` + strconv.Quote(id) + `,"pk":` + strconv.Quote(id) + `}`
		r.create(id, text)
		if got := r.read(id, id)["id"]; got != id {
			t.Errorf("%q: read %q", id, got)
		}
		if _, err := r.items.ReplaceItem(ctx, pk(id), id, []byte(text), nil); err != nil {
			t.Errorf("%q: replace: %v", id, err)
		}
		rows, _, err := r.query("SELECT c.id FROM c", pk(id), nil)
		if err != nil || len(rows) != 1 {
			t.Errorf("%q: query: %v, %v", id, rows, err)
		}
		if _, err := r.items.DeleteItem(ctx, pk(id), id, nil); err != nil {
			t.Errorf("%q: delete: %v", id, err)
		}
	}
}

func TestPartitionKeyKinds(t *testing.T) {
	r, ctx := newRig(t), t.Context()
	for name, test := range map[string]struct {
		key  azcosmos.PartitionKey
		body string
	}{
		"null":    {azcosmos.NullPartitionKey, `{"id":"a","pk":null}`},
		"number":  {azcosmos.NewPartitionKeyNumber(1.5), `{"id":"a","pk":15e-1}`},
		"true":    {azcosmos.NewPartitionKeyBool(true), `{"id":"a","pk":true}`},
		"control": {pk("\x01\a\u2028\u00e9"), `{"id":"a","pk":"\u0001\u0007\u2028é"}`},
	} {
		if _, err := r.items.CreateItem(ctx, test.key, []byte(test.body), nil); err != nil {
			t.Errorf("%s: create: %v", name, err)
		}
		if _, err := r.items.ReadItem(ctx, test.key, "a", nil); err != nil {
			t.Errorf("%s: read: %v", name, err)
		}
	}
	for _, header := range []string{`[{}]`, `{}`} {
		got := r.raw(http.MethodPost, "/dbs/db/colls/items/docs", `{"id":"`+header+`"}`, "x-ms-documentdb-partitionkey", header)
		if got.StatusCode != http.StatusCreated {
			t.Errorf("undefined as %s: %d", header, got.StatusCode)
		}
	}
	for _, header := range []string{`[`, `["a"`, `["a" "b"]`, `["\xff"]`, `["\ud800"]`, `[abc]`, `["a","b"]`, `[1x]`, `"a"`} {
		got := r.raw(http.MethodPost, "/dbs/db/colls/items/docs", `{"id":"x","pk":"a"}`, "x-ms-documentdb-partitionkey", header)
		if got.StatusCode != http.StatusBadRequest {
			t.Errorf("partition key %s: %d", header, got.StatusCode)
		}
	}
}
