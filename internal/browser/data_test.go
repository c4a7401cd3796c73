package browser_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"time"

	"opfeed/internal/service"
	"opfeed/processor/status"
)

const instance = "opfeed-6c9d7b5f4-x2lqv"

// typical is a replica among three, under a common load, with a bit of
// everything that the page can show. All of it is made up.
func typical(s *server) {
	now := time.Now()
	rng := rand.New(rand.NewPCG(6, 6))
	s.changes = operations(rng, now, 187)
	s.transitions = transitions(rng, now, 200)
	s.history = history(rng, now)
	lag := func(n int64) *int64 { return &n }
	mine := func(token, low, high string, behind int64, pending int) status.Range {
		return status.Range{Token: token, Min: low, Max: high, Owner: instance, Mine: true, Epoch: 4,
			Continuation: fmt.Sprintf("%q", fmt.Sprint(184200+rng.IntN(900))), LastRead: now.Add(-120 * time.Millisecond), LastChange: now.Add(-3 * time.Second),
			Listed: true, Staleness: 0.1 + rng.Float64()*0.2, Lag: lag(behind), Waiting: 1, Running: 2, Pending: pending}
	}
	other := func(token, low, high, owner, page string) status.Range {
		return status.Range{Token: token, Min: low, Max: high, Owner: owner, Epoch: 3,
			Continuation: fmt.Sprintf("%q", fmt.Sprint(183000+rng.IntN(900))), Page: page}
	}
	s.snapshot = service.Snapshot{
		Snapshot: status.Snapshot{
			Instance: instance, Started: now.Add(-51 * time.Hour), Waiting: 3, Running: 5, Pending: len(s.changes) - 8,
			PendingByState: map[string]int{}, LeftAlone: 2, LastList: now.Add(-23 * time.Second),
			Ranges: []status.Range{
				mine("0", "", "0A", 3, 71), mine("1", "0A", "15", 0, 64),
				other("2", "15", "1F", "opfeed-6c9d7b5f4-7hbzn", "https://ops.example.org/opfeed-6c9d7b5f4-7hbzn/"),
				other("3", "1F", "2A", "opfeed-6c9d7b5f4-7hbzn", "https://ops.example.org/opfeed-6c9d7b5f4-7hbzn/"),
				mine("4", "2A", "34", 1, 44),
				other("5", "34", "FF", "opfeed-6c9d7b5f4-tq8mk", ""),
			},
			Hosts: []status.Host{{Instance: "opfeed-6c9d7b5f4-new1d", Page: "http://127.0.0.1:1/"}},
			Quarantined: []status.Quarantined{
				{Partition: subscription(7), ID: "8f1c2a44-13d0-4b7e-9a55-0e6f1d7c2b90", LSN: 184123, At: now.Add(-94 * time.Minute), Instance: instance,
					Reason: "undecodable: read operation: properties.startTime is no time"},
				{Partition: subscription(3), ID: "c07b5e19-4a1f-4f0a-8a3a-5d1be2c4f611", LSN: 183990, At: now.Add(-26 * time.Hour), Instance: instance,
					Reason: "refused: write operation: 400 Bad Request, on two looks"},
			},
		},
		Service: service.Facts{
			Build:         service.Build{Version: "v0.6.0", Revision: "0ab1054c51f7d2a9", GoVersion: "go1.26"},
			ProcessorName: "opfeed", Ready: true,
			Conditions: []service.Condition{{Name: "cosmos", OK: true, Since: now.Add(-51 * time.Hour)}, {Name: "leases", OK: true, Since: now.Add(-50 * time.Hour)}, {Name: "feed", OK: true, Since: now.Add(-50 * time.Hour)},
				{Name: "cluster_service", OK: true, Since: now.Add(-3 * time.Hour)}, {Name: "running", OK: true, Since: now.Add(-51 * time.Hour)}},
			Cosmos: map[string]service.Usage{"feed": {Requests: 2203311, RequestUnits: 2401009.4}, "operation": {Requests: 90412, RequestUnits: 412008.1},
				"lease": {Requests: 183002, RequestUnits: 1830020}, "list": {Requests: 3061, RequestUnits: 15488.7}, "lock": {Requests: 41027, RequestUnits: 336421.4}},
			Subscriptions: map[string]int{"Registered": 498, "Unregistered": 7, "Warned": 2},
		},
	}
	for _, c := range s.changes {
		s.snapshot.PendingByState[c.State]++
	}
}

// many fills a replica with n operations, in the places of the typical ones.
func many(s *server, n int) {
	s.changes = operations(rand.New(rand.NewPCG(7, 7)), time.Now(), n)
	s.snapshot.Pending = n
	s.snapshot.PendingByState = map[string]int{}
	for _, c := range s.changes {
		s.snapshot.PendingByState[c.State]++
	}
}

