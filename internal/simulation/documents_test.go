package simulation_test

import (
	"net/url"
	"slices"
	"strings"
	"time"

	"opfeed/internal/epk"
)

// documents is what the monitored container holds, as far as the checks need it.
type documents struct {
	operations  map[string]*operation // by partition and document id
	byName      map[string]*operation // by partition and name
	resources   map[string]map[string]any
	quarantined map[string]bool // document ids
	open        map[string]*version
	pending     map[string]*version // operations of the front end that have not ended, in their last version
	written     map[string][]write  // by partition, not passed yet
	touched     []touched           // resources of the present batch
}

type operation struct {
	name, status, moved string
}

// version is one of an operation that the front end wrote, and of which Cluster
// Service has to be asked.
type version struct {
	id, key, object string
	lsn             int64
	at              time.Time
	asked           time.Time // when a call about its object was last over, or it was written
	excused         bool      // who reads the feed may rightly not have seen it
}

type write struct {
	at  time.Time
	lsn int64
}

type touched struct{ before, after map[string]any }

func newDocuments() *documents {
	return &documents{operations: map[string]*operation{}, byName: map[string]*operation{}, resources: map[string]map[string]any{},
		quarantined: map[string]bool{}, open: map[string]*version{}, pending: map[string]*version{}, written: map[string][]write{}}
}

func (s *documents) store(c *checks, q *request, d document) {
	at := d.partition + "\x00" + d.id
	kind := strings.ToLower(text(d.fields, "resourceType"))
	if w := s.written[d.partition]; d.fields != nil && (len(w) == 0 || w[len(w)-1].lsn != d.lsn) {
		s.written[d.partition] = append(w, write{time.Now(), d.lsn})
	}
	switch {
	case strings.HasSuffix(kind, "/hcpoperationstatuses"), strings.HasSuffix(kind, "/hcpoperationsstatus"), s.operations[at] != nil:
		s.storeOperation(c, q, d, at)
	default:
		if before := s.resources[at]; before != nil && q.who != nil && d.fields != nil {
			s.touched = append(s.touched, touched{before, d.fields})
		}
		s.resources[at] = d.fields
	}
}

func (s *documents) storeOperation(c *checks, q *request, d document, at string) {
	delete(s.open, at)
	before := s.operations[at]
	if d.fields == nil {
		delete(s.operations, at)
		delete(s.pending, at)
		return
	}
	now := &operation{name: operationName(d.fields), status: text(d.fields, "properties", "status"),
		moved: text(d.fields, "properties", "lastTransitionTime")}
	s.operations[at], s.byName[d.partition+"\x00"+strings.ToLower(now.name)] = now, now
	if before != nil {
		if before.status != now.status {
			c.story.tell("%s moves %s from %s to %s", q.who, short(d.id), before.status, now.status)
		}
		switch {
		case terminal(before.status) && now.status != before.status:
			c.story.violated(2, "%s changes the terminal status of %s from %s to %s", q.who, d.id, before.status, now.status)
		case now.status == before.status && now.moved != before.moved:
			c.story.violated(2, "%s moves the lastTransitionTime of %s from %s to %s, while the status stays %s",
				q.who, d.id, before.moved, now.moved, now.status)
		}
	}
	if terminal(now.status) {
		delete(s.pending, at)
	} else if q.who == nil {
		object := objectOf(text(d.fields, "properties", "internalId"))
		switch text(d.fields, "properties", "request") {
		case "Create", "Update", "Delete":
			if object != "" {
				v := &version{id: d.id, key: epk.Of(d.partition), object: object, lsn: d.lsn, at: time.Now(), asked: time.Now()}
				s.open[at], s.pending[at] = v, v
			}
		}
	}
}

