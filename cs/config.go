package cs

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/url"
	"os"
	"strings"
	"time"

	"opfeed/internal/envconf"
)

// How the client proves who it is: the values of Config.Auth.
const (
	AuthNone   = "none"
	AuthToken  = "token"
	AuthClient = "client"
)

// Config says where Cluster Service is and how hard it may be asked. The names
// in the env tags follow the prefix OPFEED_CS_.
type Config struct {
	URL          string         `env:"URL" help:"base URL of Cluster Service, http or https, without a path"`
	Auth         string         `env:"AUTH" help:"none, token (a token as it is) or client (client credentials)"`
	Token        envconf.Secret `env:"TOKEN" help:"access or offline token (a JWT) for auth token"`
	ClientID     string         `env:"CLIENT_ID" help:"client id for auth client"`
	ClientSecret envconf.Secret `env:"CLIENT_SECRET" help:"client secret for auth client"`
	TokenURL     string         `env:"TOKEN_URL" help:"where tokens are asked for; empty: Red Hat single sign-on"`
	CAFile       string         `env:"CA_FILE" help:"PEM file of certificate authorities to trust besides those of the system"`
	Timeout      time.Duration  `env:"TIMEOUT" help:"deadline of one call"`
	Concurrency  int            `env:"CONCURRENCY" help:"calls in flight at most"`
	Rate         float64        `env:"RATE" help:"calls a second at most; 0: no limit"`

	// UserAgent is sent with every call; its first word up to a slash is the
	// name the caller is known by.
	UserAgent string `env:"-"`
}

// DefaultConfig returns what holds where nothing else is said. The URL has no
// default.
func DefaultConfig() Config {
	return Config{
		Auth:        AuthNone,
		Timeout:     10 * time.Second,
		Concurrency: 64,
		UserAgent:   "opfeed",
	}
}

// maxConcurrency keeps a typing error from asking for a pool that no host has
// ports for.
const maxConcurrency = 10_000

// Validate reports every problem at once, each by the name of its variable.
func (c Config) Validate() error {
	var problems []error
	problem := func(name, format string, args ...any) {
		problems = append(problems, fmt.Errorf("OPFEED_CS_"+name+": "+format, args...))
	}

	if why := checkURL(c.URL, false); why != "" {
		problem("URL", "%s", why)
	} else if c.Auth != AuthNone && insecure(c.URL) {
		problem("URL", "credentials are not sent over plain http, except to this machine: use https or OPFEED_CS_AUTH none")
	}

	switch c.Auth {
	case AuthNone:
		if c.Token != "" {
			problem("TOKEN", "set, but OPFEED_CS_AUTH is none")
		}
		if c.ClientSecret != "" {
			problem("CLIENT_SECRET", "set, but OPFEED_CS_AUTH is none")
		}
	case AuthToken:
		if c.Token == "" {
			problem("TOKEN", "missing, but OPFEED_CS_AUTH is token")
		} else if strings.Count(c.Token.Reveal(), ".") != 2 {
			// The SDK would take it for a refresh token and send it elsewhere.
			problem("TOKEN", "not a JWT")
		}
		if c.ClientSecret != "" {
			problem("CLIENT_SECRET", "set, but OPFEED_CS_AUTH is token")
		}
	case AuthClient:
		if c.ClientID == "" {
			problem("CLIENT_ID", "missing, but OPFEED_CS_AUTH is client")
		}
		if c.ClientSecret == "" {
			problem("CLIENT_SECRET", "missing, but OPFEED_CS_AUTH is client")
		}
		if c.Token != "" {
			problem("TOKEN", "set, but OPFEED_CS_AUTH is client")
		}
	default:
		problem("AUTH", "neither none nor token nor client")
	}
	if c.TokenURL != "" {
		if why := checkURL(c.TokenURL, true); why != "" {
			problem("TOKEN_URL", "%s", why)
		} else if insecure(c.TokenURL) {
			problem("TOKEN_URL", "credentials are not sent over plain http, except to this machine")
		}
	}

	if c.CAFile != "" {
		// Values are not repeated: a key may have slipped into the wrong variable.
		var cause *fs.PathError
		if info, err := os.Stat(c.CAFile); errors.As(err, &cause) {
			problem("CA_FILE", "%w", cause.Err)
		} else if err != nil {
			problem("CA_FILE", "cannot be read")
		} else if info.IsDir() {
			problem("CA_FILE", "is a folder")
		}
	}
	if c.Timeout <= 0 {
		problem("TIMEOUT", "%v is not above 0", c.Timeout)
	}
	if c.Concurrency < 1 || c.Concurrency > maxConcurrency {
		problem("CONCURRENCY", "%d is not in 1..%d", c.Concurrency, maxConcurrency)
	}
	if !(c.Rate >= 0) || c.Rate > 1e9 { // also refuses NaN
		problem("RATE", "%v is not in 0..1e9", c.Rate)
	}
	return errors.Join(problems...)
}

// checkURL says what is wrong with a URL, without repeating it: somebody may
// have put a password in.
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
