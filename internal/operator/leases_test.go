package operator_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/data/azcosmos"

	"opfeed/internal/cosmosemu"
	"opfeed/internal/epk"
	"opfeed/internal/inproc"
	"opfeed/internal/operator"
	"opfeed/internal/service"
	"opfeed/leases"
	"opfeed/processor"
	"opfeed/processor/dispatch"
)

// shownLease is what a program reads of a lease.
type shownLease struct {
	Token, ID, Min, Max, Owner, State, Continuation, Start string
	Request, Offer, Problem, LagProblem                    string
	Version                                                int
	Epoch                                                  int64
	Lag, AgeSeconds                                        *int64
	LagAtMost, Covered                                     bool
}

type shownLeases struct {
	Leases []shownLease
	Hosts  []struct {
		StartID, Instance string
		Live              bool
	}
	Total, Unknown int64
	AtMost         bool
}

func (w *world) listLeases(lag, json bool) string {
	w.t.Helper()
	var out bytes.Buffer
	if err := w.o.ListLeases(w.t.Context(), &out, lag, json); err != nil {
		w.t.Fatal(operator.Words(err))
	}
	fitForTerminals(w.t, "leases", out.String(), map[bool]int{false: 100}[json])
	return out.String()
}

func (w *world) lag(json bool) string {
	w.t.Helper()
	var out bytes.Buffer
	if err := w.o.Lag(w.t.Context(), &out, json); err != nil {
		w.t.Fatal(operator.Words(err))
	}
	fitForTerminals(w.t, "lag", out.String(), map[bool]int{false: 100}[json])
	return out.String()
}

func decoded(t *testing.T, text string) (l shownLeases) {
	t.Helper()
	if err := json.Unmarshal([]byte(text), &l); err != nil {
		t.Fatalf("%v in %s", err, text)
	}
	return l
}

// states are those of all leases, in the order of their ranges.
func (w *world) states() string {
	var states []string
	for _, l := range decoded(w.t, w.listLeases(false, true)).Leases {
		states = append(states, l.State)
	}
	return strings.Join(states, "|")
}

func (w *world) release(opts operator.LeaseOptions) (said, refused string) {
	return w.order(w.o.Release, opts)
}

func (w *world) reset(opts operator.LeaseOptions) (said, refused string) {
	return w.order(w.o.Reset, opts)
}

func (w *world) order(do func(context.Context, io.Writer, operator.LeaseOptions) error, opts operator.LeaseOptions) (said, refused string) {
	w.t.Helper()
	var out bytes.Buffer
	if err := do(w.t.Context(), &out, opts); err != nil {
		refused = operator.Words(err)
	}
	fitForTerminals(w.t, "answer", out.String()+refused, 1100)
	return out.String(), refused
}

// stored are the leases that can be read, by token.
func (w *world) stored() map[string]leases.Document {
	w.t.Helper()
	list, err := leases.NewStore(w.stores.Leases, w.stores.LeasePrefix).List(context.WithoutCancel(w.t.Context()))
	if err != nil {
		w.t.Fatal(err)
	}
	byToken := map[string]leases.Document{}
	for _, d := range list {
		byToken[d.Token] = d
	}
	return byToken
}

func etags(stored map[string]leases.Document) string {
	var tags []string
	for _, token := range slices.Sorted(maps.Keys(stored)) {
		tags = append(tags, token+"="+stored[token].ETag)
	}
	return strings.Join(tags, " ")
}

// putLease stores a lease as others would write it; what is nil is left out.
func (w *world) putLease(token string, fields doc) {
	w.t.Helper()
	d := doc{"id": w.stores.LeasePrefix + ".." + token, "version": 0, "LeaseToken": token, "Owner": nil, "properties": doc{}}
	maps.Copy(d, fields)
	w.putRawLease(d)
}

