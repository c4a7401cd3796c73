package leases

import (
	"context"
	"time"

	"go.uber.org/zap"

	"opfeed/internal/logkey"
)

// present is since when the record of a host has looked the way it does.
type present struct {
	Presence
	since time.Time
}

// presence is our own record.
type presence struct {
	renewal int64
	at      time.Time
	failing bool
}

// announce shows the others that this host is there while it holds no lease: an
// owner is seen by its leases. A host that starts does so before it looks, so
// that of two that start together one sees the other.
func (w *watch) announce(ctx context.Context) {
	w.m.mu.Lock()
	holds := len(w.m.tenures) > 0
	w.m.mu.Unlock()
	if holds || time.Now().Before(w.deaf.until) || !w.self.at.IsZero() && time.Since(w.self.at) < w.m.cfg.RenewInterval {
		return
	}
	call, cancel := context.WithTimeout(ctx, w.m.cfg.CallTimeout)
	defer cancel()
	w.self.renewal++
	err := w.m.store.Announce(call, Presence{StartID: w.m.self.StartID, Instance: w.m.self.Instance, Renewal: w.self.renewal, Page: w.m.page})
	if err != nil && !w.self.failing && ctx.Err() == nil {
		// Without it the host gets no share until leases are free.
		w.m.log.Info("host cannot be announced, trying again", logkey.Error(err))
	}
	if w.self.failing = err != nil; err == nil {
		w.self.at = time.Now()
	}
}

// withdraw ends our record. One that stays is not counted once it has expired.
func (w *watch) withdraw(ctx context.Context) {
	if w.self.renewal == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, w.m.cfg.CallTimeout)
	defer cancel()
	if err := w.m.store.Withdraw(ctx, w.m.self.StartID); err != nil {
		w.m.log.Debug("record of this host was not deleted", zap.Error(err))
	}
}

// meet notes which records have changed since the last listing.
func (w *watch) meet(now time.Time, listed []Presence) {
	met := make(map[string]present, len(listed))
	for _, p := range listed {
		h := present{p, now}
		if before := w.present[p.StartID]; before.Presence == p {
			h.since = before.since
		}
		met[p.StartID] = h
	}
	delete(met, w.m.self.StartID)
	w.present = met
	w.m.mu.Lock()
	defer w.m.mu.Unlock()
	w.m.met = met // nobody changes it any more
}

// hosts gives the other hosts whose records have not expired.
func (w *watch) hosts(now time.Time) []Host {
	var list []Host
	for _, p := range w.present {
		if now.Sub(p.since) < w.m.cfg.Expiry {
			list = append(list, Host{p.Instance, p.StartID})
		}
	}
	return list
}
