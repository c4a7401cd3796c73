package leases

import (
	"context"
	"errors"
	"time"

	"go.uber.org/zap"

	"opfeed/internal/logkey"
)

// writer is the one goroutine that writes the document of a held lease.
type writer struct {
	m      *Manager
	t      *Tenure
	log    *zap.Logger
	stored Document // the version our next write is based on

	// The newest renewal that was sent, and when first: finding it stored
	// proves as much as the reply would have.
	tried   int64
	triedAt time.Time

	retry  backoff
	failed bool // the last write, for the log
}

// verdict of one attempt.
type verdict uint8

const (
	wrote    verdict = iota
	tryAgain         // nothing is known, or the base was refreshed
	lost
)

// keep renews the lease, with the newest checkpoint, until served is closed or
// the lease is lost. ctx is that of the work, which outlives a shutdown.
func (w *writer) keep(ctx context.Context, acquired time.Time, served <-chan struct{}) {
	// An acquisition carries no checkpoint, so that the first one need not wait.
	renew, lastCheckpoint := acquired.Add(w.m.cfg.RenewInterval), time.Time{}
	var retryAt time.Time
	timer := time.NewTimer(time.Until(renew))
	defer timer.Stop()
	for {
		select {
		case <-served:
			return
		case <-w.t.ended:
			return
		case <-w.t.wake:
		case <-timer.C:
		}
		next := renew
		if _, waiting := w.t.pending(); waiting {
			next = earlier(next, lastCheckpoint.Add(w.m.cfg.CheckpointInterval))
		}
		if _, waiting := w.t.untold(); waiting {
			next = time.Time{}
		}
		if next.Before(retryAt) {
			next = retryAt
		}
		if time.Now().Before(next) {
			timer.Reset(time.Until(next))
			continue
		}
		select {
		case <-served: // both were ready: one write does
			return
		default:
		}
		started := time.Now()
		result, wait := w.attempt(ctx, false)
		switch result {
		case lost:
			w.t.lose()
			return
		case wrote:
			renew, lastCheckpoint, retryAt = started.Add(w.m.cfg.RenewInterval), started, time.Time{}
		case tryAgain:
			retryAt = time.Now().Add(wait)
		}
		timer.Reset(0) // look again: positions may have come while it was written
	}
}

// giveBack writes the last checkpoint and frees the lease, in one write. It
// tries until the trust window closes, when others may take the lease anyway,
// and says whether it succeeded.
func (w *writer) giveBack(ctx context.Context) bool {
	for {
		result, wait := w.attempt(ctx, true)
		switch result {
		case wrote:
			return true
		case lost:
			w.t.lose()
			return false
		case tryAgain:
		}
		select {
		case <-time.After(wait):
		case <-w.t.ended:
			return false
		}
	}
}

// attempt writes once, and reads where the write was refused. wait is only
// meant for tryAgain.
func (w *writer) attempt(ctx context.Context, release bool) (result verdict, wait time.Duration) {
	if w.t.Trusted() != nil {
		return lost, 0
	}
	started := time.Now()
	p, _ := w.t.pending()
	next := w.stored
	next.Renewal++
	if next.Renewal != w.tried {
		w.tried, w.triedAt = next.Renewal, started
	}
	next.Timestamp = w.m.now()
	if p.number > 0 { // else whatever is stored is the position
		next.Continuation, next.Start = p.continuation, ""
	}
	offered, _ := w.t.untold()
	next.Offer = offered.String()
	if release {
		// Who asked may have left since, and says so by taking its request back.
		heir := w.t.successor()
		if hostOf(w.stored.Request) != heir {
			heir = Host{}
		}
		next.Owner, next.Request, next.Offer, next.Page = heir.Instance, "", "", "" // the heir writes its own
		if heir.StartID != "" {
			next.StartID = heir.StartID
		}
	}
	done, err := w.replace(ctx, next)
	switch {
	case err == nil:
		w.note(nil)
		w.stored = done
		w.t.tell(offered)
		if release {
			w.t.release(p, done.Timestamp)
			return wrote, 0
		}
		if !w.t.wrote(p, started.Add(w.m.cfg.window()), done.Timestamp) {
			return lost, 0
		}
		return wrote, 0
	case errors.Is(err, ErrConflict), errors.Is(err, ErrNotFound):
		w.m.metrics.writeFailures.Inc()
		return w.refused(ctx, p, release)
	default:
		w.m.metrics.writeFailures.Inc()
		w.note(err)
		return tryAgain, w.retry.next(err)
	}
}

// refused looks at what is stored after a write was refused with 412 or 404.
func (w *writer) refused(ctx context.Context, p position, release bool) (verdict, time.Duration) {
	now, err := w.read(ctx)
	switch {
	case errors.Is(err, ErrNotFound):
		w.log.Info("lease was deleted")
		return lost, 0
	case err != nil:
		w.note(err)
		return tryAgain, w.retry.next(err)
	}
	heir := w.t.successor()
	ours := now.StartID == w.stored.StartID && now.Epoch == w.stored.Epoch
	switch {
	case ours && now.Owner == w.stored.Owner:
		// Our own write whose reply was lost, or somebody wrote a request into
		// the document: take it as it is and write the newest state onto it.
		if now.Renewal == w.tried && !w.t.wrote(position{}, w.triedAt.Add(w.m.cfg.window()), now.Timestamp) {
			return lost, 0
		}
		if w.stored = now; now.Request != "" {
			w.m.poke()
		}
		// Not at once: a replica that lags shows what would be refused again, and
		// whoever wrote may go on writing.
		return tryAgain, w.retry.next(nil)
	case ours && now.Owner == "" && release, release && heir.StartID != "" && now.StartID == heir.StartID:
		w.note(nil)
		w.stored = now
		// Given by the write whose reply was lost: that one's position is stored.
		if now.Continuation != p.continuation {
			p = position{}
		}
		w.t.release(p, now.Timestamp)
		return wrote, 0
	default:
		w.log.Info("lease was taken by someone else",
			zap.String(logkey.Owner, now.Owner), zap.Int64("their_"+logkey.Epoch, now.Epoch))
		return lost, 0
	}
}

func (w *writer) replace(ctx context.Context, d Document) (Document, error) {
	ctx, cancel := w.deadline(ctx)
	defer cancel()
	return w.m.store.Replace(ctx, d)
}

func (w *writer) read(ctx context.Context) (Document, error) {
	ctx, cancel := w.deadline(ctx)
	defer cancel()
	return w.m.store.Read(ctx, w.stored.ID)
}

// deadline bounds a call by its own time and by the trust window: an answer
// after that is of no use. Losing the lease cancels it, stopping does not.
func (w *writer) deadline(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithDeadline(ctx, earlier(time.Now().Add(w.m.cfg.CallTimeout), w.t.until()))
}

// note logs the first failure in a row, and the end of the row.
func (w *writer) note(err error) {
	switch {
	case err == nil:
		w.retry.reset()
		if w.failed {
			w.log.Info("lease writes work again")
		}
	case !w.failed && w.t.Trusted() == nil:
		w.log.Info("lease write failed, trying again", logkey.Error(err))
	}
	w.failed = err != nil
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}
