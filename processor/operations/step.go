package operations

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"go.uber.org/zap"

	"opfeed/internal/logkey"
	"opfeed/processor/dispatch"
)

const (
	// maxRounds is how often one step decides again because others kept writing.
	maxRounds = 5
	// soon is how long a step that lost against others is put off at first.
	soon = time.Second

	reasonLost = "others keep writing"
)

// end is a step that is known already.
func (l *look) end(result string, step dispatch.Outcome) dispatch.Apply {
	return func(context.Context) (dispatch.Outcome, error) { return l.finish(result, step), nil }
}

func (l *look) finish(result string, step dispatch.Outcome) dispatch.Outcome {
	l.count(result)
	step.Wrote = result == resultWritten || result == resultMirrored || result == resultSettled
	if step.Session == "" {
		step.Session = l.session
	}
	if step.Label == "" {
		step.Label = label(l.op.status)
	}
	step.About = l.about()
	return step
}

func (l *look) quarantine(class dispatch.Fault, fault string) dispatch.Apply {
	return func(context.Context) (dispatch.Outcome, error) { return l.quarantined(class, fault), nil }
}

func (l *look) quarantined(class dispatch.Fault, fault string) dispatch.Outcome {
	// What asks for action is the quarantine itself, which its keeper logs; this
	// adds which operation it is.
	l.log.Info("document is at fault", zap.String(logkey.Reason, fault), zap.Stringer(logkey.Source, l.c.Source))
	return l.finish(resultQuarantined, dispatch.Outcome{Verdict: dispatch.Quarantine, Fault: class, Reason: fault, ETag: l.etag})
}

func (l *look) leaveAlone(reason, text string) dispatch.Apply {
	return func(context.Context) (dispatch.Outcome, error) {
		if l.seen.ETag == "" || l.seen.ETag != l.op.etag {
			l.log.Info("operation left alone", zap.String(logkey.Reason, text), zap.Stringer(logkey.Source, l.c.Source))
			l.h.metrics.leftAlone.WithLabelValues(reason).Inc()
		}
		l.seen.ETag = l.op.etag
		return l.finish(resultLeftAlone, dispatch.Outcome{Verdict: dispatch.LeftAlone, Reason: text, ETag: l.op.etag, Seen: l.seen}), nil
	}
}

// ended is the step for an operation that has ended and of which nobody is to be
// told, or not by us.
func (l *look) ended() dispatch.Apply {
	result := resultDone
	if l.op.owed {
		result = resultOwed
	}
	return func(context.Context) (dispatch.Outcome, error) {
		l.log.Debug("operation has ended", zap.String(logkey.ProvisioningState, l.op.status), zap.Stringer(logkey.Source, l.c.Source))
		return l.finish(result, dispatch.Outcome{Verdict: dispatch.Done, Reason: "operation has ended", ETag: l.op.etag}), nil
	}
}

// lookUnnamed is the look at an operation whose object nobody has named yet: there
// is nothing to ask Cluster Service for.
func (l *look) lookUnnamed(ctx context.Context) (dispatch.Apply, error) {
	l.ans = Answer{NoID: true}
	if l.op.request == Delete && terminal(l.next().Status) {
		var err error
		if l.bare, err = l.isBare(ctx); err != nil {
			return nil, err
		}
	}
	return l.decide, nil
}

// again is a step after which the same version is to be looked at once more.
func (l *look) again(seen Seen, after time.Duration, reason string) dispatch.Outcome {
	seen.ETag, seen.Due = l.op.etag, time.Now().Add(after)
	return dispatch.Outcome{Verdict: dispatch.Again, After: after, Reason: reason, ETag: l.op.etag, Document: l.op.raw,
		Session: l.session, Seen: seen, Label: label(l.op.status)}
}

// later puts off a step that came to nothing, each time in a row for twice as
// long, up to the poll interval: whoever is in the way may stay there.
func (l *look) later(seen Seen, reason string) dispatch.Outcome {
	after := min(soon<<min(seen.Lost, 20), l.h.cfg.PollInterval)
	seen.Lost++
	if l.op.id == "" { // a link, which is always read anew
		return dispatch.Outcome{Verdict: dispatch.Again, After: after, Reason: reason, Seen: seen}
	}
	return l.again(seen, after, reason)
}

