package workload

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"opfeed/internal/inproc"
)

func TestReportFieldNames(t *testing.T) {
	r := Report{
		Seconds:       1.5,
		Operations:    Operations{Created: 3, Terminal: 2, Pending: 1, ByStatus: map[string]int{"Succeeded": 2}, Mismatched: 4, LeftAlone: 5},
		PickupSeconds: Quantiles{.1, .2, .3}, WriteBackSeconds: Quantiles{1, 2, 3},
		ClusterServiceCalls: 6, RequestUnits: RequestUnits{1, 2, 3, 4, 5, 15},
		Quarantined: 7, Recovered: 8, Mismatches: []string{"not in the file"}, Unmeasured: "not in the file", Rows: []Row{{}},
	}
	got, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	const want = `{"seconds":1.5,"operations":{"created":3,"terminal":2,"pending":1,"byStatus":{"Succeeded":2},"mismatched":4,"leftAlone":5},` +
		`"pickupSeconds":{"p50":0.1,"p99":0.2,"max":0.3},"writeBackSeconds":{"p50":1,"p99":2,"max":3},"clusterServiceCalls":6,` +
		`"requestUnits":{"feed":1,"leases":2,"locks":3,"operations":4,"lists":5,"total":15},"quarantined":7,"recovered":8}`
	if string(got) != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestQuantiles(t *testing.T) {
	var ds []time.Duration
	for i := 100; i > 0; i-- {
		ds = append(ds, time.Duration(i)*time.Millisecond)
	}
	if got, want := quantiles(ds), (Quantiles{.05, .099, .1}); got != want {
		t.Errorf("got %v, want %v", got, want)
	}
	if got := quantiles(nil); got != (Quantiles{}) {
		t.Errorf("of nothing: %v", got)
	}
	if got, want := quantiles([]time.Duration{time.Second}), (Quantiles{1, 1, 1}); got != want {
		t.Errorf("of one: %v", got)
	}
}

func TestRequestUnitsAreTheServicesAlone(t *testing.T) {
	c := charges{Charges: []charge{
		{Agent: serviceAgent, Container: "Resources", Kind: "feed", RequestUnits: 1},
		{Agent: serviceAgent, Container: "Leases", Kind: "replace", RequestUnits: 2},
		{Agent: serviceAgent, Container: "Leases", Kind: "query", RequestUnits: 2},
		{Agent: serviceAgent, Container: "Locks", Kind: "create", RequestUnits: 4},
		{Agent: serviceAgent, Container: "Resources", Kind: "crossquery", RequestUnits: 8},
		{Agent: serviceAgent, Container: "Resources", Kind: "batch", RequestUnits: 16},
		{Agent: serviceAgent, Kind: "metadata", RequestUnits: 32},
		{Agent: frontEndAgent, Container: "Resources", Kind: "feed", RequestUnits: 1000},
	}}
	want := RequestUnits{Feed: 1, Leases: 4, Locks: 4, Lists: 8, Operations: 48, Total: 65}
	if got := requestUnits(c); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func TestTimings(t *testing.T) {
	x := goodEnding(Cluster, Flat, Update, "ready")
	x.o.Mutations[1].FirstRead = map[string]time.Time{frontEndAgent: noon.Add(time.Millisecond), serviceAgent: noon.Add(100 * time.Millisecond)}
	j := journal{Objects: []object{*x.o}}
	pickup, back := timings([]entry{x.e}, j)
	if pickup.Max != 0.1 || back.Max != 1 {
		t.Errorf("pickup %v, write-back %v", pickup, back)
	}
	shared := x.e
	shared.Shared = true
	if pickup, _ := timings([]entry{shared}, j); pickup.Max != 0 {
		t.Errorf("an operation on a busy object was measured: %v", pickup)
	}
	late := x.e // its internal id came 60 ms after the call
	late.Written = noon.Add(60 * time.Millisecond)
	if pickup, _ := timings([]entry{late}, j); pickup.Max != 0.04 {
		t.Errorf("late internal id: %v", pickup)
	}
	cancelled := x.e
	cancelled.Superseded = true
	if _, back := timings([]entry{cancelled}, j); back.Max != 0 {
		t.Errorf("a cancelled operation has no write-back: %v", back)
	}
}

// What only the service knows is asked of it, and not made up where it cannot be
// asked.
func TestWhatTheServiceKnows(t *testing.T) {
	snapshot := `{"leftAlone":3,"quarantined":[{"id":"a"},{"id":"b"}],"recovered":4}`
	for name, c := range map[string]struct {
		url    string
		status int
		want   Report
		words  string
	}{
		"no URL": {"", 0, Report{Operations: Operations{LeftAlone: 5}},
			"quarantined and recovered were not measured: no URL of the service was given"},
		"no answer": {"http://service.test", 503, Report{Operations: Operations{LeftAlone: 5}},
			"quarantined and recovered were not measured: the service did not answer: GET /api/v1/snapshot answered 503"},
		"fewer than loaded": {"http://service.test", 200, Report{Operations: Operations{LeftAlone: 3}, Quarantined: 2, Recovered: 4},
			"2 quarantined, 4 recovered"},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, func(c2 *Config) {
				if c.url != "" {
					c2.ServiceURLs = []string{c.url}
				}
			})
			b.admin.watcher.Transport = inproc.New(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				w.WriteHeader(c.status)
				_, _ = w.Write([]byte(snapshot))
			}))
			b.loaded.Store(&loaded{leftAlone: 5})
			r, err := b.Measure(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if r.Operations.LeftAlone != c.want.Operations.LeftAlone || r.Quarantined != c.want.Quarantined || r.Recovered != c.want.Recovered {
				t.Errorf("%d left alone, %d quarantined, %d recovered", r.Operations.LeftAlone, r.Quarantined, r.Recovered)
			}
			if words := r.Words(); !strings.Contains(words, c.words) || c.want.Quarantined == 0 && strings.Contains(words, "0 quarantined") {
				t.Errorf("said\n%s\nwant %q", words, c.words)
			}
		})
	}
}

