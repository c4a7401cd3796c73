package notification

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"
)

func TestURIsThatAreRefused(t *testing.T) {
	list := newHosts(DefaultConfig().Hosts)
	for text, want := range map[string]string{
		"": "missing",
		"https://management.azure.com/" + strings.Repeat("x", maxURI): "too long",
		"http://management.azure.com/x":                               "scheme is not https",
		"ftp://management.azure.com/x":                                "scheme is not https",
		"//management.azure.com/x":                                    "scheme is not https",
		"management.azure.com/x":                                      "scheme is not https",
		"file:///etc/passwd":                                          "scheme is not https",
		"https:management.azure.com/x":                                "host is no plain name",
		"https:///management.azure.com/x":                             "host is no plain name",
		"https://":                                                    "host is no plain name",
		"https://user@management.azure.com/x":                         "has a user",
		"https://user:pass@management.azure.com/x":                    "has a user",
		"https://@management.azure.com/x":                             "has a user",
		"https://management.azure.com@evil.test/x":                    "has a user",
		"https://management.azure.com:443@evil.test/x":                "has a user",
		"https://evil.test/x#@management.azure.com":                   "has a fragment",
		"https://management.azure.com/x#":                             "has a fragment",
		"https://management.azure.com:80/x":                           "port is not 443",
		"https://management.azure.com:8443/x":                         "port is not 443",
		"https://management.azure.com:0443/x":                         "port is not 443",
		"https://management.azure.com:/x":                             "port is not 443",
		"https://management.azure.com:443:80/x":                       "not a URI",
		"https://management.azure.com:x/x":                            "not a URI",
		"https://evil.test/management.azure.com":                      "host is not allowed",
		"https://evil.test/?https://management.azure.com":             "host is not allowed",
		"https://management.azure.com.evil.test/x":                    "host is not allowed",
		"https://evilmanagement.azure.com/x":                          "host is not allowed",
		"https://evil-management.azure.com/x":                         "host is not allowed",
		"https://azure.com/x":                                         "host is not allowed",
		"https://a.b.management.azure.com/x":                          "host is not allowed",
		"https://westus.management.usgovcloudapi.net/x":               "host is not allowed",
		"https://management.azure.com./x":                             "host is no plain name",
		"https://.management.azure.com/x":                             "host is no plain name",
		"https://*.management.azure.com/x":                            "host is no plain name",
		"https://a_b.management.azure.com/x":                          "host is no plain name",
		"https://xn--80ak6aa92e.management.azure.com/x":               "host is no plain name",
		"https://-a.management.azure.com/x":                           "host is no plain name",
		"https://localhost/x":                                         "host is no plain name",
		"https://127.0.0.1/x":                                         "host is no plain name",
		"https://127.1/x":                                             "host is no plain name",
		"https://2130706433/x":                                        "host is no plain name",
		"https://0x7f.0.0.0x1/x":                                      "host is no plain name",
		"https://169.254.169.254/metadata/instance":                   "host is no plain name",
		"https://[::1]/x":                                             "host is no plain name",
		"https://[::ffff:127.0.0.1]:443/x":                            "host is no plain name",
		"https://[fe80::1%25eth0]/x":                                  "host is no plain name",
		"https://management.azure.com%2eevil.test/x":                  "not a URI",
		"https://management.azure.com%00.evil.test/x":                 "not a URI",
		"https://management.azure.com%0d%0aHost:evil.test/x":          "not a URI",
		"https://management.azure.com/%zz":                            "not a URI",
		"https://evil.test\\@management.azure.com/x":                  "holds a character that no URI has",
		"https://management.azure.com\\@evil.test/x":                  "holds a character that no URI has",
		"https://management.azure.com/x y":                            "holds a character that no URI has",
		" https://management.azure.com/x":                             "holds a character that no URI has",
		"https://management.azure.com/x\n":                            "holds a character that no URI has",
		"https://management.azure.com/x\r\nHost: evil.test":           "holds a character that no URI has",
		"https://management.azure.com\t/x":                            "holds a character that no URI has",
		"https://management.azure.com/\x00":                           "holds a character that no URI has",
		"https://management.azure.com/\xff":                           "holds a character that no URI has",
		"https://mаnagement.azure.com/x":                              "holds a character that no URI has", // a Cyrillic а
		"https://management\uFF0Eazure.com/x":                         "holds a character that no URI has", // a fullwidth dot
		"https://\u212Aube.management.azure.com/x":                    "holds a character that no URI has", // the Kelvin sign
	} {
		if target, why := list.target(text); why != want || target != nil {
			t.Errorf("%.100q: have %v, %q, want %q", text, target, why, want)
		}
	}
}

