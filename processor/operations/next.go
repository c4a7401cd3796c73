package operations

import (
	"strings"
	"time"

	"opfeed/cs"
)

// Answer is what Cluster Service says of the object of an operation. The zero
// value is an object that is there and says nothing.
type Answer struct {
	NoID       bool // it was not asked: the document names no object yet
	Gone       bool // 404 on the object itself
	Unreadable bool // it answered, but nothing that is this object's state
	Status     cs.Status
	Checks     []string // messages of a cluster's failed inflight checks
	Lacks      bool     // something that the end of the operation tells could not be had
}

// Seen is what earlier looks at one operation found, as far as it matters. It
// lives as long as whoever drives the steps hands it on; losing it costs time,
// never a wrong outcome: a Delete whose error came after an uninstalling that
// nobody remembers stays pending until its deadline.
type Seen struct {
	First        time.Time // first look
	Written      time.Time // when the database stored the version of the first look; zero = not known
	Request      string    // what the rest was seen for
	InternalID   string
	State        string    // newest, known or not; "gone" for none
	Exists       bool      // the object was seen
	Uninstalling bool      // it was seen uninstalling
	Moving       time.Time // last look that found it at work
	Gone         time.Time // first of the looks in a row that found it gone
	Settled      time.Time // first of the looks in a row that found the outcome that it has now
	Exact        time.Time // last look that Cluster Service answered for the object itself
	Lacked       int       // looks in a row that found an outcome with Answer.Lacks
	Overdue      time.Time // first look past the deadline since which it has answered all along
	ETag         string    // version that the last step left or looked at
	Due          time.Time // when the next look is
	Reported     bool      // that there is no internalId has been logged
	Visible      bool      // the last answer was one that nothing follows from
	Lost         int       // steps in a row that came to nothing because of others
	Refused      string    // id of the document whose patch was refused at the last look
	Left         []string  // ids of resources that stay out of the batch: they cannot be written
}

// won is s after a step that did what it had to.
func (s Seen) won() Seen {
	s.Lost, s.Refused = 0, ""
	return s
}

// Input is everything that Next decides from.
type Input struct {
	Kind    cs.Kind // of the object that internalId names
	Request string
	Stored  string    // status of the document, not terminal
	Start   time.Time // startTime of the document; zero = none
	Now     time.Time // when Cluster Service was asked
	Answer  Answer
	Skew    time.Duration // the database's clock less ours; 0 = not known
	Bare    bool          // a Delete whose resource has no document left; asked for only where Answer.NoID
	Seen    Seen          // First must be set
}

// Decision is what follows. Status "" keeps what is stored.
type Decision struct {
	Status  string
	Error   *CloudError   // of Failed
	Erase   bool          // the resources go: a delete has succeeded
	After   time.Duration // until the next look, unless Status is terminal
	Visible bool          // nothing is known to follow from this answer: to be counted
	Reason  string        // constant text
	Seen    Seen
}

// stateGone stands in Seen.State for an object that is not there.
const stateGone = "gone"

// maxLacked is how many looks in a row may lack a detail of an outcome before the
// operation ends without: that a customer waits for ever must not be its price.
const maxLacked = 6

// maxAge is the age from which a startTime is taken for nonsense: documents of
// operations live for seven days.
const maxAge = 8 * 24 * time.Hour

// Next decides what an answer of Cluster Service means for an operation, as the
// table in docs/operations.md has it. Its age is counted from startTime, which a
// front end's clock wrote, or from when the database stored it, if that was later,
// on the local clock; a startTime that lies after the first look, or absurdly far
// before it, is not believed, and the first look counts instead.
func Next(cfg Config, in Input) Decision {
	d := Decision{After: cfg.PollInterval, Seen: in.Seen}
	switch {
	case in.Answer.NoID:
		unnamed(cfg, in, &d)
		return d
	case in.Answer.Gone:
		d.Seen.State = stateGone
		gone(cfg, in, &d)
	case in.Answer.Unreadable:
		d.Seen.Gone, d.Seen.Settled = time.Time{}, time.Time{} // not in a row
		d.Visible, d.Reason = true, "answer cannot be read"
	default:
		answered(cfg, in, &d)
	}
	if !terminal(d.Status) {
		overdue(cfg, in, &d)
	}
	d.Seen.Exact, d.Seen.Visible = in.Now, d.Visible
	return d
}

