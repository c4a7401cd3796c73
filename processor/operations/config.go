package operations

import (
	"errors"
	"fmt"
	"time"
)

// Config holds the times that steps keep to.
type Config struct {
	PollInterval time.Duration `env:"POLL_INTERVAL" help:"time between two looks at an operation that has not ended"`
	SettleTime   time.Duration `env:"SETTLE_TIME" help:"time from the first look at an update, or a revocation, after which an unchanged outcome is believed to be its own"`
	UnseenGrace  time.Duration `env:"UNSEEN_GRACE" help:"age of an operation from which a 404 on an object that was never seen is believed"`
	ConfirmDelay time.Duration `env:"CONFIRM_DELAY" help:"time between the two looks that a 404, or the outcome of an update or of a revocation, must be seen on"`

	ExactInterval time.Duration `env:"EXACT_INTERVAL" help:"how long, at most, lists of Cluster Service are believed that an object is unchanged before it is asked for itself"`

	DeadlineCreate     time.Duration `env:"DEADLINE_CREATE" help:"age at which a create that has not ended has failed, if Cluster Service answers"`
	DeadlineUpdate     time.Duration `env:"DEADLINE_UPDATE" help:"the same of an update"`
	DeadlineDelete     time.Duration `env:"DEADLINE_DELETE" help:"the same of a delete"`
	DeadlineCredential time.Duration `env:"DEADLINE_CREDENTIAL" help:"the same of a request for a credential, or of a revocation"`
	DeadlineConfirm    time.Duration `env:"DEADLINE_CONFIRM" help:"how long Cluster Service must have answered without ending an operation that is past its deadline; its silence fails nothing"`

	Lock    LockConfig    `envPrefix:"LOCK_"`
	Timeout time.Duration `env:"TIMEOUT" help:"time limit of one call to Cosmos DB"`

	Outbox OutboxConfig `envPrefix:"NOTIFICATION_"`
}

// maxExactInterval is for how long nothing but lists may be asked for: see listed.go.
const maxExactInterval = time.Minute

// DefaultConfig returns the defaults.
func DefaultConfig() Config {
	return Config{
		PollInterval: 10 * time.Second,
		SettleTime:   30 * time.Second,
		UnseenGrace:  120 * time.Second,
		ConfirmDelay: time.Second,

		ExactInterval: time.Minute,

		DeadlineCreate:     time.Hour,
		DeadlineUpdate:     time.Hour,
		DeadlineDelete:     12 * time.Hour,
		DeadlineCredential: 20 * time.Minute,
		DeadlineConfirm:    5 * time.Minute,

		Lock:    DefaultLockConfig(),
		Timeout: 10 * time.Second,

		Outbox: DefaultOutboxConfig(),
	}
}

// Validate reports every problem at once, one line each, by variable. The nested
// configurations have a Validate each.
func (c Config) Validate() error {
	var problems []error
	positive := func(name string, d time.Duration) {
		if d <= 0 {
			problems = append(problems, fmt.Errorf("%s: must be positive", name))
		}
	}
	positive("POLL_INTERVAL", c.PollInterval)
	positive("SETTLE_TIME", c.SettleTime)
	positive("UNSEEN_GRACE", c.UnseenGrace)
	positive("CONFIRM_DELAY", c.ConfirmDelay)
	if c.ExactInterval < c.PollInterval {
		problems = append(problems, errors.New("EXACT_INTERVAL: must be at least the sweep interval"))
	}
	if c.ExactInterval > max(maxExactInterval, c.PollInterval) {
		problems = append(problems, fmt.Errorf("EXACT_INTERVAL: must be at most %s", maxExactInterval))
	}
	positive("DEADLINE_CREATE", c.DeadlineCreate)
	positive("DEADLINE_UPDATE", c.DeadlineUpdate)
	positive("DEADLINE_DELETE", c.DeadlineDelete)
	positive("DEADLINE_CREDENTIAL", c.DeadlineCredential)
	positive("DEADLINE_CONFIRM", c.DeadlineConfirm)
	positive("TIMEOUT", c.Timeout)
	if c.DeadlineConfirm > 0 && c.DeadlineConfirm < c.SettleTime+c.ConfirmDelay+c.PollInterval {
		// An outcome that is being believed must not be overtaken.
		problems = append(problems, errors.New("DEADLINE_CONFIRM: must be at least the settle time, the confirm delay and the sweep interval together"))
	}
	for _, deadline := range []time.Duration{c.DeadlineCreate, c.DeadlineUpdate, c.DeadlineDelete, c.DeadlineCredential} {
		if deadline > 0 && deadline < c.UnseenGrace {
			problems = append(problems, errors.New("UNSEEN_GRACE: must be at most each of the deadlines"))
			break
		}
	}
	if c.PollInterval > 0 && c.DeadlineConfirm > 0 && c.DeadlineConfirm < 4*c.PollInterval {
		// With fewer looks than that a gap between two of them cannot be told.
		problems = append(problems, errors.New("DEADLINE_CONFIRM: must be at least four times the sweep interval"))
	}
	return errors.Join(problems...)
}
