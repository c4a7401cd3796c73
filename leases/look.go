package leases

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/data/azcosmos"
)

// Listing is everything under a prefix at one moment.
type Listing struct {
	Leases []Document    // in no order
	Hosts  []SightedHost // in no order
	// Now is the server's clock, by which Document.Written is to be read too. It
	// is zero when no reply has told it.
	Now time.Time
}

// SightedHost is the presence record of a process that holds no lease.
type SightedHost struct {
	Presence

	Written time.Time // _ts; zero when unknown
}

// Look lists the leases, and the hosts without one whose records are stored, those
// that have expired included.
func (s *Store) Look(ctx context.Context) (Listing, error) {
	ctx = once(ctx)
	pager := s.container.NewQueryItemsPager("SELECT * FROM c WHERE STARTSWITH(c.id, @leases) OR STARTSWITH(c.id, @hosts)",
		azcosmos.NewPartitionKey(), &azcosmos.QueryOptions{
			QueryParameters: []azcosmos.QueryParameter{
				{Name: "@leases", Value: s.ID("")}, {Name: "@hosts", Value: s.hostID("")},
			},
			SessionToken: s.sessions.all(),
		})
	var l Listing
	var hosts roll
	for pager.More() {
		page, err := pager.NextPage(ctx)
		if err != nil {
			return Listing{}, fmt.Errorf("list leases and hosts %s: %w", s.prefix, s.explain(err))
		}
		if page.RawResponse != nil {
			if t, err := http.ParseTime(page.RawResponse.Header.Get("Date")); err == nil {
				l.Now = t
			}
		}
		for _, item := range page.Items {
			d, _ := decode(item, "") // the fault is in the document
			if !strings.HasPrefix(d.ID, s.hostID("")) {
				l.Leases = append(l.Leases, d)
			} else if p, ok := decodePresence(item); ok && d.ID == s.hostID(p.StartID) {
				hosts.add(SightedHost{Presence: p, Written: d.Written})
			}
		}
	}
	hosts.trim()
	l.Hosts = hosts
	return l, nil
}
