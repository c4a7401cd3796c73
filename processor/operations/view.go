package operations

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"go.uber.org/zap"

	"opfeed/cs"
	"opfeed/processor/dispatch"
)

// Viewer shows operations to people: what the documents say, and what would follow.
// It only reads, and logs and counts nothing. Safe for concurrent use.
type Viewer struct{ h *Handler }

// NewViewer returns a Viewer. It does no I/O. Of deps it uses the container of
// resources and Cluster Service, which may be nil: then nobody is asked.
func NewViewer(cfg Config, deps Deps) (*Viewer, error) {
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("configure viewer of operations: %w", err)
	}
	if deps.Resources == nil {
		return nil, errors.New("configure viewer of operations: a container of resources is required")
	}
	m, err := newMetrics(nil)
	if err != nil {
		return nil, fmt.Errorf("make metrics of viewer: %w", err)
	}
	deps.Log = zap.NewNop()
	return &Viewer{h: &Handler{cfg: cfg, deps: deps, log: deps.Log, metrics: m}}, nil
}

// Operation is what an operation's document says, as far as it does: the document
// may be hostile. Texts other than the address are cut to 512 bytes.
type Operation struct {
	dispatch.Key

	ETag       string
	Name       string // the last segment of the id by which ARM knows it
	Request    string
	Status     string
	InternalID string
	ExternalID string // ARM id of the resource
	Kind       string // of the object of Cluster Service; "" = not known
	Start      time.Time
	Written    time.Time // when the database stored this version
	Ended      bool
	NotifyURI  string // not to be shown: its query holds a token
	Fault      string // what keeps the document from being handled, or ""
	LeftAlone  string // why nobody here moves it, or ""
}

// Owed tells whether ARM is to be told of the end.
func (o Operation) Owed() bool { return o.Ended && o.NotifyURI != "" }

const (
	viewed = `SELECT c.id, c.partitionKey, c._etag, c._ts, c.resourceID, c.properties.operationId, c.properties.resourceId,` +
		` c.properties.externalId, c.properties.internalId, c.properties.request, c.properties.status, c.properties.startTime,` +
		` c.properties.notificationUri FROM c WHERE ` + isOperation + ` AND ` + notDeleted

	viewedOf   = viewed + ` AND STRINGEQUALS(c.properties.externalId, @resource, true)`
	viewedOpen = viewed + ` AND ((` + active + `) OR LENGTH(c.properties.notificationUri) > 0)`
)

// List hands to yield the operations of a partition, or of all for "", that are
// active, or ended with a notification owed; with all, the others, too. It reads
// page by page and keeps none.
func (v *Viewer) List(ctx context.Context, partition string, all bool, yield func(Operation)) error {
	s := search{text: viewed, partition: partition}
	if !all {
		s.text, s.parameters = viewedOpen, endings
	}
	err := query(ctx, v.h.cfg, v.h.deps.Resources, s, func(row []byte) {
		if d, ok := parseDocument(row); ok {
			d.properties = d.envelope // the row is flat
			yield(view(d))
		}
	})
	if err != nil {
		return fmt.Errorf("list operations: %w", err)
	}
	return nil
}

// Find returns the operations of a partition, or of all for "", that an id means:
// a document's id, whole or its last segment; an operation's name; or, with
// slashes, a whole ARM id of the operation.
func (v *Viewer) Find(ctx context.Context, partition, id string) ([]Operation, error) {
	id = strings.TrimRight(id, "/")
	name := lastSegment(id)
	if name == "" {
		return nil, nil
	}
	var list []Operation
	s := search{text: operationsByName, partition: partition, parameters: parameters{{Name: "@name", Value: name}}}
	err := query(ctx, v.h.cfg, v.h.deps.Resources, s, func(row []byte) {
		if d, ok := parseDocument(row); ok && d.means(id) {
			list = append(list, view(d))
		}
	})
	if err != nil {
		return nil, fmt.Errorf("find operation: %w", err)
	}
	return list, nil
}

// FindOfResource returns the operations of a partition, or of all for "", on a
// resource by its whole ARM id.
func (v *Viewer) FindOfResource(ctx context.Context, partition, id string) ([]Operation, error) {
	var list []Operation
	s := search{text: viewedOf, partition: partition, parameters: parameters{{Name: "@resource", Value: strings.TrimRight(id, "/")}}}
	err := query(ctx, v.h.cfg, v.h.deps.Resources, s, func(row []byte) {
		if d, ok := parseDocument(row); ok {
			d.properties = d.envelope // the row is flat
			list = append(list, view(d))
		}
	})
	if err != nil {
		return nil, fmt.Errorf("find operations of resource: %w", err)
	}
	return list, nil
}

// means tells whether an id that a person gives is meant for this operation.
func (d document) means(id string) bool {
	own := strings.ReplaceAll(d.id, "|", "/")
	names := []string{d.id, operationName(d), lastSegment(own)}
	if strings.Contains(id, "/") {
		names = []string{d.properties.string("operationId"), d.properties.string("resourceId"), d.envelope.string("resourceID"), own}
	}
	return slices.ContainsFunc(names, func(n string) bool { return sameName(strings.TrimRight(n, "/"), id) })
}

// kept is what is shown of a text. The rest is not held on to.
func kept(s string) string { return strings.Clone(clip(s, maxLogged)) }

// view is what people see of a document.
func view(d document) Operation {
	p := d.properties
	o := Operation{
		Key: dispatch.Key{Partition: d.partition, ID: d.id}, ETag: d.etag,
		Name:       kept(operationName(d)),
		Request:    kept(p.string("request")),
		Status:     kept(p.string("status")),
		InternalID: kept(p.string("internalId")),
		ExternalID: kept(p.string("externalId")),
		Start:      p.time("startTime"),
		Written:    d.stored(),
		NotifyURI:  p.string(fieldNotify),
	}
	if o.Fault = d.fault(); o.Fault == "" {
		var op operation
		if op, o.Fault = parseOperation(d); o.Fault == "" {
			o.Request, o.Status = kept(op.request), kept(op.status)
			o.Ended = terminal(op.status)
			if out := (&look{op: op}).aim(); out.verdict == dispatch.LeftAlone {
				o.LeftAlone = out.reason
			}
		}
	}
	switch ref, err := cs.ParseRef(p.string("internalId")); {
	case err == nil:
		o.Kind = ref.Kind.String()
	case o.InternalID == "":
		o.Kind = kindOf(o.ExternalID)
	case o.Fault == "" && !o.Ended:
		o.Fault = "properties.internalId is not a path of cluster service"
	}
	return o
}

// kindOf tells the kind of a resource from its ARM id.
func kindOf(id string) string {
	segments := strings.Split(strings.ToLower(strings.Trim(id, "/")), "/")
	if len(segments) < 2 {
		return ""
	}
	switch segments[len(segments)-2] {
	case "hcpopenshiftclusters":
		return cs.Cluster.String()
	case "nodepools":
		return cs.NodePool.String()
	case "externalauths":
		return cs.ExternalAuth.String()
	}
	return ""
}
