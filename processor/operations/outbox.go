package operations

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"go.uber.org/zap"

	"opfeed/internal/logkey"
	"opfeed/processor/dispatch"
	"opfeed/processor/notification"
)

// An operation that has ended and has a notificationUri is owed to ARM, whoever
// ended it. The URI in the document is the whole outbox: it is posted to until
// ARM has taken the status, and then removed. So a crash in between tells ARM
// twice, and never not at all.

// OutboxConfig says how long ARM is told of an outcome.
type OutboxConfig struct {
	Enabled bool          `env:"ENABLED" help:"tell ARM the outcome of operations that asked for it; if not, their URIs stay where they are"`
	GiveUp  time.Duration `env:"GIVE_UP" help:"time from the end of an operation after which a try that fails is the last one"`
	CutOff  CutOff        `env:"CUTOFF" type:"RFC 3339 time" help:"ARM is not told of operations that ended before; empty: of all"`
}

// DefaultOutboxConfig returns the defaults.
func DefaultOutboxConfig() OutboxConfig {
	return OutboxConfig{Enabled: true, GiveUp: 24 * time.Hour}
}

// CutOff is a time, or zero: none. Read from text, its error repeats no value.
type CutOff struct{ time.Time }

// UnmarshalText reads an RFC 3339 time.
func (c *CutOff) UnmarshalText(text []byte) error {
	t, err := time.Parse(time.RFC3339, string(text))
	if err != nil {
		return errors.New("want an RFC 3339 time")
	}
	c.Time = t
	return nil
}

// MarshalText writes what UnmarshalText reads; nothing for none.
func (c CutOff) MarshalText() ([]byte, error) {
	if c.IsZero() {
		return nil, nil
	}
	return c.AppendFormat(nil, time.RFC3339), nil
}

// Validate reports every problem at once, one line each, by variable.
func (c OutboxConfig) Validate() error {
	var problems []error
	if c.GiveUp <= 0 {
		problems = append(problems, errors.New("GIVE_UP: must be positive"))
	}
	if c.CutOff.After(time.Now()) { // it would silence what is to come, for good
		problems = append(problems, errors.New("CUTOFF: must not lie in the future"))
	}
	return errors.Join(problems...)
}

const (
	// notifyFirst and notifyMost bound the pause after a try that failed. It
	// doubles in between, since an endpoint may be away for hours.
	notifyFirst = 5 * time.Second
	notifyMost  = 10 * time.Minute
)

// LabelOwed is the label of operations that have ended and are owed to ARM.
const LabelOwed = "Owed"

// Why a notification is owed no more. The URI goes then.
const (
	overDelivered = "delivered"
	overRefused   = "refused"  // the URI may not be called, or ARM's answer is final
	overGivenUp   = "given_up" // GiveUp is over
	overCutOff    = "cut_off"  // ended before CutOff
)

// notice is what is known of one notification that is owed: the Seen of an
// operation that has ended. Losing it costs another try, or another delivery.
type notice struct {
	uri     string
	since   time.Time // when the operation ended, or later
	tries   int       // that failed, of this process
	due     time.Time // of the next try
	over    string    // why it is owed no more; "" = it is
	stuck   int       // tries in a row to remove the URI that came to nothing
	refused bool      // the last of them, by Cosmos DB
}

// lookEnded looks at an operation that has ended. The first look at it does no
// I/O: ARM is told aside, where it may hang.
func (l *look) lookEnded(ctx context.Context) (dispatch.Apply, error) {
	n, _ := l.c.Seen.(notice)
	if uri := l.op.properties.string(fieldNotify); n.uri != uri {
		l.settle(n) // by a write whose reply was lost, or by another
		n = notice{uri: uri, since: l.op.endedAt(l.c.Written, l.at)}
	}
	switch {
	case n.uri == "" || l.h.deps.Notify == nil:
		return l.ended(), nil
	case n.over == "" && l.cutOff(n):
		n.over = overCutOff
		l.log.Info("operation ended before the cut-off, arm is not told", zap.Time("cut_off", l.h.cfg.Outbox.CutOff.Time))
	case n.over == "" && l.c.Aside:
		var err error
		if n, err = l.tell(ctx, n); err != nil {
			return nil, err
		}
	}
	if n.over == "" {
		return l.end(resultOwed, l.owe(n, "arm is to be told")), nil
	}
	return func(ctx context.Context) (dispatch.Outcome, error) { return l.withdraw(ctx, n) }, nil
}

