package leases

import (
	"errors"
	"fmt"
	"time"
)

// Config holds the intervals of a Manager. Every replica of one processor must
// use the same Expiry. Start from DefaultConfig.
type Config struct {
	AcquireInterval    time.Duration `env:"ACQUIRE_INTERVAL" help:"how often the leases are listed and free or expired ones taken"`
	RenewInterval      time.Duration `env:"RENEW_INTERVAL" help:"how long after its last write a held lease is renewed"`
	Expiry             time.Duration `env:"EXPIRY" help:"a lease that has not changed for this long may be taken by others; the same on all replicas"`
	Margin             time.Duration `env:"MARGIN" help:"how long before others may take it a lease that could not be renewed is given up"`
	CheckpointInterval time.Duration `env:"CHECKPOINT_INTERVAL" help:"at most one checkpoint per range is written in this time"`
	CallTimeout        time.Duration `env:"CALL_TIMEOUT" help:"deadline of one read or write of a lease"`
}

// DefaultConfig lists every 2 s, renews every 4 s, checkpoints every 3 s, expires
// after 10 s with a margin of 2 s, and gives a call 2 s. A checkpoint that rides on a
// renewal costs nothing; one that is 3 s old costs a crash a few looks more.
func DefaultConfig() Config {
	return Config{
		AcquireInterval:    2 * time.Second,
		RenewInterval:      4 * time.Second,
		Expiry:             10 * time.Second,
		Margin:             2 * time.Second,
		CheckpointInterval: 3 * time.Second,
		CallTimeout:        2 * time.Second,
	}
}

// Validate reports every problem at once, each by its variable's name.
func (c Config) Validate() error {
	var problems []error
	problem := func(format string, args ...any) { problems = append(problems, fmt.Errorf(format, args...)) }
	for _, v := range []struct {
		name  string
		value time.Duration
	}{
		{"ACQUIRE_INTERVAL", c.AcquireInterval},
		{"RENEW_INTERVAL", c.RenewInterval},
		{"EXPIRY", c.Expiry},
		{"MARGIN", c.Margin},
		{"CHECKPOINT_INTERVAL", c.CheckpointInterval},
		{"CALL_TIMEOUT", c.CallTimeout},
	} {
		if v.value <= 0 {
			problem("%s: %s is not above 0", v.name, v.value)
		}
	}
	// One renewal may run into its deadline, and its retry must still end inside
	// the window.
	if window, need := c.Expiry-c.Margin, c.RenewInterval+2*c.CallTimeout; window < need {
		problem("EXPIRY: less MARGIN it is %s, which is under RENEW_INTERVAL and twice CALL_TIMEOUT (%s)", window, need)
	}
	// A host without a lease renews its record with its listings, and is seen by
	// those of others.
	if need := c.RenewInterval + 2*c.AcquireInterval; c.Expiry < need {
		problem("EXPIRY: it is %s, which is under RENEW_INTERVAL and twice ACQUIRE_INTERVAL (%s)", c.Expiry, need)
	}
	return errors.Join(problems...)
}
