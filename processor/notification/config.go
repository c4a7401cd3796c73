package notification

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

const (
	// maxConcurrency keeps a typing error from asking for more connections than
	// a host has ports for.
	maxConcurrency = 1000
	// maxTimeout is far above what an answer is worth waiting for.
	maxTimeout = 5 * time.Minute
)

// Config says whom to tell and how hard to try.
type Config struct {
	Hosts       []string      `env:"HOSTS" help:"hosts that may be notified, on port 443; *.name is any host one label below name"`
	Timeout     time.Duration `env:"TIMEOUT" help:"deadline of one notification, the wait for a free place included"`
	Concurrency int           `env:"CONCURRENCY" help:"notifications in flight at most, each with a connection of its own"`

	// UserAgent is sent with every notification; empty: none.
	UserAgent string `env:"-"`
}

// DefaultConfig returns what holds where nothing else is said. The hosts are ARM
// in the public cloud, as a whole and by region, in the cloud of the US
// government and in the one in China. Which of them ARM uses for its callbacks is
// not documented publicly.
func DefaultConfig() Config {
	return Config{
		Hosts: []string{
			"management.azure.com",
			"*.management.azure.com",
			"management.usgovcloudapi.net",
			"management.chinacloudapi.cn",
		},
		Timeout:     10 * time.Second,
		Concurrency: 16,
		UserAgent:   "opfeed",
	}
}

// Validate reports every problem at once, one line each, by variable. Values are
// not repeated.
func (c Config) Validate() error {
	var problems []error
	if len(c.Hosts) == 0 {
		problems = append(problems, errors.New("HOSTS: missing"))
	}
	for i, entry := range c.Hosts {
		if !plainName(strings.TrimPrefix(normal(entry), "*.")) {
			problems = append(problems, fmt.Errorf(
				"HOSTS: entry %d is neither a full host name nor *. and one: no scheme, port, path, address or final dot", i+1))
		}
	}
	if c.Timeout <= 0 || c.Timeout > maxTimeout {
		problems = append(problems, fmt.Errorf("TIMEOUT: must be positive and at most %v", maxTimeout))
	}
	if c.Concurrency < 1 || c.Concurrency > maxConcurrency {
		problems = append(problems, fmt.Errorf("CONCURRENCY: must be in 1..%d", maxConcurrency))
	}
	return errors.Join(problems...)
}
