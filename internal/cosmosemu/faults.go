package cosmosemu

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"opfeed/internal/fault"
)

// Fault is a rule by which the account fails. It may match these attributes of
// a request:
//
//   - kind, database, container, agent, method, key: as in RequestEntry, but
//     that a query without a partition key header is a crossquery even if its
//     WHERE names one
//   - range: the partition key range that is named, or that owns the key
//   - id: the item's, from the path or the body; a batch's are joined by commas,
//     so that *a* finds one of them
//
// A request that the account would not let in (its path, its key, its size) is
// refused as ever, and no rule's.
type Fault = fault.Rule[Effect]

var faultAttributes = []string{"kind", "database", "container", "range", "key", "id", "agent", "method"}

// Effect is what happens to a request. Of those of several rules on one request,
// durations are the longest, jumps of the clock add up, and the first Feed
// counts.
type Effect struct {
	fault.Effect

	// Substatus goes with Status, as x-ms-substatus.
	Substatus int `json:"substatus,omitempty"`

	// FeedDelay hides from the change feed what was committed less than that
	// ago; an item that is written again starts anew.
	FeedDelay fault.Duration `json:"feedDelay,omitempty"`
	// Feed is how the change feed lies; empty: it does not.
	Feed Feed `json:"feed,omitempty"`

	// Touch lets somebody else write what is about to be written, right before:
	// its content stays, its ETag and LSN are new. In a batch, that goes for the
	// items with an ifMatch.
	Touch bool `json:"touch,omitempty"`

	// Stale lets reads and queries without a session token be answered by a
	// replica that lags: each commit reaches it within that time, an hour at most,
	// after a part of it that follows from the rule's seed, the range and the LSN,
	// and never before an earlier one. What it had before the rule was there, it
	// has; it lacks the last 10,000 changes at most, and has caught up when a
	// range is split or merged.
	Stale fault.Duration `json:"stale,omitempty"`

	// ClockJump lets the account's clock jump ahead, see Server.AdvanceClock.
	ClockJump fault.Duration `json:"clockJump,omitempty"`

	// Split splits the range that the request names, or that owns its key, right
	// before; see SplitOptions for Hold. Where that is not possible, nothing
	// happens.
	Split bool           `json:"split,omitempty"`
	Hold  fault.Duration `json:"hold,omitempty"`
}

// Feed is a way in which the change feed lies.
type Feed string

// The ways in which the change feed lies.
const (
	// FeedSilent: nothing is new, and the position is the one that was asked
	// from. Nothing is lost.
	FeedSilent Feed = "silent"
	// FeedSkip: nothing is new, but the position is the current one. What is in
	// between is lost to this reader.
	FeedSkip Feed = "skip"
	// FeedRepeat: the page is as it should be, but its position is the one that
	// was asked from, so that it comes again.
	FeedRepeat Feed = "repeat"
)

// Validate implements fault.Effects.
func (e Effect) Validate() error {
	var errs []error
	switch e.Feed {
	case "", FeedSilent, FeedSkip, FeedRepeat:
	default:
		errs = append(errs, fmt.Errorf("feed is %q: there are silent, skip and repeat", e.Feed))
	}
	if e.Substatus != 0 && e.Status == 0 {
		errs = append(errs, errors.New("substatus needs a status"))
	}
	if e.Hold != 0 && !e.Split {
		errs = append(errs, errors.New("hold needs split"))
	}
	if e.FeedDelay < 0 || e.Stale < 0 || e.ClockJump < 0 {
		errs = append(errs, errors.New("feedDelay, stale and clockJump cannot be negative"))
	}
	if e.Stale > fault.Duration(time.Hour) {
		errs = append(errs, errors.New("stale is at most an hour"))
	}
	return errors.Join(errs...)
}

// Faults are the rules by which the account fails, to be changed at any time.
func (s *Server) Faults() *fault.Rules[Effect] { return s.faults }

// longestLag is how long partitions must remember what was replaced.
func (s *Server) longestLag() time.Duration {
	return time.Duration(s.faults.Longest(func(e Effect) fault.Duration { return e.Stale }))
}

// attribute is what rules match.
func (s *Server) attribute(x *exchange, name string) string {
	switch name {
	case "kind":
		return x.kind
	case "database":
		return x.database
	case "container":
		return x.container
	case "range":
		if id := x.namedRange(); id != "" {
			return id
		}
		if p := s.addressed(x); p != nil {
			return p.id
		}
		return ""
	case "key":
		return x.header(headerPartitionKey)
	case "id":
		return x.itemID()
	case "agent":
		return x.agent()
	default:
		return x.request.Method
	}
}

// itemID is the id that a request is about. Before its handler has read the body
// that is what a look at it tells.
func (x *exchange) itemID() string {
	type item struct {
		ID string `json:"id"`
	}
	if x.id != "" {
		return x.id
	}
	switch x.kind {
	case kindCreate, kindUpsert:
		var sent item
		if json.Unmarshal(x.body, &sent) == nil {
			x.id = sent.ID
		}
	case kindBatch:
		var sent []struct {
			ID   string `json:"id"`
			Body item   `json:"resourceBody"`
		}
		if json.Unmarshal(x.body, &sent) == nil {
			ids := make([]string, len(sent))
			for i, o := range sent {
				ids[i] = cmp.Or(o.ID, o.Body.ID)
			}
			x.id = strings.Join(ids, ",")
		}
	}
	return x.id
}

