package cosmosemu

import (
	"cmp"
	"net/http"
	"slices"
	"time"

	"opfeed/internal/fault"
)

// ownPath is where the account's own port has what Admin serves: no database
// can have this name.
const ownPath = "/_emulator"

// Admin is what an administrator asks and changes over HTTP, in JSON:
//
//	GET    stats       Stats
//	GET    requests    {"total", "requests": [RequestEntry]}
//	GET    partitions  [Partition]
//	GET    faults      the rules, and how many requests they matched and hit
//	POST   faults      adds a Fault
//	DELETE faults      removes all; ?name= one
//	GET    charges     RequestCharges
//	PUT    charges     RequestCharges; what is left out has its default
//	GET    clock       {"time", "ahead"}
//	POST   clock       {"advance": "10s"}
//	POST   split       {"database", "container", "range", "at", "hold"}
//	POST   release     {"database", "container", "range"}
//	POST   merge       {"database", "container", "left", "right"}
//
// It is no faults' affair and asks for no key: a tool for development, to be
// reached from the same machine only.
func (s *Server) Admin() http.Handler { return s.admin }

func (s *Server) newAdmin() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /stats", shows(s.Stats))
	mux.HandleFunc("GET /requests", shows(s.requestList))
	mux.HandleFunc("GET /partitions", shows(s.Partitions))
	mux.Handle("/faults", s.faults)
	mux.HandleFunc("GET /charges", shows(s.RequestCharges))
	mux.HandleFunc("PUT /charges", does(s.chargesAsked))
	mux.HandleFunc("GET /clock", shows(s.clockState))
	mux.HandleFunc("POST /clock", does(s.adjustClock))
	mux.HandleFunc("POST /split", does(s.splitAsked))
	mux.HandleFunc("POST /release", does(s.releaseAsked))
	mux.HandleFunc("POST /merge", does(s.mergeAsked))
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		fault.Refuse(w, http.StatusNotFound, r.Method+" "+r.URL.Path+" is not known here")
	})
	return mux
}

func shows[T any](state func() T) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { fault.WriteJSON(w, http.StatusOK, state()) }
}

// does answers what is posted, or says why not.
func does[Order, Answer any](carryOut func(Order) (Answer, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		var order Order
		err := fault.ReadJSON(r, &order)
		var answer Answer
		if err == nil {
			answer, err = carryOut(order)
		}
		if err != nil {
			fault.Refuse(w, http.StatusBadRequest, err.Error())
			return
		}
		fault.WriteJSON(w, http.StatusOK, answer)
	}
}

type requestList struct {
	Total    int            `json:"total"`
	Requests []RequestEntry `json:"requests"`
}

func (s *Server) requestList() requestList {
	kept, total := s.Requests()
	return requestList{total, append([]RequestEntry{}, kept...)}
}

type clockState struct {
	Time  time.Time      `json:"time"`
	Ahead fault.Duration `json:"ahead"`
}

func (s *Server) clockState() clockState {
	return clockState{s.clock.now().UTC(), fault.Duration(s.clock.ahead.Load())}
}

func (s *Server) adjustClock(order struct {
	Advance fault.Duration `json:"advance"`
},
) (clockState, error) {
	err := s.AdvanceClock(time.Duration(order.Advance))
	return s.clockState(), err
}

func (s *Server) chargesAsked(c RequestCharges) (RequestCharges, error) {
	if err := c.check(); err != nil {
		return s.RequestCharges(), err
	}
	s.SetRequestCharges(c)
	return s.RequestCharges(), nil
}

// rangeOrder names a range, and how to split it.
type rangeOrder struct {
	Database  string         `json:"database"`
	Container string         `json:"container"`
	Range     string         `json:"range"`
	At        string         `json:"at"`
	Hold      fault.Duration `json:"hold"`
}

type splitAnswer struct {
	Children []string `json:"children"`
}

func (s *Server) splitAsked(o rangeOrder) (splitAnswer, error) {
	children, err := s.Split(o.Database, o.Container, o.Range, SplitOptions{At: o.At, Hold: time.Duration(o.Hold)})
	return splitAnswer{children}, err
}

func (s *Server) releaseAsked(o rangeOrder) (struct{}, error) {
	return struct{}{}, s.Release(o.Database, o.Container, o.Range)
}

type mergeAnswer struct {
	ID string `json:"id"`
}

func (s *Server) mergeAsked(o struct {
	Database  string `json:"database"`
	Container string `json:"container"`
	Left      string `json:"left"`
	Right     string `json:"right"`
},
) (mergeAnswer, error) {
	id, err := s.Merge(o.Database, o.Container, o.Left, o.Right)
	return mergeAnswer{id}, err
}

// Partition is a physical partition as it is now.
type Partition struct {
	Database  string `json:"database"`
	Container string `json:"container"`
	ID        string `json:"id"`
	// Min and Max are effective partition keys, Max not included.
	Min string `json:"min"`
	Max string `json:"max"`
	LSN int64  `json:"lsn"`
	// Items may count some that have expired.
	Items   int      `json:"items"`
	Parents []string `json:"parents"`
}

// Partitions returns the live partitions, by database, container and range.
func (s *Server) Partitions() []Partition {
	list := []Partition{}
	for _, c := range s.containers() {
		for _, p := range c.routes(s.clock.now()).live {
			list = append(list, p.describe())
		}
	}
	return list
}

func (p *partition) describe() Partition {
	p.mu.RLock()
	defer p.mu.RUnlock()
	return Partition{
		Database: p.owner.database.id, Container: p.owner.definition.Load().id,
		ID: p.id, Min: p.min, Max: p.max, LSN: p.lsn, Items: len(p.items), Parents: append([]string{}, p.parents...),
	}
}

// containers returns all containers, by database and name.
func (s *Server) containers() []*container {
	s.mu.RLock()
	defer s.mu.RUnlock()
	var list []*container
	for _, db := range s.databases {
		db.mu.RLock()
		for _, c := range db.containers {
			list = append(list, c)
		}
		db.mu.RUnlock()
	}
	slices.SortFunc(list, func(a, b *container) int {
		return cmp.Or(cmp.Compare(a.database.id, b.database.id), cmp.Compare(a.definition.Load().id, b.definition.Load().id))
	})
	return list
}
