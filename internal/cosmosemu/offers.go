package cosmosemu

import (
	"encoding/binary"
	"encoding/json"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"

	"opfeed/internal/cosmosemu/sql"
)

// The limits of throughput, in RU/s.
const (
	leastManual    = 400
	manualStep     = 100
	leastAutoscale = 1000
	autoscaleStep  = 1000
	mostThroughput = 1_000_000
)

// throughput is what a database or a container may spend in a second: a fixed
// number of RU, or a maximum below which the service follows the demand.
type throughput struct {
	Manual    int        `json:"offerThroughput,omitempty"` // 0: Autoscale is set
	Autoscale *autoscale `json:"offerAutopilotSettings,omitempty"`
}

type autoscale struct {
	Maximum int `json:"maxThroughput"`
	// Upgrade is returned, not applied.
	Upgrade json.RawMessage `json:"autoUpgradePolicy,omitempty"`
}

// newThroughput returns nil if neither is given.
func newThroughput(manual, maximum int) (*throughput, error) {
	t := &throughput{Manual: manual}
	if maximum != 0 {
		t.Autoscale = &autoscale{Maximum: maximum}
	}
	if manual == 0 && maximum == 0 {
		return nil, nil
	}
	return t, t.check()
}

// givenThroughput reads the headers of a request that creates something; nil if
// there are none.
func (x *exchange) givenThroughput() (*throughput, error) {
	manual, settings := x.header("x-ms-offer-throughput"), x.header("x-ms-cosmos-offer-autopilot-settings")
	if manual == "" && settings == "" {
		return nil, nil
	}
	t := &throughput{}
	if manual != "" {
		var err error
		if t.Manual, err = strconv.Atoi(manual); err != nil {
			return nil, refuse(http.StatusBadRequest, "x-ms-offer-throughput %.50q is not a number", manual)
		}
	}
	if settings != "" {
		if err := json.Unmarshal([]byte(settings), &t.Autoscale); err != nil {
			return nil, refuse(http.StatusBadRequest, "x-ms-cosmos-offer-autopilot-settings is malformed: %v", err)
		}
	}
	return t, t.check()
}

func (t *throughput) check() error {
	if t.Autoscale != nil && t.Manual != 0 {
		return refuse(http.StatusBadRequest, "throughput is either manual or autoscale, not both")
	}
	value, least, step := t.perSecond(), leastManual, manualStep
	if t.Autoscale != nil {
		least, step = leastAutoscale, autoscaleStep
	}
	if value < least || value > mostThroughput || value%step != 0 {
		return refuse(http.StatusBadRequest,
			"The offer should have valid throughput values between %d and %d inclusive in increments of %d, not %d.",
			least, mostThroughput, step, value)
	}
	return nil
}

// perSecond is the most that can be spent, in RU/s.
func (t *throughput) perSecond() int {
	if t.Autoscale != nil {
		return t.Autoscale.Maximum
	}
	return t.Manual
}

// offer is the throughput of a database or a container, as a resource of its
// own. It is immutable: a replacement is a new one in its place.
type offer struct {
	throughput
	rid         string
	resource    string // link of the database or container
	resourceRID string
	highest     int // perSecond, ever
	etag        string
	ts          int64
}

// newOffer returns nil for a resource without throughput.
func (s *Server) newOffer(resource, resourceRID string, given *throughput) *offer {
	if given == nil {
		return nil
	}
	rid := binary.BigEndian.AppendUint32(nil, s.rids.Add(1))
	return &offer{
		throughput: *given, rid: ridOf(rid[1:]), resource: resource, resourceRID: resourceRID,
		highest: given.perSecond(), etag: s.newETag(), ts: s.clock.now().Unix(),
	}
}

func (o *offer) json() []byte {
	return encode(map[string]any{
		"id": o.rid, "_rid": o.rid, "_self": "offers/" + o.rid + "/", "_etag": `"` + o.etag + `"`, "_ts": o.ts,
		"resource": o.resource, "offerResourceId": o.resourceRID,
		"offerType": "Invalid", "offerVersion": "V2", "content": o.throughput,
	})
}

// least is to what the throughput can be lowered: it depends on the highest that
// the resource ever had. Storage and the number of containers are left out.
func (o *offer) least() int {
	least, step, part := leastManual, manualStep, 100
	if o.Autoscale != nil {
		least, step, part = leastAutoscale, autoscaleStep, 10
	}
	return max(least, (o.highest/part+step-1)/step*step)
}

