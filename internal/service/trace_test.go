package service

import (
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
	"unicode/utf8"

	"github.com/Azure/azure-sdk-for-go/sdk/data/azcosmos"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"opfeed/cs/cssim"
	"opfeed/internal/inproc"
)

// traced is a whole replica whose spans are kept.
type traced struct {
	*replica
	clusters *cssim.Server
	broken   atomic.Bool // Cluster Service answers 503
	spans    *tracetest.InMemoryExporter
	store    *stores
}

// planted is a text that no span may hold, wherever it was put.
const planted = "5ecret"

func startTraced(t *testing.T) *traced {
	t.Helper()
	account := emulated(t)
	w := &traced{spans: tracetest.NewInMemoryExporter()}
	w.clusters = cssim.New(cssim.Options{Speed: 60, Seed: 1})
	arm := inproc.New(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {}))
	w.replica = start(t, testConfig(t), Deps{Cosmos: inproc.New(account), ARM: arm, CS: roundTrip(func(r *http.Request) (*http.Response, error) {
		if w.broken.Load() {
			return &http.Response{StatusCode: http.StatusServiceUnavailable, Header: http.Header{"Content-Type": {"application/json"}}, Request: r,
				Body: io.NopCloser(strings.NewReader(`{"kind":"Error","id":"503","code":"X","reason":"` + strings.Repeat("x", 5000) + `"}`))}, nil
		}
		return inproc.New(w.clusters).RoundTrip(r)
	}), Tracing: sdktrace.NewTracerProvider(sdktrace.WithSyncer(w.spans))})
	pause(t.Context(), 10*time.Second)
	if code, is := w.conditions(t); code != http.StatusOK {
		t.Fatalf("not ready: %v\n%v", is, w.logs.All())
	}
	st, err := w.connect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(st.client.Close)
	w.store = st
	return w
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

const subscription = "00000000-0000-0000-0000-000000000001"

// create stores an operation, whose properties more may add to.
func (w *traced) create(t *testing.T, id, internalID, more string) {
	t.Helper()
	now := time.Now().UTC().Format(time.RFC3339)
	_, err := w.store.resources.CreateItem(t.Context(), azcosmos.NewPartitionKeyString(subscription), []byte(`{"id":"`+id+`","partitionKey":"`+subscription+`",
		"resourceType":"Microsoft.RedHatOpenShift/hcpOperationStatuses","ttl":604800,"properties":{
		"request":"Create","status":"Accepted","internalId":"`+internalID+`","startTime":"`+now+`","lastTransitionTime":"`+now+`",
		"operationId":"/subscriptions/`+subscription+`/providers/Microsoft.RedHatOpenShift/locations/x/hcpOperationStatuses/`+id+`",
		"externalId":"/subscriptions/`+subscription+`/resourceGroups/`+planted+`/providers/Microsoft.RedHatOpenShift/hcpOpenShiftClusters/c"`+more+`}}`), nil)
	if err != nil {
		t.Fatal(err)
	}
}

// tree is the spans of some roots in the order of their beginnings, each line a
// name, the named attributes, and what failed.
func (w *traced) tree(which func(tracetest.SpanStub) bool, keys ...attribute.Key) string {
	all := w.spans.GetSpans()
	slices.SortStableFunc(all, func(a, b tracetest.SpanStub) int { return a.StartTime.Compare(b.StartTime) })
	var b strings.Builder
	var line func(s tracetest.SpanStub, depth int)
	line = func(s tracetest.SpanStub, depth int) {
		fmt.Fprintf(&b, "%s%s", strings.Repeat("  ", depth), s.Name)
		for _, key := range keys {
			if v := value(s, key); v.Type() != attribute.EMPTY {
				fmt.Fprintf(&b, " %s", v.String())
			}
		}
		if s.Status.Code == codes.Error {
			fmt.Fprintf(&b, " !%s", s.Status.Description)
		}
		b.WriteString("\n")
		for _, child := range all {
			if child.Parent.SpanID() == s.SpanContext.SpanID() {
				line(child, depth+1)
			}
		}
	}
	for _, s := range all {
		if !s.Parent.IsValid() && which(s) {
			line(s, 0)
		}
	}
	return b.String()
}