// lost is the step after maxRounds conflicts.
func (l *look) lost() dispatch.Outcome {
	seen := l.seen
	seen.Refused = "" // not by this look
	step := l.later(seen, reasonLost)
	step.Document = nil
	return l.finish(resultConflict, step)
}

// decide decides from the one answer that was asked for, and writes what follows.
// When others write, too, it reads again and decides again, from what had been
// seen before this look: one answer counts once.
func (l *look) decide(ctx context.Context) (dispatch.Outcome, error) {
	for round := range maxRounds {
		d := l.next()
		if round == 0 {
			l.logAnswer(d)
		}
		if d.Status == "" {
			return l.unchanged(d), nil
		}
		step, again, err := l.write(ctx, d)
		if err != nil || !again {
			return step, err
		}
		step, again, err = l.reread(ctx)
		if err != nil || !again {
			return step, err
		}
	}
	l.log.Info("operation keeps being changed by others")
	return l.lost(), nil
}

func (l *look) next() Decision {
	return Next(l.h.cfg, l.input(l.seen, l.at))
}

func (l *look) input(seen Seen, now time.Time) Input {
	return Input{Kind: l.kind, Request: l.op.request, Stored: l.op.status, Start: l.op.start,
		Now: now, Skew: l.c.Skew, Answer: l.ans, Bare: l.bare, Seen: seen}
}

// unchanged is the step after which nothing is written.
func (l *look) unchanged(d Decision) dispatch.Outcome {
	result, seen := resultUnchanged, d.Seen.won()
	if l.ans.NoID {
		result, seen.Reported = resultNoID, true
	}
	step := l.again(seen, d.After, d.Reason)
	l.expect(seen, d.After)
	switch {
	case l.ans.NoID:
		step.Label = labelNoInternalID
	case d.Visible:
		step.Label = labelUnknownState
	}
	return l.finish(result, step)
}

// logAnswer logs what Cluster Service said and what follows from it.
func (l *look) logAnswer(d Decision) {
	fields := []zap.Field{
		zap.String(logkey.ClusterServiceState, clip(d.Seen.State, maxLogged)), zap.String(logkey.Reason, d.Reason),
		zap.String(logkey.ProvisioningState, label(l.op.status)), zap.Stringer(logkey.Source, l.c.Source),
	}
	if d.Status != "" {
		fields = append(fields, zap.String("next_state", d.Status))
	}
	changed := d.Seen.State != l.seen.State
	switch {
	case l.ans.NoID && d.Status == "":
		if !l.seen.Reported {
			l.log.Info("operation has no internal id yet", zap.Stringer(logkey.Source, l.c.Source),
				zap.String(logkey.ProvisioningState, label(l.op.status)))
		}
	case !d.Seen.Overdue.Equal(l.seen.Overdue) && !d.Seen.Overdue.IsZero() && d.Status == "":
		l.log.Warn("operation is past its deadline", fields...)
	case d.Visible && (changed || !l.seen.Visible):
		l.h.metrics.unknown.WithLabelValues(l.kind.String()).Inc()
		l.log.Warn("nothing follows from the answer of cluster service", fields...)
	case d.Status != "" || changed:
		l.log.Info("cluster service answered", fields...)
	default:
		l.log.Debug("cluster service answered", fields...)
	}
}

