package leases

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/data/azcosmos"
)

// Presence says that a host without a lease is there. A host that owns one is
// seen by that. The zero value is of no use.
//
// It is stored as {prefix}.host.{StartID}, where no reader of .NET's looks: they
// take everything that begins with {prefix}.. for a lease.
type Presence struct {
	StartID  string
	Instance string // name of the host; two may share one
	Renewal  int64  // raised with every Announce: a host is alive while it changes
	Page     string // where its page is, an http or https URL; "" unknown
}

const (
	// presenceTTL, in seconds, is how long a record outlives its host, in a
	// container that has a time to live switched on. Everywhere else it is how
	// long it is listed.
	presenceTTL = 60
	// presenceSize bounds the JSON of a record, and of what is taken for one:
	// what the service adds is some 300 bytes.
	presenceSize = 8192
	// presenceMost is how many are listed, those that were written last: more
	// hosts than a container has ranges are of no use.
	presenceMost = 1000
)

// Announce stores p, in one request that is not repeated. It need not be
// conditional: the id is of this very process.
func (s *Store) Announce(ctx context.Context, p Presence) error {
	if p.StartID == "" || p.Renewal < 0 || strings.ContainsAny(p.StartID, forbidden) {
		return fmt.Errorf("announce host: start id %q or renewal %d is malformed", p.StartID, p.Renewal)
	}
	body, err := marshal(struct {
		ID       string `json:"id"`
		StartID  string `json:"startId"`
		Instance string `json:"instance"`
		Renewal  int64  `json:"renewal"`
		Page     string `json:"page,omitempty"`
		TTL      int    `json:"ttl"`
	}{s.hostID(p.StartID), p.StartID, p.Instance, p.Renewal, p.Page, presenceTTL})
	if err != nil {
		return fmt.Errorf("announce host: %w", err)
	}
	if len(body) > presenceSize/2 {
		return fmt.Errorf("announce host: start id and instance are too long: the record has %d bytes", len(body))
	}
	reply, err := s.container.UpsertItem(once(ctx), azcosmos.NewPartitionKeyString(s.hostID(p.StartID)), body, nil)
	if err != nil {
		return fmt.Errorf("announce host: %w", s.explain(err))
	}
	if reply.RequestCharge <= 0 { // see written
		return fmt.Errorf("announce host: %w", errNotTheAccount)
	}
	s.sessions.saw(reply.SessionToken)
	return nil
}

// Withdraw removes what Announce stored. That there is nothing is no error.
func (s *Store) Withdraw(ctx context.Context, startID string) error {
	id := s.hostID(startID)
	reply, err := s.container.DeleteItem(once(ctx), azcosmos.NewPartitionKeyString(id), id, nil)
	if err != nil {
		if err = s.explain(err); errors.Is(err, ErrNotFound) {
			return nil
		}
		return fmt.Errorf("withdraw host: %w", err)
	}
	s.sessions.saw(reply.SessionToken)
	return nil
}

// ListAll gives what List gives and, from the same query, the hosts that have a
// record, in no order. A record of a host that the service would have deleted,
// had the container a time to live, is not among them: that is judged by the
// service's clock alone, against the newest document listed. Nor is one that no
// Announce wrote.
func (s *Store) ListAll(ctx context.Context) ([]Document, []Presence, error) {
	l, err := s.Look(ctx)
	if err != nil {
		return nil, nil, err
	}
	return l.Leases, l.alive(), nil
}

func (s *Store) hostID(startID string) string { return s.prefix + ".host." + startID }

// decodePresence says whether body is what Announce writes.
func decodePresence(body []byte) (Presence, bool) {
	if len(body) > presenceSize {
		return Presence{}, false
	}
	r := reader{top: map[string]json.RawMessage{}}
	if err := json.Unmarshal(body, &r.top); err != nil {
		return Presence{}, false
	}
	p := Presence{StartID: r.text("startId"), Instance: r.text("instance"), Renewal: r.number("renewal")}
	known := r.err == nil && p.StartID != "" && p.Renewal >= 0
	p.Page = shownPage(r.text("page")) // one that is of no use hides no host
	return p, known
}

// roll collects the hosts of one listing, of many the newest.
type roll []SightedHost

func (r *roll) add(h SightedHost) {
	if *r = append(*r, h); len(*r) >= 2*presenceMost {
		r.trim()
	}
}

// trim keeps the newest, and of each start id the newest record: a listing of
// several pages may show one twice.
func (r *roll) trim() {
	slices.SortFunc(*r, func(a, b SightedHost) int {
		return cmp.Or(b.Written.Compare(a.Written), cmp.Compare(b.Renewal, a.Renewal), cmp.Compare(a.StartID, b.StartID))
	})
	have := map[string]bool{}
	*r = slices.DeleteFunc(*r, func(h SightedHost) bool {
		twice := have[h.StartID]
		have[h.StartID] = true
		return twice
	})
	*r = (*r)[:min(len(*r), presenceMost)]
}

// alive gives the hosts whose records the service would still have.
func (l Listing) alive() []Presence {
	newest := int64(0)
	for _, d := range l.Leases {
		newest = max(newest, seconds(d.Written))
	}
	for _, h := range l.Hosts {
		newest = max(newest, seconds(h.Written))
	}
	var list []Presence
	for _, h := range l.Hosts {
		if newest-seconds(h.Written) < presenceTTL {
			list = append(list, h.Presence)
		}
	}
	return list
}

// seconds gives a _ts back; 0 is none.
func seconds(written time.Time) int64 {
	if written.IsZero() {
		return 0
	}
	return written.Unix()
}
