package cosmosemu_test

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/data/azcosmos"

	"opfeed/internal/epk"
)

func parameters(values ...any) *azcosmos.QueryOptions {
	o := &azcosmos.QueryOptions{PageSizeHint: -1}
	for i := 0; i < len(values); i += 2 {
		o.QueryParameters = append(o.QueryParameters, azcosmos.QueryParameter{Name: values[i].(string), Value: values[i+1]})
	}
	return o
}

// TestResourceProviderQueries runs what ARO-HCP sends, as it stands there.
func TestResourceProviderQueries(t *testing.T) {
	r := newRig(t)
	for _, item := range []string{
		`{"id":"cluster","pk":"s","resourceID":"/subscriptions/S/Clusters/c","resourceType":"Microsoft.X/Clusters","properties":{}}`,
		`{"id":"pool","pk":"s","resourceID":"/subscriptions/S/clusters/c/pools/p","resourceType":"microsoft.x/clusters/pools"}`,
		`{"id":"deleted","pk":"s","resourceID":"/subscriptions/s/clusters/d","resourceType":"microsoft.x/clusters","deletionTimestamp":"2025-01-01T00:00:00Z"}`,
		`{"id":"active","pk":"s","resourceID":"/subscriptions/s/op/1","resourceType":"Microsoft.X/Operations","properties":{"status":"Accepted","request":"Create","externalId":"/subscriptions/S/Clusters/c"}}`,
		`{"id":"child","pk":"s","resourceID":"/subscriptions/s/op/2","resourceType":"Microsoft.X/Operations","properties":{"status":"Deleting","request":"Delete","externalId":"/Subscriptions/s/clusters/C/pools/p"}}`,
		`{"id":"done","pk":"s","resourceID":"/subscriptions/s/op/3","resourceType":"Microsoft.X/Operations","properties":{"status":"Succeeded","request":"Create","externalId":"/subscriptions/S/Clusters/c"}}`,
		`{"id":"without","pk":"s","resourceID":"/subscriptions/s/op/4","resourceType":"Microsoft.X/Operations","properties":{}}`,
		`{"id":"old","pk":"s","resourceID":null}`,
		`{"id":"older","pk":"s"}`,
		`{"id":"bill","pk":"s","resourceID":"","resourceId":"/B/1"}`,
		`{"id":"billed","pk":"s","resourceID":"","resourceId":"/b/1","deletionTime":"2025-01-01T00:00:00Z"}`,
	} {
		r.create("s", item)
	}
	const active = `SELECT * FROM c WHERE STRINGEQUALS(c.resourceType, "microsoft.x/operations", true) AND LENGTH(c.resourceID) > 0 ` +
		`AND (NOT IS_DEFINED(c.deletionTimestamp)) AND NOT ARRAYCONTAINS(["Succeeded", "Failed", "Canceled"], c.properties.status)`
	for _, test := range []struct {
		query string
		o     *azcosmos.QueryOptions
		want  string
	}{
		{"SELECT * FROM c", parameters(), "cluster pool deleted active child done without old older bill billed"},
		{"SELECT * FROM c WHERE (NOT IS_DEFINED(c.resourceID) OR IS_NULL(c.resourceID))", parameters(), "old older"},
		{"SELECT * FROM c WHERE LENGTH(c.resourceID) > 0 AND (NOT IS_DEFINED(c.deletionTimestamp))", parameters(), "cluster pool active child done without"},
		{"SELECT * FROM c WHERE LENGTH(c.resourceID) > 0 AND (NOT IS_DEFINED(c.deletionTimestamp)) AND STRINGEQUALS(c.resourceType, @resourceType, true)",
			parameters("@resourceType", "microsoft.x/CLUSTERS"), "cluster"},
		{"SELECT * FROM c WHERE STARTSWITH(c.resourceID, @prefix, true) AND (NOT IS_DEFINED(c.deletionTimestamp))",
			parameters("@prefix", "/subscriptions/s/CLUSTERS/"), "cluster pool"},
		{"SELECT * FROM c WHERE STARTSWITH(c.resourceID, @prefix, true) AND (NOT IS_DEFINED(c.deletionTimestamp)) AND STRINGEQUALS(c.resourceType, @resourceType, true)" +
			" AND (LENGTH(c.resourceID) - LENGTH(REPLACE(c.resourceID, '/', ''))) = 6",
			parameters("@prefix", "/subscriptions/s/CLUSTERS/", "@resourceType", "Microsoft.X/clusters/pools"), "pool"},
		{`SELECT * FROM c WHERE LENGTH(c.resourceID) > 0 AND (NOT IS_DEFINED(c.deletionTimestamp)) AND (STRINGEQUALS(c.resourceType, "Microsoft.X/clusters", true) ` +
			`OR STRINGEQUALS(c.resourceType, "Microsoft.X/clusters/pools", true))`, parameters(), "cluster pool"},
		{active, parameters(), "active child"},
		{active + " AND c.properties.request = @request", parameters("@request", "Create"), "active"},
		{active + " AND c.properties.request = @request AND STRINGEQUALS(c.properties.externalId, @externalId, true)",
			parameters("@request", "Create", "@externalId", "/subscriptions/s/clusters/c"), "active"},
		{active + ` AND (STRINGEQUALS(c.properties.externalId, @externalId, true) OR STARTSWITH(c.properties.externalId, CONCAT(@externalId, "/"), true))`,
			parameters("@externalId", "/subscriptions/s/clusters/c"), "active child"},
		{"SELECT * FROM c WHERE NOT IS_DEFINED(c.deletionTime)", parameters(), "cluster pool deleted active child done without old older bill"},
		{"SELECT * FROM c WHERE STRINGEQUALS(c.resourceId, @resourceId, true) AND NOT IS_DEFINED(c.deletionTime)", parameters("@resourceId", "/b/1"), "bill"},
		{"SELECT c.id FROM c WHERE STRINGEQUALS(c.resourceId, @resourceId, true) AND NOT IS_DEFINED(c.deletionTime)", parameters("@resourceId", "/b/1"), "bill"},
	} {
		for _, key := range []azcosmos.PartitionKey{pk("s"), everywhere} {
			rows, _, err := r.query(test.query, key, test.o)
			var ids []string
			for _, row := range rows {
				ids = append(ids, r.object([]byte(row))["id"].(string))
			}
			if got := strings.Join(ids, " "); err != nil || got != test.want {
				t.Errorf("%s: got %s, want %s, %v", test.query, got, test.want, err)
			}
		}
	}
}

