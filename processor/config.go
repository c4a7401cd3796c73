package processor

import (
	"errors"
	"fmt"
	"time"
)

// Config sets the engine's intervals and bounds. Start from DefaultConfig.
//
// The tags are opfeed's own, which reads a Config from environment variables, and
// speak its words: with Each a look or a step is a call of the function, a
// subscription is a partition key, and what is listed are the quarantine records
// alone, to see which of them have ended.
type Config struct {
	FeedInterval     time.Duration `env:"FEED_INTERVAL" help:"pause between two reads of a range's change feed once it is read to its end"`
	PageSize         int32         `env:"FEED_PAGE_SIZE" help:"items asked for in one page of the change feed"`
	ReadTimeout      time.Duration `env:"FEED_READ_TIMEOUT" help:"deadline of one read of the change feed"`
	ListInterval     time.Duration `env:"LIST_INTERVAL" help:"pause between two lists of everything pending (the backstop)"`
	FallbackInterval time.Duration `env:"LIST_FALLBACK_INTERVAL" help:"the same while a range's feed is silent or a list has found what the feed missed"`
	SilentAfter      time.Duration `env:"FEED_SILENT_AFTER" help:"a feed that completed no read for so long counts as silent"`
	Looks            int           `env:"CONCURRENCY" help:"changes looked at in Cluster Service at once, over all subscriptions"`
	LooksBeside      int           `env:"SUBSCRIPTION_CONCURRENCY" help:"changes of one subscription looked at in Cluster Service at once"`
	Waiting          int           `env:"QUEUE_LENGTH" help:"changes of one range that may wait for their first look before reading pauses; they cost memory only within PENDING_MEMORY"`
	Memory           int64         `env:"PENDING_MEMORY" help:"bytes of waiting and pending documents kept in memory for each range; beyond, they are read again"`
	RetryMax         time.Duration `env:"RETRY_MAX" help:"longest pause before a change whose step failed is tried again"`
	DrainTimeout     time.Duration `env:"DRAIN_TIMEOUT" help:"how long running work may take to end on shutdown"`
	Start            Start         `env:"START" type:"now, beginning or RFC 3339 time" help:"where a range without a stored position begins"`
	QuarantineTTL    time.Duration `env:"QUARANTINE_TTL" help:"how long the record of a quarantined document is kept"`

	// GiveUpAfter is how long the steps of one version may fail, while others
	// succeed, until it goes into quarantine; 0: for ever. With Handler.Pending,
	// which brings back whatever is unfinished, nothing is given up. Default 30 min.
	GiveUpAfter time.Duration `env:"-"`

	// Aside bounds the looks that run aside at once, over all partitions; see
	// dispatch.Outcome. Default 16.
	Aside int `env:"-"`
}

// DefaultConfig reads every 250 ms in pages of 100, starts from now, makes 64 calls
// at once, 8 of them for one partition key, tries again within 10 s, gives up after
// 30 min, keeps a quarantine record for 7 days, and drains for 4 s.
func DefaultConfig() Config {
	return Config{
		FeedInterval:     250 * time.Millisecond,
		PageSize:         100,
		ReadTimeout:      10 * time.Second,
		ListInterval:     time.Minute,
		FallbackInterval: 10 * time.Second,
		SilentAfter:      5 * time.Second,
		Looks:            64,
		LooksBeside:      8,
		Waiting:          50000,
		Memory:           64 << 20,
		RetryMax:         10 * time.Second,
		DrainTimeout:     4 * time.Second,
		QuarantineTTL:    7 * 24 * time.Hour,
		GiveUpAfter:      30 * time.Minute,
		Aside:            16,
	}
}

// Validate reports every value that cannot work, by the variable's name.
func (c Config) Validate() error {
	var errs []error
	atLeast := func(name string, value, least int64) {
		if value < least {
			errs = append(errs, fmt.Errorf("%s: must be at least %d", name, least))
		}
	}
	positive := func(name string, d time.Duration) {
		if d <= 0 {
			errs = append(errs, fmt.Errorf("%s: must be positive", name))
		}
	}
	positive("FEED_INTERVAL", c.FeedInterval)
	positive("FEED_READ_TIMEOUT", c.ReadTimeout)
	positive("LIST_INTERVAL", c.ListInterval)
	positive("LIST_FALLBACK_INTERVAL", c.FallbackInterval)
	positive("FEED_SILENT_AFTER", c.SilentAfter)
	positive("RETRY_MAX", c.RetryMax)
	positive("DRAIN_TIMEOUT", c.DrainTimeout)
	if c.GiveUpAfter < 0 {
		errs = append(errs, errors.New("time after which to give up: must not be negative"))
	}
	if c.QuarantineTTL < time.Minute {
		errs = append(errs, errors.New("QUARANTINE_TTL: must be at least 1m"))
	}
	atLeast("FEED_PAGE_SIZE", int64(c.PageSize), 1)
	atLeast("CONCURRENCY", int64(c.Looks), 1)
	atLeast("SUBSCRIPTION_CONCURRENCY", int64(c.LooksBeside), 1)
	atLeast("looks aside", int64(c.Aside), 1)
	atLeast("QUEUE_LENGTH", int64(c.Waiting), 1)
	atLeast("PENDING_MEMORY", c.Memory, 1)
	return errors.Join(errs...)
}

// Start says where a range without a stored position begins. The zero value is
// "now".
type Start struct {
	beginning bool
	at        time.Time
}

// FromBeginning starts with the oldest change that there is.
func FromBeginning() Start { return Start{beginning: true} }

// FromTime starts with the changes after a time, to the second.
func FromTime(t time.Time) Start { return Start{at: t} }

// UnmarshalText reads "now", "beginning" or an RFC 3339 time.
func (s *Start) UnmarshalText(text []byte) error {
	switch string(text) {
	case "now":
		*s = Start{}
	case "beginning":
		*s = Start{beginning: true}
	default:
		at, err := time.Parse(time.RFC3339, string(text))
		if err != nil {
			return errors.New(`want "now", "beginning" or an RFC 3339 time`)
		}
		*s = Start{at: at}
	}
	return nil
}

// MarshalText writes what UnmarshalText reads.
func (s Start) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

func (s Start) String() string {
	switch {
	case s.beginning:
		return "beginning"
	case !s.at.IsZero():
		return s.at.Format(time.RFC3339)
	default:
		return "now"
	}
}
