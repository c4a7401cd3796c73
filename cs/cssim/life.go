package cssim

import (
	"cmp"
	"encoding/binary"
	"hash/fnv"
	"math/rand/v2"
	"time"

	"opfeed/cs"
)

// chance is the randomness of one mutation of one object.
func (s *Server) chance(k cs.Ref, mutation int) *rand.Rand {
	return rand.New(rand.NewPCG(s.options.Seed, hash(k.Path(), uint64(mutation))))
}

func hash(text string, n uint64) uint64 {
	h := fnv.New64a()
	h.Write([]byte(text))
	h.Write(binary.LittleEndian.AppendUint64(nil, n))
	return h.Sum64()
}

// draw takes a duration from b, scaled.
func (s *Server) draw(r *rand.Rand, b Between) time.Duration {
	d := b.Min
	if span := b.Max - b.Min; span > 0 {
		d += time.Duration(r.Float64() * float64(span))
	}
	return time.Duration(float64(d) / s.options.Speed)
}

// phase is one state on the way and the part of the whole that it takes.
type phase struct {
	state string
	part  float64
}

var (
	creating     = []phase{{stateValidating, .05}, {statePending, .10}, {stateInstalling, .85}}
	updating     = []phase{{stateUpdating, 1}}
	updatingPool = []phase{{stateValidatingUpdate, .05}, {statePendingUpdate, .10}, {stateUpdating, .85}}
	uninstalling = []phase{{stateUninstalling, 1}}
)

// fate is how a run of phases ends.
type fate struct {
	gone          bool
	code, message string // error if there is a message, else ready
	name          string // in place of ready
}

func (f fate) state(at time.Time) state {
	switch {
	case f.gone:
		return state{from: at, gone: true}
	case f.message != "":
		return state{from: at, name: stateError, code: f.code, message: f.message}
	}
	return state{from: at, name: cmp.Or(f.name, stateReady)}
}

func (f fate) outcome() string {
	switch {
	case f.gone:
		return outcomeGone
	case f.message != "":
		return stateError
	}
	return cmp.Or(f.name, stateReady)
}

// begin records a mutation and lays out its phases over total from start on,
// which is later than at by the stale phase.
func (o *object) begin(what string, at, start time.Time, phases []phase, total time.Duration, end fate) {
	for _, p := range phases {
		o.then(state{from: start, name: p.state})
		start = start.Add(time.Duration(p.part * float64(total)))
	}
	o.then(end.state(start))
	o.mutations = append(o.mutations, &mutation{
		kind: what, at: at, outcome: end.outcome(), outcomeAt: start, code: end.code, message: end.message,
	})
}

// way is what an object goes through, how long that takes, and how it ends if
// nothing fails.
type way struct {
	phases []phase
	total  Between
	end    fate
}

// ways are those of a kind's create, update and delete. The first two have no
// phases for an external auth, which they leave ready at once.
func (s *Server) ways(k cs.Kind) (creation, change, removal way) {
	d, gone := s.options.Durations, fate{gone: true}
	switch k {
	case cs.Cluster:
		return way{creating, d.ClusterCreate, fate{}}, way{updating, d.ClusterUpdate, fate{}}, way{uninstalling, d.ClusterDelete, gone}
	case cs.NodePool:
		return way{creating, d.NodePoolCreate, fate{}}, way{updatingPool, d.NodePoolUpdate, fate{}}, way{uninstalling, d.NodePoolDelete, gone}
	case cs.BreakGlassCredential:
		return way{issuing, d.CredentialIssue, fate{name: stateIssued}}, way{}, way{revoking, d.CredentialRevoke, fate{name: stateRevoked}}
	default:
		return way{}, way{}, way{uninstalling, d.ExternalAuthDelete, gone}
	}
}

// create starts the life of an object that is new or was gone.
func (s *Server) create(o *object, now time.Time) {
	r := s.chance(o.ref, len(o.mutations))
	o.restart(now)
	if o.ref.Kind == cs.ExternalAuth { // ready at once
		o.begin(kindCreate, now, now, nil, 0, fate{})
		return
	}
	if o.ref.Kind == cs.BreakGlassCredential {
		s.createCredential(o, r, now)
		return
	}
	w, _, _ := s.ways(o.ref.Kind)
	total, end := s.draw(r, w.total), s.fate(r, "create")
	if o.ref.Kind == cs.Cluster {
		end = s.check(o, r, end)
	}
	o.begin(kindCreate, now, now, w.phases, total, end)
}

// update starts an update; the present state stays for the stale phase.
func (s *Server) update(o *object, now time.Time) {
	r := s.chance(o.ref, len(o.mutations))
	o.freeze(now)
	start := now.Add(stale(r, s.options.StaleAfterPatch))
	if o.ref.Kind == cs.ExternalAuth {
		// Takes effect at once and shows nothing, unless it was in error.
		shows := o.stateAt(now).name
		o.begin(kindUpdate, now, now, nil, 0, fate{})
		if shows == "" {
			o.life[len(o.life)-1].name = ""
		}
		return
	}
	_, w, _ := s.ways(o.ref.Kind)
	o.begin(kindUpdate, now, start, w.phases, s.draw(r, w.total), s.fate(r, "update"))
}

// remove starts a delete; a cluster's takes its children with it.
func (s *Server) remove(o *object, now time.Time) {
	r := s.chance(o.ref, len(o.mutations))
	o.freeze(now)
	start := now.Add(stale(r, s.options.StaleAfterDelete))
	_, _, w := s.ways(o.ref.Kind)
	o.begin(kindDelete, now, start, w.phases, s.draw(r, w.total), w.end)
	if o.ref.Kind == cs.Cluster {
		s.cascade(o, now)
	}
}

// cascade ends a cluster's children with it. Until then they keep the state that
// they have, but those that are being deleted by themselves go on with that.
func (s *Server) cascade(parent *object, now time.Time) {
	end := parent.last().outcomeAt
	for _, child := range s.children(parent.ref) {
		switch {
		case child.stateAt(now).gone:
		case child.deleting(now):
			child.endBy(end)
		default:
			child.freeze(now)
			child.begin(kindDelete, now, end, nil, 0, fate{gone: true})
			child.last().cascaded = true
		}
	}
}

// endBy ends an object that is being deleted by end at the latest.
func (o *object) endBy(end time.Time) {
	m := o.last()
	if !m.outcomeAt.After(end) {
		return
	}
	m.outcomeAt = end
	for i, st := range o.life {
		if st.from.After(end) {
			o.life[i].from = end
		}
	}
}

// stale draws how long the old state is still shown.
func stale(r *rand.Rand, most time.Duration) time.Duration {
	return time.Duration(r.Float64() * float64(most))
}

// fate decides whether a create or an update fails.
func (s *Server) fate(r *rand.Rand, what string) fate {
	if r.Float64() >= s.options.FailureRate {
		return fate{}
	}
	return fate{code: "OCM3999", message: "Simulated failure of the " + what + "."}
}