func (w *world) putRawLease(d doc) {
	w.t.Helper()
	body, err := json.Marshal(d)
	if err != nil {
		w.t.Fatal(err)
	}
	if _, err := w.stores.Leases.UpsertItem(w.t.Context(), azcosmos.NewPartitionKeyString(d["id"].(string)), body, nil); err != nil {
		w.t.Logf("Cosmos DB refuses lease %.50q", d["id"])
	}
}

func ofRange(minimum, maximum string) doc {
	return doc{"Range": doc{"min": minimum, "max": maximum}}
}

// partitionIn gives a partition key of a range.
func partitionIn(minimum, maximum string) string {
	for i := 0; ; i++ {
		if key := fmt.Sprint("s", i); epk.Contains(minimum, maximum, epk.Of(key)) {
			return key
		}
	}
}

// TestLeasesAreListed: who reads what, and whether he is there, by the server's
// clock: that of this machine plays no part.
func TestLeasesAreListed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		want(t, w.listLeases(true, false), `
			no lease of this processor is stored: no replica of it has run yet,
			or OPFEED_PROCESSOR_NAME or the host of the account is another than the replicas have
			`)
		if l := decoded(t, w.lag(true)); l.Total != 0 || l.Unknown != 0 || len(l.Leases) != 0 {
			t.Errorf("lag %+v", l)
		}
		stop, _ := w.start()
		time.Sleep(20 * time.Second)
		l := decoded(t, w.listLeases(true, true))
		if len(l.Leases) != 4 {
			t.Fatalf("leases %+v", l)
		}
		at := ""
		for i, r := range l.Leases {
			if r.Token != fmt.Sprint(i) || r.Owner != "replica-1" || r.State != "live" || r.Epoch != 1 || r.Lag == nil || *r.Lag != 0 ||
				r.Min != at || r.AgeSeconds == nil || *r.AgeSeconds > 5 || r.Continuation == "" || r.Problem+r.LagProblem != "" {
				t.Errorf("lease %+v", r)
			}
			at = r.Max
		}
		stop()
		if have := w.states(); have != "free|free|free|free" {
			t.Errorf("after a stop: %s", have)
		}
		_, kill := w.start()
		time.Sleep(20 * time.Second)
		kill()
		time.Sleep(15 * time.Second)
		if have := w.states(); have != "expired|expired|expired|expired" {
			t.Errorf("after the expiry: %s", have)
		}
		have := w.listLeases(true, false)
		lines := strings.Split(have, "\n")
		if !strings.HasPrefix(lines[0], "RANGE  KEYS ") || len(lines) != 6 {
			t.Errorf("have\n%s", have)
		}
		cells := strings.Fields(lines[1])
		if len(cells) != 9 || strings.Join(append(cells[:7:7], cells[8]), " ") != "0 00–10 0 replica-2 2 0 0 expired" {
			t.Errorf("have\n%s", have)
		}
		if have := w.listLeases(false, false); strings.Contains(have, "LAG") || !strings.Contains(have, "AGE") {
			t.Errorf("have\n%s", have)
		}
	})
}

