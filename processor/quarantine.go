package processor

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/data/azcosmos"
	"go.uber.org/zap"

	"opfeed/internal/logkey"
	"opfeed/processor/dispatch"
	"opfeed/processor/status"
)

// quarantine is what this replica knows of the stored records: those of the
// ranges that it holds.
type quarantine struct {
	*Records
	instance string
	ttl      time.Duration

	mu      sync.Mutex
	records map[string]Record // by id
}

func newQuarantine(c *azcosmos.ContainerClient, leasePrefix, instance string, ttl time.Duration) *quarantine {
	return &quarantine{
		Records:  NewRecords(c, leasePrefix),
		instance: instance,
		ttl:      ttl,
		records:  map[string]Record{},
	}
}

// add stores the record of a change of one range. It succeeds only once it is
// stored.
func (q *quarantine) add(ctx context.Context, lease string, c dispatch.Change, reason string) error {
	r, err := q.put(ctx, Record{
		ID:         q.id(lease, c.Key),
		Lease:      lease,
		TTL:        int64(q.ttl / time.Second),
		Kind:       quarantineKind,
		Partition:  c.Partition,
		DocumentID: c.ID,
		ETag:       c.ETag,
		LSN:        c.LSN,
		Reason:     reason,
		At:         time.Now().UTC(),
		Instance:   q.instance,
	})
	if err != nil {
		return err
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	q.records[r.ID] = r
	return nil
}

// forget drops the record of a key that is no longer at fault, and returns it, if
// there is one. A stored copy that is not deleted ends by its time to live; until
// then it holds for its one version alone.
func (q *quarantine) forget(lease string, k dispatch.Key) (Record, bool) {
	id := q.id(lease, k)
	q.mu.Lock()
	defer q.mu.Unlock()
	r, known := q.records[id]
	delete(q.records, id)
	return r, known
}

// load reads the stored records of one range, of which it keeps none: those of its
// partitions, and those without a partition that its own lease has brought.
func (q *quarantine) load(ctx context.Context, lease string, owns func(partition string) bool) ([]Record, error) {
	var out []Record
	err := q.Each(ctx, func(r Record) {
		if r.Partition == "" && r.Lease == lease || r.Partition != "" && owns(r.Partition) {
			r.Lease = lease
			out = append(out, r)
		}
	})
	return out, err
}

// keep takes records for known.
func (q *quarantine) keep(records []Record) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, r := range records {
		q.records[r.ID] = r
	}
}

// maxGone bounds how many records that a query did not show are asked for one by
// one: the next list brings the others.
const maxGone = 100

// ended forgets the records of some leases that are not stored any more, because
// their time to live is over or an operator has removed them, and returns them. What
// is added while it reads is not judged, and after an error only what is certain is
// gone.
func (q *quarantine) ended(ctx context.Context, of map[string]*tenure) ([]Record, error) {
	known := q.known()
	maps.DeleteFunc(known, func(_ string, r Record) bool { return of[r.Lease] == nil })
	if len(known) == 0 {
		return nil, nil // as it should be: no request
	}
	if err := q.Each(ctx, func(r Record) { delete(known, r.ID) }); err != nil {
		return nil, err
	}
	var out []Record
	for _, id := range slices.Sorted(maps.Keys(known))[:min(len(known), maxGone)] {
		gone, err := q.gone(ctx, known[id])
		if err != nil {
			return out, err
		}
		if gone && q.drop(known[id]) {
			out = append(out, known[id])
		}
	}
	return out, nil
}

func (q *quarantine) known() map[string]Record {
	q.mu.Lock()
	defer q.mu.Unlock()
	return maps.Clone(q.records)
}

// drop drops one version of a record, and tells whether it was there.
func (q *quarantine) drop(r Record) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if have, ok := q.records[r.ID]; !ok || have.Version != r.Version || have.Lease != r.Lease {
		return false
	}
	delete(q.records, r.ID)
	return true
}

// leave drops the records of a range that is not held any more.
func (q *quarantine) leave(lease string) {
	q.mu.Lock()
	defer q.mu.Unlock()
	maps.DeleteFunc(q.records, func(_ string, r Record) bool { return r.Lease == lease })
}

// mostListed bounds the records that a snapshot shows: one bad release of a front
// end can put thousands aside, and a snapshot goes to each open page every second.
const mostListed = 200

