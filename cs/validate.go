package cs

import (
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/url"
	"os"
	"strings"
	"time"
)

// maxConcurrency keeps a typing error from asking for a pool that no host has
// ports for.
const maxConcurrency = 10_000

// maxListWindow keeps what a list shows from being old news.
const maxListWindow = 10 * time.Second

// Validate reports every problem at once, one line each, by variable; $NAME in
// it is another variable. Values are not repeated: a password or a key may have
// got into the wrong variable.
func (c Config) Validate() error {
	var problems []error
	check := func(name, why string) {
		if why != "" {
			problems = append(problems, errors.New(name+": "+why))
		}
	}

	check("URL", c.checkBaseURL())
	c.checkCredentials(check)
	check("TOKEN_URL", c.checkTokenURL())
	check("CA_FILE", checkCAFile(c.CAFile))
	if c.Timeout <= 0 {
		check("TIMEOUT", "must be positive")
	}
	if c.Concurrency < 1 || c.Concurrency > maxConcurrency {
		check("CONCURRENCY", fmt.Sprintf("must be in 1..%d", maxConcurrency))
	}
	if !(c.Rate >= 0) || c.Rate > 1e9 { // also refuses NaN
		check("RATE", "must be in 0..1e9")
	}
	if c.Breaker < 0 {
		check("BREAKER", "must not be negative")
	}
	if c.Breaker > 0 && (c.BreakerProbe <= 0 || c.BreakerProbe > maxProbePause) {
		check("BREAKER_PROBE", fmt.Sprintf("must be positive, and %v at most", maxProbePause))
	}
	if c.ListPolling && (c.ListWindow <= 0 || c.ListWindow > maxListWindow) {
		check("LIST_WINDOW", fmt.Sprintf("must be positive, and %v at most", maxListWindow))
	}
	return errors.Join(problems...)
}

// checkCredentials wants those of the chosen way, and no others: what is set and
// not used is a mistake that would show only when it is needed.
func (c Config) checkCredentials(check func(name, why string)) {
	switch c.Auth {
	case AuthNone, AuthToken, AuthClient:
	default:
		check("AUTH", "neither none nor token nor client")
		return
	}
	for _, v := range []struct {
		name, way string
		set       bool
	}{
		{"TOKEN", AuthToken, c.Token != ""},
		{"CLIENT_ID", AuthClient, c.ClientID != ""},
		{"CLIENT_SECRET", AuthClient, c.ClientSecret != ""},
	} {
		switch {
		case v.way == c.Auth && !v.set:
			check(v.name, "missing, but $AUTH is "+c.Auth)
		case v.way != c.Auth && v.set:
			check(v.name, "set, but $AUTH is "+c.Auth)
		}
	}
	if _, err := c.asksForTokens(); err != nil {
		check("TOKEN", err.Error())
	}
}

func (c Config) checkBaseURL() string {
	if why := checkURL(c.URL, false); why != "" {
		return why
	}
	if c.Auth != AuthNone && insecure(c.URL) {
		return "credentials are not sent over plain http, except to this machine: use https or $AUTH none"
	}
	return ""
}

func (c Config) checkTokenURL() string {
	if c.TokenURL == "" {
		if asks, err := c.asksForTokens(); err == nil && asks && c.Auth == AuthToken {
			return "missing, but $TOKEN is a refresh or offline token, which would be sent there"
		}
		return ""
	}
	if why := checkURL(c.TokenURL, true); why != "" {
		return why
	}
	if insecure(c.TokenURL) {
		return "credentials are not sent over plain http, except to this machine"
	}
	return ""
}

// asksForTokens reports whether calls need an access token that is still to be
// had. The error says what is wrong with the token that is set.
func (c Config) asksForTokens() (bool, error) {
	if c.Auth != AuthToken || c.Token == "" {
		return c.Auth == AuthClient, nil
	}
	return refreshes(c.Token.Reveal())
}

// checkCAFile says what is wrong with a file of certificates; "" is fine.
func checkCAFile(path string) string {
	if path == "" {
		return ""
	}
	pem, err := os.ReadFile(path)
	var cause *fs.PathError
	switch {
	case errors.As(err, &cause):
		return "cannot be read: " + cause.Err.Error()
	case err != nil:
		return "cannot be read"
	case !x509.NewCertPool().AppendCertsFromPEM(pem):
		return "holds no certificate in PEM"
	}
	return ""
}

// checkURL says what is wrong with a URL; "" is fine.
func checkURL(text string, path bool) string {
	if text == "" {
		return "missing"
	}
	u, err := url.Parse(text)
	switch {
	case err != nil:
		return "not a URL"
	case u.Scheme != "http" && u.Scheme != "https":
		return "scheme is neither http nor https"
	case u.Hostname() == "":
		return "no host"
	case u.User != nil:
		return "has a user or password in it"
	case u.RawQuery != "" || u.Fragment != "":
		return "has a query or fragment"
	case !path && u.Path != "" && u.Path != "/":
		return "has a path, which would be dropped"
	}
	return ""
}

// insecure reports whether what is sent to the URL could be read on the way.
func insecure(text string) bool {
	u, err := url.Parse(text)
	if err != nil || u.Scheme == "https" {
		return false
	}
	host := u.Hostname()
	if strings.EqualFold(host, "localhost") {
		return false
	}
	ip := net.ParseIP(host)
	return ip == nil || !ip.IsLoopback()
}
