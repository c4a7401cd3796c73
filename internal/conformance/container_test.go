package conformance

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/data/azcosmos"
)

// container is one that only this test uses.
type container struct {
	*testing.T
	wire  *wire
	name  string
	items *azcosmos.ContainerClient
}

// containers counts them, for names that are used once: azcosmos keeps what it
// knows of a name for the life of the process.
var containers atomic.Int64

// newContainer makes one with the partition key /pk, and time to live on
// without a default.
func newContainer(t *testing.T) *container {
	t.Helper()
	ttl := int32(-1)
	return newContainerWith(t, azcosmos.ContainerProperties{
		PartitionKeyDefinition: azcosmos.PartitionKeyDefinition{Paths: []string{"/pk"}, Kind: azcosmos.PartitionKeyKindHash, Version: 2},
		DefaultTimeToLive:      &ttl,
	})
}

func newContainerWith(t *testing.T, properties azcosmos.ContainerProperties) *container {
	t.Helper()
	c := &container{T: t, wire: &wire{t}, name: strings.ReplaceAll(t.Name(), "/", "-") + "-" + strconv.FormatInt(containers.Add(1), 10)}
	properties.ID = c.name
	database, err := c.client().NewDatabase(account.database)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := database.CreateContainer(t.Context(), properties, nil); err != nil {
		t.Fatalf("create container: %v", err)
	}
	c.items = c.newItems()
	// Throughput can be shared by 25 containers.
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), time.Minute)
		defer cancel()
		if _, err := c.items.Delete(ctx, nil); err != nil {
			t.Errorf("delete container: %v", err)
		}
	})
	return c
}

func (c *container) client() *azcosmos.Client {
	c.Helper()
	client, err := newClient(c.wire)
	if err != nil {
		c.Fatal(err)
	}
	return client
}

// newItems is a client that remembers nothing of an earlier one's requests.
func (c *container) newItems() *azcosmos.ContainerClient {
	c.Helper()
	items, err := c.client().NewContainer(account.database, c.name)
	if err != nil {
		c.Fatal(err)
	}
	return items
}

// item is what the tests store.
type item struct {
	ID   string `json:"id"`
	PK   string `json:"pk"`
	N    int    `json:"n"`
	TTL  int    `json:"ttl,omitempty"`
	ETag string `json:"_etag,omitempty"`
	TS   int64  `json:"_ts,omitempty"`
	LSN  int64  `json:"_lsn,omitempty"` // only in the feed
}

func (i item) json() []byte {
	text, err := json.Marshal(i)
	if err != nil {
		panic(err)
	}
	return text
}

// put creates or overwrites an item.
func (c *container) put(i item) item {
	c.Helper()
	response, err := c.items.UpsertItem(c.Context(), azcosmos.NewPartitionKeyString(i.PK), i.json(), &azcosmos.ItemOptions{EnableContentResponseOnWrite: true})
	if err != nil {
		c.Fatalf("put %+v: %v", i, err)
	}
	return decode[item](c, response.Value)
}

func (c *container) remove(i item) {
	c.Helper()
	if _, err := c.items.DeleteItem(c.Context(), azcosmos.NewPartitionKeyString(i.PK), i.ID, nil); err != nil {
		c.Fatalf("delete %+v: %v", i, err)
	}
}

// batch runs one in a logical partition.
func (c *container) batch(pk string, fill func(*azcosmos.TransactionalBatch)) azcosmos.TransactionalBatchResponse {
	c.Helper()
	b := c.items.NewTransactionalBatch(azcosmos.NewPartitionKeyString(pk))
	fill(&b)
	response, err := c.items.ExecuteTransactionalBatch(c.Context(), b, nil)
	if err != nil {
		c.Fatalf("batch: %v", err)
	}
	return response
}

// reply is the answer to a raw request.
type reply struct {
	status    int
	substatus string
	header    http.Header
	body      []byte
}

func (r reply) etag() string { return r.header.Get("etag") }

// String is for messages.
func (r reply) String() string {
	return fmt.Sprintf("%d/%s %.300s", r.status, r.substatus, r.body)
}

// send sends a signed request that azcosmos would not. The path begins at the
// container: docs, docs/ and an id, pkranges.
func (c *container) send(method, path, body string, headers ...string) reply {
	c.Helper()
	kind, id, isItem := strings.Cut(path, "/")
	link := "dbs/" + account.database + "/colls/" + c.name
	address := account.endpoint + "/" + link + "/" + kind
	if isItem {
		link += "/" + path
		address += "/" + url.PathEscape(id)
	}
	req, err := http.NewRequestWithContext(c.Context(), method, address, strings.NewReader(body))
	if err != nil {
		c.Fatal(err)
	}
	date := time.Now().UTC().Format(http.TimeFormat)
	req.Header.Set("x-ms-date", date)
	req.Header.Set("x-ms-version", "2020-11-05")
	req.Header.Set("Authorization", sign(method, kind, link, date))
	for i := 0; i < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	response, err := c.wire.Do(req)
	if err != nil {
		c.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		c.Fatal(err)
	}
	return reply{response.StatusCode, response.Header.Get("x-ms-substatus"), response.Header, text}
}

// sign makes the Authorization header of a request with the master key.
func sign(method, kind, link, date string) string {
	mac := hmac.New(sha256.New, account.secret)
	fmt.Fprintf(mac, "%s\n%s\n%s\n%s\n\n", strings.ToLower(method), kind, link, strings.ToLower(date))
	return url.QueryEscape("type=master&ver=1.0&sig=" + base64.StdEncoding.EncodeToString(mac.Sum(nil)))
}

// key is the header that names a logical partition.
func key(values ...string) string {
	text, err := json.Marshal(values)
	if err != nil {
		panic(err)
	}
	return string(text)
}

const headerKey = "x-ms-documentdb-partitionkey"

// create sends an item as it is written; sendCreate does not demand success.
func (c *container) create(pk, body string) reply {
	c.Helper()
	r := c.sendCreate(pk, body)
	if r.status != http.StatusCreated {
		c.Fatalf("create %.200s: %v", body, r)
	}
	return r
}

func (c *container) sendCreate(pk, body string) reply {
	c.Helper()
	return c.send(http.MethodPost, "docs", body, headerKey, key(pk))
}

func (c *container) read(pk, id string) reply {
	c.Helper()
	return c.send(http.MethodGet, "docs/"+id, "", headerKey, key(pk))
}

// statusOf is the status that azcosmos reports with an error; 0 if it has none.
func statusOf(err error) int {
	var response *azcore.ResponseError
	if errors.As(err, &response) {
		return response.StatusCode
	}
	return 0
}

func decode[T any](t testing.TB, text []byte) T {
	t.Helper()
	var value T
	if err := json.NewDecoder(bytes.NewReader(text)).Decode(&value); err != nil {
		t.Fatalf("decode %.300s: %v", text, err)
	}
	return value
}

// pause is for what only the account's clock decides: time to live, and the
// start of a feed at a time.
func (c *container) pause(d time.Duration) {
	c.Helper()
	select {
	case <-time.After(d):
	case <-c.Context().Done():
		c.Fatal(context.Cause(c.Context()))
	}
}

// eventually waits for what the account's clock will bring.
func (c *container) eventually(what string, condition func() bool) {
	c.Helper()
	const limit = 20 * time.Second
	for started := time.Now(); !condition(); c.pause(100 * time.Millisecond) {
		if time.Since(started) > limit {
			c.Fatalf("after %v: %s", limit, what)
		}
	}
}
