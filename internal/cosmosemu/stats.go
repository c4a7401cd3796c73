package cosmosemu

import (
	"cmp"
	"slices"
	"sync"
)

// Stats is what the account has been asked for since it was made.
type Stats struct {
	Charges []Charge `json:"charges"`
}

// Charge sums up the requests of one kind that one agent sent to one container.
// Refused requests count, too. Beyond 5,000 sums, what belongs to none of them is
// the agent's "others", without database and container.
type Charge struct {
	// Agent is the first word of the User-Agent, up to a blank or a slash.
	Agent     string `json:"agent"`
	Database  string `json:"database"`
	Container string `json:"container"`
	// Kind is one of feed, query, crossquery, read, create, replace, upsert,
	// patch, delete, batch, metadata. Plain lists of items count as queries.
	Kind         string  `json:"kind"`
	Requests     int64   `json:"requests"`
	RequestUnits float64 `json:"requestUnits"`
}

// Stats returns the sums so far, sorted by agent, database, container, kind.
func (s *Server) Stats() Stats {
	return Stats{Charges: s.stats.list()}
}

type ledgerKey struct{ agent, database, container, kind string }

type ledgerSum struct {
	requests int64
	units    float64
}

// mostSums bounds what clients can make the ledger keep, who choose their agent
// and may name containers that are not there.
const mostSums = 5_000

type ledger struct {
	mu   sync.Mutex
	sums map[ledgerKey]ledgerSum
}

// charged is the kind of Charge that a kind of RequestEntry belongs to.
func charged(kind string) string {
	switch kind {
	case kindAccount, kindDatabase, kindContainer, kindRanges, kindOffers, kindPlan:
		return kindMetadata
	default:
		return kind
	}
}

func (l *ledger) add(x *exchange) {
	key := ledgerKey{x.agent(), clip(x.database, longestID), clip(x.container, longestID), charged(x.kind)}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.sums == nil {
		l.sums = map[ledgerKey]ledgerSum{}
	}
	sum, known := l.sums[key]
	if !known && len(l.sums) >= mostSums {
		key = ledgerKey{agent: "others", kind: key.kind}
		sum = l.sums[key]
	}
	sum.requests++
	sum.units += x.charge
	l.sums[key] = sum
}

func (l *ledger) list() []Charge {
	l.mu.Lock()
	list := make([]Charge, 0, len(l.sums))
	for key, sum := range l.sums {
		list = append(list, Charge{key.agent, key.database, key.container, key.kind, sum.requests, sum.units})
	}
	l.mu.Unlock()
	slices.SortFunc(list, func(a, b Charge) int {
		return cmp.Or(cmp.Compare(a.Agent, b.Agent), cmp.Compare(a.Database, b.Database),
			cmp.Compare(a.Container, b.Container), cmp.Compare(a.Kind, b.Kind))
	})
	return list
}
