package operations

import (
	"context"
	"errors"
	"time"

	"go.uber.org/zap"

	"opfeed/internal/logkey"
	"opfeed/processor/dispatch"
)

// A link that outlived its operation's end is what a writer that does not use
// batches leaves when it dies between two writes: the resource would stay
// "Updating" for ever. It is brought in line with the operation it names.

// lookLink looks at a resource. Its links are followed one after another.
func (l *look) lookLink(ctx context.Context, r resource) (dispatch.Apply, error) {
	l.seen, _ = l.c.Seen.(Seen)
	if r.deleted || len(r.links()) == 0 {
		return l.end(resultDone, dispatch.Outcome{Verdict: dispatch.Done, Reason: "resource names no operation"}), nil
	}
	ends, err := l.readEnds(ctx, r)
	if err != nil {
		return nil, err
	}
	return func(ctx context.Context) (dispatch.Outcome, error) { return l.mirror(ctx, r, ends) }, nil
}

// ending is how the operation of a link ended.
type ending struct {
	name string
	op   operation // not terminal: one of that name is active, or there is none
}

func (l *look) readEnds(ctx context.Context, r resource) ([]ending, error) {
	var ends []ending
	for _, name := range r.links() {
		ops, err := l.h.named(ctx, l.c.Partition, name, l.session)
		if err != nil {
			return nil, err
		}
		e := ending{name: name}
		if len(ops) > 0 {
			e.op = outcome(ops)
		}
		ends = append(ends, e)
	}
	return ends, nil
}

// outcome picks, of operations that share one name, an active one, else the one
// that ended last.
func outcome(ops []operation) operation {
	last := ops[0]
	for _, op := range ops {
		if !terminal(op.status) {
			return op
		}
		if op.transition.After(last.transition) {
			last = op
		}
	}
	return last
}

// mirror writes what the ends of a resource's operations ask for.
func (l *look) mirror(ctx context.Context, r resource, ends []ending) (dispatch.Outcome, error) {
	for range maxRounds {
		step, again, err := l.bringAll(ctx, r, ends)
		if err != nil || !again {
			return step, err
		}
		var done bool
		if r, ends, done, err = l.rereadLink(ctx); err != nil {
			return dispatch.Outcome{}, err
		}
		if done {
			return l.finish(resultDone, dispatch.Outcome{Verdict: dispatch.Done, Reason: "resource names no operation"}), nil
		}
	}
	return l.lost(), nil
}

// bringAll goes through the links of one version of a resource. again: somebody
// else wrote one of the documents.
func (l *look) bringAll(ctx context.Context, r resource, ends []ending) (step dispatch.Outcome, again bool, err error) {
	result := resultDone
	step = dispatch.Outcome{Verdict: dispatch.Done, Reason: "no operation that the resource names has ended", ETag: r.etag}
	for _, e := range ends {
		if !terminal(e.op.status) {
			// Active, or not there. That is not for ever, whatever version the
			// resource is: it is another document's doing. Lists ask again.
			continue
		}
		c, err := l.bring(ctx, e)
		switch {
		case errors.Is(err, errLockBusy):
			l.h.metrics.lockBusy.Inc()
			return l.finish(resultLockBusy, l.later(l.seen, "lock is busy")), false, nil
		case err != nil:
			return dispatch.Outcome{}, false, err
		case c.verdict == refused:
			step, again = l.refused(c)
			return step, again, nil
		case c.verdict == conflict:
			return dispatch.Outcome{}, true, nil
		default:
			// Its new version is not told: the resource may not have been the first of the batch.
			result, step.Reason, step.ETag = resultMirrored, "resource follows its ended operation", ""
		}
	}
	return l.finish(result, step), false, nil
}

// bring writes the end of one operation to all resources that name it.
func (l *look) bring(ctx context.Context, e ending) (commit, error) {
	resources, err := l.resources(ctx, e.name)
	if err != nil {
		return commit{}, err
	}
	erase := e.op.request == Delete && e.op.status == Succeeded
	list, skipped := writes(l.writable(resources), e.name, e.op.status, erase, time.Now())
	if len(list) == 0 {
		return commit{}, nil
	}
	c, err := l.commitErasing(ctx, e.op, erase, resources, list, skipped)
	if err != nil {
		return commit{}, err
	}
	l.session = c.session
	if c.verdict == committed {
		l.h.log.With(e.op.fields()...).Info("resource brought in line with its ended operation",
			zap.String(logkey.ProvisioningState, e.op.status), zap.Int("resources", len(list)), zap.Bool("erased", erase),
			zap.Stringer(logkey.Source, l.c.Source), zap.Float32(logkey.RequestCharge, c.charge))
	}
	return c, nil
}

func (l *look) rereadLink(ctx context.Context) (r resource, ends []ending, done bool, err error) {
	it, err := l.h.read(ctx, l.c.Partition, l.c.ID, l.session)
	if errors.Is(err, errNotFound) {
		return resource{}, nil, true, nil
	}
	if err != nil {
		return resource{}, nil, false, err
	}
	l.session = it.session
	d, _ := l.document(it)
	l.etag = d.etag
	if r = (resource{d}); r.deleted || len(r.links()) == 0 {
		return resource{}, nil, true, nil
	}
	ends, err = l.readEnds(ctx, r)
	return r, ends, false, err
}
