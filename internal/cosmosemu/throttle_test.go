package cosmosemu_test

import (
	"errors"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/data/azcosmos"

	"opfeed/internal/cosmosemu"
)

// newThrottled is a rig whose container has 400 RU/s and whose reads cost so
// many RU. Its client does what azcosmos does by default.
func newThrottled(t *testing.T, read float64) *rig {
	t.Helper()
	r := newRigWith(t, cosmosemu.Options{EnforceThroughput: true, RequestCharges: cosmosemu.RequestCharges{Read: read, Refused: read}},
		cosmosemu.Container{ID: "items", PartitionKey: "/pk", Throughput: 400})
	credential, err := azcosmos.NewKeyCredential(cosmosemu.WellKnownKey)
	if err != nil {
		t.Fatal(err)
	}
	options := &azcosmos.ClientOptions{}
	options.Transport = r.transport
	if r.client, err = azcosmos.NewClientWithKey(r.endpoint(), credential, options); err != nil {
		t.Fatal(err)
	}
	if r.items, err = r.client.NewContainer("db", "items"); err != nil {
		t.Fatal(err)
	}
	r.create("p", `{"id":"a","pk":"p"}`)
	time.Sleep(time.Second)
	return r
}

// tries returns how often a read was tried, how long it took, and its error.
func (r *rig) tries(id string) (int, time.Duration, error) {
	before, start := len(r.transport.calls), time.Now()
	_, err := r.items.ReadItem(r.Context(), pk("p"), id, nil)
	return len(r.transport.calls) - before, time.Since(start), err
}

func TestThrottled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newThrottled(t, 300)
		for i, want := range []struct {
			tries int
			took  time.Duration
		}{
			{1, 0},           // spent 300 of 400
			{1, 0},           // spent 600, so 200 in the next second
			{2, time.Second}, // spent 500, so 100
			{2, time.Second}, // spent 400, so 0
			{2, time.Second}, // spent 300
			{1, 0},           // spent 600, as at first
			{2, time.Second}, // spent 500
		} {
			tries, took, err := r.tries("a")
			if tries != want.tries || took != want.took || err != nil {
				t.Errorf("read %d: %d tries in %v, want %d in %v; %v", i, tries, took, want.tries, want.took, err)
			}
		}
	})
}

// azcosmos waits as it is told, four times in all, and then gives up.
func TestThrottledForLong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newThrottled(t, 400)
		_, _, err := r.tries("absent") // a refused request is charged, too
		r.refused(err, http.StatusNotFound, "0")
		tries, took, err := r.tries("a")
		if tries != 2 || took != time.Second || err != nil {
			t.Errorf("%d tries in %v: %v", tries, took, err)
		}
		r.server.SetRequestCharges(cosmosemu.RequestCharges{Read: 4000})
		if tries, _, err = r.tries("a"); tries != 2 || err != nil {
			t.Errorf("%d tries: %v", tries, err)
		}
		// The debt is of ten seconds. A client that does not wait so long is told how much is left.
		time.Sleep(250 * time.Millisecond)
		response := r.raw(http.MethodGet, "/dbs/db/colls/items/docs/a", "", "x-ms-documentdb-partitionkey", `["p"]`)
		for name, want := range map[string]string{"x-ms-retry-after-ms": "9750", "x-ms-substatus": "3200", "x-ms-request-charge": "0.38"} {
			if got := response.Header.Get(name); got != want {
				t.Errorf("%s: %q, want %q", name, got, want)
			}
		}
		body := make([]byte, 200)
		n, _ := response.Body.Read(body)
		if text := string(body[:n]); response.StatusCode != http.StatusTooManyRequests || !strings.HasPrefix(text, `{"code":"429","message":"`) ||
			!strings.Contains(text, "Request rate is large") {
			t.Errorf("got %d %s", response.StatusCode, text)
		}
	})
}

// A budget that is always spent by others: the client gives up.
func TestThrottledForEver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newThrottled(t, 1)
		r.transport.before = func() { // somebody else is always first
			r.server.SetRequestCharges(cosmosemu.RequestCharges{Read: 400})
			r.raw(http.MethodGet, "/dbs/db/colls/items/docs/a", "", "x-ms-documentdb-partitionkey", `["p"]`)
		}
		tries, took, err := r.tries("a")
		var response *azcore.ResponseError
		if !errors.As(err, &response) || response.StatusCode != http.StatusTooManyRequests {
			t.Fatalf("got %v", err)
		}
		if tries != 4 || took != 3*time.Second {
			t.Errorf("%d tries in %v", tries, took)
		}
	})
}