// TestLagOfEveryLease: those of which it is not known, or cannot be had, cost the
// others nothing and count for nothing.
func TestLagOfEveryLease(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		stop, _ := w.start()
		time.Sleep(10 * time.Second)
		stop()
		ranges := w.stored()
		for i := range 4 { // 1, 2, 3 and 4 to come
			r := ranges[fmt.Sprint(i)].Range
			for n := range i + 1 {
				w.put(doc{"id": fmt.Sprint(n), "partitionKey": partitionIn(r.MinInclusive, r.MaxExclusive)})
			}
		}
		l := decoded(t, w.lag(true))
		for i, r := range l.Leases {
			if r.Lag == nil || *r.Lag != int64(i+1) || r.LagAtMost {
				t.Errorf("lease %+v", r)
			}
		}
		if l.Total != 10 || l.Unknown != 0 || l.AtMost {
			t.Errorf("total %d, unknown %d", l.Total, l.Unknown)
		}
		if have := w.lag(false); !strings.HasSuffix(have, "\ntotal 10 transactions\n") {
			t.Errorf("have\n%s", have)
		}

		// 0 has no position; 1 an unusable one; 2 was split while nobody ran; of 3
		// there are two parts, of version 1, beside it.
		r := ranges["0"].Range
		w.putLease("0", doc{"FeedRange": ofRange(r.MinInclusive, r.MaxExclusive)})
		r = ranges["1"].Range
		w.putLease("1", doc{"FeedRange": ofRange(r.MinInclusive, r.MaxExclusive), "ContinuationToken": `"x"`})
		if _, err := w.cosmos.Split("db", "Resources", "2", cosmosemu.SplitOptions{}); err != nil {
			t.Fatal(err)
		}
		r = ranges["3"].Range
		for _, part := range [][2]string{{r.MinInclusive, "3812345678"}, {"3812345678", r.MaxExclusive}} {
			w.putLease(part[0]+"-"+part[1], doc{"version": 1, "FeedRange": ofRange(part[0], part[1]), "ContinuationToken": ranges["3"].Continuation})
		}
		w.putLease("9", doc{"ContinuationToken": `"1"`})
		w.putRawLease(doc{"id": w.stores.LeasePrefix + "..junk", "LeaseToken": 7})
		w.putRawLease(doc{"id": w.stores.LeasePrefix + "..twin", "LeaseToken": "0"})

		l = decoded(t, w.lag(true))
		byToken := map[string]shownLease{}
		for _, r := range l.Leases {
			if r.ID == w.stores.LeasePrefix+".."+r.Token {
				byToken[r.Token] = r
			}
		}
		if r := byToken["0"]; r.Lag != nil || r.LagProblem != "no position is stored" {
			t.Errorf("no position: %+v", r)
		}
		if r := byToken["1"]; r.Lag != nil || !strings.Contains(r.LagProblem, ": answered 400") {
			t.Errorf("unusable position: %+v", r)
		}
		if r := byToken["2"]; r.Lag == nil || *r.Lag < 3 || !r.LagAtMost && *r.Lag > 4 || r.Covered {
			t.Errorf("split: %+v", r)
		}
		if r := byToken["3"]; r.Lag == nil || *r.Lag != 4 || !r.Covered {
			t.Errorf("covered: %+v", r)
		}
		if r := byToken["9"]; r.Lag != nil || r.LagProblem != "the lease names no range: whoever takes it adds it, if its partition exists" {
			t.Errorf("no range: %+v", r)
		}
		parts := int64(0)
		for token, r := range byToken {
			if strings.Contains(token, "-") {
				if r.Lag == nil || r.LagAtMost != (*r.Lag > 0) || r.Version != 1 {
					t.Errorf("part: %+v", r)
				} else {
					parts += *r.Lag
				}
			}
		}
		if parts != 4 { // all are of one partition key
			t.Errorf("the parts have %d to come", parts)
		}
		if want := *byToken["2"].Lag + parts; l.Total != want || l.Unknown != 3 || !l.AtMost || len(l.Leases) != 9 {
			t.Errorf("total %d, want %d; unknown %d, %d leases", l.Total, want, l.Unknown, len(l.Leases))
		}
		have := w.lag(false)
		for _, line := range []string{
			fmt.Sprintf("\ntotal at most %d transactions; not known of 3\n", l.Total),
			"\n0: lag: no position is stored\n", "\n1: lag: read change feed of [",
			"\n3: other leases cover its range, and nobody reads it any more; its lag is not in the total\n",
			"\n30-381234…: its whole token is 30-3812345678\n",
			"\ndocument …AQ==_AAAAAYAAAAI=..junk: cannot be read: LeaseToken: json: cannot unmarshal number ", "\n0: is not under the id of its token; nobody serves it\n",
		} {
			if !strings.Contains(have, line) {
				t.Errorf("no line %q in\n%s", line, have)
			}
		}
	})
}

