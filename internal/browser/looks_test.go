package browser_test

import (
	"fmt"
	"slices"
	"testing"
)

// contrast lists texts whose colour is too near to what is behind them, by the
// rules of WCAG 2, AA: 4.5, or 3 for large text.
const contrast = `(() => {
	const canvas = document.createElement("canvas");
	canvas.width = canvas.height = 1;
	const pen = canvas.getContext("2d", { willReadFrequently: true });
	const rgb = (c, under) => { pen.clearRect(0, 0, 1, 1); if (under) { pen.fillStyle = under; pen.fillRect(0, 0, 1, 1); } pen.fillStyle = c; pen.fillRect(0, 0, 1, 1); return [...pen.getImageData(0, 0, 1, 1).data]; };
	const light = ([r, g, b]) => { const l = [r, g, b].map((v) => { v /= 255; return v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4; }); return 0.2126 * l[0] + 0.7152 * l[1] + 0.0722 * l[2]; };
	const ground = (e) => { for (; e; e = e.parentElement) { const c = getComputedStyle(e).backgroundColor; if (rgb(c)[3] > 250) return c; } return "white"; };
	const bad = new Set();
	const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
	let seen = 0;
	while (walk.nextNode()) {
		const e = walk.currentNode.parentElement;
		if (!walk.currentNode.data.trim() || !e.checkVisibility({ visibilityProperty: true }) || e.closest("svg, .sr, .skip")) continue;
		seen++;
		const style = getComputedStyle(e);
		const [a, b] = [light(rgb(style.color, ground(e))), light(rgb(ground(e)))];
		const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
		const large = parseFloat(style.fontSize) >= 24 || (parseFloat(style.fontSize) >= 18.66 && style.fontWeight >= 700);
		if (ratio < (large ? 3 : 4.5)) bad.add(ratio.toFixed(2) + " " + style.color + " on " + ground(e) + ": " + e.outerHTML.slice(0, 80));
	}
	if (seen < 200) bad.add("only " + seen + " texts seen");
	return [...bad];
})()`

const background = `getComputedStyle(document.body).backgroundColor`

func TestPageLightAndDark(t *testing.T) {
	s := serve(t, typical)
	b := start(t)
	p := b.open(t)
	p.visit(s.url())
	p.until(complete)
	grounds := map[string]string{}
	for _, scheme := range []string{"light", "dark"} {
		p.scheme(scheme)
		grounds[scheme] = eval[string](p, background)
		if bad := eval[[]string](p, contrast); len(bad) > 0 {
			t.Errorf("%s: too little contrast: %q", scheme, bad)
		}
		s.set(func(s *server) { s.snapshot.Service.Ready = false; s.snapshot.Service.Conditions[0].OK = false })
		p.until(`document.querySelector("#state").dataset.state === "bad"`)
		if bad := eval[[]string](p, contrast); len(bad) > 0 {
			t.Errorf("%s, not ready: too little contrast: %q", scheme, bad)
		}
		s.set(func(s *server) { s.snapshot.Service.Ready = true; s.snapshot.Service.Conditions[0].OK = true })
		p.until(`document.querySelector("#state").dataset.state === "good"`)
	}
	if grounds["light"] == grounds["dark"] {
		t.Errorf("the reader's preference changes nothing: %v", grounds)
	}

	// The reader's own choice wins, whatever the system prefers, and is remembered.
	p.press("t") // from auto to light
	p.until(fmt.Sprintf(`%s === %q && document.querySelector("#theme").textContent === "Theme: light"`, background, grounds["light"]))
	p.scheme("light")
	p.press("t")
	p.until(fmt.Sprintf(`%s === %q`, background, grounds["dark"]))
	p.reload()
	p.until(fmt.Sprintf(`%s === %q && document.querySelector("#theme").textContent === "Theme: dark"`, background, grounds["dark"]))
	p.press("t")
	p.until(fmt.Sprintf(`%s === %q && document.querySelector("#theme").textContent === "Theme: auto"`, background, grounds["light"]))
	if name := eval[string](p, `getComputedStyle(document.querySelector(".live .dot")).animationName`); name != "none" {
		t.Errorf("a reader who wants no motion sees %s", name)
	}
	p.nothingWrong(s)
}

func TestPageOnAPhone(t *testing.T) {
	s := serve(t, func(s *server) {
		typical(s)
		hostile(s)
	})
	p := start(t).open(t)
	for _, width := range []int{360, 540, 720, 820, 1000, 1280} {
		p.size(width, 740)
		p.visit(s.url())
		p.until(complete)
		eval[any](p, `document.querySelectorAll("#operations button.disclose").forEach((b, i) => i < 5 && b.click())`)
		p.until(`document.querySelectorAll("#operations .detail").length === 5`)
		if wide := eval[int](p, `document.documentElement.scrollWidth - document.documentElement.clientWidth`); wide > 0 {
			t.Errorf("%d pixels: the page scrolls sideways by %d", width, wide)
		}
		// Where rows are cards, no table does either.
		if wide := eval[int](p, `Math.max(...[...document.querySelectorAll(".scroll")].map((e) => e.scrollWidth - e.clientWidth))`); wide > 0 && width <= 900 {
			t.Errorf("%d pixels: a table scrolls sideways by %d", width, wide)
		}
		eval[any](p, `document.querySelectorAll("#operations button.disclose").forEach((b, i) => i < 5 && b.click())`)
		if width > 400 {
			continue
		}
		// Cards say what each value is; fingers find what they can press.
		label := eval[string](p, `getComputedStyle(document.querySelector("#operations td.age"), "::before").content`)
		if label != `"Age"` {
			t.Errorf("a card's value is called %s", label)
		}
		small := eval[[]string](p, `[...document.querySelectorAll("button, select, input, main a[href]")].filter((e) => e.checkVisibility() && e.getBoundingClientRect().height < 24 && getComputedStyle(e).display !== "inline").map((e) => e.outerHTML.slice(0, 90))`)
		if len(small) > 0 {
			t.Errorf("too small to be pressed: %q", slices.Compact(small))
		}
	}
	p.nothingWrong(s)
}
