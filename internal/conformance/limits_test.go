package conformance

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
)

const megabyte = 1 << 20

// An item of 2 MB is the documented limit. Where exactly the service draws the
// line, with what it adds to an item, is not; so the sizes keep away from it.
// This test does not run beside others: in a cheap account, one large write uses
// up the request units of several seconds.
func TestItemsHaveAtMost2MB(t *testing.T) {
	c := newContainer(t)
	large := strings.Repeat("x", megabyte*19/10)
	c.create("p", `{"id":"large","pk":"p","text":"`+large+`"}`)
	if got := decode[struct{ Text string }](t, c.read("p", "large").body); got.Text != large {
		t.Errorf("%d bytes came back", len(got.Text))
	}
	if got := c.sendCreate("p", `{"id":"too large","pk":"p","text":"`+strings.Repeat("x", megabyte*21/10)+`"}`); got.status != http.StatusRequestEntityTooLarge {
		t.Errorf("too large: got %v, want 413", got)
	}
	c.readKey("p").wants("large")
}

func TestBatchesHaveAtMost2MB(t *testing.T) {
	c := newContainer(t)
	list := make([]string, 3)
	for n := range list {
		list[n] = fmt.Sprintf(`{"operationType":"Create","resourceBody":{"id":"%d","pk":"p","text":"%s"}}`, n, strings.Repeat("x", megabyte*8/10))
	}
	if got := c.sendBatch("[" + strings.Join(list, ",") + "]"); got.status != http.StatusRequestEntityTooLarge {
		t.Errorf("got %v, want 413", got)
	}
	c.readKey("p").wants()
}

func TestIDsHaveAtMost1023Bytes(t *testing.T) {
	t.Parallel()
	c := newContainer(t)
	for _, length := range []int{1, 255, 1023} {
		id := strings.Repeat("i", length)
		c.create("p", `{"id":"`+id+`","pk":"p"}`)
		if got := c.read("p", id); got.status != http.StatusOK {
			t.Errorf("read an id of %d bytes: %v", length, got)
		}
	}
	for _, id := range []string{"", strings.Repeat("i", 1024)} {
		if got := c.sendCreate("p", `{"id":"`+id+`","pk":"p"}`); got.status != http.StatusBadRequest {
			t.Errorf("an id of %d bytes: got %v, want 400", len(id), got)
		}
	}
}

func TestItemsNeedAnID(t *testing.T) {
	t.Parallel()
	c := newContainer(t)
	for _, body := range []string{`{"pk":"p","id":1}`, `["id"]`, `{"id":"a","pk":"p"`, `"a"`} {
		if got := c.sendCreate("p", body); got.status != http.StatusBadRequest {
			t.Errorf("%s: got %v, want 400", body, got)
		}
	}
	c.readKey("p").wants()
}