// TestSuiteQueries runs what azcosmos' own tests send, and what it makes itself.
func TestSuiteQueries(t *testing.T) {
	r := newRig(t)
	for i := range 10 {
		r.create("1", fmt.Sprintf(`{"id":"%d","pk":"1","someProp":"some_%d","title":"The %d. Search"}`, i, i, i))
		r.create("2", fmt.Sprintf(`{"id":"%d","pk":"2","someProp":"some_%d"}`, i, i))
	}
	for _, test := range []struct {
		query string
		key   azcosmos.PartitionKey
		o     *azcosmos.QueryOptions
		rows  int
		first string
	}{
		{"select * from docs c where c.someProp = 'some_4'", pk("1"), nil, 1, ""},
		{"select * from c order by c.id", pk("1"), nil, 10, ""},
		{"select value c.id from c order by c.id", pk("1"), nil, 10, `"0"`},
		{"select value c.id from c where c.pk = '1' order by c.id", everywhere, nil, 10, `"0"`},
		{"select value c.id from c where c.someProp = @prop order by c.id", pk("2"), parameters("@prop", "some_2"), 1, `"2"`},
		{`SELECT VALUE c.id FROM c WHERE FullTextContains(c.title, "search") OR FullTextContains(c.text, "search")`, pk("1"), nil, 10, `"0"`},
		{"SELECT VALUE COUNT(1) FROM c", pk("1"), nil, 1, "10"},
		{"SELECT COUNT(1) AS n, MAX(c.id) AS last FROM c WHERE c.id < '5'", pk("1"), nil, 1, `{"last":"4","n":5}`},
		{"SELECT VALUE SUM(StringToNumber(c.id)) FROM c", pk("1"), nil, 1, "45"},
		{"SELECT VALUE AVG(c.id) FROM c", pk("1"), nil, 0, ""},
		{"SELECT VALUE COUNT(1)", pk("1"), nil, 1, "1"},
		{"SELECT 1", pk("1"), nil, 1, `{"$1":1}`},
		{"SELECT VALUE @a", everywhere, parameters("@a", []int{1, 2}), 1, "[1,2]"},
		{"SELECT VALUE 1 WHERE false", pk("1"), nil, 0, ""},
		{"SELECT TOP 1 VALUE c.id FROM c WHERE c.id LIKE '[4-6]' ORDER BY c.id DESC -- the last", pk("1"), nil, 1, `"6"`},
		{`SELECT VALUE c["id"] FROM c WHERE (c.missing ?? c.id) = '3' ? true : false`, pk("1"), nil, 1, `"3"`},
	} {
		rows, _, err := r.query(test.query, test.key, test.o)
		if err != nil || len(rows) != test.rows || test.first != "" && rows[0] != test.first {
			t.Errorf("%s: got %v, want %d rows, first %s: %v", test.query, rows, test.rows, test.first, err)
		}
	}
}

