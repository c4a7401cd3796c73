package browser_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"opfeed/processor/status"
)

// The traps: each would set window.pwned, or ask a host, if it were markup.
var traps = []string{
	`<img src=x onerror="window.pwned=1">`,
	`<script>window.pwned=1</script>`,
	`<svg/onload=window.pwned=1>`,
	`"><a href="javascript:window.pwned=1" autofocus onfocus="window.pwned=1">x</a>`,
	`'-alert(1)-'`, "`${window.pwned=1}`", `{{constructor.constructor('window.pwned=1')()}}`,
	`<link rel=stylesheet href=//evil.example/x.css><style>*{display:none}</style>`,
	`<base href=//evil.example/>`, `<meta http-equiv=refresh content="0;url=//evil.example/">`,
	"safe\u202Egnp.exe", "a\u2066b\u2069\u200Bc\uFEFFd\u00ADe", "tab\tline\nreturn\r nul\x00bell\x07",
	"\u061C\u05D0\u05D1\u05D2 \u0627\u0644", strings.Repeat("a\u0301\u0327\u0330\u0489", 40),
	strings.Repeat("W", 10_000), strings.Repeat("\U0001F4A5", 3000), "__proto__", "constructor",
	"a\u2800b\u00a0c\u3000d\u2003e\U0001D173f\U0001BCA0g\u3164h\ufe0fi\u034fj\u2065k", "\U000E0041\U000E0042tags",
	"#kind=x&q=<b>", "%3Cscript%3E", "&lt;b&gt;", "</title><script>window.pwned=1</script>",
}

// hostile writes the traps into every text that somebody else may write.
func hostile(s *server) {
	at := func(i int) string { return traps[i%len(traps)] }
	for i := range s.changes {
		c := &s.changes[i]
		if i >= 2*len(traps) {
			break
		}
		c.Began = time.Now().Add(-time.Duration(200-i) * time.Hour)
		c.ID = fmt.Sprintf("%s %d", at(i), i)
		c.Name, c.Kind, c.Request, c.State, c.Resource, c.Error = at(i), at(i+1), at(i+2), at(i+3), at(i+4), at(i+5)
		c.Reason, c.Partition, c.Range, c.Phase = at(i+6), at(i+7), at(i+8), status.Phase(at(i+9))
	}
	for i := range s.transitions[:40] {
		t := &s.transitions[i]
		t.ID = fmt.Sprintf("%s %d", at(i), i)
		t.Name, t.Kind, t.Request, t.From, t.To, t.Reason, t.Partition = at(i), at(i+1), at(i+2), at(i+3), at(i+4), at(i+5), at(i+6)
	}
	for i := range traps {
		s.snapshot.Quarantined = append(s.snapshot.Quarantined, status.Quarantined{ID: at(i), Partition: at(i + 1), Reason: at(i + 2), Instance: at(i + 3)})
		s.snapshot.PendingByState[at(i)] = i
	}
	addresses := []string{
		"javascript:window.pwned=1", " javascript:window.pwned=1", "JAVASCRIPT:window.pwned=1", "java\tscript:window.pwned=1",
		"data:text/html,<script>window.pwned=1</script>", "file:///etc/passwd", "vbscript:x", "//evil.example/", "https://user:secret@evil.example/",
		"blob:https://evil.example/x", "https://", "ftp://evil.example/", "\x01javascript:window.pwned=1",
	}
	for i, page := range addresses {
		s.snapshot.Hosts = append(s.snapshot.Hosts, status.Host{Instance: fmt.Sprintf("host-%d-%s", i, at(i)), Page: page})
		s.snapshot.Ranges = append(s.snapshot.Ranges, status.Range{Token: at(i), Min: at(i + 1), Max: at(i + 2), Owner: fmt.Sprintf("evil-%d-%s", i, at(i)),
			Continuation: at(i + 3), Page: page})
	}
	s.snapshot.Service.Subscriptions[traps[0]] = 1
}

