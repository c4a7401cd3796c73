package processor

import (
	"cmp"
	"slices"
	"sync"
	"time"

	"opfeed/processor/feed"
)

// watermark finds the position up to which everything was handled. Pages are
// opened in the order in which they were read; a position is passed on only
// when its page and all pages before it are handled. Safe for concurrent use.
type watermark struct {
	mu    sync.Mutex
	pages []*openPage
	kept  int                       // of them after the last thinning
	store func(continuation string) // must not block

	// For the lag: where the feed ended when it was last read, and what of that
	// page is still to come. A page is read a while before it is opened.
	end   int64 // LSN
	known bool  // the page said where it is
	next  int64 // LSN of the first change that is not opened; 0: there is none
	last  int64 // LSN of the last change that was read; 0: the last page was empty

	read time.Time // when the last page was read
}

type openPage struct {
	continuation string
	open         []int64 // LSNs of the items that are not handled, in order
	read         time.Time
}

// saw notes a page that was read, for the lag and the age alone.
func (w *watermark) saw(page feed.Page, now time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.read = now
	w.end, w.known = page.End()
	w.next, w.last = 0, 0
	if n := len(page.Items); n > 0 {
		w.next, w.last = max(1, page.Items[0].LSN), max(1, page.Items[n-1].LSN)
	}
}

// begin opens a page that ends at a position and has items with these LSNs, in
// order, which it keeps. An empty page becomes part of the one before it, if that
// is open.
func (w *watermark) begin(continuation string, lsns []int64) *openPage {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.next = 0
	if open := len(w.pages); len(lsns) == 0 && open > 0 {
		w.pages[open-1].continuation = continuation
		return w.pages[open-1]
	}
	p := &openPage{continuation: continuation, open: lsns, read: w.read}
	w.pages = append(w.pages, p)
	w.advance()
	w.thin()
	return p
}

// thin drops handled pages behind an open one, all but the last of each row of
// them: they may be many while one change is tried again and again. What is left
// is about as much as there are open pages.
func (w *watermark) thin() {
	const few = 100
	if len(w.pages) < few+2*w.kept {
		return
	}
	kept := w.pages[:0]
	for i, p := range w.pages {
		if len(p.open) > 0 || i == len(w.pages)-1 || len(w.pages[i+1].open) > 0 {
			kept = append(kept, p)
		}
	}
	clear(w.pages[len(kept):])
	w.pages, w.kept = kept, len(kept)
}

// handled counts one item of a page as handled, by its LSN.
func (w *watermark) handled(p *openPage, lsn int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if i, open := slices.BinarySearch(p.open, lsn); open {
		p.open = slices.Delete(p.open, i, i+1)
	}
	w.advance()
}

func (w *watermark) advance() {
	last := ""
	for len(w.pages) > 0 && len(w.pages[0].open) == 0 {
		last = w.pages[0].continuation
		w.pages = w.pages[1:]
	}
	if last != "" {
		w.store(last)
	}
}

// lag is how many transactions lie between the first change that is not handled
// and the end of the feed, as of the last read; see feed.Lag. It is not known
// before the first read, and where the service does not say where its feed ends.
func (w *watermark) lag() (transactions int64, known bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	first := w.next
	for _, p := range w.pages {
		if len(p.open) > 0 { // else it waits for one before it
			lsn := max(1, p.open[0])
			first = min(cmp.Or(first, lsn), lsn)
		}
	}
	switch {
	case !w.known:
		return 0, false
	case first > 0:
		return feed.Distance(w.end, first), true
	case w.last > 0: // what lies behind this page the next read will show
		return max(0, w.end-w.last), true
	default:
		return 0, true
	}
}

// oldest is when the oldest page was read that is not handled whole; zero: there
// is none.
func (w *watermark) oldest() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case len(w.pages) > 0: // the first of them is not handled, or it would be gone
		return w.pages[0].read
	case w.next > 0: // read, and not opened yet
		return w.read
	default:
		return time.Time{}
	}
}

func lsnsOf(items []feed.Item) []int64 {
	lsns := make([]int64, len(items))
	for i, item := range items {
		lsns[i] = item.LSN
	}
	return lsns
}
