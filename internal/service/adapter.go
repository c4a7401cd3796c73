package service

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"opfeed/cs"
	"opfeed/processor"
	"opfeed/processor/dispatch"
	"opfeed/processor/operations"
)

// handler is what operations offer; *operations.Handler is one.
type handler interface {
	Route(document []byte) operations.Route
	Look(ctx context.Context, s operations.Sighting) (func(context.Context) (operations.Step, error), error)
	Pending(ctx context.Context, session string, documents bool, yield func(operations.Sighting)) error
}

// adapt lets the engine, which knows no operations, drive operations, which know
// no engine.
func adapt(h handler) processor.Handler {
	return processor.Handler{
		Route: func(document []byte) processor.Route { return route(h.Route(document)) },
		Handle: func(ctx context.Context, c dispatch.Change) (dispatch.Apply, error) {
			apply, err := h.Look(ctx, sighting(c))
			if err != nil {
				return nil, retriable(err)
			}
			return func(ctx context.Context) (dispatch.Outcome, error) {
				step, err := apply(ctx)
				return outcome(step), retriable(err)
			}, nil
		},
		Pending: func(ctx context.Context, req processor.PendingRequest, yield func(dispatch.Change)) error {
			return h.Pending(ctx, req.Session, req.Documents, func(s operations.Sighting) { yield(change(s)) })
		},
	}
}

func route(r operations.Route) processor.Route {
	actions := map[operations.Action]processor.Action{
		operations.Skip:   processor.Skip,
		operations.Drop:   processor.Drop,
		operations.Take:   processor.Take,
		operations.Poison: processor.Poison,
	}
	return processor.Route{
		Action: actions[r.Action],
		Key:    dispatch.Key{Partition: r.Partition, ID: r.ID},
		Reason: r.Reason,
	}
}

func sighting(c dispatch.Change) operations.Sighting {
	return operations.Sighting{
		Partition: c.Partition,
		ID:        c.ID,
		ETag:      c.ETag,
		Document:  c.Document,
		Session:   c.Session,
		Source:    c.Source.String(), // feed, list, due, as operations spell them
		Written:   c.Written,
		Attempt:   c.Attempt,
		Seen:      c.Seen,
		Trusted:   c.Trusted,
	}
}

func change(s operations.Sighting) dispatch.Change {
	return dispatch.Change{
		Key:      dispatch.Key{Partition: s.Partition, ID: s.ID},
		ETag:     s.ETag,
		Document: json.RawMessage(s.Document),
		Session:  s.Session,
		Written:  s.Written,
		Source:   dispatch.List,
	}
}

func outcome(s operations.Step) dispatch.Outcome {
	verdicts := map[operations.Verdict]dispatch.Verdict{
		operations.Done:       dispatch.Done,
		operations.Again:      dispatch.Again,
		operations.LeftAlone:  dispatch.LeftAlone,
		operations.Quarantine: dispatch.Quarantine,
	}
	return dispatch.Outcome{
		Verdict:  verdicts[s.Verdict],
		After:    s.After,
		Reason:   s.Reason,
		ETag:     s.ETag,
		Document: json.RawMessage(s.Document),
		Session:  s.Session,
		Wrote:    s.Wrote,
		Seen:     s.Seen,
		Label:    s.Label,
	}
}

// retryAfter is an error that says when to try again, in the dispatcher's terms.
type retryAfter struct {
	error
	after time.Duration
}

func (e retryAfter) Unwrap() error             { return e.error }
func (e retryAfter) RetryAfter() time.Duration { return e.after }

func retriable(err error) error {
	if u, ok := errors.AsType[*cs.UnavailableError](err); ok && u.RetryAfter > 0 {
		return retryAfter{err, u.RetryAfter}
	}
	return err
}
