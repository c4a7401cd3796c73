package service

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sourcegraph/conc/panics"
	"go.uber.org/zap"

	"opfeed/processor/status"
	"opfeed/processor/status/page"
)

// surfaces is a service that does not run, with its log.
func surfaces(t *testing.T, tune func(*Config)) (*Service, *bytes.Buffer) {
	t.Helper()
	cfg, out := testConfig(t), new(bytes.Buffer)
	cfg.AdminListen = "127.0.0.1:0"
	if tune != nil {
		tune(&cfg)
	}
	log, level, err := NewLogger("info", FormatJSON, out)
	if err != nil {
		t.Fatal(err)
	}
	s, err := New(cfg, Deps{Cosmos: newAccount(), CS: &clusterService{}, Log: log, Level: level})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.closeClients)
	return s, out
}

// asked is the answer to one request of a client that knows the name.
func asked(h http.Handler, method, path, body string, edit ...func(*http.Request)) *httptest.ResponseRecorder {
	w, r := httptest.NewRecorder(), httptest.NewRequest(method, path, strings.NewReader(body))
	r.Host = "127.0.0.1:8081"
	for _, f := range edit {
		f(r)
	}
	h.ServeHTTP(w, r)
	return w
}

func header(name, value string) func(*http.Request) {
	return func(r *http.Request) { r.Header.Set(name, value) }
}

func TestEveryAnswerHasItsHeaders(t *testing.T) {
	s, _ := surfaces(t, func(c *Config) { c.Pprof = true })
	for _, c := range []struct {
		h            http.Handler
		method, path string
		code         int
	}{
		{s.Handler(), "GET", "/healthz", 200},
		{s.Handler(), "HEAD", "/healthz", 200},
		{s.Handler(), "GET", "/readyz", 503},
		{s.Handler(), "GET", "/metrics", 200},
		{s.Handler(), "GET", "/", 404},
		{s.Handler(), "GET", "/absent", 404},
		{s.Handler(), "POST", "/readyz", 405},
		{s.Handler(), "GET", "/api/v1/snapshot", 404},
		{s.Handler(), "GET", "/api/v1/log-level", 404},
		{s.Handler(), "GET", "/debug/pprof/", 404},
		{s.AdminHandler(), "GET", "/api/v1/snapshot", 200},
		{s.AdminHandler(), "HEAD", "/api/v1/snapshot", 200},
		{s.AdminHandler(), "GET", "/api/v1/operations", 200},
		{s.AdminHandler(), "GET", "/api/v1/operations?limit=1001", 400},
		{s.AdminHandler(), "GET", "/api/v1/transitions", 200},
		{s.AdminHandler(), "GET", "/api/v1/history", 200},
		{s.AdminHandler(), "HEAD", "/api/v1/events", 200},
		{s.AdminHandler(), "GET", "/api/v1/log-level", 200},
		{s.AdminHandler(), "PUT", "/api/v1/log-level", 415},
		{s.AdminHandler(), "POST", "/api/v1/log-level", 405},
		{s.AdminHandler(), "PUT", "/api/v1/snapshot", 405},
		{s.AdminHandler(), "DELETE", "/api/v1/operations", 405},
		{s.AdminHandler(), "POST", "/", 405},
		{s.AdminHandler(), "POST", "/page.js", 405},
		{s.AdminHandler(), "GET", "/api/v1/", 404},
		{s.AdminHandler(), "GET", "/api/v1/snapshot/x", 404},
		{s.AdminHandler(), "GET", "/absent", 404},
		{s.AdminHandler(), "GET", "/metrics", 404},
		{s.AdminHandler(), "GET", "/healthz", 404},
		{s.AdminHandler(), "GET", "/debug/pprof/", 200},
		{s.AdminHandler(), "GET", "/debug/pprof/heap", 200},
		{s.AdminHandler(), "GET", "/debug/pprof/cmdline", 200},
		{s.AdminHandler(), "POST", "/debug/pprof/symbol", 405},
		{s.AdminHandler(), "GET", "/debug/pprof/absent", 404},
	} {
		w := asked(c.h, c.method, c.path, "")
		if w.Code != c.code {
			t.Errorf("%s %s: status %d, want %d", c.method, c.path, w.Code, c.code)
		}
		h := w.Header()
		if h.Get("Content-Security-Policy") != page.Policy || h.Get("X-Content-Type-Options") != "nosniff" ||
			h.Get("Referrer-Policy") != "no-referrer" || h.Get("Cache-Control") != "no-store" ||
			h.Get("Cross-Origin-Resource-Policy") != "same-origin" {
			t.Errorf("%s %s: headers %v", c.method, c.path, h)
		}
	}
}