// list returns the newest of the records known to this replica, newest first, and
// how many there are in all.
func (q *quarantine) list() ([]status.Quarantined, int) {
	records := slices.SortedFunc(maps.Values(q.known()), func(a, b Record) int {
		return cmp.Or(b.At.Compare(a.At), cmp.Compare(a.ID, b.ID))
	})
	out := []status.Quarantined{}
	for _, r := range records[:min(len(records), mostListed)] {
		out = append(out, status.Quarantined{
			Partition: r.Partition, ID: r.DocumentID, ETag: r.ETag, LSN: r.LSN,
			Reason: r.Reason, At: r.At, Instance: r.Instance,
		}.Clipped())
	}
	return out, len(records)
}

// putAside is the dispatcher's Quarantine. It logs once stored, so that a
// document is never both silent and skipped.
func (t *tenure) putAside(ctx context.Context, c dispatch.Change, reason string) error {
	if err := t.traceRecord(ctx, c, reason); err != nil {
		t.quarantineOutage.begin(err)
		return err
	}
	t.quarantineOutage.over()
	t.metrics.quarantined.WithLabelValues(c.Fault.String()).Inc()
	t.log.Error("document quarantined", zap.String(logkey.SubscriptionID, c.Partition),
		zap.String(logkey.DocumentID, c.ID), zap.String(logkey.ETag, c.ETag),
		zap.Int64(logkey.LSN, c.LSN), zap.String(logkey.Reason, reason))
	return nil
}

// release takes a document that is well again out of quarantine. Its stored
// record is deleted by removeRecords, or else by its time to live.
func (t *tenure) release(k dispatch.Key) {
	r, known := t.quarantine.forget(t.lease.Token(), k)
	if !known {
		return
	}
	select {
	case t.wellAgain <- r:
	default:
	}
}

func (t *tenure) removeRecords(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case r := <-t.wellAgain:
			// The version that is known: the document may be at fault again by now.
			_ = t.quarantine.Remove(ctx, r)
		}
	}
}

// restoreQuarantine settles what earlier tenures have put aside. Without the
// records such documents would merely be tried once more; but none would be shown,
// nor looked at again when its record ends, so that who fails here tries again.
func (t *tenure) restoreQuarantine(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, quarantineTimeout)
	defer cancel()
	records, err := t.quarantine.load(ctx, t.lease.Token(), t.owns)
	if err != nil {
		return err
	}
	t.recorded = true
	t.know(records)
	for _, r := range records {
		t.dispatcher.Settle(r.Key(), r.ETag, r.Reason)
	}
	if len(records) > 0 {
		t.log.Info("quarantined documents known", zap.Int("count", len(records)))
	}
	return nil
}

// endQuarantine has every document looked at again whose record is not stored any
// more. A range that is being taken over is left to the next time: its records are
// known before anybody could look at their documents.
func (p *Processor) endQuarantine(ctx context.Context, trouble *outage) {
	held := map[string]*tenure{}
	for _, t := range p.held() {
		held[t.lease.Token()] = t
	}
	within, cancel := context.WithTimeout(ctx, p.cfg.FallbackInterval) // the next list must not be late
	defer cancel()
	var unread error
	for _, t := range held {
		if !t.recorded && unread == nil {
			unread = t.restoreQuarantine(within)
		}
	}
	ended, err := p.quarantine.ended(within, held)
	for _, r := range ended {
		held[r.Lease].retry(r)
	}
	err = cmp.Or(err, unread)
	switch {
	case ctx.Err() != nil:
	case err != nil:
		trouble.begin(err)
	default:
		trouble.over()
	}
}

// retry forgets a document as it was and looks at it as it is. One without a
// partition cannot be read; it is only forgotten.
func (t *tenure) retry(r Record) {
	t.log.Info("quarantine ended, document is looked at again", zap.String(logkey.SubscriptionID, r.Partition),
		zap.String(logkey.DocumentID, r.DocumentID), zap.String(logkey.Reason, r.Reason))
	t.dispatcher.Recheck(r.Key(), t.lastSession())
	if r.Partition == "" {
		return
	}
	// Submitted here, since a list would take it for a change that the feed has
	// missed. If it finds no place a list brings it all the same.
	_ = t.dispatcher.TrySubmit(dispatch.Change{
		Key: r.Key(), ETag: r.ETag, LSN: r.LSN, Session: t.lastSession(), Source: dispatch.List}, nil)
}
