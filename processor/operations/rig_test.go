package operations

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/data/azcosmos"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"opfeed/cs"
	"opfeed/cs/cssim"
	"opfeed/internal/cosmosemu"
	"opfeed/internal/inproc"
	"opfeed/processor/dispatch"
)

const sub = "0465bc32-c654-41b8-8d87-9815d7abe8f6"

// tap lets a test see, delay and spoil requests on their way.
type tap struct {
	next   *inproc.Transport
	mu     sync.Mutex
	before func(*http.Request) error                                   // refuses a request that is not applied
	reply  func(*http.Request) *http.Response                          // answers one that is not applied; nil = pass
	after  func(*http.Request, *http.Response) (*http.Response, error) // replaces the answer to one that was
	seen   []*http.Request
}

func (t *tap) Do(req *http.Request) (*http.Response, error) { return t.RoundTrip(req) }

func (t *tap) RoundTrip(req *http.Request) (*http.Response, error) {
	t.mu.Lock()
	before, reply, after := t.before, t.reply, t.after
	t.seen = append(t.seen, req)
	t.mu.Unlock()
	if before != nil {
		if err := before(req); err != nil {
			return nil, err
		}
	}
	if reply != nil {
		if resp := reply(req); resp != nil {
			return resp, nil
		}
	}
	resp, err := t.next.RoundTrip(req)
	if err == nil && after != nil {
		return after(req, resp)
	}
	return resp, err
}

// requests counts what has passed since the last call and matches.
func (t *tap) requests(match func(*http.Request) bool) int {
	t.mu.Lock()
	defer t.mu.Unlock()
	n := 0
	for _, req := range t.seen {
		if match(req) {
			n++
		}
	}
	t.seen = nil
	return n
}

func all(*http.Request) bool { return true }

func isBatch(req *http.Request) bool { return req.Header.Get("x-ms-cosmos-is-batch-request") != "" }

func isQuery(req *http.Request) bool {
	return strings.EqualFold(req.Header.Get("x-ms-documentdb-query"), "true")
}

// canned is an answer that the service never gave.
func canned(req *http.Request, status int, body string) *http.Response {
	return &http.Response{StatusCode: status, Status: http.StatusText(status), Request: req, Header: http.Header{},
		Body: io.NopCloser(strings.NewReader(body)), ContentLength: int64(len(body))}
}

// body reads what is sent, and leaves it to be sent.
func body(t *testing.T, req *http.Request) string {
	t.Helper()
	raw, err := io.ReadAll(req.Body)
	if err != nil {
		t.Error(err)
	}
	req.Body = io.NopCloser(strings.NewReader(string(raw)))
	return string(raw)
}

func isLock(req *http.Request) bool { return strings.Contains(req.URL.Path, "/colls/Locks/") }

// rig is a Handler between an emulated Cosmos DB and a simulated Cluster Service,
// and a front end beside it. To be made inside a synctest bubble.
type rig struct {
	t         *testing.T
	sim       *cssim.Server
	h         *Handler
	cosmos    *tap                      // of the handler
	service   *tap                      // to Cluster Service
	resources *azcosmos.ContainerClient // the front end's
	locks     *azcosmos.ContainerClient
	keys      *azcosmos.ContainerClient
	billing   *azcosmos.ContainerClient // the handler has none, but for those of newBillingRig
	own       *azcosmos.DatabaseClient  // the handler's
	logs      *observer.ObservedLogs
	metrics   *prometheus.Registry
}

func newRig(t *testing.T, change ...func(*Config, *Deps)) *rig {
	t.Helper()
	emu := cosmosemu.New(cosmosemu.Options{})
	minus, ten := int32(-1), int32(10)
	if err := emu.Create("rp",
		cosmosemu.Container{ID: "Resources", PartitionKey: "/partitionKey", DefaultTTL: &minus},
		cosmosemu.Container{ID: "Locks", PartitionKey: "/id", DefaultTTL: &ten},
		cosmosemu.Container{ID: "PartitionKeys", PartitionKey: "/partitionKey"},
		cosmosemu.Container{ID: "Billing", PartitionKey: "/subscriptionId"},
	); err != nil {
		t.Fatal(err)
	}
	r := &rig{t: t, sim: cssim.New(cssim.Options{}), metrics: prometheus.NewRegistry()}
	r.cosmos = &tap{next: inproc.New(emu)}
	r.service = &tap{next: inproc.New(r.sim)}
	front := r.database(inproc.New(emu), "frontend")
	r.resources, r.locks, r.keys = r.container(front, "Resources"), r.container(front, "Locks"), r.container(front, "PartitionKeys")
	r.billing = r.container(front, "Billing")
	own := r.database(r.cosmos, "opfeed")
	r.own = own

	core, logs := observer.New(zapcore.DebugLevel)
	r.logs = logs
	config := cs.DefaultConfig()
	config.URL = "http://cs.test"
	client, err := cs.New(config, cs.Deps{Log: zap.NewNop(), Metrics: r.metrics, Transport: r.service})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close() })
	cfg := DefaultConfig()
	deps := Deps{Resources: r.container(own, "Resources"), Locks: r.container(own, "Locks"), CS: client,
		Instance: "test-1", Log: zap.New(core), Metrics: r.metrics}
	for _, f := range change {
		f(&cfg, &deps)
	}
	if r.h, err = New(cfg, deps); err != nil {
		t.Fatal(err)
	}
	return r
}

