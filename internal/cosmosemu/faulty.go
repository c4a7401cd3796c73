package cosmosemu

import (
	"net/http"
	"strconv"
	"time"

	"opfeed/internal/fault"
)

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
