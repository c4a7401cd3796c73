package cosmosemu

import (
	"errors"
	"fmt"
	"time"

	"opfeed/internal/fault"
)

// Fault is a rule by which the account fails. It may match these attributes of
// a request:
//
//   - kind, database, container, agent, method, key: as in RequestEntry, but
//     that a query without a partition key header is a crossquery even if its
//     WHERE names one
//   - range: the partition key range that is named, or that owns the key
//   - id: the item's, from the path or the body; a batch's are joined by commas,
//     so that *a* finds one of them
//
// A request that the account would not let in (its path, its key, its size) is
// refused as ever, and no rule's.
type Fault = fault.Rule[Effect]

// Effect is what happens to a request. Of those of several rules on one request,
// durations are the longest, jumps of the clock add up, and the first Feed
// counts.
type Effect struct {
	fault.Effect

	// Substatus goes with Status, as x-ms-substatus.
	Substatus int `json:"substatus,omitempty"`

	// FeedDelay hides from the change feed what was committed less than that
	// ago; an item that is written again starts anew.
	FeedDelay fault.Duration `json:"feedDelay,omitempty"`
	// Feed is how the change feed lies; empty: it does not.
	Feed Feed `json:"feed,omitempty"`

	// Touch lets somebody else write what is about to be written, right before:
	// its content stays, its ETag and LSN are new. In a batch, that goes for the
	// items with an ifMatch.
	Touch bool `json:"touch,omitempty"`

	// Stale lets reads and queries without a session token be answered by a
	// replica that lags: each commit reaches it within that time, an hour at most,
	// after a part of it that follows from the rule's seed, the range and the LSN,
	// and never before an earlier one. What it had before the rule was there, it
	// has; it lacks the last 10,000 changes at most, and has caught up when a
	// range is split or merged.
	Stale fault.Duration `json:"stale,omitempty"`

	// ClockJump lets the account's clock jump ahead, see Server.AdvanceClock.
	ClockJump fault.Duration `json:"clockJump,omitempty"`

	// Split splits the range that the request names, or that owns its key, right
	// before; see SplitOptions for Hold. Where that is not possible, nothing
	// happens.
	Split bool           `json:"split,omitempty"`
	Hold  fault.Duration `json:"hold,omitempty"`
}

// Feed is a way in which the change feed lies.
type Feed string

// The ways in which the change feed lies.
const (
	// FeedSilent: nothing is new, and the position is the one that was asked
	// from. Nothing is lost.
	FeedSilent Feed = "silent"
	// FeedSkip: nothing is new, but the position is the current one. What is in
	// between is lost to this reader.
	FeedSkip Feed = "skip"
	// FeedRepeat: the page is as it should be, but its position is the one that
	// was asked from, so that it comes again.
	FeedRepeat Feed = "repeat"
)

// Validate implements fault.Effects.
func (e Effect) Validate() error {
	var errs []error
	switch e.Feed {
	case "", FeedSilent, FeedSkip, FeedRepeat:
	default:
		errs = append(errs, fmt.Errorf("feed is %q: there are silent, skip and repeat", e.Feed))
	}
	if e.Substatus != 0 && e.Status == 0 {
		errs = append(errs, errors.New("substatus needs a status"))
	}
	if e.Hold != 0 && !e.Split {
		errs = append(errs, errors.New("hold needs split"))
	}
	if e.FeedDelay < 0 || e.Stale < 0 || e.ClockJump < 0 {
		errs = append(errs, errors.New("feedDelay, stale and clockJump cannot be negative"))
	}
	if e.Stale > fault.Duration(time.Hour) {
		errs = append(errs, errors.New("stale is at most an hour"))
	}
	return errors.Join(errs...)
}

// Faults are the rules by which the account fails, to be changed at any time.
func (s *Server) Faults() *fault.Rules[Effect] { return s.faults }

// longestLag is how long partitions must remember what was replaced.
func (s *Server) longestLag() time.Duration {
	return time.Duration(s.faults.Longest(func(e Effect) fault.Duration { return e.Stale }))
}