func subscription(n int) string {
	return fmt.Sprintf("5f0c%04x-7a21-4c3e-9d10-%012x", n*2657%65536, n*7919+0xa1)
}

var (
	kinds    = []string{"Cluster", "NodePool", "NodePool", "ExternalAuth", "Credential"}
	requests = []string{"Create", "Create", "Create", "Update", "Delete"}
	states   = map[string][]string{
		"Create": {"Provisioning", "Provisioning", "Provisioning", "Accepted", "AwaitingSecret"},
		"Update": {"Updating", "Updating", "Accepted"},
		"Delete": {"Deleting", "Deleting", "Accepted"},
	}
	words    = []string{"amber", "birch", "cedar", "delta", "ember", "fjord", "grove", "heron", "isle", "juniper", "kestrel", "larch"}
	troubles = []string{"ask cluster service: 503 Service Unavailable", "ask cluster service: no answer for 10 s", "write operation: 412 Precondition Failed"}
)

// operations are n changes that have not ended, of 40 subscriptions.
func operations(rng *rand.Rand, now time.Time, n int) []status.Change {
	list := make([]status.Change, n)
	for i := range list {
		kind, request := kinds[rng.IntN(len(kinds))], requests[rng.IntN(len(requests))]
		of := states[request]
		name := fmt.Sprintf("%s-%s-%d", words[rng.IntN(len(words))], map[string]string{"Cluster": "hcp", "NodePool": "workers", "ExternalAuth": "entra", "Credential": "admin"}[kind], i)
		c := status.Change{
			Partition: subscription(rng.IntN(40)), ID: fmt.Sprintf("%08x-1c2d-4e3f-8a9b-%012x", rng.Uint32(), i), Range: "0",
			Name: name, Kind: kind, Request: request, State: of[rng.IntN(len(of))],
			Began: now.Add(-time.Duration(math.Pow(rng.Float64(), 2)*40*60) * time.Second).Add(-4 * time.Second),
			Phase: status.Pending, Since: now.Add(-time.Duration(rng.IntN(9000)) * time.Millisecond),
			Reason: "cluster service has not ended it",
		}
		c.Resource = fmt.Sprintf("/subscriptions/%s/resourceGroups/rg-%s/providers/Microsoft.RedHatOpenShift/hcpOpenShiftClusters/%s", c.Partition, words[i%len(words)], name)
		c.Due = c.Since.Add(10 * time.Second)
		switch {
		case i < 5:
			c.Phase, c.Due = status.Running, time.Time{}
		case i < 8:
			c.Phase, c.Due, c.State, c.Reason = status.Waiting, time.Time{}, "New", ""
		case rng.IntN(14) == 0:
			c.Attempt, c.Error, c.Reason = 1+rng.IntN(4), troubles[rng.IntN(len(troubles))], ""
		}
		list[i] = c
	}
	return list
}

func transitions(rng *rand.Rand, now time.Time, n int) []status.Transition {
	list := make([]status.Transition, n)
	at := now
	for i := range list {
		at = at.Add(-time.Duration(rng.IntN(14000)) * time.Millisecond)
		kind, request := kinds[rng.IntN(len(kinds))], requests[rng.IntN(len(requests))]
		from := states[request][0]
		t := status.Transition{At: at, Partition: subscription(rng.IntN(40)), ID: fmt.Sprintf("%08x-77aa-4e3f-8a9b-%012x", rng.Uint32(), i),
			Name: fmt.Sprintf("%s-%d", words[rng.IntN(len(words))], i), Kind: kind, Request: request, From: from, To: "Succeeded"}
		switch rng.IntN(9) {
		case 0:
			t.To, t.Reason = "Failed", "cluster service: no capacity in this zone"
		case 1, 2, 3:
			t.From, t.To = "Accepted", from
		}
		list[i] = t
	}
	return list
}

func history(rng *rand.Rand, now time.Time) status.History {
	h := status.History{Interval: 5, End: now, Series: map[string][]float64{}}
	for i := range 180 {
		x := float64(i) / 180
		hill := (x - 0.62) * 12
		wave := 1 + 0.35*math.Sin(x*7) + 0.5*math.Exp(-hill*hill)
		noise := func(size float64) float64 { return size * rng.Float64() }
		for name, v := range map[string]float64{
			"pending": math.Round(130*wave + noise(6)), "waiting": math.Round(noise(3) * wave), "running": math.Round(noise(6)),
			"lag": math.Round(noise(5) * wave), "staleness": 0.1 + noise(0.22), "steps": 17*wave + noise(3),
			"transitions": 0.9*wave + noise(0.8), "requestUnits": 61*wave + noise(14),
		} {
			h.Series[name] = append(h.Series[name], v)
		}
	}
	return h
}
