package operations

import (
	"context"
	"fmt"
	"net/http"

	"github.com/Azure/azure-sdk-for-go/sdk/data/azcosmos"
)

// maxBatch is how many documents the service takes in one batch.
const maxBatch = 100

type verdict uint8

const (
	committed verdict = iota
	conflict          // a document is not the version it was decided from
	refused           // a patch does not fit its document
)

// commit is what became of a batch that was answered.
type commit struct {
	verdict
	etag    string // of the first document, once committed
	session string
	charge  float32
	culprit string // id of the document that decided it, unless committed
	status  int
}

// execute applies all writes or none. An error means that the outcome is not
// known, or that nothing was wrong with the writes.
func (h *Handler) execute(ctx context.Context, partition, session string, list []write) (commit, error) {
	ctx, cancel := context.WithTimeout(ctx, h.cfg.Timeout)
	defer cancel()
	batch := h.deps.Resources.NewTransactionalBatch(azcosmos.NewPartitionKeyString(partition))
	for _, w := range list {
		options := &azcosmos.TransactionalBatchItemOptions{IfMatchETag: new(w.etag)}
		if len(w.patch) == 0 {
			batch.DeleteItem(w.id, options)
		} else {
			batch.PatchItem(w.id, w.patch.operations(), options)
		}
	}
	resp, err := h.deps.Resources.ExecuteTransactionalBatch(ctx, batch, &azcosmos.TransactionalBatchOptions{SessionToken: session})
	if err != nil {
		c := commit{session: sessionOf(err, session), culprit: list[0].id}
		var sub string
		if c.status, sub = status(err); !c.judge(sub) || c.verdict == refused {
			// A refusal of the whole says nothing of a document: whatever stands
			// between us and the service may have answered it.
			return commit{}, fmt.Errorf("write batch: %w", err)
		}
		return c, nil
	}
	c := commit{session: newest(resp.SessionToken, session), charge: resp.RequestCharge}
	for i, r := range resp.OperationResults {
		if r.StatusCode < http.StatusBadRequest || r.StatusCode == http.StatusFailedDependency {
			continue
		}
		c.status = int(r.StatusCode)
		if i < len(list) && c.judge("") {
			c.culprit = list[i].id
			return c, nil
		}
		return commit{}, fmt.Errorf("write batch: document %d of %d answered with status %d", i+1, len(list), r.StatusCode)
	}
	if !resp.Success || len(resp.OperationResults) != len(list) {
		// azcosmos takes every status but 207 for success, and no body for no results.
		return commit{}, fmt.Errorf("write batch: %d results for %d documents: %w", len(resp.OperationResults), len(list), errForeign)
	}
	c.etag = string(resp.OperationResults[0].ETag)
	return c, nil
}

// judge sets the verdict for a status that says something about the documents.
func (c *commit) judge(substatus string) (known bool) {
	switch c.status {
	case http.StatusPreconditionFailed:
		c.verdict = conflict
	case http.StatusNotFound:
		// Gone meanwhile: which of them, the next read tells.
		if !ofItem(substatus) {
			return false
		}
		c.verdict = conflict
	case http.StatusBadRequest, http.StatusRequestEntityTooLarge:
		c.verdict = refused
	default:
		return false
	}
	return true
}
