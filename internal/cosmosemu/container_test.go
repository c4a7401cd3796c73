package cosmosemu_test

import (
	"encoding/json"
	"net/http"
	"slices"
	"strconv"
	"testing"

	"github.com/Azure/azure-sdk-for-go/sdk/data/azcosmos"

	"opfeed/internal/cosmosemu"
)

func TestDatabases(t *testing.T) {
	r, ctx := newRig(t), t.Context()
	created, err := r.client.CreateDatabase(ctx, azcosmos.DatabaseProperties{ID: "second"}, nil)
	if err != nil || created.RawResponse.StatusCode != http.StatusCreated || created.DatabaseProperties.ResourceID == "" {
		t.Fatalf("%v, %v", created, err)
	}
	_, err = r.client.CreateDatabase(ctx, azcosmos.DatabaseProperties{ID: "second"}, nil)
	r.refused(err, http.StatusConflict, "0")
	_, err = r.client.CreateDatabase(ctx, azcosmos.DatabaseProperties{ID: "a/b"}, nil)
	r.refused(err, http.StatusBadRequest, "0")
	for query, want := range map[string]int{
		"SELECT * FROM root r WHERE r.id = @id": 1, "SELECT * FROM root r": 2, "SELECT * FROM root r WHERE r.id = 'x'": 0,
	} {
		page, err := r.client.NewQueryDatabasesPager(query, &azcosmos.QueryDatabasesOptions{
			QueryParameters: []azcosmos.QueryParameter{{Name: "@id", Value: "second"}},
		}).NextPage(ctx)
		if err != nil || len(page.Databases) != want {
			t.Errorf("%s: %d, %v", query, len(page.Databases), err)
		}
	}
	second, err := r.client.NewDatabase("second")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := second.Delete(ctx, nil); err != nil {
		t.Fatal(err)
	}
	_, err = second.Read(ctx, nil)
	r.refused(err, http.StatusNotFound, "0")
	if list := r.raw(http.MethodGet, "/dbs", ""); list.StatusCode != http.StatusOK || list.Header.Get("x-ms-item-count") != "1" {
		t.Errorf("list: %d, %v", list.StatusCode, list.Header)
	}
}

func TestContainers(t *testing.T) {
	r, ctx := newRig(t), t.Context()
	database, err := r.client.NewDatabase("db")
	if err != nil {
		t.Fatal(err)
	}
	ttl := int32(60)
	definition := azcosmos.ContainerProperties{
		ID: "new", DefaultTimeToLive: &ttl,
		PartitionKeyDefinition: azcosmos.PartitionKeyDefinition{Paths: []string{"/a/b"}},
		IndexingPolicy: &azcosmos.IndexingPolicy{
			IncludedPaths: []azcosmos.IncludedPath{{Path: "/*"}}, ExcludedPaths: []azcosmos.ExcludedPath{{Path: "/x/?"}},
			Automatic: true, IndexingMode: azcosmos.IndexingModeConsistent,
		},
	}
	created, err := database.CreateContainer(ctx, definition, nil)
	if err != nil {
		t.Fatal(err)
	}
	got := created.ContainerProperties
	if got.PartitionKeyDefinition.Version != 2 || got.PartitionKeyDefinition.Kind != azcosmos.PartitionKeyKindHash ||
		!slices.Equal(got.PartitionKeyDefinition.Paths, []string{"/a/b"}) {
		t.Errorf("partition key %+v", got.PartitionKeyDefinition)
	}
	if *got.DefaultTimeToLive != 60 || got.ResourceID == "" || got.ETag == nil || len(got.IndexingPolicy.ExcludedPaths) != 1 {
		t.Errorf("got %+v", got)
	}
	_, err = database.CreateContainer(ctx, definition, nil)
	r.refused(err, http.StatusConflict, "0")
	page, err := database.NewQueryContainersPager("SELECT * FROM c WHERE c.id = 'new'", nil).NextPage(ctx)
	if err != nil || len(page.Containers) != 1 || page.Containers[0].ResourceID != got.ResourceID {
		t.Errorf("query: %+v, %v", page.Containers, err)
	}
	container, err := database.NewContainer("new")
	if err != nil {
		t.Fatal(err)
	}
	definition.PartitionKeyDefinition.Paths = []string{"/other"}
	_, err = container.Replace(ctx, definition, nil)
	r.refused(err, http.StatusBadRequest, "0")
	if _, err := container.Delete(ctx, nil); err != nil {
		t.Fatal(err)
	}
	_, err = container.Read(ctx, nil)
	r.refused(err, http.StatusNotFound, "0")
	again, err := database.CreateContainer(ctx, azcosmos.ContainerProperties{
		ID: "new", PartitionKeyDefinition: azcosmos.PartitionKeyDefinition{Paths: []string{"/pk"}},
	}, nil)
	if err != nil || again.ContainerProperties.ResourceID == got.ResourceID {
		t.Errorf("made anew: %v, %v", again.ContainerProperties, err)
	}
	for name, body := range map[string]string{
		"no partition key":    `{"id":"x"}`,
		"path":                `{"id":"x","partitionKey":{"paths":["a"]}}`,
		"empty name":          `{"id":"x","partitionKey":{"paths":["/a//b"]}}`,
		"two paths":           `{"id":"x","partitionKey":{"paths":["/a","/b"]}}`,
		"kind":                `{"id":"x","partitionKey":{"paths":["/a"],"kind":"Range"}}`,
		"version":             `{"id":"x","partitionKey":{"paths":["/a"],"version":3}}`,
		"ttl":                 `{"id":"x","partitionKey":{"paths":["/a"]},"defaultTtl":0}`,
		"unique keys":         `{"id":"x","partitionKey":{"paths":["/a"]},"uniqueKeyPolicy":{"uniqueKeys":[{"paths":["/b"]}]}}`,
		"no id":               `{"partitionKey":{"paths":["/a"]}}`,
		"no object":           `[]`,
		"wrong type of id":    `{"id":1,"partitionKey":{"paths":["/a"]}}`,
		"nothing":             ``,
		"partition key: []":   `{"id":"x","partitionKey":[]}`,
		"names in Go's case":  `{"ID":"x","PartitionKey":{"paths":["/a"]}}`,
		"partition key twice": `{"id":"x","partitionKey":{"paths":["/a"]},"partitionKey":{"kind":"Hash"}}`,
		"path twice":          `{"id":"x","partitionKey":{"paths":["/a","/b","/a"],"kind":"MultiHash"}}`,
		"levels in version 1": `{"id":"x","partitionKey":{"paths":["/a","/b"],"kind":"MultiHash","version":1}}`,
	} {
		req := r.rawWithKey(http.MethodPost, "/dbs/db/colls", body)
		if req.StatusCode != http.StatusBadRequest {
			t.Errorf("%s: %d", name, req.StatusCode)
		}
	}
}

