package cosmosemu_test

import (
	"net/http"
	"net/url"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"
	"unicode/utf8"

	"github.com/Azure/azure-sdk-for-go/sdk/data/azcosmos"

	"opfeed/internal/cosmosemu"
	"opfeed/internal/fault"
)

func TestRequestLog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRigWith(t, cosmosemu.Options{}, cosmosemu.Container{ID: "items", PartitionKey: "/pk", Ranges: 2})
		last := func() cosmosemu.RequestEntry {
			kept, _ := r.server.Requests()
			return kept[len(kept)-1]
		}
		entry := func(kind, method, rangeID, key, id string, status int) cosmosemu.RequestEntry {
			return cosmosemu.RequestEntry{
				Time: time.Now(), Agent: "test", Method: method, Kind: kind, Database: "db", Container: "items",
				Range: rangeID, Key: key, ID: id, Status: status,
			}
		}
		expect := func(want cosmosemu.RequestEntry) {
			t.Helper()
			have := last()
			if have.RequestUnits <= 0 || !have.Time.Equal(want.Time) {
				t.Errorf("%s costs %v, at %v", have.Kind, have.RequestUnits, have.Time)
			}
			have.RequestUnits, have.Time, want.Time = 0, time.Time{}, time.Time{}
			if !reflect.DeepEqual(have, want) {
				t.Errorf("have %+v\nwant %+v", have, want)
			}
		}
		create := entry("create", "POST", "0", `["p"]`, "a", 201)
		create.BytesIn, create.BytesOut = len(`{"id":"a","pk":"p"}`), len(r.create("p", `{"id":"a","pk":"p"}`).Value)
		expect(create)

		_, err := r.items.ReadItem(t.Context(), pk("a"), "none", nil)
		r.refused(err, http.StatusNotFound, "0")
		refused := entry("read", "GET", "1", `["a"]`, "none", 404)
		refused.BytesOut = last().BytesOut
		expect(refused)

		r.statuses(r.batch(func(b *azcosmos.TransactionalBatch) {
			b.DeleteItem("a", nil)
			b.CreateItem([]byte(`{"id":"b","pk":"p"}`), nil)
		}, nil), 204, 201)
		batch := entry("batch", "POST", "0", `["p"]`, "a,b", 200)
		batch.BytesIn, batch.BytesOut = last().BytesIn, last().BytesOut
		expect(batch)

		e := refusing(429, 3200)
		e.After = fault.Duration(time.Second)
		r.fault(cosmosemu.Fault{Name: "busy", Effect: e})
		hit := entry("read", "GET", "0", `["p"]`, "b", 429)
		hit.Substatus, hit.Duration, hit.Faults = 3200, fault.Duration(time.Second), []string{"busy"}
		_, err = r.items.ReadItem(t.Context(), pk("p"), "b", nil)
		r.refused(err, 429, "3200")
		hit.BytesOut = last().BytesOut
		expect(hit)
		if hit.BytesOut == 0 || batch.BytesOut == 0 || refused.BytesOut == 0 {
			t.Error("answers have no size")
		}
	})
}

// Who is refused at the door is in the log, and costs nothing.
func TestRequestLogAtTheDoor(t *testing.T) {
	r := newRig(t)
	r.raw(http.MethodGet, "/dbs/db", "", "Authorization", "none", "User-Agent", "stranger")
	kept, total := r.server.Requests()
	if total != 1 || kept[0].Status != http.StatusUnauthorized || kept[0].Agent != "stranger" || kept[0].RequestUnits != 0 {
		t.Errorf("have %+v", kept)
	}
}

// A write that is refused before its handler comes to the item is logged with its
// id, whether or not a rule has asked for that.
func TestRequestLogOfRefusedWrites(t *testing.T) {
	for name, request := range map[string]struct{ path, body, batch string }{
		"create, no container": {"/dbs/db/colls/none/docs", `{"id":"a","pk":"p"}`, ""},
		"create, another key":  {"/dbs/db/colls/items/docs", `{"id":"a","pk":"q"}`, ""},
		"batch, no container":  {"/dbs/db/colls/none/docs", `[{"operationType":"Create","resourceBody":{"id":"a","pk":"p"}}]`, "True"},
		"batch, another key":   {"/dbs/db/colls/items/docs", `[{"operationType":"Create","resourceBody":{"id":"a","pk":"q"}}]`, "True"},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			r.raw(http.MethodPost, request.path, request.body, "x-ms-documentdb-partitionkey", `["p"]`,
				"x-ms-cosmos-is-batch-request", request.batch, "x-ms-cosmos-batch-atomic", request.batch)
			if kept, _ := r.server.Requests(); len(kept) != 1 || kept[0].ID != "a" {
				t.Errorf("have %+v", kept)
			}
		})
	}
}

func TestRequestLogSize(t *testing.T) {
	for size, want := range map[int]int{-1: 0, 2: 2, 0: 5} {
		r := newRigWith(t, cosmosemu.Options{LogRequests: size}, cosmosemu.Container{ID: "items", PartitionKey: "/pk"})
		for range 5 {
			r.raw(http.MethodGet, "/", "")
		}
		if kept, _ := r.server.Requests(); len(kept) != want {
			t.Errorf("LogRequests %d keeps %d of 5", size, len(kept))
		}
	}
}

// Whatever clients write into their requests, little of each is kept.
func TestRequestLogIsBounded(t *testing.T) {
	r := newRig(t)
	long := strings.Repeat("\u00e9", 10_000)
	r.raw(strings.Repeat("G", 10_000), "/dbs/"+url.PathEscape(long)+"/colls/"+url.PathEscape(long)+"/docs/"+url.PathEscape(long), "",
		"User-Agent", long, "x-ms-documentdb-partitionkey", long, "x-ms-documentdb-partitionkeyrangeid", long)
	kept, _ := r.server.Requests()
	one := kept[0]
	for i, text := range []string{one.Agent, one.Method, one.Database, one.Container, one.Range, one.Key, one.ID} {
		if len(text) > 4<<10 || text == "" || !utf8.ValidString(text) {
			t.Errorf("text %d has %d bytes", i, len(text))
		}
	}
}

// Nor can they fill the statistics with names that they make up.
func TestStatsAreBounded(t *testing.T) {
	const names, most = 6_000, 5_000
	r := newRig(t)
	r.create("p", `{"id":"a","pk":"p"}`)
	for i := range names {
		r.raw(http.MethodGet, "/dbs/x/colls/c"+strconv.Itoa(i), "", "Authorization", "none", "User-Agent", "a"+strconv.Itoa(i))
	}
	r.read("p", "a")
	r.read("p", "a")
	sums, requests := r.server.Stats().Charges, int64(0)
	for _, sum := range sums {
		requests += sum.Requests
	}
	if len(sums) > most+10 || requests < names+3 {
		t.Errorf("%d sums of %d requests", len(sums), requests)
	}
}
