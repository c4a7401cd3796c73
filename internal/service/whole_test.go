package service

import (
	"encoding/json"
	"math"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/data/azcosmos"

	"opfeed/cs/cssim"
	"opfeed/internal/cosmosemu"
	"opfeed/internal/inproc"
	"opfeed/internal/purpose"
	"opfeed/leases"
	"opfeed/processor/status"
)

// emulated is an account with the containers of a replica.
func emulated(t *testing.T) *cosmosemu.Server {
	t.Helper()
	on := int32(-1)
	account := cosmosemu.New(cosmosemu.Options{Key: marker})
	if err := account.Create("db",
		cosmosemu.Container{ID: "Resources", PartitionKey: "/partitionKey", DefaultTTL: &on},
		cosmosemu.Container{ID: "Leases", PartitionKey: "/id", DefaultTTL: &on},
		cosmosemu.Container{ID: "Locks", PartitionKey: "/id", DefaultTTL: &on},
		cosmosemu.Container{ID: "Billing", PartitionKey: "/subscriptionId"},
	); err != nil {
		t.Fatal(err)
	}
	return account
}

// TestWholeReplica runs everything against emulated servers: ready, one
// operation from Accepted to Succeeded, and a stop that gives the leases back.
func TestWholeReplica(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, account := t.Context(), emulated(t)
		clusters := cssim.New(cssim.Options{Speed: 60, Seed: 1})
		r := start(t, testConfig(t), Deps{Cosmos: inproc.New(account), CS: inproc.New(clusters)})
		pause(ctx, 10*time.Second)
		if code, is := r.conditions(t); code != http.StatusOK {
			t.Fatalf("not ready: %v\n%v", is, r.logs.All())
		}

		const internalID = "/api/aro_hcp/v1alpha1/clusters/2k3j4h5g"
		if err := clusters.Plant(internalID, "ready"); err != nil {
			t.Fatal(err)
		}
		st, err := r.connect(ctx)
		if err != nil {
			t.Fatal(err)
		}
		defer st.client.Close()
		const subscription, id = "00000000-0000-0000-0000-000000000001", "11111111-0000-0000-0000-000000000001"
		key := azcosmos.NewPartitionKeyString(subscription)
		_, err = st.resources.CreateItem(ctx, key, []byte(`{"id":"`+id+`","partitionKey":"`+subscription+`",
			"resourceType":"Microsoft.RedHatOpenShift/hcpOperationStatuses","ttl":604800,"properties":{
			"request":"Create","status":"Accepted","internalId":"`+internalID+`",
			"startTime":"`+time.Now().UTC().Format(time.RFC3339)+`","lastTransitionTime":"`+time.Now().UTC().Format(time.RFC3339)+`",
			"operationId":"/subscriptions/`+subscription+`/providers/Microsoft.RedHatOpenShift/locations/x/hcpOperationStatuses/`+id+`",
			"externalId":"/subscriptions/`+subscription+`/resourceGroups/g/providers/Microsoft.RedHatOpenShift/hcpOpenShiftClusters/c"}}`), nil)
		if err != nil {
			t.Fatal(err)
		}
		pause(ctx, time.Minute)
		item, err := st.resources.ReadItem(ctx, key, id, nil)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(string(item.Value), `"status":"Succeeded"`) {
			t.Errorf("the operation has not ended: %s\n%v", item.Value, r.logs.All())
		}
		synctest.Wait()
		snap := r.Snapshot()
		if len(snap.Ranges) != 1 || !snap.Ranges[0].Mine || len(snap.Quarantined) != 0 || snap.Pending != 0 {
			t.Errorf("have %+v", snap.Snapshot)
		}
		for _, use := range []purpose.Purpose{purpose.Feed, purpose.LeaseList, purpose.Lease, purpose.Quarantine,
			purpose.List, purpose.Registry, purpose.Operation, purpose.Lock, purpose.Billing} {
			if u := snap.Service.Cosmos[string(use)]; u.Requests == 0 || u.RequestUnits == 0 {
				t.Errorf("nothing was spent on %s", use)
			}
		}
		spent(t, account.Stats(), snap.Service.Cosmos)
		informed(t, r, subscription, id)

		began := time.Now()
		r.stop()
		if err := <-r.result; err != nil || time.Since(began) > 5*time.Second {
			t.Errorf("stopped after %v with %v", time.Since(began), err)
		}
		list, err := leases.NewStore(st.leases, st.leasePrefix).List(ctx)
		if err != nil || len(list) != 1 || list[0].Owner != "" || list[0].Continuation == "" {
			t.Errorf("leases left behind: %+v, %v", list, err)
		}
	})
}

