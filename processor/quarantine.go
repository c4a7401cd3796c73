package processor

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
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
	records map[dispatch.Key]record
}

// record is a quarantined document as stored. It never holds the document.
type record struct {
	ID         string    `json:"id"`
	TTL        int64     `json:"ttl"`
	Kind       string    `json:"kind"` // always "quarantine"
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
		records:   map[dispatch.Key]record{},
	}
}

// put stores the record of a change. It succeeds only once it is stored.
func (q *quarantine) put(ctx context.Context, c dispatch.Change, reason string) error {
	r := record{
		ID:         q.id(c.Key),
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
	if _, err := q.container.UpsertItem(ctx, azcosmos.NewPartitionKeyString(r.ID), body, nil); err != nil {
		return fmt.Errorf("store quarantine record: %w", err)
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	q.records[c.Key] = r
	return nil
}

// forget drops the record of a key that is no longer at fault, if there is one.
// A stored copy that cannot be deleted ends by its time to live; until then it
// holds for its one version alone.
func (q *quarantine) forget(ctx context.Context, k dispatch.Key) {
	q.mu.Lock()
	r, ok := q.records[k]
	delete(q.records, k)
	q.mu.Unlock()
	if !ok {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, quarantineTimeout)
	defer cancel()
	_, _ = q.container.DeleteItem(ctx, azcosmos.NewPartitionKeyString(r.ID), r.ID, nil)
}

// load reads the stored records, for which keep decides.
func (q *quarantine) load(ctx context.Context, keep func(partition string) bool) ([]record, error) {
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
			if json.Unmarshal(item, &r) != nil || r.Kind != quarantineKind || !keep(r.Partition) {
				continue
			}
			out = append(out, r)
		}
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, r := range out {
		q.records[dispatch.Key{Partition: r.Partition, ID: r.DocumentID}] = r
	}
	return out, nil
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

// id names the record of a key: a hash, since a hostile id may hold anything.
func (q *quarantine) id(k dispatch.Key) string {
	sum := sha256.Sum256([]byte(k.Partition + "\x00" + k.ID))
	return q.prefix + hex.EncodeToString(sum[:16])
}

// putAside is the dispatcher's Quarantine. It logs once stored, so that a
// document is never both silent and skipped.
func (t *tenure) putAside(ctx context.Context, c dispatch.Change, reason string) error {
	err := t.quarantine.put(ctx, c, reason)
	if err != nil {
		t.log.Warn("quarantine record not stored, trying again", zap.String(logkey.DocumentID, c.ID), zap.Error(err))
		return err
	}
	t.metrics.quarantined.Inc()
	t.log.Error("document quarantined", zap.String(logkey.SubscriptionID, c.Partition),
		zap.String(logkey.DocumentID, c.ID), zap.String(logkey.ETag, c.ETag),
		zap.Int64(logkey.LSN, c.LSN), zap.String(logkey.Reason, reason))
	return nil
}

// restoreQuarantine settles what earlier tenures have put aside. Without the
// records such documents would merely be tried once more.
func (t *tenure) restoreQuarantine(ctx context.Context) {
	records, err := t.quarantine.load(ctx, t.owns)
	if err != nil {
		if ctx.Err() == nil {
			t.log.Warn("quarantine records not read", zap.Error(err))
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
