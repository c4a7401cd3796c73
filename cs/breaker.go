package cs

import (
	"errors"
	"maps"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

const (
	// breakerSpan is what the calls in a row must span at least, from the end of
	// the first to that of the last. One hiccup hits all calls in flight at once; and
	// where some objects hang and others are well, an answer comes with each round of
	// polls, which are 10 s apart.
	breakerSpan = 15 * time.Second
	// maxProbePause bounds how long a Retry-After puts the next probe off.
	maxProbePause = time.Minute
	// probeGrace is how long who was refused and had no turn yet is waited for:
	// longer than anybody stays away who polls every 10 s.
	probeGrace = 15 * time.Second
	// soon is when to come back where nothing says when it is worth while.
	soon = time.Second
	// maxTried bounds what is remembered of those who had a turn.
	maxTried = 4096
)

// errOpen is the cause when a call is refused because no call is answered.
var errOpen = errors.New("not asked, since calls are not answered")

// breaker decides who may call while Cluster Service does not answer anybody.
// It does no I/O, knows the time only from its arguments, and is not safe for
// concurrent use: see gate.
//
// It opens after so many silent calls in a row, of all objects, that last for
// the span and are not all of one path: one object that hangs, or draws 500, for
// ever does not open it while any other call is answered, or when it is the only
// one that is asked for. Open, it lets one call through at a time, a probe, no
// sooner than an interval after the last one began. Any answer closes it.
//
// Whose call is a probe? Each path has one turn a round. Who had one gets another
// only if nobody who had none was refused since the last probe began, or if he who
// was has not come within probeGrace of the time when the probe was due. So k objects
// that never get an answer cost k probes at most before it is the turn of one that
// does; and who stays away keeps nobody out for longer than that. When all had
// their turn a new round begins.
type breaker struct {
	threshold int           // 0: never opens
	span      time.Duration // see breakerSpan
	interval  time.Duration // of probes

	// Of the run of silent calls.
	silent int
	first  time.Time // when the first ended
	path   string    // of the first
	others bool      // there was another path

	open    bool
	probing bool
	turns   turn      // probes so far
	begun   time.Time // the last probe, or else the opening
	due     time.Time // the next probe
	tried   map[string]struct{}
	waiting map[string]time.Time // those who had no turn, and when they were last refused
}

// turn is what a call was let through as: 0 as usual, else which probe it is.
type turn uint64

// enter says whether a call of a path may be made now, and if not, when to come
// back at the soonest. One that may be must be followed by leave.
func (b *breaker) enter(path string, now time.Time) (t turn, wait time.Duration, ok bool) {
	if !b.open {
		return 0, 0, true
	}
	if wait := b.pause(path, now); wait > 0 {
		return 0, wait, false
	}
	_, had := b.tried[path]
	if had && b.awaited(now) {
		return 0, soon, false
	}
	if had || len(b.tried) >= maxTried {
		clear(b.tried)
	}
	delete(b.waiting, path)
	b.tried[path] = struct{}{}
	b.turns++
	b.probing, b.begun = true, now
	return b.turns, 0, true
}

// pause is how long no call is made, whoever's turn it is; 0: one might be. It takes
// no turn, but takes note of who was refused.
func (b *breaker) pause(path string, now time.Time) time.Duration {
	wait := b.due.Sub(now)
	switch {
	case !b.open:
		return 0
	case b.probing: // when it ends is not known
		wait = max(soon, wait)
	case wait <= 0:
		return 0
	}
	if _, had := b.tried[path]; !had && len(b.waiting) < maxTried {
		b.waiting[path] = now
	}
	return wait
}

// awaited tells whether somebody who had no turn was refused lately, and so will come.
func (b *breaker) awaited(now time.Time) bool {
	maps.DeleteFunc(b.waiting, func(_ string, refused time.Time) bool { return now.Sub(refused) >= probeGrace })
	return len(b.waiting) > 0
}

// leave takes note of how a call ended that was let through.
func (b *breaker) leave(t turn, path string, v verdict, now time.Time) {
	if b.probing && t == b.turns {
		b.probing = false
		b.due = b.begun.Add(b.interval)
		b.postpone(now)
	}
	switch v.sort {
	case answered:
		*b = breaker{threshold: b.threshold, span: b.span, interval: b.interval, turns: b.turns}
	case silent:
		if b.open {
			b.postpone(now.Add(min(v.retryAfter, maxProbePause)))
		} else {
			b.count(path, v, now)
		}
	case nothing:
	}
}

// count adds a silent call to the run.
func (b *breaker) count(path string, v verdict, now time.Time) {
	if b.silent == 0 {
		b.first, b.path = now, path
	}
	b.silent++
	b.others = b.others || path != b.path
	if b.threshold > 0 && b.silent >= b.threshold && b.others && now.Sub(b.first) >= b.span {
		b.open, b.begun, b.tried, b.waiting = true, now, map[string]struct{}{}, map[string]time.Time{}
		b.due = now.Add(max(b.interval, min(v.retryAfter, maxProbePause)))
	}
}

// postpone lets the next probe be no sooner.
func (b *breaker) postpone(at time.Time) {
	if at.After(b.due) {
		b.due = at
	}
}

// gate is the breaker that all calls of a client share.
type gate struct {
	gauge prometheus.Gauge

	mu      sync.Mutex
	breaker breaker
}

func newGate(cfg Config, gauge prometheus.Gauge) *gate {
	return &gate{gauge: gauge, breaker: breaker{threshold: cfg.Breaker, span: breakerSpan, interval: cfg.BreakerProbe}}
}

// check refuses a call that could not be made now, without taking its turn: that
// is for when it has its place.
func (g *gate) check(path string) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if wait := g.breaker.pause(path, time.Now()); wait > 0 {
		return g.refusal(wait)
	}
	return nil
}

// enter lets a call through, or refuses it.
func (g *gate) enter(path string) (turn, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	t, wait, ok := g.breaker.enter(path, time.Now())
	if !ok {
		return 0, g.refusal(wait)
	}
	return t, nil
}

// refusal spreads those who are refused over an interval.
func (g *gate) refusal(wait time.Duration) error {
	return &UnavailableError{RetryAfter: wait + rand.N(g.breaker.interval+1), err: errOpen}
}

func (g *gate) leave(t turn, path string, v verdict) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.breaker.leave(t, path, v, time.Now())
	g.gauge.Set(0)
	if g.breaker.open {
		g.gauge.Set(1)
	}
}
