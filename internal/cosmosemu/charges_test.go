package cosmosemu

import (
	"encoding/json"
	"net/http"
	"os"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// Every price of docs/request-units.md is a knob with that default, and every
// knob is in the document.
func TestChargesAreDocumented(t *testing.T) {
	text, err := os.ReadFile("../../docs/request-units.md")
	if err != nil {
		t.Fatal(err)
	}
	rows := regexp.MustCompile("(?m)^\\|[^|]*\\| `(\\w+)` \\| ([0-9.]+) \\| (published|assumed)\\b").FindAllStringSubmatch(string(text), -1)
	documented := map[string]float64{}
	for _, row := range rows {
		if documented[row[1]], err = strconv.ParseFloat(row[2], 64); err != nil {
			t.Error(err)
		}
	}
	defaults := reflect.ValueOf(RequestCharges{}.withDefaults())
	for i := range defaults.NumField() {
		name, value := defaults.Type().Field(i).Name, defaults.Field(i).Float()
		if got, ok := documented[name]; !ok || got != value {
			t.Errorf("%s: the default is %v, documented is %v, %v", name, value, got, ok)
		}
		delete(documented, name)
	}
	for name := range documented {
		t.Errorf("%s is documented, but there is no such price", name)
	}
	sizes := regexp.MustCompile(`(?m)^\| (\d+) KB \| ([0-9.]+) \| ([0-9.]+) \|$`).FindAllStringSubmatch(string(text), -1)
	if len(sizes) != len(sizePrices) {
		t.Fatalf("%d sizes are documented, want %d", len(sizes), len(sizePrices))
	}
	for i, p := range sizePrices {
		for column, value := range []float64{p.kilobytes, p.read, p.write} {
			if got, err := strconv.ParseFloat(sizes[i][column+1], 64); err != nil || got != value {
				t.Errorf("the price of %v KB is documented as %q, want %v", p.kilobytes, sizes[i][column+1], value)
			}
		}
	}
}

// Each kind of request has its price, and no other. The prices are made so that
// the digits of a charge say what it is made of.
func TestChargeOfEveryKind(t *testing.T) {
	s := newFuzzServer(t)
	s.SetRequestCharges(RequestCharges{
		Read: 1, Create: 10, Property: 100, Rewrite: 2, Delete: 3, Patch: 1000,
		Feed: 1.5, Query: 20000, ResultKB: 0.0001, Metadata: 300000, Refused: 4000000, Throttled: 5,
	})
	upsert := []string{"x-ms-documentdb-is-upsert", "True"}
	query := []string{"Content-Type", "application/query+json"}
	batch := []string{"x-ms-cosmos-is-batch-request", "True", "x-ms-cosmos-batch-atomic", "True"}
	feed := []string{"A-IM", "Incremental Feed"}
	for _, test := range []struct {
		name, method, below, body string
		headers                   []string
		status                    int
		want                      float64
	}{
		{"create", "POST", "docs", `{"id":"b","pk":"p"}`, nil, 201, 210},
		{"create of what exists", "POST", "docs", `{"id":"b","pk":"p"}`, nil, 409, 4000000},
		{"upsert, new", "POST", "docs", `{"id":"c","pk":"p","n":1}`, upsert, 201, 310},
		{"upsert, old", "POST", "docs", `{"id":"c","pk":"p"}`, upsert, 200, 420},
		{"replace", "PUT", "docs/c", `{"id":"c","pk":"p","n":1}`, nil, 200, 620},
		{"replace of another version", "PUT", "docs/c", `{"id":"c","pk":"p"}`, []string{"If-Match", `"x"`}, 412, 4000000},
		{"patch", "PATCH", "docs/c", `[{"op":"set","path":"/n","value":2},{"op":"incr","path":"/n","value":2}]`, nil, 200, 2620},
		{"read", "GET", "docs/c", "", nil, 200, 1},
		{"read of what is known", "GET", "docs/c", "", []string{"If-None-Match", "*"}, 304, 1},
		{"read of what is not there", "GET", "docs/x", "", nil, 404, 4000000},
		{"read ahead", "GET", "docs/c", "", []string{"x-ms-session-token", "0:-1#99"}, 404, 4000000},
		{"feed", "GET", "docs", "", feed, 200, 3},
		{"feed of one", "GET", "docs", "", append(feed, "If-None-Match", `"4"`), 200, 1.5},
		{"feed of nothing", "GET", "docs", "", append(feed, "If-None-Match", "*"), 304, 1.5},
		{"list", "GET", "docs", "", nil, 200, 3},
		{"query", "POST", "docs", `{"query":"SELECT VALUE c.id FROM c"}`, query, 200, 20000},
		{"query that does not parse", "POST", "docs", `{"query":"SELECT"}`, query, 400, 4000000},
		{"batch", "POST", "docs", `[{"operationType":"Read","id":"c"},{"operationType":"Create","resourceBody":{"id":"d","pk":"p"}}]`, batch, 200, 211},
		{"batch that fails", "POST", "docs", `[{"operationType":"Read","id":"c"},{"operationType":"Delete","id":"x"}]`, batch, 207, 8000000},
		{"delete", "DELETE", "docs/c", "", nil, 204, 930},
		{"ranges", "GET", "pkranges", "", nil, 200, 300000},
	} {
		got := s.ask(test.method, test.below, test.body, test.headers...)
		charge, err := strconv.ParseFloat(got.Header().Get("x-ms-request-charge"), 64)
		if got.Code != test.status || err != nil || charge != test.want {
			t.Errorf("%s: %d, %v RU, want %d, %v (%v)", test.name, got.Code, charge, test.status, test.want, err)
		}
	}
}

func TestSizeFactors(t *testing.T) {
	const kb = 1024
	for _, test := range []struct {
		bytes       int
		read, write float64
	}{
		{0, 1, 1},
		{1 * kb, 1, 1},
		{2 * kb, 1.04, 6.29 / 4.95},
		{3 * kb, 1.09, 6.48 / 4.95},
		{2048 * kb, 291.8, 1250 / 4.95},
		{4096 * kb, 291.8, 1250 / 4.95},
	} {
		read, write := sizeFactors(test.bytes)
		if max(read-test.read, test.read-read) > 1e-9 || max(write-test.write, test.write-write) > 1e-9 {
			t.Errorf("%d bytes: %v and %v, want %v and %v", test.bytes, read, write, test.read, test.write)
		}
	}
}

func TestSetRequestCharges(t *testing.T) {
	s := newFuzzServer(t)
	var group sync.WaitGroup
	for range 4 {
		group.Go(func() {
			for range 20 {
				s.SetRequestCharges(RequestCharges{Read: 7})
				s.ask(http.MethodGet, "docs/a", "")
			}
		})
	}
	group.Wait()
	if got := s.ask(http.MethodGet, "docs/a", "").Header().Get("x-ms-request-charge"); got != "7.00" {
		t.Errorf("a read costs %s RU", got)
	}
	charges := s.RequestCharges()
	if charges.Read != 7 || charges.Create != 4.95 {
		t.Errorf("in force is %+v", charges)
	}
	// A part of them, as JSON, changes that part.
	if err := json.NewDecoder(strings.NewReader(`{"feed":2,"resultKB":3}`)).Decode(&charges); err != nil {
		t.Fatal(err)
	}
	s.SetRequestCharges(charges)
	if got := s.RequestCharges(); got.Read != 7 || got.Feed != 2 || got.ResultKB != 3 {
		t.Errorf("in force is %+v", got)
	}
}
