package service

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"opfeed/processor/dispatch"
	"opfeed/processor/status"
)

var measured = flag.Bool("answers", false, "measure how long the answers take with many pending operations")

// laden is a service whose engine has so many changes pending, over 100
// subscriptions, in a real dispatcher.
func laden(t testing.TB, count int) *Service {
	t.Helper()
	began := time.Now().Add(-time.Hour)
	var looked atomic.Int64
	done := make(chan struct{})
	d := dispatch.New(dispatch.Config{
		Waiting: count + 1,
		Handle: func(_ context.Context, c dispatch.Change) (dispatch.Apply, error) {
			return func(context.Context) (dispatch.Outcome, error) {
				n := looked.Add(1)
				if n == int64(count) {
					close(done)
				}
				return dispatch.Outcome{Verdict: dispatch.Again, After: time.Hour, Label: []string{"Accepted", "Provisioning", "UnknownState"}[n%3],
					Reason: "cluster is installing", Document: json.RawMessage(`{}`), ETag: "e",
					About: dispatch.About{
						Name: c.ID, Kind: []string{"Cluster", "NodePool"}[n%2], Request: "Create", Began: began.Add(time.Duration(n) * time.Millisecond),
						Resource: "/subscriptions/" + c.Partition + "/resourceGroups/some-group/providers/Microsoft.RedHatOpenShift/hcpOpenShiftClusters/cluster-" + c.ID,
					}}, nil
			}, nil
		},
	})
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() { defer close(ended); _ = d.Run(ctx) }()
	t.Cleanup(func() { cancel(); <-ended })
	for i := range count {
		key := dispatch.Key{Partition: fmt.Sprintf("00000000-0000-0000-0000-%012d", i%100), ID: fmt.Sprintf("11111111-0000-0000-0000-%012d", i)}
		if err := d.Submit(ctx, dispatch.Change{Key: key, Document: json.RawMessage(`{}`), ETag: "e"}, nil); err != nil {
			t.Fatal(err)
		}
	}
	<-done

	cfg := DefaultConfig()
	cfg.Cosmos.Endpoint, cfg.Cosmos.Database, cfg.Cosmos.Key = "http://laden.test", "db", marker
	cfg.CS.URL, cfg.Listen, cfg.AdminListen = "http://laden.cs.test", "", ""
	s, err := New(cfg, Deps{Cosmos: newAccount(), CS: &clusterService{}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.closeClients)
	s.running.Store(&engine{
		changes: func() (list []status.Change) {
			known := d.Known()
			list = make([]status.Change, 0, len(known))
			for _, k := range known {
				list = append(list, status.Change{Partition: k.Partition, ID: k.ID, Range: "0", Name: k.About.Name, Kind: k.About.Kind,
					Request: k.About.Request, Resource: k.About.Resource, Began: k.About.Began, State: k.Label, Phase: status.Pending,
					Since: k.Since, Due: k.Due, Reason: k.Reason})
			}
			return list
		},
		snapshot: func() status.Snapshot {
			stats := d.Stats()
			snap := status.Snapshot{Pending: stats.Pending, PendingByState: stats.Labels}
			for i := range 100 {
				snap.Ranges = append(snap.Ranges, status.Range{Token: fmt.Sprint(i), Owner: "replica-1", Continuation: `"1234"`})
			}
			return snap
		},
		subscriptions: func() map[string]int { return map[string]int{"Registered": 100} },
	})
	for i := range 2 * historyKept {
		s.history.add(time.Now().Add(time.Duration(i)*historyInterval), point{pending: i, steps: int64(i * i)})
		s.transitions.Add(status.Transition{At: began, Resource: strings.Repeat("r", 200), To: "Succeeded"})
	}
	return s
}

// answers are what the page asks for, and the dearest of each.
var answers = []string{
	"/api/v1/snapshot", "/api/v1/operations", "/api/v1/operations?limit=1000&sort=due", "/api/v1/operations?q=CLUSTER-11111111&limit=1000",
	"/api/v1/operations?q=absent", "/api/v1/transitions", "/api/v1/history",
}

// TestAnswers prints how long each answer takes over a socket of this machine, the
// slowest of 20, with 10,000 and 40,000 operations pending, and what the probes
// need beside two pages that ask without a pause.
func TestAnswers(t *testing.T) {
	if !*measured {
		t.Skip("SKIPPED: measures only when asked to, make answers")
	}
	for _, count := range []int{10_000, 40_000} {
		s := laden(t, count)
		admin, cluster := httptest.NewServer(s.AdminHandler()), httptest.NewServer(s.Handler())
		slowest := func(url string) (time.Duration, time.Duration, int) {
			var took []time.Duration
			size := 0
			for range 20 {
				began := time.Now()
				resp, err := http.Get(url)
				if err != nil {
					t.Fatal(err)
				}
				body, _ := io.ReadAll(resp.Body)
				_ = resp.Body.Close()
				took, size = append(took, time.Since(began)), len(body)
			}
			slices.Sort(took)
			return took[len(took)/2], took[len(took)-1], size
		}
		for _, path := range answers {
			median, worst, size := slowest(admin.URL + path)
			t.Logf("%6d pending: %-55s %6.1f ms, slowest %6.1f ms, %7d bytes", count, path, ms(median), ms(worst), size)
		}
		stop, ended := make(chan struct{}), make(chan struct{})
		for range 2 {
			go func() {
				defer func() { ended <- struct{}{} }()
				for {
					select {
					case <-stop:
						return
					default:
						if resp, err := http.Get(admin.URL + "/api/v1/operations?limit=1000&q=cluster"); err == nil {
							_, _ = io.Copy(io.Discard, resp.Body)
							_ = resp.Body.Close()
						}
					}
				}
			}()
		}
		for _, path := range []string{"/healthz", "/readyz"} {
			median, worst, _ := slowest(cluster.URL + path)
			t.Logf("%6d pending, two pages asking: %-37s %6.1f ms, slowest %6.1f ms", count, path, ms(median), ms(worst))
		}
		close(stop)
		<-ended
		<-ended
		admin.Close()
		cluster.Close()
	}
}

func ms(d time.Duration) float64 { return d.Seconds() * 1000 }

func BenchmarkAnswers(b *testing.B) {
	s := laden(b, 10_000)
	h := s.AdminHandler()
	for _, path := range answers {
		b.Run(path, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if w := asked(h, "GET", path, ""); w.Code != http.StatusOK {
					b.Fatal(w.Code)
				}
			}
		})
	}
}

