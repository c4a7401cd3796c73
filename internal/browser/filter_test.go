package browser_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"opfeed/processor/status"
)

// All of it with the keyboard alone.
func TestPageIsWorkedByKeyboard(t *testing.T) {
	s := serve(t, typical)
	s.set(func(s *server) {
		s.changes[42].Name, s.changes[42].Resource = "needle-in-hay", "/subscriptions/x/needle"
		s.changes[77].Attempt, s.changes[77].Name = 99, "most-failed"
	})
	p := start(t).open(t)
	p.visit(s.url())
	p.until(complete)

	// Search.
	p.press("/")
	p.write("NEEDLE")
	p.until(rows + ` === 1 && document.querySelector("#operations tbody").innerText.includes("needle-in-hay")`)
	p.until(`document.querySelector("#operations-note").textContent === "1 of 187 match"`)
	p.until(`location.hash === "#q=NEEDLE"`)
	if !eval[bool](p, `document.activeElement.id === "q"`) {
		t.Error("typing has lost the focus")
	}
	p.write("s") // finds nothing
	p.until(`document.querySelector("#operations-none").innerText.includes("None of the 187 operations matches")`)
	p.press("Escape")
	p.until(rows + ` === 50 && location.hash === ""`)
	p.press("Escape")
	p.until(`document.activeElement === document.body`)

	// Filter and order: Tab leads from the search to each field.
	p.press("/", "Tab")
	p.until(`document.activeElement.id === "kind"`)
	p.write("Cl")
	p.until(`location.hash === "#kind=Cluster" && ` + rows + ` === 26`)
	p.press("Tab", "Tab", "Tab")
	p.until(`document.activeElement.id === "sort"`)
	p.press("End")
	p.until(`location.hash === "#kind=Cluster&sort=attempts"`)

	// The way past the tiles and ranges leads there, and leaves the view as it is.
	eval[any](p, `document.querySelector("a.skip").focus()`)
	p.press("Enter")
	p.until(`document.activeElement.id === "operations-title"`)
	if hash := eval[string](p, `location.hash`); hash != "#kind=Cluster&sort=attempts" {
		t.Errorf("the view is lost: %s", hash)
	}

	// A view can be linked and survives a reload; the link alone makes it.
	p.reload()
	p.until(rows + ` === 26 && document.querySelector("#kind").value === "Cluster" && document.querySelector("#sort").value === "attempts"`)
	p.do("Page.navigate", map[string]any{"url": s.url() + "#sort=attempts"})
	p.until(rows + ` === 50 && document.querySelector("#operations tbody").innerText.includes("most-failed")`)

	// Pages, rows and their details.
	p.press("n", "n", "n", "n")
	p.until(`location.hash.includes("page=4") && ` + rows + ` === 37`)
	p.press("p")
	p.until(`location.hash.includes("page=3") && ` + rows + ` === 50`)
	p.press("j", "j", "k", "Enter")
	p.until(`document.querySelector("#operations tbody .detail").innerText.includes("Last error")`)
	p.until(`document.activeElement.getAttribute("aria-expanded") === "true"`)
	p.press("Enter")
	p.until(`!document.querySelector("#operations .detail")`)

	// Bars are filters that can be pressed, and let go.
	eval[any](p, `[...document.querySelectorAll("#bars button")].find((b) => b.innerText.includes("Deleting")).focus()`)
	p.press("Enter")
	p.until(`location.hash.includes("state=Deleting") && document.querySelector("#state-filter").value === "Deleting"`)
	p.until(`document.activeElement.getAttribute("aria-pressed") === "true"`)
	p.press("Enter")
	p.until(`!location.hash.includes("state=")`)

	// Help.
	p.press("?")
	p.until(`document.querySelector("#keys").open`)
	p.press("Escape")
	p.until(`!document.querySelector("#keys").open`)

	// Whatever has the focus shows it.
	p.press("Tab")
	if !eval[bool](p, `getComputedStyle(document.activeElement).outlineStyle === "solid"`) {
		t.Errorf("no focus to be seen on %s", eval[string](p, `document.activeElement.outerHTML.slice(0, 200)`))
	}
	p.nothingWrong(s)

	asked := 0
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, q := range s.queries {
		if strings.Contains(q, "q=NEEDLE&") {
			asked++
		}
	}
	if asked == 0 {
		t.Errorf("the server was never asked for it: %q", s.queries)
	}
}

