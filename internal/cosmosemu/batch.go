package cosmosemu

import (
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"time"
)

// maxBatch is the service's limit for the operations of a batch.
const maxBatch = 100

// batchOperation is one operation as it is sent.
type batchOperation struct {
	Type        string          `json:"operationType"`
	ID          string          `json:"id"`
	Body        json.RawMessage `json:"resourceBody"`
	IfMatch     string          `json:"ifMatch"`
	IfNoneMatch string          `json:"ifNoneMatch"`
}

// batchResult is one result as it is sent.
type batchResult struct {
	Status    int             `json:"statusCode"`
	Substatus int             `json:"subStatusCode,omitempty"`
	Charge    float64         `json:"requestCharge"`
	ETag      string          `json:"eTag,omitempty"`
	Body      json.RawMessage `json:"resourceBody,omitempty"`
	Message   string          `json:"message,omitempty"`
}

// runBatch commits all operations of a batch, under one LSN, or none. If one
// fails, the answer is 207, its result has its own status, and all others have
// 424.
func (s *Server) runBatch(x *exchange) (*reply, error) {
	c, err := s.container(x)
	if err != nil {
		return nil, err
	}
	if !x.flag("x-ms-cosmos-batch-atomic") {
		return nil, refuse(http.StatusBadRequest, "batches that are not atomic are not supported")
	}
	d := c.definition.Load()
	key, err := x.wholeKey(d)
	if err != nil {
		return nil, err
	}
	sent, err := parseBatch(x.body)
	if err != nil {
		return nil, err
	}
	epk := d.epk(key)
	p := c.routes(x.now).of(epk)
	if err := x.admit(p); err != nil {
		return nil, err
	}
	operations := make([]*operation, len(sent))
	for i := range sent {
		if operations[i], err = sent[i].prepare(d, key, x.now); err != nil {
			lsn, retired := p.position()
			if retired != nil {
				return nil, retired
			}
			x.visit(p, lsn)
			return batchFailed(s, len(sent), i, err), nil
		}
	}
	x.id = joinIDs(operations)
	if err := x.touch(p, key, epk, operations...); err != nil {
		return nil, err
	}
	results := make([]result, len(operations))
	failed := 0
	lsn, err := p.commit(x.now, func(tx *transaction) error {
		for i, o := range operations {
			var err error
			if results[i], err = o.run(tx, key, epk); err != nil {
				failed = i
				return err
			}
		}
		return nil
	})
	x.visit(p, lsn)
	if errors.Is(err, errRetired) {
		return nil, err
	}
	if err != nil {
		return batchFailed(s, len(operations), failed, err), nil
	}
	return batchDone(results, x.minimal()), nil
}

func parseBatch(body []byte) ([]batchOperation, error) {
	if _, err := checkJSON(body); err != nil {
		return nil, refuse(http.StatusBadRequest, "%v", err)
	}
	var list []batchOperation
	if err := json.Unmarshal(body, &list); err != nil {
		return nil, refuse(http.StatusBadRequest, "the batch is malformed: %v", err)
	}
	if len(list) == 0 || len(list) > maxBatch {
		return nil, refuse(http.StatusBadRequest, "a batch has 1 to %d operations, not %d", maxBatch, len(list))
	}
	for i := range list {
		if batchKinds[list[i].Type] == "" {
			return nil, refuse(http.StatusBadRequest, "the operation type %.50q is not known", list[i].Type)
		}
	}
	return list, nil
}

var batchKinds = map[string]string{
	"Create": kindCreate, "Upsert": kindUpsert, "Replace": kindReplace,
	"Patch": kindPatch, "Delete": kindDelete, "Read": kindRead,
}

func (b *batchOperation) prepare(d *definition, key partitionKey, now time.Time) (*operation, error) {
	o := &operation{kind: batchKinds[b.Type], id: b.ID, ifMatch: b.IfMatch, ifNoneMatch: b.IfNoneMatch}
	var err error
	switch o.kind {
	case kindCreate, kindUpsert, kindReplace:
		if o.item, err = d.parseItem(b.Body); err != nil {
			return nil, err
		}
	case kindPatch:
		if o.patch, err = parsePatch(d, b.Body, now); err != nil {
			return nil, err
		}
	}
	if o.id == "" && o.kind != kindCreate && o.kind != kindUpsert {
		return nil, refuse(http.StatusBadRequest, "the operation %s needs an id", b.Type)
	}
	return o, o.checkBody(key)
}

func joinIDs(operations []*operation) string {
	ids := make([]string, len(operations))
	for i, o := range operations {
		ids[i] = o.id
	}
	return strings.Join(ids, ",")
}

func batchDone(results []result, minimal bool) *reply {
	r := &reply{status: http.StatusOK}
	list := make([]batchResult, len(results))
	for i, one := range results {
		list[i] = batchResult{Status: one.status, Charge: one.charge}
		if one.document != nil {
			list[i].ETag = one.document.etag
			if !minimal {
				list[i].Body = one.document.raw()
			}
		}
		r.charge += one.charge
	}
	r.body = encode(list)
	return r
}

func batchFailed(s *Server, operations, failed int, cause error) *reply {
	r := &reply{status: http.StatusMultiStatus}
	list := make([]batchResult, operations)
	for i := range list {
		list[i] = batchResult{Status: http.StatusFailedDependency, Charge: s.prices().Refused}
		if i == failed {
			list[i].fail(cause)
		}
		r.charge += s.prices().Refused
	}
	r.body = encode(list)
	return r
}

func (b *batchResult) fail(cause error) {
	if same := (*notModified)(nil); errors.As(cause, &same) {
		b.Status, b.ETag = http.StatusNotModified, same.document.etag
		return
	}
	f := asFailure(cause)
	b.Status, b.Substatus, b.Message = f.status, f.substatus, f.message
}
