package cosmosemu_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/data/azcosmos"

	"opfeed/internal/cosmosemu"
	"opfeed/internal/fault"
	"opfeed/internal/inproc"
)

// refusing is the effect of a status.
func refusing(status, substatus int, header ...string) cosmosemu.Effect {
	e := cosmosemu.Effect{Effect: fault.Effect{Status: status}, Substatus: substatus}
	for i := 0; i < len(header); i += 2 {
		e.Header = map[string]string{header[i]: header[i+1]}
	}
	return e
}

func replying(how fault.Reply) cosmosemu.Effect {
	return cosmosemu.Effect{Effect: fault.Effect{Reply: how}}
}

// reads are the kinds that azcosmos may send twice. A crossquery is sent for
// ReadManyItems.
var reads = []string{"read", "feed", "crossquery", "ranges"}

var writes = []string{"create", "batch"}

// TestClient holds what azcosmos 1.5.0 makes of faults, with its own retry
// options and one region, to what was measured with it: how many requests the
// account sees, and how long it takes until the error. A status of 0 is an error
// without one.
func TestClient(t *testing.T) {
	const second = time.Second
	for _, c := range []struct {
		name   string
		effect cosmosemu.Effect
		kinds  []string
		want   string // requests by kind; KIND is the one that is hit
		least  time.Duration
		most   time.Duration
		status int
	}{
		{"429 with a time", refusing(429, 3200, "x-ms-retry-after-ms", "50"), []string{"read", "feed", "crossquery", "create", "batch"}, "KIND 4", 150 * time.Millisecond, 150 * time.Millisecond, 429},
		{"429", refusing(429, 3200), []string{"read", "feed", "crossquery", "create", "batch"}, "KIND 4", 6 * second, 12 * second, 429},
		{"503", refusing(503, 0), slices.Concat(reads, writes), "KIND 1", 0, 0, 503},
		{"500", refusing(500, 0), reads, "KIND 2", 0, 0, 500},
		{"500", refusing(500, 0), writes, "KIND 1", 0, 0, 500},
		{"502", refusing(502, 0), reads, "KIND 2", 0, 0, 502},
		{"502", refusing(502, 0), writes, "KIND 1", 0, 0, 502},
		{"504", refusing(504, 0), reads, "KIND 2", 0, 0, 504},
		{"504", refusing(504, 0), writes, "KIND 1", 0, 0, 504},
		{"408", refusing(408, 0), reads, "KIND 2", second, second, 408},
		{"408", refusing(408, 0), writes, "KIND 1", 0, 0, 408},
		{"410 1002", refusing(410, 1002), []string{"read", "ranges", "create", "batch"}, "KIND 1", 0, 0, 410},
		{"410 1002", refusing(410, 1002), []string{"feed", "crossquery"}, "KIND 4, container 3, ranges 6", 0, 0, 410},
		{"410 1007", refusing(410, 1007), []string{"read", "create"}, "KIND 1", 0, 0, 410},
		{"410 1007", refusing(410, 1007), []string{"feed", "crossquery"}, "KIND 4, container 3, ranges 6", 0, 0, 410},
		{"449", refusing(449, 0), slices.Concat(reads, writes), "KIND 1", 0, 0, 449},
		{"412", refusing(412, 0), slices.Concat(reads, writes), "KIND 1", 0, 0, 412},
		{"404 1002", refusing(404, 1002), slices.Concat(reads, writes), "KIND 2", 0, 0, 404},
		{"403 3", refusing(403, 3), slices.Concat(reads, writes), "KIND 122, account 61", 121 * second, 121 * second, 403},
		{"403 1008", refusing(403, 1008), slices.Concat(reads, writes), "KIND 122, account 61", 121 * second, 121 * second, 403},
		// On a socket it is one more, see TestClosedSocket.
		{"closed", replying(fault.Reset), reads, "KIND 5", 4 * second, 4 * second, 0},
		{"closed", replying(fault.Reset), writes, "KIND 1", 0, 0, 0},
		{"cut", replying(fault.Cut), reads, "KIND 5", 4 * second, 4 * second, 0},
		{"cut", replying(fault.Cut), []string{"batch"}, "KIND 1", 0, 0, 0},
		{"short", replying(fault.Short), []string{"feed", "crossquery", "ranges", "batch"}, "KIND 1", 0, 0, 0},
		{"hang", replying(fault.Hang), []string{"read", "feed", "crossquery", "create", "batch"}, "KIND 1", time.Hour, time.Hour, 0},
	} {
		for _, kind := range c.kinds {
			t.Run(c.name+" "+kind, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					r := newRig(t)
					items := r.patient(inproc.New(r.server))
					r.warm(items, kind)
					r.fault(cosmosemu.Fault{Name: "it", Match: fault.Match{"kind": kind}, Effect: c.effect})
					_, before := r.server.Requests()
					start := time.Now()
					err := ask(t.Context(), items, kind)
					took := time.Since(start)
					var refused *azcore.ResponseError
					switch {
					case err == nil:
						t.Error("no error")
					case errors.As(err, &refused) && refused.StatusCode != c.status, refused == nil && c.status != 0:
						t.Errorf("have error %v, want status %d", err, c.status)
					}
					if took < c.least || took > c.most {
						t.Errorf("took %v, want %v to %v", took, c.least, c.most)
					}
					synctest.Wait() // azcosmos asks for the account beside
					if have, want := r.requests(before), expand(c.want, kind); have != want {
						t.Errorf("the account saw %s, want %s", have, want)
					}
				})
			})
		}
	}
}

