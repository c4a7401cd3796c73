package processor

import (
	"encoding/json"
	"fmt"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/data/azcosmos"

	"opfeed/internal/cosmosemu"
	"opfeed/internal/inproc"
	"opfeed/processor/feed"
)

// TestKeysLieInTheRangeThatDelivers reads a container of eight ranges: what range a
// partition lies in is what range brings its documents.
func TestKeysLieInTheRangeThatDelivers(t *testing.T) {
	t.Parallel()
	for name, definition := range map[string]azcosmos.PartitionKeyDefinition{
		"one":   {Paths: []string{"/pk"}, Kind: azcosmos.PartitionKeyKindHash, Version: 2},
		"multi": {Paths: []string{"/pk", "/a/b"}, Kind: azcosmos.PartitionKeyKindMultiHash, Version: 2},
		"first": {Paths: []string{"/pk"}, Kind: azcosmos.PartitionKeyKindHash, Version: 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				c := keyed(t, "http://keys-"+name+".cosmos.test", definition)
				k, err := newKeys(&definition, true)
				if err != nil {
					t.Fatal(err)
				}
				for i, value := range []string{``, `,"pk":null`, `,"pk":true`, `,"pk":false`, `,"pk":""`, `,"pk":"\u0000"`, `,"pk":0`, `,"pk":-1e-7`,
					`,"pk":"a"`, `,"pk":"b"`, `,"pk":"ä"`, `,"pk":"😀"`, `,"pk":1`, `,"pk":2`, `,"pk":3`, `,"pk":4`, `,"pk":"c","a":{"b":7}`} {
					document := fmt.Sprintf(`{"id":"d%d"%s}`, i, value)
					var fields map[string]json.RawMessage
					if err := json.Unmarshal([]byte(document), &fields); err != nil {
						t.Fatal(err)
					}
					header, err := k.of(fields)
					if err != nil {
						t.Fatal(err)
					}
					ctx := policy.WithHTTPHeader(t.Context(), http.Header{"X-Ms-Documentdb-Partitionkey": {header}})
					if _, err := c.CreateItem(ctx, azcosmos.NewPartitionKeyString(""), []byte(document), nil); err != nil {
						t.Errorf("the account does not take %s for %s: %v", header, document, err)
					}
				}
				reader := feed.NewReader(c, 100, time.Minute)
				ranges, err := reader.Ranges(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				seen, busy := 0, 0
				for _, own := range ranges {
					page, err := reader.Read(t.Context(), own, "")
					if err != nil {
						t.Fatal(err)
					}
					busy += min(1, len(page.Items))
					for _, item := range page.Items {
						seen++
						route := each{keys: k}.route(item.Document)
						for _, r := range ranges {
							if got := k.within(r, route.Key.Partition); got != (r == own) {
								t.Errorf("%s came from %v, and is within %v: %t", route.Key.Partition, own, r, got)
							}
						}
					}
				}
				if seen != 17 || busy < 4 && definition.Version == 2 {
					t.Errorf("%d documents in %d ranges of %d", seen, busy, len(ranges))
				}
			})
		})
	}
}

func keyed(t *testing.T, host string, definition azcosmos.PartitionKeyDefinition) *azcosmos.ContainerClient {
	t.Helper()
	credential, err := azcosmos.NewKeyCredential(cosmosemu.WellKnownKey)
	if err != nil {
		t.Fatal(err)
	}
	options := &azcosmos.ClientOptions{}
	options.Transport = inproc.New(cosmosemu.New(cosmosemu.Options{}))
	client, err := azcosmos.NewClientWithKey(host, credential, options)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := client.CreateDatabase(t.Context(), azcosmos.DatabaseProperties{ID: "db"}, nil); err != nil {
		t.Fatal(err)
	}
	database, err := client.NewDatabase("db")
	if err != nil {
		t.Fatal(err)
	}
	throughput := azcosmos.NewManualThroughputProperties(80000)
	if _, err := database.CreateContainer(t.Context(), azcosmos.ContainerProperties{ID: "c", PartitionKeyDefinition: definition},
		&azcosmos.CreateContainerOptions{ThroughputProperties: &throughput}); err != nil {
		t.Fatal(err)
	}
	c, err := database.NewContainer("c")
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// TestKeysThatAreNone: hostile documents and definitions.
func TestKeysThatAreNone(t *testing.T) {
	t.Parallel()
	one := keys{paths: [][]string{{"a", "b"}}, array: true}
	for document, want := range map[string]string{
		`{"id":"x","a":{"b":{}}}`:                   "poison",
		`{"id":"x","a":{"b":[1]}}`:                  "poison",
		`{"id":"x","a":{"b":1e999}}`:                "poison",
		`{"id":"","a":{"b":1}}`:                     "poison",
		`{"ID":"x","a":{"b":1}}`:                    "poison",
		`{"id":7,"a":{"b":1}}`:                      "poison",
		`[]`:                                        "poison",
		`null`:                                      "poison",
		`{"id":"x"`:                                 "poison",
		"{\"id\":\"x\",\"a\":{\"b\":\"\xff\"}}":     "poison",
		`{"id":"x","a":"b"}`:                        `[{}]`,
		`{"id":"x","a":null}`:                       `[{}]`,
		`{"id":"x","a":{"b":"\ud800"}}`:             `["\ud800"]`,
		`{"id":"x","a":{"b":"\udc00"}}`:             `["\udc00"]`,
		`{"id":"x","a":{"b":"\u0041\u2028\u007f"}}`: `["A\u2028\u007f"]`,
		`{"id":"x","a":{"b":-0}}`:                   `[0]`,
		`{"id":"x","a":{"b":10E1}}`:                 `[100]`,
	} {
		route := each{keys: one}.route([]byte(document))
		got := route.Key.Partition
		if route.Action == Poison {
			got = "poison"
		}
		if got != want {
			t.Errorf("%s: %s %q, want %s", document, got, route.Reason, want)
		}
	}
	// What cannot be placed is everybody's: to do it twice is better than not to do it.
	for _, partition := range []string{`["\ud800"]`, `[]`, `x`, ``, `[{"a":1}]`} {
		for _, r := range []azcosmos.FeedRange{{MaxExclusive: "20"}, {MinInclusive: "20", MaxExclusive: "FF"}} {
			if !one.within(r, partition) {
				t.Errorf("%q is not in %v", partition, r)
			}
		}
	}
	for _, d := range []azcosmos.PartitionKeyDefinition{
		{}, {Kind: "Range", Paths: []string{"/a"}, Version: 2}, {Kind: "Hash", Paths: []string{"/a"}, Version: 3},
		{Kind: "Hash", Paths: []string{"/a", "/b"}, Version: 2}, {Kind: "MultiHash", Paths: []string{"/a"}, Version: 1},
		{Kind: "Hash", Paths: []string{"a"}, Version: 2}, {Kind: "Hash", Paths: []string{""}, Version: 2},
	} {
		if _, err := newKeys(&d, true); err == nil {
			t.Errorf("%+v is taken", d)
		}
	}
}

func TestDatabaseOfAContainer(t *testing.T) {
	t.Parallel()
	for container, want := range map[string]string{"V4lVAMl0wuQ=": "V4lVAA==", "-4lVAMl0wuQ=": "-4lVAA==", "V4lVAA==": "", "../..": "", "": ""} {
		if got, err := databaseOf(container); got != want || (err == nil) != (want != "") {
			t.Errorf("database of %s: %s, %v", container, got, err)
		}
	}
}
