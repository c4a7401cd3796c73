package cosmosemu

import (
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"opfeed/internal/fault"
)

// A partition remembers nothing unless it must, and never more than its bound,
// nor half of a commit.
func TestHistoryIsBounded(t *testing.T) {
	s := newFuzzServer(t)
	p := s.onlyPartition()
	write := func(times int) {
		for range times {
			s.ask(http.MethodPost, "docs", `[{"operationType":"Upsert","resourceBody":{"id":"a","pk":"p"}},{"operationType":"Upsert","resourceBody":{"id":"b","pk":"p"}},{"operationType":"Upsert","resourceBody":{"id":"c","pk":"p"}}]`,
				"x-ms-cosmos-is-batch-request", "True", "x-ms-cosmos-batch-atomic", "True")
		}
	}
	write(10)
	if len(p.past) != 0 {
		t.Errorf("%d changes are kept without a rule", len(p.past))
	}
	if err := s.Faults().Add(Fault{Name: "lag", Effect: Effect{Stale: fault.Duration(time.Hour)}}); err != nil {
		t.Fatal(err)
	}
	write(mostPast/3 + 10)
	if n := len(p.past); n > mostPast || n < mostPast-3 || p.past[0].lsn == p.past[3].lsn || p.past[0].lsn != p.past[2].lsn {
		t.Errorf("%d changes are kept, from LSN %d", n, p.past[0].lsn)
	}
	s.Faults().Clear()
	write(1)
	if len(p.past) != 0 {
		t.Errorf("%d changes are kept after the rule", len(p.past))
	}
}

// What every replica has seen is let go of.
func TestHistoryIsOnlyAsOldAsTheLag(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newFuzzServer(t)
		if err := s.Faults().Add(Fault{Name: "lag", Effect: Effect{Stale: fault.Duration(5 * time.Second)}}); err != nil {
			t.Fatal(err)
		}
		for range 60 {
			time.Sleep(time.Second)
			s.ask(http.MethodPut, "docs/a", `{"id":"a","pk":"p"}`)
		}
		if n := len(s.onlyPartition().past); n != 6 {
			t.Errorf("%d changes are kept of the last 5 s", n)
		}
	})
}
