package leases

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.uber.org/zap"

	"opfeed/internal/logkey"
)

var (
	// errCurrent: a lease that was taken for outdated is not.
	errCurrent = errors.New("the range is live")
	errPartial = errors.New("the ranges do not cover all keys")
)

// succeed puts the leases that follow in the place of a held one whose range was
// split or merged, and deletes it. Only its holder does, and nobody reads it
// meanwhile: so those that follow begin where the last reader ended. Whatever it
// dies at, the next holder does what is left: leases that exist are not made
// twice, and the one that is replaced is there until all are.
//
// It tries until it is done, the lease is lost or turns out to be current, or
// leaving ends: then it is given back as it is.
func (w *writer) succeed(ctx, leaving context.Context) error {
	retry := w.m.backoff(250*time.Millisecond, 2*time.Second)
	for {
		// The last position, and time for the rest of it.
		result, wait := w.attempt(ctx, false)
		if result == wrote {
			err := w.replaceOutdated(ctx)
			if err == nil || errors.Is(err, errCurrent) || w.t.Trusted() != nil {
				return err
			}
			w.note(err)
			wait = retry.next(err)
		}
		if result == lost {
			w.t.lose()
			return ErrLost
		}
		select {
		case <-time.After(wait):
		case <-leaving.Done():
			return context.Cause(leaving)
		case <-w.t.ended:
			return ErrLost
		}
	}
}

func (w *writer) replaceOutdated(ctx context.Context) error {
	if w.m.ranges == nil {
		return fmt.Errorf("replace lease %s: %w", w.stored.ID, errors.ErrUnsupported)
	}
	ctx, cancel := context.WithDeadline(ctx, w.t.until())
	defer cancel()
	live, err := w.m.ranges(ctx)
	if err != nil {
		return fmt.Errorf("list ranges: %w", err)
	}
	// What cannot be made may be in the way of something that is just being
	// made: as often as there can be changes in between.
	for range 3 {
		list, err := w.m.store.List(ctx)
		if err != nil {
			return err
		}
		v := newView(w.m, time.Now(), list, live, true)
		if !covered(w.stored.Range, rangesOf(live)) {
			return fmt.Errorf("replace lease %s: %w", w.stored.ID, errPartial)
		}
		if v.readable(w.stored) && v.standingOf(w.stored.ID) != surplus {
			return fmt.Errorf("replace lease %s: %w", w.stored.ID, errCurrent)
		}
		s := v.succession(w.stored)
		if s.done() {
			return w.remove(ctx)
		}
		if err := w.create(ctx, s); err != nil {
			return err
		}
	}
	return fmt.Errorf("replace lease %s: %w", w.stored.ID, ErrConflict)
}

func (w *writer) create(ctx context.Context, s succession) error {
	put := func(write func(context.Context, Document) (Document, error), d Document) error {
		if err := w.t.Trusted(); err != nil {
			return err
		}
		d.Timestamp = w.m.now()
		_, err := w.m.try(ctx, write, d)
		switch {
		case errors.Is(err, ErrConflict), errors.Is(err, ErrNotFound):
			return nil // the next listing shows what it is now
		case err == nil:
			w.log.Info("lease created in place of one whose range was split or merged",
				zap.String("new_"+logkey.Lease, d.Token), zap.Int("version", d.Version), zap.String(logkey.Continuation, d.Continuation))
		}
		return err
	}
	for _, d := range s.create {
		if err := put(w.m.store.Create, d); err != nil {
			return err
		}
	}
	for _, d := range s.replace {
		if err := put(w.m.store.Replace, d); err != nil {
			return err
		}
	}
	return nil
}

// remove deletes the lease that others cover.
func (w *writer) remove(ctx context.Context) error {
	if err := w.t.Trusted(); err != nil {
		return err
	}
	ctx, cancel := w.deadline(ctx)
	defer cancel()
	err := w.m.store.Delete(ctx, w.stored)
	switch {
	case errors.Is(err, ErrNotFound):
	case errors.Is(err, ErrConflict):
		w.refused(ctx, position{}, false) // the next round has its ETag
		return err
	case err != nil:
		return err
	}
	w.log.Info("lease deleted, others cover its range")
	w.t.release(position{}, w.stored.Timestamp)
	return nil
}
