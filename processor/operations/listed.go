package operations

import (
	"context"
	"time"

	"opfeed/processor/dispatch"
)

// A list of many objects costs as much as one object. So a look that expects
// nothing new takes a list's word that nothing is: that the object is still in a
// state that ends nothing. Whatever else a list shows is asked for exactly, before
// anything follows from it, and each object is asked for exactly now and then.

// inLists tells whether a look at a time may learn from a list: not while what was
// seen before is to be confirmed, and not in the beginning, since what is seen then
// tells the state from before the request from that after it.
func (l *look) inLists(seen Seen, at time.Time) bool {
	if l.op.request == RevokeCredentials || seen.Visible || seen.Lost > 0 || at.Sub(seen.First) < l.h.cfg.ExactInterval {
		return false
	}
	m, known := meanings(l.kind, l.op.request)[seen.State]
	atRest := known && (m.status == "" || m.status == l.op.status || l.op.request == Delete && !terminal(m.status))
	return atRest && l.input(seen, at).age() < l.h.cfg.deadline(l.op.request)
}

// lookInList returns the step after a list that shows nothing new; nil: the object
// itself is to be asked for. Where that is to be done in any case the list is looked
// at all the same, to find out whether the two agree.
func (l *look) lookInList(ctx context.Context) dispatch.Apply {
	if l.c.Source != dispatch.Due || l.op.etag == "" || l.op.etag != l.seen.ETag || !l.inLists(l.seen, l.at) {
		return nil
	}
	since, unchanged := l.h.sweep.Unchanged(ctx, l.ref, l.seen.State)
	next := since.Add(l.h.cfg.PollInterval)
	if !unchanged || !next.After(time.Now()) || next.After(l.seen.Exact.Add(l.h.cfg.ExactInterval)) {
		return nil
	}
	return func(context.Context) (dispatch.Outcome, error) {
		step := l.again(l.seen, max(0, time.Until(next)), "unchanged in a list")
		l.expect(l.seen, step.After)
		return l.finish(resultListed, step), nil
	}
}

// expect has the next look in a list that is read for another one.
func (l *look) expect(seen Seen, after time.Duration) {
	if due := time.Now().Add(after); l.inLists(seen, due) {
		l.h.sweep.Expect(l.ref, due)
	}
}

// asked notes what Cluster Service said when it was asked for the object itself.
func (l *look) asked() {
	if l.op.request != RevokeCredentials {
		l.h.sweep.Exact(l.ref, l.ans.Status.State)
	}
}
