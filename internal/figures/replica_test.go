package figures_test

import (
	"context"
	"net/http"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/data/azcosmos"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest"

	"opfeed/cs/cssim"
	"opfeed/internal/cosmosemu"
	"opfeed/internal/envconf"
	"opfeed/internal/inproc"
	"opfeed/internal/service"
	"opfeed/internal/workload"
)

// wholeReplica is the service with all its containers and one range.
type wholeReplica struct {
	*service.Service
	url     string
	account *cosmosemu.Server
	cs      *cssim.Server
}

// newReplica starts one. Its bubble's end is its own.
func newReplica(t *testing.T, name string, tune func(*service.Config)) *wholeReplica {
	t.Helper()
	off, lock := int32(-1), int32(10)
	w := &wholeReplica{
		url:     "http://idle-" + name + ".cosmos.test",
		account: cosmosemu.New(cosmosemu.Options{}),
		cs:      cssim.New(cssim.Options{Speed: 60, Seed: 1}),
	}
	if err := w.account.Create("opfeed",
		cosmosemu.Container{ID: "Resources", PartitionKey: "/partitionKey", DefaultTTL: &off},
		cosmosemu.Container{ID: "Leases", PartitionKey: "/id", DefaultTTL: &off},
		cosmosemu.Container{ID: "Locks", PartitionKey: "/id", DefaultTTL: &lock},
		cosmosemu.Container{ID: "Billing", PartitionKey: "/subscriptionId"},
		cosmosemu.Container{ID: "PartitionKeys", PartitionKey: "/partitionKey", DefaultTTL: &off},
	); err != nil {
		t.Fatal(err)
	}
	cfg := service.DefaultConfig()
	cfg.Cosmos.Endpoint, cfg.Cosmos.Key, cfg.Cosmos.Database = w.url, envconf.Secret(cosmosemu.WellKnownKey), "opfeed"
	cfg.Cosmos.Locks, cfg.Cosmos.PartitionKeys = "Locks", "PartitionKeys"
	cfg.Cosmos.Billing, cfg.Location = "Billing", "westeurope"
	cfg.CS.URL, cfg.Instance = "http://idle-"+name+".cs.test", "replica-1"
	cfg.Listen, cfg.AdminListen = "", ""
	tune(&cfg)
	var err error
	w.Service, err = service.New(cfg, service.Deps{
		Cosmos: inproc.New(w.account), CS: inproc.New(w.cs), Registry: prometheus.NewRegistry(),
		Log: zaptest.NewLogger(t, zaptest.Level(zap.WarnLevel)),
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		if err := w.Run(ctx); err != nil {
			t.Error(err)
		}
	}()
	t.Cleanup(func() { cancel(); <-ended })
	return w
}

// work lets a front end make operations over ten subscriptions until all have
// ended.
func (w *wholeReplica) work(t *testing.T) {
	t.Helper()
	time.Sleep(30 * time.Second)
	cfg := workload.DefaultConfig()
	cfg.CosmosURL, cfg.CosmosKey, cfg.ClusterServiceURL = w.url+":1", cosmosemu.WellKnownKey, "http://idle.cs.test"
	cfg.Billing, cfg.Subscriptions, cfg.Rate, cfg.For, cfg.Drain = "Billing", 10, 1, 2*time.Minute, time.Hour
	f, err := workload.New(cfg, workload.Deps{
		CosmosTransport: inproc.New(w.account), ClusterServiceTransport: inproc.New(w.cs),
		ServiceTransport: inproc.New(http.NotFoundHandler()), Say: t.Logf,
	})
	if err != nil {
		t.Fatal(err)
	}
	report, err := f.Run(t.Context())
	if err != nil || report.Lost() || report.Operations.Created < 100 {
		t.Fatalf("%+v, %v", report.Operations, err)
	}
}

// charged is what the account has charged the replica.
func (w *wholeReplica) charged() (units float64) {
	for _, c := range w.account.Stats().Charges {
		if c.Agent == "opfeed" {
			units += c.RequestUnits
		}
	}
	return units
}

// dial gives a client of its own for one container of an account: its port tells
// it from others, since azcosmos shares by address what it remembers.
func dial(t *testing.T, account http.Handler, host, container string) *azcosmos.ContainerClient {
	t.Helper()
	return dialBy(t, inproc.New(account), "http://"+host+".cosmos.test", container)
}

func dialBy(t *testing.T, transport policy.Transporter, url, container string) *azcosmos.ContainerClient {
	t.Helper()
	key, err := azcosmos.NewKeyCredential(cosmosemu.WellKnownKey)
	if err != nil {
		t.Fatal(err)
	}
	options := &azcosmos.ClientOptions{}
	options.Transport, options.Retry = transport, policy.RetryOptions{MaxRetries: -1}
	client, err := azcosmos.NewClientWithKey(url, key, options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	c, err := client.NewContainer("db", container)
	if err != nil {
		t.Fatal(err)
	}
	return c
}
