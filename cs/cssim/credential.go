package cssim

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"path"
	"time"

	"opfeed/cs"
)

// FakeSecret is in every kubeconfig of this simulator, and nowhere else: where it
// is found, a secret has got out.
const FakeSecret = "SIMULATED-SECRET"

// States of a break-glass credential.
const (
	stateCreated            = "created"
	stateIssued             = "issued"
	stateFailed             = "failed"
	stateAwaitingRevocation = "awaiting_revocation"
	stateRevoked            = "revoked"
	stateExpired            = "expired"
)

const kindRevoke = "revoke"

var (
	issuing  = []phase{{stateCreated, 1}}
	revoking = []phase{{stateAwaitingRevocation, 1}}
)

// credentialRoutes adds the paths of credentials, which exist in one API only,
// cannot be patched, and are revoked all together.
func (s *Server) credentialRoutes() {
	const a, k = clustersMgmt, cs.BreakGlassCredential
	one := a.path(cs.Ref{Kind: k, Cluster: "{cluster}", Child: "{child}"})
	collection := path.Dir(one)
	s.handle(a, "GET "+collection, "list", k, s.list)
	s.handle(a, "POST "+collection, "post", k, s.post)
	s.handle(a, "DELETE "+collection, "delete", k, s.revoke)
	s.handle(a, "GET "+one, "get", k, s.get)
}

// checkCredential refuses a posted credential whose end makes no sense.
func checkCredential(body map[string]json.RawMessage, now time.Time) error {
	text, err := stringField(body, "expiration_timestamp")
	if err != nil || text == "" {
		return err
	}
	end, err := time.Parse(time.RFC3339, text)
	if err != nil || !end.After(now) {
		return &failure{http.StatusBadRequest, fmt.Sprintf("Expiration timestamp '%s' isn't a time to come", text)}
	}
	return nil
}

func (s *Server) createCredential(o *object, r *rand.Rand, now time.Time) {
	w, _, _ := s.ways(cs.BreakGlassCredential)
	total, end := s.draw(r, w.total), s.credentialFate(r, w.end)
	o.expires = now.Add(s.draw(r, s.options.Durations.CredentialLife))
	if text, err := stringField(o.body, "expiration_timestamp"); err == nil && text != "" {
		o.expires, _ = time.Parse(time.RFC3339, text) // checked before
	}
	o.begin(kindCreate, now, now, w.phases, total, end)
	o.expire()
}

// expire makes a credential that is going to be issued, or is, end by the clock.
func (o *object) expire() {
	last := o.life[len(o.life)-1]
	if last.name != stateIssued {
		return
	}
	end := o.expires
	if end.Before(last.from) {
		end = last.from
	}
	o.then(state{from: end, name: stateExpired})
}

// revoke starts to revoke all credentials of a cluster that could be used, or will.
func (s *Server) revoke(r request) (answer, error) {
	if _, _, err := s.find(parentOf(r.ref), r.now); err != nil {
		return answer{}, err
	}
	for _, o := range s.children(r.ref) {
		if o.ref.Kind != cs.BreakGlassCredential || o.deleting(r.now) {
			continue
		}
		if m := o.last(); m.kind == kindRevoke && !m.reached(r.now) {
			continue
		}
		switch o.stateAt(r.now).name {
		case stateCreated, stateIssued:
			s.revokeOne(o, r.now)
		}
	}
	return answer{status: http.StatusNoContent}, nil
}

func (s *Server) revokeOne(o *object, now time.Time) {
	r := s.chance(o.ref, len(o.mutations))
	o.freeze(now)
	start := now.Add(stale(r, s.options.StaleAfterDelete))
	_, _, w := s.ways(cs.BreakGlassCredential)
	o.begin(kindRevoke, now, start, w.phases, s.draw(r, w.total), s.credentialFate(r, w.end))
}

func (s *Server) credentialFate(r *rand.Rand, end fate) fate {
	if r.Float64() < s.options.FailureRate {
		return fate{name: stateFailed}
	}
	return end
}

// plantCredential is plant for what does not end in ready, error or gone.
func (s *Server) plantCredential(o *object, p Planted, r *rand.Rand) {
	o.expires = p.Expires
	if o.expires.IsZero() {
		o.expires = p.Since.Add(s.draw(r, s.options.Durations.CredentialLife))
	}
	if w, ok := s.onwards(o.ref.Kind, p.State); ok {
		o.begin(kindPlanted, p.Since, p.Since, w.phases, s.draw(r, w.total), w.end)
		o.expire()
		return
	}
	m := &mutation{kind: kindPlanted, at: p.Since}
	st := state{from: p.Since, name: p.State}
	switch p.State {
	case outcomeGone:
		st = state{from: p.Since, gone: true}
		m.outcome, m.outcomeAt = outcomeGone, p.Since
	case stateIssued, stateFailed, stateRevoked:
		m.outcome, m.outcomeAt = p.State, p.Since
	}
	o.then(st)
	o.expire()
	o.mutations = append(o.mutations, m)
}

// renderCredential adds what CS adds. The status of a credential is its state.
func (o *object) renderCredential(out map[string]any, st state) {
	out["status"] = st.name
	out["expiration_timestamp"] = timestamp(o.expires)
	delete(out, "revocation_timestamp")
	if st.name == stateRevoked {
		out["revocation_timestamp"] = timestamp(st.from)
	}
	if _, ok := out["username"]; !ok {
		out["username"] = "user-" + o.ref.Child
	}
	delete(out, "kubeconfig")
	if st.name == stateIssued {
		out["kubeconfig"] = "apiVersion: v1\nkind: Config\nusers:\n- name: break-glass\n  user:\n    token: " +
			FakeSecret + "-" + o.ref.Child + "\n"
	}
}
