package processor_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"opfeed/internal/cosmosemu"
	"opfeed/internal/inproc"
)

// TestStartBesideABadRange starts a replica, after a crash of the only one, while
// one range of several cannot be read: the others must not wait for it.
func TestStartBesideABadRange(t *testing.T) {
	for _, kind := range []string{"hold", "throttled"} {
		t.Run(kind, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				w.listless = true
				first := w.start(inproc.New(w.emu))
				time.Sleep(5 * time.Second)
				w.put(doc{ID: "a0", Partition: "p0", Value: "1"})
				time.Sleep(5 * time.Second)
				live := w.documents()
				if len(live) == 1 {
					if _, err := w.emu.Split("db", "docs", live[0].ID, cosmosemu.SplitOptions{}); err != nil {
						t.Fatal(err)
					}
				}
				time.Sleep(20 * time.Second)
				first.stop()
				live = w.documents()
				bad := live[0].ID
				if kind == "hold" {
					if _, err := w.emu.Split("db", "docs", bad, cosmosemu.SplitOptions{Hold: 3 * time.Minute}); err != nil {
						t.Fatal(err)
					}
				}
				transport := &faulty{next: inproc.New(w.emu), before: func(r *http.Request) error {
					if kind == "throttled" && r.Header.Get("x-ms-documentdb-partitionkeyrangeid") == bad {
						return errDead
					}
					return nil
				}}
				w.start(transport)
				for n := range 20 {
					w.put(doc{ID: fmt.Sprint("b", n), Partition: fmt.Sprint("p", n), Value: "1"})
				}
				time.Sleep(30 * time.Second)
				w.mu.Lock()
				n := 0
				for id := range w.handled {
					if strings.HasPrefix(id, "b") {
						n++
					}
				}
				w.mu.Unlock()
				if n < 5 {
					t.Errorf("%d of 20 documents were handled within 30 s: one bad range of %d stops them all", n, len(live))
				}
			})
		})
	}
}