// Several replicas are taken together; one that is silent makes the sums unknown,
// and hides none of the others.
func TestReplicasAreTakenTogether(t *testing.T) {
	snapshots := map[string]string{
		"a.test": `{"instance":"a","ranges":[{"token":"0","mine":true},{"token":"1"},{"token":"2","mine":true}],` +
			`"leftAlone":1,"quarantined":[{"partition":"p","id":"x","etag":"1"},{"partition":"p","id":"y","etag":"2"}],"quarantinedTotal":5,"recovered":2}`,
		"b.test": `{"instance":"b","ranges":[{"token":"0"},{"token":"1","mine":true},{"token":"2"}],` +
			`"leftAlone":2,"quarantined":[{"partition":"p","id":"x","etag":"1"}],"quarantinedTotal":1,"recovered":3}`,
		"c.test": `{"instance":"c","ranges":[]}`,
	}
	b := newBench(t, func(c *Config) { c.ServiceURLs = []string{"http://a.test", "http://b.test", "http://c.test"} })
	b.admin.watcher.Transport = inproc.New(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, known := snapshots[r.Host]
		if !known {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
		_, _ = w.Write([]byte(body))
	}))
	r, err := b.Measure(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if r.Operations.LeftAlone != 3 || r.Quarantined != 2+3 || r.Recovered != 5 || r.Unmeasured != "" {
		t.Errorf("%d left alone, %d quarantined, %d recovered, %q", r.Operations.LeftAlone, r.Quarantined, r.Recovered, r.Unmeasured)
	}
	if words := r.Words(); !strings.Contains(words, "ranges      a: 0 2, b: 1, c: none\n") {
		t.Errorf("said\n%s", words)
	}

	delete(snapshots, "a.test")
	if r, err = b.Measure(t.Context()); err != nil {
		t.Fatal(err)
	}
	if r.Unmeasured == "" || r.Quarantined != 0 || Owners(r.Replicas) != "b: 1, c: none" {
		t.Errorf("without one: unmeasured %q, %d quarantined, %s", r.Unmeasured, r.Quarantined, Owners(r.Replicas))
	}
}

func TestTable(t *testing.T) {
	done := time.Now()
	started := func(k Kind, r Request, status string, terminal time.Time) entry {
		return entry{Target: Target{Kind: k}, Request: r, Status: status, Terminal: terminal}
	}
	loaded := func(request, object, resource string) entry {
		return entry{Loaded: true, Status: "Succeeded", Terminal: done, Object: object, Resource: resource,
			Before: map[string]any{"properties": map[string]any{"request": request}}}
	}
	o, rows := tally([]entry{
		started(Cluster, Create, "Succeeded", done), started(Cluster, Create, "Succeeded", done), started(Cluster, Create, "Canceled", done),
		started(NodePool, Update, "Failed", done), started(ExternalAuth, Delete, "Deleting", time.Time{}),
		loaded("update", "/api/aro_hcp/v1alpha1/clusters/c/node_pools/p", ""),
		loaded("Delete", "", "/subscriptions/s/resourceGroups/g/providers/P/hcpOpenShiftClusters/c/externalAuths/e"),
		loaded("RequestCredential", "/api/aro_hcp/v1alpha1/clusters/c", ""),
		loaded("Create", "", ""),
	})
	if o.Created != 9 || o.Terminal != 8 || o.Pending != 1 || o.ByStatus["Succeeded"] != 6 {
		t.Errorf("in all: %+v", o)
	}
	const want = `                                           all  Succeeded  Failed  Canceled  pending
Cluster               Create                 3          2       .         1        .
Cluster               Update                 0          .       .         .        .
Cluster               Delete                 0          .       .         .        .
NodePool              Create                 0          .       .         .        .
NodePool              Update                 2          1       1         .        .
NodePool              Delete                 0          .       .         .        .
ExternalAuth          Create                 0          .       .         .        .
ExternalAuth          Update                 0          .       .         .        .
ExternalAuth          Delete                 2          1       .         .        1
BreakGlassCredential  RequestCredential      0          .       .         .        .
Cluster               RevokeCredentials      0          .       .         .        .
Cluster               RequestCredential      1          1       .         .        .
?                     Create                 1          1       .         .        .
`
	if got := table(rows); got != want {
		t.Errorf("have\n%swant\n%s", got, want)
	}
}
