package operations

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"go.uber.org/zap"

	"opfeed/processor/dispatch"
)

// Explanation is everything that is known of one operation: its document, the
// resources that name it, what Cluster Service says now, and what follows.
type Explanation struct {
	Operation

	Document   []byte // as stored, which is not to be shown as it is; nil: it is not there
	Transition time.Time
	Error      CloudError // stored
	Resources  []ResourceState
	Unread     error // why the resources are not known, or nil

	// Asked says that Cluster Service was asked; it gave Answer or Silence.
	Asked   bool
	Answer  Answer
	Silence error
	// Decision is what Next says of Answer at a first look: whoever has seen more
	// may decide more. Without an answer it is nil, and Reason alone tells why.
	Decision *Decision
	Reason   string
}

// ResourceState is what a resource says of the operation.
type ResourceState struct {
	ID      string
	Type    string
	State   string
	Links   []string // operations that it names as its active ones
	Deleted bool     // softly
}

// maxResources bounds how many resources are explained.
const maxResources = 100

// resourcesShown finds what names an operation, or is what the operation is about;
// unlike resourcesOfOperation also what is softly deleted.
const resourcesShown = `SELECT * FROM c WHERE STRINGEQUALS(c.properties.activeOperationId, @name, true)` +
	` OR STRINGEQUALS(c.properties.serviceProviderProperties.activeOperationId, @name, true)` +
	` OR STRINGEQUALS(c.properties.resourceId, @resource, true) OR STRINGEQUALS(c.resourceID, @resource, true)` +
	` OR STRINGEQUALS(c.id, @piped, true)`

// Explain joins what is known of one operation by looking at it as a step does,
// and writes nothing. It fails only where the document cannot be read; one that is
// not there, or is no operation, is explained as such.
func (v *Viewer) Explain(ctx context.Context, k dispatch.Key) (Explanation, error) {
	e := Explanation{Operation: Operation{Key: k}}
	if e.Fault = addressFault(k.Partition, k.ID); e.Fault != "" {
		e.Reason = e.Fault
		return e, nil
	}
	l := &look{h: v.h, c: dispatch.Change{Key: k, Source: dispatch.List}, at: time.Now(), log: zap.NewNop()}
	it, err := v.h.read(ctx, k.Partition, k.ID, "")
	switch {
	case errors.Is(err, errNotFound):
		e.Reason = "document is gone"
		return e, nil
	case err != nil:
		return e, err
	}
	l.session, e.Document = it.session, it.raw
	d, _ := l.document(it) // read has found it to be an object
	if !d.isOperation() {
		e.ETag, e.Fault = d.etag, "not an operation"
		e.Reason = e.Fault
		return e, nil
	}
	e.Operation = view(d)
	e.Transition = d.properties.time("lastTransitionTime")
	stored := d.properties.object("error")
	e.Error = CloudError{Code: clip(stored.string("code"), maxLogged), Message: clip(stored.string("message"), maxMessage)}
	e.Resources, e.Unread = v.resources(ctx, e.Operation, l.session)
	if e.Reason = l.foregone(d); e.Reason == "" {
		l.explain(ctx, &e)
	}
	return e, nil
}

// foregone is why no answer of Cluster Service matters, or "".
func (l *look) foregone(d document) string {
	op, fault := parseOperation(d)
	if fault != "" {
		return fault
	}
	l.take(op)
	switch {
	case d.deleted:
		return "document is softly deleted"
	case terminal(op.status):
		return "operation has ended"
	}
	return l.aim().reason
}

// explain asks Cluster Service, and Next what follows.
func (l *look) explain(ctx context.Context, e *Explanation) {
	switch {
	case l.op.internalID == "":
		if _, err := l.lookUnnamed(ctx); err != nil {
			e.Reason = "what is left of the resource cannot be read"
			return
		}
	case l.h.deps.CS == nil:
		e.Reason = "cluster service is not configured"
		return
	default:
		e.Asked = true
		if e.Silence = l.ask(ctx); e.Silence != nil {
			e.Reason = "cluster service gave no answer"
			return
		}
		e.Answer = l.ans
	}
	d := l.next()
	e.Decision, e.Reason = &d, d.Reason
}

func (v *Viewer) resources(ctx context.Context, o Operation, session string) ([]ResourceState, error) {
	var list []ResourceState
	// An id that no document has stands for an empty one, which many might have.
	about := cmp.Or(strings.TrimRight(o.ExternalID, "/"), "/")
	s := search{text: resourcesShown, partition: o.Partition, session: session, parameters: parameters{
		{Name: "@name", Value: cmp.Or(o.Name, "/")}, {Name: "@resource", Value: about}, {Name: "@piped", Value: strings.ReplaceAll(about, "/", "|")},
	}}
	err := query(ctx, v.h.cfg, v.h.deps.Resources, s, func(row []byte) {
		d, ok := parseDocument(row)
		if !ok || d.isOperation() || len(list) == maxResources {
			return
		}
		list = append(list, resource{d}.view())
	})
	if err != nil {
		return nil, fmt.Errorf("find resources of operation: %w", err)
	}
	return list, nil
}

func (r resource) view() ResourceState {
	s := ResourceState{ID: r.id, Type: clip(r.envelope.string("resourceType"), maxLogged), Deleted: r.deleted}
	for _, place := range statePlaces {
		if s.State = clip(r.at(place), maxLogged); s.State != "" {
			break
		}
	}
	for _, name := range r.links() {
		s.Links = append(s.Links, clip(name, maxLogged))
	}
	return s
}