// TestReleaseOfWhoIsGone: refused until the owner's lease has expired; then first
// said, then done, with the position kept.
func TestReleaseOfWhoIsGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		_, kill := w.start()
		time.Sleep(10 * time.Second)
		kill()
		before := w.stored()
		for _, opts := range []operator.LeaseOptions{{Token: "1"}, {Token: "1", Yes: true}, {All: true, Yes: true}} {
			said, refused := w.release(opts)
			if said != "" || !strings.HasPrefix(refused, "somebody is at work there, nothing was changed: stop the replicas, or use --force, without --yes to see what it would do\n  ") ||
				!strings.Contains(refused, "\n  1, owned by replica-1, was written ") {
				t.Errorf("%+v: said %q, refused %q", opts, said, refused)
			}
		}
		time.Sleep(13 * time.Second)
		said, refused := w.release(operator.LeaseOptions{Token: "1"})
		if refused != "" || said != "lease 1: would be freed, it was owned by replica-1; position: 0, as it was\nnothing was changed: add --yes to do this\n" {
			t.Errorf("said %q, refused %q", said, refused)
		}
		if have := etags(w.stored()); have != etags(before) {
			t.Errorf("something was changed: %s", have)
		}
		if said, refused = w.release(operator.LeaseOptions{Token: "1", Yes: true}); refused != "" || said != "lease 1: freed, it was owned by replica-1; position: 0, as it was\n" {
			t.Errorf("said %q, refused %q", said, refused)
		}
		after := w.stored()
		if d := after["1"]; d.Owner != "" || d.Epoch != before["1"].Epoch+1 || d.Continuation != before["1"].Continuation || d.Range != before["1"].Range {
			t.Errorf("lease %+v", d)
		}
		if have := w.states(); have != "expired|free|expired|expired" {
			t.Errorf("states %s", have)
		}
		said, refused = w.release(operator.LeaseOptions{Token: "1", Yes: true})
		if refused != "" || said != "lease 1: is free already\n" || etags(w.stored()) != etags(after) {
			t.Errorf("again: said %q, refused %q", said, refused)
		}
		said, refused = w.release(operator.LeaseOptions{All: true, Yes: true, JSON: true})
		var changes []struct {
			Token         string
			Done          bool
			Before, After struct{ Owner string }
		}
		if err := json.Unmarshal([]byte(said), &changes); err != nil || refused != "" || len(changes) != 4 || !changes[0].Done || changes[1].Done ||
			changes[0].Before.Owner != "replica-1" || changes[0].After.Owner != "" {
			t.Errorf("said %s, refused %q, %v", said, refused, err)
		}
		if have := w.states(); have != "free|free|free|free" {
			t.Errorf("states %s", have)
		}
		_, refused = w.release(operator.LeaseOptions{Token: "7", Yes: true})
		if refused != "no lease has the token 7" {
			t.Errorf("refused %q", refused)
		}
	})
}

// TestOwnersAreLiveUntilTheirExpiry, as far as whole seconds can tell: what has no
// start id is of a .NET host, which renews every 17 s and expires after a minute.
// Only the server's clock counts; where it is not told, an owner counts as live.
func TestOwnersAreLiveUntilTheirExpiry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.putLease("0", doc{"Owner": "replica", "FeedRange": ofRange("", "FF"), "properties": doc{"opfeed.startId": "S"}})
		time.Sleep(10*time.Second + 500*time.Millisecond)
		if have := w.states(); have != "live" { // it may be 9.6 s old
			t.Errorf("after 10.5 s: %s", have)
		}
		time.Sleep(time.Second)
		if have := w.states(); have != "expired" {
			t.Errorf("after 11.5 s: %s", have)
		}
		w.putLease("0", doc{"Owner": "functions-host", "FeedRange": ofRange("", "FF")})
		time.Sleep(45 * time.Second)
		if have := w.states(); have != "live" {
			t.Errorf("after 45 s: %s", have)
		}
		time.Sleep(16 * time.Second)
		if have := w.states(); have != "expired" {
			t.Errorf("after 61 s: %s", have)
		}
		date := ""
		w.through(func(req *http.Request, next policy.Transporter) (*http.Response, error) {
			reply, err := next.Do(req)
			if err == nil {
				reply.Header.Set("Date", date)
			}
			return reply, err
		})
		w.putLease("0", doc{"Owner": "functions-host", "FeedRange": ofRange("", "FF")})
		date = time.Now().Add(time.Hour).UTC().Format(http.TimeFormat)
		if have := w.states(); have != "expired" {
			t.Errorf("an hour later by the server's clock: %s", have)
		}
		time.Sleep(2 * time.Hour)
		date = "today"
		if r := decoded(t, w.listLeases(false, true)).Leases[0]; r.State != "live" || r.AgeSeconds != nil {
			t.Errorf("without a clock %+v", r)
		}
		if _, refused := w.release(operator.LeaseOptions{All: true, Yes: true}); !strings.Contains(refused, "was written – ago") {
			t.Errorf("refused %q", refused)
		}
	})
}