// write writes a new status to the operation and to every resource that names
// it. again: somebody else wrote, read and decide again.
func (l *look) write(ctx context.Context, d Decision) (step dispatch.Outcome, again bool, err error) {
	resources, err := l.resources(ctx, l.op.name)
	if err != nil {
		return dispatch.Outcome{}, false, err
	}
	if again, err := l.bill(ctx, d, resources); again || err != nil {
		return dispatch.Outcome{}, again, err
	}
	now := time.Now()
	p := l.op.advance(d.Status, d.Error, now)
	list, skipped := writes(l.writable(resources), l.op.name, d.Status, d.Erase, now)
	list = append([]write{{id: l.op.id, etag: azcore.ETag(l.op.etag), patch: p}}, list...)
	c, err := l.commitErasing(ctx, l.op, d.Erase, resources, list, skipped)
	switch {
	case errors.Is(err, errLockBusy):
		return l.busy(d), false, nil
	case err != nil:
		return dispatch.Outcome{}, false, err
	}
	l.session = c.session
	switch c.verdict {
	case conflict:
		return dispatch.Outcome{}, true, nil
	case refused:
		step, again = l.refused(c)
		return step, again, nil
	case committed:
	}
	return l.written(d, p, c, len(list)-1), false, nil
}

// writable are the resources that were not found out to be no good.
func (l *look) writable(resources []resource) []resource {
	return slices.DeleteFunc(slices.Clone(resources), func(r resource) bool { return slices.Contains(l.seen.Left, r.id) })
}

// refused is what follows when a document's patch is refused. Two looks in a row
// must draw it. Then the document that is looked at goes into quarantine; a
// resource that only hangs on to it is left out from then on, and again says to
// go on without it. Its own link keeps it in the list, and so in sight.
func (l *look) refused(c commit) (step dispatch.Outcome, again bool) {
	if l.seen.Refused != c.culprit {
		seen := l.seen
		seen.Refused = c.culprit
		l.log.Info("cosmos db refuses a patch", zap.Int("status", c.status), zap.String(logkey.DocumentID+"_refused", c.culprit))
		return l.finish(resultRefused, l.later(seen, "cosmos db refuses a patch")), false
	}
	if c.culprit == l.c.ID {
		return l.quarantined(dispatch.Refused, "cosmos db refuses the patch"), false
	}
	l.seen.Refused, l.seen.Left = "", append(slices.Clip(l.seen.Left), c.culprit)
	l.log.Error("cosmos db refuses the patch of a resource, it does not follow its operation",
		zap.Int("status", c.status), zap.String(logkey.DocumentID+"_refused", c.culprit))
	return dispatch.Outcome{}, true
}

func (l *look) written(d Decision, p patch, c commit, resources int) dispatch.Outcome {
	l.log.Info("status written", zap.String("from", label(l.op.status)), zap.String(logkey.ProvisioningState, d.Status),
		zap.String(logkey.Reason, d.Reason), zap.Int("resources", resources), zap.String(logkey.ETag, c.etag),
		zap.Float32(logkey.RequestCharge, c.charge))
	l.h.metrics.transitions.WithLabelValues(l.kindLabel(), requestLabel(l.op.request), d.Status).Inc()
	if terminal(d.Status) {
		l.h.metrics.durations.WithLabelValues(l.kindLabel(), requestLabel(l.op.request), d.Status).Observe(l.took(time.Now()).Seconds())
	}
	if l.h.deps.Transition != nil {
		about := l.about()
		l.h.deps.Transition(Transition{
			At: time.Now(), Partition: l.c.Partition, ID: l.c.ID,
			Name: about.Name, Kind: about.Kind, Request: about.Request, Resource: about.Resource,
			From: label(l.op.status), To: d.Status, Reason: d.Reason,
		})
	}
	// A reply that does not name the new version leaves that of before, without
	// its document: then the next step reads.
	l.op.status, l.op.etag, l.op.raw = d.Status, newest(c.etag, l.op.etag), l.op.patched(p, c.etag)
	if terminal(d.Status) {
		l.h.sweep.Forget(l.ref)
		if l.op.owed && l.h.deps.Notify != nil {
			return l.finish(resultWritten, l.owe(notice{}, d.Reason))
		}
		return l.finish(resultWritten, dispatch.Outcome{Verdict: dispatch.Done, Reason: d.Reason, ETag: l.op.etag, Document: l.op.raw})
	}
	return l.finish(resultWritten, l.again(d.Seen.won(), d.After, d.Reason))
}

