package conformance

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// split cuts a range in two, where the account does so on command.
func (c *container) split(id string) {
	c.Helper()
	if account.admin == "" {
		c.Skip("no -admin: the account cannot be told to split a range")
	}
	body, err := json.Marshal(map[string]string{"database": account.database, "container": c.name, "range": id})
	if err != nil {
		c.Fatal(err)
	}
	req, err := http.NewRequestWithContext(c.Context(), http.MethodPost, account.admin+"/split", strings.NewReader(string(body)))
	if err != nil {
		c.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	response, err := account.transport.RoundTrip(req)
	if err != nil {
		c.Fatal(err)
	}
	defer response.Body.Close()
	if response.StatusCode >= 300 {
		c.Fatalf("POST %s/split: status %d", account.admin, response.StatusCode)
	}
}

// spread writes items to 20 logical partitions, so that both halves get some.
func (c *container) spread(l *ledger, from, to int) {
	c.Helper()
	for n := from; n < to; n++ {
		i := item{ID: strconv.Itoa(n), PK: fmt.Sprintf("p%d", n%20), N: n + 1}
		c.put(i)
		l.wrote(i)
	}
}

func TestSplitWhileAzcosmosReads(t *testing.T) {
	t.Parallel()
	c, l := newContainer(t), newLedger(t)
	c.spread(l, 0, 60)
	feed := follower{container: c}
	feed.options.MaxItemCount = 7
	l.saw(feed.page())
	l.saw(feed.page())
	c.split(c.rangeIDs()[0])
	l.saw(feed.page())
	c.spread(l, 40, 80) // some again, some new
	l.saw(feed.drain())
	l.settle(80)
}

// A position in the parent is one in both children: nothing is lost, nothing
// comes twice. The ranges that are listed cover the key space, without the
// parent; a reader of the parent is told that it is gone.
func TestSplitWhileRawETagsAreRead(t *testing.T) {
	t.Parallel()
	c, l := newContainer(t), newLedger(t)
	c.spread(l, 0, 60)
	old := c.rangeIDs()[0]
	parent := c.readRange(old)
	for range 3 {
		items, _ := parent.page(7)
		l.saw(items)
	}
	c.split(old)
	ranges := c.ranges()
	covers(t, ranges)
	if got := parent.send(7); got.status != http.StatusGone || got.substatus != "1002" {
		t.Errorf("the parent answers %v, want 410/1002", got)
	}
	c.spread(l, 40, 80)
	children := 0
	for _, r := range ranges {
		if r.ID == old {
			t.Errorf("the parent is still listed: %+v", ranges)
		}
		child := c.readRange(r.ID)
		if slices.Contains(r.Parents, old) {
			child.from = parent.from
			children++
		}
		items := child.drain(7)
		if len(items) == 0 {
			t.Errorf("range %s brings nothing", r.ID)
		}
		l.saw(items)
	}
	if children != 2 {
		t.Errorf("%d ranges name the parent: %+v", children, ranges)
	}
	l.settle(80)
}

// Requests about items are not disturbed: the gateway finds their range.
func TestSplitDoesNotDisturbItems(t *testing.T) {
	t.Parallel()
	c, l := newContainer(t), newLedger(t)
	c.spread(l, 0, 20)
	before := map[string]string{}
	for n := range 20 {
		before[strconv.Itoa(n)] = c.read(fmt.Sprintf("p%d", n), strconv.Itoa(n)).etag()
	}
	c.split(c.rangeIDs()[0])
	for n := range 20 {
		pk, id := fmt.Sprintf("p%d", n), strconv.Itoa(n)
		if got := c.read(pk, id); got.status != http.StatusOK || got.etag() != before[id] {
			t.Errorf("read %s: %v", id, got)
		}
		if got := c.send(http.MethodPut, "docs/"+id, string(item{ID: id, PK: pk, N: 100}.json()), headerKey, key(pk), "If-Match", before[id]); got.status != http.StatusOK {
			t.Errorf("replace %s: %v", id, got)
		}
	}
}