func value(s tracetest.SpanStub, key attribute.Key) attribute.Value {
	for _, a := range s.Attributes {
		if a.Key == key {
			return a.Value
		}
	}
	return attribute.Value{}
}

func of(id string) func(tracetest.SpanStub) bool {
	return func(s tracetest.SpanStub) bool { return value(s, "document_id").String() == id }
}

// harmless holds all spans to what no span may hold.
func (w *traced) harmless(t *testing.T) {
	t.Helper()
	check := func(span, what, text string) {
		if strings.Contains(text, planted) || strings.Contains(text, "token=") || !utf8.ValidString(text) || len(text) > 300 {
			t.Errorf("span %q: %s is %.400q", span, what, text)
		}
	}
	for _, s := range w.spans.GetSpans() {
		check(s.Name, "name", s.Name)
		check(s.Name, "status", s.Status.Description)
		for _, a := range s.Attributes {
			check(s.Name, string(a.Key), a.Value.String())
		}
		for _, e := range s.Events {
			check(s.Name, "event", e.Name)
			for _, a := range e.Attributes {
				check(s.Name, string(a.Key), a.Value.String())
			}
		}
	}
}

func everything(tracetest.SpanStub) bool { return true }

func (w *traced) end(t *testing.T) {
	t.Helper()
	w.harmless(t)
	w.stop()
	if err := <-w.result; err != nil {
		t.Error(err)
	}
}

// TestSpansOfOneOperation: from the page that brings it to the end that ARM is told
// of, and nothing before.
func TestSpansOfOneOperation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := startTraced(t)
		w.spans.Reset()
		pause(t.Context(), 2*time.Minute) // azcosmos reads the account anew every five, which is told
		if n := len(w.spans.GetSpans()); n != 0 {
			t.Errorf("an idle replica makes %d spans:\n%s", n, w.tree(everything))
		}
		const internalID, id = "/api/aro_hcp/v1alpha1/clusters/2k3j4h5g", "11111111-0000-0000-0000-000000000001"
		if err := w.clusters.Plant(internalID, "ready"); err != nil {
			t.Fatal(err)
		}
		w.create(t, id, internalID, `,"correlationRequestId":"c0rrelation","clientRequestId":"`+strings.Repeat("ä", 2000)+`",
			"notificationUri":"https://management.azure.com/`+planted+`/notify?asyncNotificationToken=token=`+planted+`"`)
		pause(t.Context(), time.Minute)

		const want = `
read Resources 1
  query_change_feed Resources 200
process Resources feed Cluster Create c0rrelation pending
  GET /api/aro_hcp/v1alpha1/clusters/{id}/status Cluster 200
  GET /api/aro_hcp/v1alpha1/clusters/{id} Cluster 200
  query_items Resources 200
  read_item Resources 200
  create_item Billing 201
  create_item Locks 201
  execute_batch Resources 200
  delete_item Locks 204
process Resources due Cluster Create c0rrelation done
  read_item Resources 200
  POST notification management.azure.com
  execute_batch Resources 200
read Resources 1
  query_change_feed Resources 200
process Resources feed Cluster Create c0rrelation done
`
		have := w.tree(everything, "messaging.batch.message_count", "opfeed.source", "kind", "request", "correlation_request_id",
			"opfeed.verdict", "db.response.status_code", "http.response.status_code")
		// Every call has an address; only that of ARM is of interest here.
		have = strings.ReplaceAll(have, "POST notification", "POST notification "+w.one(t, "POST notification", "server.address").String())
		if "\n"+have != want {
			t.Errorf("have spans\n%s\nwant%s", have, want)
		}
		for _, about := range []struct {
			span string
			key  attribute.Key
			want string
		}{
			{"read Resources", "messaging.system", "azure.cosmosdb"},
			{"read Resources", "messaging.operation.type", "receive"},
			{"read Resources", "messaging.destination.name", "Resources"},
			{"read Resources", "messaging.destination.partition.id", "0"},
			{"process Resources", "messaging.operation.type", "process"},
			{"process Resources", "subscription_id", subscription},
			{"process Resources", "operation_id", id},
			{"execute_batch Resources", "db.system.name", "azure.cosmosdb"},
			{"execute_batch Resources", "db.namespace", "db"},
			{"execute_batch Resources", "server.address", w.host("cosmos")},
			{"GET /api/aro_hcp/v1alpha1/clusters/{id}", "server.address", w.host("cs")},
			{"POST notification", "opfeed.result", "delivered"},
		} {
			if have := w.one(t, about.span, about.key).String(); have != about.want {
				t.Errorf("%s: %s is %q, want %q", about.span, about.key, have, about.want)
			}
		}
		if charge := w.one(t, "execute_batch Resources", "azure.cosmosdb.operation.request_charge").AsFloat64(); charge <= 0 {
			t.Errorf("a batch costs %v request units", charge)
		}
		w.linked(t)
		w.end(t)
	})
}