func (r *rig) database(transport policy.Transporter, agent string) *azcosmos.DatabaseClient {
	r.t.Helper()
	key, err := azcosmos.NewKeyCredential(cosmosemu.WellKnownKey)
	if err != nil {
		r.t.Fatal(err)
	}
	host := "http://" + strings.ToLower(strings.NewReplacer("/", "-", "_", "-", " ", "-", ",", "-").Replace(r.t.Name())) + ".cosmos.test"
	client, err := azcosmos.NewClientWithKey(host, key, &azcosmos.ClientOptions{ClientOptions: azcore.ClientOptions{
		Transport: transport, Telemetry: policy.TelemetryOptions{ApplicationID: agent},
		// As internal/service has it.
		Retry: policy.RetryOptions{MaxRetries: 3, RetryDelay: 200 * time.Millisecond, MaxRetryDelay: 2 * time.Second}}})
	if err != nil {
		r.t.Fatal(err)
	}
	db, err := client.NewDatabase("rp")
	if err != nil {
		r.t.Fatal(err)
	}
	return db
}

func (r *rig) container(db *azcosmos.DatabaseClient, id string) *azcosmos.ContainerClient {
	r.t.Helper()
	c, err := db.NewContainer(id)
	if err != nil {
		r.t.Fatal(err)
	}
	return c
}

// put stores a document as a front end does and returns its ETag.
func (r *rig) put(doc any) string {
	r.t.Helper()
	raw, ok := doc.([]byte)
	if !ok {
		var err error
		if raw, err = json.Marshal(doc); err != nil {
			r.t.Fatal(err)
		}
	}
	d, ok := parseDocument(raw)
	if !ok {
		r.t.Fatalf("no document: %s", raw)
	}
	resp, err := r.resources.UpsertItem(r.t.Context(), azcosmos.NewPartitionKeyString(d.partition), raw, nil)
	if err != nil {
		r.t.Fatal(err)
	}
	return string(resp.ETag)
}

// get reads a document of sub; nil when it is not there.
func (r *rig) get(id string) []byte {
	r.t.Helper()
	return r.getFrom(sub, id)
}

func (r *rig) getFrom(partition, id string) []byte {
	r.t.Helper()
	resp, err := r.resources.ReadItem(r.t.Context(), azcosmos.NewPartitionKeyString(partition), id, nil)
	if code, _ := status(err); code == http.StatusNotFound {
		return nil
	}
	if err != nil {
		r.t.Fatal(err)
	}
	return resp.Value
}

// change patches one string field of a document of sub, as a front end would.
func (r *rig) change(id, path string, value any) {
	r.t.Helper()
	var ops azcosmos.PatchOperations
	ops.AppendSet(path, value)
	if _, err := r.resources.PatchItem(r.t.Context(), azcosmos.NewPartitionKeyString(sub), id, ops, nil); err != nil {
		r.t.Fatal(err)
	}
}

func (r *rig) field(id, path string) string {
	r.t.Helper()
	raw := r.get(id)
	if raw == nil {
		return "absent"
	}
	return strings.Trim(leaves(r.t, raw)[path], `"`)
}

// properties decodes those of a document of sub.
func (r *rig) properties(id string) doc {
	r.t.Helper()
	var d doc
	if err := json.Unmarshal(r.get(id), &d); err != nil {
		r.t.Fatal(err)
	}
	return props(d)
}

func (r *rig) plant(internalID, state string) {
	r.t.Helper()
	if err := r.sim.Plant(internalID, state); err != nil {
		r.t.Fatal(err)
	}
}

// step looks and, if that works, steps once.
func (r *rig) step(c dispatch.Change) (dispatch.Outcome, error) {
	r.t.Helper()
	f, err := r.h.Handle(r.t.Context(), c)
	if err != nil {
		return dispatch.Outcome{}, err
	}
	return f(r.t.Context())
}

// key names a document of sub.
func key(id string) dispatch.Key { return dispatch.Key{Partition: sub, ID: id} }

// next is the change that follows a step, as the dispatcher makes it.
func next(c dispatch.Change, step dispatch.Outcome) dispatch.Change {
	c.Seen, c.Source, c.Attempt = step.Seen, dispatch.Due, 0
	c.Aside = step.Aside
	if step.ETag != "" {
		c.ETag, c.Document, c.Session = step.ETag, step.Document, step.Session
	}
	return c
}

