package conformance

import (
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/data/azcosmos"
)

// The account's clock decides, so these tests wait for real.

func (c *container) awaitExpiry(pk, id string) {
	c.Helper()
	c.eventually(id+" is still there", func() bool { return c.read(pk, id).status == http.StatusNotFound })
}

func TestFeedHasNoEventForAnExpiry(t *testing.T) {
	t.Parallel()
	c := newContainer(t)
	c.put(item{ID: "stays", PK: "p"})
	c.put(item{ID: "expires", PK: "p"})
	feed := c.readKey("p")
	feed.wants("stays", "expires")
	c.put(item{ID: "expires", PK: "p", TTL: 2})
	feed.drain(100) // on a slow machine it has expired by now
	c.awaitExpiry("p", "expires")
	feed.wants()
	c.readKey("p").wants("stays")
	c.put(item{ID: "next", PK: "p"})
	feed.wants("next")
}

func TestIDCanBeUsedAgainAfterExpiry(t *testing.T) {
	t.Parallel()
	c := newContainer(t)
	c.put(item{ID: "a", PK: "p", TTL: 2})
	feed := c.readKey("p")
	feed.drain(100) // on a slow machine it has expired by now
	c.awaitExpiry("p", "a")
	for method, body := range map[string]string{
		http.MethodPut:    `{"id":"a","pk":"p"}`,
		http.MethodPatch:  `{"operations":[{"op":"set","path":"/n","value":1}]}`,
		http.MethodDelete: "",
	} {
		if got := c.send(method, "docs/a", body, headerKey, key("p")); got.status != http.StatusNotFound {
			t.Errorf("%s of what has expired: got %v, want 404", method, got)
		}
	}
	c.create("p", `{"id":"a","pk":"p","n":2}`)
	feed.wants("a")
}

// The item must be there after its first time to live, and well before the end
// of its second, by the account's clock.
func TestAWriteRestartsTheTimeToLive(t *testing.T) {
	t.Parallel()
	c := newContainer(t)
	const ttl = 4
	i := item{ID: "a", PK: "p", TTL: ttl}
	first := c.put(i)
	c.pause(2100 * time.Millisecond)
	replaced := c.send(http.MethodPut, "docs/a", string(i.json()), headerKey, key("p"))
	if replaced.status != http.StatusOK {
		t.Fatalf("replace: %v", replaced)
	}
	last, looked := decode[item](t, replaced.body), false
	if last.TS < first.TS+2 {
		t.Fatalf("the second write, 2.1 s after the first, has _ts %d after %d", last.TS, first.TS)
	}
	c.eventually("the time does not pass", func() bool {
		got := c.read("p", "a")
		now, err := http.ParseTime(got.header.Get("Date"))
		if err != nil {
			t.Fatal(err)
		}
		late := now.Unix() > last.TS+ttl-2
		if now.Unix() >= first.TS+ttl && !late {
			looked = true
		}
		if !late && got.status != http.StatusOK {
			t.Errorf("written at %d and %d, read at %d: %v", first.TS, last.TS, now.Unix(), got)
		}
		return late
	})
	if !looked && !t.Failed() {
		t.Skip("SKIPPED: this machine was too slow to look within the second that decides")
	}
}

func TestTimeToLiveOfTheContainer(t *testing.T) {
	t.Parallel()
	two := int32(2)
	c := newContainerWith(t, azcosmos.ContainerProperties{
		PartitionKeyDefinition: azcosmos.PartitionKeyDefinition{Paths: []string{"/pk"}, Version: 2},
		DefaultTimeToLive:      &two,
	})
	c.create("p", `{"id":"default","pk":"p"}`)
	c.create("p", `{"id":"never","pk":"p","ttl":-1}`)
	c.create("p", `{"id":"later","pk":"p","ttl":1000}`)
	c.awaitExpiry("p", "default")
	for _, id := range []string{"never", "later"} {
		if got := c.read("p", id); got.status != http.StatusOK {
			t.Errorf("%s: got %v", id, got)
		}
	}
}

func TestTimeToLiveIsOffWithoutADefault(t *testing.T) {
	t.Parallel()
	c := newContainerWith(t, azcosmos.ContainerProperties{
		PartitionKeyDefinition: azcosmos.PartitionKeyDefinition{Paths: []string{"/pk"}, Version: 2},
	})
	c.create("p", `{"id":"a","pk":"p","ttl":1}`)
	c.pause(2100 * time.Millisecond)
	if got := c.read("p", "a"); got.status != http.StatusOK {
		t.Errorf("got %v", got)
	}
}

func TestTimeToLiveIsAPositiveNumberOrMinusOne(t *testing.T) {
	t.Parallel()
	c := newContainer(t)
	for n, test := range []struct {
		ttl    string
		status int
	}{
		{"1000", http.StatusCreated},
		{"2147483647", http.StatusCreated},
		{"-1", http.StatusCreated},
		{"0", http.StatusBadRequest},
		{"-2", http.StatusBadRequest},
		{`"10"`, http.StatusBadRequest},
		{`"soon"`, http.StatusBadRequest},
	} {
		got := c.sendCreate("p", fmt.Sprintf(`{"id":"%d","pk":"p","ttl":%s}`, n, test.ttl))
		if got.status != test.status {
			t.Errorf("ttl %s: got %v, want %d", test.ttl, got, test.status)
		}
	}
}
