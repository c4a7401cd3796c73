package processor_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"opfeed/internal/cosmosemu"
	"opfeed/internal/epk"
	"opfeed/internal/inproc"
	"opfeed/leases"
	"opfeed/processor"
)

// TestSplitsAndMergesLoseNothing splits and merges ranges at any moment, while
// documents are written and replicas come and go, and stop all at times. The feed
// alone brings every document: there is no list that would make up for it.
func TestSplitsAndMergesLoseNothing(t *testing.T) {
	t.Parallel()
	for seed := range uint64(4) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) { splitAndMerge(t, seed) })
		})
	}
}

func splitAndMerge(t *testing.T, seed uint64) {
	rng := rand.New(rand.NewPCG(seed, 7))
	w := newWorldOf(t, cosmosemu.Options{IgnoreEPKHeaders: seed%2 == 1})
	w.listless = true
	replicas := []*replica{w.start(inproc.New(w.emu)), w.start(inproc.New(w.emu))}
	time.Sleep(5 * time.Second) // what was written before there was a lease is not theirs
	const writes = 250
	for n := range writes {
		w.put(doc{ID: fmt.Sprint("d", n), Partition: fmt.Sprint("p", n%40), Value: fmt.Sprint(n)})
		time.Sleep(time.Duration(rng.IntN(500)) * time.Millisecond)
		switch rng.IntN(40) {
		case 0, 1:
			w.splitAny(rng)
		case 2:
			w.mergeAny(rng)
		case 3:
			i := rng.IntN(len(replicas))
			replicas[i].stop()
			replicas[i] = w.start(inproc.New(w.emu))
		case 4:
			if rng.IntN(3) == 0 { // nobody runs
				for _, r := range replicas {
					r.stop()
				}
				w.put(doc{ID: fmt.Sprint("alone", n), Partition: fmt.Sprint("p", n%40), Value: fmt.Sprint(n)})
				w.splitAny(rng)
				w.mergeAny(rng)
				w.splitAny(rng)
				for i := range replicas {
					replicas[i] = w.start(inproc.New(w.emu))
				}
			}
		}
	}
	time.Sleep(30 * time.Second)
	w.mu.Lock()
	for n := range writes {
		if id := fmt.Sprint("d", n); !slices.Equal(w.handled[id], []string{fmt.Sprint(n)}) {
			t.Errorf("%s: handled %v", id, w.handled[id])
		}
	}
	handled, steps := len(w.handled), w.steps
	w.mu.Unlock()
	if steps > handled*3/2 {
		t.Errorf("%d documents were handled %d times", handled, steps)
	}
	var epks, ranges int
	for _, r := range replicas[0].Snapshot().Ranges {
		ranges++
		if strings.Contains(r.Token, "-") {
			epks++
		}
		if r.Owner == "" {
			t.Errorf("range %s is nobody's", r.Token)
		}
	}
	t.Logf("%d ranges, %d of them parts, %d documents handled %d times", ranges, epks, handled, steps)
}

// TestMergedBeforeAReset: a range that begins at a time is not read with the one
// that it was merged with.
func TestMergedBeforeAReset(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.listless = true
		if _, err := w.emu.Split("db", "docs", w.documents()[0].ID, cosmosemu.SplitOptions{}); err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		time.Sleep(2 * time.Second)
		const writes = 20
		live := w.documents()
		slices.SortFunc(live, func(a, b cosmosemu.Partition) int { return strings.Compare(a.Min, b.Min) })
		left := 0
		for n := range writes {
			partition := fmt.Sprint("p", n)
			w.put(doc{ID: fmt.Sprint("d", n), Partition: partition})
			if epk.Contains(live[0].Min, live[0].Max, epk.V2(epk.String(partition))) {
				left++
			}
		}
		if left == 0 || left == writes {
			t.Fatalf("%d of %d documents are in the first range", left, writes)
		}
		w.start(inproc.New(w.emu), func(c *processor.Config) {
			c.Start, c.FeedInterval = processor.FromTime(began), time.Hour // nobody notices the merge
		})
		time.Sleep(30 * time.Second)
		if n := w.stepsSoFar(); n != writes {
			t.Fatalf("%d steps for %d documents", n, writes)
		}
		if _, err := w.emu.Merge("db", "docs", live[0].ID, live[1].ID); err != nil {
			t.Fatal(err)
		}
		store := leases.NewStore(w.container(inproc.New(w.emu), "leases"), leasePrefix)
		for {
			d, err := store.Read(t.Context(), store.ID(live[0].ID))
			if err != nil {
				t.Fatal(err)
			}
			d.Owner, d.Epoch, d.Continuation, d.Start = "", d.Epoch+1, "", began.UTC().Format(time.RFC3339)
			if _, err := store.Replace(t.Context(), d); err == nil {
				break
			}
		}
		time.Sleep(time.Minute)
		if n := w.stepsSoFar(); n != writes+left {
			t.Errorf("%d steps for %d documents, of which %d were read again", n, writes, left)
		}
	})
}

// documents gives the live ranges of the monitored container.
func (w *world) documents() []cosmosemu.Partition {
	return slices.DeleteFunc(w.emu.Partitions(), func(p cosmosemu.Partition) bool { return p.Container != "docs" })
}

func (w *world) splitAny(rng *rand.Rand) {
	live := w.documents()
	if len(live) > 5 {
		return
	}
	if _, err := w.emu.Split("db", "docs", live[rng.IntN(len(live))].ID, cosmosemu.SplitOptions{
		Hold: time.Duration(rng.IntN(2)*rng.IntN(5)) * time.Second,
	}); err != nil && !strings.Contains(err.Error(), "split") {
		w.t.Error(err)
	}
}

func (w *world) mergeAny(rng *rand.Rand) {
	live := w.documents()
	slices.SortFunc(live, func(a, b cosmosemu.Partition) int { return strings.Compare(a.Min, b.Min) })
	if len(live) < 2 {
		return
	}
	i := rng.IntN(len(live) - 1)
	_, _ = w.emu.Merge("db", "docs", live[i].ID, live[i+1].ID) // refused while one is splitting
}