func TestURIsThatAreCalled(t *testing.T) {
	list := newHosts(DefaultConfig().Hosts)
	for text, want := range map[string]string{
		"https://management.azure.com":                         "https://management.azure.com",
		"https://management.azure.com?t=1":                     "https://management.azure.com?t=1",
		"https://management.azure.com/?":                       "https://management.azure.com/?",
		"https://management.azure.com:443/x":                   "https://management.azure.com/x",
		"HTTPS://Management.Azure.COM/Sub/X":                   "https://management.azure.com/Sub/X",
		"https://westus2.management.azure.com/x":               "https://westus2.management.azure.com/x",
		"https://management.usgovcloudapi.net/x":               "https://management.usgovcloudapi.net/x",
		"https://management.chinacloudapi.cn/x":                "https://management.chinacloudapi.cn/x",
		"https://management.azure.com/a%2Fb//../c;d=1,2":       "https://management.azure.com/a%2Fb//../c;d=1,2",
		"https://management.azure.com//evil.test/x":            "https://management.azure.com//evil.test/x",
		"https://management.azure.com/x?t=a+b%2B%zz/=?&&[]'()": "https://management.azure.com/x?t=a+b%2B%zz/=?&&[]'()",
	} {
		target, why := list.target(text)
		if why != "" {
			t.Errorf("%s: refused: %s", text, why)
			continue
		}
		if target.String() != want {
			t.Errorf("%s: would call %s, want %s", text, target, want)
		}
	}
}

func TestLoggable(t *testing.T) {
	for text, want := range map[string]string{
		uri: host,
		"https://user:" + secret + "@evil.test:8080/" + secret + "#" + secret: "evil.test",
		"https://Management.Azure.com./" + secret:                             "[no host name]",
		"https://" + secret + ".\u202Etest/":                                  "[no host name]",
		"mailto:" + secret:                                                    "[no host name]",
		"https://[" + secret:                                                  "[unreadable]",
		secret + "\x00":                                                       "[unreadable]",
		strings.Repeat(secret, 1000):                                          "[too long]",
		"":                                                                    "[no host name]",
	} {
		if have := Loggable(text); have != want {
			t.Errorf("%.100q: have %q, want %q", text, have, want)
		}
	}
}

var errDialed = errors.New("dialed")

// FuzzURI holds that an accepted URI leads where it seems to: the address dialled
// is that of the allowed host that a reader finds between the slashes, whoever
// reads it, and the path and query arrive as they were.
func FuzzURI(f *testing.F) {
	for _, text := range []string{
		uri, "https://management.azure.com:443/a%2Fb?x=%zz", "HTTPS://westus.Management.Azure.com?a#b",
		"https://a@management.azure.com", "https://management.azure.com\\@evil.test", "https://[::1]:443//x",
		"https://management.azure.com:443@evil.test/", "https:management.azure.com/x", "https://127.0.0.1", "https://a.b.example.com./",
	} {
		f.Add(text)
	}
	list := newHosts(append(DefaultConfig().Hosts, host, "*."+host))
	f.Fuzz(func(t *testing.T, text string) {
		target, why := list.target(text)
		if (target == nil) != (why != "") {
			t.Fatalf("%q: %v and %q", text, target, why)
		}
		if target == nil {
			return
		}
		if !list.allow(target.Host) || !plainName(target.Host) || target.Scheme != "https" || target.User != nil {
			t.Fatalf("%q: %v is allowed", text, target)
		}
		// Without net/url.
		rest := text[len("https://"):]
		end := strings.IndexAny(rest+"/", "/?#\\")
		if authority := strings.ToLower(rest[:end]); strings.TrimSuffix(authority, ":443") != target.Host {
			t.Errorf("%q: authority %q, but %s would be called", text, authority, target.Host)
		}
		if want := rest[end:]; target.RequestURI() != want && target.RequestURI() != "/"+want {
			t.Errorf("%q: would ask for %q, want %q", text, target.RequestURI(), want)
		}
		if again, why := list.target(target.String()); why != "" || *again != *target {
			t.Errorf("%q: %v is read as %v, %q", text, target, again, why)
		}
		if address := dialed(t, target); address != target.Host+":443" {
			t.Errorf("%q: %q is dialled", text, address)
		}
	})
}

// dialed returns the address that a request to the URL connects to.
func dialed(t *testing.T, target *url.URL) (address string) {
	t.Helper()
	n := newNetwork()
	n.transport.DialContext = func(_ context.Context, _, to string) (net.Conn, error) {
		address = to
		return nil, errDialed
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, target.String(), http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := n.RoundTrip(req); !errors.Is(err, errDialed) {
		t.Fatalf("round trip: %v", err)
	}
	return address
}