// reader is a processor over the world's containers that counts what it is shown.
type reader struct {
	*processor.Processor

	stop func()
	mu   sync.Mutex
	seen map[string]int
}

func (w *world) read(instance string, change ...func(*processor.Config)) *reader {
	w.t.Helper()
	cfg := processor.DefaultConfig()
	for _, f := range change {
		f(&cfg)
	}
	r := &reader{seen: map[string]int{}}
	var err error
	r.Processor, err = processor.New(cfg, leases.DefaultConfig(), processor.Handler{
		Route: func(document []byte) processor.Route {
			var d struct{ ID, PartitionKey string }
			if json.Unmarshal(document, &d) != nil {
				return processor.Route{}
			}
			return processor.Route{Action: processor.Take, Key: dispatch.Key{Partition: d.PartitionKey, ID: d.ID}}
		},
		Handle: func(_ context.Context, c dispatch.Change) (dispatch.Apply, error) {
			r.mu.Lock()
			defer r.mu.Unlock()
			r.seen[c.ID]++
			return nil, nil
		},
	}, processor.Deps{Monitored: w.stores.Resources, Leases: w.stores.Leases, LeasePrefix: w.stores.LeasePrefix, Instance: instance})
	if err != nil {
		w.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(w.t.Context()))
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		if err := r.Run(ctx); err != nil {
			w.t.Error(err)
		}
	}()
	r.stop = func() { cancel(); <-ended }
	w.t.Cleanup(r.stop)
	return r
}

// counts says how often documents were shown, and forgets it.
func (r *reader) counts() map[string]int {
	r.mu.Lock()
	defer r.mu.Unlock()
	seen := r.seen
	r.seen = map[string]int{}
	return seen
}

func (w *world) write(name string, n int) {
	for i := range n {
		w.put(doc{"id": fmt.Sprint(name, i), "partitionKey": fmt.Sprint("s", i)})
	}
}

func times(n, of int, names ...string) map[string]int {
	all := map[string]int{}
	for _, name := range names {
		for i := range of {
			all[fmt.Sprint(name, i)] = n
		}
	}
	return all
}