// What a container is read as can be written back.
func TestContainerWithOddPath(t *testing.T) {
	r := newRig(t)
	database, err := r.client.NewDatabase("db")
	if err != nil {
		t.Fatal(err)
	}
	for i, path := range []string{`/"a/b"`, `/a"b`, `/"\"a\""/b`} {
		id := strconv.Itoa(i)
		body, err := json.Marshal(map[string]any{"id": id, "partitionKey": map[string]any{"paths": []string{path}}})
		if err != nil {
			t.Fatal(err)
		}
		if got := r.rawWithKey(http.MethodPost, "/dbs/db/colls", string(body)); got.StatusCode != http.StatusCreated {
			t.Fatalf("%s: %d", path, got.StatusCode)
		}
		container, err := database.NewContainer(id)
		if err != nil {
			t.Fatal(err)
		}
		read, err := container.Read(t.Context(), nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := container.Replace(t.Context(), *read.ContainerProperties, nil); err != nil {
			t.Errorf("%s, read as %q: %v", path, read.ContainerProperties.PartitionKeyDefinition.Paths, err)
		}
	}
}

func TestCreate(t *testing.T) {
	s := cosmosemu.New(cosmosemu.Options{})
	good := cosmosemu.Container{ID: "c", PartitionKey: "/id"}
	if err := s.Create("db", good); err != nil {
		t.Fatal(err)
	}
	zero := int32(0)
	for _, bad := range []cosmosemu.Container{
		good, {ID: "d", PartitionKey: "id"}, {ID: "", PartitionKey: "/id"}, {ID: "e", PartitionKey: "/id", DefaultTTL: &zero},
	} {
		if err := s.Create("db", bad); err == nil {
			t.Errorf("%+v was created", bad)
		}
	}
}

func TestStats(t *testing.T) {
	r := newRigWith(t, cosmosemu.Options{RequestCharges: cosmosemu.RequestCharges{Read: 3}},
		cosmosemu.Container{ID: "items", PartitionKey: "/pk"})
	created := r.create("p", `{"id":"a","pk":"p"}`)
	r.read("p", "a")
	r.read("p", "a")
	r.feed(azcosmos.ChangeFeedOptions{})
	if _, _, err := r.query("SELECT * FROM c", everywhere, nil); err != nil {
		t.Fatal(err)
	}
	if _, _, err := r.query("SELECT * FROM c", pk("p"), nil); err != nil {
		t.Fatal(err)
	}
	_, err := r.items.ReadItem(t.Context(), pk("p"), "absent", nil)
	r.refused(err, http.StatusNotFound, "0")
	response := r.raw(http.MethodGet, "/_emulator/stats", "", "Authorization", "none")
	var stats cosmosemu.Stats
	if err := json.NewDecoder(response.Body).Decode(&stats); err != nil {
		t.Fatal(err)
	}
	got := map[string]cosmosemu.Charge{}
	for _, charge := range stats.Charges {
		if charge.Agent == "test" && charge.Container == "items" && charge.Database == "db" {
			got[charge.Kind] = charge
		}
	}
	for kind, requests := range map[string]int64{"create": 1, "read": 3, "feed": 1, "crossquery": 1, "query": 1, "metadata": 3} {
		if got[kind].Requests != requests || got[kind].RequestUnits <= 0 {
			t.Errorf("%s: %+v", kind, got[kind])
		}
	}
	if units := got["read"].RequestUnits; units != 7 {
		t.Errorf("two reads of 3 RU and a refused one of 1: %v", units)
	}
	if units := got["create"].RequestUnits; float32(units) != created.RequestCharge {
		t.Errorf("create: %v, the header said %v", units, created.RequestCharge)
	}
	if !slices.Equal(stats.Charges, r.server.Stats().Charges) {
		t.Error("the statistics differ from those over HTTP")
	}
}
