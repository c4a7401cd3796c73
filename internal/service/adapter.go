package service

import (
	"context"
	"fmt"
	"sync/atomic"

	"opfeed/processor"
	"opfeed/processor/dispatch"
	"opfeed/processor/operations"
)

// handler is what operations offer; *operations.Handler is one.
type handler interface {
	Route(document []byte) operations.Route
	Handle(ctx context.Context, c dispatch.Change) (dispatch.Apply, error)
	Pending(ctx context.Context, session string, documents bool, yield func(dispatch.Change)) error
}

// adapt lets the engine, which knows no operations, drive operations, which know
// no engine. What both know is the dispatcher. It counts the steps that begin.
func adapt(h handler, steps *atomic.Int64) processor.Handler {
	return processor.Handler{
		Route: func(document []byte) processor.Route { return route(h.Route(document)) },
		Handle: func(ctx context.Context, c dispatch.Change) (dispatch.Apply, error) {
			steps.Add(1)
			return h.Handle(ctx, c)
		},
		Pending: func(ctx context.Context, req processor.PendingRequest, yield func(dispatch.Change)) error {
			return h.Pending(ctx, req.Session, req.Documents, yield)
		},
	}
}

func route(r operations.Route) processor.Route {
	return processor.Route{Action: action(r.Action), Key: r.Key, Reason: r.Reason, Fault: r.Fault}
}

// action panics on an action that it does not know, which the engine takes for
// the document's fault: quarantined it is seen, skipped it would be lost.
func action(a operations.Action) processor.Action {
	switch a {
	case operations.Skip:
		return processor.Skip
	case operations.Drop:
		return processor.Drop
	case operations.Take:
		return processor.Take
	case operations.Poison:
		return processor.Poison
	}
	panic(fmt.Sprintf("unknown action %d", a))
}
