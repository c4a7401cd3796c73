package leases

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/data/azcosmos"
)

// Tenure is the time in which this process holds one lease. Its methods are safe
// for concurrent use, never wait for Cosmos DB (but for CheckpointNow), and may
// be called after the end.
type Tenure struct {
	lease Document

	// wake tells the writer that there is something to write; ended is closed
	// when the tenure is over, lost or given back.
	wake  chan struct{}
	ended chan struct{}
	lost  context.CancelCauseFunc // called once, when it is lost: cancels work and stop
	end   context.CancelCauseFunc // cancels stop

	mu      sync.Mutex // never held across I/O or a channel
	trusted time.Time  // end of the trust window, local monotonic clock
	window  *time.Timer
	over    bool
	latest  position // the newest given
	stored  uint64   // number of the newest position known to be stored
	waiters []waiter
	renewed time.Time // timestamp of the last write, wall clock
	offered Host      // who is to have the lease next, as the document is to say
	told    bool      // it does
	heir    Host      // who gets it in the end; zero: nobody in particular
}

// position is a continuation and its number in the order in which they were
// given. Two equal ones in a row share a number.
type position struct {
	continuation string
	number       uint64
}

type waiter struct {
	number uint64
	stored chan struct{}
}

// Lease is the document as it was acquired.
func (t *Tenure) Lease() Document { return t.lease }

// Range is the feed range to read.
func (t *Tenure) Range() azcosmos.FeedRange { return t.lease.Range }

// Token is the lease token: the pk range id.
func (t *Tenure) Token() string { return t.lease.Token }

// Epoch counts the acquisitions of this lease, by anyone.
func (t *Tenure) Epoch() int64 { return t.lease.Epoch }

// Checkpoint gives the latest position, a raw ETag. It returns at once; the
// position goes into the next write, which comes within CheckpointInterval of
// the last one. Of several positions only the last is written. "" is ignored:
// there is no way back to having no position.
func (t *Tenure) Checkpoint(continuation string) {
	t.give(continuation)
}

// CheckpointNow gives the latest position and returns when it, or a later one,
// is stored. It fails with ErrLost when the lease is lost or was given back,
// and with the context's cause; the position then stays the latest and may
// still be written.
func (t *Tenure) CheckpointNow(ctx context.Context, continuation string) error {
	if continuation == "" {
		return errors.New("checkpoint: the position is empty")
	}
	number := t.give(continuation)
	stored, err := t.await(number)
	if err != nil {
		return err
	}
	select {
	case <-stored:
		return nil
	case <-t.ended:
		if t.isStored(number) { // by the very last write
			return nil
		}
		return ErrLost
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// Trusted returns nil while nobody else can have taken the lease: inside
// renewal started + Expiry − Margin on the local monotonic clock. After that it
// is ErrLost for ever. It looks at the clock itself: a process that was stopped
// past the window gets ErrLost before any timer of its own has run.
func (t *Tenure) Trusted() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.over || !time.Now().Before(t.trusted) {
		return ErrLost
	}
	return nil
}

func newTenure(lease Document, until time.Time, lost, end context.CancelCauseFunc) *Tenure {
	t := &Tenure{
		end:     end,
		lease:   lease,
		wake:    make(chan struct{}, 1),
		ended:   make(chan struct{}),
		lost:    lost,
		trusted: until,
		latest:  position{continuation: lease.Continuation},
		renewed: lease.Timestamp,
	}
	t.mu.Lock()
	defer t.mu.Unlock() // the timer may fire before it is stored
	t.window = time.AfterFunc(time.Until(until), t.closeWindow)
	return t
}

func (t *Tenure) give(continuation string) (number uint64) {
	t.mu.Lock()
	changed := continuation != "" && continuation != t.latest.continuation && !t.over
	if changed {
		t.latest = position{continuation, t.latest.number + 1}
	}
	number = t.latest.number
	t.mu.Unlock()
	if changed {
		select {
		case t.wake <- struct{}{}:
		default: // it has been told
		}
	}
	return number
}

func (t *Tenure) await(number uint64) (<-chan struct{}, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	stored := make(chan struct{})
	switch {
	case t.over || !time.Now().Before(t.trusted):
		return nil, ErrLost
	case number <= t.stored:
		close(stored)
	default:
		t.waiters = append(t.waiters, waiter{number, stored})
	}
	return stored, nil
}

func (t *Tenure) isStored(number uint64) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return number <= t.stored
}

// offer lets the document name a host that should ask for the lease.
func (t *Tenure) offer(h Host) {
	t.mu.Lock()
	if t.offered != h {
		t.offered, t.told = h, false
	}
	t.mu.Unlock()
	select {
	case t.wake <- struct{}{}:
	default:
	}
}

// untold gives the host to be named, and whether the document does not name it.
func (t *Tenure) untold() (Host, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.offered, t.offered.StartID != "" && !t.told
}

func (t *Tenure) tell(h Host) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.told = t.offered == h
}

// handOver ends the tenure as a stop does; the lease goes to h.
func (t *Tenure) handOver(h Host) {
	t.mu.Lock()
	first := t.heir.StartID == ""
	if first {
		t.heir = h
	}
	t.mu.Unlock()
	if first {
		t.end(errHandOver)
	}
}

func (t *Tenure) successor() Host {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.heir
}

// pending gives the newest position and whether it waits for a write.
func (t *Tenure) pending() (position, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.latest, t.latest.number > t.stored
}

// wrote notes a write that succeeded: what it stored, and until when it proves
// the lease ours. A window that closed in the meantime stays closed.
func (t *Tenure) wrote(p position, until, timestamp time.Time) (held bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.over || !time.Now().Before(t.trusted) {
		return false
	}
	t.trusted = until
	t.window.Reset(time.Until(until))
	t.settle(p, timestamp)
	return true
}

func (t *Tenure) settle(p position, timestamp time.Time) {
	t.renewed = timestamp
	t.stored = max(t.stored, p.number)
	t.waiters = slices.DeleteFunc(t.waiters, func(w waiter) bool {
		if w.number <= t.stored {
			close(w.stored)
			return true
		}
		return false
	})
}

// closeWindow runs on a timer's goroutine.
func (t *Tenure) closeWindow() {
	t.mu.Lock()
	early := !t.over && time.Now().Before(t.trusted)
	if early { // it was extended while the timer fired
		t.window.Reset(time.Until(t.trusted))
	}
	t.mu.Unlock()
	if !early {
		t.lose()
	}
}

// lose ends the tenure, its work first, unless it is over.
func (t *Tenure) lose() {
	t.mu.Lock()
	first := !t.over
	t.over = true
	t.window.Stop()
	t.mu.Unlock()
	if first {
		t.lost(ErrLost)
		close(t.ended)
	}
}

// release ends the tenure after its last write stored p.
func (t *Tenure) release(p position, timestamp time.Time) {
	t.mu.Lock()
	first := !t.over
	if first {
		t.over = true
		t.settle(p, timestamp)
		t.window.Stop()
	}
	t.mu.Unlock()
	if first {
		close(t.ended)
	}
}

func (t *Tenure) until() time.Time {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.trusted
}

func (t *Tenure) info(owner string) Info {
	t.mu.Lock()
	defer t.mu.Unlock()
	return Info{
		ID: t.lease.ID, Token: t.lease.Token, Version: t.lease.Version, Range: t.lease.Range,
		Owner: owner, Mine: !t.over && time.Now().Before(t.trusted), Epoch: t.lease.Epoch,
		Continuation: t.latest.continuation, Renewed: t.renewed, Page: t.lease.Page,
	}
}
