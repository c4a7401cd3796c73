package cssim

import (
	"cmp"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"
)

// Journal is everything that was done to the objects, ordered by internal ID.
type Journal struct {
	Objects []Object `json:"objects"`
}

// Object is what happened to one object.
type Object struct {
	InternalID string     `json:"internalId"` // in the aro_hcp form
	State      string     `json:"state"`      // now; empty if gone, or for an external auth without a status
	Gone       bool       `json:"gone"`
	Expires    time.Time  `json:"expires,omitzero"` // of a credential
	Mutations  []Mutation `json:"mutations"`        // in order
}

// Mutation is one thing done to an object.
type Mutation struct {
	Kind string    `json:"kind"` // planted, create, update, delete or revoke; a cluster's delete counts for its children, too
	At   time.Time `json:"at"`   // when it was accepted
	// Outcome is ready, error or gone, that of a credential issued, failed,
	// revoked or gone; empty while it was not reached, and for good if another
	// mutation came in between. That a credential expires is none.
	Outcome      string    `json:"outcome,omitempty"`
	OutcomeAt    time.Time `json:"outcomeAt,omitzero"`
	ErrorCode    string    `json:"errorCode,omitempty"`
	ErrorMessage string    `json:"errorMessage,omitempty"`
	// FirstRead is when each agent first asked for the object, its status or a
	// list that has it, after this mutation. An agent is the first word of a
	// User-Agent, up to a slash.
	FirstRead map[string]time.Time `json:"firstRead,omitempty"`
}

// Journal returns a copy of the journal as of now.
func (s *Server) Journal() Journal {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	j := Journal{Objects: make([]Object, 0, len(s.objects))}
	for _, o := range s.objects {
		current := o.stateAt(now)
		entry := Object{InternalID: o.ref.Path(), State: current.name, Gone: current.gone, Expires: o.expires}
		for _, m := range o.mutations {
			entry.Mutations = append(entry.Mutations, m.public(now))
		}
		j.Objects = append(j.Objects, entry)
	}
	slices.SortFunc(j.Objects, func(a, b Object) int { return cmp.Compare(a.InternalID, b.InternalID) })
	return j
}

func (s *Server) serveJournal(w http.ResponseWriter, _ *http.Request) {
	writeJSON(w, http.StatusOK, s.Journal())
}

// mutation is a Mutation with its future.
type mutation struct {
	kind      string
	at        time.Time
	outcome   string // what it will come to; empty if nothing, or overtaken
	outcomeAt time.Time
	code      string
	message   string
	cascaded  bool // a delete that came with the cluster's
	firstRead map[string]time.Time
}

func (m *mutation) reached(now time.Time) bool {
	return m.outcome != "" && !m.outcomeAt.After(now)
}

func (m *mutation) public(now time.Time) Mutation {
	p := Mutation{Kind: m.kind, At: m.at}
	if m.reached(now) {
		p.Outcome, p.OutcomeAt = m.outcome, m.outcomeAt
		if m.outcome == stateError {
			p.ErrorCode, p.ErrorMessage = m.code, m.message
		}
	}
	p.FirstRead = maps.Clone(m.firstRead)
	return p
}

// read notes that agent looked at the object.
func (o *object) read(agent string, now time.Time) {
	m := o.last()
	if m == nil {
		return
	}
	if _, ok := m.firstRead[agent]; ok {
		return
	}
	if m.firstRead == nil {
		m.firstRead = map[string]time.Time{}
	}
	m.firstRead[agent] = now
}

func agentOf(r *http.Request) string {
	fields := strings.Fields(r.UserAgent())
	if len(fields) == 0 {
		return ""
	}
	name, _, _ := strings.Cut(fields[0], "/")
	return name
}
