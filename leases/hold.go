package leases

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/sourcegraph/conc"
	"go.uber.org/zap"

	"opfeed/internal/logkey"
)

// hold acquires one lease and keeps it until serve has returned.
func (m *Manager) hold(ctx context.Context, d Document, serve Serve) {
	if ctx.Err() != nil {
		m.retract(context.WithoutCancel(ctx), d.ID, true) // it may have been given to us
		return
	}
	log := m.log.With(zap.String(logkey.Lease, d.Token))
	// From here on a shutdown must know the outcome of the write, else the
	// lease would be held by nobody until it expires.
	detached := context.WithoutCancel(ctx)
	started := time.Now()
	lease, err := m.acquire(detached, d)
	until := started.Add(m.cfg.window())
	m.hear(d.ID, d.Epoch+1, err == nil && time.Now().Before(until))
	if changed := errors.Is(err, ErrConflict) || errors.Is(err, ErrNotFound); err != nil {
		if !changed {
			m.metrics.writeFailures.Inc()
		}
		if !changed && m.failing(d.ID, true) {
			log.Info("lease could not be taken, trying again", logkey.Error(err))
			m.poke() // it may be ours, and nobody serves it
		}
		return // the next listing shows what became of it
	}
	m.failing(d.ID, false)
	if !time.Now().Before(until) {
		return // the reply took so long that it proves nothing
	}
	log = log.With(zap.Int64(logkey.Epoch, lease.Epoch))
	log.Info("lease taken", zap.String(logkey.Continuation, lease.Continuation))
	m.metrics.acquisitions.Inc()
	m.metrics.owned.Inc()

	work, loseWork := context.WithCancelCause(detached)
	stop, loseStop := context.WithCancelCause(ctx)
	defer loseWork(context.Canceled)
	defer loseStop(context.Canceled)
	t := newTenure(lease, until, func(cause error) {
		loseWork(cause)
		loseStop(cause)
		m.metrics.owned.Dec()
		m.metrics.lost.Inc()
		m.hear(lease.ID, lease.Epoch, false) // if it is still ours, its renewals were not heard of
		log.Info("lease lost, its work is cancelled")
	}, loseStop)
	m.hand(lease.ID, t)
	w := &writer{m: m, t: t, log: log, stored: lease,
		retry: m.backoff(250*time.Millisecond, min(2*time.Second, m.cfg.RenewInterval))}
	m.serve(ctx, stop, work, w, started, serve)
}

// serve runs the user's func beside the writer, and settles the lease after it.
// leaving ends with the Manager's Run.
func (m *Manager) serve(leaving, stop, work context.Context, w *writer, acquired time.Time, serve Serve) {
	var (
		served   = make(chan struct{})
		err      error
		returned bool
		inner    conc.WaitGroup
	)
	defer w.t.lose() // after a panic: as if the process had died
	inner.Go(func() {
		defer close(served)
		err = serve(stop, work, w.t)
		returned = true
	})
	w.keep(work, acquired, served)
	inner.Wait() // raises serve's panic
	if !returned {
		return // runtime.Goexit, as by a test that failed
	}
	if errors.Is(err, ErrOutdated) || errors.Is(context.Cause(stop), ErrOutdated) {
		if err = w.succeed(work, leaving); err == nil {
			m.metrics.owned.Dec()
			m.poke()
			return
		}
	}
	if stop.Err() == nil {
		m.rest(w, acquired, err)
	}
	// A shutdown has no say in this last write; losing the lease ends work.
	if !w.giveBack(work) {
		return
	}
	m.metrics.owned.Dec()
	if heir := w.stored.Owner; heir != "" {
		m.metrics.handedOver.Inc()
		w.log.Info("lease handed over", zap.String(logkey.Owner, heir), zap.String(logkey.Continuation, w.stored.Continuation))
		return
	}
	w.log.Info("lease given back", zap.String(logkey.Continuation, w.stored.Continuation))
}

// rest keeps this process from taking a lease again at once when serve returned
// without being asked to. A failure that repeats itself is said once.
func (m *Manager) rest(w *writer, acquired time.Time, err error) {
	id := w.t.lease.ID
	m.mu.Lock()
	r, known := m.resting[id]
	if !known || time.Since(acquired) > m.cfg.Expiry {
		r.retry, r.logged = m.backoff(time.Second, m.cfg.Expiry), ""
	}
	before := r.logged
	r.logged = failure(err)
	wait := r.retry.next(nil)
	r.until = time.Now().Add(wait)
	m.resting[id] = r
	// What rested longer ago begins anew as if it never had.
	maps.DeleteFunc(m.resting, func(_ string, r rest) bool { return time.Since(r.until) > m.cfg.Expiry })
	m.mu.Unlock()
	if err != nil {
		log := w.log.Error
		if failure(err) == before {
			log = w.log.Debug
		}
		log("range failed, its lease is given back", logkey.Error(err), zap.Duration("rest", wait))
	}
}

// failure names an error without what differs each time, such as the id of a
// request; "" is none.
func failure(err error) string {
	if err == nil {
		return ""
	}
	if reply, ok := errors.AsType[*azcore.ResponseError](err); ok {
		return fmt.Sprintf("answered %d %s", reply.StatusCode, reply.ErrorCode)
	}
	return err.Error()
}

// failing notes whether taking a lease fails and says whether that is new.
func (m *Manager) failing(id string, now bool) (changed bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	changed = m.refused[id] != now
	if now {
		m.refused[id] = true
	} else {
		delete(m.refused, id)
	}
	return changed
}

// acquire writes our name into a lease. Who asks for it just then, as a host that
// starts does, has changed the document, but not whose it is: then it is tried
// again, and not a listing interval later.
func (m *Manager) acquire(ctx context.Context, d Document) (Document, error) {
	const tries = 3
	var err error
	for range tries {
		var taken Document
		if taken, err = m.try(ctx, m.store.Replace, m.mine(d)); !errors.Is(err, ErrConflict) {
			return taken, err
		}
		now, unread := m.look(ctx, d.ID)
		if unread != nil || !d.sameHolder(now) {
			break
		}
		d = now
	}
	return Document{}, err
}

// mine is a lease as it is when this host takes it.
func (m *Manager) mine(d Document) Document {
	d.Owner, d.StartID = m.self.Instance, m.self.StartID
	d.Epoch++
	d.Renewal = 0
	d.Request, d.Offer, d.Page = "", "", m.page
	d.Timestamp = m.now()
	return d
}

// sameHolder says whether nothing but a request, or an offer, has come between two
// versions of a lease. Of owners without a start id nobody can tell.
func (d Document) sameHolder(now Document) bool {
	return d.Owner == now.Owner && d.StartID == now.StartID && d.Epoch == now.Epoch && d.Renewal == now.Renewal &&
		(d.Owner == "" || d.StartID != "")
}

// hear notes whether an acquisition, or the renewals after it, got a reply in time.
func (m *Manager) hear(id string, epoch int64, heard bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if heard {
		clear(m.unheard)
		m.heard = true
	} else {
		m.unheard[id] = epoch
	}
}