// What a reader has typed or chosen is lost by nothing but what is meant to clear it.
func TestPageKeepsWhatWasTyped(t *testing.T) {
	s := serve(t, typical)
	s.set(func(s *server) { s.changes[42].Name, s.changes[42].Kind = "needle-in-hay", "Cluster" })
	p := start(t).open(t)
	p.visit(s.url() + "#kind=Cluster")
	p.until(complete)
	all := `[...document.querySelectorAll("#filters select")].map((e) => [...e.options].filter((o) => o.text === "all").length).join(" ")`
	if have := eval[string](p, all); have != "1 1 1 0" {
		t.Errorf("fields have %s choices of all", have)
	}

	// Escape clears the search alone.
	p.press("/")
	p.write("needle")
	p.until(`location.hash === "#q=needle&kind=Cluster" && ` + rows + ` === 1`)
	// How many there are is said once, when the reader has asked, and not every five seconds.
	p.until(`document.querySelector("#say-found").textContent === "1 of 187 match"`)
	if ids := eval[string](p, `[...document.querySelectorAll("[role=status], [role=alert], [aria-live]")].map((e) => e.id).join(" ")`); ids != "say-line say-state say-found" {
		t.Errorf("read aloud are %q, want only the places that are for it", ids)
	}
	p.press("Escape")
	p.until(`location.hash === "#kind=Cluster" && ` + rows + ` > 1 && document.querySelector("#q").value === ""`)

	// Who leaves the field at once has searched; here the pause never ends.
	eval[any](p, `(() => { const later = setTimeout; window.setTimeout = (f, ms, ...more) => later(f, ms === 150 ? 1 << 30 : ms, ...more); })()`)
	p.write("NEEDLE")
	p.press("Tab")
	p.until(`location.hash === "#q=NEEDLE&kind=Cluster" && ` + rows + ` === 1`)
	if q := eval[string](p, `document.querySelector("#q").value`); q != "NEEDLE" {
		t.Errorf("the field says %q", q)
	}

	// Safari takes only so many addresses in a while. The search goes on.
	eval[any](p, `(() => { history.replaceState = () => { throw new DOMException("too many calls", "SecurityError"); }; })()`)
	eval[any](p, `document.querySelector("#q").select()`)
	p.write("absent")
	p.press("Tab")
	p.until(`document.querySelector("#operations-note").textContent === "0 of 187 match"`)
	p.nothingWrong(s)
}

// The next operation is the one after that which was there, also when it has ended.
func TestPageKeepsThePlaceOfOneThatEnded(t *testing.T) {
	s := serve(t, typical)
	p := start(t).open(t)
	p.visit(s.url())
	p.until(complete)
	const name = `document.activeElement.querySelector("bdi")?.textContent ?? ""`
	names := eval[[]string](p, `[...document.querySelectorAll("#operations td.name button bdi")].map((e) => e.textContent)`)
	ends := func(n int) {
		s.set(func(s *server) {
			s.changes = slices.DeleteFunc(s.changes, func(c status.Change) bool { return c.Name == names[n] })
		})
		p.until(`document.activeElement === document.body`)
	}
	p.press("j", "j", "j", "j")
	for _, step := range []struct {
		gone, want int
		key        string
	}{{3, 4, "j"}, {4, 5, "j"}, {5, 2, "k"}} {
		ends(step.gone)
		p.press(step.key)
		if have := eval[string](p, name); have != names[step.want] {
			t.Errorf("after %s has ended, %s leads to %s, want %s", names[step.gone], step.key, have, names[step.want])
		}
	}
	p.nothingWrong(s)
}