// host is that of one of the emulated servers.
func (w *traced) host(of string) string {
	text := w.cfg.CS.URL
	if of == "cosmos" {
		text = w.cfg.Cosmos.Endpoint
	}
	u, err := url.Parse(text)
	if err != nil {
		return err.Error()
	}
	return u.Hostname()
}

// one is an attribute of the first span of a name.
func (w *traced) one(t *testing.T, name string, key attribute.Key) attribute.Value {
	t.Helper()
	for _, s := range w.spans.GetSpans() {
		if s.Name == name {
			return value(s, key)
		}
	}
	t.Errorf("no span %q", name)
	return attribute.Value{}
}

// linked holds each step that the feed has brought to a link to its page, the
// latest one before it, and no other to any.
func (w *traced) linked(t *testing.T) {
	t.Helper()
	page, steps := tracetest.SpanStub{}, 0
	for _, s := range w.spans.GetSpans() {
		switch {
		case s.Name == "read Resources":
			page = s
		case s.Name != "process Resources":
		case value(s, "opfeed.source").String() != "feed":
			if len(s.Links) != 0 {
				t.Errorf("a step that is due links to %v", s.Links)
			}
		case len(s.Links) != 1 || s.Links[0].SpanContext.SpanID() != page.SpanContext.SpanID():
			t.Errorf("a step links to %v, want %v", s.Links, page.SpanContext)
		default:
			steps++
		}
	}
	if steps == 0 {
		t.Error("no step is linked")
	}
}

// TestSpansOfTrouble: what goes wrong is marked, and told in our own words.
func TestSpansOfTrouble(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := startTraced(t)
		const failing = "11111111-0000-0000-0000-00000000000f"
		w.broken.Store(true)
		w.create(t, failing, "/api/aro_hcp/v1alpha1/clusters/2k3j4h5g", "")
		pause(t.Context(), 1500*time.Millisecond)
		w.broken.Store(false)
		const call = "GET /api/aro_hcp/v1alpha1/clusters/{id}/status"
		have := w.tree(of(failing), "error.type", "http.response.status_code", "opfeed.attempt")
		if !strings.Contains(have, "  "+call+" server_error 503 !server error, status 503\n") || !strings.HasPrefix(have, "process Resources error 0 !operation ") {
			t.Errorf("cluster service fails:\n%s", have)
		}

		// Set aside by a step, and before any.
		const odd, undecodable = "11111111-0000-0000-0000-00000000000a", "11111111-0000-0000-0000-00000000000b"
		w.create(t, odd, "/api/aro_hcp/v1alpha1/clusters/../"+planted+"?token="+planted+strings.Repeat(`\u0001\ufffd`, 500), "")
		w.create(t, undecodable, "", `,"status":["`+planted+`"]`)
		pause(t.Context(), 3*time.Second)
		if have, want := w.tree(of(odd), "opfeed.verdict", "opfeed.reason", "db.response.status_code"), `
process Resources quarantined !properties.internalId is not a path of cluster service
quarantine Resources properties.internalId is not a path of cluster service
  upsert_item Leases 201
`; "\n"+have != want {
			t.Errorf("set aside by a step:\n%s\nwant%s", have, want)
		}
		if have, want := w.tree(of(undecodable), "opfeed.reason", "db.response.status_code"), `
quarantine Resources properties.status of the operation is not a string
  upsert_item Leases 201
`; "\n"+have != want {
			t.Errorf("set aside at once:\n%s\nwant%s", have, want)
		}
		w.end(t)
	})
}
