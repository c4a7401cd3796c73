package browser_test

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// tab is one page of the browser, and all that went wrong in it.
type tab struct {
	t       *testing.T
	b       *chromium
	session string
	loaded  chan struct{}

	mu       sync.Mutex
	trouble  []string // console errors, exceptions, violations of the policy, dialogs
	requests []string // addresses asked
}

// watch is run in each document before its own scripts.
const watch = `
window.violations = [];
document.addEventListener("securitypolicyviolation", (e) => window.violations.push(e.violatedDirective + " " + e.blockedURI));
`

// open makes a tab with the size of a desktop's window.
func (b *chromium) open(t *testing.T) *tab {
	t.Helper()
	var target struct {
		ID string `json:"targetId"`
	}
	var attached struct {
		Session string `json:"sessionId"`
	}
	if err := b.call("", "Target.createTarget", map[string]any{"url": "about:blank"}, &target); err != nil {
		t.Fatal(err)
	}
	if err := b.call("", "Target.attachToTarget", map[string]any{"targetId": target.ID, "flatten": true}, &attached); err != nil {
		t.Fatal(err)
	}
	p := &tab{t: t, b: b, session: attached.Session, loaded: make(chan struct{}, 16)}
	b.mu.Lock()
	b.sessions[p.session] = p
	b.mu.Unlock()
	for _, domain := range []string{"Page", "Runtime", "Log", "Network"} {
		p.do(domain+".enable", nil)
	}
	p.do("Page.addScriptToEvaluateOnNewDocument", map[string]any{"source": watch})
	p.size(1280, 900)
	p.scheme("light")
	return p
}

func (p *tab) do(method string, params any) {
	p.t.Helper()
	if err := p.b.call(p.session, method, params, nil); err != nil {
		p.t.Fatal(err)
	}
}

