package notification

import (
	"net/url"
	"strings"
)

const (
	// maxURI is twice what clients of ARM are asked to accept at least.
	maxURI = 8 << 10
	port   = "443"
)

// Loggable is the part of a notification URI that may be shown: its host, or
// words where it has none that is a plain name. The path and query of a URI may
// hold anything, and the query of a real one holds ARM's token.
func Loggable(uri string) string {
	if len(uri) > maxURI {
		return "[too long]"
	}
	u, err := url.Parse(uri)
	if err != nil {
		return "[unreadable]"
	}
	host := normal(u.Hostname())
	if !plainName(host) {
		return "[no host name]"
	}
	return host
}

// target checks a URI and returns what may be called: https, an allowed host in
// lower case, and the path and query as they were. why says what is wrong, ""
// if nothing is; it repeats nothing of the URI.
//
// What net/url would let pass and another parser might read differently is
// refused before and after it: there is no reason for ARM to send it.
func (h hosts) target(uri string) (target *url.URL, why string) {
	switch {
	case uri == "":
		return nil, "missing"
	case len(uri) > maxURI:
		return nil, "too long"
	case strings.ContainsFunc(uri, notInURI):
		return nil, "holds a character that no URI has"
	case strings.Contains(uri, "#"):
		return nil, "has a fragment"
	}
	u, err := url.Parse(uri)
	switch {
	case err != nil:
		return nil, "not a URI"
	case u.Scheme != "https":
		return nil, "scheme is not https"
	case u.User != nil:
		return nil, "has a user"
	}
	host := normal(u.Hostname())
	switch {
	case !plainName(host):
		return nil, "host is no plain name"
	case normal(u.Host) != host && normal(u.Host) != host+":"+port:
		return nil, "port is not " + port
	case !h.allow(host):
		return nil, "host is not allowed"
	}
	return &url.URL{
		Scheme: "https", Host: host,
		Path: u.Path, RawPath: u.RawPath, RawQuery: u.RawQuery, ForceQuery: u.ForceQuery,
	}, ""
}

// notInURI tells which characters RFC 3986 has no place for: among them white
// space, controls, backslashes and all that is not ASCII.
func notInURI(r rune) bool {
	return (r < '0' || r > '9') && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') &&
		!strings.ContainsRune("-._~:/?#[]@!$&'()*+,;=%", r)
}
