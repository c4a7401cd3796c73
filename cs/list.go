package cs

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
)

// maxPages bounds a list: 10,000 items where a page has 100, as CS has it.
const maxPages = 100

// byID keeps items from moving between pages; the order is undefined otherwise.
const byID = "id asc"

// A list that Cluster Service gave, but that cannot be the whole.
var (
	errNoItems  = errors.New("reply is not a list")
	errNameless = errors.New("item has no id")
	errMoved    = errors.New("list changed while it was read")
	errRepeats  = errors.New("page has only what earlier pages had")
	errShort    = errors.New("list ends before its total")
	errEndless  = fmt.Errorf("list has more than %d pages", maxPages)
)

// list reads a list to its end. It is complete or an error: one on any page is
// that of the whole. read makes of an item what is returned of it; an item whose
// id has come before replaces the earlier one.
func list[T interface{ ID() string }, U any](
	ctx context.Context, c *Client, kind Kind, path string,
	fetch func(ctx context.Context, page int) listed[T],
	read func(T) (U, error),
) ([]U, error) {
	all := pages[U]{at: map[string]int{}}
	for page := 1; page <= maxPages; page++ {
		var end bool
		err := c.get(ctx, kind, fmt.Sprintf("%s?page=%d", path, page), func(ctx context.Context) reply {
			got := fetch(ctx, page)
			if got.err == nil && got.flaw == nil {
				end, got.flaw = add(&all, got, read)
			}
			return got.reply
		})
		if err != nil {
			return nil, err
		}
		if end {
			return all.items, nil
		}
	}
	return nil, fmt.Errorf("get %s: %w", path, errEndless)
}

// listed is one page as the SDK read it.
type listed[T any] struct {
	reply
	items    []T
	total    int
	hasTotal bool
}

// pageOf takes the page out of what the SDK returned.
func pageOf[L interface{ Slice() []T }, T any](resp interface {
	Status() int
	GetItems() (L, bool)
	GetTotal() (int, bool)
}, err error) listed[T] {
	items, hasItems := resp.GetItems()
	total, hasTotal := resp.GetTotal()
	page := listed[T]{total: total, hasTotal: hasTotal}
	page.reply = reply{status: resp.Status(), body: hasItems || hasTotal, err: brief(err)}
	if hasItems {
		page.items = items.Slice()
	} else {
		page.flaw = errNoItems
	}
	return page
}

// brief takes the query out of a network error: a search has a hundred ids in it.
func brief(err error) error {
	var network *url.Error
	if errors.As(err, &network) {
		network.URL, _, _ = strings.Cut(network.URL, "?")
	}
	return err
}

// pages is what was read of a list so far.
type pages[U any] struct {
	items []U
	at    map[string]int // where in items an id is, lower-cased
	// total is what the first page said. counted is what is held against it:
	// what was on a page twice counts twice, what was on an earlier page does not.
	started  bool
	total    int
	hasTotal bool
	counted  int
}

// add takes in one page, and reports whether it was the last one. The total ends
// a list if it fits; if it does not, only an empty page does.
func add[T interface{ ID() string }, U any](p *pages[U], page listed[T], read func(T) (U, error)) (end bool, err error) {
	if p.started && (page.total != p.total || page.hasTotal != p.hasTotal) {
		return false, errMoved
	}
	p.started, p.total, p.hasTotal = true, page.total, page.hasTotal

	before, counted := len(p.items), p.counted
	for _, item := range page.items {
		id := strings.ToLower(item.ID())
		if id == "" {
			return false, errNameless
		}
		value, err := read(item)
		if err != nil {
			return false, err
		}
		at, known := p.at[id]
		if !known {
			at = len(p.items)
			p.at[id], p.items = at, append(p.items, value)
		}
		p.items[at] = value
		if at >= before {
			p.counted++
		}
	}
	switch {
	case p.hasTotal && p.counted == p.total:
		return true, nil
	case len(page.items) == 0 && p.hasTotal && p.counted < p.total:
		return false, fmt.Errorf("%w: %d of %d", errShort, p.counted, p.total)
	case len(page.items) > 0 && p.counted == counted:
		return false, errRepeats
	}
	return len(page.items) == 0, nil
}
