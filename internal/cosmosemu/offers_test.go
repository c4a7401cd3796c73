package cosmosemu_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/data/azcosmos"

	"opfeed/internal/cosmosemu"
)

// offered is what azcosmos can ask the throughput of: a database or a container.
type offered interface {
	ReadThroughput(ctx context.Context, o *azcosmos.ThroughputOptions) (azcosmos.ThroughputResponse, error)
	ReplaceThroughput(ctx context.Context, p azcosmos.ThroughputProperties, o *azcosmos.ThroughputOptions) (azcosmos.ThroughputResponse, error)
}

// database makes one with throughput, or without.
func (r *rig) database(id string, given *azcosmos.ThroughputProperties) *azcosmos.DatabaseClient {
	r.Helper()
	if _, err := r.client.CreateDatabase(r.Context(), azcosmos.DatabaseProperties{ID: id}, &azcosmos.CreateDatabaseOptions{ThroughputProperties: given}); err != nil {
		r.Fatal(err)
	}
	db, err := r.client.NewDatabase(id)
	if err != nil {
		r.Fatal(err)
	}
	return db
}

func createContainer(r *rig, db *azcosmos.DatabaseClient, id string, given *azcosmos.ThroughputProperties) *azcosmos.ContainerClient {
	r.Helper()
	properties := azcosmos.ContainerProperties{ID: id, PartitionKeyDefinition: azcosmos.PartitionKeyDefinition{Paths: []string{"/pk"}}}
	if _, err := db.CreateContainer(r.Context(), properties, &azcosmos.CreateContainerOptions{ThroughputProperties: given}); err != nil {
		r.Fatal(err)
	}
	c, err := db.NewContainer(id)
	if err != nil {
		r.Fatal(err)
	}
	return c
}

func manual(n int32) *azcosmos.ThroughputProperties {
	p := azcosmos.NewManualThroughputProperties(n)
	return &p
}

func autoscale(n int32) *azcosmos.ThroughputProperties {
	p := azcosmos.NewAutoscaleThroughputProperties(n)
	return &p
}

// offers demands an answer with this throughput; 0: not of this kind.
func (r *rig) offers(got azcosmos.ThroughputResponse, err error, manual, maximum, least int32) {
	r.Helper()
	if err != nil {
		r.Fatal(err)
	}
	gotManual, _ := got.ThroughputProperties.ManualThroughput()
	gotMaximum, _ := got.ThroughputProperties.AutoscaleMaxThroughput()
	if gotManual != manual || gotMaximum != maximum {
		r.Errorf("got %d manual and %d autoscale, want %d and %d", gotManual, gotMaximum, manual, maximum)
	}
	if got.MinThroughput == nil || *got.MinThroughput != least || got.IsReplacePending {
		r.Errorf("got the least %v, pending %v, want %d", got.MinThroughput, got.IsReplacePending, least)
	}
}

func TestThroughput(t *testing.T) {
	r, ctx := newRig(t), t.Context()
	db := r.database("shared", manual(400))
	plain, err := r.client.NewDatabase("db")
	if err != nil {
		t.Fatal(err)
	}
	for name, resource := range map[string]offered{
		"database":  db,
		"container": createContainer(r, plain, "manual", manual(400)),
		"dedicated": createContainer(r, db, "dedicated", manual(400)),
		"default":   createContainer(r, plain, "default", nil),
		"made here": r.items,
	} {
		t.Run(name, func(t *testing.T) {
			got, err := resource.ReadThroughput(ctx, nil)
			r.offers(got, err, 400, 0, 400)
			got, err = resource.ReplaceThroughput(ctx, *manual(50_100), nil)
			r.offers(got, err, 50_100, 0, 600)
			_, err = resource.ReplaceThroughput(ctx, *manual(400), nil)
			r.refused(err, http.StatusBadRequest, "0")
			_, err = resource.ReplaceThroughput(ctx, *autoscale(6000), nil)
			r.refused(err, http.StatusBadRequest, "0")
			got, err = resource.ReadThroughput(ctx, nil)
			r.offers(got, err, 50_100, 0, 600)
			got, err = resource.ReplaceThroughput(ctx, *manual(600), nil)
			r.offers(got, err, 600, 0, 600) // the highest that it ever had counts
		})
	}
	for name, resource := range map[string]offered{
		"autoscaled database":  r.database("autoscaled", autoscale(5000)),
		"autoscaled container": createContainer(r, plain, "autoscaled", autoscale(5000)),
	} {
		t.Run(name, func(t *testing.T) {
			got, err := resource.ReadThroughput(ctx, nil)
			r.offers(got, err, 0, 5000, 1000)
			got, err = resource.ReplaceThroughput(ctx, azcosmos.NewAutoscaleThroughputPropertiesWithIncrement(21_000, 10), nil)
			r.offers(got, err, 0, 21_000, 3000)
			if increment, _ := got.ThroughputProperties.AutoscaleIncrement(); increment != 10 {
				t.Errorf("the increment is %d", increment)
			}
			_, err = resource.ReplaceThroughput(ctx, *manual(21_000), nil)
			r.refused(err, http.StatusBadRequest, "0")
		})
	}
}

