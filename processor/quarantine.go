package processor

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"sort"
	"sync"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/data/azcosmos"
	"go.uber.org/zap"

	"opfeed/internal/logkey"
	"opfeed/processor/dispatch"
	"opfeed/processor/status"
)

// quarantine keeps the records of documents that are their own fault: one small
// item each in the lease container, outside the key space of leases, with a
// time to live.
type quarantine struct {
	container *azcosmos.ContainerClient
	prefix    string
	instance  string
	ttl       time.Duration

	mu      sync.Mutex
	records map[string]record // by id: those of the held ranges
}

// record is a quarantined document as stored. It never holds the document.
type record struct {
	ID         string    `json:"id"`
	TTL        int64     `json:"ttl"`
	Kind       string    `json:"kind"` // always "quarantine"
	Lease      string    `json:"lease"`
	Partition  string    `json:"documentPartition"`
	DocumentID string    `json:"documentId"`
	ETag       string    `json:"documentETag"`
	LSN        int64     `json:"lsn"`
	Reason     string    `json:"reason"`
	At         time.Time `json:"at"`
	Instance   string    `json:"instance"`
}

const (
	quarantineKind    = "quarantine"
	quarantineTimeout = 5 * time.Second
)

func newQuarantine(c *azcosmos.ContainerClient, leasePrefix, instance string, ttl time.Duration) *quarantine {
	return &quarantine{
		container: c,
		prefix:    leasePrefix + ".quarantine.",
		instance:  instance,
		ttl:       ttl,
		records:   map[string]record{},
	}
}

