package processor

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"opfeed/processor/feed"
)

func TestWatermarkPassesOnOnlyWhatIsHandled(t *testing.T) {
	t.Parallel()
	var stored []string
	w := watermark{store: func(c string) { stored = append(stored, c) }}
	one := w.begin("1", []int64{1, 2})
	two := w.begin("2", []int64{3})
	w.begin("3", nil)
	w.handled(two, 3)
	w.handled(one, 2)
	if len(stored) != 0 {
		t.Fatalf("stored %q while an item of the first page is open", stored)
	}
	w.handled(one, 1)
	if !slices.Equal(stored, []string{"3"}) {
		t.Fatalf("stored %q, want the last handled position alone", stored)
	}
	w.begin("4", nil)
	if !slices.Equal(stored, []string{"3", "4"}) {
		t.Fatalf("stored %q, want an empty page passed on at once", stored)
	}
	five := w.begin("5", []int64{5})
	for n := range 1000 {
		w.begin(fmt.Sprint(6+n), nil)
	}
	if len(w.pages) != 1 {
		t.Fatalf("%d pages are kept for one that is open", len(w.pages))
	}
	w.handled(five, 5)
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
	stuck := w.begin("0", []int64{1})
	var late *openPage
	for n := 1; n <= 100000; n++ {
		p := w.begin(fmt.Sprint(n), []int64{int64(n)})
		if n == 50000 {
			late = p
			continue
		}
		w.handled(p, int64(n))
	}
	if len(w.pages) > 200 || len(stored) > 0 {
		t.Fatalf("%d pages are kept, stored %q", len(w.pages), stored)
	}
	w.handled(stuck, 1)
	w.handled(late, 50000)
	if !slices.Equal(stored, []string{"49999", "100000"}) {
		t.Errorf("stored %q", stored)
	}
}

// TestWatermarkKnowsTheOldest: what is not handled is as old as its page, opened or
// not, and an empty page is not waited for.
func TestWatermarkKnowsTheOldest(t *testing.T) {
	t.Parallel()
	w := watermark{store: func(string) {}}
	at := func(second int64) time.Time { return time.Unix(second, 0) }
	check := func(when string, want time.Time) {
		t.Helper()
		if have := w.oldest(); !have.Equal(want) {
			t.Errorf("%s: %v, want %v", when, have, want)
		}
	}
	read := func(second int64, lsns ...int64) feed.Page {
		page := feed.Page{Continuation: fmt.Sprint(second)}
		for _, lsn := range lsns {
			page.Items = append(page.Items, feed.Item{LSN: lsn})
		}
		w.saw(page, at(second))
		return page
	}
	open := func(page feed.Page) *openPage { return w.begin(page.Continuation, lsnsOf(page.Items)) }

	check("nothing read", time.Time{})
	open(read(1))
	check("an empty page", time.Time{})
	page := read(2, 1, 2)
	check("read", at(2))
	two := open(page)
	check("opened", at(2))
	open(read(3))
	three := open(read(4, 3))
	w.handled(two, 1)
	w.handled(three, 3)
	check("a half of it handled, and all behind it", at(2))
	four := open(read(5, 4))
	w.handled(two, 2)
	check("handled", at(5))
	w.handled(four, 4)
	check("all handled", time.Time{})
}

// FuzzWatermark handles items in any order: a position passed on never moves
// back and never passes an open item, and the lag counts from the first item that
// is open.
func FuzzWatermark(f *testing.F) {
	for seed := range uint64(20) {
		f.Add(seed, uint8(20))
	}
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
			lsn  int64
		}
		var open []item
		lsn, end := int64(0), int64(0)
		check := func(want int64) {
			t.Helper()
			if len(open) > 0 {
				oldest := slices.MinFunc(open, func(a, b item) int { return cmp.Compare(a.lsn, b.lsn) })
				want = end - oldest.lsn + 1
			}
			if have, known := w.lag(); !known || have != want {
				t.Fatalf("lag %d, %t, want %d", have, known, want)
			}
		}
		for n := 1; n <= int(pages); n++ {
			var page feed.Page
			for range rng.IntN(4) {
				lsn += int64(rng.IntN(3)) // 0: of the same transaction
				lsn = max(1, lsn)
				page.Items = append(page.Items, feed.Item{LSN: lsn})
			}
			end = max(end, lsn)
			if rng.IntN(4) == 0 {
				end += int64(rng.IntN(10)) // more than is on the page
			}
			page.Session = fmt.Sprintf("0:-1#%d", end)
			w.saw(page, time.Time{})
			behind := int64(0)
			if len(page.Items) > 0 {
				behind = end - lsn
				check(end - page.Items[0].LSN + 1)
			} else {
				check(0)
			}
			p := w.begin(fmt.Sprint(n), lsnsOf(page.Items))
			for _, i := range page.Items {
				open = append(open, item{p, n, i.LSN})
			}
			check(behind)
			for len(open) > 0 && (rng.IntN(2) == 0 || n == int(pages)) {
				i := rng.IntN(len(open))
				it := open[i]
				open = slices.Delete(open, i, i+1)
				w.handled(it.page, it.lsn)
				check(behind)
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

func TestLagIsNotKnownBeforeTheFeedSaysWhereItEnds(t *testing.T) {
	t.Parallel()
	var w watermark
	for _, session := range []string{"", "0:x", "0:-1#x"} {
		if lag, known := w.lag(); known {
			t.Errorf("lag %d", lag)
		}
		w.saw(feed.Page{Session: session, Items: []feed.Item{{LSN: 1}}}, time.Time{})
	}
	w.saw(feed.Page{Session: "0:-1#0"}, time.Time{}) // a container that nobody has written to
	if lag, known := w.lag(); !known || lag != 0 {
		t.Errorf("lag %d, %t", lag, known)
	}
}