// informed holds what operators are told to what has happened.
func informed(t *testing.T, r *replica, subscription, id string) {
	t.Helper()
	var list struct{ Transitions []status.Transition }
	_, body := r.ask("/api/v1/transitions")
	if err := json.Unmarshal([]byte(body), &list); err != nil || len(list.Transitions) == 0 {
		t.Fatalf("transitions: %s, %v", body, err)
	}
	last := list.Transitions[0]
	if last.Partition != subscription || last.ID != id || last.Name != id || last.Kind != "Cluster" || last.Request != "Create" ||
		last.To != "Succeeded" || last.From == last.To || last.Reason == "" || !strings.HasSuffix(last.Resource, "/hcpOpenShiftClusters/c") ||
		time.Since(last.At) > time.Minute {
		t.Errorf("last transition: %+v", last)
	}
	var h status.History
	_, body = r.ask("/api/v1/history")
	if err := json.Unmarshal([]byte(body), &h); err != nil {
		t.Fatal(err)
	}
	if n := len(h.Series["pending"]); n < 10 || time.Since(h.End) > historyInterval {
		t.Errorf("%d points until %v", n, h.End)
	}
	for _, name := range []string{"steps", "transitions", "requestUnits"} {
		sum := 0.0
		for _, v := range h.Series[name] {
			sum += v
		}
		if len(h.Series[name]) != len(h.Series["pending"]) || sum == 0 {
			t.Errorf("%s: %v", name, h.Series[name])
		}
	}
}

// spent holds what the service says it has spent to what the account charged.
func spent(t *testing.T, stats cosmosemu.Stats, usage map[string]Usage) {
	t.Helper()
	var charged, leases, total Usage
	for _, c := range stats.Charges {
		if c.Agent != applicationID {
			t.Errorf("requests of an unknown agent: %+v", c)
		}
		charged = Usage{charged.Requests + c.Requests, charged.RequestUnits + c.RequestUnits}
		if c.Container == "Leases" && c.Kind != "metadata" {
			leases = Usage{leases.Requests + c.Requests, leases.RequestUnits + c.RequestUnits}
		}
	}
	for _, u := range usage {
		total = Usage{total.Requests + u.Requests, total.RequestUnits + u.RequestUnits}
	}
	var ofLeases Usage
	for _, p := range spending[roleLeases] {
		u := usage[string(p)]
		ofLeases = Usage{ofLeases.Requests + u.Requests, ofLeases.RequestUnits + u.RequestUnits}
	}
	for what, pair := range map[string][2]Usage{"in all": {total, charged}, "leases": {ofLeases, leases}} {
		have, want := pair[0], pair[1]
		rounding := 0.005 * float64(want.Requests) // a reply tells two decimals
		if have.Requests != want.Requests || math.Abs(have.RequestUnits-want.RequestUnits) > rounding {
			t.Errorf("%s: have %+v, charged %+v", what, have, want)
		}
	}
}

// silentFeed answers everything but reads of the change feed.
type silentFeed struct {
	policy.Transporter
	silent atomic.Bool
}

func (f *silentFeed) Do(req *http.Request) (*http.Response, error) {
	if f.silent.Load() && req.Header.Get("A-IM") != "" {
		<-req.Context().Done()
		return nil, req.Context().Err()
	}
	return f.Transporter.Do(req)
}

func TestReadinessFollowsTheFeed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		on := int32(-1)
		account := cosmosemu.New(cosmosemu.Options{Key: marker})
		if err := account.Create("db",
			cosmosemu.Container{ID: "Resources", PartitionKey: "/partitionKey", DefaultTTL: &on},
			cosmosemu.Container{ID: "Leases", PartitionKey: "/id", DefaultTTL: &on},
			cosmosemu.Container{ID: "Locks", PartitionKey: "/id", DefaultTTL: &on},
			cosmosemu.Container{ID: "Billing", PartitionKey: "/subscriptionId"},
		); err != nil {
			t.Fatal(err)
		}
		feed := &silentFeed{Transporter: inproc.New(account)}
		r := start(t, testConfig(t), Deps{Cosmos: feed, CS: inproc.New(cssim.New(cssim.Options{}))})
		pause(t.Context(), 10*time.Second)
		if code, is := r.conditions(t); code != http.StatusOK {
			t.Fatalf("not ready: %v", is)
		}
		if s := r.Snapshot().Ranges[0].Staleness; s > 1 {
			t.Errorf("a feed at work is stale for %v s", s)
		}
		feed.silent.Store(true)
		pause(t.Context(), 45*time.Second)
		if code, is := r.conditions(t); code != http.StatusServiceUnavailable || is["feed"] != "range 0: change feed not read for more than 30s" {
			t.Errorf("with a silent feed: %d, %v", code, is)
		}
		if s := r.Snapshot().Ranges[0].Staleness; s < 40 || s > 50 {
			t.Errorf("a feed that is silent for 45 s is stale for %v s", s)
		}
		feed.silent.Store(false)
		pause(t.Context(), 20*time.Second)
		if code, is := r.conditions(t); code != http.StatusOK {
			t.Errorf("with the feed back: %d, %v", code, is)
		}
	})
}
