package conformance

import (
	"fmt"
	"net/http"
	"slices"
	"testing"

	"github.com/Azure/azure-sdk-for-go/sdk/data/azcosmos"
)

func newHierarchical(t *testing.T) *container {
	t.Helper()
	ttl := int32(-1)
	return newContainerWith(t, azcosmos.ContainerProperties{
		PartitionKeyDefinition: azcosmos.PartitionKeyDefinition{
			Paths: []string{"/tenant", "/user"}, Kind: azcosmos.PartitionKeyKindMultiHash, Version: 2,
		},
		DefaultTimeToLive: &ttl,
	})
}

// place stores an item in a hierarchical partition.
func (c *container) place(tenant, user, id string) {
	c.Helper()
	body := fmt.Appendf(nil, `{"id":%q,"tenant":%q,"user":%q}`, id, tenant, user)
	pk := azcosmos.NewPartitionKeyString(tenant).AppendString(user)
	if _, err := c.items.CreateItem(c.Context(), pk, body, nil); err != nil {
		c.Fatalf("create %s: %v", body, err)
	}
}

// query returns one string for each item, in the order of the pages.
func (c *container) query(text string, pk azcosmos.PartitionKey) []string {
	c.Helper()
	var rows []string
	for pager := c.items.NewQueryItemsPager(text, pk, nil); pager.More(); {
		page, err := pager.NextPage(c.Context())
		if err != nil {
			c.Fatalf("query %s: %v", text, err)
		}
		for _, row := range page.Items {
			rows = append(rows, decode[string](c, row))
		}
	}
	return rows
}

func TestHierarchicalKeys(t *testing.T) {
	t.Parallel()
	c := newHierarchical(t)
	c.place("t1", "a", "1")
	c.place("t1", "b", "1") // the same id, elsewhere
	c.place("t1", "b", "2")
	c.place("t2", "a", "1")
	for _, pk := range [][]string{{"t1", "a"}, {"t1", "b"}, {"t2", "a"}} {
		got := c.send(http.MethodGet, "docs/1", "", headerKey, key(pk...))
		if got.status != http.StatusOK {
			t.Fatalf("read 1 of %v: %v", pk, got)
		}
		stored := decode[struct{ Tenant, User string }](t, got.body)
		if stored.Tenant != pk[0] || stored.User != pk[1] {
			t.Errorf("read 1 of %v: %v", pk, got)
		}
	}
	if got := c.send(http.MethodGet, "docs/2", "", headerKey, key("t1", "a")); got.status != http.StatusNotFound {
		t.Errorf("read 2 of t1/a: got %v, want 404", got)
	}
	full := azcosmos.NewPartitionKeyString("t1").AppendString("b")
	if got := c.query("SELECT VALUE c.id FROM c ORDER BY c.id", full); !slices.Equal(got, []string{"1", "2"}) {
		t.Errorf("query of t1/b: got %q", got)
	}
	rows := c.query("SELECT VALUE CONCAT(c.user, c.id) FROM c WHERE c.tenant = 't1'", azcosmos.NewPartitionKey())
	if slices.Sort(rows); !slices.Equal(rows, []string{"a1", "b1", "b2"}) {
		t.Errorf("query of t1: got %q", rows)
	}
}

func TestFeedOfAHierarchicalKey(t *testing.T) {
	t.Parallel()
	c := newHierarchical(t)
	feed := &reader{container: c, scope: []string{headerKey, key("t1", "b")}}
	c.place("t1", "a", "1")
	c.place("t1", "b", "2")
	c.place("t2", "b", "3")
	feed.wants("2")
	c.place("t1", "b", "4")
	feed.wants("4")
}

// Without a whole key an item has no place.
func TestKeysThatDoNotFit(t *testing.T) {
	t.Parallel()
	c := newContainer(t)
	const body = `{"id":"a","pk":"p"}`
	for name, got := range map[string]reply{
		"another key than the item's": c.sendCreate("q", body),
		"no key":                      c.send(http.MethodPost, "docs", body),
		"two levels":                  c.send(http.MethodPost, "docs", body, headerKey, key("p", "q")),
	} {
		if got.status != http.StatusBadRequest {
			t.Errorf("%s: got %v, want 400", name, got)
		}
	}
	c.readKey("p").wants()
}

func TestKeysOfEveryKind(t *testing.T) {
	t.Parallel()
	c := newContainer(t)
	for _, pk := range []string{`"p"`, `""`, `"ä €"`, `"quote\" slash/ back\\"`, "null", "true", "false", "0", "-1.5", "1e300"} {
		header := "[" + pk + "]"
		if pk == `"ä €"` {
			header = `["\u00e4 \u20ac"]` // headers are ASCII
		}
		got := c.send(http.MethodPost, "docs", `{"id":"a","pk":`+pk+`}`, headerKey, header)
		if got.status != http.StatusCreated {
			t.Errorf("create with key %s: %v", pk, got)
			continue
		}
		if got := c.send(http.MethodGet, "docs/a", "", headerKey, header); got.status != http.StatusOK {
			t.Errorf("read with key %s: %v", pk, got)
		}
	}
	count := 0
	for _, id := range c.rangeIDs() {
		got := c.readRange(id).send(100)
		if got.status == http.StatusOK {
			count += decode[struct {
				Count int `json:"_count"`
			}](t, got.body).Count
		}
	}
	if count != 10 {
		t.Errorf("the feed brings %d items of 10 keys", count)
	}
}
