package cs

import (
	"time"

	"opfeed/internal/envconf"
)

// How the client proves who it is: the values of Config.Auth.
const (
	AuthNone   = "none"
	AuthToken  = "token"
	AuthClient = "client"
)

// Config says where Cluster Service is and how hard it may be asked.
type Config struct {
	URL          string         `env:"URL" help:"base URL of Cluster Service, http or https, without a path"`
	Auth         string         `env:"AUTH" help:"none, token (a token as it is) or client (client credentials)"`
	Token        envconf.Secret `env:"TOKEN" help:"access, refresh or offline token (a JWT) for auth token"`
	ClientID     string         `env:"CLIENT_ID" help:"client id for auth client"`
	ClientSecret envconf.Secret `env:"CLIENT_SECRET" help:"client secret for auth client"`
	TokenURL     string         `env:"TOKEN_URL" help:"where tokens are asked for; a refresh or offline token needs it; empty, for auth client: Red Hat single sign-on"`
	CAFile       string         `env:"CA_FILE" help:"PEM file of certificate authorities to trust besides those of the system"`
	Timeout      time.Duration  `env:"TIMEOUT" help:"deadline of one call, and, before it, of the wait for a free place and for the rate limit"`
	Concurrency  int            `env:"CONCURRENCY" help:"calls in flight at most"`
	Rate         float64        `env:"RATE" help:"calls a second at most; 0: no limit"`

	Breaker      int           `env:"BREAKER" help:"calls in a row without any answer, over 15s and several objects, after which calls fail at once, but for probes; 0: never"`
	BreakerProbe time.Duration `env:"BREAKER_PROBE" help:"between probes while calls fail at once, if Cluster Service does not ask for a longer pause"`

	ListPolling bool          `env:"LIST_POLLING" help:"learn from lists, where many objects are due, that nothing has changed"`
	ListWindow  time.Duration `env:"LIST_WINDOW" help:"how old such a list may be, and how far ahead it looks; a quarter of the sweep interval if that is less"`

	// UserAgent is sent with every call; its first word up to a slash is the
	// name the caller is known by.
	UserAgent string `env:"-"`
}

// DefaultConfig returns what holds where nothing else is said. The URL has no
// default.
func DefaultConfig() Config {
	return Config{
		Auth:         AuthNone,
		Timeout:      10 * time.Second,
		Concurrency:  64,
		Breaker:      5,
		BreakerProbe: 5 * time.Second,
		ListPolling:  true,
		ListWindow:   2500 * time.Millisecond,
		UserAgent:    "opfeed",
	}
}
