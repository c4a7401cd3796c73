package processor

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/data/azcosmos"

	"opfeed/internal/purpose"
	"opfeed/processor/dispatch"
)

// Record is a quarantined document as stored: a small item in the lease container,
// outside the key space of leases, with a time to live. It never holds the document.
type Record struct {
	ID         string    `json:"id"`
	TTL        int64     `json:"ttl"`   // seconds from the last write
	Kind       string    `json:"kind"`  // always "quarantine"
	Lease      string    `json:"lease"` // token of the range that brought the document
	Partition  string    `json:"documentPartition"`
	DocumentID string    `json:"documentId"`
	ETag       string    `json:"documentETag"` // the version at fault
	LSN        int64     `json:"lsn"`          // of that version; 0: the feed did not bring it
	Reason     string    `json:"reason"`
	At         time.Time `json:"at"`       // when it was put aside, UTC
	Instance   string    `json:"instance"` // replica that did so
	// Version is the record's own ETag.
	Version string `json:"_etag,omitempty"`

	session string // of the reply that brought it
}

// Key names the document; without a partition it is no document's name, but the
// engine's for one that has none.
func (r Record) Key() dispatch.Key {
	return dispatch.Key{Partition: r.Partition, ID: r.DocumentID}
}

// ErrRecordChanged says that the record is not the version that was to be removed any more.
var ErrRecordChanged = errors.New("quarantine record was changed or removed by someone else")

const (
	quarantineKind    = "quarantine"
	quarantineTimeout = 5 * time.Second // of one call
)

// Records are the stored quarantine records of one processor, of all its ranges.
// Safe for concurrent use.
type Records struct {
	container *azcosmos.ContainerClient
	prefix    string
}

// NewRecords returns the records beside the leases whose ids begin with a prefix;
// see leases.Prefix.
func NewRecords(leases *azcosmos.ContainerClient, leasePrefix string) *Records {
	return &Records{container: leases, prefix: leasePrefix + ".quarantine."}
}

// Each hands every record to yield, page by page, in no order. What was yielded
// before an error may not be all there is.
func (s *Records) Each(ctx context.Context, yield func(Record)) error {
	pager := s.container.NewQueryItemsPager(
		"SELECT * FROM c WHERE STARTSWITH(c.id, @prefix)", azcosmos.NewPartitionKey(),
		&azcosmos.QueryOptions{QueryParameters: []azcosmos.QueryParameter{{Name: "@prefix", Value: s.prefix}}})
	for pager.More() {
		if err := nextRecords(ctx, pager.NextPage, yield); err != nil {
			return fmt.Errorf("read quarantine records: %w", err)
		}
	}
	return nil
}

func nextRecords(ctx context.Context, next func(context.Context) (azcosmos.QueryItemsResponse, error), yield func(Record)) error {
	ctx, cancel := callContext(ctx)
	defer cancel()
	page, err := next(ctx)
	if err != nil {
		return err
	}
	for _, item := range page.Items {
		var r Record
		if json.Unmarshal(item, &r) != nil || r.Kind != quarantineKind {
			continue
		}
		// One that is read but cannot be written, such as of the zone +24:00, would
		// make an error of every answer that shows it.
		if _, err := r.At.UTC().MarshalText(); err != nil {
			r.At = time.Time{}
		}
		r.At = r.At.UTC()
		yield(r)
	}
	return nil
}

// Remove deletes one version of a record, and so takes its document out of
// quarantine: whoever holds its range looks at it again with its next list.
// ErrRecordChanged says that there is another version, or none.
func (s *Records) Remove(ctx context.Context, r Record) error {
	if r.Version == "" {
		return errors.New("remove quarantine record: no version to compare with")
	}
	ctx, cancel := callContext(ctx)
	defer cancel()
	version := azcore.ETag(r.Version)
	reply, err := s.container.DeleteItem(ctx, azcosmos.NewPartitionKeyString(r.ID), r.ID, &azcosmos.ItemOptions{IfMatchEtag: &version})
	if e, ok := errors.AsType[*azcore.ResponseError](err); ok && (e.StatusCode == http.StatusPreconditionFailed || absent(e)) {
		err = ErrRecordChanged
	}
	if err == nil && reply.RequestCharge <= 0 {
		err = errNotTheAccount
	}
	if err != nil {
		return fmt.Errorf("remove quarantine record: %w", err)
	}
	return nil
}

// errNotTheAccount: only the account says what a request has cost, and without its
// word nothing is stored and nothing removed.
var errNotTheAccount = errors.New("the reply is not the account's")

// callContext is the context of one call.
func callContext(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(purpose.With(ctx, purpose.Quarantine), quarantineTimeout)
}

// put stores a record, whatever was there, and returns it with its version.
func (s *Records) put(ctx context.Context, r Record) (Record, error) {
	body, err := json.Marshal(r)
	if err != nil {
		return r, fmt.Errorf("encode quarantine record: %w", err)
	}
	ctx, cancel := callContext(ctx)
	defer cancel()
	reply, err := s.container.UpsertItem(ctx, azcosmos.NewPartitionKeyString(r.ID), body, nil)
	if err == nil && reply.RequestCharge <= 0 {
		err = errNotTheAccount
	}
	if err != nil {
		return r, fmt.Errorf("store quarantine record: %w", err)
	}
	r.Version = string(reply.ETag)
	if reply.SessionToken != nil {
		r.session = *reply.SessionToken
	}
	return r, nil
}

// gone tells whether a record that a query did not show is not there any more. A
// replica that lags, or whatever stands between us and the account, does not prove
// it: only the account's own word under the session of the record's write does.
func (s *Records) gone(ctx context.Context, r Record) (bool, error) {
	ctx, cancel := callContext(ctx)
	defer cancel()
	options := &azcosmos.ItemOptions{}
	if r.session != "" {
		options.SessionToken = &r.session
	}
	_, err := s.container.ReadItem(ctx, azcosmos.NewPartitionKeyString(r.ID), r.ID, options)
	if e, ok := errors.AsType[*azcore.ResponseError](err); ok && absent(e) {
		return true, nil
	}
	if err != nil {
		return false, fmt.Errorf("read quarantine record: %w", err)
	}
	return false, nil
}

// absent tells whether it is the account that says that there is no such item, and
// means the item.
func absent(e *azcore.ResponseError) bool {
	if e.StatusCode != http.StatusNotFound || e.RawResponse == nil {
		return false
	}
	h := e.RawResponse.Header
	substatus := h.Get("x-ms-substatus")
	return h.Get("x-ms-request-charge") != "" && (substatus == "" || substatus == "0")
}

// id names the record of a key: a hash, since a hostile id may hold anything. A
// key without a partition means something in its range alone.
func (s *Records) id(lease string, k dispatch.Key) string {
	if k.Partition != "" {
		lease = ""
	}
	sum := sha256.Sum256([]byte(lease + "\x00" + k.Partition + "\x00" + k.ID))
	return s.prefix + hex.EncodeToString(sum[:16])
}