// settled holds the resources of a batch to the operations, which are known now.
func (s *documents) settled(c *checks, q *request) {
	defer func() { s.touched = nil }()
	for _, t := range s.touched {
		linked := link(t.before)
		o := s.byName[q.partition+"\x00"+strings.ToLower(linked)]
		for _, path := range states {
			old, now := text(t.before, path...), text(t.after, path...)
			if old == now {
				continue
			}
			if o == nil {
				c.story.violated(3, "%s moves resource %s from %s to %s, and it names no operation", q.who, text(t.after, "id"), old, now)
			} else if now != o.status {
				c.story.violated(3, "%s moves resource %s from %s to %s, and its operation %s is %s", q.who, text(t.after, "id"), old, now, linked, o.status)
			}
		}
		if o != nil && terminal(o.status) && link(t.after) == linked {
			c.story.violated(3, "%s leaves resource %s its operation %s, which is %s", q.who, text(t.after, "id"), linked, o.status)
		}
	}
}

// asked notes that a call to Cluster Service is over. One that names an object is
// about it; a list is about those in it: it will do for an operation that was asked
// for before.
func (s *documents) asked(what *url.URL, began time.Time) {
	object := strings.TrimSuffix(objectOf(what.Path), "/status")
	listed := what.Query().Get("search")
	for at, v := range s.pending {
		if v.at.After(began) {
			continue
		}
		id := v.object[strings.LastIndexByte(v.object, '/')+1:]
		switch {
		case v.object == object:
			v.asked = time.Now()
			delete(s.open, at)
		case s.open[at] == nil && (strings.Contains(listed, id) || strings.HasPrefix(v.object, object+"/")):
			v.asked = time.Now()
		}
	}
}

// excuse lets positions pass what is in a range now.
func (s *documents) excuse(low, high string) {
	for _, v := range s.open {
		if epk.Contains(low, high, v.key) {
			v.excused = true
		}
	}
}

// late finds what is older than that and was not passed by the position of its
// range.
func (s *documents) late(c *checks, than time.Time) {
	for partition, list := range s.written {
		key := epk.Of(partition)
		for _, l := range c.leases {
			if !c.readable(l) || !epk.Contains(l.min, l.max, key) {
				continue
			}
			list = slices.DeleteFunc(list, func(w write) bool { return w.lsn <= l.position })
			if len(list) > 0 && list[0].at.Before(than) {
				c.story.violated(7, "lease %s is at %d, and has not passed LSN %d for %v: %s", l.token, l.position,
					list[0].lsn, time.Since(list[0].at).Round(time.Second), c.words(time.Now()))
			}
		}
		s.written[partition] = list
	}
}

// listed is how often all that is pending is listed.
const listed = time.Minute

// forgotten finds an operation that nobody has asked about since then.
func (s *documents) forgotten(c *checks, since time.Time) {
	for at, v := range s.pending {
		if v.excused && v.asked.Add(listed).After(since) {
			continue // only the next list brings it
		}
		if v.asked.Before(since) {
			c.story.violated(1, "operation %s (LSN %d, %s, written %v ago) is pending, and nobody has asked for %s for %v: %s",
				short(v.id), v.lsn, s.operations[at].status, time.Since(v.at).Round(time.Second), v.object,
				time.Since(v.asked).Round(time.Second), c.words(time.Now()))
			return
		}
	}
}

func terminal(status string) bool {
	return status == "Succeeded" || status == "Failed" || status == "Canceled"
}

// states and links are where resources keep what their operations change.
var (
	states = [][]string{
		{"properties", "provisioningState"}, {"properties", "properties", "provisioningState"},
		{"properties", "serviceProviderProperties", "provisioningState"},
	}
	links = [][]string{
		{"properties", "activeOperationId"}, {"properties", "serviceProviderProperties", "activeOperationId"},
	}
)

func link(d map[string]any) string {
	for _, path := range links {
		if name := text(d, path...); name != "" {
			return name
		}
	}
	return ""
}

// operationName is the name by which resources link to an operation.
func operationName(d map[string]any) string {
	for _, field := range []string{"operationId", "resourceId"} {
		if id := text(d, "properties", field); id != "" {
			return id[strings.LastIndexByte(id, '/')+1:]
		}
	}
	return text(d, "id")
}

// objectOf is an object of Cluster Service in a path, whatever API it is of.
func objectOf(path string) string {
	_, object, _ := strings.Cut(path, "/clusters/")
	return object
}
