package leases

import (
	"context"
	"errors"
	"time"

	"go.uber.org/zap"

	"opfeed/internal/logkey"
)

// errHandOver ends a tenure whose lease another host has asked for.
var errHandOver = errors.New("lease is handed over")

// How often hosts look at a lease that is about to change hands. For as long as
// the new owner does not look nobody reads the range; the old one still does.
const (
	lookout = 200 * time.Millisecond // of the old owner, for an answer to its offer
	expect  = 100 * time.Millisecond // of the new one, for the lease that it asked for
)

// pursue asks for a lease and takes it as soon as its owner has handed it over.
// After four listing intervals, in which the owner sees it and its work drains,
// it takes the request back; Plan may ask again.
func (m *Manager) pursue(staying context.Context, d Document, take func(Document)) {
	ctx, cancel := context.WithTimeout(staying, 4*m.cfg.AcquireInterval)
	defer cancel()
	taken := false
	defer func() {
		if !taken { // a request that nobody waits behind would send the lease away one day
			m.retract(context.WithoutCancel(staying), d.ID, false)
		}
	}()
	owner, before := d.StartID, d.Request // of somebody who needs it less, or is gone
	for ; ctx.Err() == nil; sleep(ctx, expect) {
		switch {
		case d.StartID == m.self.StartID && d.Owner == m.self.Instance:
			taken = true
			take(d)
			return
		case d.StartID != owner:
			m.poke() // it went to somebody else: maybe another one is left
			return
		case hostOf(d.Request) == m.self:
		case d.Request != before:
			m.poke() // somebody else asks, too
			return
		default:
			// Neither timestamp nor renewal: an owner that has died must not look
			// alive for it. If its own write came first, the next one is tried.
			next := d
			next.Request = m.self.String()
			if _, err := m.try(ctx, m.store.Replace, next); err == nil {
				m.log.Info("lease asked for", zap.String(logkey.Lease, d.Token), zap.String(logkey.Owner, d.Owner))
			}
		}
		now, err := m.look(ctx, d.ID)
		if errors.Is(err, ErrNotFound) {
			return
		}
		if err == nil {
			d = now
		}
	}
}

// retract takes a request back, or the lease that it brought: nobody waits for it.
// A lease that is being taken or held by now is left alone, unless claimed says
// that it is the caller who was to take it: what is trusted must not be freed. Who
// takes it between the look and the write makes the write fail.
func (m *Manager) retract(ctx context.Context, id string, claimed bool) {
	const tries = 3 // the owner writes, too
	for range tries {
		d, err := m.look(ctx, id)
		if err != nil {
			return // it expires as any other
		}
		m.mu.Lock()
		_, held := m.tenures[id]
		m.mu.Unlock()
		if held && !claimed {
			return
		}
		switch m.self {
		case Host{d.Owner, d.StartID}:
			d.Owner, d.Page = "", ""
		case hostOf(d.Request):
			d.Request = ""
		default:
			return
		}
		if _, err := m.try(ctx, m.store.Replace, d); !errors.Is(err, ErrConflict) {
			return
		}
	}
}

// leave offers the leases to the hosts that stay, and hands over those that are
// asked for, so that nobody has to find out that they are free. It gives up after
// two listing intervals: those who stay must see the offer, and answer.
func (w *watch) leave(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, 2*w.m.cfg.AcquireInterval)
	defer cancel()
	const again = 5 // lookouts: who was to have a lease may leave, too
	var offers map[string]Host
	for n := 0; ctx.Err() == nil; n++ {
		if n%again == 0 {
			offers = w.offer(ctx, offers)
		}
		if len(offers) == 0 {
			return
		}
		for id, h := range offers {
			if now, err := w.m.look(ctx, id); err == nil && hostOf(now.Request) == h {
				w.m.give(id, h)
				delete(offers, id)
			}
		}
		sleep(ctx, lookout)
	}
}

// offer lets each held lease name who is to have it.
func (w *watch) offer(ctx context.Context, before map[string]Host) map[string]Host {
	list, hosts, err := w.list(ctx)
	if err == nil {
		w.sight(time.Now(), list)
		w.meet(time.Now(), hosts)
		w.observed = w.observe(w.view(time.Now(), list))
	}
	now := time.Now()
	offers := Offers(now, w.m.self, w.hosts(now), w.observed, before)
	for id, h := range offers {
		if t := w.m.tenure(id); t != nil && t.successor() == (Host{}) {
			t.offer(h)
		} else {
			delete(offers, id)
		}
	}
	return offers
}

func (m *Manager) look(ctx context.Context, id string) (Document, error) {
	ctx, cancel := context.WithTimeout(ctx, m.cfg.CallTimeout)
	defer cancel()
	return m.store.Read(ctx, id)
}

func (m *Manager) try(ctx context.Context, write func(context.Context, Document) (Document, error), d Document) (Document, error) {
	ctx, cancel := context.WithTimeout(ctx, m.cfg.CallTimeout)
	defer cancel()
	return write(ctx, d)
}