// Whoever lets a name of theirs lead to this machine, or lets a browser write what
// its user did not, gets nothing.
func TestOtherNamesAndSitesAreRefused(t *testing.T) {
	s, _ := surfaces(t, func(c *Config) { c.PageURL, c.Pprof = "https://opfeed.example/replica-1/", true })
	for host, code := range map[string]int{
		"127.0.0.1": 200, "127.0.0.1:8081": 200, "10.1.2.3:8081": 200, "[::1]:8081": 200, "[::1]": 200, "::1": 200,
		"localhost": 200, "LocalHost:9": 200, "opfeed.example": 200, "OPFEED.example:443": 200,
		"evil.example": 421, "evil.example:8081": 421, "localhost.evil.example": 421, "127.0.0.1.evil.example": 421,
		"opfeed.example.evil.example": 421, "": 421, "127.0.0.1@evil.example": 421, "x:y:z": 421, "[evil.example]": 421,
	} {
		w := asked(s.AdminHandler(), "GET", "/api/v1/snapshot", "", func(r *http.Request) { r.Host = host })
		if w.Code != code || w.Header().Get("Content-Security-Policy") == "" {
			t.Errorf("host %q: status %d, want %d", host, w.Code, code)
		}
	}
	if w := asked(s.Handler(), "GET", "/healthz", "", func(r *http.Request) { r.Host = "opfeed.ns.svc" }); w.Code != 200 {
		t.Errorf("a probe by another name: status %d", w.Code)
	}

	gone, leave := context.WithCancel(t.Context())
	leave() // so that a stream that is answered ends
	// site, mode and destination are what browsers tell of who asks for what.
	for _, c := range []struct {
		site, mode, destination, path string
		code                          int
	}{
		{"", "", "", "/api/v1/history", 200}, // curl
		{"none", "navigate", "document", "/api/v1/history", 200},
		{"same-origin", "cors", "empty", "/api/v1/history", 200},
		{"cross-site", "navigate", "document", "/", 200}, // a link
		{"same-site", "navigate", "document", "/", 200},
		{"cross-site", "cors", "empty", "/api/v1/history", 403},
		{"cross-site", "no-cors", "image", "/api/v1/history", 403},
		{"cross-site", "no-cors", "script", "/page.js", 403},
		{"cross-site", "cors", "empty", "/api/v1/events", 403},
		{"same-site", "cors", "empty", "/api/v1/events", 403}, // another port of this machine
		{"cross-site", "navigate", "iframe", "/", 403},
		{"cross-site", "navigate", "iframe", "/api/v1/events", 403},
		{"none", "navigate", "document", "/debug/pprof/cmdline", 200},
		{"same-origin", "navigate", "document", "/debug/pprof/cmdline", 200},
		{"cross-site", "navigate", "document", "/debug/pprof/cmdline", 403},
		{"same-site", "navigate", "document", "/debug/pprof/", 403},
	} {
		w := asked(s.AdminHandler(), "GET", c.path, "", func(r *http.Request) {
			*r = *r.WithContext(gone)
			for name, value := range map[string]string{"Sec-Fetch-Site": c.site, "Sec-Fetch-Mode": c.mode, "Sec-Fetch-Dest": c.destination} {
				if value != "" {
					r.Header.Set(name, value)
				}
			}
		})
		if w.Code != c.code || w.Header().Get("Content-Security-Policy") == "" {
			t.Errorf("%+v: status %d", c, w.Code)
		}
	}

	const body = `{"level":"debug"}`
	json := header("Content-Type", "application/json")
	for what, c := range map[string]struct {
		edit []func(*http.Request)
		code int
	}{
		"curl":             {[]func(*http.Request){json}, 200},
		"our page":         {[]func(*http.Request){json, header("Sec-Fetch-Site", "same-origin")}, 200},
		"another site":     {[]func(*http.Request){json, header("Sec-Fetch-Site", "cross-site")}, 403},
		"another origin":   {[]func(*http.Request){json, header("Origin", "http://evil.example")}, 403},
		"a form":           {[]func(*http.Request){header("Content-Type", "text/plain")}, 415},
		"a form in a form": {[]func(*http.Request){header("Content-Type", "application/x-www-form-urlencoded")}, 415},
		"no type":          {nil, 415},
	} {
		if w := asked(s.AdminHandler(), "PUT", "/api/v1/log-level", body, c.edit...); w.Code != c.code {
			t.Errorf("%s: status %d, want %d: %s", what, w.Code, c.code, w.Body)
		}
	}
}