// owe is a step after which ARM is to be told, aside. The document is read again
// for that: what is told is what is stored then, and whether it is still owed.
func (l *look) owe(n notice, reason string) dispatch.Outcome {
	return dispatch.Outcome{Verdict: dispatch.Again, Aside: true, After: max(0, time.Until(n.due)), Reason: reason,
		ETag: l.op.etag, Session: l.session, Seen: n, Label: LabelOwed}
}

// endedAt is when an operation ended, as far as is known at its first look: the
// latest of the times that are not after that. The clock that wrote
// lastTransitionTime may be wrong, and _ts is that of a version before, or after,
// the end.
func (op operation) endedAt(written, first time.Time) time.Time {
	var at time.Time
	for _, t := range []time.Time{op.transition, op.stored(), written} {
		if t.After(at) && !t.After(first) {
			at = t
		}
	}
	if at.IsZero() {
		return first
	}
	return at
}

// cutOff tells whether the operation ended before there was anybody to tell ARM.
func (l *look) cutOff(n notice) bool {
	at := l.op.transition
	if at.IsZero() {
		at = n.since
	}
	return at.Before(l.h.cfg.Outbox.CutOff.Time)
}

// tell tells ARM once.
func (l *look) tell(ctx context.Context, n notice) (notice, error) {
	if l.c.Trusted != nil {
		if err := l.c.Trusted(); err != nil {
			return n, fmt.Errorf("tell arm: %w", err)
		}
	}
	err := l.h.deps.Notify.Send(ctx, n.uri, l.op.payload())
	if err != nil && ctx.Err() != nil {
		return n, fmt.Errorf("tell arm: %w", err) // called off: that is no answer
	}
	fields := []zap.Field{
		zap.String("host", notification.Loggable(n.uri)), zap.String(logkey.ProvisioningState, l.op.status),
		zap.Int(logkey.Attempt, n.tries), zap.Stringer(logkey.Source, l.c.Source),
	}
	if err == nil {
		n.over = overDelivered
		l.log.Info("arm was told", fields...)
		return n, nil
	}
	// It says nothing of the URI but a reason of its own.
	fields = append(fields, zap.String(logkey.Reason, err.Error()))
	if _, refused := errors.AsType[*notification.RefusedError](err); refused {
		n.over = overRefused
		l.log.Warn("notification is refused, arm is not told", fields...)
		return n, nil
	}
	n.tries++
	n.due = time.Now().Add(notifyPause(n.tries, err))
	switch {
	case time.Since(n.since) >= l.h.cfg.Outbox.GiveUp:
		n.over = overGivenUp
		l.log.Error("notification is given up, arm is not told", fields...)
	case n.tries == 1:
		l.log.Info("arm was not told, it is tried again", fields...)
	default:
		l.log.Debug("arm was not told, it is tried again", fields...)
	}
	return n, nil
}

// notifyPause is the pause after so many tries that failed, with a fifth of
// jitter; longer if ARM asked for that.
func notifyPause(tries int, err error) time.Duration {
	d := min(notifyFirst<<min(tries-1, 20), notifyMost)
	d -= rand.N(d/5 + 1)
	if u, ok := errors.AsType[*notification.UnavailableError](err); ok {
		d = max(d, u.RetryAfter)
	}
	return d
}

// settle counts a notification that is owed no more.
func (l *look) settle(n notice) {
	if n.over != "" {
		l.h.metrics.settled.WithLabelValues(n.over).Inc()
	}
}
