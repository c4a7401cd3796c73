package cosmosemu

import (
	"net/http"
)

// operation is one read or write of one item: a request of its own, or a part
// of a batch. It is prepared outside the partition's lock and runs inside.
type operation struct {
	kind        string
	id          string
	item        *item  // create, upsert, replace
	patch       *patch // patch
	ifMatch     string
	ifNoneMatch string
}

// result is the outcome of an operation that succeeded.
type result struct {
	status   int
	document *document // nil: there is none to show
	charge   float64
}

// checkBody refuses a body that belongs to another item.
func (o *operation) checkBody(key partitionKey) error {
	if o.item == nil {
		return nil
	}
	if !o.item.key.equal(key) {
		return refuse(http.StatusBadRequest, "the partition key of the item differs from that of the request").
			because(substatusPartitionKeyMismatch)
	}
	if o.id == "" {
		o.id = o.item.id
	}
	if o.id != o.item.id {
		return refuse(http.StatusBadRequest, "the id of the item differs from that of the request")
	}
	return nil
}

// run does the operation as a step of a transaction.
func (o *operation) run(tx *transaction, key partitionKey, epk string) (result, error) {
	at := itemKey{key.key(), o.id}
	prices := tx.partition.owner.account.prices()
	old := tx.read(at)
	if err := o.checkVersion(old); err != nil {
		return result{}, err
	}
	switch o.kind {
	case kindRead:
		return result{http.StatusOK, old, prices.read(old.size())}, nil
	case kindDelete:
		tx.remove(at)
		return result{http.StatusNoContent, nil, prices.remove(old.size(), old.properties)}, nil
	}
	it := o.item
	if o.patch != nil {
		var err error
		if it, err = o.patch.apply(tx.partition.owner.definition.Load(), old, key); err != nil {
			return result{}, err
		}
	}
	d := tx.write(at, epk, it)
	switch {
	case old == nil:
		return result{http.StatusCreated, d, prices.create(d.size(), d.properties)}, nil
	case o.patch != nil:
		return result{http.StatusOK, d, prices.patch(d.size(), d.properties, len(o.patch.operations))}, nil
	default:
		return result{http.StatusOK, d, prices.rewrite(d.size(), d.properties)}, nil
	}
}

// checkVersion compares what is there with what the operation expects.
func (o *operation) checkVersion(old *document) error {
	if old == nil {
		return o.checkAbsent()
	}
	switch {
	case o.kind == kindCreate:
		return refuse(http.StatusConflict, "an item with the id %q exists in this partition key", o.id)
	case o.ifMatch != "" && o.ifMatch != "*" && o.ifMatch != old.etag:
		return refuse(http.StatusPreconditionFailed, "the item's version is %s, not %.100q", old.etag, o.ifMatch)
	case o.ifNoneMatch == "*" || o.ifNoneMatch == old.etag:
		if o.kind == kindRead {
			return &notModified{old}
		}
		return refuse(http.StatusPreconditionFailed, "the item's version is %s", old.etag)
	default:
		return nil
	}
}

func (o *operation) checkAbsent() error {
	switch o.kind {
	case kindCreate, kindUpsert: // the service ignores an upsert's If-Match then
		return nil
	default:
		return refuse(http.StatusNotFound, "the item %q does not exist", o.id)
	}
}

// notModified is the answer to a read of the version that the client has.
type notModified struct{ document *document }

func (*notModified) Error() string { return "not modified" }
