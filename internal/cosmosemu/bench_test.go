package cosmosemu_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/data/azcosmos"

	"opfeed/internal/cosmosemu"
	"opfeed/internal/inproc"
)

const (
	benchItems         = 100_000
	benchSubscriptions = 1_000
	// benchClients is how many goroutines for each processor ask: enough to
	// saturate two, and few enough for azcosmos to keep their connections.
	benchClients = 4
)

// BenchmarkLoopbackRead reads items over loopback TCP, with azcosmos.
func BenchmarkLoopbackRead(b *testing.B) {
	f := loadedFixture(b)
	f.parallel(b, func(n int) error {
		_, err := f.items.ReadItem(b.Context(), pk(subscription(n)), operationID(n), nil)
		return err
	})
}

// BenchmarkLoopbackWrite upserts items over loopback TCP, with azcosmos: half of them
// are new as long as there are any.
func BenchmarkLoopbackWrite(b *testing.B) {
	f := loadedFixture(b)
	f.parallel(b, func(n int) error {
		n += rand.IntN(2) * benchItems
		_, err := f.items.UpsertItem(b.Context(), pk(subscription(n)), operationDocument(n), nil)
		return err
	})
}

// BenchmarkLoopbackFeedPage reads pages of 1,000 items over loopback TCP, with
// net/http alone, one after the other.
func BenchmarkLoopbackFeedPage(b *testing.B) {
	f := loadedFixture(b)
	for b.Loop() {
		f.feedPage.Header.Set("If-None-Match", strconv.Quote(strconv.Itoa(randomPosition())))
		if size, err := f.ask(f.feedPage); err != nil || size < 1000*1024 {
			b.Fatalf("got %d bytes: %v", size, err)
		}
	}
}

// BenchmarkLoopbackFeedPageDecoded is BenchmarkLoopbackFeedPage with azcosmos,
// which takes the page apart.
func BenchmarkLoopbackFeedPageDecoded(b *testing.B) {
	f := loadedFixture(b)
	for b.Loop() {
		start := from(strconv.Quote(strconv.Itoa(randomPosition())))
		page, err := f.items.ReadChangeFeed(b.Context(), &azcosmos.ChangeFeedOptions{Continuation: start, MaxItemCount: 1000})
		if err != nil || page.Count != 1000 {
			b.Fatalf("got %d items: %v", page.Count, err)
		}
	}
}

// randomPosition is in the first half of the feed: a full page follows.
func randomPosition() int { return rand.IntN(benchItems / 2) }

// BenchmarkServeHTTP hands requests to the handler as azcosmos sends them: one
// write for each read.
func BenchmarkServeHTTP(b *testing.B) {
	f := loadedFixture(b)
	b.RunParallel(func(pb *testing.PB) {
		sink := newSink()
		for pb.Next() {
			if r := &f.recorded[rand.IntN(len(f.recorded))]; !sink.sends(f.server, r.request, r.body) {
				b.Errorf("status %d", sink.status)
			}
		}
	})
}

// BenchmarkLoopbackReadPlain is BenchmarkLoopbackRead with net/http alone as the
// client.
func BenchmarkLoopbackReadPlain(b *testing.B) {
	f := loadedFixture(b)
	f.parallel(b, func(n int) error {
		_, err := f.ask(f.reads[n%len(f.reads)])
		return err
	})
}

// fixture is an emulator with items, and the ways to ask it.
type fixture struct {
	server *cosmosemu.Server
	items  *azcosmos.ContainerClient // over loopback TCP
	plain  *http.Transport           // over loopback TCP

	// Requests as azcosmos sent them, signed for good.
	recorded []recordedRequest // reads and upserts
	reads    []*http.Request
	feedPage *http.Request
}

// ask sends a request that has no body, and returns the size of the answer.
func (f *fixture) ask(r *http.Request) (int64, error) {
	response, err := f.plain.RoundTrip(r)
	if err != nil {
		return 0, err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return 0, errors.New(response.Status)
	}
	return io.Copy(io.Discard, response.Body)
}

// parallel calls ask, with a random number below benchItems, from many
// goroutines at once.
func (f *fixture) parallel(b *testing.B, ask func(n int) error) {
	b.SetParallelism(benchClients)
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if err := ask(rand.IntN(benchItems)); err != nil {
				b.Error(err)
				return
			}
		}
	})
}

func loadedFixture(b *testing.B) *fixture {
	b.Helper()
	f, err := sharedFixture()
	if err != nil {
		b.Fatal(err)
	}
	b.ResetTimer()
	return f
}

// sharedFixture lives until the process ends: to load it takes longer than most
// benchmarks.
var sharedFixture = sync.OnceValues(func() (*fixture, error) {
	server, err := loadedServer(benchItems)
	if err != nil {
		return nil, err
	}
	listener := httptest.NewServer(server)
	f := &fixture{server: server, plain: &http.Transport{MaxIdleConnsPerHost: 64}}
	if f.items, err = benchClient(listener.URL, nil); err != nil {
		return nil, err
	}
	if f.recorded, err = record(server, "record", askEvenly); err != nil {
		return nil, err
	}
	feed, err := record(server, "feed", func(ctx context.Context, items *azcosmos.ContainerClient) error {
		_, err := items.ReadChangeFeed(ctx, &azcosmos.ChangeFeedOptions{Continuation: from(`"0"`), MaxItemCount: 1000})
		return err
	})
	if err != nil {
		return nil, err
	}
	address := listener.Listener.Addr().String()
	f.feedPage = feed[len(feed)-1].to(address)
	for _, r := range f.recorded {
		if r.request.Method == http.MethodGet {
			f.reads = append(f.reads, r.to(address))
		}
	}
	return f, nil
})

