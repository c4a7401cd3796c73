package cssim

import (
	"encoding/json"
	"slices"
	"time"

	"opfeed/cs"
)

// States that the simulator itself has to do with.
const (
	stateValidating       = "validating"
	statePending          = "pending"
	stateInstalling       = "installing"
	stateReady            = "ready"
	stateUpdating         = "updating"
	stateValidatingUpdate = "validating_update"
	statePendingUpdate    = "pending_update"
	stateUninstalling     = "uninstalling"
	stateError            = "error"
	outcomeGone           = "gone"
)

// Kinds of mutation.
const (
	kindPlanted = "planted"
	kindCreate  = "create"
	kindUpdate  = "update"
	kindDelete  = "delete"
)

// state is what an object shows from a moment on.
type state struct {
	from    time.Time
	name    string // empty: an external auth without a status
	gone    bool
	code    string // of an error
	message string
}

// object is a cluster or a child of one, also after its end.
type object struct {
	ref       cs.Ref
	created   time.Time
	body      map[string]json.RawMessage // as posted and patched
	life      []state                    // by time; the first is past, later ones may be future
	mutations []*mutation
	checks    []json.RawMessage // inflight checks, clusters only
	failing   int               // how many checks fail, where checks has none
	expires   time.Time         // credentials only
	reads     uint64            // how often it was asked for: seeds the latency
	flapped   bool              // the last look under Effect.Flap saw the wrong state
}

// restart ends what the object was from a moment on. What it was before is kept
// for stale reads.
func (o *object) restart(at time.Time) {
	o.life = slices.DeleteFunc(o.life, func(s state) bool { return !s.from.Before(at) })
	o.created, o.flapped = at, false
}

// stateAt is the latest state that began by now.
func (o *object) stateAt(now time.Time) state {
	current := state{gone: true}
	for _, s := range o.life {
		if s.from.After(now) {
			break
		}
		current = s
	}
	return current
}

// freeze drops all that has not happened yet, so that the present state stays.
func (o *object) freeze(now time.Time) {
	i := slices.IndexFunc(o.life, func(s state) bool { return s.from.After(now) })
	if i >= 0 {
		o.life = o.life[:i]
	}
	for _, m := range o.mutations {
		if !m.reached(now) {
			m.outcome = "" // overtaken
		}
	}
}

func (o *object) last() *mutation {
	if len(o.mutations) == 0 {
		return nil
	}
	return o.mutations[len(o.mutations)-1]
}

// deleting reports whether a delete was accepted and is under way.
func (o *object) deleting(now time.Time) bool {
	m := o.last()
	return m != nil && m.outcome == outcomeGone && !m.reached(now)
}

// then adds states, each at its time, in order.
func (o *object) then(states ...state) { o.life = append(o.life, states...) }
