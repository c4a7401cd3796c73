package system_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/data/azcosmos"

	"opfeed/cs/cssim"
	"opfeed/internal/cosmosemu"
	"opfeed/internal/inproc"
)

// What the lessons' tests share: documents as a front end writes them, one by one,
// and a look at what passes between a replica and Cosmos DB.

type doc = map[string]any

// tap lets a test see, delay and refuse requests. Its funcs are set before it is used.
type tap struct {
	next   policy.Transporter
	before func(*http.Request) error
	after  func(*http.Request) // once it was answered
}

// Do implements policy.Transporter.
func (t *tap) Do(req *http.Request) (*http.Response, error) {
	if t.before != nil {
		if err := t.before(req); err != nil {
			return nil, err
		}
	}
	resp, err := t.next.Do(req)
	if err == nil && t.after != nil {
		t.after(req)
	}
	return resp, err
}

func isOn(req *http.Request, container string) bool {
	return strings.Contains(req.URL.Path+"/", "/colls/"+container+"/")
}

// person is a front end that does what the test says.
type person struct {
	*world
	resources, locks *azcosmos.ContainerClient
}

func (w *world) person() *person {
	w.t.Helper()
	key, err := azcosmos.NewKeyCredential(cosmosemu.WellKnownKey)
	if err != nil {
		w.t.Fatal(err)
	}
	client, err := azcosmos.NewClientWithKey(w.cosmosURL(frontEnd), key, &azcosmos.ClientOptions{ClientOptions: azcore.ClientOptions{Transport: inproc.New(w.cosmos)}})
	if err != nil {
		w.t.Fatal(err)
	}
	container := func(id string) *azcosmos.ContainerClient {
		c, err := client.NewContainer(database, id)
		if err != nil {
			w.t.Fatal(err)
		}
		return c
	}
	return &person{w, container("Resources"), container("Locks")}
}

func (p *person) put(docs ...doc) {
	p.t.Helper()
	for _, d := range docs {
		raw, err := json.Marshal(d)
		if err != nil {
			p.t.Fatal(err)
		}
		if _, err := p.resources.UpsertItem(p.t.Context(), azcosmos.NewPartitionKeyString(d["partitionKey"].(string)), raw, nil); err != nil {
			p.t.Fatal(err)
		}
	}
}

// properties are those of a document as it is stored; nil if it is not there.
func (p *person) properties(partition, id string) doc {
	p.t.Helper()
	resp, err := p.resources.ReadItem(context.WithoutCancel(p.t.Context()), azcosmos.NewPartitionKeyString(partition), id, nil)
	if err != nil {
		return nil
	}
	var d struct{ Properties doc }
	if err := json.Unmarshal(resp.Value, &d); err != nil {
		p.t.Fatal(err)
	}
	return d.Properties
}

// together are the properties of two documents at one moment; nil until both are there.
func (p *person) together(partition, one, other string) (a, b doc) {
	p.t.Helper()
	batch := p.resources.NewTransactionalBatch(azcosmos.NewPartitionKeyString(partition))
	batch.ReadItem(one, nil)
	batch.ReadItem(other, nil)
	resp, err := p.resources.ExecuteTransactionalBatch(context.WithoutCancel(p.t.Context()), batch, nil)
	if err != nil {
		p.t.Error(err)
	}
	if err != nil || !resp.Success {
		return nil, nil
	}
	var d [2]struct{ Properties doc }
	for i := range d {
		if err := json.Unmarshal(resp.OperationResults[i].ResourceBody, &d[i]); err != nil {
			p.t.Error(err)
		}
	}
	return d[0].Properties, d[1].Properties
}

func (p *person) status(partition, id string) string {
	p.t.Helper()
	s, _ := p.properties(partition, id)["status"].(string)
	return s
}

func (p *person) plant(internalID, state string) {
	p.t.Helper()
	if err := p.cs.Plant(internalID, state); err != nil {
		p.t.Fatal(err)
	}
}

// asked says when the service asked for each object first.
func (w *world) asked() map[string]time.Time {
	at := map[string]time.Time{}
	for _, o := range w.cs.Journal().Objects {
		id := o.InternalID[strings.LastIndexByte(o.InternalID, '/')+1:]
		at[id] = o.Mutations[0].FirstRead["opfeed"]
	}
	return at
}

func clusterID(name string) string { return "/api/clusters_mgmt/v1/clusters/" + name }

// operation is one that has started now, on the cluster of that name.
func operation(partition, id, request, cluster string) doc {
	now := time.Now().UTC().Format(time.RFC3339Nano)
	return doc{
		"id": id, "partitionKey": partition, "resourceType": "Microsoft.RedHatOpenShift/hcpOperationStatuses", "ttl": 604800,
		"properties": doc{
			"request": request, "status": "Accepted", "internalId": clusterID(cluster), "startTime": now, "lastTransitionTime": now,
			"operationId": "/subscriptions/" + partition + "/providers/Microsoft.RedHatOpenShift/locations/l/hcpOperationStatuses/" + id,
		},
	}
}

// linked is a cluster's document that names an operation.
func linked(partition, id, operation string) doc {
	return doc{
		"id": id, "partitionKey": partition, "resourceType": "Microsoft.RedHatOpenShift/hcpOpenShiftClusters",
		"properties": doc{"activeOperationId": operation, "provisioningState": "Accepted"},
	}
}

// atLeisure is a Cluster Service in which things take as long as in the real one,
// and nothing fails.
func atLeisure() *cssim.Server { return cssim.New(cssim.Options{Seed: 1, LogRequests: 100_000}) }

// knocks is how a front end fares that takes a lock for each of its requests.
type knocks struct {
	attempts, met int
	longest       time.Duration // refused in a row
}

// knock takes the lock and gives it back every so often, until ctx ends. After a
// second it is refused.
func (p *person) knock(ctx context.Context, subscription string, every time.Duration) (k knocks) {
	pk := azcosmos.NewPartitionKeyString(subscription)
	raw := fmt.Appendf(nil, `{"id":%q,"owner":"frontend","ttl":10}`, subscription)
	for ; ctx.Err() == nil; time.Sleep(every) {
		began, met := time.Now(), false
		for time.Since(began) < time.Second {
			resp, err := p.locks.CreateItem(p.t.Context(), pk, raw, nil)
			if err == nil {
				if _, err = p.locks.DeleteItem(p.t.Context(), pk, subscription, &azcosmos.ItemOptions{IfMatchEtag: &resp.ETag}); err != nil {
					p.t.Error(err)
				}
				break
			}
			met = true
			time.Sleep(time.Millisecond)
		}
		k.attempts++
		if met {
			k.met++
		}
		k.longest = max(k.longest, time.Since(began))
	}
	return k
}

// roundTrip is what each request to Cosmos DB takes in tests of the lock.
const roundTrip = 5 * time.Millisecond

// near is a transport whose round trips take their time, half of it each way.
func (w *world) near() *tap {
	return &tap{
		next:   inproc.New(w.cosmos),
		before: func(*http.Request) error { time.Sleep(roundTrip / 2); return nil },
		after:  func(*http.Request) { time.Sleep(roundTrip / 2) },
	}
}

// until waits for something that must happen within a while.
func until(t *testing.T, limit time.Duration, what string, done func() bool) {
	t.Helper()
	for began := time.Now(); !done(); time.Sleep(50 * time.Millisecond) {
		if time.Since(began) > limit {
			t.Errorf("not within %v: %s", limit, what)
			return
		}
	}
}
