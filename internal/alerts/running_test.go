package alerts

import (
	"context"
	"encoding/json"
	"testing"
	"testing/synctest"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/data/azcosmos"
	"github.com/prometheus/client_golang/prometheus"

	"opfeed/cs/cssim"
	"opfeed/internal/cosmosemu"
	"opfeed/internal/inproc"
	"opfeed/internal/service"
)

// emitted is what a service emits that has one operation ended, one pending and
// one document in quarantine, over emulated servers.
func emitted(t *testing.T) catalogue {
	t.Helper()
	found := catalogue{}
	synctest.Test(t, func(t *testing.T) {
		on := int32(-1)
		account := cosmosemu.New(cosmosemu.Options{})
		if err := account.Create("db",
			cosmosemu.Container{ID: "Resources", PartitionKey: "/partitionKey", DefaultTTL: &on},
			cosmosemu.Container{ID: "Leases", PartitionKey: "/id", DefaultTTL: &on},
			cosmosemu.Container{ID: "Locks", PartitionKey: "/id", DefaultTTL: &on},
			cosmosemu.Container{ID: "PartitionKeys", PartitionKey: "/partitionKey", DefaultTTL: &on},
			cosmosemu.Container{ID: "Billing", PartitionKey: "/subscriptionId"},
		); err != nil {
			t.Fatal(err)
		}
		clusters := cssim.New(cssim.Options{Speed: 60, Seed: 1})
		registry := prometheus.NewRegistry()
		s, err := service.New(config(t), service.Deps{
			Cosmos: inproc.New(account), CS: inproc.New(clusters), ARM: inproc.New(nil), Registry: registry,
		})
		if err != nil {
			t.Fatal(err)
		}
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- s.Run(ctx) }()
		pause(10 * time.Second)
		for name, state := range map[string]string{"ends": "ready", "waits": "recoverable_error"} {
			if err := clusters.Plant(internalID(name), state); err != nil {
				t.Fatal(err)
			}
		}
		create(t, account, "ends", "waits", "poison")
		pause(30 * time.Second)
		found.gather(t, registry)
		stop()
		if err := <-ended; err != nil {
			t.Errorf("service: %v", err)
		}
	})
	return found
}

// config is one in which everything is switched on that has metrics.
func config(t *testing.T) service.Config {
	t.Helper()
	environ := []string{
		"OPFEED_COSMOS_ENDPOINT=http://alerts.cosmos.test:8001", "OPFEED_COSMOS_KEY=" + cosmosemu.WellKnownKey,
		"OPFEED_COSMOS_DATABASE=db", "OPFEED_COSMOS_LOCKS_CONTAINER=Locks", "OPFEED_COSMOS_PARTITION_KEYS_CONTAINER=PartitionKeys",
		"OPFEED_COSMOS_BILLING_CONTAINER=Billing", "OPFEED_LOCATION=westeurope", "OPFEED_CS_URL=http://alerts.cs.test",
		"OPFEED_COSMOS_RU_BUDGET=400",
	}
	cfg, err := service.Load(environ)
	if err != nil {
		t.Fatal(err)
	}
	cfg.Listen, cfg.AdminListen = "", "" // a socket would stop the time of a bubble
	return cfg
}

func internalID(name string) string { return "/api/aro_hcp/v1alpha1/clusters/" + name }

// create writes an operation for each name; that of "poison" does not decode.
func create(t *testing.T, account *cosmosemu.Server, names ...string) {
	t.Helper()
	key, err := azcosmos.NewKeyCredential(cosmosemu.WellKnownKey)
	if err != nil {
		t.Fatal(err)
	}
	options := &azcosmos.ClientOptions{}
	options.Transport, options.Retry = inproc.New(account), policy.RetryOptions{MaxRetries: -1}
	client, err := azcosmos.NewClientWithKey("http://alerts.cosmos.test:8000", key, options)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	resources, err := client.NewContainer("db", "Resources")
	if err != nil {
		t.Fatal(err)
	}
	const subscription = "00000000-0000-0000-0000-000000000001"
	for _, name := range names {
		properties := any(map[string]any{
			"request": "Create", "status": "Accepted", "internalId": internalID(name), "startTime": time.Now().UTC(),
			"operationId": "/subscriptions/" + subscription + "/providers/Microsoft.RedHatOpenShift/locations/x/hcpOperationStatuses/" + name,
			"externalId":  "/subscriptions/" + subscription + "/resourceGroups/g/providers/Microsoft.RedHatOpenShift/hcpOpenShiftClusters/" + name,
		})
		if name == "poison" {
			properties = "no object"
		}
		item, err := json.Marshal(map[string]any{
			"id": name, "partitionKey": subscription, "resourceType": "Microsoft.RedHatOpenShift/hcpOperationStatuses",
			"ttl": 604800, "properties": properties,
		})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := resources.CreateItem(t.Context(), azcosmos.NewPartitionKeyString(subscription), item, nil); err != nil {
			t.Fatal(err)
		}
	}
}

// pause lets the time of a bubble pass.
func pause(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}