// offers returns the places of all offers, in the order of their ids.
func (s *Server) offers() []*atomic.Pointer[offer] {
	var places []*atomic.Pointer[offer]
	s.mu.RLock()
	for _, db := range s.databases {
		places = append(places, &db.offer)
		db.mu.RLock()
		for _, c := range db.containers {
			places = append(places, &c.offer)
		}
		db.mu.RUnlock()
	}
	s.mu.RUnlock()
	places = slices.DeleteFunc(places, func(place *atomic.Pointer[offer]) bool { return place.Load() == nil })
	slices.SortFunc(places, func(a, b *atomic.Pointer[offer]) int { return strings.Compare(a.Load().rid, b.Load().rid) })
	return places
}

func (s *Server) findOffer(x *exchange) (*atomic.Pointer[offer], error) {
	for _, place := range s.offers() {
		if place.Load().rid == x.offer {
			return place, nil
		}
	}
	return nil, refuse(http.StatusNotFound, "the offer %q does not exist", x.offer)
}

func (s *Server) offerReply(o *offer) *reply {
	r := s.metadata(http.StatusOK, o.json(), o.etag)
	r.set("x-ms-offer-replace-pending", "false")
	r.set("x-ms-cosmos-min-throughput", strconv.Itoa(o.least()))
	return r
}

func (s *Server) readOffer(x *exchange) (*reply, error) {
	place, err := s.findOffer(x)
	if err != nil {
		return nil, err
	}
	return s.offerReply(place.Load()), nil
}

func (s *Server) replaceOffer(x *exchange) (*reply, error) {
	place, err := s.findOffer(x)
	if err != nil {
		return nil, err
	}
	sent, err := parseOffer(x.body)
	if err != nil {
		return nil, err
	}
	for {
		old := place.Load()
		if match := x.header("If-Match"); match != "" && match != "*" && match != strconv.Quote(old.etag) {
			return nil, refuse(http.StatusPreconditionFailed, "the offer's version is %q, not %.100s", old.etag, match)
		}
		next, err := old.replaced(sent)
		if err != nil {
			return nil, err
		}
		next.etag, next.ts = s.newETag(), x.now.Unix()
		if place.CompareAndSwap(old, next) {
			return s.offerReply(next), nil
		}
	}
}

// sentOffer is what of a replacement is looked at.
type sentOffer struct {
	ID       string     `json:"id"`
	Resource string     `json:"offerResourceId"`
	Content  throughput `json:"content"`
}

func parseOffer(body []byte) (*sentOffer, error) {
	if _, err := parseObject(body); err != nil {
		return nil, err
	}
	sent := &sentOffer{}
	if err := json.Unmarshal(body, sent); err != nil {
		return nil, refuse(http.StatusBadRequest, "the offer is malformed: %v", err)
	}
	return sent, sent.Content.check()
}

// replaced returns the offer with other throughput of the same kind. To change
// the kind is a request of its own, which SDKs do not make.
func (o *offer) replaced(sent *sentOffer) (*offer, error) {
	if sent.ID != o.rid || sent.Resource != o.resourceRID {
		return nil, refuse(http.StatusBadRequest, "the id and the resource of an offer cannot be changed")
	}
	if (sent.Content.Autoscale == nil) != (o.Autoscale == nil) {
		kind := "autoscale"
		if sent.Content.Autoscale == nil {
			kind = "manually provisioned"
		}
		return nil, refuse(http.StatusBadRequest,
			"Updating offer to %s throughput is not allowed. Please invoke migration API to migrate this offer.", kind)
	}
	if value := sent.Content.perSecond(); value < o.least() {
		return nil, refuse(http.StatusBadRequest, "the throughput %d is below %d, the least that is possible after %d",
			value, o.least(), o.highest)
	}
	next := *o
	next.throughput = sent.Content
	next.highest = max(next.highest, next.perSecond())
	return &next, nil
}

func (s *Server) listOffers(x *exchange) (*reply, error) {
	return s.offerFeed(x, nil)
}

func (s *Server) queryOffers(x *exchange) (*reply, error) {
	statement, err := x.parseQuery()
	if err != nil {
		return nil, err
	}
	return s.offerFeed(x, statement)
}

func (s *Server) offerFeed(x *exchange, statement *sql.Statement) (*reply, error) {
	var objects [][]byte
	for _, place := range s.offers() {
		objects = append(objects, place.Load().json())
	}
	return s.metadataFeed(x, "Offers", "", objects, statement)
}
