package operator_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/data/azcosmos"

	"opfeed/cs/cssim"
	"opfeed/internal/cosmosemu"
	"opfeed/internal/envconf"
	"opfeed/internal/inproc"
	"opfeed/internal/operator"
	"opfeed/internal/service"
)

const (
	sub   = "0465bc32-c654-41b8-8d87-9815d7abe8f6"
	other = "6b690bec-0c16-4ecb-8f67-781caf40bba7"

	clusterID = "/api/aro_hcp/v1alpha1/clusters/h1"
	// secret must never be shown.
	secret = "s3cr3t-that-nobody-may-see"
	key    = "a2V5IG9mIHRoZSBhY2NvdW50LCBzM2NyM3Q="
)

// world is an emulated account and a simulated Cluster Service. To be made inside
// a synctest bubble.
type world struct {
	t        *testing.T
	cosmos   *cosmosemu.Server
	cs       *cssim.Server
	stores   *service.Stores
	o        *operator.Operator
	replicas []*service.Service // that were started
	refuse   atomic.Bool        // answer each batch of the replicas as if Cosmos DB refused its first document
}

func newWorld(t *testing.T, change ...func(*service.Config)) *world {
	t.Helper()
	on := int32(-1)
	w := &world{t: t, cosmos: cosmosemu.New(cosmosemu.Options{Key: key}), cs: cssim.New(cssim.Options{Speed: 1, Seed: 1})}
	if err := w.cosmos.Create("db",
		cosmosemu.Container{ID: "Resources", PartitionKey: "/partitionKey", DefaultTTL: &on, Ranges: 4},
		cosmosemu.Container{ID: "Leases", PartitionKey: "/id", DefaultTTL: &on},
	); err != nil {
		t.Fatal(err)
	}
	cfg := w.config(0)
	cfg.Operations.Outbox.Enabled = true // as far as the operator is told
	for _, f := range change {
		f(&cfg)
	}
	var err error
	w.stores, err = service.Open(t.Context(), cfg, service.Deps{Cosmos: inproc.New(w.cosmos), CS: inproc.New(w.cs)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.stores.Close)
	w.o, err = operator.New(cfg.Operations, operator.Deps{
		Resources: w.stores.Resources, Leases: w.stores.Leases, LeasePrefix: w.stores.LeasePrefix, CS: w.stores.CS})
	if err != nil {
		t.Fatal(err)
	}
	return w
}

// config has a port for each client: azcosmos holds a mutex by address, and leases
// go by the host alone.
func (w *world) config(client int) service.Config {
	name := strings.ToLower(strings.NewReplacer("/", "-", "_", "-", " ", "-").Replace(w.t.Name()))
	cfg := service.DefaultConfig()
	cfg.Cosmos.Endpoint, cfg.Cosmos.Database = fmt.Sprintf("http://%s.cosmos.test:%d", name, 8000+client), "db"
	cfg.Cosmos.Key = envconf.Secret(key)
	cfg.CS.URL = "http://" + name + ".cs.test"
	cfg.Instance = fmt.Sprintf("replica-%d", client)
	cfg.Listen, cfg.AdminListen = "", ""
	cfg.Operations.Outbox.Enabled = false // nobody plays ARM: what is owed stays so
	return cfg
}

// start runs a replica until its stop; kill ends it as if its machine were gone.
func (w *world) start() (stop, kill func()) {
	w.t.Helper()
	way := &replicaWay{w: w, next: inproc.New(w.cosmos)}
	s, err := service.New(w.config(len(w.replicas)+1), service.Deps{Cosmos: way, CS: inproc.New(w.cs)})
	if err != nil {
		w.t.Fatal(err)
	}
	w.replicas = append(w.replicas, s)
	ctx, cancel := context.WithCancel(context.WithoutCancel(w.t.Context()))
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		if err := s.Run(ctx); err != nil && !way.dead.Load() {
			w.t.Errorf("replica: %v", err)
		}
	}()
	stop = func() { cancel(); <-ended }
	w.t.Cleanup(stop)
	return stop, func() { way.dead.Store(true); stop() }
}

// replicaWay is a replica's way to Cosmos DB.
type replicaWay struct {
	w    *world
	next policy.Transporter
	dead atomic.Bool
}

