package cosmosemu_test

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/data/azcosmos"

	"opfeed/internal/cosmosemu"
	"opfeed/internal/inproc"
)

// rig is an emulator with one container, "items" in "db" (partition key /pk),
// and the real client of it.
type rig struct {
	*testing.T
	server    *cosmosemu.Server
	transport *recorder
	client    *azcosmos.Client
	items     *azcosmos.ContainerClient
}

func newRig(t *testing.T) *rig {
	t.Helper()
	ttl := int32(-1)
	return newRigWith(t, cosmosemu.Options{}, cosmosemu.Container{ID: "items", PartitionKey: "/pk", DefaultTTL: &ttl})
}

func newRigWith(t *testing.T, o cosmosemu.Options, containers ...cosmosemu.Container) *rig {
	t.Helper()
	r := &rig{T: t, server: cosmosemu.New(o)}
	if err := r.server.Create("db", containers...); err != nil {
		t.Fatal(err)
	}
	r.transport = &recorder{next: inproc.New(r.server)}
	r.client = r.newClient(cosmosemu.WellKnownKey)
	var err error
	if r.items, err = r.client.NewContainer("db", containers[0].ID); err != nil {
		t.Fatal(err)
	}
	return r
}

// newRigOfLevels has items with a partition key of two levels, /a and /b.
func newRigOfLevels(t *testing.T) *rig {
	t.Helper()
	r := newRig(t)
	database, err := r.client.NewDatabase("db")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := database.CreateContainer(t.Context(), azcosmos.ContainerProperties{
		ID: "levels", PartitionKeyDefinition: azcosmos.PartitionKeyDefinition{
			Paths: []string{"/a", "/b"}, Kind: azcosmos.PartitionKeyKindMultiHash, Version: 2,
		},
	}, nil); err != nil {
		t.Fatal(err)
	}
	if r.items, err = r.client.NewContainer("db", "levels"); err != nil {
		t.Fatal(err)
	}
	return r
}

// endpoint is unique to the test: azcosmos caches by host in the whole process.
func (r *rig) endpoint() string {
	name := strings.NewReplacer("/", "-", "_", "-", " ", "-").Replace(strings.ToLower(r.Name()))
	return "http://" + name + ".cosmos.test"
}

func (r *rig) options() *azcosmos.ClientOptions {
	o := &azcosmos.ClientOptions{}
	o.Transport = r.transport
	o.Telemetry.ApplicationID = "test"
	o.Retry.MaxRetries = -1
	return o
}

func (r *rig) newClient(key string) *azcosmos.Client {
	r.Helper()
	credential, err := azcosmos.NewKeyCredential(key)
	if err != nil {
		r.Fatal(err)
	}
	client, err := azcosmos.NewClientWithKey(r.endpoint(), credential, r.options())
	if err != nil {
		r.Fatal(err)
	}
	return client
}

// recorder keeps what went over the wire, for the test to read afterwards.
type recorder struct {
	next   policy.Transporter
	before func() // nil: nothing

	mu    sync.Mutex // reading many items takes several requests at once
	calls []string
	// ranges are the ids of ranges that requests named.
	ranges []string
	last   *http.Response
}

func (r *recorder) Do(req *http.Request) (*http.Response, error) {
	if r.before != nil {
		r.before()
	}
	response, err := r.next.Do(req)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.calls = append(r.calls, req.Method+" /"+strings.TrimPrefix(req.URL.Path, "/"))
	if id := req.Header.Get("x-ms-documentdb-partitionkeyrangeid"); id != "" {
		r.ranges = append(r.ranges, id)
	}
	r.last = response
	return response, err
}

func pk(value string) azcosmos.PartitionKey { return azcosmos.NewPartitionKeyString(value) }

var withBody = &azcosmos.ItemOptions{EnableContentResponseOnWrite: true}

func (r *rig) create(partition, text string) azcosmos.ItemResponse {
	r.Helper()
	response, err := r.items.CreateItem(r.Context(), pk(partition), []byte(text), withBody)
	if err != nil {
		r.Fatalf("create %s: %v", text, err)
	}
	return response
}

func (r *rig) read(partition, id string) map[string]any {
	r.Helper()
	response, err := r.items.ReadItem(r.Context(), pk(partition), id, nil)
	if err != nil {
		r.Fatalf("read %s: %v", id, err)
	}
	return r.object(response.Value)
}

func (r *rig) object(text []byte) map[string]any {
	r.Helper()
	var value map[string]any
	if err := json.Unmarshal(text, &value); err != nil {
		r.Fatalf("decode %s: %v", text, err)
	}
	return value
}

// refused demands an error with this status and substatus, and a JSON body with
// code and message.
func (r *rig) refused(err error, status int, substatus string) {
	r.Helper()
	var response *azcore.ResponseError
	if !errors.As(err, &response) {
		r.Fatalf("got error %v, want status %d", err, status)
	}
	if response.StatusCode != status {
		r.Fatalf("got status %d, want %d: %v", response.StatusCode, status, err)
	}
	if got := response.RawResponse.Header.Get("x-ms-substatus"); got != substatus {
		r.Errorf("got substatus %q, want %q", got, substatus)
	}
	if !strings.Contains(err.Error(), `"message":`) || !strings.Contains(err.Error(), `"code":`) {
		r.Errorf("no code and message in %v", err)
	}
}

// query returns all rows, and how many pages they came on.
func (r *rig) query(text string, key azcosmos.PartitionKey, o *azcosmos.QueryOptions) (rows []string, pages int, err error) {
	pager := r.items.NewQueryItemsPager(text, key, o)
	for pager.More() {
		page, err := pager.NextPage(context.WithoutCancel(r.Context()))
		if err != nil {
			return rows, pages, err
		}
		if pages++; pages > 1000 {
			return rows, pages, errors.New("the pages do not end")
		}
		for _, row := range page.Items {
			rows = append(rows, string(row))
		}
	}
	return rows, pages, nil
}

// raw sends a request that the client would not, signed by nobody.
func (r *rig) raw(method, path, body string, headers ...string) *http.Response {
	r.Helper()
	req, err := http.NewRequestWithContext(r.Context(), method, r.endpoint()+path, strings.NewReader(body))
	if err != nil {
		r.Fatal(err)
	}
	for i := 0; i < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	if req.Header.Get("Authorization") == "" {
		req.Header.Set("Authorization", aadToken(cosmosemu.WellKnownKey))
	}
	response, err := inproc.New(r.server).RoundTrip(req)
	if err != nil {
		r.Fatal(err)
	}
	return response
}

// rawWithKey sends a request that the client would not, signed with the key.
func (r *rig) rawWithKey(method, path, body string, headers ...string) *http.Response {
	r.Helper()
	date := time.Now().UTC().Format(http.TimeFormat)
	parent := strings.TrimPrefix(path[:strings.LastIndex(path, "/")], "/")
	kind := path[strings.LastIndex(path, "/")+1:]
	key, err := base64.StdEncoding.DecodeString(cosmosemu.WellKnownKey)
	if err != nil {
		r.Fatal(err)
	}
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(strings.ToLower(method + "\n" + kind + "\n" + parent + "\n" + date + "\n\n")))
	signature := base64.StdEncoding.EncodeToString(mac.Sum(nil))
	headers = append(headers, "x-ms-date", date, "Authorization", url.QueryEscape("type=master&ver=1.0&sig="+signature))
	return r.raw(method, path, body, headers...)
}
