package cs

import (
	"context"
	"errors"
	"time"

	ocm "github.com/openshift-online/ocm-sdk-go/errors"
	"go.uber.org/zap"

	"opfeed/internal/logkey"
)

// Lists of a kind are not read for trustPause if Cluster Service refuses one, or
// if strikes in a row, over trustSpan, were of no use although Cluster Service
// worked. One alone may be an outage that just ended, or objects that are new to it.
const (
	trustPause = 10 * time.Minute
	// listPause is how long none is read after one that was not had: looks would
	// wait for each of them, and in vain.
	listPause    = 10 * time.Second
	trustSpan    = 30 * time.Second
	trustStrikes = 3
)

// outcome is how a list ended, as the metrics count it.
type outcome string

const (
	listUseful    outcome = "useful"    // it showed states
	listBlank     outcome = "blank"     // it showed none
	listFailed    outcome = "failed"    // it was not had, not in time, or made no sense
	listRefused   outcome = "refused"   // CS's own 4xx
	listAbandoned outcome = "abandoned" // the look that read it gave up
)

// listAnswer is what a look was told from a list, as the metrics count it.
type listAnswer string

const (
	answerUnchanged listAnswer = "unchanged"
	answerChanged   listAnswer = "changed"
	answerMissing   listAnswer = "missing" // from the list, or with it
	answerLate      listAnswer = "late"    // it took too long to wait for it
)

var (
	// listKinds are those that have lists with states.
	listKinds   = [...]Kind{Cluster, NodePool, ExternalAuth}
	outcomes    = [...]outcome{listUseful, listBlank, listFailed, listRefused, listAbandoned}
	listAnswers = [...]listAnswer{answerUnchanged, answerChanged, answerMissing, answerLate}
)

func outcomeOf(ctx context.Context, states map[Ref]string, err error) outcome {
	var own *ocm.Error
	var unavailable *UnavailableError
	switch {
	case ctx.Err() != nil:
		return listAbandoned
	case err != nil && !errors.As(err, &unavailable) && errors.As(err, &own):
		return listRefused
	case err != nil:
		return listFailed
	case len(states) == 0:
		return listBlank
	}
	return listUseful
}

// trust says whether lists of a kind are worth reading.
type trust struct {
	log   *zap.Logger // names the kind
	until time.Time   // none is read before
	off   bool        // for trustPause, or since; the log says so
	// Of the run of strikes.
	strikes int
	first   time.Time
}

// tries reports whether a list may be read now.
func (t *trust) tries(now time.Time) bool { return !now.Before(t.until) }

// take takes note of a list's end.
func (t *trust) take(o outcome, reason error, now time.Time) {
	switch o {
	case listUseful:
		if t.off {
			t.log.Info("lists of cluster service are used again")
		}
		*t = trust{log: t.log}
	case listRefused:
		t.pause(reason, now)
	case listFailed:
		t.until = now.Add(listPause)
		if t.off {
			t.pause(reason, now)
		}
	case listBlank, listAbandoned: // whether that says anything, Exact knows
	}
}

// strike takes note of a list of no use about objects that have a state.
func (t *trust) strike(o outcome, now time.Time) {
	if t.strikes == 0 {
		t.first = now
	}
	t.strikes++
	if t.off || t.strikes >= trustStrikes && now.Sub(t.first) >= trustSpan {
		t.pause(errors.New("lists are "+string(o)), now)
	}
}

func (t *trust) pause(reason error, now time.Time) {
	if !t.off {
		t.log.Warn("lists of cluster service are of no use, objects are asked for one by one",
			zap.String(logkey.Reason, reason.Error()))
	}
	*t = trust{log: t.log, off: true, until: now.Add(trustPause)}
}