func TestIndexMetrics(t *testing.T) {
	r := newRig(t)
	for _, wanted := range []bool{false, true} {
		o := &azcosmos.QueryOptions{PopulateIndexMetrics: wanted}
		page, err := r.items.NewQueryItemsPager("SELECT * FROM c WHERE c.a.b = 1 AND c.d > 2 AND c.d < 4", pk("p"), o).NextPage(t.Context())
		if err != nil || (page.IndexMetrics != nil) != wanted || page.QueryMetrics == nil {
			t.Fatalf("wanted %t: got %v and %v, %v", wanted, page.IndexMetrics, page.QueryMetrics, err)
		}
		if !wanted {
			continue
		}
		text, err := base64.StdEncoding.DecodeString(*page.IndexMetrics)
		if err != nil {
			t.Fatal(err)
		}
		var specs []string
		for _, index := range r.object(text)["UtilizedSingleIndexes"].([]any) {
			specs = append(specs, index.(map[string]any)["IndexSpec"].(string))
		}
		if want := []string{"/a/b/?", "/d/?"}; !slices.Equal(specs, want) || len(r.object(text)["PotentialSingleIndexes"].([]any)) != 0 {
			t.Errorf("got %s, want %v", text, want)
		}
	}
}

// TestIndexMetricsForJavaScript asks by the other header, and decodes the reply as
// that SDK does.
func TestIndexMetricsForJavaScript(t *testing.T) {
	r := newRig(t)
	got := r.raw(http.MethodPost, "/dbs/db/colls/items/docs", `{"query":"SELECT * FROM c WHERE c[\"a%b\"] = 1"}`, "x-ms-documentdb-isquery", "true",
		"x-ms-documentdb-partitionkey", `["p"]`, "x-ms-cosmos-populateindexmetrics-V2", "true")
	text, err := url.PathUnescape(got.Header.Get("x-ms-cosmos-index-utilization"))
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]any{"SingleIndexes": []any{map[string]any{"IndexSpec": "/a%b/?"}}, "CompositeIndexes": []any{}}
	if metrics := r.object([]byte(text)); !reflect.DeepEqual(metrics["UtilizedIndexes"], any(want)) {
		t.Errorf("got %s", text)
	}
}

func (r *rig) plan(query string, headers ...string) (status int, body map[string]any) {
	r.Helper()
	sent, err := json.Marshal(map[string]string{"query": query})
	if err != nil {
		r.Fatal(err)
	}
	got := r.raw(http.MethodPost, "/dbs/db/colls/"+r.items.ID()+"/docs", string(sent), append([]string{
		"Content-Type", "application/query+json", "x-ms-documentdb-isquery", "true", "x-ms-cosmos-is-query-plan-request", "True",
	}, headers...)...)
	text, err := io.ReadAll(got.Body)
	if err != nil {
		r.Fatal(err)
	}
	return got.StatusCode, r.object(text)
}

func TestQueryPlan(t *testing.T) {
	r := newRig(t)
	position := epk.Of("p")
	everything := map[string]any{"min": "", "max": "FF", "isMinInclusive": true, "isMaxInclusive": false}
	point := map[string]any{"min": position, "max": position, "isMinInclusive": true, "isMaxInclusive": true}
	for _, test := range []struct {
		query   string
		headers []string
		ranges  map[string]any
	}{
		{"SELECT * FROM c", nil, everything},
		{"SELECT * FROM c ORDER BY c.n", nil, everything},
		{"SELECT * FROM c WHERE c.pk = 'p' ORDER BY c.n", nil, point},
		{"SELECT VALUE COUNT(1) FROM c", []string{"x-ms-documentdb-partitionkey", `["p"]`}, point},
	} {
		status, plan := r.plan(test.query, test.headers...)
		if status != http.StatusOK || plan["partitionedQueryExecutionInfoVersion"] != 2.0 || !reflect.DeepEqual(plan["queryRanges"], []any{test.ranges}) {
			t.Errorf("%s: %d, %v", test.query, status, plan)
		}
		rewritten := plan["queryInfo"].(map[string]any)["rewrittenQuery"].(string)
		if (rewritten == "") != (test.query == "SELECT * FROM c") {
			t.Errorf("%s: rewritten to %q", test.query, rewritten)
		}
	}
	for _, query := range []string{"SELECT", "SELECT VALUE 1 + COUNT(1) FROM c", "SELECT * FROM c GROUP BY c.n"} {
		if status, body := r.plan(query); status != http.StatusBadRequest || body["code"] != "BadRequest" || body["message"] == "" {
			t.Errorf("%s: %d, %v", query, status, body)
		}
	}
}