// A 429 on the ranges is tried again until it is over.
func TestClientThrottledOnRanges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		items := r.patient(inproc.New(r.server))
		r.fault(cosmosemu.Fault{
			Name: "it", Match: fault.Match{"kind": "ranges"}, When: fault.When{Times: 100},
			Effect: refusing(429, 3200, "x-ms-retry-after-ms", "50"),
		})
		if err := ask(t.Context(), items, "ranges"); err != nil {
			t.Error(err)
		}
		if have := r.requests(0); have != "account 1, container 1, ranges 102" {
			t.Errorf("the account saw %s", have)
		}
	})
}

// TestClosedSocket: net/http sends a read once more itself when a connection
// that was in use before is closed, so that the account sees one more than in
// process. The four seconds are azcosmos' own.
func TestClosedSocket(t *testing.T) {
	for kind, want := range map[string]string{"read": "read 6", "create": "create 1"} {
		t.Run(kind, func(t *testing.T) {
			if kind == "read" && testing.Short() {
				t.Skip("SKIPPED with -short: azcosmos retries for 4 s of real time")
			}
			r := newRig(t)
			socket := httptest.NewServer(r.server)
			t.Cleanup(socket.Close)
			items := newItems(t, socket.URL, socket.Client())
			r.warm(items, kind)
			r.fault(cosmosemu.Fault{Name: "it", Match: fault.Match{"kind": kind}, Effect: replying(fault.Reset)})
			_, before := r.server.Requests()
			if err := ask(t.Context(), items, kind); err == nil {
				t.Error("no error")
			}
			if have := r.requests(before); have != want {
				t.Errorf("the account saw %s, want %s", have, want)
			}
		})
	}
}

// patient is a client with azcosmos' own retry options.
func (r *rig) patient(transport policy.Transporter) *azcosmos.ContainerClient {
	r.Helper()
	return newItems(r.T, r.endpoint(), transport)
}

func newItems(t *testing.T, endpoint string, transport policy.Transporter) *azcosmos.ContainerClient {
	t.Helper()
	credential, err := azcosmos.NewKeyCredential(cosmosemu.WellKnownKey)
	if err != nil {
		t.Fatal(err)
	}
	o := &azcosmos.ClientOptions{}
	o.Transport = transport
	client, err := azcosmos.NewClientWithKey(endpoint, credential, o)
	if err != nil {
		t.Fatal(err)
	}
	items, err := client.NewContainer("db", "items")
	if err != nil {
		t.Fatal(err)
	}
	return items
}

// warm lets the client find out what it keeps: the account, and the ranges
// unless these are to be hit.
func (r *rig) warm(items *azcosmos.ContainerClient, kind string) {
	r.Helper()
	r.create("p", `{"id":"a","pk":"p"}`)
	first := "feed"
	if kind == "ranges" {
		first = "read"
	}
	if err := ask(r.Context(), items, first); err != nil {
		r.Fatal(err)
	}
}

func (r *rig) fault(f cosmosemu.Fault) {
	r.Helper()
	if err := r.server.Faults().Add(f); err != nil {
		r.Fatal(err)
	}
}

// ask does what makes azcosmos send a request of a kind.
func ask(ctx context.Context, items *azcosmos.ContainerClient, kind string) error {
	ctx, cancel := context.WithTimeout(ctx, time.Hour)
	defer cancel()
	var err error
	switch kind {
	case "read":
		_, err = items.ReadItem(ctx, pk("p"), "a", nil)
	case "feed":
		everything := &azcosmos.FeedRange{MinInclusive: "", MaxExclusive: "FF"}
		_, err = items.ReadChangeFeed(ctx, &azcosmos.ChangeFeedOptions{FeedRange: everything})
	case "crossquery":
		_, err = items.ReadManyItems(ctx, []azcosmos.ItemIdentity{{ID: "a", PartitionKey: pk("p")}}, nil)
	case "ranges":
		_, err = items.ReadFeedRanges(ctx, nil)
	case "create":
		_, err = items.CreateItem(ctx, pk("p"), []byte(`{"id":"b","pk":"p"}`), nil)
	case "batch":
		batch := items.NewTransactionalBatch(pk("p"))
		batch.UpsertItem([]byte(`{"id":"b","pk":"p"}`), nil)
		_, err = items.ExecuteTransactionalBatch(ctx, batch, nil)
	default:
		err = fmt.Errorf("there is no kind %q", kind)
	}
	return err
}

