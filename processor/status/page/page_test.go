package page_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"opfeed/processor/status/page"
)

func get(t *testing.T, method, path string, header ...string) *http.Response {
	t.Helper()
	r := httptest.NewRequest(method, path, nil)
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	page.Handler().ServeHTTP(w, r)
	return w.Result()
}

// sources are the files of the page, by name.
func sources(t *testing.T) map[string]string {
	t.Helper()
	all := map[string]string{}
	for _, pattern := range []string{"*.html", "*.css", "*.js", "*.svg"} {
		names, _ := filepath.Glob(pattern)
		for _, name := range names {
			text, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			all[name] = string(text)
		}
	}
	if len(all) < 5 {
		t.Fatalf("only %d files", len(all))
	}
	return all
}

func TestFilesAreServed(t *testing.T) {
	want := map[string]string{"html": "text/html; charset=utf-8", "css": "text/css; charset=utf-8", "js": "text/javascript; charset=utf-8", "svg": "image/svg+xml"}
	for name, text := range sources(t) {
		path := "/" + strings.TrimSuffix(name, "index.html")
		r := get(t, http.MethodGet, path)
		body, _ := io.ReadAll(r.Body)
		kind := want[strings.TrimPrefix(filepath.Ext(name), ".")]
		if r.StatusCode != http.StatusOK || string(body) != text || r.Header.Get("Content-Type") != kind {
			t.Errorf("%s: %d, %d bytes, %q", path, r.StatusCode, len(body), r.Header.Get("Content-Type"))
		}
		tag := r.Header.Get("ETag")
		if len(tag) < 10 || r.Header.Get("Cache-Control") != "no-cache" {
			t.Errorf("%s: ETag %q, Cache-Control %q", path, tag, r.Header.Get("Cache-Control"))
		}
		if again := get(t, http.MethodGet, path, "If-None-Match", tag); again.StatusCode != http.StatusNotModified {
			t.Errorf("%s, known already: %d", path, again.StatusCode)
		}
		if head := get(t, http.MethodHead, path); head.StatusCode != http.StatusOK || head.ContentLength != r.ContentLength {
			t.Errorf("HEAD %s: %d", path, head.StatusCode)
		}
	}
}

func TestNothingElseIsServed(t *testing.T) {
	for _, path := range []string{"/index.html", "/page.go", "/page_test.go", "/.", "/..", "//page.js", "/page.js/", "/Page.js", "/api/v1/snapshot", "/page.js%00"} {
		r := get(t, http.MethodGet, path)
		if r.StatusCode != http.StatusNotFound {
			t.Errorf("%s: %d", path, r.StatusCode)
		}
		if r.Header.Get("Content-Security-Policy") != page.Policy {
			t.Errorf("%s: no policy", path)
		}
	}
}

func TestHeadersKeepTheBrowserStrict(t *testing.T) {
	for path, code := range map[string]int{"/": 200, "/page.js": 200, "/absent": 404} {
		r := get(t, http.MethodGet, path)
		if r.StatusCode != code {
			t.Errorf("%s: %d", path, r.StatusCode)
		}
		for name, want := range map[string]string{
			"Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; " +
				"base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'",
			"X-Content-Type-Options": "nosniff", "X-Frame-Options": "DENY", "Referrer-Policy": "no-referrer",
			"Cross-Origin-Opener-Policy": "same-origin", "Cross-Origin-Resource-Policy": "same-origin",
		} {
			if have := r.Header.Get(name); have != want {
				t.Errorf("%s: %s is %q", path, name, have)
			}
		}
	}
}

// What would make markup of a text, or need an inline script or style, is not
// used; and no address leads elsewhere.
func TestSourcesKeepTheRules(t *testing.T) {
	forbidden := regexp.MustCompile(`innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function|srcdoc|DOMParser|createContextualFragment|setHTMLUnsafe|\bon[a-z]+\s*=\s*["']|\sstyle\s*=|<style|javascript:|@import|[^L]url\(|//cdn|importScripts|WebAssembly`)
	host := regexp.MustCompile(`(?:https?:)?//[a-z0-9.-]+\.[a-z]{2,}`)
	all := sources(t)
	for name, text := range all {
		if found := forbidden.FindString(text); found != "" {
			t.Errorf("%s holds %q", name, found)
		}
		for _, found := range host.FindAllString(text, -1) {
			if found != "http://www.w3.org" { // the name of SVG
				t.Errorf("%s names a host: %s", name, found)
			}
		}
		if n := strings.Count(text, "\n"); n > 320 {
			t.Errorf("%s has %d lines", name, n)
		}
	}
	// What a file asks for is there, and each file is asked for.
	asks := regexp.MustCompile(`(?:src|href)="([^"#/]+)"|from "\./([^"]+)"`)
	var asked []string
	for name, text := range all {
		for _, m := range asks.FindAllStringSubmatch(text, -1) {
			file := m[1] + m[2]
			asked = append(asked, file)
			if _, ok := all[file]; !ok {
				t.Errorf("%s asks for %s, which is not there", name, file)
			}
		}
	}
	for name := range all {
		if name != "index.html" && !slices.Contains(asked, name) {
			t.Errorf("nobody asks for %s", name)
		}
	}
}