// TestForcedResetDeliversEverythingAgain, to a processor that is at work: it notices
// by itself that its leases are gone, takes them anew and begins where they say.
func TestForcedResetDeliversEverythingAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.write("old", 20) // the processor starts from now
		r := w.read("replica")
		time.Sleep(10 * time.Second)
		w.write("new", 20)
		time.Sleep(10 * time.Second)
		if have := r.counts(); !maps.Equal(have, times(1, 20, "new")) {
			t.Fatalf("at first %v", have)
		}
		for _, opts := range []operator.LeaseOptions{{All: true, Yes: true, To: "beginning"}, {All: true, To: "beginning"}} {
			if said, refused := w.reset(opts); said != "" || !strings.HasPrefix(refused, "somebody is at work there, nothing was changed") {
				t.Errorf("said %q, refused %q", said, refused)
			}
		}
		before := w.stored()
		said, refused := w.reset(operator.LeaseOptions{All: true, Force: true, To: "beginning"})
		if refused != "" || !strings.Contains(said, "lease 0: would be freed, it was owned by replica; position: ") || !strings.HasSuffix(said, " → the beginning\nnothing was changed: add --yes to do this\n") {
			t.Errorf("said %q, refused %q", said, refused)
		}
		time.Sleep(20 * time.Second)
		if have := r.counts(); len(have) != 0 {
			t.Fatalf("what was refused, or only said, had %v delivered again", have)
		}
		if said, refused = w.reset(operator.LeaseOptions{All: true, Force: true, Yes: true, To: "beginning"}); refused != "" || strings.Count(said, ": freed, it was owned by replica; position: ") != 4 {
			t.Errorf("said %q, refused %q", said, refused)
		}
		for token, d := range w.stored() {
			if d.Owner != "" || d.Continuation != "" || d.Start != "beginning" || d.Epoch != before[token].Epoch+1 {
				t.Errorf("lease %+v", d)
			}
		}
		if have := w.listLeases(true, false); !strings.Contains(have, "beginning  unknown") || !strings.Contains(have, "\n0: it was reset and begins at the beginning\n") {
			t.Errorf("have\n%s", have)
		}
		time.Sleep(20 * time.Second)
		if have := r.counts(); !maps.Equal(have, times(1, 20, "old", "new")) {
			t.Errorf("after the reset %v", have)
		}
		for token, d := range w.stored() {
			if d.Owner != "replica" || d.Continuation == "" || d.Start != "" || d.Epoch != before[token].Epoch+2 {
				t.Errorf("lease %+v", d)
			}
		}
		// The reset is over: who comes next goes on.
		r.stop()
		next := w.read("next")
		w.write("more", 20)
		time.Sleep(20 * time.Second)
		if have := next.counts(); !maps.Equal(have, times(1, 20, "more")) {
			t.Errorf("the next owner saw %v", have)
		}
	})
}

func TestResetToATimeAndToNow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		r := w.read("replica")
		time.Sleep(10 * time.Second)
		w.write("early", 8)
		time.Sleep(10 * time.Second)
		at := time.Now().Add(2 * time.Hour)
		zoned := at.In(time.FixedZone("", 7200)).Add(-2 * time.Hour).Format(time.RFC3339)
		time.Sleep(10 * time.Second)
		w.write("late", 8)
		time.Sleep(10 * time.Second)
		r.stop()
		if have := r.counts(); !maps.Equal(have, times(1, 8, "early", "late")) {
			t.Fatalf("at first %v", have)
		}
		if said, refused := w.reset(operator.LeaseOptions{All: true, Yes: true, To: at.UTC().Format(time.RFC3339)}); said != "" || strings.Count(refused, "is in the future") != 4 {
			t.Errorf("said %q, refused %q", said, refused)
		}
		if said, refused := w.reset(operator.LeaseOptions{All: true, Yes: true, To: zoned}); refused != "" || strings.Count(said, " → 2000-01-01T00:00:20Z\n") != 4 {
			t.Errorf("said %q, refused %q", said, refused)
		}
		if d := w.stored()["0"]; d.Start != "2000-01-01T00:00:20Z" || d.Continuation != "" {
			t.Errorf("lease %+v", d)
		}
		r = w.read("replica")
		time.Sleep(10 * time.Second)
		r.stop()
		if have := r.counts(); !maps.Equal(have, times(1, 8, "late")) {
			t.Errorf("after the time %v", have)
		}

		w.write("skipped", 8)
		if said, refused := w.reset(operator.LeaseOptions{All: true, Yes: true, To: "now"}); refused != "" || strings.Count(said, ": reset, it was free; position: ") != 4 {
			t.Errorf("said %q, refused %q", said, refused)
		}
		if l := decoded(t, w.lag(true)); l.Total != 0 || l.Unknown != 0 {
			t.Errorf("lag %+v", l)
		}
		w.write("next", 8)
		r = w.read("replica", func(c *processor.Config) { c.Start = processor.FromBeginning() })
		time.Sleep(10 * time.Second)
		if have := r.counts(); !maps.Equal(have, times(1, 8, "next")) {
			t.Errorf("after now %v", have)
		}
	})
}

