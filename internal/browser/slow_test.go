package browser_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

// A server that needs longer for an answer than the page for the next question is
// slow, not silent.
func TestPageWaitsForSlowAnswers(t *testing.T) {
	s := serve(t, typical)
	s.set(func(s *server) { s.lag = 12 }) // the page asks at each fifth event
	p := start(t).open(t)
	p.do("Page.addScriptToEvaluateOnNewDocument", map[string]any{"source": fmt.Sprintf(patienceOfThePage, 1<<30)})
	p.visit(s.url())
	p.until(complete)
	s.set(func(s *server) {
		s.changes[0].Name, s.changes[0].Began = "slow-but-sure", time.Now().Add(-100*time.Hour)
	})
	p.until(`document.querySelector("#operations tbody").innerText.includes("slow-but-sure")`)
	s.mu.Lock()
	if len(s.dropped) > 0 {
		t.Errorf("questions were taken back: %q", s.dropped)
	}
	s.lag = 1 << 40
	s.mu.Unlock()

	// One that is not wanted any more is taken back.
	p.press("/")
	p.write("x")
	s.until(func(s *server) bool { return slices.ContainsFunc(s.held, searches("x")) })
	p.write("y")
	s.until(func(s *server) bool { return slices.ContainsFunc(s.dropped, searches("x")) })
	s.set(func(s *server) { s.lag = 0 })
	p.until(`document.querySelector("#operations-note").textContent === "0 of 187 match"`)
	p.nothingWrong(s)
}

func searches(q string) func(string) bool {
	return func(address string) bool { return strings.HasPrefix(address, "/api/v1/operations?q="+q+"&") }
}

// patienceOfThePage makes the 10 s after which the page gives up so many milliseconds.
const patienceOfThePage = `(() => { const later = setTimeout; window.setTimeout = (f, ms, ...more) => later(f, ms === 10000 ? %d : ms, ...more); })()`

// An answer that never comes is said to be missing, beside what was known.
func TestPageWaitsForNoAnswerForEver(t *testing.T) {
	s := serve(t, typical)
	p := start(t).open(t)
	p.visit(s.url())
	p.until(complete)
	eval[any](p, fmt.Sprintf(patienceOfThePage, 300))
	s.set(func(s *server) { s.lag = 1 << 40 })
	p.until(`document.querySelector("#operations-error").innerText.includes("could not be read: no answer for 10 s")`)
	p.until(`document.querySelector("#transitions-error").innerText.includes("could not be read: no answer for 10 s")`)
	if n := eval[int](p, rows); n != 50 {
		t.Errorf("%d rows are left", n)
	}
}
