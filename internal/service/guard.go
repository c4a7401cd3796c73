package service

import (
	"net"
	"net/http"
	"net/url"
	"strings"

	"opfeed/processor/status/page"
)

// guarded gives every answer, errors included, the headers that keep browsers from
// doing more with it than it is for.
func guarded(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for name, value := range map[string]string{
			"Content-Security-Policy":      page.Policy,
			"X-Content-Type-Options":       "nosniff",
			"Referrer-Policy":              "no-referrer",
			"Cross-Origin-Opener-Policy":   "same-origin",
			"Cross-Origin-Resource-Policy": "same-origin",
			"Cache-Control":                "no-store",
		} {
			w.Header().Set(name, value)
		}
		h.ServeHTTP(w, r)
	})
}

// ours answers requests under a name that is ours alone, and none that a page of
// somebody else orders. Without that, whoever lets a name of theirs lead to this
// machine reads through the browser of an operator what is served here.
func (s *Service) ours(h http.Handler) http.Handler {
	h = http.NewCrossOriginProtection().Handler(h)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !s.named(r.Host) {
			http.Error(w, "this name is not known here: use an IP address or localhost, or set "+Prefix+"PAGE_URL", http.StatusMisdirectedRequest)
			return
		}
		if sent(r) {
			http.Error(w, "another site has sent this browser", http.StatusForbidden)
			return
		}
		h.ServeHTTP(w, r)
	})
}

// sent tells whether the page of another site has this asked. It cannot read the
// answer, but could take all streams, or have a profile made. A link that a person
// follows, as from the page of another replica, is none of that; to a profile there
// is no link.
func sent(r *http.Request) bool {
	h := r.Header
	if site := h.Get("Sec-Fetch-Site"); site != "cross-site" && site != "same-site" {
		return false
	}
	followed := h.Get("Sec-Fetch-Mode") == "navigate" && h.Get("Sec-Fetch-Dest") == "document"
	return !followed || strings.HasPrefix(r.URL.Path, "/debug/")
}

func (s *Service) named(host string) bool {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	host = strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")
	if net.ParseIP(host) != nil || strings.EqualFold(host, "localhost") {
		return true
	}
	page, err := url.Parse(s.cfg.PageURL)
	return err == nil && page.Hostname() != "" && strings.EqualFold(host, page.Hostname())
}
