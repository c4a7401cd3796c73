package processor

import "sync"

// watermark finds the position up to which everything was handled. Pages are
// opened in the order in which they were read; a position is passed on only
// when its page and all pages before it are handled. Safe for concurrent use.
type watermark struct {
	mu    sync.Mutex
	pages []*openPage
	kept  int                       // of them after the last thinning
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
		if p.open > 0 || i == len(w.pages)-1 || w.pages[i+1].open > 0 {
			kept = append(kept, p)
		}
	}
	clear(w.pages[len(kept):])
	w.pages, w.kept = kept, len(kept)
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
