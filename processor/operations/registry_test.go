package operations

import (
	"context"
	"maps"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/data/azcosmos"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"opfeed/processor/dispatch"
)

func subscriptionDoc(partition, id, state string) doc {
	return doc{"id": id, "partitionKey": partition, "resourceType": "Microsoft.Resources/subscriptions", "properties": doc{"state": state}}
}

func (r *rig) registry(keys bool) (*Registry, *observer.ObservedLogs) {
	r.t.Helper()
	core, logs := observer.New(zapcore.DebugLevel)
	deps := RegistryDeps{Resources: r.h.deps.Resources, Log: zap.New(core), Metrics: r.metrics}
	if keys {
		deps.PartitionKeys = r.container(r.own, "PartitionKeys")
	}
	registry, err := NewRegistry(DefaultRegistryConfig(), deps)
	if err != nil {
		r.t.Fatal(err)
	}
	return registry, logs
}

func TestRegistry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.put(subscriptionDoc("s1", "s1", "Registered"))
		r.put(subscriptionDoc("s2", "0a7b", "Unregistered"))
		r.put(subscriptionDoc("s3", "s3", "warned"))
		r.put(subscriptionDoc("s4", "s4", "Nonsense"))
		r.put(subscriptionDoc("s6", "s6", "Registered"))
		time.Sleep(2 * time.Second)
		r.put(subscriptionDoc("s6", "|subscriptions|s6", "Suspended")) // the newer of two
		key := func(id string) {
			raw := []byte(`{"id":"` + id + `","partitionKey":"azure-sdk-for-go-issue-18578"}`)
			if _, err := r.keys.CreateItem(t.Context(), azcosmos.NewPartitionKeyString("azure-sdk-for-go-issue-18578"), raw, nil); err != nil {
				t.Fatal(err)
			}
		}
		key("S1")
		key("s5")
		registry, logs := r.registry(true)
		if len(registry.Counts()) != 0 {
			t.Error("counts before the first read")
		}
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- registry.Run(ctx) }()
		synctest.Wait()
		want := map[string]int{registered: 1, unregistered: 1, warned: 1, suspended: 1, unknown: 2}
		if have := registry.Counts(); !maps.Equal(have, want) {
			t.Errorf("have %v, want %v", have, want)
		}
		if n := r.metric("opfeed_subscriptions", "state=Unknown"); n != 2 {
			t.Errorf("%v unknown", n)
		}
		// An outage keeps what was known and is logged once.
		r.cosmos.mu.Lock()
		r.cosmos.before = func(req *http.Request) error {
			if strings.HasSuffix(req.URL.Path, "/docs") {
				return errCut
			}
			return nil
		}
		r.cosmos.mu.Unlock()
		time.Sleep(time.Hour)
		if n := logs.FilterLevelExact(zapcore.ErrorLevel).Len(); n != 1 || !maps.Equal(registry.Counts(), want) {
			t.Errorf("%d errors, %v", n, registry.Counts())
		}
		r.cosmos.mu.Lock()
		r.cosmos.before = nil
		r.cosmos.mu.Unlock()
		r.put(subscriptionDoc("s1", "s1", "Unregistered"))
		time.Sleep(12 * time.Minute)
		if registry.Counts()[unregistered] != 2 || logs.FilterMessage("subscriptions read").Len() != 2 || logs.FilterMessage("subscriptions read again").Len() != 1 {
			t.Errorf("have %v; %v", registry.Counts(), logs.All())
		}
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

func TestRegistryWithoutPartitionKeys(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		for name, raw := range realDocuments(t) {
			if strings.HasPrefix(name, "subscriptions") {
				r.put(raw)
			}
		}
		registry, _ := r.registry(false)
		states, err := registry.load(t.Context())
		if err != nil || len(states) < 4 {
			t.Fatalf("have %v, %v", states, err)
		}
		for id, state := range states {
			if state != registered {
				t.Errorf("%s is %s", id, state)
			}
		}
	})
}

// TestUnregisteredSubscriptionsAreServed: the registry excludes nothing.
func TestUnregisteredSubscriptionsAreServed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.put(subscriptionDoc(sub, sub, "Unregistered"))
		r.put(operationDoc("op-1", Delete))
		r.plant(clusterID, "gone")
		if step, _ := r.drive(dispatch.Change{Key: key("op-1")}); step.Label != Succeeded {
			t.Errorf("have %+v", step)
		}
	})
}
