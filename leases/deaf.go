package leases

import (
	"context"
	"time"

	"go.uber.org/zap"
)

// deafness is what is known of a network whose replies come too late or never,
// though what is sent arrives. Each try to take a lease would then keep it from
// the others for another expiry, and serve nobody.
type deafness struct {
	times int // rounds since one was heard of that show leases which we have without knowing it
	retry backoff
	until time.Time // take nothing, ask for nothing, do not be counted
}

// longDeaf is how long after a rest it is forgotten. A rest that ended since nobody
// else was there is forgotten with the first reply.
const longDeaf = 10 * time.Minute

// listen looks in the listing for acquisitions and renewals of ours whose reply did
// not come. A lease is taken again at once. The second time we leave leases to the
// others, for long enough that they see them expire.
func (w *watch) listen(ctx context.Context, now time.Time) {
	w.m.mu.Lock()
	taken := false
	for _, o := range w.observed {
		epoch, unheard := w.m.unheard[o.Document.ID]
		if d := o.Document; unheard && d.StartID == w.m.self.StartID && d.Epoch == epoch && !o.Held {
			taken = true
			delete(w.m.unheard, d.ID)
		}
	}
	if w.m.heard {
		w.deaf.times, w.m.heard = 0, false
		if now.Sub(w.deaf.until) > longDeaf {
			w.deaf.retry.reset()
		}
	}
	w.m.mu.Unlock()
	if taken {
		w.deaf.times++
	}
	if w.deaf.times >= 2 {
		wait := w.deaf.retry.next(nil)
		w.deaf.times, w.deaf.until = 0, now.Add(wait)
		w.m.log.Error("leases are taken, but the replies come too late: leaving them to others", zap.Duration("rest", wait))
		w.withdraw(ctx) // it would count, and have a share
		w.self.at = time.Time{}
	}
}

// rests says whether leases are left to the others still. It is over when nobody is
// there, or is any more, and what we have without knowing it nobody has taken.
func (w *watch) rests(now time.Time) bool {
	if now.Before(w.deaf.until) && !w.company(now) {
		w.deaf.until = time.Time{}
	}
	return now.Before(w.deaf.until)
}

// company says whether another host is there to serve what this one leaves, or may
// be: one that leaves leases to others, too, shows only when ours have expired.
func (w *watch) company(now time.Time) bool {
	if len(w.hosts(now)) > 0 {
		return true
	}
	for _, o := range w.observed {
		patience := o.Patience
		if o.Document.StartID == w.m.self.StartID {
			patience = o.lying()
		}
		if o.Document.Owner != "" && !o.Held && now.Sub(o.Since) < patience {
			return true
		}
	}
	return false
}