// A search is for all that was given, however long: an ARM id, or a subscription
// that somebody else has written.
func TestPageSearchesForLongTexts(t *testing.T) {
	s := serve(t, typical)
	id := func(name string) string {
		return "/subscriptions/" + subscription(1) + "/resourceGroups/" + strings.Repeat("g", 90) +
			"/providers/Microsoft.RedHatOpenShift/hcpOpenShiftClusters/" + strings.Repeat("c", 54) + "/nodePools/" + name
	}
	s.set(func(s *server) {
		for i := range s.changes {
			s.changes[i].Resource = id("other")
		}
		s.changes[42].Resource = id("this-one")
		s.changes[0].Partition, s.changes[0].Began = strings.Repeat("\U0001F4A5", 500), time.Now().Add(-100*time.Hour)
	})
	p := start(t).open(t)
	p.visit(s.url())
	p.until(complete)
	p.press("/")
	p.do("Input.insertText", map[string]any{"text": id("this-one")})
	p.until(`document.querySelector("#operations-note").textContent === "1 of 187 match"`)
	p.reload()
	p.until(`document.querySelector("#operations-note").textContent === "1 of 187 match"`)
	if q := eval[string](p, `document.querySelector("#q").value`); q != id("this-one") {
		t.Errorf("searched for %s", q)
	}
	eval[any](p, `document.querySelector("#clear").click()`)
	p.until(rows + ` === 50`)
	eval[any](p, `document.querySelector("#operations button.quick").click()`)
	p.until(rows + ` === 1`)
	p.shows("#operations-note", "1 of 187 match")
	p.nothingWrong(s)
}

// Ten thousand pending: the page shows a part, and stays quick. The figures are
// printed; what is held to is how much is in the page.
func TestPageWithTenThousandPending(t *testing.T) {
	s := serve(t, func(s *server) {
		typical(s)
		many(s, 10_000)
	})
	p := start(t).open(t)
	began := time.Now()
	p.visit(s.url())
	p.until(rows + ` === 50`)
	p.until(complete)
	loaded := time.Since(began)
	p.shows("#operations-note", "10,000 operations")
	p.shows("#operations-pager", "1 – 50 of 10,000")
	if n := eval[int](p, `document.querySelectorAll("tbody tr").length`); n > 200 {
		t.Errorf("%d rows in the page, want 200 at most", n)
	}
	if n := eval[int](p, `document.querySelectorAll("*").length`); n > 6000 {
		t.Errorf("%d elements in the page", n)
	}
	// From a key to what it finds, as a reader sees it: with a frame drawn.
	p.press("/")
	found := eval[float64](p, `new Promise((done) => {
		const began = performance.now();
		const q = document.querySelector("#q");
		q.value = "-4711";
		q.dispatchEvent(new Event("input"));
		const look = () => document.querySelector("#operations-note").textContent.startsWith("1 of ") ? done(performance.now() - began) : requestAnimationFrame(look);
		look();
	})`)
	asked := eval[[]float64](p, `performance.getEntriesByType("resource").filter((e) => e.name.includes("/api/v1/operations")).map((e) => e.duration)`)
	tasks := eval[[]float64](p, `new Promise((done) => {
		const long = [];
		new PerformanceObserver((list) => long.push(...list.getEntries().map((e) => e.duration))).observe({ type: "longtask", buffered: true });
		setTimeout(() => done(long), 500);
	})`)
	t.Logf("10,000 pending: shown whole %v after the visit began; a search found after %.0f ms (150 of them wait for the next key); requests for operations took %.0f ms; the page's tasks above 50 ms: %.0f",
		loaded.Round(time.Millisecond), found, asked, tasks)
	p.nothingWrong(s)
}