// drive takes steps until the last one, and returns it and all of them.
func (r *rig) drive(s dispatch.Change) (dispatch.Outcome, []dispatch.Outcome) {
	r.t.Helper()
	var steps []dispatch.Outcome
	for range 2000 {
		step, err := r.step(s)
		if err != nil {
			s.ETag, s.Document = "", nil
			s.Attempt++
			time.Sleep(time.Second)
			continue
		}
		steps = append(steps, step)
		if step.Verdict != dispatch.Again {
			return step, steps
		}
		s = next(s, step)
		time.Sleep(step.After)
	}
	r.t.Fatalf("no end after %d steps", len(steps))
	return dispatch.Outcome{}, nil
}

// metric returns the value of a counter, summed over the series whose labels
// contain all of the given "name=value".
func (r *rig) metric(name string, labels ...string) float64 {
	r.t.Helper()
	families, err := r.metrics.Gather()
	if err != nil {
		r.t.Fatal(err)
	}
	sum := 0.0
	for _, f := range families {
		if f.GetName() != name {
			continue
		}
		for _, m := range f.GetMetric() {
			have := map[string]bool{}
			for _, l := range m.GetLabel() {
				have[l.GetName()+"="+l.GetValue()] = true
			}
			ok := true
			for _, l := range labels {
				ok = ok && have[l]
			}
			if ok {
				sum += m.GetCounter().GetValue() + m.GetGauge().GetValue()
			}
		}
	}
	return sum
}

// messages lists the log's messages about one operation, by its operation_id.
func (r *rig) messages(name string) []string {
	var list []string
	for _, e := range r.logs.All() {
		if e.ContextMap()["operation_id"] == name && e.Level >= zapcore.InfoLevel {
			list = append(list, e.Message)
		}
	}
	return list
}

type doc = map[string]any

const clusterID = "/api/clusters_mgmt/v1/clusters/h1"

// errCut is what a connection that is cut before the reply gives.
var errCut = &net.OpError{Op: "read", Net: "tcp", Err: syscall.ECONNRESET}

// operationDoc is an operation of the older generation, started now.
func operationDoc(id, request string) doc {
	status := Accepted
	if request == Delete {
		status = Deleting
	}
	now := time.Now().UTC().Format(time.RFC3339Nano)
	return doc{
		"id": id, "partitionKey": sub, "resourceType": "Microsoft.RedHatOpenShift/hcpOperationStatuses", "ttl": 604800,
		"properties": doc{
			"request": request, "status": status, "internalId": clusterID, "startTime": now, "lastTransitionTime": now,
			"externalId":      "/subscriptions/" + sub + "/resourceGroups/rg/providers/Microsoft.RedHatOpenShift/hcpOpenShiftClusters/c1",
			"operationId":     fmt.Sprintf("/subscriptions/%s/providers/Microsoft.RedHatOpenShift/locations/l/hcpOperationStatuses/%s", sub, id),
			"clientRequestId": "client-1", "correlationRequestId": "correlation-1", "unknown": []any{1, "two"},
		},
	}
}

// newestOperationDoc is one of the newest generation.
func newestOperationDoc(id, request string) doc {
	d := operationDoc(id, request)
	d["properties"].(doc)["cosmosMetadata"] = doc{"instanceVersion": 3, "partitionKey": sub}
	d["resourceID"] = "/subscriptions/" + sub + "/providers/Microsoft.RedHatOpenShift/hcpOperationStatuses/" + id
	return d
}

func props(d doc) doc { return d["properties"].(doc) }

// clusterDoc is a cluster of the older generation that names an operation.
func clusterDoc(id, operation string) doc {
	return doc{
		"id": id, "partitionKey": sub, "resourceType": "Microsoft.RedHatOpenShift/hcpOpenShiftClusters",
		"properties": doc{"activeOperationId": operation, "provisioningState": Accepted, "internalId": clusterID, "unknown": doc{"a": 1.5}},
	}
}

// newestClusterDoc is one of the newest generation.
func newestClusterDoc(id, operation string) doc {
	return doc{
		"id": id, "partitionKey": sub, "resourceType": "microsoft.redhatopenshift/hcpopenshiftclusters",
		"resourceID": "/subscriptions/" + sub + "/x",
		"properties": doc{
			"cosmosMetadata":            doc{"instanceVersion": 5},
			"serviceProviderProperties": doc{"activeOperationId": operation, "provisioningState": Accepted, "clusterServiceID": clusterID},
		},
	}
}

func ctxWith(t *testing.T, d time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}

func transportTo(h http.Handler) *inproc.Transport { return inproc.New(h) }

// send sends what a front end sends to Cluster Service.
func (r *rig) send(method, path string) {
	r.t.Helper()
	req, err := http.NewRequestWithContext(r.t.Context(), method, "http://cs.test"+path, strings.NewReader("{}"))
	if err != nil {
		r.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := inproc.New(r.sim).RoundTrip(req)
	if err != nil || resp.StatusCode >= 300 {
		r.t.Errorf("%s %s: %v, %v", method, path, resp, err)
	}
}