// TestHistory: rates by the time that has really passed, a quarter of an hour of
// points, and nothing before the second sample.
func TestHistory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var h history
		if shown := h.shown(); len(shown.Series) != 8 || len(shown.Series["steps"]) != 0 || shown.Series["lag"] == nil || shown.Interval != 5 {
			t.Errorf("before the first: %+v", shown)
		}
		h.add(time.Now(), point{steps: 1000, requestUnits: 500})
		time.Sleep(5 * time.Second)
		h.add(time.Now(), point{pending: 1, steps: 1010, requestUnits: 501, transitions: 5, lag: 9, staleness: 0.25})
		time.Sleep(10 * time.Second) // it was held up
		h.add(time.Now(), point{waiting: 2, running: 3, steps: 1030, requestUnits: 501})
		have := h.shown()
		for name, want := range map[string][]float64{
			"pending": {1, 0}, "waiting": {0, 2}, "running": {0, 3}, "lag": {9, 0}, "staleness": {0.25, 0},
			"steps": {2, 2}, "requestUnits": {0.2, 0}, "transitions": {1, -0.5},
		} {
			if !slices.Equal(have.Series[name], want) {
				t.Errorf("%s: %v, want %v", name, have.Series[name], want)
			}
		}
		if !have.End.Equal(time.Now()) {
			t.Errorf("ends at %v", have.End)
		}
		have.Series["lag"][0] = 77
		for range 500 {
			time.Sleep(5 * time.Second)
			h.add(time.Now(), point{})
		}
		if have := h.shown(); len(have.Series["pending"]) != historyKept || have.Series["lag"][0] != 0 {
			t.Errorf("%d points", len(have.Series["pending"]))
		}
	})
}

func TestTransitionsAreBounded(t *testing.T) {
	var ring transitions
	if list := ring.Newest(); list == nil || len(list) != 0 {
		t.Errorf("before the first: %v", list)
	}
	for i := range 3*transitionsKept + 7 {
		ring.Add(status.Transition{ID: fmt.Sprint(i), Reason: strings.Repeat("é", 1<<16)})
	}
	list := ring.Newest()
	if len(list) != transitionsKept || list[0].ID != "606" || list[199].ID != "407" || ring.Count() != 607 || len(list[7].Reason) > 600 {
		t.Errorf("%d: from %.20v to %.20v", len(list), list[0].ID, list[len(list)-1].ID)
	}
}

// TestHostileNamesStayText: what a document says comes back as the same text, and
// nothing in an answer could end a script or an event.
func TestHostileNamesStayText(t *testing.T) {
	const hostile = "</script><img src=x onerror=alert(1)>\"'\\\r\n\ndata: x\u2028\u2029\u202e\x00&é"
	s, _ := surfaces(t, nil)
	s.running.Store(&engine{
		changes: func() []status.Change {
			return []status.Change{{Partition: hostile, ID: hostile, Name: hostile, Kind: hostile, Request: hostile, State: hostile,
				Resource: strings.Repeat(hostile, 100_000), Error: "\xff" + hostile, Phase: status.Waiting}}
		},
		snapshot: func() status.Snapshot {
			return status.Snapshot{Ranges: []status.Range{{Owner: hostile}}, Quarantined: []status.Quarantined{{ID: hostile, Reason: hostile}}}
		},
		subscriptions: func() map[string]int { return nil },
	})
	s.transitions.Add(status.Transition{Name: hostile, Resource: strings.Repeat(hostile, 100_000)})
	for path, where := range map[string]func(map[string]any) any{
		"/api/v1/operations":                             func(m map[string]any) any { return m["operations"].([]any)[0].(map[string]any)["name"] },
		"/api/v1/operations?q=%3C%2FSCRIPT%3E%3Cimg":     func(m map[string]any) any { return m["kinds"].([]any)[0] },
		"/api/v1/transitions":                            func(m map[string]any) any { return m["transitions"].([]any)[0].(map[string]any)["name"] },
		"/api/v1/snapshot":                               func(m map[string]any) any { return m["ranges"].([]any)[0].(map[string]any)["owner"] },
		"/api/v1/operations?sort=%3Cscript%3E&limit=%22": func(map[string]any) any { return hostile },
	} {
		w := asked(s.AdminHandler(), "GET", path, "")
		var m map[string]any
		if err := json.Unmarshal(w.Body.Bytes(), &m); err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		if have := where(m); have != hostile {
			t.Errorf("%s: %q", path, have)
		}
		if w.Header().Get("Content-Type") != "application/json" || strings.ContainsAny(w.Body.String(), "<>\u2028\u2029") || w.Body.Len() > 10_000 {
			t.Errorf("%s: %d bytes of %s: %.200s", path, w.Body.Len(), w.Header().Get("Content-Type"), w.Body)
		}
	}
	if frame := string(s.frame()); strings.Count(frame, "\n") != 3 || strings.ContainsAny(frame, "\r\u2028") {
		t.Errorf("an event has more than its lines: %q", frame)
	}
}