// azcosmos makes a 404 of an empty list.
func TestNoThroughput(t *testing.T) {
	r, ctx := newRig(t), t.Context()
	db := r.database("shared", manual(400))
	for name, resource := range map[string]offered{
		"database":         r.database("none", nil),
		"shared container": createContainer(r, db, "c", nil),
	} {
		_, err := resource.ReadThroughput(ctx, nil)
		var response *azcore.ResponseError
		if !errors.As(err, &response) || response.StatusCode != http.StatusNotFound {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := db.Delete(ctx, nil); err != nil {
		t.Fatal(err)
	}
	if got := r.offerList(""); len(got) != 1 { // that of items
		t.Errorf("the offers left are %v", got)
	}
}

func TestThroughputVersions(t *testing.T) {
	r, ctx := newRig(t), t.Context()
	first, err := r.items.ReadThroughput(ctx, nil)
	if err != nil {
		t.Fatal(err)
	}
	match := &azcosmos.ThroughputOptions{IfMatchEtag: first.ThroughputProperties.ETag}
	if _, err = r.items.ReplaceThroughput(ctx, *manual(500), match); err != nil {
		t.Fatal(err)
	}
	_, err = r.items.ReplaceThroughput(ctx, *manual(600), match)
	r.refused(err, http.StatusPreconditionFailed, "0")
}

func TestOfferBelongsToItsResource(t *testing.T) {
	r := newRig(t)
	if _, err := r.items.ReplaceThroughput(t.Context(), *manual(500), nil); err != nil {
		t.Fatal(err)
	}
	sent := r.transport.last.Request
	path, id := sent.URL.Path, strings.Trim(strings.TrimPrefix(strings.Trim(sent.URL.Path, "/"), "offers"), "/")
	container, err := r.items.Read(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	rid := container.ContainerProperties.ResourceID
	for name, test := range map[string]struct {
		body   string
		status int
	}{
		"as it is":         {`{"id":"` + id + `","offerResourceId":"` + rid + `","content":{"offerThroughput":500}}`, http.StatusOK},
		"another id":       {`{"id":"x","offerResourceId":"` + rid + `","content":{"offerThroughput":500}}`, http.StatusBadRequest},
		"another resource": {`{"id":"` + id + `","offerResourceId":"x","content":{"offerThroughput":500}}`, http.StatusBadRequest},
		"no content":       {`{"id":"` + id + `","offerResourceId":"` + rid + `"}`, http.StatusBadRequest},
		"no object":        {`[]`, http.StatusBadRequest},
		"another type":     {`{"content":1}`, http.StatusBadRequest},
	} {
		got := r.raw(http.MethodPut, path, test.body, "Authorization", sent.Header.Get("Authorization"), "x-ms-date", sent.Header.Get("x-ms-date"))
		if got.StatusCode != test.status {
			t.Errorf("%s: %d, want %d", name, got.StatusCode, test.status)
		}
	}
	if got := r.rawWithKey(http.MethodPost, "/offers", "{}"); got.StatusCode != http.StatusMethodNotAllowed {
		t.Errorf("an offer was created: %d", got.StatusCode)
	}
	// Entra ID tokens are for data.
	if got := r.raw(http.MethodPut, path, "{}"); got.StatusCode != http.StatusForbidden {
		t.Errorf("with a token: %d", got.StatusCode)
	}
}

func TestThroughputIsChecked(t *testing.T) {
	r, ctx := newRig(t), t.Context()
	db, err := r.client.NewDatabase("db")
	if err != nil {
		t.Fatal(err)
	}
	for _, bad := range []*azcosmos.ThroughputProperties{
		manual(300), manual(450), manual(1_000_100), manual(-400), autoscale(900), autoscale(1500), autoscale(0),
	} {
		_, err = r.client.CreateDatabase(ctx, azcosmos.DatabaseProperties{ID: "x"}, &azcosmos.CreateDatabaseOptions{ThroughputProperties: bad})
		r.refused(err, http.StatusBadRequest, "0")
		properties := azcosmos.ContainerProperties{ID: "x", PartitionKeyDefinition: azcosmos.PartitionKeyDefinition{Paths: []string{"/pk"}}}
		_, err = db.CreateContainer(ctx, properties, &azcosmos.CreateContainerOptions{ThroughputProperties: bad})
		r.refused(err, http.StatusBadRequest, "0")
		_, err = r.items.ReplaceThroughput(ctx, *bad, nil)
		r.refused(err, http.StatusBadRequest, "0")
	}
	for name, headers := range map[string][]string{
		"both":         {"x-ms-offer-throughput", "400", "x-ms-cosmos-offer-autopilot-settings", `{"maxThroughput":1000}`},
		"no number":    {"x-ms-offer-throughput", "many"},
		"no object":    {"x-ms-cosmos-offer-autopilot-settings", "1000"},
		"no maximum":   {"x-ms-cosmos-offer-autopilot-settings", "{}"},
		"nothing else": {"x-ms-cosmos-offer-autopilot-settings", "null"},
	} {
		if got := r.rawWithKey(http.MethodPost, "/dbs", `{"id":"x"}`, headers...); got.StatusCode != http.StatusBadRequest {
			t.Errorf("%s: %d", name, got.StatusCode)
		}
	}
	for _, bad := range []cosmosemu.Container{
		{ID: "x", PartitionKey: "/pk", Throughput: 410}, {ID: "x", PartitionKey: "/pk", AutoscaleMax: 400},
		{ID: "x", PartitionKey: "/pk", Throughput: 400, AutoscaleMax: 1000},
	} {
		if err := r.server.Create("db", bad); err == nil {
			t.Errorf("%+v was created", bad)
		}
	}
	if err := r.server.Create("db", cosmosemu.Container{ID: "x", PartitionKey: "/pk", AutoscaleMax: 21_000}); err != nil {
		t.Fatal(err)
	}
	x, err := db.NewContainer("x")
	if err != nil {
		t.Fatal(err)
	}
	got, err := x.ReadThroughput(ctx, nil)
	r.offers(got, err, 0, 21_000, 3000)
	if ranges, err := x.ReadFeedRanges(ctx, nil); err != nil || len(ranges) != 3 {
		t.Errorf("the ranges of 21000 RU/s are %v, %v", ranges, err)
	}
}

// offerList asks for offers: all, or by a condition as the JavaScript SDK does.
func (r *rig) offerList(condition string) []map[string]any {
	r.Helper()
	var response *http.Response
	if condition == "" {
		response = r.rawWithKey(http.MethodGet, "/offers", "")
	} else {
		text, err := json.Marshal(map[string]string{"query": "SELECT * FROM root WHERE " + condition})
		if err != nil {
			r.Fatal(err)
		}
		response = r.rawWithKey(http.MethodPost, "/offers", string(text), "Content-Type", "application/query+json")
	}
	var feed struct {
		Offers []map[string]any `json:"Offers"`
	}
	if err := json.NewDecoder(response.Body).Decode(&feed); err != nil {
		r.Fatal(err)
	}
	return feed.Offers
}

func TestOfferFeed(t *testing.T) {
	r, ctx := newRig(t), t.Context()
	container, err := r.items.Read(ctx, nil)
	if err != nil {
		t.Fatal(err)
	}
	self := container.ContainerProperties.SelfLink
	got := r.offerList(`root.resource = "` + self + `"`)
	if len(got) != 1 || got[0]["offerVersion"] != "V2" || got[0]["offerType"] != "Invalid" || !strings.HasPrefix(got[0]["_self"].(string), "offers/") {
		t.Errorf("the offer of %s is %v", self, got)
	}
	if got := r.offerList(`root.resource = "dbs/x/"`); len(got) != 0 {
		t.Errorf("the offers of nothing are %v", got)
	}
	if got := r.offerList(""); len(got) != 1 {
		t.Errorf("all offers are %v", got)
	}
	if _, err := r.items.Delete(ctx, nil); err != nil {
		t.Fatal(err)
	}
	if got := r.offerList(""); len(got) != 0 {
		t.Errorf("the offers of a container that is gone are %v", got)
	}
}
