package notification

import "strings"

// hosts is the allow-list, in lower case.
type hosts struct {
	exact  map[string]bool
	parent map[string]bool // names that any host one label below may be called by
}

func newHosts(entries []string) hosts {
	h := hosts{exact: map[string]bool{}, parent: map[string]bool{}}
	for _, entry := range entries {
		if parent, ok := strings.CutPrefix(normal(entry), "*."); ok {
			h.parent[parent] = true
		} else {
			h.exact[normal(entry)] = true
		}
	}
	return h
}

// allow takes a plain name in lower case. A pattern covers one label, as in a
// certificate: what is further below may be in other hands.
func (h hosts) allow(host string) bool {
	if h.exact[host] {
		return true
	}
	_, parent, _ := strings.Cut(host, ".")
	return h.parent[parent]
}

// normal is the form in which names are compared. Only ASCII is folded: all else
// is no plain name anyway.
func normal(host string) string {
	return strings.Map(func(r rune) rune {
		if 'A' <= r && r <= 'Z' {
			return r + 'a' - 'A'
		}
		return r
	}, strings.TrimSpace(host))
}

// plainName tells whether a name in lower case is a full host name that means the
// same to everybody: at least two labels of letters, digits and inner hyphens; no
// final dot; no internationalised label (xn--); no address in any spelling, whose
// last part would begin with a digit.
func plainName(name string) bool {
	labels := strings.Split(name, ".")
	if len(name) > 253 || len(labels) < 2 {
		return false
	}
	for _, label := range labels {
		if !plainLabel(label) {
			return false
		}
	}
	top := labels[len(labels)-1]
	return 'a' <= top[0] && top[0] <= 'z'
}

func plainLabel(label string) bool {
	if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' {
		return false
	}
	if len(label) >= 4 && label[2:4] == "--" { // xn-- and what is reserved beside it
		return false
	}
	for _, c := range []byte(label) {
		if c != '-' && (c < '0' || c > '9') && (c < 'a' || c > 'z') {
			return false
		}
	}
	return true
}
