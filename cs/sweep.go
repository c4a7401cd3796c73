package cs

import (
	"context"
	"maps"
	"sync"
	"time"

	"go.uber.org/zap"
)

const (
	// listWait bounds how long a look waits for a list, its own included.
	listWait = 2 * time.Second
	// minBatch is how many objects are worth a list.
	minBatch = 3
	// overdue is how long an object is remembered that nobody came to look at.
	overdue = time.Minute
)

// Sweep saves calls where many objects are looked at again and again and mostly
// nothing has changed: a look learns from a list, shared with the others that are
// due about now, that its object still is in the state it was in. Whatever else the
// list shows, or fails to, the answer is no, and the look asks exactly, by
// [Client.Status]. So a list decides nothing.
//
// A list may lag behind Status: ask exactly now and then whatever Sweep says.
//
// It starts no goroutine: a list is read by one of the looks that want it. Safe for
// concurrent use. Objects are forgotten a minute after they were due.
type Sweep struct {
	client *Client
	window time.Duration // 0: no lists
	wait   time.Duration

	mu      sync.Mutex // never held across I/O
	objects map[Ref]*expected
	queues  map[scope]*queue
	trust   map[Kind]*trust
	cleaned time.Time
}

// expected is an object that is looked at again and again.
type expected struct {
	ref  Ref
	due  time.Time
	at   int // place in the queue; -1: none
	last *listing
	// doubted is set when an exact answer differed from what last shows.
	doubted bool
}

// listing is one list, under way or ended.
type listing struct {
	batch batch
	begun time.Time
	done  chan struct{} // closed at its end

	// Set at its end.
	ended   bool
	outcome outcome
	states  map[Ref]string // what it showed; never an empty state

	contradicted bool // an exact answer had a state, and the list none at all
}

// NewSweep returns a Sweep over a client's lists; several share the metrics.
func NewSweep(c *Client) *Sweep {
	s := &Sweep{
		client: c, window: c.listWindow, wait: min(listWait, c.listWindow),
		objects: map[Ref]*expected{}, queues: map[scope]*queue{}, trust: map[Kind]*trust{}, cleaned: time.Now(),
	}
	for _, kind := range listKinds {
		s.trust[kind] = &trust{log: c.log.With(zap.Stringer("kind", kind))}
	}
	return s
}

// Expect says when an object will be looked at: a list that is read a little before
// has it, too.
func (s *Sweep) Expect(ref Ref, due time.Time) {
	if !s.lists(ref) {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	o := s.object(ref, time.Now())
	o.due = due
	s.queue(ref).put(o)
}

// Forget says that an object will not be looked at any more.
func (s *Sweep) Forget(ref Ref) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if o := s.objects[ref]; o != nil {
		o.due = time.Time{}
		s.drop(o)
	}
}

// Unchanged reports whether a list that was begun within Config.ListWindow shows the
// object in exactly this state, and when that list was begun: what it shows is no
// older. False tells nothing. If there is no such list it reads one, unless too few
// objects are due, or waits for that of another look; for 2 s at most, and no longer
// than ctx.
func (s *Sweep) Unchanged(ctx context.Context, ref Ref, state string) (since time.Time, ok bool) {
	if !s.lists(ref) || state == "" {
		return time.Time{}, false
	}
	s.mu.Lock()
	now := time.Now()
	o := s.object(ref, now)
	l, mine := s.latest(o), false
	if l == nil || l.ended && now.Sub(l.begun) > s.window {
		l = s.begin(o, now)
		mine = l != nil
	}
	s.mu.Unlock()

	answer := answerLate
	switch {
	case l == nil:
		return time.Time{}, false
	case mine:
		s.read(ctx, l)
		answer = s.answer(o, l, state)
	case await(ctx, l.done, time.Until(l.begun.Add(s.wait))):
		answer = s.answer(o, l, state)
	}
	s.client.metrics.listAnswers.WithLabelValues(ref.Kind.String(), string(answer)).Inc()
	return l.begun, answer == answerUnchanged
}

// Exact says what the exact answer about an object was; the empty state stands for
// none, as of an object that is gone. It makes known where lists are wrong, and
// where they are of no use.
func (s *Sweep) Exact(ref Ref, state string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	o, now := s.objects[ref], time.Now()
	// Besides the wait for the list, there was the exact call.
	if o == nil || o.last == nil || !o.last.ended || now.Sub(o.last.begun) > 2*s.window {
		return
	}
	l := o.last
	shown := l.states[ref]
	switch {
	case shown != "" && shown != state && !o.doubted:
		o.doubted = true
		s.client.metrics.disagreements.WithLabelValues(ref.Kind.String()).Inc()
	case state != "" && len(l.states) == 0 && l.outcome != listAbandoned && !l.contradicted:
		l.contradicted = true
		s.trust[ref.Kind].strike(l.outcome, now)
	}
}

