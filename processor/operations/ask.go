package operations

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"go.uber.org/zap"

	"opfeed/cs"
	"opfeed/internal/logkey"
)

// ask asks Cluster Service. Its silence is an error, for a later look; whatever it
// says itself is an answer, of use or not.
func (l *look) ask(ctx context.Context) error {
	l.announce()
	answer, err := l.answer(ctx)
	switch {
	case err == nil && ctx.Err() != nil:
		return ctx.Err() // a detail may be missing for that
	case errors.Is(err, cs.ErrNotFound):
		l.ans = Answer{Gone: true}
	case silent(err), ctx.Err() != nil:
		return fmt.Errorf("ask cluster service for %s: %w", l.ref.Kind, err)
	case err != nil:
		l.log.Debug("answer of cluster service cannot be read", logkey.Error(err))
		l.ans = Answer{Unreadable: true}
	default:
		l.ans = answer
	}
	return nil
}

// silent tells whether nothing is known because no answer was had.
func silent(err error) bool {
	_, is := errors.AsType[*cs.UnavailableError](err)
	return is
}

// answer asks for the object's state. A 404 on anything but the object is no proof
// that it is gone: older versions have no status where the object is.
func (l *look) answer(ctx context.Context) (a Answer, err error) {
	onObject := l.ref.Kind == cs.ExternalAuth || l.ref.Kind == cs.BreakGlassCredential
	if l.op.request == RevokeCredentials {
		var list []cs.Credential
		list, err = l.h.deps.CS.Credentials(ctx, l.ref)
		a.Status = together(list, l.at)
	} else {
		a.Status, err = l.h.deps.CS.Status(ctx, l.ref)
	}
	if errors.Is(err, cs.ErrNotFound) && !onObject {
		if err = l.h.deps.CS.Exists(ctx, l.ref); err == nil {
			return Answer{}, nil // there, and without a state
		}
	}
	if err == nil && l.ref.Kind == cs.Cluster && strings.EqualFold(a.Status.State, "error") && a.Status.ErrorCode == codeInflight {
		a.Checks, a.Lacks = l.failedChecks(ctx)
	}
	return a, err
}

// failedChecks are the messages of the inflight checks that failed; lacks says that
// they are not known. Where Cluster Service refuses them, or says what is none, the
// error is told without them.
func (l *look) failedChecks(ctx context.Context) (messages []string, lacks bool) {
	checks, err := l.h.deps.CS.InflightChecks(ctx, l.ref)
	if err != nil {
		l.lacking("inflight checks cannot be read", err)
		return nil, silent(err)
	}
	for _, check := range checks {
		if strings.EqualFold(check.State, "failed") {
			messages = append(messages, check.Error)
		}
	}
	return messages, false
}

// lacking logs that a detail is not known, though the state is: the first time.
func (l *look) lacking(what string, err error) {
	if l.seen.Lacked == 0 {
		l.log.Warn(what, zap.String(logkey.Reason, logkey.Words(err)))
	}
}
