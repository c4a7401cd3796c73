package browser_test

import (
	"strings"
	"testing"
	"time"
)

const lineState = `document.querySelector("#live").dataset.state`

func TestPageSurvivesARestart(t *testing.T) {
	s := serve(t, typical)
	p := start(t).open(t)
	p.visit(s.url())
	p.until(complete)
	p.press("/")
	p.write("hcp")
	p.until(`location.hash === "#q=hcp" && document.querySelector("#say-found").textContent.includes("match")`)
	shown := eval[int](p, rows)
	s.down()
	p.until(lineState + ` === "lost"`)
	p.shows("#live", "connection lost, trying again", "Last event")
	p.until(`document.querySelector("#say-line").textContent === "Connection lost, trying again" && document.title.startsWith("✕ ")`)
	// It is said beside what was said before, not instead of it.
	if said := p.text("#say-state") + ", " + p.text("#say-found"); !strings.HasPrefix(said, "Ready, ") || !strings.Contains(said, "match") {
		t.Errorf("a screen reader finds %q", said)
	}
	if now := eval[int](p, rows); now != shown {
		t.Errorf("%d operations are shown while the connection is lost, were %d", now, shown)
	}
	s.set(func(s *server) {
		s.snapshot.Pending = 5151
		s.snapshot.Service.Build.Revision = "another"
	})
	s.up()
	// Nobody touches the page.
	p.until(lineState + ` === "live"`)
	p.until(`document.querySelector('[data-tile="pending"] b').textContent === "5,151"`)
	p.shows("#state-text", "replaced by another build")
	if q := eval[string](p, `document.querySelector("#q").value + location.hash`); q != "hcp#q=hcp" {
		t.Errorf("the filter is lost: %s", q)
	}
	for _, wrong := range p.wrong() { // Chromium itself tells of each request that found nobody
		if !strings.Contains(wrong, "net::ERR_") {
			t.Errorf("trouble in the page: %s", wrong)
		}
	}
}

// A server that has too many streams says 503, for which EventSource gives up.
func TestPageWithoutAStream(t *testing.T) {
	s := serve(t, typical)
	p := start(t).open(t)
	p.visit(s.url())
	p.until(complete)
	s.set(func(s *server) { s.refuse = true })
	s.down()
	s.up()
	p.until(lineState + ` === "asking"`)
	s.set(func(s *server) { s.snapshot.Pending = 6161 })
	p.until(`document.querySelector('[data-tile="pending"] b').textContent === "6,161"`)
	p.shows("#live", "no live updates")
	s.set(func(s *server) { s.refuse = false })
	p.until(lineState + ` === "live"`)
}

// What cannot be read is said beside what was known.
func TestPageSaysWhatItCannotRead(t *testing.T) {
	s := serve(t, typical)
	p := start(t).open(t)
	p.visit(s.url())
	p.until(complete)
	s.set(func(s *server) { s.broken = true })
	p.until(`document.querySelector("#operations-error").innerText.includes("could not be read: the server answered 500")`)
	p.until(`document.querySelector("#transitions-error").innerText.includes("could not be read")`)
	p.until(`document.querySelector("#history-error").innerText === "The history could not be read: the server answered 500."`)
	p.until(`document.querySelector('[data-tile="steps"] b').textContent === "–" && !document.querySelector('[data-tile="steps"] .line').hasAttribute("d")`)
	if now := p.text(`[data-tile="pending"] b`); now != "179" {
		t.Errorf("what the stream tells is shown as %q", now)
	}
	if n := eval[int](p, rows); n != 50 {
		t.Errorf("%d rows are left", n)
	}
	s.set(func(s *server) { s.broken = false })
	p.until(`document.querySelector("#operations-error").hidden && document.querySelector("#transitions-error").hidden && document.querySelector("#history-error").hidden`)
	p.until(`document.querySelector('[data-tile="steps"] b').textContent !== "–"`)
}

// A page that nobody sees has no stream: a server has few.
func TestPageRestsWhileHidden(t *testing.T) {
	s := serve(t, typical)
	p := start(t).open(t)
	p.visit(s.url())
	p.until(complete)
	hide := func(hidden string) {
		eval[any](p, `Object.defineProperty(document, "hidden", { configurable: true, get: () => `+hidden+` }); document.dispatchEvent(new Event("visibilitychange"))`)
	}
	const grey = `getComputedStyle(document.querySelector("main")).filter === "grayscale(1)"`
	if eval[bool](p, grey) {
		t.Error("what is live is grey")
	}
	hide("true")
	p.until(lineState + ` === "paused" && ` + grey)
	// For hours, maybe, the title is all that is seen of it.
	if title := eval[string](p, `document.title`); title != "paused · "+instance {
		t.Errorf("the title says %q", title)
	}
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case <-s.idle:
	case <-timer.C:
		t.Fatal("the stream is never given back")
	}
	s.set(func(s *server) { s.snapshot.Pending, s.mute = 7171, true })
	hide("false")
	p.until(lineState + ` === "connecting" && ` + grey)
	p.shows("#live", "connecting")
	s.set(func(s *server) { s.mute = false })
	p.until(lineState + ` === "live" && document.querySelector('[data-tile="pending"] b').textContent === "7,171" && !(` + grey + `) && document.title.startsWith("7,171 pending")`)
	p.nothingWrong(s)
}