func TestHostileContentIsText(t *testing.T) {
	s := serve(t, func(s *server) {
		typical(s)
		hostile(s)
		s.snapshot.Instance = traps[0] + traps[10]
		s.snapshot.Service.ProcessorName = traps[1]
		s.snapshot.Service.Build.Version = traps[2]
		s.snapshot.Service.Ready = false
		s.snapshot.Service.Conditions[0].OK = false
		s.snapshot.Service.Conditions[0].Reason = traps[3]
	})
	p := start(t).open(t)
	p.visit(s.url())
	p.until(complete)
	before := eval[int](p, `document.querySelectorAll("script, link, style, base, meta, iframe, object, embed, form").length`)
	eval[any](p, `document.querySelectorAll("#operations button.disclose").forEach((b) => b.click())`)
	p.until(`document.querySelectorAll("#operations .detail").length === 50`)
	for _, trap := range []string{traps[0], traps[1], traps[3]} {
		p.shows("#operations", trap)
		p.shows("#quarantine", trap)
	}
	p.shows("#instance", traps[0], `safe\u{202E}gnp.exe`)
	p.shows("#state-title", traps[3])
	p.shows("#operations", `safe\u{202E}gnp.exe`, `a\u{2066}b\u{2069}\u{200B}c\u{FEFF}d\u{AD}e`, `tab\u{9}line\u{A}return\u{D} nul\u{0}bell\u{7}`, `\u{E0041}`,
		`a\u{2800}b\u{A0}c\u{3000}d\u{2003}e\u{1D173}f\u{1BCA0}g\u{3164}h\u{FE0F}i\u{34F}j\u{2065}k`)
	p.shows("#replicas", "evil-0-")
	// Long ones say how long they were, though the server has cut them before.
	names := eval[[]string](p, `[...document.querySelectorAll("#operations td.name button bdi")].map((e) => e.textContent)`)
	for _, want := range []string{strings.Repeat("W", 80) + "… (10,000 bytes)", strings.Repeat("\U0001F4A5", 40) + "… (12,000 bytes)"} {
		if !slices.Contains(names, want) {
			t.Errorf("no operation is called %q: %q", want, names)
		}
	}

	// Filters and the address take them, too.
	p.do("Page.navigate", map[string]any{"url": s.url() + "#q=" + `%3Cimg%20src%3Dx%20onerror%3Dwindow.pwned%3D1%3E&kind=%3Cscript%3Ewindow.pwned%3D1%3C/script%3E`})
	p.until(`document.querySelector("#q").value.startsWith("<img")`)
	p.until(rows + ` === 0`)
	p.do("Page.navigate", map[string]any{"url": s.url() + "#"})
	p.until(rows + ` === 50`)
	eval[any](p, `document.querySelectorAll("#operations button.quick")[0].click()`)
	p.until(`location.hash.startsWith("#q=")`)

	if found := eval[[]string](p, `[...document.querySelectorAll("main *")].filter((e) => [...e.attributes].some((a) => a.name.startsWith("on")) || e.localName === "script" || (e.localName === "img")).map((e) => e.outerHTML.slice(0, 100))`); len(found) > 0 {
		t.Errorf("markup got in: %q", found)
	}
	if now := eval[int](p, `document.querySelectorAll("script, link, style, base, meta, iframe, object, embed, form").length`); now != before {
		t.Errorf("%d elements that act, were %d", now, before)
	}
	for _, href := range eval[[]string](p, `[...document.querySelectorAll("main a[href]")].map((a) => a.href)`) {
		if href != "https://ops.example.org/opfeed-6c9d7b5f4-7hbzn/" && href != "http://127.0.0.1:1/" {
			t.Errorf("a link to %s", href)
		}
	}
	// A click on what is no link leads nowhere.
	eval[any](p, `document.querySelectorAll("main a").forEach((a) => a.hasAttribute("href") || a.click())`)
	if eval[bool](p, `"pwned" in window || !location.href.startsWith("`+s.url()+`")`) {
		t.Error("a script of a document ran")
	}
	if shown := eval[[]string](p, `(() => { const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT); const found = []; while (walk.nextNode()) if (/[\u202a-\u202e\u2066-\u2069\u200b-\u200f\u0000-\u0008]/.test(walk.currentNode.data) || walk.currentNode.data.length > 2600) found.push(walk.currentNode.data.slice(0, 60)); return found; })()`); len(shown) > 0 {
		t.Errorf("what hides is in the page: %q", shown)
	}
	p.nothingWrong(s)
	// Should our care fail, the browser does not make markup of a text at all.
	if made := eval[string](p, `(() => { try { document.createElement("div").innerHTML = "<b>x</b>"; return "markup"; } catch (error) { return error.name; } })()`); made != "TypeError" {
		t.Errorf("a text became %s", made)
	}
}