// put stores the record of a change of one range. It succeeds only once it is
// stored.
func (q *quarantine) put(ctx context.Context, lease string, c dispatch.Change, reason string) error {
	r := record{
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
	}
	body, err := json.Marshal(r)
	if err != nil {
		return fmt.Errorf("encode quarantine record: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, quarantineTimeout)
	defer cancel()
	reply, err := q.container.UpsertItem(ctx, azcosmos.NewPartitionKeyString(r.ID), body, nil)
	if err == nil && reply.RequestCharge <= 0 {
		err = errors.New("the reply is not the account's") // which says what a request has cost
	}
	if err != nil {
		return fmt.Errorf("store quarantine record: %w", err)
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	q.records[r.ID] = r
	return nil
}

// forget drops the record of a key that is no longer at fault, if there is one,
// and returns its id. A stored copy that is not deleted ends by its time to live;
// until then it holds for its one version alone.
func (q *quarantine) forget(lease string, k dispatch.Key) (id string, known bool) {
	id = q.id(lease, k)
	q.mu.Lock()
	defer q.mu.Unlock()
	_, known = q.records[id]
	delete(q.records, id)
	return id, known
}

func (q *quarantine) remove(ctx context.Context, id string) {
	ctx, cancel := context.WithTimeout(ctx, quarantineTimeout)
	defer cancel()
	_, _ = q.container.DeleteItem(ctx, azcosmos.NewPartitionKeyString(id), id, nil)
}

// load reads the stored records of one range: those of its partitions, and those
// without a partition that its own lease has brought.
func (q *quarantine) load(ctx context.Context, lease string, owns func(partition string) bool) ([]record, error) {
	ctx, cancel := context.WithTimeout(ctx, quarantineTimeout)
	defer cancel()
	pager := q.container.NewQueryItemsPager(
		"SELECT * FROM c WHERE STARTSWITH(c.id, @prefix)", azcosmos.NewPartitionKey(),
		&azcosmos.QueryOptions{QueryParameters: []azcosmos.QueryParameter{{Name: "@prefix", Value: q.prefix}}})
	var out []record
	for pager.More() {
		page, err := pager.NextPage(ctx)
		if err != nil {
			return nil, fmt.Errorf("read quarantine records: %w", err)
		}
		for _, item := range page.Items {
			var r record
			if json.Unmarshal(item, &r) != nil || r.Kind != quarantineKind {
				continue
			}
			if r.Partition == "" && r.Lease == lease || r.Partition != "" && owns(r.Partition) {
				r.Lease = lease
				out = append(out, r)
			}
		}
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, r := range out {
		q.records[r.ID] = r
	}
	return out, nil
}

// leave drops the records of a range that is not held any more.
func (q *quarantine) leave(lease string) {
	q.drop(func(r record) bool { return r.Lease == lease })
}

// expired drops the records of a range whose stored copies have ended, and
// returns their keys.
func (q *quarantine) expired(lease string, now time.Time) []dispatch.Key {
	return q.drop(func(r record) bool { return r.Lease == lease && now.Sub(r.At) > q.ttl })
}

func (q *quarantine) drop(which func(record) bool) []dispatch.Key {
	q.mu.Lock()
	defer q.mu.Unlock()
	var keys []dispatch.Key
	for id, r := range q.records {
		if which(r) {
			keys = append(keys, dispatch.Key{Partition: r.Partition, ID: r.DocumentID})
			delete(q.records, id)
		}
	}
	return keys
}

// list returns the records known to this replica, oldest first.
func (q *quarantine) list() []status.Quarantined {
	q.mu.Lock()
	defer q.mu.Unlock()
	out := make([]status.Quarantined, 0, len(q.records))
	for _, r := range q.records {
		out = append(out, status.Quarantined{
			Partition: r.Partition, ID: r.DocumentID, ETag: r.ETag, LSN: r.LSN,
			Reason: r.Reason, At: r.At, Instance: r.Instance,
		})
	}
	sort.Slice(out, func(i, j int) bool { return out[i].At.Before(out[j].At) })
	return out
}

// id names the record of a key: a hash, since a hostile id may hold anything. A
// key without a partition means something in its range alone.
func (q *quarantine) id(lease string, k dispatch.Key) string {
	if k.Partition != "" {
		lease = ""
	}
	sum := sha256.Sum256([]byte(lease + "\x00" + k.Partition + "\x00" + k.ID))
	return q.prefix + hex.EncodeToString(sum[:16])
}

// putAside is the dispatcher's Quarantine. It logs once stored, so that a
// document is never both silent and skipped.
func (t *tenure) putAside(ctx context.Context, c dispatch.Change, reason string) error {
	if err := t.quarantine.put(ctx, t.lease.Token(), c, reason); err != nil {
		t.quarantineOutage.begin(err)
		return err
	}
	t.quarantineOutage.over()
	t.metrics.quarantined.Inc()
	t.log.Error("document quarantined", zap.String(logkey.SubscriptionID, c.Partition),
		zap.String(logkey.DocumentID, c.ID), zap.String(logkey.ETag, c.ETag),
		zap.Int64(logkey.LSN, c.LSN), zap.String(logkey.Reason, reason))
	return nil
}

// release takes a document that is well again out of quarantine. Its stored
// record is deleted by removeRecords, or else by its time to live.
func (t *tenure) release(k dispatch.Key) {
	id, known := t.quarantine.forget(t.lease.Token(), k)
	if !known {
		return
	}
	select {
	case t.wellAgain <- id:
	default:
	}
}

func (t *tenure) removeRecords(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case id := <-t.wellAgain:
			t.quarantine.remove(ctx, id)
		}
	}
}

// restoreQuarantine settles what earlier tenures have put aside. Without the
// records such documents would merely be tried once more.
func (t *tenure) restoreQuarantine(ctx context.Context) {
	records, err := t.quarantine.load(ctx, t.lease.Token(), t.owns)
	if err != nil {
		if ctx.Err() == nil {
			t.log.Warn("quarantine records not read", logkey.Error(err))
		}
		return
	}
	for _, r := range records {
		t.dispatcher.Settle(dispatch.Key{Partition: r.Partition, ID: r.DocumentID}, r.ETag, r.Reason)
	}
	if len(records) > 0 {
		t.log.Info("quarantined documents known", zap.Int("count", len(records)))
	}
}

// expireQuarantine forgets what has been in quarantine for its whole time.
func (t *tenure) expireQuarantine() {
	for _, k := range t.quarantine.expired(t.lease.Token(), time.Now()) {
		t.dispatcher.Recheck(k, "")
	}
}
