package processor_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/data/azcosmos"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest"

	"opfeed/internal/cosmosemu"
	"opfeed/internal/inproc"
	"opfeed/leases"
	"opfeed/processor"
)

// library is an emulated account as the user of the library has it: a container
// of any kind, one for leases, and one function for what has changed.
type library struct {
	t    *testing.T
	emu  *cosmosemu.Server
	host string
	key  string // the header of the partition that put writes to

	mu    sync.Mutex
	calls map[string]int                                    // of the function, by document
	done  map[string][]string                               // document → values for which it returned nil, each once in a row
	fail  func(i processor.Item, d doc) error               // nil: it never does
	hang  func(ctx context.Context, i processor.Item) error // the same; to be set before the start
}

// stringKey is the definition that most containers have.
var stringKey = azcosmos.PartitionKeyDefinition{Paths: []string{"/partitionKey"}, Kind: azcosmos.PartitionKeyKindHash, Version: 2}

func newLibrary(t *testing.T, key azcosmos.PartitionKeyDefinition, ranges int) *library {
	t.Helper()
	l := &library{
		t:     t,
		emu:   cosmosemu.New(cosmosemu.Options{}),
		host:  "http://" + strings.ToLower(strings.NewReplacer("/", "-", "_", "-", "=", "-").Replace(t.Name())) + ".library.test",
		key:   `["s"]`,
		calls: map[string]int{},
		done:  map[string][]string{},
	}
	ctx := t.Context()
	client := l.client(inproc.New(l.emu))
	if _, err := client.CreateDatabase(ctx, azcosmos.DatabaseProperties{ID: "shop"}, nil); err != nil {
		t.Fatal(err)
	}
	database, err := client.NewDatabase("shop")
	if err != nil {
		t.Fatal(err)
	}
	throughput := azcosmos.NewManualThroughputProperties(int32(10000 * ranges))
	on := int32(-1)
	for _, c := range []azcosmos.ContainerProperties{
		{ID: "orders", PartitionKeyDefinition: key},
		{ID: "leases", PartitionKeyDefinition: azcosmos.PartitionKeyDefinition{Paths: []string{"/id"}, Version: 2}, DefaultTimeToLive: &on},
	} {
		options := &azcosmos.CreateContainerOptions{}
		if c.ID == "orders" {
			options.ThroughputProperties = &throughput
		}
		if _, err := database.CreateContainer(ctx, c, options); err != nil {
			t.Fatal(err)
		}
	}
	return l
}

func (l *library) client(transport policy.Transporter) *azcosmos.Client {
	l.t.Helper()
	key, err := azcosmos.NewKeyCredential(cosmosemu.WellKnownKey)
	if err != nil {
		l.t.Fatal(err)
	}
	client, err := azcosmos.NewClientWithKey(l.host, key, &azcosmos.ClientOptions{
		ClientOptions: azcore.ClientOptions{Transport: transport, Retry: policy.RetryOptions{MaxRetries: -1}},
	})
	if err != nil {
		l.t.Fatal(err)
	}
	return client
}

func (l *library) container(transport policy.Transporter, name string) *azcosmos.ContainerClient {
	l.t.Helper()
	c, err := l.client(transport).NewContainer("shop", name)
	if err != nil {
		l.t.Fatal(err)
	}
	return c
}

// put writes a document into the partition that key names.
func (l *library) put(d doc) { l.t.Helper(); l.write(l.key, d) }

func (l *library) write(key string, document any) {
	l.t.Helper()
	if d, ok := document.(doc); ok && d.Partition == "" {
		d.Partition = "s"
		document = d
	}
	body, err := json.Marshal(document)
	if err != nil {
		l.t.Fatal(err)
	}
	ctx := policy.WithHTTPHeader(context.WithoutCancel(l.t.Context()), http.Header{"X-Ms-Documentdb-Partitionkey": {key}})
	if _, err := l.container(inproc.New(l.emu), "orders").UpsertItem(ctx, azcosmos.NewPartitionKeyString(""), body, nil); err != nil {
		l.t.Fatalf("put %s: %v", body, err)
	}
}

// each is the user's function.
func (l *library) each(ctx context.Context, i processor.Item) error {
	var d doc
	if err := json.Unmarshal(i.Document, &d); err != nil {
		return err
	}
	l.mu.Lock()
	l.calls[i.ID]++
	fail, hang := l.fail, l.hang
	l.mu.Unlock()
	if hang != nil {
		if err := hang(ctx, i); err != nil {
			return err
		}
	}
	if fail != nil {
		if err := fail(i, d); err != nil {
			return err
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if seen := l.done[i.ID]; len(seen) == 0 || seen[len(seen)-1] != d.Value {
		l.done[i.ID] = append(seen, d.Value)
	}
	return nil
}

func (l *library) failing(fail func(i processor.Item, d doc) error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.fail = fail
}

func (l *library) called(id string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.calls[id]
}

func (l *library) wantDone(want map[string][]string) {
	l.t.Helper()
	w := world{t: l.t, handled: l.done}
	l.mu.Lock()
	defer l.mu.Unlock()
	w.wantHandled(want)
}

// deps is what a user gives, in full.
func (l *library) deps(transport policy.Transporter) processor.Deps {
	l.t.Helper()
	return processor.Deps{
		Monitored: l.container(transport, "orders"),
		Leases:    l.container(transport, "leases"),
		Name:      "counter",
		Instance:  "replica",
		Endpoint:  l.host,
	}
}

func (l *library) start(transport policy.Transporter, change ...func(*processor.Config)) *replica {
	l.t.Helper()
	deps := l.deps(transport)
	deps.Log = zaptest.NewLogger(l.t, zaptest.Level(zap.ErrorLevel))
	return l.startWith(deps, change...)
}

func (l *library) startWith(deps processor.Deps, change ...func(*processor.Config)) *replica {
	l.t.Helper()
	cfg := processor.DefaultConfig()
	for _, f := range change {
		f(&cfg)
	}
	p, err := processor.New(cfg, leases.DefaultConfig(), processor.Each(l.each), deps)
	if err != nil {
		l.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(l.t.Context()))
	r := &replica{Processor: p, ended: make(chan struct{})}
	go func() {
		defer close(r.ended)
		if err := p.Run(ctx); err != nil {
			l.t.Errorf("Run: %v", err)
		}
	}()
	r.stop = func() { cancel(); <-r.ended }
	l.t.Cleanup(r.stop)
	return r
}

// prefix is what all lease documents begin with, by the long way.
func (l *library) prefix() string {
	l.t.Helper()
	ctx := context.WithoutCancel(l.t.Context())
	database, err := l.client(inproc.New(l.emu)).NewDatabase("shop")
	if err != nil {
		l.t.Fatal(err)
	}
	db, err := database.Read(ctx, nil)
	if err != nil {
		l.t.Fatal(err)
	}
	c, err := l.container(inproc.New(l.emu), "orders").Read(ctx, nil)
	if err != nil {
		l.t.Fatal(err)
	}
	return leases.Prefix("counter", strings.TrimPrefix(l.host, "http://"), db.DatabaseProperties.ResourceID, c.ContainerProperties.ResourceID)
}

func fromBeginning(c *processor.Config) { c.Start = processor.FromBeginning() }

var errAway = errors.New("what the handler needs is away")
