package operations

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.opentelemetry.io/otel/trace"
	"go.uber.org/zap"

	"opfeed/cs"
	"opfeed/internal/logkey"
	"opfeed/processor/dispatch"
)

// Handle reads what a step needs: the document, if it is not at hand, and Cluster
// Service's answer. The func that it returns decides and writes. Safe to run
// beside other looks.
//
// An error, of either, means that nothing is known of the document's fault: try
// again later, with no document at hand.
func (h *Handler) Handle(ctx context.Context, c dispatch.Change) (dispatch.Apply, error) {
	l := &look{h: h, c: c, at: time.Now(), log: h.log.With(
		zap.String(logkey.SubscriptionID, clip(c.Partition, maxLogged)), zap.String(logkey.DocumentID, clip(c.ID, maxLogged)))}
	apply, err := l.look(ctx)
	if err != nil {
		return nil, l.failed(ctx, err)
	}
	return func(ctx context.Context) (dispatch.Outcome, error) {
		step, err := apply(ctx)
		if err != nil {
			return dispatch.Outcome{}, l.failed(ctx, err)
		}
		return step, nil
	}, nil
}

// failed counts and logs an error, here because whoever drives the step does not
// know what the operation is. Of failures in a row the first is news; none of work
// that was called off, nor that Cluster Service is silent, which its client tells.
func (l *look) failed(ctx context.Context, err error) error {
	l.count(resultError)
	level := zap.DebugLevel
	if l.c.Attempt == 0 && ctx.Err() == nil && !silent(err) {
		level = zap.InfoLevel
	}
	l.log.Log(level, "step failed, it is tried again", zap.Int(logkey.Attempt, l.c.Attempt),
		zap.Stringer(logkey.Source, l.c.Source), logkey.Error(err))
	if l.op.name != "" {
		err = informed{fmt.Errorf("operation %.64q: %w", l.op.name, err), l.about()}
	}
	return retriable(err)
}

// unprovenTries is how many failures in a row prove what one does not: with the
// pauses between them no replica lags for so long.
const unprovenTries = 3

// look is one look at one document and the step that follows.
type look struct {
	h    *Handler
	c    dispatch.Change
	at   time.Time // when it began: no answer in it is older
	op   operation
	kind cs.Kind // 0 = not known
	seen Seen
	ref  cs.Ref
	ans  Answer
	bare bool // see Input.Bare
	log  *zap.Logger
	etag string // of the version that was looked at
	// facts and billed are for the billing document.
	facts  cs.ClusterFacts
	billed bool
	// session is the newest token that is known to cover op.
	session string
}

func (l *look) look(ctx context.Context) (dispatch.Apply, error) {
	if fault := addressFault(l.c.Partition, l.c.ID); fault != "" {
		return l.quarantine(dispatch.Unaddressable, fault), nil
	}
	l.session = l.c.Session
	it := item{raw: l.c.Document, etag: l.c.ETag}
	if d, ok := l.document(it); it.raw == nil || ok && d.etag == "" {
		var err error
		it, err = l.h.read(ctx, l.c.Partition, l.c.ID, l.session)
		if errors.Is(err, errNotFound) || errors.Is(err, errUnproven) && l.c.Attempt >= unprovenTries {
			return l.end(resultGone, dispatch.Outcome{Verdict: dispatch.Done, Reason: "document is gone"}), nil
		}
		if err != nil {
			return nil, err
		}
		l.session = it.session
	}
	d, ok := l.document(it)
	l.etag = d.etag
	if !ok {
		return l.quarantine(dispatch.Undecodable, "not a JSON object"), nil
	}
	if !d.isOperation() {
		return l.lookLink(ctx, resource{d})
	}
	return l.lookOperation(ctx, d)
}

// document puts what we know of a document's address over what it says itself.
func (l *look) document(it item) (document, bool) {
	d, ok := parseDocument(it.raw)
	d.partition, d.id, d.etag = l.c.Partition, l.c.ID, newest(it.etag, d.etag)
	return d, ok
}