func (r *replicaWay) Do(req *http.Request) (*http.Response, error) {
	if r.dead.Load() {
		return nil, io.ErrUnexpectedEOF
	}
	if r.w.refuse.Load() && req.Header.Get("x-ms-cosmos-is-batch-request") != "" {
		body := `[{"statusCode":400,"requestCharge":1}]`
		return &http.Response{StatusCode: http.StatusMultiStatus, Status: "207", Request: req, Header: http.Header{},
			Body: io.NopCloser(strings.NewReader(body)), ContentLength: int64(len(body))}, nil
	}
	return r.next.Do(req)
}

type doc = map[string]any

// operation is an operation document, started a while ago.
func operation(id, request, status string, ago time.Duration, change ...func(d, properties doc)) doc {
	at := time.Now().Add(-ago).UTC().Format(time.RFC3339Nano)
	p := doc{
		"request": request, "status": status, "internalId": clusterID, "startTime": at, "lastTransitionTime": at,
		"externalId":  "/subscriptions/" + sub + "/resourceGroups/rg/providers/Microsoft.RedHatOpenShift/hcpOpenShiftClusters/c1",
		"operationId": operationID(sub, id),
	}
	d := doc{"id": id, "partitionKey": sub, "resourceType": "Microsoft.RedHatOpenShift/hcpOperationStatuses", "ttl": 604800, "properties": p}
	for _, f := range change {
		f(d, p)
	}
	return d
}

func operationID(subscription, name string) string {
	return "/subscriptions/" + subscription + "/providers/Microsoft.RedHatOpenShift/locations/l/hcpOperationStatuses/" + name
}

// with sets a property.
func with(name string, value any) func(d, properties doc) {
	return func(_, p doc) { p[name] = value }
}

// in puts a document into a subscription.
func in(subscription string) func(d, properties doc) {
	return func(d, _ doc) { d["partitionKey"] = subscription }
}

// cluster is the resource of an operation.
func cluster(id, link, state string) doc {
	return doc{"id": id, "partitionKey": sub, "resourceType": "Microsoft.RedHatOpenShift/hcpOpenShiftClusters",
		"properties": doc{"activeOperationId": link, "provisioningState": state}}
}

// put stores a document, raw or to be encoded.
func (w *world) put(d any) {
	w.t.Helper()
	if err := w.try(d); err != nil {
		w.t.Fatal(err)
	}
}

// try is put of what Cosmos DB may refuse.
func (w *world) try(d any) error {
	w.t.Helper()
	raw, ok := d.([]byte)
	if !ok {
		var err error
		if raw, err = json.Marshal(d); err != nil {
			w.t.Fatal(err)
		}
	}
	var at doc // a struct's names would match any casing
	if err := json.Unmarshal(raw, &at); err != nil {
		w.t.Fatal(err)
	}
	partition, _ := at["partitionKey"].(string)
	_, err := w.stores.Resources.UpsertItem(w.t.Context(), azcosmos.NewPartitionKeyString(partition), raw, nil)
	return err
}

// status is that of an operation as it is stored.
func (w *world) status(id string) string {
	w.t.Helper()
	reply, err := w.stores.Resources.ReadItem(w.t.Context(), azcosmos.NewPartitionKeyString(sub), id, nil)
	if err != nil {
		w.t.Fatal(err)
	}
	var d struct{ Properties struct{ Status any } }
	if err := json.Unmarshal(reply.Value, &d); err != nil {
		w.t.Fatal(err)
	}
	return fmt.Sprint(d.Properties.Status)
}

func (w *world) plant(internalID, state string) {
	w.t.Helper()
	if err := w.cs.Plant(internalID, state); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) list(opts operator.ListOptions) string {
	w.t.Helper()
	var out bytes.Buffer
	if err := w.o.List(w.t.Context(), &out, opts); err != nil {
		w.t.Fatalf("list: %v", err)
	}
	return out.String()
}

func (w *world) show(opts operator.ShowOptions) string {
	w.t.Helper()
	var out bytes.Buffer
	if err := w.o.Show(w.t.Context(), &out, opts); err != nil {
		w.t.Fatalf("show: %v", err)
	}
	return out.String()
}

// retry returns what is said, and what is refused.
func (w *world) retry(subscription, id string) (said, refused string) {
	var out bytes.Buffer
	if err := w.o.Retry(w.t.Context(), &out, subscription, id); err != nil {
		return out.String(), operator.Words(err)
	}
	return out.String(), ""
}

// want compares a text, whose lines may be indented to stand in the code.
func want(t *testing.T, have, text string) {
	t.Helper()
	text = strings.ReplaceAll(strings.TrimPrefix(text, "\n"), "\t", "")
	if have != text {
		t.Errorf("have\n%s\nwant\n%s", have, text)
	}
}
