package processor

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
)

func TestWatermarkPassesOnOnlyWhatIsHandled(t *testing.T) {
	t.Parallel()
	var stored []string
	w := watermark{store: func(c string) { stored = append(stored, c) }}
	one := w.begin("1", 2)
	two := w.begin("2", 1)
	w.begin("3", 0)
	w.handled(two)
	w.handled(one)
	if len(stored) != 0 {
		t.Fatalf("stored %q while an item of the first page is open", stored)
	}
	w.handled(one)
	if !slices.Equal(stored, []string{"3"}) {
		t.Fatalf("stored %q, want the last handled position alone", stored)
	}
	w.begin("4", 0)
	if !slices.Equal(stored, []string{"3", "4"}) {
		t.Fatalf("stored %q, want an empty page passed on at once", stored)
	}
	five := w.begin("5", 1)
	for n := range 1000 {
		w.begin(fmt.Sprint(6+n), 0)
	}
	if len(w.pages) != 1 {
		t.Fatalf("%d pages are kept for one that is open", len(w.pages))
	}
	w.handled(five)
	if got := stored[len(stored)-1]; got != "1005" {
		t.Fatalf("stored %q, want the newest position once the open page is handled", got)
	}
}

// TestWatermarkKeepsFewPages has one item that is tried for ever, and many pages
// behind it.
func TestWatermarkKeepsFewPages(t *testing.T) {
	t.Parallel()
	var stored []string
	w := watermark{store: func(c string) { stored = append(stored, c) }}
	stuck := w.begin("0", 1)
	var late *openPage
	for n := 1; n <= 100000; n++ {
		p := w.begin(fmt.Sprint(n), 1)
		if n == 50000 {
			late = p
			continue
		}
		w.handled(p)
	}
	if len(w.pages) > 200 || len(stored) > 0 {
		t.Fatalf("%d pages are kept, stored %q", len(w.pages), stored)
	}
	w.handled(stuck)
	w.handled(late)
	if !slices.Equal(stored, []string{"49999", "100000"}) {
		t.Errorf("stored %q", stored)
	}
}

// FuzzWatermark handles items in any order: a position passed on never moves
// back and never passes an open item.
func FuzzWatermark(f *testing.F) {
	f.Add(uint64(1), uint8(20))
	f.Fuzz(func(t *testing.T, seed uint64, pages uint8) {
		rng := rand.New(rand.NewPCG(seed, 0))
		position := 0
		w := watermark{store: func(c string) {
			var n int
			if _, err := fmt.Sscan(c, &n); err != nil || n <= position {
				t.Errorf("stored %q after %d", c, position)
			}
			position = n
		}}
		type item struct {
			page *openPage
			n    int
		}
		var open []item
		for n := 1; n <= int(pages); n++ {
			items := rng.IntN(4)
			p := w.begin(fmt.Sprint(n), items)
			for range items {
				open = append(open, item{p, n})
			}
			for len(open) > 0 && (rng.IntN(2) == 0 || n == int(pages)) {
				i := rng.IntN(len(open))
				it := open[i]
				open = slices.Delete(open, i, i+1)
				w.handled(it.page)
				for _, o := range open {
					if position >= o.n {
						t.Fatalf("position %d passes an open item of page %d", position, o.n)
					}
				}
			}
		}
		if position != int(pages) {
			t.Errorf("all handled, position %d of %d", position, pages)
		}
	})
}
