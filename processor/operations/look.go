package operations

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.uber.org/zap"

	"opfeed/cs"
	"opfeed/internal/logkey"
)

// Look reads what a step needs: the document, if it is not at hand, and Cluster
// Service's answer. The func that it returns decides and writes. Safe to run
// beside other looks.
//
// An error, of either, means that nothing is known of the document's fault: try
// again later, with no document at hand.
func (h *Handler) Look(ctx context.Context, s Sighting) (func(context.Context) (Step, error), error) {
	l := &look{h: h, s: s, at: time.Now(), log: h.log.With(
		zap.String(logkey.SubscriptionID, clip(s.Partition, maxLogged)), zap.String(logkey.DocumentID, clip(s.ID, maxLogged)))}
	f, err := l.look(ctx)
	if err != nil {
		return nil, l.failed(err)
	}
	return func(ctx context.Context) (Step, error) {
		step, err := f(ctx)
		if err != nil {
			return Step{}, l.failed(err)
		}
		return step, nil
	}, nil
}

// failed counts an error and names its operation: whoever logs it does not know.
func (l *look) failed(err error) error {
	l.count(resultError)
	if l.op.name == "" {
		return err
	}
	return fmt.Errorf("operation %.64q: %w", l.op.name, err)
}

// look is one look at one document and the step that follows.
type look struct {
	h    *Handler
	s    Sighting
	at   time.Time // when it began: no answer in it is older
	op   operation
	kind cs.Kind // 0 = not known
	seen Seen
	ref  cs.Ref
	ans  Answer
	log  *zap.Logger
	etag string // of the version that was looked at
	// session is the newest token that is known to cover op.
	session string
}

type stepFunc = func(context.Context) (Step, error)

func (l *look) look(ctx context.Context) (stepFunc, error) {
	if fault := addressFault(l.s.Partition, l.s.ID); fault != "" {
		return l.quarantine(fault), nil
	}
	l.session = l.s.Session
	it := item{raw: l.s.Document, etag: l.s.ETag}
	if d, ok := l.document(it); it.raw == nil || ok && d.etag == "" {
		var err error
		it, err = l.h.read(ctx, l.s.Partition, l.s.ID, l.session)
		if errors.Is(err, errNotFound) {
			return l.end(resultGone, Step{Verdict: Done, Reason: "document is gone"}), nil
		}
		if err != nil {
			return nil, err
		}
		l.session = it.session
	}
	d, ok := l.document(it)
	l.etag = d.etag
	if !ok {
		return l.quarantine("not a JSON object"), nil
	}
	if !d.isOperation() {
		return l.lookLink(ctx, resource{d})
	}
	return l.lookOperation(ctx, d)
}

// document puts what we know of a document's address over what it says itself.
func (l *look) document(it item) (document, bool) {
	d, ok := parseDocument(it.raw)
	d.partition, d.id, d.etag = l.s.Partition, l.s.ID, newest(it.etag, d.etag)
	return d, ok
}

func (l *look) lookOperation(ctx context.Context, d document) (stepFunc, error) {
	if d.deleted {
		return l.end(resultGone, Step{Verdict: Done, Reason: "document is softly deleted"}), nil
	}
	op, fault := parseOperation(d)
	if fault != "" {
		return l.quarantine(fault), nil
	}
	l.take(op)
	l.log = l.h.log.With(op.fields()...)
	if terminal(op.status) {
		return l.ended(), nil
	}
	switch op.request {
	case Create, Update, Delete:
	default:
		return l.leaveAlone(reasonRequest, "request is not handled"), nil
	}
	if op.internalID == "" {
		return l.waitForID(), nil
	}
	ref, err := cs.ParseRef(op.internalID)
	if err != nil {
		return l.quarantine("properties.internalId is not a path of cluster service"), nil //nolint:nilerr // the document's fault, not ours
	}
	l.ref, l.kind = ref, ref.Kind
	if _, handled := pending[ref.Kind]; !handled {
		return l.leaveAlone(reasonKind, "kind is not handled"), nil
	}
	if wait := time.Until(l.seen.Due); l.s.Source != SourceDue && op.etag != "" && op.etag == l.seen.ETag && wait > 0 {
		// Our own write come back, or listed: its next look is due already.
		return l.end(resultEcho, l.again(l.seen, wait, "version is known")), nil
	}
	if err := l.ask(ctx); err != nil {
		return nil, err
	}
	return l.decide, nil
}

// take makes op the operation that is looked at. What was seen counts for the
// same request on the same object only.
func (l *look) take(op operation) {
	seen, ok := l.s.Seen.(Seen)
	if ok && (seen.InternalID != op.internalID || seen.Request != op.request) {
		ok = false
		seen = Seen{ETag: seen.ETag, Reported: seen.Reported && op.internalID == ""}
	}
	if !ok {
		seen.First, seen.Request, seen.InternalID = l.at, op.request, op.internalID
	}
	l.op, l.seen = op, seen
	if ref, err := cs.ParseRef(op.internalID); err == nil {
		l.kind = ref.Kind
	}
}

// ask asks Cluster Service. A 404 on the status is no proof: older versions have
// no status where the object is.
func (l *look) ask(ctx context.Context) error {
	l.announce()
	status, err := l.h.deps.CS.Status(ctx, l.ref)
	if errors.Is(err, cs.ErrNotFound) && l.ref.Kind != cs.ExternalAuth {
		if err = l.h.deps.CS.Exists(ctx, l.ref); err == nil {
			status = cs.Status{} // there, and without a state
		}
	}
	switch {
	case errors.Is(err, cs.ErrNotFound):
		l.ans = Answer{Gone: true}
	case err != nil:
		return fmt.Errorf("ask cluster service for %s: %w", l.ref.Kind, err)
	default:
		l.ans = Answer{Status: status}
	}
	return nil
}

// announce logs that, and how, a version came up that was not looked at before.
func (l *look) announce() {
	if l.s.Attempt > 0 || l.seen.ETag != "" && l.seen.ETag == l.op.etag {
		return
	}
	fields := []zap.Field{
		zap.String(logkey.Source, l.s.Source), zap.String(logkey.ProvisioningState, label(l.op.status)),
		zap.String(logkey.ETag, l.op.etag),
	}
	if !l.s.Written.IsZero() {
		fields = append(fields, zap.Time("written", l.s.Written))
	}
	if l.seen.ETag == "" {
		l.log.Info("operation seen", fields...)
	} else {
		l.log.Info("operation was changed by another", fields...)
	}
}

func (l *look) count(result string) {
	kind := kindNone
	if l.kind != 0 {
		kind = l.kind.String()
	}
	l.h.metrics.handled.WithLabelValues(requestLabel(l.op.request), kind, result).Inc()
}

func requestLabel(request string) string {
	switch request {
	case Create, Update, Delete, RequestCredential, RevokeCredentials:
		return request
	}
	return requestOther
}
