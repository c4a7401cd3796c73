package operator

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"opfeed/cs"
	"opfeed/internal/logkey"
	"opfeed/processor/notification"
	"opfeed/processor/operations"
)

// ShowOptions say what Show shows.
type ShowOptions struct {
	ID           string // see operations.Viewer.Find
	Subscription string // "" = any
	JSON         bool
}

// firstLook is what every decision shown is to be read with.
const firstLook = "as at a first look: a replica that has looked before has seen more, and may decide more"

// explanation is everything that is shown of one operation.
type explanation struct {
	row

	ETag           string             `json:"etag"`
	Transition     time.Time          `json:"lastTransitionTime,omitzero"`
	NotifyHost     string             `json:"notificationHost,omitempty"`
	Error          *cloudError        `json:"error,omitempty"` // stored
	Fault          string             `json:"fault,omitempty"`
	Resources      []resource         `json:"resources"`
	Unread         string             `json:"resourcesError,omitempty"`
	ClusterService clusterService     `json:"clusterService"`
	Next           *decision          `json:"next,omitempty"`
	Reason         string             `json:"reason"`
	Quarantines    []*quarantineShown `json:"quarantineRecords,omitempty"`
	Document       any                `json:"document,omitempty"` // without secrets
}

type cloudError struct {
	Code    string `json:"code"`
	Message string `json:"message"`
}

type resource struct {
	ID      string   `json:"id"`
	Type    string   `json:"type"`
	State   string   `json:"provisioningState"`
	Links   []string `json:"activeOperationIds"`
	Deleted bool     `json:"softlyDeleted"`
}

type clusterService struct {
	Asked     bool   `json:"asked"`
	Path      string `json:"path,omitempty"`
	Gone      bool   `json:"gone"`
	State     string `json:"state,omitempty"`
	HasStatus bool   `json:"hasStatus"`
	ErrorCode string `json:"errorCode,omitempty"`
	Message   string `json:"message,omitempty"`
	Error     string `json:"error,omitempty"`      // why it gave no answer
	Odd       bool   `json:"unreadable,omitempty"` // it gave one that is no state of the object
}

type decision struct {
	Status string      `json:"status"` // "" = what is stored stays
	Error  *cloudError `json:"error,omitempty"`
	After  string      `json:"nextLookAfter,omitempty"`
	Note   string      `json:"note"`
}

// Show shows everything about one operation: its document, the resources that name
// it, what Cluster Service says now, what follows from that, and its quarantine.
func (o *Operator) Show(ctx context.Context, w io.Writer, opts ShowOptions) error {
	t, err := o.find(ctx, opts.Subscription, opts.ID)
	if err != nil {
		return err
	}
	found, err := o.viewer.Explain(ctx, t.Key)
	if err != nil {
		return err
	}
	now := time.Now()
	e := o.explain(found, now)
	for _, r := range t.records {
		q := quarantineOf(r, found.ETag)
		e.Quarantines = append(e.Quarantines, &q)
		if q.Holds {
			e.Quarantine = &q
		}
	}
	e.State, e.WaitsFor = o.waitsFor(found.Operation, e.Quarantine, now)
	if found.Document == nil {
		e.State = "unreadable"
		if found.Fault == "" {
			e.State, e.WaitsFor = "gone", ""
		}
	}
	var out bytes.Buffer
	if opts.JSON {
		if found.Document != nil {
			if e.Document, err = document(found.Document); err != nil {
				e.Document = err.Error()
			}
		}
		body, err := encode(e, "  ")
		if err != nil {
			return err
		}
		out.Write(append(body, '\n'))
	} else {
		e.write(&out, now)
	}
	if _, err := out.WriteTo(w); err != nil {
		return fmt.Errorf("write answer: %w", err)
	}
	return nil
}

func (o *Operator) explain(found operations.Explanation, now time.Time) *explanation {
	e := &explanation{
		row: o.rowOf(found.Operation, nil, now), ETag: shown(found.ETag, maxLine), Transition: writable(found.Transition),
		Error: errorShown(&found.Error), Fault: found.Fault, Reason: shown(found.Reason, maxLine), Resources: []resource{},
	}
	if found.NotifyURI != "" {
		e.NotifyHost = notification.Loggable(found.NotifyURI)
	}
	for _, r := range found.Resources {
		links := []string{}
		for _, link := range r.Links {
			links = append(links, shown(link, maxLine))
		}
		e.Resources = append(e.Resources, resource{ID: shown(r.ID, maxLine), Type: shown(r.Type, maxLine),
			State: shown(r.State, maxLine), Links: links, Deleted: r.Deleted})
	}
	if found.Unread != nil {
		e.Unread = Words(found.Unread)
	}
	s := found.Answer.Status
	e.ClusterService = clusterService{
		Asked: found.Asked, Gone: found.Answer.Gone, Odd: found.Answer.Unreadable, State: shown(s.State, maxLine), HasStatus: s.HasStatus,
		ErrorCode: shown(s.ErrorCode, maxLine), Message: shown(s.Message, maxMessage),
	}
	if ref, err := cs.ParseRef(found.InternalID); err == nil && found.Asked {
		e.ClusterService.Path = ref.Path()
	}
	if found.Silence != nil {
		e.ClusterService.Error = shown(logkey.Words(found.Silence), maxMessage)
	}
	if d := found.Decision; d != nil {
		e.Next = &decision{Status: d.Status, Error: errorShown(d.Error), Note: firstLook}
		if d.Status == "" {
			e.Next.After = d.After.String()
		}
	}
	return e
}

