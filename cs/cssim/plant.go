package cssim

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"opfeed/cs"
)

// Planted describes an object that is to exist without having been created.
type Planted struct {
	InternalID string `json:"internalId"` // in either form
	// State is any state; those of a create, an update or a delete go on from
	// there, all others stay. "gone" makes the object gone. The empty state is
	// for external auths: one without a status.
	State string `json:"state"`
	// Since is when the state began; zero: now.
	Since time.Time `json:"since,omitzero"`
	// ErrorCode and ErrorMessage are told in state error.
	ErrorCode    string `json:"errorCode,omitempty"`
	ErrorMessage string `json:"errorMessage,omitempty"`
	// InflightChecks are a cluster's, as JSON objects.
	InflightChecks []json.RawMessage `json:"inflightChecks,omitempty"`
	// FailedChecks puts a cluster into state error by that many failed inflight
	// checks, besides some that passed; State must be error.
	FailedChecks int `json:"failedChecks,omitempty"`
	// Expires is when a credential expires; zero: as long after Since as chance
	// says within Durations.CredentialLife.
	Expires time.Time `json:"expires,omitzero"`
}

// Plant makes an object exist in a state, replacing the state that it has; its
// cluster is made, ready, where it is missing or gone.
func (s *Server) Plant(internalID, state string) error {
	return s.PlantObject(Planted{InternalID: internalID, State: state})
}

// PlantObject is Plant with more to say.
func (s *Server) PlantObject(p Planted) error {
	k, err := cs.ParseRef(p.InternalID)
	if err != nil {
		return fmt.Errorf("plant %.200q: %w", p.InternalID, err)
	}
	now := time.Now()
	switch {
	case p.State == "" && k.Kind != cs.ExternalAuth:
		return fmt.Errorf("plant %s: a state is missing", p.InternalID)
	case p.Since.After(now):
		return fmt.Errorf("plant %s: since is in the future", p.InternalID)
	case len(p.InflightChecks) > 0 && k.Kind != cs.Cluster:
		return fmt.Errorf("plant %s: only clusters have inflight checks", p.InternalID)
	case p.FailedChecks != 0 && (k.Kind != cs.Cluster || p.State != stateError || p.FailedChecks < 0 || p.InflightChecks != nil):
		return fmt.Errorf("plant %s: failed checks are those of a cluster in error, and instead of inflight checks", p.InternalID)
	case !p.Expires.IsZero() && k.Kind != cs.BreakGlassCredential:
		return fmt.Errorf("plant %s: only credentials expire", p.InternalID)
	}
	if p.Since.IsZero() {
		p.Since = now
	}

	s.mu.Lock()
	defer s.mu.Unlock()
	if k.Kind != cs.Cluster {
		parent := s.objects[parentOf(k)]
		if parent == nil || parent.stateAt(now).gone {
			parent = s.object(parentOf(k))
			s.plant(parent, Planted{State: stateReady, Since: p.Since}, now)
		}
		s.plant(s.object(k), p, now)
		if parent.deleting(now) {
			s.cascade(parent, now)
		}
		return nil
	}
	o := s.object(k)
	s.plant(o, p, now)
	if p.InflightChecks != nil || p.FailedChecks > 0 {
		o.checks, o.failing = p.InflightChecks, p.FailedChecks
	}
	for _, child := range s.children(k) {
		if m := child.last(); m != nil && m.cascaded && !m.reached(now) {
			child.freeze(now) // what it was to go with is replaced
		}
	}
	if o.last().outcome == outcomeGone {
		s.cascade(o, now)
	}
	return nil
}

func (s *Server) plant(o *object, p Planted, now time.Time) {
	o.freeze(now)
	o.restart(p.Since)
	r := s.chance(o.ref, len(o.mutations))
	if o.ref.Kind == cs.BreakGlassCredential {
		s.plantCredential(o, p, r)
		return
	}
	if w, ok := s.onwards(o.ref.Kind, p.State); ok {
		o.begin(kindPlanted, p.Since, p.Since, w.phases, s.draw(r, w.total), w.end)
		return
	}
	st := state{from: p.Since, name: p.State}
	m := &mutation{kind: kindPlanted, at: p.Since}
	switch p.State {
	case outcomeGone:
		st = state{from: p.Since, gone: true}
		m.outcome, m.outcomeAt = outcomeGone, p.Since
	case stateReady:
		m.outcome, m.outcomeAt = stateReady, p.Since
	case stateError:
		st.code, st.message = p.ErrorCode, p.ErrorMessage
		if p.FailedChecks > 0 {
			st.code, st.message = cmp.Or(st.code, codeChecks), cmp.Or(st.message, messageChecks)
		}
		if st.message == "" {
			st.code, st.message = "OCM3999", "Planted error."
		}
		m.outcome, m.outcomeAt, m.code, m.message = stateError, p.Since, st.code, st.message
	}
	o.then(st)
	o.mutations = append(o.mutations, m)
}

// onwards says how life goes on from a state in the middle of something.
func (s *Server) onwards(k cs.Kind, name string) (rest way, ok bool) {
	creation, change, removal := s.ways(k)
	for _, w := range []way{creation, change, removal} {
		for i, p := range w.phases {
			if p.state == name {
				return way{w.phases[i:], w.total, w.end}, true
			}
		}
	}
	return way{}, false
}

func (s *Server) servePlant(w http.ResponseWriter, r *http.Request) {
	var p Planted
	if err := readJSON(r, &p); err != nil {
		s.fail(w, aroHCP, err)
		return
	}
	if err := s.PlantObject(p); err != nil {
		s.fail(w, aroHCP, &failure{http.StatusBadRequest, err.Error()})
		return
	}
	writeJSON(w, http.StatusCreated, p)
}

// errUnread is what a body that is no JSON object gives.
var errUnread = errors.New("body is not one JSON object")
