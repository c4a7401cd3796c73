package leases

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

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
}

const (
	// presenceTTL, in seconds, is how long a record outlives its host, in a
	// container that has a time to live switched on. Everywhere else it is how
	// long it is listed.
	presenceTTL = 60
	// presenceSize bounds the JSON of a record, and of what is taken for one:
	// what the service adds is some 300 bytes.
	presenceSize = 2048
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
		TTL      int    `json:"ttl"`
	}{s.hostID(p.StartID), p.StartID, p.Instance, p.Renewal, presenceTTL})
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
	ctx = once(ctx)
	pager := s.container.NewQueryItemsPager("SELECT * FROM c WHERE STARTSWITH(c.id, @leases) OR STARTSWITH(c.id, @hosts)",
		azcosmos.NewPartitionKey(), &azcosmos.QueryOptions{
			QueryParameters: []azcosmos.QueryParameter{
				{Name: "@leases", Value: s.ID("")}, {Name: "@hosts", Value: s.hostID("")},
			},
			SessionToken: s.sessions.all(),
		})
	var list []Document
	var hosts roll
	for pager.More() {
		page, err := pager.NextPage(ctx)
		if err != nil {
			return nil, nil, fmt.Errorf("list leases and hosts %s: %w", s.prefix, s.explain(err))
		}
		for _, item := range page.Items {
			d, _ := decode(item, "") // the fault is told by Version
			if !strings.HasPrefix(d.ID, s.hostID("")) {
				list = append(list, d)
				hosts.newest = later(hosts.newest, d)
				continue
			}
			if p, ok := decodePresence(item); ok && d.ID == s.hostID(p.StartID) {
				hosts.newest = later(hosts.newest, d)
				hosts.add(p, seconds(d))
			}
		}
	}
	return list, hosts.alive(), nil
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
	return p, r.err == nil && p.StartID != "" && p.Renewal >= 0
}

// roll collects the hosts of one listing.
type roll struct {
	newest int64 // _ts of the newest document of all
	hosts  []hostSeen
}

type hostSeen struct {
	Presence
	written int64 // _ts
}

func (r *roll) add(p Presence, written int64) {
	r.hosts = append(r.hosts, hostSeen{p, written})
	if len(r.hosts) >= 2*presenceMost {
		r.trim()
	}
}

// trim keeps the newest, and of each start id the newest record: a listing of
// several pages may show one twice.
func (r *roll) trim() {
	slices.SortFunc(r.hosts, func(a, b hostSeen) int {
		return cmp.Or(cmp.Compare(b.written, a.written), cmp.Compare(b.Renewal, a.Renewal), cmp.Compare(a.StartID, b.StartID))
	})
	have := map[string]bool{}
	r.hosts = slices.DeleteFunc(r.hosts, func(h hostSeen) bool {
		twice := have[h.StartID]
		have[h.StartID] = true
		return twice
	})
	r.hosts = r.hosts[:min(len(r.hosts), presenceMost)]
}

func (r *roll) alive() []Presence {
	r.trim()
	var list []Presence
	for _, h := range r.hosts {
		if r.newest-h.written < presenceTTL {
			list = append(list, h.Presence)
		}
	}
	return list
}

func seconds(d Document) int64 {
	if d.Written.IsZero() {
		return 0
	}
	return d.Written.Unix()
}

func later(newest int64, d Document) int64 { return max(newest, seconds(d)) }
