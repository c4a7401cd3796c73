package cosmosemu

import (
	"net/http"
	"strconv"
	"strings"
	"time"

	"opfeed/internal/epk"
)

// maxLSN is beyond what anything can reach, and safe to compute with.
const maxLSN = 1 << 62

// maxPageBytes is where a page ends, whatever the client asked for.
const maxPageBytes = 4 << 20

// readItems is GET on a container's items: the change feed, or a plain list.
func (s *Server) readItems(x *exchange) (*reply, error) {
	if x.isFeed() {
		return s.readFeed(x)
	}
	return s.listItems(x)
}

// readFeed is the change feed in its incremental form: the latest version of
// every item that changed after a position. Deletions and expiry do not show.
func (s *Server) readFeed(x *exchange) (*reply, error) {
	if mode := x.header("A-IM"); !strings.EqualFold(mode, "Incremental Feed") {
		return nil, refuse(http.StatusBadRequest, "the change feed mode %.50q is not supported", mode)
	}
	c, err := s.container(x)
	if err != nil {
		return nil, err
	}
	p, accepted, err := x.feedScope(c)
	if err != nil {
		return nil, err
	}
	page := feedPage{bytes: maxPageBytes, until: x.feedUntil(s), accepted: accepted}
	if page.items, err = x.maxItems(); err != nil {
		return nil, err
	}
	if err := x.admit(p); err != nil {
		return nil, err
	}
	current, err := p.position()
	if err != nil {
		return nil, err
	}
	if err := x.arrive(p, current); err != nil {
		return nil, err
	}
	if page.after, err = x.feedStart(&page, current); err != nil {
		return nil, err
	}
	documents, last, current, err := p.changes(page, x.now)
	if err != nil {
		return nil, err
	}
	documents, last = x.distort(page, documents, last, current)
	x.sessions, x.lsn = x.sessions[:0], 0
	x.visit(p, current)
	r := &reply{status: http.StatusNotModified, charge: s.prices().feed(0)}
	if len(documents) > 0 {
		r.status = http.StatusOK
		r.body = feedBody(c.rid, documents)
		reads := 0.0
		for _, d := range documents {
			reads += s.prices().read(d.size())
		}
		r.charge = s.prices().feed(reads)
	}
	r.set("etag", strconv.Quote(strconv.FormatInt(last, 10)))
	r.set("x-ms-item-count", strconv.Itoa(len(documents)))
	return r, nil
}

func feedBody(rid string, documents []*document) []byte {
	const around = 300 // bytes of system properties
	size := around
	for _, d := range documents {
		size += d.size() + around
	}
	body := append(make([]byte, 0, size), `{"_rid":"`+rid+`","Documents":[`...)
	for i, d := range documents {
		if i > 0 {
			body = append(body, ',')
		}
		body = d.inFeed(body)
	}
	return append(body, `],"_count":`+strconv.Itoa(len(documents))+`}`...)
}

// feedScope finds the partition, and what of it the client wants: all, one
// logical partition, or a range of effective partition keys. The whole of what
// is asked for must be in one partition.
func (x *exchange) feedScope(c *container) (*partition, func(*document) bool, error) {
	routes := c.routes(x.now)
	key, err := x.givenKey(c.definition.Load())
	if err != nil {
		return nil, nil, err
	}
	low, high, err := x.keyRange(c, routes, key)
	if err != nil {
		return nil, nil, err
	}
	p := routes.of(low)
	switch {
	case epk.Compare(high, p.max) <= 0:
	case low == epk.Min && high == epk.Max:
		return nil, nil, refuse(http.StatusBadRequest, "the request names neither a partition key range nor a partition key")
	default:
		return nil, nil, outsideRange(low, high)
	}
	if low == p.min && high == p.max && len(key) == 0 {
		return p, func(*document) bool { return true }, nil
	}
	prefix := key.key()
	return p, func(d *document) bool {
		return strings.HasPrefix(d.slot.partition, prefix) && epk.Contains(low, high, d.slot.epk)
	}, nil
}

// feedStart reads where to start: after a position, which wins; after a time;
// or at the beginning. It returns the LSN, and adds to what is accepted.
func (x *exchange) feedStart(page *feedPage, current int64) (int64, error) {
	if etag := x.header("If-None-Match"); etag == "*" {
		return current, nil
	} else if etag != "" {
		lsn, err := strconv.ParseInt(strings.Trim(etag, `"`), 10, 64)
		if err != nil || lsn < 0 || lsn > maxLSN {
			return 0, refuse(http.StatusBadRequest, "If-None-Match %.50q is not a position in the change feed", etag)
		}
		return lsn, nil
	}
	since := x.header("If-Modified-Since")
	if since == "" {
		return 0, nil
	}
	// azcosmos writes UTC where HTTP wants GMT.
	start, err := time.ParseInLocation(time.RFC1123, since, time.UTC)
	if zone, _ := start.Zone(); err != nil || zone != "UTC" && zone != "GMT" {
		return 0, refuse(http.StatusBadRequest, "If-Modified-Since %.50q is not an RFC 1123 date in GMT", since)
	}
	accepted := page.accepted
	page.accepted = func(d *document) bool { return d.ts > start.Unix() && accepted(d) }
	return 0, nil
}
