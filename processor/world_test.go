package processor_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/data/azcosmos"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest"

	"opfeed/internal/cosmosemu"
	"opfeed/internal/inproc"
	"opfeed/leases"
	"opfeed/processor"
	"opfeed/processor/dispatch"
)

const leasePrefix = "test"

// world is an emulated account with a monitored container, and what was handled
// by all processors that ever ran on it.
type world struct {
	t    *testing.T
	emu  *cosmosemu.Server
	host string
	docs *azcosmos.ContainerClient // the writer's view

	mu       sync.Mutex
	handled  map[string][]string
	listless bool // the handler has no Pending // id → values seen, in order
	steps    int
	ghosts   []dispatch.Change // listed, whatever is stored

	logged func(zapcore.Entry) error // sees each line; to be set before the start
	bear   func(d doc) bool          // whether the handler bears a poison; to be set before the start
}

// doc is a document of these tests. Op says what the handler does with it.
type doc struct {
	ID        string `json:"id"`
	Partition string `json:"partitionKey"`
	Value     string `json:"value"`
	Op        string `json:"op,omitempty"` // "", pending, poison
	ETag      string `json:"_etag,omitempty"`
	TS        int64  `json:"_ts,omitempty"`
}

func newWorld(t *testing.T) *world { return newWorldOf(t, cosmosemu.Options{}) }

func newWorldOf(t *testing.T, options cosmosemu.Options) *world {
	t.Helper()
	onlyItems := int32(-1)
	w := &world{
		t:       t,
		emu:     cosmosemu.New(options),
		host:    "http://" + strings.ToLower(strings.ReplaceAll(t.Name(), "/", "-")) + ".cosmos.test",
		handled: map[string][]string{},
	}
	if err := w.emu.Create("db",
		cosmosemu.Container{ID: "docs", PartitionKey: "/partitionKey", DefaultTTL: &onlyItems},
		cosmosemu.Container{ID: "leases", PartitionKey: "/id", DefaultTTL: &onlyItems},
	); err != nil {
		t.Fatal(err)
	}
	w.docs = w.container(inproc.New(w.emu), "docs")
	return w
}

func (w *world) container(transport policy.Transporter, name string) *azcosmos.ContainerClient {
	w.t.Helper()
	key, err := azcosmos.NewKeyCredential(cosmosemu.WellKnownKey)
	if err != nil {
		w.t.Fatal(err)
	}
	client, err := azcosmos.NewClientWithKey(w.host, key, &azcosmos.ClientOptions{
		ClientOptions: azcore.ClientOptions{Transport: transport, Retry: policy.RetryOptions{MaxRetries: -1}},
	})
	if err != nil {
		w.t.Fatal(err)
	}
	c, err := client.NewContainer("db", name)
	if err != nil {
		w.t.Fatal(err)
	}
	return c
}

// put writes a document.
func (w *world) put(d doc) {
	w.t.Helper()
	if d.Partition == "" {
		d.Partition = "s"
	}
	body, err := json.Marshal(d)
	if err != nil {
		w.t.Fatal(err)
	}
	if _, err := w.docs.UpsertItem(context.WithoutCancel(w.t.Context()), azcosmos.NewPartitionKeyString(d.Partition), body, nil); err != nil {
		w.t.Fatalf("put %s: %v", d.ID, err)
	}
}

// putLease writes a lease document as another program would.
func (w *world) putLease(body string) {
	w.t.Helper()
	var lease struct {
		ID string `json:"id"`
	}
	if err := json.Unmarshal([]byte(body), &lease); err != nil {
		w.t.Fatal(err)
	}
	c := w.container(inproc.New(w.emu), "leases")
	if _, err := c.CreateItem(w.t.Context(), azcosmos.NewPartitionKeyString(lease.ID), []byte(body), nil); err != nil {
		w.t.Fatal(err)
	}
}

// replica is one processor of a world.
type replica struct {
	*processor.Processor
	metrics *prometheus.Registry // of those that start has started
	stop    func()
	ended   chan struct{}
}

// start runs a processor until its stop is called or the test ends.
func (w *world) start(transport policy.Transporter, change ...func(*processor.Config)) *replica {
	w.t.Helper()
	cfg := processor.DefaultConfig()
	for _, f := range change {
		f(&cfg)
	}
	hook := w.logged
	if hook == nil {
		hook = func(zapcore.Entry) error { return nil }
	}
	docs, metrics := w.container(transport, "docs"), prometheus.NewRegistry()
	p, err := processor.New(cfg, leases.DefaultConfig(), w.handler(docs), processor.Deps{
		Monitored:   docs,
		Leases:      w.container(transport, "leases"),
		LeasePrefix: leasePrefix,
		Instance:    "replica",
		Log:         zaptest.NewLogger(w.t, zaptest.Level(zap.DebugLevel), zaptest.WrapOptions(zap.Hooks(hook))),
		Metrics:     metrics,
	})
	if err != nil {
		w.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(w.t.Context()))
	r := &replica{Processor: p, metrics: metrics, ended: make(chan struct{})}
	go func() {
		defer close(r.ended)
		if err := p.Run(ctx); err != nil {
			w.t.Errorf("Run: %v", err)
		}
	}()
	r.stop = func() { cancel(); <-r.ended }
	w.t.Cleanup(r.stop)
	return r
}