// Every way to a partition is through its budget, and none is without
// EnforceThroughput.
func TestEveryRequestIsThrottled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const item = `{"id":"b","pk":"p"}`
		query := []string{"Content-Type", "application/query+json", "x-ms-documentdb-query-enablecrosspartition", "True"}
		for name, request := range map[string]struct {
			method, path, body string
			headers            []string
		}{
			"create":  {"POST", "docs", item, nil},
			"upsert":  {"POST", "docs", item, []string{"x-ms-documentdb-is-upsert", "True"}},
			"read":    {"GET", "docs/a", "", nil},
			"replace": {"PUT", "docs/a", `{"id":"a","pk":"p"}`, nil},
			"patch":   {"PATCH", "docs/a", `[{"op":"add","path":"/n","value":1}]`, nil},
			"delete":  {"DELETE", "docs/a", "", nil},
			"batch":   {"POST", "docs", "[{\"operationType\":\"Create\",\"resourceBody\":" + item + "}]", []string{"x-ms-cosmos-is-batch-request", "True", "x-ms-cosmos-batch-atomic", "True"}},
			"feed":    {"GET", "docs", "", []string{"A-IM", "Incremental Feed"}},
			"list":    {"GET", "docs", "", nil},
			"query":   {"POST", "docs", `{"query":"SELECT * FROM c"}`, query},
			"no FROM": {"POST", "docs", `{"query":"SELECT 1"}`, query},
		} {
			for _, enforced := range []bool{true, false} {
				r := newRigWith(t, cosmosemu.Options{EnforceThroughput: enforced, RequestCharges: cosmosemu.RequestCharges{Create: 400}},
					cosmosemu.Container{ID: "items", PartitionKey: "/pk"}) // 400 RU/s by default
				r.create("p", `{"id":"a","pk":"p"}`)
				headers := append([]string{"x-ms-documentdb-partitionkey", `["p"]`}, request.headers...)
				got := r.raw(request.method, "/dbs/db/colls/items/"+request.path, request.body, headers...)
				if (got.StatusCode == http.StatusTooManyRequests) != enforced {
					t.Errorf("%s, enforced %v: %d", name, enforced, got.StatusCode)
				}
			}
		}
	})
}

// Autoscale throttles above its maximum, and a replaced throughput at once.
func TestThrottledByAutoscale(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRigWith(t, cosmosemu.Options{EnforceThroughput: true, RequestCharges: cosmosemu.RequestCharges{Read: 100}},
			cosmosemu.Container{ID: "items", PartitionKey: "/pk", AutoscaleMax: 1000})
		r.create("p", `{"id":"a","pk":"p"}`)
		time.Sleep(time.Second)
		reads := func() (n int) {
			for ; n < 100; n++ {
				if _, err := r.items.ReadItem(t.Context(), pk("p"), "a", nil); err != nil {
					r.refused(err, http.StatusTooManyRequests, "3200")
					return n
				}
			}
			return n
		}
		if got := reads(); got != 10 {
			t.Errorf("%d reads of 100 RU within 1000 RU", got)
		}
		if _, err := r.items.ReplaceThroughput(t.Context(), *autoscale(3000), nil); err != nil {
			t.Fatal(err)
		}
		if got := reads(); got != 20 {
			t.Errorf("%d more reads of 100 RU within 3000 RU", got)
		}
	})
}

// Containers without throughput spend from the database's, others do not.
func TestThrottledByDatabase(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRigWith(t, cosmosemu.Options{EnforceThroughput: true, RequestCharges: cosmosemu.RequestCharges{Create: 300}},
			cosmosemu.Container{ID: "items", PartitionKey: "/pk"})
		db := r.database("shared", manual(400))
		containers := map[string]*azcosmos.ContainerClient{}
		for name, given := range map[string]*azcosmos.ThroughputProperties{"first": nil, "second": nil, "dedicated": manual(400)} {
			containers[name] = createContainer(r, db, name, given)
		}
		for i, step := range []struct {
			container string
			throttled bool
		}{{"first", false}, {"second", false}, {"first", true}, {"second", true}, {"dedicated", false}, {"dedicated", false}, {"dedicated", true}} {
			_, err := containers[step.container].CreateItem(t.Context(), pk("p"), []byte(`{"id":"`+strconv.Itoa(i)+`","pk":"p"}`), nil)
			if step.throttled {
				r.refused(err, http.StatusTooManyRequests, "3200")
			} else if err != nil {
				t.Errorf("step %d: %v", i, err)
			}
		}
	})
}

// keyIn returns a partition key of the range with this id, and makes an item "a"
// in it.
func (r *rig) keyIn(rangeID string) string {
	r.Helper()
	for i := range 100 {
		key := "k" + strconv.Itoa(i)
		response, err := r.items.UpsertItem(r.Context(), pk(key), []byte(`{"id":"a","pk":"`+key+`"}`), nil)
		if err != nil {
			r.Fatal(err)
		}
		if strings.HasPrefix(*response.SessionToken, rangeID+":") {
			return key
		}
	}
	r.Fatalf("no key is in the range %s", rangeID)
	return ""
}

// The throughput is divided evenly among the ranges: a hot one is throttled while
// the others are not, and those of a split start afresh.
func TestThrottledByRange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRigWith(t, cosmosemu.Options{EnforceThroughput: true},
			cosmosemu.Container{ID: "items", PartitionKey: "/pk", Throughput: 1000, Ranges: 2})
		hot, cold := r.keyIn("0"), r.keyIn("1")
		r.server.SetRequestCharges(cosmosemu.RequestCharges{Read: 100})
		reads := func(key string) (n int) {
			for ; n < 100; n++ {
				if _, err := r.items.ReadItem(t.Context(), pk(key), "a", nil); err != nil {
					r.refused(err, http.StatusTooManyRequests, "3200")
					return n
				}
			}
			return n
		}
		time.Sleep(time.Second)
		if got := reads(hot); got != 5 {
			t.Errorf("%d reads of 100 RU in a range that has 500 RU", got)
		}
		if got := reads(cold); got != 5 {
			t.Errorf("%d reads of 100 RU in the other range", got)
		}
		if _, err := r.server.Split("db", "items", "0", cosmosemu.SplitOptions{}); err != nil {
			t.Fatal(err)
		}
		if got := reads(hot); got != 4 { // 333 RU
			t.Errorf("%d reads of 100 RU after the split", got)
		}
		if got := reads(cold); got != 0 {
			t.Errorf("%d reads more in the range that was not split", got)
		}
	})
}