// requests sums up the log, from an entry on, by kind.
func (r *rig) requests(from int) string {
	r.Helper()
	kept, total := r.server.Requests()
	if total != len(kept) {
		r.Fatalf("the log keeps %d of %d requests", len(kept), total)
	}
	kinds := map[string]int{}
	for _, entry := range kept[from:] {
		kinds[entry.Kind]++
	}
	var list []string
	for _, kind := range slices.Sorted(maps.Keys(kinds)) {
		list = append(list, fmt.Sprintf("%s %d", kind, kinds[kind]))
	}
	return strings.Join(list, ", ")
}

// expand puts a kind in the place of KIND. To find the ranges, azcosmos reads
// the container first.
func expand(want, kind string) string {
	list := strings.Split(strings.ReplaceAll(want, "KIND", kind), ", ")
	if kind == "ranges" {
		list = append(list, "container 1")
	}
	slices.Sort(list)
	return strings.Join(list, ", ")
}

// A refusal is what the service's would be: the common headers, the substatus,
// the session token where the partition is known, and a body with code and
// message.
func TestRefusal(t *testing.T) {
	r := newRig(t)
	r.create("p", `{"id":"a","pk":"p"}`)
	r.fault(cosmosemu.Fault{Name: "it", Match: fault.Match{"kind": "read|query|ranges"}, Effect: refusing(429, 3200, "x-ms-retry-after-ms", "50")})
	_, err := r.items.ReadItem(t.Context(), pk("p"), "a", nil)
	r.refused(err, http.StatusTooManyRequests, "3200")
	for name, want := range map[string]string{
		"x-ms-session-token": "0:-1#1", "lsn": "1", "x-ms-retry-after-ms": "50", "x-ms-request-charge": "0.38", "Content-Type": "application/json",
	} {
		if have := r.transport.last.Header.Get(name); have != want {
			t.Errorf("%s is %q, want %q", name, have, want)
		}
	}
	if h := r.transport.last.Header; h.Get("x-ms-activity-id") == "" || h.Get("Date") == "" || h.Get("x-ms-content-path") == "" {
		t.Errorf("headers are missing: %v", h)
	}
	// A wrong key comes first.
	if got := r.raw(http.MethodGet, "/dbs/db/colls/items/docs/a", "", "Authorization", "type=aad&ver=1.0&sig=a.b.c"); got.StatusCode != http.StatusUnauthorized {
		t.Errorf("have %d for a wrong key", got.StatusCode)
	}
	if f := r.server.Faults().Reports()[0]; f.Matched != 1 || f.Hits != 1 {
		t.Errorf("have %d hits of %d matches", f.Hits, f.Matched)
	}
}

// A refusal of what was done all the same tells where the partition is now, once,
// and the log what it has cost.
func TestRefusalOfWhatWasDone(t *testing.T) {
	r := newRig(t)
	e := refusing(503, 0)
	e.Applied = true
	r.fault(cosmosemu.Fault{Name: "it", Match: fault.Match{"kind": "create"}, Effect: e})
	_, err := r.items.CreateItem(t.Context(), pk("p"), []byte(`{"id":"a","pk":"p"}`), nil)
	r.refused(err, http.StatusServiceUnavailable, "0")
	if have := r.transport.last.Header.Get("x-ms-session-token"); have != "0:-1#1" {
		t.Errorf("the session token is %q", have)
	}
	prices := r.server.RequestCharges()
	kept, _ := r.server.Requests()
	if last := kept[len(kept)-1]; last.RequestUnits != prices.Create+2*prices.Property || last.Range != "0" {
		t.Errorf("the log has %+v", last)
	}
}

// A body of its own comes as it is, and with the substatus.
func TestRefusalWithABody(t *testing.T) {
	r := newRig(t)
	html := "<html>bad gateway</html>"
	e := refusing(502, 7, "Content-Type", "text/html")
	e.Body = &html
	r.fault(cosmosemu.Fault{Name: "it", Effect: e})
	got := r.raw(http.MethodGet, "/", "")
	if body := read(t, got); got.StatusCode != 502 || body != html || got.Header.Get("Content-Type") != "text/html" ||
		got.Header.Get("x-ms-substatus") != "7" || got.Header.Get("x-ms-activity-id") != "" {
		t.Errorf("have %d %v %s", got.StatusCode, got.Header, body)
	}
}
