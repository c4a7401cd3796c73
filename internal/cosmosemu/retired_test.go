package cosmosemu

import (
	"errors"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"opfeed/internal/epk"
)

// TestRetiredPartitionDoesNothing holds that no item of a partition can be read
// or written in it after it was split: they have other locks now.
func TestRetiredPartitionDoesNothing(t *testing.T) {
	s := newFuzzServer(t)
	p := s.onlyPartition()
	if _, err := s.Split("db", "items", "0", SplitOptions{}); err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	_, _, read := p.read(itemKey{}, now)
	_, position := p.position()
	_, _, list := p.list(nil, 0, now)
	documents, _, _, changes := p.changes(feedPage{items: 1, accepted: func(*document) bool { return true }}, now)
	if len(documents) > 0 {
		t.Errorf("a retired partition has %d changes", len(documents))
	}
	_, commit := p.commit(now, func(*transaction) error {
		t.Error("a retired partition runs a transaction")
		return nil
	})
	for name, err := range map[string]error{"read": read, "position": position, "list": list, "changes": changes, "commit": commit} {
		if !errors.Is(err, errRetired) {
			t.Errorf("%s: got error %v", name, err)
		}
	}
}

// TestRequestsAreRoutedAgain lets each request first meet the partitions from
// before a split, as if the split came just after its routing.
func TestRequestsAreRoutedAgain(t *testing.T) {
	for name, test := range map[string]struct {
		resource resource
		method   string // of the handler
		ask      func(*Server) int
		status   int
	}{
		"read": {resourceItem, http.MethodGet, asks(http.MethodGet, "docs/a", ""), http.StatusOK},
		"replace": {
			resourceItem, http.MethodPut,
			asks(http.MethodPut, "docs/a", `{"id":"a","pk":"p"}`), http.StatusOK,
		},
		"batch": {
			resourceItems, http.MethodPost, asks(http.MethodPost, "docs", `[{"operationType":"Read","id":"a"}]`,
				"x-ms-cosmos-is-batch-request", "True", "x-ms-cosmos-batch-atomic", "True"), http.StatusOK,
		},
		"batch that fails early": {
			resourceItems, http.MethodPost, asks(http.MethodPost, "docs", `[{"operationType":"Read"}]`,
				"x-ms-cosmos-is-batch-request", "True", "x-ms-cosmos-batch-atomic", "True"), http.StatusMultiStatus,
		},
		"feed":   {resourceItems, http.MethodGet, asks(http.MethodGet, "docs", "", "A-IM", "Incremental Feed"), http.StatusOK},
		"list":   {resourceItems, http.MethodGet, asks(http.MethodGet, "docs", ""), http.StatusOK},
		"ranges": {resourceRanges, http.MethodGet, asks(http.MethodGet, "pkranges", ""), http.StatusOK},
		"feed of the range": {
			resourceItems, http.MethodGet,
			asks(http.MethodGet, "docs", "", "A-IM", "Incremental Feed", "x-ms-documentdb-partitionkeyrangeid", "0"), http.StatusGone,
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := newFuzzServer(t)
			c := s.databases["db"].containers["items"]
			before := c.routing.Load()
			if _, err := s.Split("db", "items", "0", SplitOptions{}); err != nil {
				t.Fatal(err)
			}
			after := c.routing.Load()
			original, calls := handlers[test.resource][test.method], 0
			defer func() { handlers[test.resource][test.method] = original }()
			handlers[test.resource][test.method] = func(s *Server, x *exchange) (*reply, error) {
				c.routing.Store(before)
				if calls++; calls > 1 {
					c.routing.Store(after)
				}
				return original(s, x)
			}
			if got := test.ask(s); got != test.status || calls != 2 {
				t.Errorf("got %d in %d attempts, want %d in 2", got, calls, test.status)
			}
		})
	}
}

// TestRequestsRoutedAgainArePaidOnce holds that what a request costs is taken from
// the budget of the partition that served it, and from no other.
func TestRequestsRoutedAgainArePaidOnce(t *testing.T) {
	s := newFuzzServer(t)
	s.enforced = true
	c := s.databases["db"].containers["items"]
	before := c.routing.Load()
	if _, err := s.Split("db", "items", "0", SplitOptions{}); err != nil {
		t.Fatal(err)
	}
	retired, heir := before.live[0], c.routing.Load().of(c.definition.Load().epk(partitionKey{epk.String("p")}))
	var served *exchange
	original := handlers[resourceItem][http.MethodGet]
	defer func() { handlers[resourceItem][http.MethodGet] = original }()
	handlers[resourceItem][http.MethodGet] = func(s *Server, x *exchange) (*reply, error) {
		if served == nil {
			served = x
			return nil, errors.Join(x.admit(retired), errRetired)
		}
		return original(s, x)
	}
	s.ask(http.MethodGet, "docs/a", "")
	const price = 2
	served.settle(&reply{status: http.StatusOK, charge: price})
	if retired.spent.spent != 0 || heir.spent.spent != price {
		t.Errorf("%v was taken from the retired partition, %v from its heir, want %v", retired.spent.spent, heir.spent.spent, price)
	}
}

// asks is a request whose answer must not name the range that is gone.
func asks(method, below, body string, headers ...string) func(*Server) int {
	return func(s *Server) int {
		got := s.ask(method, below, body, headers...)
		if strings.Contains(got.Header().Get("x-ms-session-token"), "0:") {
			return -1
		}
		return got.Code
	}
}

// TestHeirsStartTidy holds that what is superseded or deleted is not handed on.
func TestHeirsStartTidy(t *testing.T) {
	s := newFuzzServer(t)
	for i := range 50 {
		id := strconv.Itoa(i % 10)
		s.ask(http.MethodPost, "docs", `{"id":"`+id+`","pk":"p"}`, "x-ms-documentdb-is-upsert", "True")
	}
	s.ask(http.MethodDelete, "docs/a", "")
	s.ask(http.MethodDelete, "docs/9", "")
	if _, err := s.Split("db", "items", "0", SplitOptions{}); err != nil {
		t.Fatal(err)
	}
	items, slots, log := 0, 0, 0
	for _, p := range s.databases["db"].containers["items"].routing.Load().live {
		items, slots, log = items+len(p.items), slots+len(p.all.slots), log+len(p.log)
	}
	if items != 9 || slots != 9 || log != 9 {
		t.Errorf("%d items, %d slots, %d log entries, want 9 each", items, slots, log)
	}
}