// lists reports whether there may be a list that shows the object.
func (s *Sweep) lists(ref Ref) bool {
	return s.window > 0 && ref.Kind != BreakGlassCredential && ref.check() == nil
}

// object returns what is known of an object, made if there is nothing.
func (s *Sweep) object(ref Ref, now time.Time) *expected {
	if now.Sub(s.cleaned) >= overdue {
		s.clean(now)
	}
	o := s.objects[ref]
	if o == nil {
		o = &expected{ref: ref, due: now, at: -1}
		s.objects[ref] = o
	}
	return o
}

// clean drops all that is long past. That of each call is too little for it to
// matter that it goes through all.
func (s *Sweep) clean(now time.Time) {
	s.cleaned = now
	for _, o := range s.objects {
		if now.Sub(o.due) > overdue {
			s.drop(o)
		}
	}
	maps.DeleteFunc(s.queues, func(_ scope, q *queue) bool { return q.empty() && (q.whole == nil || q.whole.ended) })
}

// drop forgets an object, unless a list is under way that has it: it must not get
// into another one.
func (s *Sweep) drop(o *expected) {
	s.queue(o.ref).remove(o)
	if o.last == nil || o.last.ended {
		delete(s.objects, o.ref)
	}
}

func (s *Sweep) queue(ref Ref) *queue {
	of := scopeOf(ref)
	q := s.queues[of]
	if q == nil {
		q = &queue{}
		s.queues[of] = q
	}
	return q
}

// latest is the newest list that has the object, or will have it; nil if there is
// none.
func (s *Sweep) latest(o *expected) *listing {
	if l := s.queue(o.ref).whole; l != nil && l != o.last {
		s.queue(o.ref).remove(o)
		o.last, o.doubted = l, false
	}
	return o.last
}

// begin puts a list together for o and those that are due until it is too old, or
// returns nil. Those of them that a list under way has are left to that, and those
// that one shows which will still be good, too.
func (s *Sweep) begin(o *expected, now time.Time) *listing {
	if !s.trust[o.ref.Kind].tries(now) {
		return nil
	}
	q := s.queue(o.ref)
	q.remove(o)
	b := newBatch(o.ref)
	b.add(o.ref)
	members := []*expected{o}
	var others []*expected
	for !q.empty() {
		next := q.first()
		if next.due.After(now.Add(s.window)) || !b.fits(next.ref) {
			break
		}
		q.remove(next)
		switch {
		case now.Sub(next.due) > overdue:
			s.drop(next)
		case next.last != nil && !next.last.ended:
			others = append(others, next)
		case next.last != nil && !next.due.After(next.last.begun.Add(s.window)):
		default:
			b.add(next.ref)
			members = append(members, next)
		}
	}
	for _, other := range others {
		q.put(other)
	}
	if len(members) < minBatch {
		for _, m := range members[1:] {
			q.put(m)
		}
		return nil
	}
	l := &listing{batch: b, begun: now, done: make(chan struct{})}
	for _, m := range members {
		m.last, m.doubted = l, false
	}
	if o.ref.Kind != Cluster {
		q.whole = l
	}
	return l
}

// read reads a list and ends it, whatever happens.
func (s *Sweep) read(ctx context.Context, l *listing) {
	var states map[Ref]string
	outcome, reason := listAbandoned, error(nil)
	defer func() {
		s.mu.Lock()
		l.ended, l.outcome, l.states = true, outcome, states
		s.trust[l.batch.kind].take(outcome, reason, time.Now())
		s.mu.Unlock()
		close(l.done)
		s.client.metrics.lists.WithLabelValues(l.batch.kind.String(), string(outcome)).Inc()
	}()
	// Cancelled, and not past a deadline: a list that takes longer than we wait is no
	// sign that Cluster Service does not work.
	bounded, cancel := context.WithCancel(ctx)
	defer cancel()
	defer time.AfterFunc(s.wait, cancel).Stop()
	sightings, err := s.client.look(bounded, l.batch)
	if err == nil {
		states = l.batch.states(sightings)
	}
	outcome, reason = outcomeOf(ctx, states, err), err
}

// answer reads an ended list.
func (s *Sweep) answer(o *expected, l *listing, state string) listAnswer {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch shown := l.states[o.ref]; {
	case shown == "":
		return answerMissing
	case shown != state, o.doubted:
		return answerChanged
	case o.last != l, time.Since(l.begun) > s.window:
		return answerLate
	}
	return answerUnchanged
}

// await waits for done, and reports whether it came in time.
func await(ctx context.Context, done <-chan struct{}, most time.Duration) bool {
	select {
	case <-done:
		return true
	default:
	}
	timer := time.NewTimer(most)
	defer timer.Stop()
	select {
	case <-done:
		return true
	case <-timer.C:
	case <-ctx.Done():
	}
	return false
}