// TestStartThatIsNotUnderstood is as good as none, and no reason to stand still.
func TestStartThatIsNotUnderstood(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.read("replica").stop()
		r := w.read("replica")
		time.Sleep(5 * time.Second)
		r.stop()
		for token, d := range w.stored() {
			w.putLease(token, doc{"FeedRange": ofRange(d.Range.MinInclusive, d.Range.MaxExclusive), "properties": doc{"opfeed.start": nasty}})
		}
		w.write("old", 4)
		w.listLeases(true, false)
		r = w.read("replica")
		time.Sleep(5 * time.Second)
		w.write("new", 4)
		time.Sleep(5 * time.Second)
		if have := r.counts(); !maps.Equal(have, times(1, 4, "new")) {
			t.Errorf("have %v", have)
		}
	})
}

// TestOwnerComesBackBeforeTheWrite: then nothing is changed, unless it is forced.
func TestOwnerComesBackBeforeTheWrite(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		_, kill := w.start()
		time.Sleep(10 * time.Second)
		kill()
		time.Sleep(time.Minute)
		store := leases.NewStore(w.stores.Leases, w.stores.LeasePrefix)
		back := true
		var lost bool
		w.through(func(req *http.Request, next policy.Transporter) (*http.Response, error) {
			if req.Method == http.MethodPut && back {
				back = false
				d := w.stored()["2"]
				d.Renewal++
				if _, err := store.Replace(t.Context(), d); err != nil {
					t.Error(err)
				}
			}
			reply, err := next.Do(req)
			if lost && req.Method == http.MethodPut {
				return nil, http.ErrServerClosed
			}
			return reply, err
		})
		before := w.stored()["2"]
		said, refused := w.reset(operator.LeaseOptions{Token: "2", Yes: true, To: "beginning"})
		if said != "" || refused != "lease 2: somebody wrote it meanwhile, as a live owner does: nothing was changed" {
			t.Errorf("said %q, refused %q", said, refused)
		}
		if d := w.stored()["2"]; d.Owner != "replica-1" || d.Epoch != before.Epoch || d.Renewal != before.Renewal+1 || d.Start != "" {
			t.Errorf("lease %+v", d)
		}
		back = true
		if said, refused = w.release(operator.LeaseOptions{Token: "2", Yes: true, Force: true}); refused != "" || !strings.HasPrefix(said, "lease 2: freed, it was owned by replica-1") {
			t.Errorf("said %q, refused %q", said, refused)
		}
		if d := w.stored()["2"]; d.Owner != "" || d.Renewal != before.Renewal+2 {
			t.Errorf("lease %+v", d)
		}
		// One that fails costs the others nothing, and what is not known is not claimed.
		back, lost = false, true
		said, refused = w.release(operator.LeaseOptions{All: true, Yes: true, Force: true})
		if said != "lease 2: is free already\n" || strings.Count(refused, "the write failed, and may or may not have been done, look at it: ") != 3 {
			t.Errorf("said %q, refused %q", said, refused)
		}
		if have := w.states(); have != "free|free|free|free" {
			t.Errorf("states %s", have)
		}
	})
}

// through has the operator's requests go through a function.
func (w *world) through(do func(*http.Request, policy.Transporter) (*http.Response, error)) {
	w.t.Helper()
	cfg := w.config(99)
	stores, err := service.Open(w.t.Context(), cfg, service.Deps{Cosmos: way{inproc.New(w.cosmos), do}})
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(stores.Close)
	w.o, err = operator.New(cfg.Operations, operator.Deps{Resources: stores.Resources, Leases: stores.Leases, LeasePrefix: stores.LeasePrefix})
	if err != nil {
		w.t.Fatal(err)
	}
}

type way struct {
	next policy.Transporter
	do   func(*http.Request, policy.Transporter) (*http.Response, error)
}

func (f way) Do(req *http.Request) (*http.Response, error) { return f.do(req, f.next) }