// handler records what it is shown. A pending document stays pending until its
// op changes; poison panics.
func (w *world) handler(docs *azcosmos.ContainerClient) processor.Handler {
	return processor.Handler{
		Route: func(document []byte) processor.Route {
			var d doc
			if err := json.Unmarshal(document, &d); err != nil {
				return processor.Route{Action: processor.Poison, Reason: "does not decode"}
			}
			key := dispatch.Key{Partition: d.Partition, ID: d.ID}
			if d.Op == "keyless" {
				return processor.Route{Action: processor.Poison, Reason: "no partition key"}
			}
			if d.Op == "skip" {
				return processor.Route{Key: key}
			}
			return processor.Route{Action: processor.Take, Key: key}
		},
		Handle: func(ctx context.Context, c dispatch.Change) (dispatch.Apply, error) {
			if c.Document == nil {
				reply, err := docs.ReadItem(ctx, azcosmos.NewPartitionKeyString(c.Partition), c.ID, nil)
				var refused *azcore.ResponseError
				if errors.As(err, &refused) && refused.StatusCode == http.StatusNotFound {
					return nil, nil
				}
				if err != nil {
					return nil, err
				}
				c.Document = reply.Value
			}
			var d doc
			if err := json.Unmarshal(c.Document, &d); err != nil {
				return nil, err
			}
			if d.Op == "poison" && (w.bear == nil || !w.bear(d)) {
				panic("poison")
			}
			return func(context.Context) (dispatch.Outcome, error) {
				w.saw(d)
				if d.Op == "pending" {
					return dispatch.Outcome{Verdict: dispatch.Again, After: 10 * time.Second, Label: "pending"}, nil
				}
				return dispatch.Outcome{}, nil
			}, nil
		},
		Pending: w.pending(docs),
	}
}

func (w *world) pending(docs *azcosmos.ContainerClient) func(context.Context, processor.PendingRequest, func(dispatch.Change)) error {
	if w.listless {
		return nil
	}
	return func(ctx context.Context, req processor.PendingRequest, yield func(dispatch.Change)) error {
		w.mu.Lock()
		ghosts := slices.Clone(w.ghosts)
		w.mu.Unlock()
		for _, c := range ghosts {
			yield(c)
		}
		pager := docs.NewQueryItemsPager("SELECT * FROM c WHERE c.op = 'pending'", azcosmos.NewPartitionKey(),
			&azcosmos.QueryOptions{SessionToken: &req.Session})
		for pager.More() {
			page, err := pager.NextPage(ctx)
			if err != nil {
				return err
			}
			for _, item := range page.Items {
				var d doc
				if err := json.Unmarshal(item, &d); err != nil {
					return err
				}
				c := dispatch.Change{
					Key:     dispatch.Key{Partition: d.Partition, ID: d.ID},
					ETag:    d.ETag,
					Written: time.Unix(d.TS, 0),
				}
				if req.Documents {
					c.Document = item
				}
				yield(c)
			}
		}
		return nil
	}
}

func (w *world) saw(d doc) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.steps++
	if seen := w.handled[d.ID]; len(seen) == 0 || seen[len(seen)-1] != d.Value {
		w.handled[d.ID] = append(seen, d.Value)
	}
}

// wantHandled checks the values that were handled of each id, in order; one that
// was handled several times in a row counts once.
func (w *world) wantHandled(want map[string][]string) {
	w.t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	if !maps.EqualFunc(w.handled, want, slices.Equal[[]string]) {
		w.t.Errorf("handled:\n got %v\nwant %v", w.handled, want)
	}
}

func (w *world) stepsSoFar() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.steps
}

// faulty is a transport with a say in every request and reply.
type faulty struct {
	next   policy.Transporter
	before func(*http.Request) error // the request is not applied
	after  func(*http.Request) error // it is, and its reply lost
}

func (f *faulty) Do(req *http.Request) (*http.Response, error) {
	if f.before != nil {
		if err := f.before(req); err != nil {
			return nil, err
		}
	}
	resp, err := f.next.Do(req)
	if err == nil && f.after != nil {
		if err := f.after(req); err != nil {
			return nil, err
		}
	}
	return resp, err
}

// isFeed says whether a request reads the change feed.
func isFeed(req *http.Request) bool { return req.Header.Get("A-IM") != "" }

// isQueryOf says whether a request queries a container.
func isQueryOf(req *http.Request, container string) bool {
	return req.Header.Get("x-ms-documentdb-query") != "" && strings.Contains(req.URL.Path, "/colls/"+container+"/")
}

var errDead = fmt.Errorf("process is dead")