// size is the window's, in CSS pixels.
func (p *tab) size(width, height int) {
	p.t.Helper()
	p.do("Emulation.setDeviceMetricsOverride", map[string]any{
		"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500})
}

// scheme is what the reader's system prefers: light or dark, and motion.
func (p *tab) scheme(name string) {
	p.t.Helper()
	p.do("Emulation.setEmulatedMedia", map[string]any{"features": []map[string]string{
		{"name": "prefers-color-scheme", "value": name}, {"name": "prefers-reduced-motion", "value": "reduce"}}})
}

// visit loads an address and waits for the page's first snapshot.
func (p *tab) visit(address string) {
	p.t.Helper()
	for len(p.loaded) > 0 {
		<-p.loaded
	}
	p.do("Page.navigate", map[string]any{"url": address})
	p.arrived()
	p.until(`document.body.dataset.line === "live" && document.querySelector("#state").dataset.state !== "unknown"`)
}

func (p *tab) reload() {
	p.t.Helper()
	for len(p.loaded) > 0 {
		<-p.loaded
	}
	p.do("Page.reload", map[string]any{"ignoreCache": true})
	p.arrived()
	p.until(`document.body.dataset.line === "live"`)
}

// arrived waits until a document and all it needs are loaded.
func (p *tab) arrived() {
	p.t.Helper()
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case <-p.loaded:
	case <-timer.C:
		p.t.Fatalf("the page was never loaded: %q", p.wrong())
	}
}

// eval returns the value of an expression, awaited.
func eval[T any](p *tab, expression string) T {
	p.t.Helper()
	var out struct {
		Result struct {
			Value json.RawMessage `json:"value"`
		} `json:"result"`
		Exception *struct {
			Text      string `json:"text"`
			Exception struct {
				Description string `json:"description"`
			} `json:"exception"`
		} `json:"exceptionDetails"`
	}
	err := p.b.call(p.session, "Runtime.evaluate", map[string]any{
		"expression": expression, "awaitPromise": true, "returnByValue": true, "userGesture": true}, &out)
	if err != nil {
		p.t.Fatal(err)
	}
	if out.Exception != nil {
		p.t.Fatalf("%s\n%s %s", expression, out.Exception.Text, out.Exception.Exception.Description)
	}
	var value T
	if len(out.Result.Value) > 0 {
		if err := json.Unmarshal(out.Result.Value, &value); err != nil {
			p.t.Fatalf("%s: %v in %s", expression, err, out.Result.Value)
		}
	}
	return value
}

// until waits in the page until a condition holds, and fails the test if it
// never does.
func (p *tab) until(condition string) {
	p.t.Helper()
	holds := eval[bool](p, fmt.Sprintf(`new Promise((done) => {
		const end = Date.now() + %d;
		const look = () => {
			let ok = false;
			try { ok = Boolean(%s); } catch {}
			if (ok || Date.now() > end) done(ok); else setTimeout(look, 20);
		};
		look();
	})`, patience.Milliseconds(), condition))
	if !holds {
		p.t.Fatalf("it never came to hold: %s\ntrouble: %q\nthe page says:\n%.2000s", condition, p.wrong(), strings.Join(strings.Fields(p.text("body")), " "))
	}
}

// text is what a reader sees of the first element that a selector names.
func (p *tab) text(selector string) string {
	p.t.Helper()
	return eval[string](p, fmt.Sprintf(`document.querySelector(%q)?.innerText ?? ""`, selector))
}

// virtual are the codes of keys that are no characters.
var virtual = map[string]int{"Enter": 13, "Tab": 9, "Escape": 27, "ArrowDown": 40, "ArrowUp": 38, "Home": 36, "End": 35}

// press strikes keys, each a character or the name of one.
func (p *tab) press(keys ...string) {
	p.t.Helper()
	for _, key := range keys {
		event := map[string]any{"type": "keyDown", "key": key}
		if code, named := virtual[key]; named {
			event["code"], event["windowsVirtualKeyCode"] = key, code
			if key == "Enter" {
				event["text"] = "\r"
			}
		} else {
			event["text"] = key
		}
		p.do("Input.dispatchKeyEvent", event)
		event["type"] = "keyUp"
		delete(event, "text")
		p.do("Input.dispatchKeyEvent", event)
	}
}

// write strikes one key after the other.
func (p *tab) write(text string) {
	p.t.Helper()
	p.press(strings.Split(text, "")...)
}

// picture is the window as PNG, or the whole page.
func (p *tab) picture(whole bool) []byte {
	p.t.Helper()
	var shot struct {
		Data string `json:"data"`
	}
	options := map[string]any{"format": "png"}
	if whole {
		size := eval[[]float64](p, `[innerWidth, document.documentElement.scrollHeight]`)
		options["captureBeyondViewport"] = true
		options["clip"] = map[string]float64{"x": 0, "y": 0, "width": size[0], "height": size[1], "scale": 1}
	}
	err := p.b.call(p.session, "Page.captureScreenshot", options, &shot)
	if err != nil {
		p.t.Fatal(err)
	}
	png, err := base64.StdEncoding.DecodeString(shot.Data)
	if err != nil {
		p.t.Fatal(err)
	}
	return png
}

// wrong is what went wrong in the page so far.
func (p *tab) wrong() []string {
	p.t.Helper()
	violations := eval[[]string](p, `window.violations ?? []`)
	p.mu.Lock()
	defer p.mu.Unlock()
	return append(slices.Clone(p.trouble), violations...)
}

func (p *tab) asked() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.requests)
}

// event notes what the browser tells of the page.
func (p *tab) event(method string, params json.RawMessage) {
	note := func(format string, args ...any) {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.trouble = append(p.trouble, fmt.Sprintf(format, args...))
	}
	switch method {
	case "Page.loadEventFired":
		select {
		case p.loaded <- struct{}{}:
		default:
		}
	case "Page.javascriptDialogOpening":
		note("dialog: %s", params)
	case "Runtime.exceptionThrown":
		note("exception: %s", params)
	case "Runtime.consoleAPICalled":
		note("console: %s", params)
	case "Log.entryAdded":
		var log struct {
			Entry struct {
				Level string `json:"level"`
				Text  string `json:"text"`
				URL   string `json:"url"`
			} `json:"entry"`
		}
		_ = json.Unmarshal(params, &log)
		note("log: %s: %s %s", log.Entry.Level, log.Entry.Text, log.Entry.URL)
	case "Network.requestWillBeSent":
		var sent struct {
			Request struct {
				URL string `json:"url"`
			} `json:"request"`
		}
		_ = json.Unmarshal(params, &sent)
		p.mu.Lock()
		p.requests = append(p.requests, sent.Request.URL)
		p.mu.Unlock()
	}
}