// TestHostileLeases: whatever lease documents hold, nothing of it reaches a terminal
// as it is, a line fits, and the commands work for the others.
func TestHostileLeases(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		stop, _ := w.start()
		time.Sleep(10 * time.Second)
		stop()
		long := strings.Repeat("\x1b[31m"+strings.Repeat("w", 100), 100)
		n := 10
		put := func(fields doc) {
			n++
			w.putLease(fmt.Sprint(n), fields)
		}
		good := ofRange("", "FF")
		for _, text := range []string{nasty, long, "AccountKey=" + secret, "https://u:" + secret + "@h?" + secret, "'; DROP", "\u65e5\u672c"} {
			put(doc{"Owner": text, "FeedRange": good, "ContinuationToken": text, "properties": doc{
				"opfeed.startId": text, "opfeed.request": text + " " + text, "opfeed.offer": text, "opfeed.epoch": "9007199254740992", "opfeed.start": text}})
			put(doc{"Owner": text, "FeedRange": ofRange(text, text), "ContinuationToken": `"1"`})
			put(doc{"FeedRange": good, "properties": doc{"opfeed.start": text, "opfeed.request": text}})
			put(doc{"properties": doc{"opfeed.epoch": text}})
			put(doc{"version": 5, "Owner": text, "FeedRange": text})
			put(doc{"LeaseToken": text})
			w.putLease(text, doc{"FeedRange": good, "Owner": text, "version": 1})
			id := w.stores.LeasePrefix + ".host.h" + text
			w.putRawLease(doc{"id": id, "startId": "h" + text, "instance": text})
			w.putRawLease(doc{"id": id + "x", "startId": "h" + text + "x", "instance": text, "renewal": -1})
		}
		put(doc{"Owner": doc{"a": nasty}})
		put(doc{"version": 1e9, "_ts": nasty, "timestamp": nasty})
		w.putRawLease(doc{"id": w.stores.LeasePrefix + ".host.S", "startId": "S", "instance": "idle-host", "renewal": 1})
		time.Sleep(time.Second)

		look := func(what, text string) {
			t.Helper()
			if strings.Contains(text, secret) || strings.Contains(text, key) {
				t.Errorf("%s shows a secret:\n%s", what, text)
			}
		}
		text := w.listLeases(true, false)
		look("list", text)
		if !strings.Contains(text, "\nhost idle-host owns no lease; it was there 1s ago\n") {
			t.Errorf("have\n%s", text)
		}
		for _, line := range strings.Split(text, "\n")[1:5] {
			if fields := strings.Fields(line); fields[len(fields)-1] != "free" && fields[len(fields)-1] != "live" {
				t.Errorf("line %q", line)
			}
		}
		text = w.listLeases(true, true)
		look("list --json", text)
		l := decoded(t, text)
		if len(l.Leases) < 40 || len(l.Hosts) < 4 {
			t.Errorf("%d leases, %d hosts", len(l.Leases), len(l.Hosts))
		}
		zero := slices.IndexFunc(l.Leases, func(r shownLease) bool { return r.Token == "0" })
		if r := l.Leases[zero]; r.Lag == nil || *r.Lag != 0 || r.State != "free" {
			t.Errorf("lease 0 is %+v", r)
		}
		look("lag", w.lag(false)+w.lag(true))
		for _, r := range l.Leases {
			said, refused := w.release(operator.LeaseOptions{Token: r.Token})
			look("release", said+refused)
		}
		said, refused := w.reset(operator.LeaseOptions{All: true, Force: true, To: "now"})
		look("reset", said+refused)
		said, refused = w.release(operator.LeaseOptions{All: true, Force: true, Yes: true, JSON: true})
		look("release --json", said+refused)
		if !json.Valid([]byte(said)) || refused != "" {
			t.Errorf("said %s, refused %q", said, refused)
		}
		for _, r := range decoded(t, w.listLeases(false, true)).Leases {
			if r.State != "free" && r.State != "unread" {
				t.Errorf("after the release %+v", r)
			}
		}
	})
}