func TestLogLevel(t *testing.T) {
	s, out := surfaces(t, nil)
	set := func(body string) int {
		return asked(s.AdminHandler(), "PUT", "/api/v1/log-level", body, header("Content-Type", "application/json; charset=utf-8")).Code
	}
	shows := func() string {
		var have struct{ Level string }
		_ = json.Unmarshal(asked(s.AdminHandler(), "GET", "/api/v1/log-level", "").Body.Bytes(), &have)
		return have.Level
	}
	for _, body := range []string{
		``, `{}`, `"debug"`, `{"level":"loud"}`, `{"level":"fatal"}`, `{"level":"dpanic"}`, `{"level":1}`, `{"level":"debug","for":"1m"}`,
		`{"level":"` + strings.Repeat(" ", 2000) + `debug"}`, strings.Repeat(" ", 2000) + `{"level":"debug"}`,
	} {
		if code := set(body); code != http.StatusBadRequest || shows() != "info" || out.Len() > 0 {
			t.Errorf("%.40q: status %d, level %s, log %s", body, code, shows(), out)
		}
	}
	s.log.Debug("unseen")
	for _, c := range []struct {
		to   string
		told int
	}{{"debug", 1}, {"debug", 0}, {"error", 1}, {"warn", 1}, {"error", 1}, {"info", 1}, {"debug", 1}} {
		out.Reset()
		if code := set(`{"level":"` + c.to + `"}`); code != 200 || shows() != c.to {
			t.Errorf("to %s: status %d, level %s", c.to, code, shows())
		}
		if have := strings.Count(out.String(), `"log level changed"`); have != c.told || strings.Count(out.String(), "\n") != have {
			t.Errorf("to %s: told %d times, want %d: %s", c.to, have, c.told, out)
		}
	}
	out.Reset()
	s.log.Debug("seen")
	if !strings.Contains(out.String(), `"seen"`) {
		t.Error("the level does not change what is logged")
	}
	s.deps.Level = nil
	if code := set(`{"level":"info"}`); code != http.StatusNotFound {
		t.Errorf("without a level: status %d", code)
	}
}

func TestProfilesAreForThoseWhoAsk(t *testing.T) {
	s, _ := surfaces(t, nil)
	for _, path := range []string{"/debug/pprof/", "/debug/pprof/heap", "/debug/pprof/cmdline", "/debug/pprof/profile?seconds=1"} {
		if w := asked(s.AdminHandler(), "GET", path, ""); w.Code != http.StatusNotFound {
			t.Errorf("%s: status %d", path, w.Code)
		}
	}
}

