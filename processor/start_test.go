package processor_test

import (
	"errors"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"opfeed/internal/inproc"
	"opfeed/processor"
)

// TestBeginningIsStoredFirst: a range that was to be read from the beginning, or
// from a time, still is when the first process has died before it handled anything,
// and the next one is told nothing of it.
func TestBeginningIsStoredFirst(t *testing.T) {
	t.Parallel()
	for name, start := range map[string]func(time.Time) processor.Start{
		"beginning": func(time.Time) processor.Start { return processor.FromBeginning() },
		"time":      processor.FromTime,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				began := time.Now().Add(-time.Minute)
				w.put(doc{ID: "before", Value: "1"})
				time.Sleep(5 * time.Second)
				unread := &faulty{next: inproc.New(w.emu), before: func(req *http.Request) error {
					if isFeed(req) && strings.HasSuffix(req.URL.Path, "/docs") && req.Header.Get("If-None-Match") != "*" {
						return errors.New("no answer")
					}
					return nil
				}}
				first := w.start(unread, func(c *processor.Config) { c.Start = start(began) })
				time.Sleep(10 * time.Second)
				first.stop()
				w.start(inproc.New(w.emu))
				time.Sleep(15 * time.Second)
				w.wantHandled(map[string][]string{"before": {"1"}})
			})
		})
	}
}