// TestQueryPlanRanges finds where to ask in a container with two levels of keys.
func TestQueryPlanRanges(t *testing.T) {
	r := newRigOfLevels(t)
	prefix, whole := epk.Of("x"), epk.V2(epk.String("x"), epk.Number(1))
	for _, test := range []struct {
		query    string
		key      string
		min, max string
	}{
		{"SELECT * FROM c WHERE c.a = 'x' AND 1 = c.b", "", whole, whole},
		{"SELECT * FROM c", `["x",1]`, whole, whole},
		{"SELECT * FROM c", `["x"]`, prefix, prefix + "FF"},
		{"SELECT * FROM c WHERE c.a = 'x'", "", "", "FF"}, // more than needed
		{"SELECT * FROM c WHERE c.a = 'x' OR c.b = 1", "", "", "FF"},
	} {
		status, plan := r.plan(test.query, "x-ms-documentdb-partitionkey", test.key)
		if status != http.StatusOK {
			t.Fatalf("%s: %d, %v", test.query, status, plan)
		}
		got := plan["queryRanges"].([]any)[0].(map[string]any)
		if got["min"] != test.min || got["max"] != test.max || got["isMaxInclusive"] != (test.max == whole) {
			t.Errorf("%s with %s: got %v", test.query, test.key, got)
		}
	}
	if status, _ := r.plan("SELECT * FROM c", "x-ms-documentdb-partitionkey", "nonsense"); status != http.StatusBadRequest {
		t.Errorf("a malformed key: %d", status)
	}
}

// TestPlanInRefusal follows a client that learns from the refusal how to ask the
// range itself.
func TestPlanInRefusal(t *testing.T) {
	r := newRig(t)
	r.fill(3)
	_, _, err := r.query("SELECT * FROM c WHERE c.n < 3 ORDER BY c.n DESC", everywhere, nil)
	r.refused(err, http.StatusBadRequest, "1004")
	var response *azcore.ResponseError
	if !errors.As(err, &response) {
		t.Fatal(err)
	}
	body, err := io.ReadAll(response.RawResponse.Body)
	if err != nil {
		t.Fatal(err)
	}
	_, planned := r.plan("SELECT * FROM c WHERE c.n < 3 ORDER BY c.n DESC")
	learned := r.object([]byte(r.object(body)["additionalErrorInfo"].(string)))
	if !reflect.DeepEqual(learned, planned) {
		t.Fatalf("learned %v, planned %v", learned, planned)
	}
	rewritten := learned["queryInfo"].(map[string]any)["rewrittenQuery"].(string)
	sent, err := json.Marshal(map[string]string{"query": strings.ReplaceAll(rewritten, "{documentdb-formattableorderbyquery-filter}", "true")})
	if err != nil {
		t.Fatal(err)
	}
	got := r.raw(http.MethodPost, "/dbs/db/colls/items/docs", string(sent), "x-ms-documentdb-query", "True",
		"x-ms-documentdb-partitionkeyrangeid", "0")
	body, err = io.ReadAll(got.Body)
	if err != nil {
		t.Fatal(err)
	}
	var rows []string
	for _, row := range r.object(body)["Documents"].([]any) {
		row := row.(map[string]any)
		item := row["orderByItems"].([]any)[0].(map[string]any)["item"]
		payload := row["payload"].(map[string]any)
		rows = append(rows, fmt.Sprintf("%v %v %t", payload["id"], item, row["_rid"] == payload["_rid"]))
	}
	if want := []string{"01 2 true", "other 1 true", "02 1 true"}; !slices.Equal(rows, want) {
		t.Errorf("got %q, want %q", rows, want)
	}
}
