package operations

import (
	"context"
	"errors"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"go.uber.org/zap"

	"opfeed/internal/logkey"
	"opfeed/processor/dispatch"
)

// fieldNotify is where ARM is to be told; its removal ends that.
const fieldNotify = "notificationUri"

// withdraw removes the URI, on the condition that the document is still the
// version whose status ARM was told. No lock is taken: front ends write nothing
// to an operation that has ended. What keeps it from being removed is no error
// to the dispatcher, for then it would be forgotten that ARM was told.
func (l *look) withdraw(ctx context.Context, n notice) (dispatch.Outcome, error) {
	var p patch
	p.remove("properties", fieldNotify)
	l.op.raise(&p)
	var c commit
	err := l.trusted(unlocked)
	if err == nil {
		c, err = l.h.execute(ctx, l.c.Partition, l.session, []write{{id: l.op.id, etag: azcore.ETag(l.op.etag), patch: p}})
	}
	if err != nil {
		if ctx.Err() != nil {
			return dispatch.Outcome{}, err
		}
		return l.unsettled(n, err), nil
	}
	l.session = c.session
	switch c.verdict {
	case conflict:
		l.h.metrics.conflicts.Inc()
		n.refused = false
		return l.finish(resultConflict, l.againOver(n, reasonLost, 0)), nil
	case refused:
		if n.refused {
			return l.quarantined(dispatch.Refused, "cosmos db refuses the removal of properties."+fieldNotify), nil
		}
		n.refused = true
		return l.finish(resultRefused, l.againOver(n, "cosmos db refuses a patch", 0)), nil
	case committed:
	}
	l.settle(n)
	l.log.Info("notification uri removed", zap.String(logkey.Reason, n.over), zap.Float32(logkey.RequestCharge, c.charge))
	return l.finish(resultSettled, dispatch.Outcome{Verdict: dispatch.Done, Reason: "arm is owed nothing more", ETag: newest(c.etag, l.op.etag)}), nil
}

// unsettled is the step after a removal whose outcome is not known.
func (l *look) unsettled(n notice, err error) dispatch.Outcome {
	level := zap.DebugLevel
	if n.stuck == 0 {
		level = zap.InfoLevel
	}
	l.log.Log(level, "notification uri not removed, it is tried again", zap.Int(logkey.Attempt, n.stuck), logkey.Error(err))
	var asked time.Duration
	if r, ok := errors.AsType[retryAfter](retriable(err)); ok {
		asked = r.after
	}
	n.refused = false
	return l.finish(resultError, l.againOver(n, "uri is not removed yet", asked))
}

// againOver puts the removal off, each time in a row for twice as long, up to the
// poll interval. The next look reads the document, with the newest token, and
// decides again from that; it sends nothing, and so need not run aside.
func (l *look) againOver(n notice, reason string, asked time.Duration) dispatch.Outcome {
	step := l.owe(n, reason)
	step.Aside, step.After = false, max(min(soon<<min(n.stuck, 20), l.h.cfg.PollInterval), asked)
	n.stuck++
	step.Seen = n
	return step
}
