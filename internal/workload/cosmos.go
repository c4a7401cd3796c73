package workload

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/data/azcosmos"
)

// store is the front end's side of the database.
type store struct {
	resources, partitionKeys, locks *azcosmos.ContainerClient // locks nil: none
	billing                         *azcosmos.ContainerClient // only read; nil: none
}

func dialCosmos(c Config, transport policy.Transporter) (*store, error) {
	cred, err := azcosmos.NewKeyCredential(c.CosmosKey)
	if err != nil {
		return nil, fmt.Errorf("read key: %w", err)
	}
	o := &azcosmos.ClientOptions{}
	o.Telemetry.ApplicationID = frontEndAgent
	o.Transport = transport
	client, err := azcosmos.NewClientWithKey(c.CosmosURL, cred, o)
	if err != nil {
		return nil, fmt.Errorf("build client: %w", err)
	}
	s := &store{}
	if s.resources, err = client.NewContainer(c.Database, c.Resources); err != nil {
		return nil, fmt.Errorf("name container %s: %w", c.Resources, err)
	}
	if s.partitionKeys, err = client.NewContainer(c.Database, c.PartitionKeys); err != nil {
		return nil, fmt.Errorf("name container %s: %w", c.PartitionKeys, err)
	}
	if c.Billing != "" {
		if s.billing, err = client.NewContainer(c.Database, c.Billing); err != nil {
			return nil, fmt.Errorf("name container %s: %w", c.Billing, err)
		}
	}
	if c.Locks == "-" {
		return s, nil
	}
	if s.locks, err = client.NewContainer(c.Database, c.Locks); err != nil {
		return nil, fmt.Errorf("name container %s: %w", c.Locks, err)
	}
	return s, nil
}

// item is a document with the version it was read in.
type item struct {
	Document map[string]any
	ETag     azcore.ETag
}

// read returns a document of Resources; ok is false when there is none.
func (s *store) read(ctx context.Context, partition, id string) (it item, ok bool, err error) {
	r, err := s.resources.ReadItem(ctx, azcosmos.NewPartitionKeyString(partition), id, nil)
	if status(err) == http.StatusNotFound {
		return item{}, false, nil
	}
	if err != nil {
		return item{}, false, fmt.Errorf("read document %s: %w", id, err)
	}
	it.ETag = r.ETag
	if err := json.Unmarshal(r.Value, &it.Document); err != nil {
		return item{}, false, fmt.Errorf("decode document %s: %w", id, err)
	}
	return it, true, nil
}

// batch collects the writes of one transaction.
type batch struct {
	store *store
	tx    azcosmos.TransactionalBatch
	err   error
	what  []string
}

func (s *store) batch(partition string) *batch {
	return &batch{store: s, tx: s.resources.NewTransactionalBatch(azcosmos.NewPartitionKeyString(partition))}
}

func (b *batch) create(d map[string]any) {
	body, err := json.Marshal(d)
	b.err = errors.Join(b.err, err)
	b.tx.CreateItem(body, nil)
	b.what = append(b.what, "create "+text(d, "id"))
}

func (b *batch) replace(d map[string]any, etag azcore.ETag) {
	body, err := json.Marshal(d)
	b.err = errors.Join(b.err, err)
	id := text(d, "id")
	b.tx.ReplaceItem(id, body, &azcosmos.TransactionalBatchItemOptions{IfMatchETag: &etag})
	b.what = append(b.what, "replace "+id)
}

// errConflict says that a document of the batch was changed meanwhile.
var errConflict = errors.New("changed meanwhile")

func (b *batch) send(ctx context.Context) error {
	if b.err != nil {
		return fmt.Errorf("encode batch: %w", b.err)
	}
	r, err := b.store.resources.ExecuteTransactionalBatch(ctx, b.tx, nil)
	if err != nil {
		if status(err) == http.StatusPreconditionFailed {
			return errConflict
		}
		return fmt.Errorf("send batch: %w", err)
	}
	if r.Success {
		return nil
	}
	for i, op := range r.OperationResults {
		switch int(op.StatusCode) {
		case http.StatusFailedDependency, http.StatusOK, http.StatusCreated:
		case http.StatusPreconditionFailed, http.StatusNotFound:
			return errConflict
		default:
			return fmt.Errorf("send batch: %s answered %d", b.what[i], op.StatusCode)
		}
	}
	return fmt.Errorf("send batch: refused, and no operation in it says why")
}

func status(err error) int {
	var re *azcore.ResponseError
	if errors.As(err, &re) {
		return re.StatusCode
	}
	return 0
}