// addressed is the partition that a request about items names, or that owns its
// key; nil if there is no such one.
func (s *Server) addressed(x *exchange) *partition {
	if x.resource != resourceItem && x.resource != resourceItems {
		return nil
	}
	c, err := s.container(x)
	if err != nil {
		return nil
	}
	key, err := x.givenKey(c.definition.Load())
	if err != nil {
		return nil
	}
	routes := c.routes(x.now)
	low, high, err := x.keyRange(c, routes, key)
	if owners := routes.between(low, high); err == nil && len(owners) == 1 {
		return owners[0]
	}
	return nil
}

// serveFaulty answers a request that rules have hit.
func (s *Server) serveFaulty(w http.ResponseWriter, x *exchange, hits []fault.Hit[Effect]) {
	s.hit(x, hits)
	fault.Serve(w, x.request, x.effect.Effect, fault.Answers{
		Apply: func(w http.ResponseWriter, _ *http.Request) {
			x.now = s.clock.now() // the request may have been delayed
			s.apply(x).send(w, x)
		},
		Refuse: func(w http.ResponseWriter, _ fault.Effect) {
			x.now = s.clock.now()
			s.refusal(x).send(w, x)
		},
		Ended: func(end fault.End) {
			substatus, _ := strconv.Atoi(end.Header.Get("x-ms-substatus"))
			s.record(x, outcome{end.Status, substatus, end.Bytes})
		},
	})
}

// hit puts together what happens to a request, and does what comes before it.
func (s *Server) hit(x *exchange, hits []fault.Hit[Effect]) {
	all := &x.effect
	all.Effect = fault.Merge(hits)
	answered := false
	for _, hit := range hits {
		x.faults = append(x.faults, hit.Rule)
		e := hit.Effect
		if !answered && (e.Status != 0 || e.Reply != "") {
			answered, all.Substatus = true, e.Substatus
		}
		if e.Stale > all.Stale {
			all.Stale, x.staleSeed = e.Stale, hit.Seed
		}
		all.FeedDelay = max(all.FeedDelay, e.FeedDelay)
		if all.Feed == "" {
			all.Feed = e.Feed
		}
		all.Touch = all.Touch || e.Touch
		s.clock.advance(time.Duration(e.ClockJump))
		if e.Split {
			s.splitBelow(x, time.Duration(e.Hold))
		}
	}
	if all.Substatus != 0 && all.Body != nil {
		if all.Header == nil {
			all.Header = map[string]string{}
		}
		all.Header["X-Ms-Substatus"] = strconv.Itoa(all.Substatus)
	}
}

// splitBelow splits the range that a request is about to use.
func (s *Server) splitBelow(x *exchange, hold time.Duration) {
	if p := s.addressed(x); p != nil {
		_, _ = p.owner.split(p.id, SplitOptions{Hold: hold}, s.clock.now()) // too narrow, or being split
	}
}

// refusal is the account's usual answer with a fault's status.
func (s *Server) refusal(x *exchange) *reply {
	x.sessions, x.lsn = nil, 0
	if p := s.addressed(x); p != nil {
		if lsn, err := p.position(); err == nil {
			x.visit(p, lsn)
		}
	}
	f := refuse(x.effect.Status, "a fault of this emulated account").because(x.effect.Substatus).costs(s.prices().Refused)
	if f.status == http.StatusTooManyRequests {
		f.charge = s.prices().Throttled
	}
	if x.charge == 0 {
		x.charge = f.charge
	}
	return refusal(f)
}

// touch is what Effect.Touch says.
func (x *exchange) touch(p *partition, key partitionKey, epk string, operations ...*operation) error {
	if !x.effect.Touch {
		return nil
	}
	_, err := p.commit(x.now, func(tx *transaction) error {
		for _, o := range operations {
			at := itemKey{key.key(), o.id}
			old := tx.read(at)
			if old != nil && (x.kind != kindBatch || o.ifMatch != "") {
				tx.write(at, epk, &item{user: old.user, ttl: old.ttl, properties: old.properties, id: o.id, key: key})
			}
		}
		return nil
	})
	return err
}

// feedUntil is the time of the last commit that the change feed shows.
func (x *exchange) feedUntil(s *Server) time.Duration {
	const end = 1<<63 - 1
	if x.effect.FeedDelay == 0 {
		return end
	}
	return s.uptime() - time.Duration(x.effect.FeedDelay)
}

// distort is what Effect.Feed says. It returns what the feed shows, and the
// position to go on from.
func (x *exchange) distort(page feedPage, documents []*document, last, current int64) ([]*document, int64) {
	asked := page.after
	if x.header("If-None-Match") == "" && x.header("If-Modified-Since") != "" {
		// A time has no position of its own, but for what comes after it.
		if asked = last; len(documents) > 0 {
			asked = documents[0].lsn - 1
		}
	}
	switch x.effect.Feed {
	case FeedSilent:
		return nil, asked
	case FeedSkip:
		return nil, max(last, current)
	case FeedRepeat:
		return documents, asked
	default:
		return documents, last
	}
}
