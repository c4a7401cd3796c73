package operations

import (
	"strings"
	"time"

	"opfeed/cs"
)

// meaning is what a state of an object says. A terminal status is an outcome,
// which ends the operation if it is that operation's: see ends.
type meaning struct {
	status string // what the operation's becomes; "" keeps what is stored
	before bool   // it may be the state from before the request: no sign of work
}

// objects has the states of what is created, updated and deleted.
var objects = map[cs.Kind]map[string]meaning{
	cs.Cluster: {
		"pending": {}, "validating": {}, "recoverable_error": {},
		"installing": {status: Provisioning}, "updating": {status: Updating}, "uninstalling": {status: Deleting},
		"ready": {status: Succeeded}, "error": {status: Failed},
	},
	cs.NodePool: {
		"pending": {}, "validating": {}, "pending_update": {}, "validating_update": {}, "recoverable_error": {},
		"installing": {status: Provisioning}, "updating": {status: Updating}, "uninstalling": {status: Deleting},
		"ready": {status: Succeeded}, "error": {status: Failed},
	},
	cs.ExternalAuth: {"uninstalling": {status: Deleting}, "ready": {status: Succeeded}, "error": {status: Failed}},
}

// States of break-glass credentials, and of all those of a cluster together.
const (
	stateCreated  = "created"
	stateIssued   = "issued"
	stateAwaiting = "awaiting_revocation"
	stateRevoked  = "revoked"
	stateExpired  = "expired"
	stateFailed   = "failed"
)

// requested has the states of a credential that was asked for. One that is over
// before anybody saw it issued is of no use to whoever asked.
var requested = map[string]meaning{
	stateCreated: {status: Provisioning}, stateIssued: {status: Succeeded}, stateAwaiting: {},
	stateRevoked: {status: Failed}, stateExpired: {status: Failed}, stateFailed: {status: Failed},
}

// revocation has the states that together gives.
var revocation = map[string]meaning{
	stateIssued: {before: true}, stateAwaiting: {status: Deleting},
	stateRevoked: {status: Succeeded}, stateFailed: {status: Failed},
}

// meanings has the states of what a request is about; nil where the request makes
// no sense for the kind.
func meanings(kind cs.Kind, request string) map[string]meaning {
	switch request {
	case Create, Update, Delete:
		return objects[kind]
	case RequestCredential:
		if kind == cs.BreakGlassCredential {
			return requested
		}
	case RevokeCredentials:
		if kind == cs.Cluster {
			return revocation
		}
	}
	return nil
}

// together makes one state of all credentials of a cluster that are to be revoked.
// One that may still be used, or is being revoked, comes before all others, then
// one in a state that is not known, then one that failed. None at all: revoked.
// One that has failed counts until it expires: whether it failed to be issued or to
// be revoked is not told.
func together(list []cs.Credential, now time.Time) cs.Status {
	rank := func(state string) int {
		switch state {
		case stateAwaiting:
			return 5
		case stateIssued:
			return 4
		case stateFailed:
			return 2
		case stateRevoked, stateExpired:
			return 1
		}
		return 3
	}
	worst := stateRevoked
	for _, c := range list {
		state := strings.ToLower(c.State)
		switch {
		case state == stateCreated:
			state = stateIssued
		case state == stateFailed && !c.Expires.IsZero() && c.Expires.Before(now):
			state = stateRevoked
		}
		if rank(state) > rank(worst) {
			worst = state
		}
	}
	return cs.Status{State: worst, HasStatus: true}
}

// ends tells whether an outcome is that of this operation, rather than of what was
// before it. What is created has no before.
func ends(cfg Config, in Input, status string, d *Decision) bool {
	switch {
	case in.Request == Create || in.Request == RequestCredential:
		return true
	case in.Request != Delete:
		return believed(cfg, in, d)
	case status == Succeeded:
		// A pool deleted through its cluster stays ready until it is gone.
		d.Reason = "ready does not end a delete"
		return false
	case !d.Seen.Uninstalling:
		d.Reason = "error from before the delete" // deleting a failed object is what one does with it
		return false
	}
	// The state from before shows for as long as an update's may.
	d.Reason = "outcome, to be confirmed"
	return current(cfg, cfg.SettleTime, in, d) && confirmed(cfg, in.Now, &d.Seen.Settled, d)
}

// believed tells whether an outcome is that of an update, or of a revocation,
// rather than the state from before it: it has been so on two looks after the
// object was seen at work, one interval after the first look or later, or past the
// settle time. One look is not enough, for the state may flap. A change that is
// seen sooner, or that is stored, may be the one before this update, if a replica
// of Cluster Service that lags showed it. All times count from the first look, on
// one clock: a front end's clock that is behind must not cut them short, and after
// a takeover they merely begin again.
func believed(cfg Config, in Input, d *Decision) bool {
	if d.Seen.Moving.Sub(in.Seen.First) >= cfg.PollInterval {
		if !current(cfg, cfg.PollInterval, in, d) {
			return false
		}
	} else if wait := cfg.SettleTime - in.Now.Sub(in.Seen.First); wait > 0 {
		d.After, d.Reason = min(cfg.PollInterval, wait), "answer may be from before the request"
		return false
	}
	d.Reason = "outcome, to be confirmed"
	return confirmed(cfg, in.Now, &d.Seen.Settled, d)
}

// current tells whether an outcome is newer than the change that it is to be the
// outcome of. Of two answers in a row the second may be the older one, if a replica
// of Cluster Service gave it that lags: so none counts that comes within the time of
// lag after the last look that found the object at work.
func current(cfg Config, lag time.Duration, in Input, d *Decision) bool {
	wait := lag - in.Now.Sub(d.Seen.Moving)
	if wait > 0 {
		d.After, d.Reason = min(cfg.PollInterval, wait), "answer may be from before the change that was seen"
	}
	return wait <= 0
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