func (l *look) lookOperation(ctx context.Context, d document) (dispatch.Apply, error) {
	if d.deleted {
		return l.end(resultGone, dispatch.Outcome{Verdict: dispatch.Done, Reason: "document is softly deleted"}), nil
	}
	op, fault := parseOperation(d)
	if fault != "" {
		return l.quarantine(dispatch.Undecodable, fault), nil
	}
	l.take(op)
	l.log = l.h.log.With(op.fields()...)
	l.describe(trace.SpanFromContext(ctx))
	if terminal(op.status) {
		return l.lookEnded(ctx)
	}
	switch out := l.aim(); out.verdict {
	case dispatch.LeftAlone:
		return l.leaveAlone(out.label, out.reason), nil
	case dispatch.Quarantine:
		return l.quarantine(dispatch.Undecodable, out.reason), nil
	case dispatch.Again, dispatch.Done:
	}
	if op.internalID == "" {
		return l.lookUnnamed(ctx)
	}
	if wait := time.Until(l.seen.Due); l.c.Source != dispatch.Due && wait > 0 {
		// The next look is due already.
		switch {
		case op.etag != "" && op.etag == l.seen.ETag:
			// Our own write come back, or listed.
			return l.end(resultEcho, l.again(l.seen, wait, "version is known")), nil
		case l.seen.Lost > 0:
			// Whoever changes it so often that no write of ours gets through must
			// not be answered with more of them.
			return l.end(resultEcho, l.again(l.seen, wait, reasonLost)), nil
		}
	}
	if step := l.lookInList(ctx); step != nil {
		return step, nil
	}
	if err := l.ask(ctx); err != nil {
		return nil, err
	}
	l.asked()
	if err := l.askFacts(ctx); err != nil {
		return nil, err
	}
	return l.decide, nil
}

// unaimed is why Cluster Service is not to be asked about an operation.
type unaimed struct {
	verdict dispatch.Verdict // LeftAlone, Quarantine, or Again: it is, once it has an id
	label   string           // of LeftAlone
	reason  string
}

// aim finds what to ask Cluster Service for.
func (l *look) aim() unaimed {
	switch l.op.request {
	case Create, Update, Delete, RequestCredential, RevokeCredentials:
	default:
		return unaimed{dispatch.LeftAlone, reasonRequest, "request is not handled"}
	}
	if l.op.foreign() {
		return unaimed{dispatch.LeftAlone, reasonForeign, "others move this operation"}
	}
	if l.op.internalID == "" {
		return unaimed{verdict: dispatch.Again}
	}
	ref, err := cs.ParseRef(l.op.internalID)
	if err != nil {
		return unaimed{verdict: dispatch.Quarantine, reason: "properties.internalId is not a path of cluster service"}
	}
	if l.ref, l.kind = ref, ref.Kind; meanings(ref.Kind, l.op.request) == nil {
		return unaimed{dispatch.LeftAlone, reasonKind, "request does not fit the kind of object"}
	}
	return unaimed{verdict: dispatch.Again}
}

// take makes op the operation that is looked at. What was seen counts for the
// same request on the same object only.
func (l *look) take(op operation) {
	seen, ok := l.c.Seen.(Seen)
	if ok && (seen.InternalID != op.internalID || seen.Request != op.request) {
		ok = false
		seen = Seen{ETag: seen.ETag, Reported: seen.Reported && op.internalID == ""}
	}
	if !ok {
		seen.First, seen.Request, seen.InternalID = l.at, op.request, op.internalID
		if seen.Written = op.envelope.seconds("_ts"); seen.Written.IsZero() {
			seen.Written = l.c.Written
		}
	}
	l.op, l.seen = op, seen
	if ref, err := cs.ParseRef(op.internalID); err == nil {
		l.kind = ref.Kind
	}
}

// announce logs that, and how, a version came up that was not looked at before.
func (l *look) announce() {
	if l.c.Attempt > 0 || l.seen.ETag != "" && l.seen.ETag == l.op.etag {
		return
	}
	fields := []zap.Field{
		zap.Stringer(logkey.Source, l.c.Source), zap.String(logkey.ProvisioningState, label(l.op.status)),
		zap.String(logkey.ETag, l.op.etag),
	}
	if !l.c.Written.IsZero() {
		fields = append(fields, zap.Time("written", l.c.Written))
	}
	if l.seen.ETag == "" {
		l.log.Info("operation seen", fields...)
	} else {
		l.log.Info("operation was changed by another", fields...)
	}
}

func (l *look) count(result string) {
	l.h.metrics.handled.WithLabelValues(requestLabel(l.op.request), l.kindLabel(), result).Inc()
}

func (l *look) kindLabel() string {
	if l.kind == 0 {
		return KindNone
	}
	return l.kind.String()
}

func requestLabel(request string) string {
	switch request {
	case Create, Update, Delete, RequestCredential, RevokeCredentials:
		return request
	}
	return RequestOther
}