// TestWedged: the probes never wait for the engine, and tell when it does not come
// to an end with what takes no time.
func TestWedged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var listed, stuck atomic.Bool
		listed.Store(true)
		release := make(chan struct{})
		r := start(t, testConfig(t), Deps{Cosmos: newAccount(), CS: &clusterService{}}, idle(&listed), func(s *Service) {
			wire := s.wire
			s.wire = func(st *stores) (*engine, error) {
				e, err := wire(st)
				e.snapshot = func() status.Snapshot {
					if stuck.Load() {
						<-release
					}
					return status.Snapshot{}
				}
				return e, err
			}
		})
		pause(t.Context(), time.Hour)
		if code, body := r.get("/healthz"); code != 200 || body != "ok\n" {
			t.Errorf("after an hour: %d %s", code, body)
		}
		stuck.Store(true)
		pause(t.Context(), 50*time.Second)
		began := time.Now()
		if code, body := r.get("/healthz"); code != 200 || time.Since(began) > 0 {
			t.Errorf("after 50 s: %d %s in %v", code, body, time.Since(began))
		}
		pause(t.Context(), 30*time.Second)
		if code, body := r.get("/healthz"); code != 503 || !strings.HasPrefix(body, "stuck: ") {
			t.Errorf("after 80 s: %d %s", code, body)
		}
		if code, _ := r.conditions(t); code != 200 {
			t.Errorf("ready: %d", code)
		}
		// As after a SIGSTOP: late, but coming round.
		result := make(chan int)
		go func() { code, _ := r.get("/healthz"); result <- code }()
		pause(t.Context(), 500*time.Millisecond)
		stuck.Store(false)
		close(release)
		if code := <-result; code != 200 {
			t.Errorf("coming round: %d", code)
		}
		r.stop()
		if err := <-r.result; err != nil {
			t.Error(err)
		}
		pause(t.Context(), time.Hour)
		if code, _ := r.get("/healthz"); code != 200 {
			t.Errorf("stopped: %d", code)
		}
	})
}

// TestPanickedWatchIsMissed: the probes do not go on telling what a watch that has
// died saw last.
func TestPanickedWatchIsMissed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, err := New(testConfig(t), Deps{Cosmos: newAccount(), CS: &clusterService{}})
		if err != nil {
			t.Fatal(err)
		}
		s.running.Store(&engine{settled: func() error { panic("settled") }})
		if panics.Try(func() { s.watch(t.Context()) }) == nil {
			t.Fatal("no panic")
		}
		pause(t.Context(), 2*time.Minute)
		if w := asked(s.Handler(), "GET", "/healthz", ""); w.Code != http.StatusServiceUnavailable {
			t.Errorf("status %d", w.Code)
		}
	})
}

// Whatever a document says, a log line stays one line that reads as it is.
func TestLogLinesDoNotMislead(t *testing.T) {
	const hostile = "a\u202eb\u2066c\u200fd\u009b31me\u2028f\ufeffg\u007fh é→ \u200bi\u2062j\u00adk\u2800l\u00a0m\u3000n\u3164o\U0001D173p\U000E0041q\ufe0fr\u034f\u2003"
	for _, format := range []string{FormatJSON, FormatConsole} {
		var out bytes.Buffer
		log, _, err := NewLogger("info", format, &out)
		if err != nil {
			t.Fatal(err)
		}
		log.Named("n\u202e").Info("constant", zap.String("name", hostile))
		line := out.String()
		if strings.ContainsFunc(line, misleads) || strings.ContainsAny(line, "\u200b\u2062\u00ad\u2800\u00a0\u3000\u3164\U0001D173\U000E0041\ufe0f\u034f\u2003") || strings.Count(line, "\n") != 1 || !strings.Contains(line, "h é→") {
			t.Errorf("%s: %q", format, line)
		}
		var fields struct{ Name string }
		_, object, _ := strings.Cut(line, "{")
		if err := json.Unmarshal([]byte("{"+object), &fields); err != nil || fields.Name != hostile {
			t.Errorf("%s: means %q, %v", format, fields.Name, err)
		}
	}
}
