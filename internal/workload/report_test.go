package workload

import (
	"encoding/json"
	"testing"
	"time"
)

func TestReportFieldNames(t *testing.T) {
	r := Report{
		Seconds:       1.5,
		Operations:    Operations{Created: 3, Terminal: 2, Pending: 1, ByStatus: map[string]int{"Succeeded": 2}, Mismatched: 4, LeftAlone: 5},
		PickupSeconds: Quantiles{.1, .2, .3}, WriteBackSeconds: Quantiles{1, 2, 3},
		ClusterServiceCalls: 6, RequestUnits: RequestUnits{1, 2, 3, 4, 5, 15},
		Quarantined: 7, Recovered: 8, Mismatches: []string{"not in the file"},
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
		{Agent: ServiceAgent, Container: "Resources", Kind: "feed", RequestUnits: 1},
		{Agent: ServiceAgent, Container: "Leases", Kind: "replace", RequestUnits: 2},
		{Agent: ServiceAgent, Container: "Leases", Kind: "query", RequestUnits: 2},
		{Agent: ServiceAgent, Container: "Locks", Kind: "create", RequestUnits: 4},
		{Agent: ServiceAgent, Container: "Resources", Kind: "crossquery", RequestUnits: 8},
		{Agent: ServiceAgent, Container: "Resources", Kind: "batch", RequestUnits: 16},
		{Agent: ServiceAgent, Kind: "metadata", RequestUnits: 32},
		{Agent: Agent, Container: "Resources", Kind: "feed", RequestUnits: 1000},
	}}
	want := RequestUnits{Feed: 1, Leases: 4, Locks: 4, Lists: 8, Operations: 48, Total: 65}
	if got := requestUnits(c); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func TestTimings(t *testing.T) {
	x := goodEnding(Cluster, Flat, Update, "ready")
	x.o.Mutations[1].FirstRead = map[string]time.Time{Agent: noon.Add(time.Millisecond), ServiceAgent: noon.Add(100 * time.Millisecond)}
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
