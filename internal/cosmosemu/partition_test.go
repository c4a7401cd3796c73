package cosmosemu

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func (s *Server) onlyPartition() *partition {
	return s.databases["db"].containers["items"].routing.Load().live[0]
}

// TestPartitionStaysSmall holds that what is expired or superseded is let go of
// in the end, though nothing runs in the background.
func TestPartitionStaysSmall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newFuzzServer(t)
		for i := range 5000 {
			body := fmt.Sprintf(`{"id":"%d","pk":"p","ttl":10}`, i)
			if got := s.ask(http.MethodPost, "docs", body); got.Code != http.StatusCreated {
				t.Fatalf("create: %d", got.Code)
			}
		}
		time.Sleep(time.Minute)
		for range 20000 {
			if got := s.ask(http.MethodPut, "docs/a", `{"id":"a","pk":"p"}`); got.Code != http.StatusOK {
				t.Fatalf("replace: %d", got.Code)
			}
		}
		p := s.onlyPartition()
		if len(p.items) != 1 || len(p.all.slots) > 2 || len(p.log) > 4096 || len(p.logical) != 1 {
			t.Errorf("%d items, %d slots, %d log entries, %d logical partitions", len(p.items), len(p.all.slots), len(p.log), len(p.logical))
		}
		s.ask(http.MethodDelete, "docs/a", "")
		if len(p.logical) != 0 || len(p.items) != 0 {
			t.Errorf("after the last deletion: %d logical partitions, %d items", len(p.logical), len(p.items))
		}
	})
}

// TestOrderWithinABatch creates an item, deletes it and creates it anew around
// another: the second creation counts.
func TestOrderWithinABatch(t *testing.T) {
	s := newFuzzServer(t)
	one, other := `{"id":"one","pk":"p"}`, `{"id":"other","pk":"p"}`
	batch := `[{"operationType":"Create","resourceBody":` + one + `},{"operationType":"Create","resourceBody":` + other +
		`},{"operationType":"Delete","id":"one"},{"operationType":"Create","resourceBody":` + one + `}]`
	got := s.ask(http.MethodPost, "docs", batch, "x-ms-cosmos-is-batch-request", "True", "x-ms-cosmos-batch-atomic", "True")
	if got.Code != http.StatusOK {
		t.Fatalf("batch: %d %s", got.Code, got.Body)
	}
	var ids []string
	token := ""
	for range 4 {
		page := s.ask(http.MethodPost, "docs", `{"query":"SELECT VALUE c.id FROM c"}`,
			"Content-Type", "application/query+json", "x-ms-max-item-count", "1", "x-ms-continuation", token)
		token = page.Header().Get("x-ms-continuation")
		_, rest, _ := strings.Cut(page.Body.String(), `"Documents":[`)
		rows, _, _ := strings.Cut(rest, "]")
		ids = append(ids, rows)
	}
	if want := []string{`"a"`, `"other"`, `"one"`, ``}; strings.Join(ids, ",") != strings.Join(want, ",") {
		t.Errorf("got %q, want %q", ids, want)
	}
}

func TestRequestCharges(t *testing.T) {
	s := newFuzzServer(t)
	item := func(id string, kilobytes int) string {
		empty := `{"id":"` + id + `","pk":"p","x":""}`
		return `{"id":"` + id + `","pk":"p","x":"` + strings.Repeat("x", kilobytes*1024-len(empty)) + `"}`
	}
	for _, test := range []struct {
		method, below, body string
		want                float64
	}{
		{"POST", "docs", item("1", 1), 4.95 + 0.6},
		{"POST", "docs", item("2", 2), 6.29 + 0.6},
		{"POST", "docs", item("3", 3), 6.48 + 0.6}, // half way from 2 to 4 KB
		{"POST", "docs", item("100", 100), 37.025 + 0.6},
		{"GET", "docs/1", "", 1},
		{"GET", "docs/3", "", 1.09},
		{"GET", "docs/100", "", 7.68},
		{"PUT", "docs/1", item("1", 2), 2 * (6.29 + 0.6)},
		{"PATCH", "docs/1", `[{"op":"set","path":"/x","value":1},{"op":"remove","path":"/x"}]`, 2*(4.95+0.4) + 2*0.4},
		{"DELETE", "docs/3", "", 6.48 + 0.6},
		{"GET", "docs/3", "", 1},
		{"GET", "pkranges", "", 1},
	} {
		got, err := strconv.ParseFloat(s.ask(test.method, test.below, test.body).Header().Get("x-ms-request-charge"), 64)
		if err != nil || got < test.want-0.01 || got > test.want+0.01 {
			t.Errorf("%s %s with %d bytes: %v RU, want %v, %v", test.method, test.below, len(test.body), got, test.want, err)
		}
	}
	query := s.ask(http.MethodPost, "docs", `{"query":"SELECT VALUE c.x FROM c WHERE c.id = '2'"}`, "Content-Type", "application/query+json")
	if got := query.Header().Get("x-ms-request-charge"); got != "2.89" && got != "2.90" {
		t.Errorf("a query that returns 2 KB: %s RU", got)
	}
}

func BenchmarkPointRead(b *testing.B) {
	s := newFuzzServer(b)
	for b.Loop() {
		s.ask(http.MethodGet, "docs/a", "")
	}
}

func BenchmarkUpsert(b *testing.B) {
	s := newFuzzServer(b)
	body := `{"id":"b","pk":"p","x":"` + strings.Repeat("x", 1000) + `"}`
	for b.Loop() {
		s.ask(http.MethodPost, "docs", body, "x-ms-documentdb-is-upsert", "True")
	}
}

func BenchmarkEmptyFeed(b *testing.B) {
	s := newFuzzServer(b)
	for i := range 10000 {
		s.ask(http.MethodPost, "docs", `{"id":"`+strconv.Itoa(i)+`","pk":"p"}`)
	}
	for b.Loop() {
		s.ask(http.MethodGet, "docs", "", "A-IM", "Incremental Feed", "If-None-Match", `"10001"`)
	}
}

func BenchmarkQuery(b *testing.B) {
	s := newFuzzServer(b)
	for i := range 1000 {
		s.ask(http.MethodPost, "docs", `{"id":"`+strconv.Itoa(i)+`","pk":"p","n":`+strconv.Itoa(i)+`}`)
	}
	for b.Loop() {
		s.ask(http.MethodPost, "docs", `{"query":"SELECT c.id FROM c WHERE c.n >= 990 AND NOT IS_DEFINED(c.gone)"}`, "Content-Type", "application/query+json")
	}
}
