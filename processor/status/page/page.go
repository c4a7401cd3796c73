// Package page is the status page of a replica: a few static files that read
// /api/v1 of the server that they come from, and nothing else. There is no build
// step; what is in this folder is what a browser gets.
package page

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"net/http"
	"path"
	"time"
)

// Policy is the page's Content-Security-Policy: its own files and its own
// server, no inline script or style, no frame around it. Text of a document
// that got into the page as markup, by a fault of ours, could still do nothing;
// and where a script would make markup of a text, the browser refuses.
const Policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; " +
	"base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"

//go:embed *.html *.css *.js *.svg
var files embed.FS

// types are the media types by extension. The machine's own table is not asked.
var types = map[string]string{
	".html": "text/html; charset=utf-8",
	".css":  "text/css; charset=utf-8",
	".js":   "text/javascript; charset=utf-8",
	".svg":  "image/svg+xml",
}

// file is one embedded file, ready to be served.
type file struct {
	name string
	body []byte
	tag  string // ETag
}

// Handler serves the page at / and its files beside it; any other path is not
// found. Let only GET and HEAD come to it. The page asks for api/v1 beside itself.
func Handler() http.Handler {
	served := map[string]file{}
	entries, _ := files.ReadDir(".") // embedded: cannot fail
	for _, e := range entries {
		body, _ := files.ReadFile(e.Name())
		sum := sha256.Sum256(body)
		served["/"+e.Name()] = file{e.Name(), body, `"` + hex.EncodeToString(sum[:12]) + `"`}
	}
	served["/"] = served["/index.html"]
	delete(served, "/index.html") // one address for one thing

	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", Policy)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("X-Frame-Options", "DENY")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		f, ok := served[r.URL.Path]
		if !ok {
			http.NotFound(w, r)
			return
		}
		h.Set("Content-Type", types[path.Ext(f.name)])
		// A restart may bring other files: ask each time, get 304 mostly.
		h.Set("Cache-Control", "no-cache")
		h.Set("ETag", f.tag)
		http.ServeContent(w, r, f.name, time.Time{}, bytes.NewReader(f.body))
	})
}