// took is the time since startTime, by the database's clock; where that is nothing
// to be believed, since what else is known of the beginning.
func (l *look) took(now time.Time) time.Duration {
	took := now.Add(l.c.Skew).Sub(l.op.start)
	if l.op.start.IsZero() || took < 0 || took > maxAge {
		took = max(0, l.input(l.seen, now).age())
	}
	return took
}

func (l *look) busy(d Decision) dispatch.Outcome {
	l.h.metrics.lockBusy.Inc()
	level := zap.DebugLevel
	if l.seen.Lost == 0 { // of such steps in a row the first is news
		level = zap.InfoLevel
	}
	l.log.Log(level, "lock of the subscription is busy", zap.String("next_state", d.Status))
	// Not d.Seen: this answer is asked for again.
	return l.finish(resultLockBusy, l.later(l.seen, "lock is busy"))
}

// commit runs a batch under the lock, if the range and the lock are still ours.
func (l *look) commit(ctx context.Context, list []write, skipped int) (c commit, err error) {
	if skipped > 0 {
		l.log.Warn("resources that cannot be written are left as they are", zap.Int("resources", skipped))
	}
	if len(list) > maxBatch {
		// The rest keeps its link, and is brought in line when that is listed.
		l.log.Warn("more resources name the operation than fit a batch", zap.Int("resources", len(list)))
		list = list[:maxBatch]
	}
	if err := l.trusted(func() error { return nil }); err != nil {
		return commit{}, err // spare the lock
	}
	err = l.h.locked(ctx, l.log, l.c.Partition, func(lock func() error) (err error) {
		if err = l.trusted(lock); err == nil {
			c, err = l.h.execute(ctx, l.c.Partition, l.session, list)
		}
		return err
	})
	if err == nil && c.verdict == conflict {
		l.h.metrics.conflicts.Inc()
		l.log.Info("write met another's write", zap.Int("status", c.status), zap.String(logkey.DocumentID+"_changed", c.culprit))
	}
	return c, err
}

// reread reads the operation after a conflict, with the session token of the
// answer that told of it: a lagging replica would show the version we know.
func (l *look) reread(ctx context.Context) (step dispatch.Outcome, again bool, err error) {
	it, err := l.h.read(ctx, l.c.Partition, l.c.ID, l.session)
	if errors.Is(err, errNotFound) {
		l.log.Info("operation is gone meanwhile")
		return l.finish(resultGone, dispatch.Outcome{Verdict: dispatch.Done, Reason: "document is gone"}), false, nil
	}
	if err != nil {
		return dispatch.Outcome{}, false, err
	}
	l.session = it.session
	d, ok := l.document(it)
	l.etag = d.etag
	if !ok || !d.isOperation() {
		return l.quarantined(dispatch.Undecodable, "not an operation any more"), false, nil
	}
	if d.deleted {
		return l.finish(resultGone, dispatch.Outcome{Verdict: dispatch.Done, Reason: "document is softly deleted"}), false, nil
	}
	op, fault := parseOperation(d)
	if fault != "" {
		return l.quarantined(dispatch.Undecodable, fault), false, nil
	}
	same := op.internalID == l.op.internalID && op.request == l.op.request
	l.op = op
	switch {
	case terminal(op.status):
		l.log.Info("operation was ended by another", zap.String(logkey.ProvisioningState, op.status))
		end, err := l.lookEnded(ctx)
		if err == nil {
			step, err = end(ctx)
		}
		return step, false, err
	case !same:
		return l.finish(resultConflict, l.again(Seen{}, 0, "operation is another one now")), false, nil
	}
	return dispatch.Outcome{}, true, nil
}

// trusted asks, right before a write, whether the range and the lock are still ours.
func (l *look) trusted(lock func() error) error {
	if l.c.Trusted != nil {
		if err := l.c.Trusted(); err != nil {
			return fmt.Errorf("write status: %w", err)
		}
	}
	if err := lock(); err != nil {
		return fmt.Errorf("write status: %w", err)
	}
	return nil
}
