package processor

import "sync"

// watermark finds the position up to which everything was handled. Pages are
// opened in the order in which they were read; a position is passed on only
// when its page and all pages before it are handled. Safe for concurrent use.
type watermark struct {
	mu    sync.Mutex
	pages []*openPage
	store func(continuation string) // must not block
}

type openPage struct {
	continuation string
	open         int
}

// begin opens a page of n items that ends at a position. An empty page becomes
// part of the one before it, if that is open.
func (w *watermark) begin(continuation string, n int) *openPage {
	w.mu.Lock()
	defer w.mu.Unlock()
	if open := len(w.pages); n == 0 && open > 0 {
		w.pages[open-1].continuation = continuation
		return w.pages[open-1]
	}
	p := &openPage{continuation: continuation, open: n}
	w.pages = append(w.pages, p)
	w.advance()
	return p
}

// handled counts one item of a page as handled.
func (w *watermark) handled(p *openPage) {
	w.mu.Lock()
	defer w.mu.Unlock()
	p.open--
	w.advance()
}

func (w *watermark) advance() {
	last := ""
	for len(w.pages) > 0 && w.pages[0].open == 0 {
		last = w.pages[0].continuation
		w.pages = w.pages[1:]
	}
	if last != "" {
		w.store(last)
	}
}