func answered(cfg Config, in Input, d *Decision) {
	state := in.state()
	d.Seen.Exists, d.Seen.Gone, d.Seen.State = true, time.Time{}, state
	m, known := meanings(in.Kind, in.Request)[state]
	if !known {
		// Not taken for a change, either: it may be a slip of one answer.
		d.Visible, d.Reason = true, "nothing is known to follow from this state"
		return
	}
	d.Seen.Uninstalling = d.Seen.Uninstalling || state == "uninstalling"
	if state != in.Seen.State {
		d.Seen.Settled = time.Time{}
	}
	if !in.Answer.Lacks {
		d.Seen.Lacked = 0
	}
	switch {
	case !terminal(m.status):
		if !m.before {
			d.Seen.Moving = in.Now
		}
		d.move(in, m.status)
	case !ends(cfg, in, m.status, d):
	case in.Answer.Lacks && in.Seen.Lacked < maxLacked:
		d.Seen.Lacked++
		d.Reason = "outcome, of which a detail is missing"
	default:
		d.Status, d.Reason = m.status, state
		if m.status == Failed {
			d.Error = failure(in)
		}
	}
}

// state is the object's state. An external auth of an older Cluster Service has
// no status, and is ready by being there.
func (in Input) state() string {
	if in.Kind == cs.ExternalAuth && !in.Answer.Status.HasStatus {
		return "ready"
	}
	return strings.ToLower(clip(in.Answer.Status.State, maxLogged))
}

// started is the startTime, or zero where that is nothing to be believed.
func (in Input) started() time.Time {
	first := in.Seen.First.Add(in.Skew)
	if in.Start.After(first) || first.Sub(in.Start) > maxAge {
		return time.Time{}
	}
	return in.Start
}

// age is how long ago the operation started, or was stored as it was first looked
// at, whichever was later: a front end's clock may be behind. It is counted by the
// database's clock, for ours may be wrong, too.
func (in Input) age() time.Duration {
	start, stored, first := in.started(), in.Seen.Written, in.Seen.First.Add(in.Skew)
	switch {
	case stored.After(first):
		start = first // it cannot be: our clock is behind the database's
	case stored.After(start):
		start = stored
	case start.IsZero():
		start = first
	}
	return in.Now.Add(in.Skew).Sub(start)
}

// move goes to the status of a state that ends nothing.
func (d *Decision) move(in Input, to string) {
	switch {
	case to == "":
		d.Reason = "pending"
	case in.Request == Delete && to != Deleting:
		d.Reason = "state from before the delete" // a delete does not go back to it
	case to == in.Stored:
		d.Reason = "unchanged"
	default:
		d.Status, d.Reason = to, "state changed"
	}
}

// gone ends a delete. Nothing else ends by it before its deadline: what a create
// or an update has lost may be shown by a person who knows why.
func gone(cfg Config, in Input, d *Decision) {
	if wait := cfg.UnseenGrace - in.age(); !in.Seen.Exists && wait > 0 {
		d.Reason = "not found, and not seen yet"
		d.After = min(cfg.PollInterval, wait)
		return
	}
	d.Reason = "gone, to be confirmed"
	if !confirmed(cfg, in.Now, &d.Seen.Gone, d) {
		return
	}
	if in.Request == Delete {
		d.Status, d.Erase, d.Reason = Succeeded, true, stateGone
		return
	}
	d.Visible, d.Reason = true, "gone, which ends nothing but a delete"
}
