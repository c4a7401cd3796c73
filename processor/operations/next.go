package operations

import (
	"strings"
	"time"
	"unicode/utf8"

	"opfeed/cs"
)

// Answer is what Cluster Service says of the object of an operation.
type Answer struct {
	Gone   bool // 404 on the object itself
	Status cs.Status
}

// Seen is what earlier looks at one operation found, as far as it matters. It
// lives as long as whoever drives the steps hands it on; losing it costs time,
// never a wrong outcome. It may cost all the time there is: a Delete whose error
// came after an uninstalling that nobody remembers stays pending.
type Seen struct {
	First        time.Time // first look
	Written      time.Time // when the database stored the version of the first look; zero = not known
	Request      string    // what the rest was seen for
	InternalID   string
	State        string    // newest, known or not; "gone" for none
	Exists       bool      // the object was seen
	Uninstalling bool      // it was seen uninstalling
	Moving       time.Time // last look that found it in a state that ends nothing
	Gone         time.Time // first of the looks in a row that found it gone
	Settled      time.Time // first look past the settle time that found it unchanged
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
	Kind    cs.Kind
	Request string
	Stored  string    // status of the document, not terminal
	Start   time.Time // startTime of the document; zero = none
	Now     time.Time // when Cluster Service was asked
	Answer  Answer
	Seen    Seen // First must be set
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

// maxMessage bounds, in bytes, what is copied of an error's message.
const maxMessage = 4096

// maxAge is the age from which a startTime is taken for nonsense: documents of
// operations live for seven days.
const maxAge = 8 * 24 * time.Hour

// pending maps the states of each kind that end nothing to the status they stand
// for; "" keeps what is stored. ready and error are in no such map.
var pending = map[cs.Kind]map[string]string{
	cs.Cluster: {
		"pending": "", "validating": "", "recoverable_error": "",
		"installing": Provisioning, "updating": Updating, "uninstalling": Deleting,
	},
	cs.NodePool: {
		"pending": "", "validating": "", "pending_update": "", "validating_update": "", "recoverable_error": "",
		"installing": Provisioning, "updating": Updating, "uninstalling": Deleting,
	},
	cs.ExternalAuth: {"uninstalling": Deleting},
}

// Next decides what an answer of Cluster Service means for an operation. Its age
// is counted from startTime, which a front end's clock wrote, or from when the
// database stored it, if that was later, on the local clock; a startTime that
// lies after the first look, or absurdly far before it, is not believed, and the
// first look counts instead.
func Next(cfg Config, in Input) Decision {
	d := Decision{After: cfg.PollInterval, Seen: in.Seen}
	if in.Answer.Gone {
		d.Seen.State = stateGone
		gone(cfg, in, &d)
	} else {
		answered(cfg, in, &d)
	}
	d.Seen.Visible = d.Visible
	return d
}

func answered(cfg Config, in Input, d *Decision) {
	state := in.state()
	d.Seen.Exists, d.Seen.Gone, d.Seen.State = true, time.Time{}, state
	to, known := pending[in.Kind][state]
	if !known && state != "ready" && state != "error" {
		// Not taken for a change, either: it may be a slip of one answer.
		d.Visible, d.Reason = true, "nothing is known to follow from this state"
		return
	}
	d.Seen.Uninstalling = d.Seen.Uninstalling || state == "uninstalling"
	switch state {
	case "ready":
		ready(cfg, in, d)
	case "error":
		failed(cfg, in, d)
	default:
		d.Seen.Settled, d.Seen.Moving = time.Time{}, in.Now
		d.move(in, to)
	}
}

// state is the object's state. An external auth of an older Cluster Service has
// no status, and is ready by being there.
func (in Input) state() string {
	if in.Kind == cs.ExternalAuth && !in.Answer.Status.HasStatus {
		return "ready"
	}
	return strings.ToLower(in.Answer.Status.State)
}

// age is how long ago the operation started, or was stored as it was first looked
// at, whichever was later: a front end's clock may be behind.
func (in Input) age() time.Duration {
	start, first := in.Start, in.Seen.First
	if start.IsZero() || start.After(first) || first.Sub(start) > maxAge {
		start = first
	}
	if stored := in.Seen.Written; stored.After(start) {
		start = stored
		if stored.After(first) {
			start = first // it cannot be: our clock is behind the database's
		}
	}
	return in.Now.Sub(start)
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

// ready ends a create at once: there is no older object that it could be about.
// A pool deleted through its cluster stays ready until it is gone.
func ready(cfg Config, in Input, d *Decision) {
	switch {
	case in.Request == Delete:
		d.Reason = "ready does not end a delete"
	case in.Request == Create || believed(cfg, in, d):
		d.Status, d.Reason = Succeeded, "ready"
	}
}

func failed(cfg Config, in Input, d *Decision) {
	switch {
	case in.Request == Delete && !d.Seen.Uninstalling:
		d.Reason = "error from before the delete" // deleting a failed object is what one does with it
		return
	case in.Request == Delete && !current(cfg, in, d):
		return
	case in.Request == Update && !believed(cfg, in, d):
		return
	}
	d.Status, d.Reason = Failed, "error"
	d.Error = &CloudError{Code: in.Answer.Status.ErrorCode, Message: clip(in.Answer.Status.Message, maxMessage)}
	if d.Error.Code == "" {
		d.Error.Code = "InternalServerError"
	}
	if d.Error.Message == "" {
		d.Error.Message = "Internal server error."
	}
}

// believed tells whether ready or error is the outcome of an update rather than
// the state from before it: it has been so on two looks after the object was seen
// changing, one interval after the first look or later, or past the settle time.
// One look is not enough, for the state may flap. A change that is seen sooner, or
// that is stored, may be the one before this update, if a replica of Cluster Service
// that lags showed it. All times count from the first look, on one clock: a front
// end's clock that is behind must not cut them short, and after a takeover they
// merely begin again.
func believed(cfg Config, in Input, d *Decision) bool {
	if d.Seen.Moving.Sub(in.Seen.First) >= cfg.PollInterval {
		return current(cfg, in, d) && confirmed(cfg, in.Now, &d.Seen.Settled, d)
	}
	d.Reason = "answer may be from before the update"
	if wait := cfg.SettleTime - in.Now.Sub(in.Seen.First); wait > 0 {
		d.After = min(cfg.PollInterval, wait)
		return false
	}
	return confirmed(cfg, in.Now, &d.Seen.Settled, d)
}

// current tells whether an outcome is newer than the change that it is to be the
// outcome of. Of two answers in a row the second may be the older one, if a replica
// of Cluster Service gave it that lags: so none counts that comes within one
// interval of the last look that found the object changing. Looks that come no
// sooner lose no time by it.
func current(cfg Config, in Input, d *Decision) bool {
	wait := cfg.PollInterval - in.Now.Sub(d.Seen.Moving)
	if wait > 0 {
		d.After, d.Reason = wait, "answer may be from before the change that was seen"
	}
	return wait <= 0
}

// gone ends a delete. Nothing else ends by it: what a create or an update has
// lost may be shown by a person who knows why.
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
		d.Status, d.Erase, d.Reason = Succeeded, true, "gone"
		return
	}
	d.Visible, d.Reason = true, "gone, which ends no "+strings.ToLower(in.Request)
}

// confirmed tells whether since, which it sets at the first look, is far enough
// back to make this the second one; if not it asks for that look.
func confirmed(cfg Config, now time.Time, since *time.Time, d *Decision) bool {
	if since.IsZero() {
		*since = now
	}
	wait := cfg.ConfirmDelay - now.Sub(*since)
	if wait > 0 {
		d.After = min(cfg.PollInterval, wait)
	}
	return wait <= 0
}

// clip cuts s to at most n bytes, between characters.
func clip(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}
