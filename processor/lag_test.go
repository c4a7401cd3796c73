package processor_test

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/data/azcosmos"
	"github.com/prometheus/client_golang/prometheus"

	"opfeed/internal/cosmosemu"
	"opfeed/internal/epk"
	"opfeed/internal/inproc"
	"opfeed/leases"
	"opfeed/processor"
	"opfeed/processor/dispatch"
	"opfeed/processor/feed"
	"opfeed/processor/status"
)

// TestLagIsWhatTheEstimatorSays: without a request of its own the processor knows
// of each range what the estimator finds out by asking for the same position.
func TestLagIsWhatTheEstimatorSays(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		for _, id := range []string{"0", "1"} { // 0 → 1, 2; 1 → 3, 4
			if _, err := w.emu.Split("db", "docs", id, cosmosemu.SplitOptions{}); err != nil {
				t.Fatal(err)
			}
		}
		held := make(chan struct{})
		metrics := prometheus.NewRegistry()
		docs := w.container(inproc.New(w.emu), "docs")
		p, err := processor.New(processor.DefaultConfig(), leases.DefaultConfig(), holding(held), processor.Deps{
			Monitored: docs, Leases: w.container(inproc.New(w.emu), "leases"), LeasePrefix: leasePrefix, Instance: "replica", Metrics: metrics,
		})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- p.Run(ctx) }()
		defer func() { cancel(); <-ended }()
		estimator := feed.NewReader(docs, 100, time.Minute)
		check := func(what string, from func(status.Range) string, want ...int64) {
			t.Helper()
			ranges := p.Snapshot().Ranges
			if len(ranges) != len(want) {
				t.Fatalf("%s: ranges %+v", what, ranges)
			}
			shown := gathered(t, metrics, "opfeed_feed_lag_transactions")
			for i, r := range ranges {
				position := from(r)
				asked, err := estimator.Lag(t.Context(), azcosmos.FeedRange{MinInclusive: r.Min, MaxExclusive: r.Max}, position)
				switch {
				case err != nil:
					t.Errorf("%s: range %s: %v", what, r.Token, err)
				case r.Lag == nil || *r.Lag != want[i] || asked.Transactions != want[i]:
					t.Errorf("%s: range %s: known %v, asked after %s %d, want %d", what, r.Token, r.Lag, position, asked.Transactions, want[i])
				case len(shown) != len(want) || shown[r.Token] != float64(want[i]):
					t.Errorf("%s: metric %v", what, shown)
				}
			}
		}
		stored := func(r status.Range) string { return r.Continuation }
		put := func(r status.Range, ids ...string) {
			t.Helper()
			partition := partitionIn(r)
			batch := docs.NewTransactionalBatch(azcosmos.NewPartitionKeyString(partition))
			for _, id := range ids {
				body, err := json.Marshal(doc{ID: id, Partition: partition})
				if err != nil {
					t.Fatal(err)
				}
				batch.UpsertItem(body, nil)
			}
			if reply, err := docs.ExecuteTransactionalBatch(t.Context(), batch, nil); err != nil || !reply.Success {
				t.Fatalf("%+v, %v", reply, err)
			}
		}

		time.Sleep(5 * time.Second)
		check("nothing yet", stored, 0, 0, 0)
		ranges := p.Snapshot().Ranges
		for i, r := range ranges {
			for n := range 2 * (i + 1) {
				put(r, fmt.Sprint("handled-", n))
			}
			put(r, "pending")
		}
		time.Sleep(5 * time.Second)
		check("handled", stored, 0, 0, 0)

		// In the second and the third range something holds up the position.
		put(ranges[0], "a", "b", "c")
		put(ranges[1], "held", "x", "y") // a transaction
		put(ranges[2], "handled-0")
		time.Sleep(5 * time.Second)
		put(ranges[2], "held")
		time.Sleep(5 * time.Second)
		for n := range 4 {
			put(ranges[1], fmt.Sprint("more-", n))
			put(ranges[2], "again")
			put(ranges[2], fmt.Sprint("more-", n))
		}
		time.Sleep(5 * time.Second)
		check("held up", stored, 0, 5, 9)
		time.Sleep(time.Minute)
		check("still held up", stored, 0, 5, 9)

		// In the middle of a page: it counts from what is held, the position does not.
		put(ranges[0], "first")
		put(ranges[0], "held")
		put(ranges[0], "last")
		time.Sleep(5 * time.Second)
		check("held up in a page", func(r status.Range) string {
			if r.Token != ranges[0].Token {
				return r.Continuation
			}
			before, err := strconv.Atoi(strings.Trim(r.Continuation, `"`))
			if err != nil {
				t.Fatal(err)
			}
			return strconv.Quote(strconv.Itoa(before + 1))
		}, 2, 5, 9)

		close(held)
		time.Sleep(5 * time.Second)
		check("done", stored, 0, 0, 0)
		for _, r := range p.Snapshot().Ranges {
			if r.Continuation == "" || !r.Mine {
				t.Errorf("range %+v", r)
			}
		}
	})
}

// holding handles everything, but what is called "held" only once a channel is
// closed; what is called "pending" is handled and stays pending.
func holding(held <-chan struct{}) processor.Handler {
	return processor.Handler{
		Route: func(document []byte) processor.Route {
			var d doc
			if json.Unmarshal(document, &d) != nil {
				return processor.Route{}
			}
			return processor.Route{Action: processor.Take, Key: dispatch.Key{Partition: d.Partition, ID: d.ID}}
		},
		Handle: func(ctx context.Context, c dispatch.Change) (dispatch.Apply, error) {
			if c.ID == "held" {
				select {
				case <-held:
				case <-ctx.Done():
				}
			}
			return func(context.Context) (dispatch.Outcome, error) {
				if c.ID == "pending" {
					return dispatch.Outcome{Verdict: dispatch.Again, After: time.Hour}, nil
				}
				return dispatch.Outcome{}, nil
			}, nil
		},
		// With a list, what is pending holds up no position.
		Pending: func(context.Context, processor.PendingRequest, func(dispatch.Change)) error { return nil },
	}
}

func partitionIn(r status.Range) string {
	for i := 0; ; i++ {
		if key := fmt.Sprint("s", i); epk.Contains(r.Min, r.Max, epk.Of(key)) {
			return key
		}
	}
}

// gathered gives the values of one metric by its one label.
func gathered(t *testing.T, from *prometheus.Registry, name string) map[string]float64 {
	t.Helper()
	families, err := from.Gather()
	if err != nil {
		t.Fatal(err)
	}
	values := map[string]float64{}
	for _, f := range families {
		if f.GetName() == name {
			for _, m := range f.GetMetric() {
				values[m.GetLabel()[0].GetValue()] = m.GetGauge().GetValue()
			}
		}
	}
	return values
}