func errorShown(c *operations.CloudError) *cloudError {
	if c == nil || c.Code == "" && c.Message == "" {
		return nil
	}
	return &cloudError{Code: shown(c.Code, maxLine), Message: shown(c.Message, maxMessage)}
}

// write writes an explanation for people, one fact a line.
func (e *explanation) write(w *bytes.Buffer, now time.Time) {
	var lines [][]string
	add := func(name, format string, args ...any) {
		lines = append(lines, []string{name, fmt.Sprintf(format, args...)})
	}
	stamp := func(t time.Time) string { return t.UTC().Format(time.RFC3339) + ", " + age(now, t) + " ago" }
	text := func(name, value string) {
		if value != "" {
			add(name, "%s", value)
		}
	}
	text("operation", e.Name)
	text("subscription", e.Subscription)
	add("document id", "%s", e.ID)
	text("version", e.ETag)
	add("state", "%s", e.State)
	text("waits for", e.WaitsFor)
	text("request", strings.TrimSpace(e.Request+" "+e.Kind))
	text("status", e.Status)
	text("fault", e.Fault)
	if !e.Start.IsZero() {
		add("started", "%s", stamp(e.Start))
	}
	if !e.Transition.IsZero() {
		add("last transition", "%s", stamp(e.Transition))
	}
	if e.Error != nil {
		add("stored error", "%s: %s", e.Error.Code, e.Error.Message)
	}
	text("resource id", e.ExternalID)
	text("internal id", e.InternalID)
	text("to be notified", e.NotifyHost)
	e.writeResources(add)
	e.writeClusterService(add)
	for _, q := range e.Quarantines {
		add("quarantined", "%s, by %s: %s", stamp(q.At), cell(q.Instance), q.Reason)
		if !q.Holds {
			add("", "holds no more: the document was changed since")
		}
		add("", "ends by itself %s", q.Ends.UTC().Format(time.RFC3339))
	}
	_ = table(w, lines) // a buffer does not fail
}

func (e *explanation) writeResources(add func(name, format string, args ...any)) {
	for _, r := range e.Resources {
		link := "names no operation"
		if len(r.Links) > 0 {
			link = "names operation " + strings.Join(r.Links, ", ")
		}
		deleted := ""
		if r.Deleted {
			deleted = ", softly deleted"
		}
		add("resource", "%s", r.ID)
		add("", "%s, state %s, %s%s", cell(r.Type), cell(r.State), link, deleted)
	}
	switch {
	case e.Unread != "":
		add("resource", "not known: %s", e.Unread)
	case len(e.Resources) == 0 && e.Status != "":
		add("resource", "none names this operation")
	}
}

func (e *explanation) writeClusterService(add func(name, format string, args ...any)) {
	c := e.ClusterService
	switch {
	case !c.Asked:
		add("cluster service", "not asked: %s", e.Reason)
	case c.Error != "":
		add("cluster service", "no answer: %s", c.Error)
		return
	case c.Gone:
		add("cluster service", "there is no %s", c.Path)
	case c.Odd:
		add("cluster service", "its answer about %s cannot be read", c.Path)
	case !c.HasStatus:
		add("cluster service", "%s is there, without a status", c.Path)
	default:
		said := []string{"state " + strconv.Quote(c.State), c.ErrorCode, c.Message}
		said = slices.DeleteFunc(said, func(s string) bool { return s == "" })
		add("cluster service", "%s", strings.Join(said, ", "))
	}
	if e.Next == nil {
		return
	}
	if e.Next.Status != "" {
		add("next", "%s: %s", e.Next.Status, e.Reason)
	} else {
		add("next", "kept as it is: %s; next look after %s", e.Reason, e.Next.After)
	}
	if e.Next.Error != nil {
		add("", "with error %s: %s", e.Next.Error.Code, e.Next.Error.Message)
	}
	add("", "%s", firstLook)
}
