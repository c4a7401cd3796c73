package conformance

import (
	"net/http"
	"strings"
	"testing"
)

// keyRange is a physical partition as pkranges shows it.
type keyRange struct {
	ID      string   `json:"id"`
	Min     string   `json:"minInclusive"`
	Max     string   `json:"maxExclusive"`
	Parents []string `json:"parents"`
}

func (c *container) ranges() []keyRange {
	c.Helper()
	got := c.send(http.MethodGet, "pkranges", "")
	if got.status != http.StatusOK {
		c.Fatalf("read pkranges: %v", got)
	}
	return decode[struct{ PartitionKeyRanges []keyRange }](c, got.body).PartitionKeyRanges
}

func (c *container) rangeIDs() []string {
	c.Helper()
	var list []string
	for _, r := range c.ranges() {
		list = append(list, r.ID)
	}
	return list
}

// covers checks that ranges, in any order, cover the key space without gaps.
func covers(t *testing.T, ranges []keyRange) {
	t.Helper()
	next := map[string]keyRange{}
	for _, r := range ranges {
		next[r.Min] = r
	}
	at := ""
	for range ranges {
		r, ok := next[at]
		if !ok || r.ID == "" {
			t.Fatalf("no range begins at %q in %+v", at, ranges)
		}
		at = r.Max
	}
	if at != "FF" || len(next) != len(ranges) {
		t.Errorf("the ranges end at %q: %+v", at, ranges)
	}
}

func TestRangesCoverTheKeySpaceOnce(t *testing.T) {
	t.Parallel()
	covers(t, newContainer(t).ranges())
}

// azcosmos asks page by page, and ends when it gets 304.
func TestRangesAreNotSentTwice(t *testing.T) {
	t.Parallel()
	c := newContainer(t)
	ask := func(etag string) reply {
		headers := []string{"A-IM", "Incremental Feed", "x-ms-max-item-count", "-1"}
		if etag != "" {
			headers = append(headers, "If-None-Match", etag)
		}
		return c.send(http.MethodGet, "pkranges", "", headers...)
	}
	first := ask("")
	if first.status != http.StatusOK || first.etag() == "" {
		t.Fatalf("first: %v, etag %q", first, first.etag())
	}
	for range 2 {
		if again := ask(first.etag()); again.status != http.StatusNotModified || len(again.body) > 0 {
			t.Errorf("again: %v", again)
		}
	}
}

// Whether a range that never was is answered like one that is gone is not
// documented; .NET's and Java's clients treat every such answer as gone.
func TestFeedOfAnUnknownRangeIsGone(t *testing.T) {
	t.Parallel()
	c := newContainer(t)
	got := c.readRange("987654").send(10)
	if got.status != http.StatusGone || got.substatus != "1002" {
		t.Errorf("got %v, want 410/1002", got)
	}
}

func TestWorkOnAnAbsentContainerIsNotFound(t *testing.T) {
	t.Parallel()
	c := newContainer(t)
	c.name = strings.Repeat("x", 20)
	for _, got := range []reply{c.read("p", "a"), c.sendCreate("p", `{"id":"a","pk":"p"}`), c.send(http.MethodGet, "pkranges", "")} {
		if got.status != http.StatusNotFound {
			t.Errorf("got %v, want 404", got)
		}
	}
}