// askEvenly reads and writes some of the items.
func askEvenly(ctx context.Context, items *azcosmos.ContainerClient) error {
	const each = 1000
	for i := range each {
		n := i * (benchItems / each)
		_, readErr := items.ReadItem(ctx, pk(subscription(n)), operationID(n), nil)
		_, writeErr := items.UpsertItem(ctx, pk(subscription(n)), operationDocument(n), nil)
		if err := errors.Join(readErr, writeErr); err != nil {
			return err
		}
	}
	return nil
}

// loadedServer has a container with so many operations, each created by a
// request to the handler.
func loadedServer(count int) (*cosmosemu.Server, error) {
	server := cosmosemu.New(cosmosemu.Options{})
	ttl := int32(-1)
	if err := server.Create("db", cosmosemu.Container{ID: "items", PartitionKey: "/partitionKey", DefaultTTL: &ttl}); err != nil {
		return nil, err
	}
	// A create is signed for the container: one signature is good for all.
	prototype, err := record(server, "load", func(ctx context.Context, items *azcosmos.ContainerClient) error {
		_, err := items.CreateItem(ctx, pk(subscription(0)), operationDocument(0), nil)
		return err
	})
	if err != nil {
		return nil, err
	}
	sink := newSink()
	create := prototype[len(prototype)-1].request
	for n := 1; n < count; n++ {
		create.Header.Set("x-ms-documentdb-partitionkey", `["`+subscription(n)+`"]`)
		if !sink.sends(server, create, operationDocument(n)) {
			return nil, fmt.Errorf("create item %d: status %d", n, sink.status)
		}
	}
	return server, nil
}

func benchClient(url string, transport policy.Transporter) (*azcosmos.ContainerClient, error) {
	credential, err := azcosmos.NewKeyCredential(cosmosemu.WellKnownKey)
	if err != nil {
		return nil, err
	}
	o := &azcosmos.ClientOptions{}
	o.Transport = transport
	client, err := azcosmos.NewClientWithKey(url, credential, o)
	if err != nil {
		return nil, err
	}
	return client.NewContainer("db", "items")
}

// recordedRequest is a request as the client sent it, to be sent again.
type recordedRequest struct {
	request *http.Request
	body    []byte
}

// to is the request to another address; the signature does not cover that.
func (r recordedRequest) to(address string) *http.Request {
	request := r.request.Clone(context.Background())
	request.URL.Host, request.Host = address, ""
	return request
}

// record returns the requests for items that calls make.
func record(server *cosmosemu.Server, host string, calls func(context.Context, *azcosmos.ContainerClient) error) ([]recordedRequest, error) {
	r := &requestRecorder{next: inproc.New(server)}
	items, err := benchClient("http://"+host+".cosmos.test", r)
	if err != nil {
		return nil, err
	}
	err = calls(context.Background(), items)
	return r.requests, err
}

type requestRecorder struct {
	next     policy.Transporter
	requests []recordedRequest
}

func (r *requestRecorder) Do(req *http.Request) (*http.Response, error) {
	sent := recordedRequest{request: req.Clone(context.Background())}
	if req.Body != nil {
		var err error
		if sent.body, err = io.ReadAll(req.Body); err != nil {
			return nil, err
		}
		req.Body = io.NopCloser(bytes.NewReader(sent.body))
	}
	if strings.Contains(req.URL.Path, "/docs") {
		r.requests = append(r.requests, sent)
	}
	return r.next.Do(req)
}

// sink is a ResponseWriter that forgets.
type sink struct {
	header http.Header
	status int
}

func newSink() *sink { return &sink{header: http.Header{}} }

func (s *sink) Header() http.Header { return s.header }

func (s *sink) WriteHeader(status int) { s.status = status }

func (s *sink) Write(p []byte) (int, error) { return len(p), nil }

// sends reports whether the handler did what was asked.
func (s *sink) sends(h http.Handler, r *http.Request, body []byte) bool {
	clear(s.header)
	in := *r
	in.Body = io.NopCloser(bytes.NewReader(body))
	h.ServeHTTP(s, &in)
	return s.status < http.StatusBadRequest
}

// operationDocument is an operation as a front end writes it, 1 KB.
func operationDocument(n int) []byte {
	const size = 1024
	id, subscription := operationID(n), subscription(n)
	text := fmt.Appendf(nil, `{"id":"%s","partitionKey":"%s","resourceType":"Microsoft.RedHatOpenShift/hcpOperationStatuses",`+
		`"resourceId":"/subscriptions/%[2]s/providers/Microsoft.RedHatOpenShift/hcpOperationStatuses/%[1]s","ttl":604800,`+
		`"properties":{"request":"Create","status":"Accepted","startTime":"2026-01-09T18:32:10.835814057Z",`+
		`"lastTransitionTime":"2026-01-09T18:32:10.835814057Z","tenantId":"00000000-0000-0000-0000-000000000000",`+
		`"externalId":"/subscriptions/%[2]s/resourceGroups/group-%[3]d/providers/Microsoft.RedHatOpenShift/hcpOpenShiftClusters/cluster-%[3]d",`+
		`"internalId":"/api/clusters_mgmt/v1/clusters/m6bpjxtlqf",`+
		`"operationId":"/subscriptions/%[2]s/providers/Microsoft.RedHatOpenShift/locations/westeurope/hcpOperationStatuses/%[1]s"},"notes":"`,
		id, subscription, n)
	for len(text) < size-len(`"}`) {
		text = append(text, 'x')
	}
	return append(text, `"}`...)
}

func operationID(n int) string {
	return fmt.Sprintf("%08x-0c16-4ecb-8f67-%012x", uint32(n)*2654435761, n)
}

func subscription(n int) string {
	return fmt.Sprintf("6b690bec-0c16-4ecb-8f67-%012d", n%benchSubscriptions)
}
