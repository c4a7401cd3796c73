package operations

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/data/azcosmos"
	"github.com/google/uuid"
	"go.uber.org/zap"

	"opfeed/cs"
	"opfeed/internal/logkey"
)

// Where a container for it is configured, each cluster has a document that says
// from when to when it is to be paid for. It is written before the operation ends,
// so that none ends unbilled, and in a way that can be repeated: by an id that
// follows from the cluster, and by a time that is set only where there is none.

// billingDocument is the document as the predecessor wrote it: without envelope.
type billingDocument struct {
	ID                   string    `json:"id"`
	CreationTime         time.Time `json:"creationTime"`
	Location             string    `json:"location"`
	TenantID             string    `json:"tenantId,omitempty"`
	SubscriptionID       string    `json:"subscriptionId"` // the partition key
	ResourceID           string    `json:"resourceId"`
	ManagedResourceGroup string    `json:"managedResourceGroup,omitempty"`
}

const (
	fieldDeletionTime = "deletionTime" // set: the cluster is not paid for any more

	notClosed   = `(NOT IS_DEFINED(c.deletionTime) OR IS_NULL(c.deletionTime))`
	openBilling = `SELECT c.id, c.resourceId, c.creationTime FROM c WHERE STRINGEQUALS(c.resourceId, @id, true) AND ` + notClosed
)

// Actions on billing documents, as counted.
const (
	billingCreate = "create"
	billingClose  = "close"
)

// billingNamespace is that of the ids of the newest generation's documents.
var billingNamespace = uuid.MustParse("bf1ee0a1-0147-41ed-a083-d3cbbf7bea99")

// askFacts asks what a billing document says of a cluster, when the step may
// create one: here, since no call may hold up the subscription's writes.
func (l *look) askFacts(ctx context.Context) error {
	if l.h.deps.Billing == nil || l.op.request != Create || l.kind != cs.Cluster || l.ans.Gone ||
		!strings.EqualFold(l.ans.Status.State, "ready") {
		return nil
	}
	var err error
	if l.facts, err = l.h.deps.CS.Cluster(ctx, l.ref); err == nil {
		return nil
	}
	if ctx.Err() != nil {
		return fmt.Errorf("ask cluster service for the facts of a cluster: %w", err)
	}
	l.ans.Lacks = true
	l.lacking("cluster service tells the state of a cluster, but not its facts", err)
	return nil
}

// bill does what the end of a cluster's creation or deletion asks for, before that
// end is written. again: somebody else wrote the operation, read and decide again.
func (l *look) bill(ctx context.Context, d Decision, resources []resource) (again bool, err error) {
	if l.h.deps.Billing == nil || l.kind != cs.Cluster || d.Status != Succeeded || l.billed {
		return false, nil
	}
	switch {
	case l.op.request == Create:
		again, err = l.createBilling(ctx, resources)
	case l.op.request == Delete && d.Erase:
		err = l.closeBilling(ctx, resources)
	}
	l.billed = err == nil && !again // once per look, however often it decides
	return again, err
}

// createBilling creates the document of a cluster. Not for an operation that a
// front end has ended meanwhile: the delete that superseded it may have closed all
// there was to close.
func (l *look) createBilling(ctx context.Context, resources []resource) (again bool, err error) {
	it, err := l.h.read(ctx, l.c.Partition, l.c.ID, l.session)
	switch {
	case errors.Is(err, errNotFound):
		return true, nil
	case err != nil:
		return false, err
	case it.etag != l.op.etag:
		return true, nil
	}
	resourceID := l.op.properties.string("externalId")
	if kindOfID(resourceID) != cs.Cluster {
		l.billingFailed(billingCreate, "externalId is not the id of a cluster", nil)
		return false, nil
	}
	doc := billingDocument{
		ID: l.billingID(resources), CreationTime: l.facts.Created.UTC(), Location: l.h.deps.Location,
		TenantID: cmp.Or(l.op.properties.string("tenantId"), l.facts.TenantID), SubscriptionID: l.billingPartition(), ResourceID: resourceID,
	}
	if l.facts.Created.IsZero() {
		doc.CreationTime = l.at.Add(-l.input(l.seen, l.at).age()).UTC()
	}
	if group := l.facts.ManagedResourceGroup; group != "" {
		doc.ManagedResourceGroup = "/subscriptions/" + doc.SubscriptionID + "/resourceGroups/" + group
	}
	body, err := json.Marshal(doc)
	if err != nil {
		return false, fmt.Errorf("encode billing document: %w", err)
	}
	resp, err := billingCall(ctx, l, func(ctx context.Context, key azcosmos.PartitionKey) (azcosmos.ItemResponse, error) {
		return l.h.deps.Billing.CreateItem(ctx, key, body, nil)
	})
	code, _ := status(err)
	switch {
	case err == nil:
		l.log.Info("billing document created", zap.String("billing_id", doc.ID), zap.Time("creation_time", doc.CreationTime),
			zap.Float32(logkey.RequestCharge, resp.RequestCharge))
	case code == http.StatusConflict && sentByAccount(err):
		l.log.Debug("billing document exists", zap.String("billing_id", doc.ID))
	case itemRefused(err):
		l.billingFailed(billingCreate, "cosmos db refuses the document", err)
	default:
		return false, fmt.Errorf("create billing document: %w", err)
	}
	return false, nil
}

// closeBilling says in every document of the cluster that is still open that it
// has ended. Never in that of a cluster that was made anew under the same id.
func (l *look) closeBilling(ctx context.Context, resources []resource) error {
	resourceID := l.op.properties.string("externalId")
	if kindOfID(resourceID) != cs.Cluster {
		l.billingFailed(billingClose, "externalId is not the id of a cluster", nil)
		return nil
	}
	var open []object
	s := search{text: openBilling, partition: l.billingPartition(), parameters: parameters{{Name: "@id", Value: resourceID}}}
	err := query(ctx, l.h.cfg, l.h.deps.Billing, s, func(row []byte) {
		if o, ok := parseObject(row); ok && strings.EqualFold(o.string("resourceId"), resourceID) {
			open = append(open, o)
		}
	})
	switch {
	case itemRefused(err):
		l.billingFailed(billingClose, "cosmos db refuses the query", err)
		return nil
	case err != nil:
		return fmt.Errorf("find billing documents: %w", err)
	case len(open) == 0:
		l.log.Info("no billing document to close")
	}
	for _, o := range open {
		if !l.ownBilling(o, resources) {
			continue
		}
		if err := l.closeOne(ctx, o.string("id")); err != nil {
			return err
		}
	}
	return nil
}

// ownBilling tells whether an open document is of the cluster that was deleted.
// While that is still linked to its delete, no other can have come after it.
func (l *look) ownBilling(o object, resources []resource) bool {
	if l.ownResource(resources).raw != nil || strings.EqualFold(o.string("id"), l.billingID(resources)) {
		return true
	}
	created, start := o.time("creationTime"), l.op.start
	switch {
	case created.IsZero() || start.IsZero() || start.After(l.at):
		l.billingFailed(billingClose, "it cannot be told which cluster a document is of", nil)
		return false
	case created.After(start):
		l.log.Info("billing document is of a later cluster", zap.String("billing_id", clip(o.string("id"), maxLogged)))
		return false
	}
	return true
}

func (l *look) closeOne(ctx context.Context, id string) error {
	if !addressable(id) || id == "" {
		l.billingFailed(billingClose, "a document has an id that cannot be sent", nil)
		return nil
	}
	var ops azcosmos.PatchOperations
	ops.SetCondition("FROM c WHERE " + notClosed)
	ops.AppendSet("/"+fieldDeletionTime, time.Now().UTC().Format(time.RFC3339Nano))
	_, err := billingCall(ctx, l, func(ctx context.Context, key azcosmos.PartitionKey) (azcosmos.ItemResponse, error) {
		return l.h.deps.Billing.PatchItem(ctx, key, id, ops, nil)
	})
	code, sub := status(err)
	switch {
	case err == nil:
		l.log.Info("billing document closed", zap.String("billing_id", id))
	case code == http.StatusPreconditionFailed && sentByAccount(err):
		l.log.Debug("billing document was closed by another", zap.String("billing_id", id))
	case code == http.StatusNotFound && ofItem(sub) && sentByAccount(err):
		l.log.Info("billing document is gone", zap.String("billing_id", id))
	case itemRefused(err):
		l.billingFailed(billingClose, "cosmos db refuses the change", err)
	default:
		return fmt.Errorf("close billing document: %w", err)
	}
	return nil
}

// billingCall makes one write to the container of billing documents.
func billingCall(ctx context.Context, l *look, call func(context.Context, azcosmos.PartitionKey) (azcosmos.ItemResponse, error)) (azcosmos.ItemResponse, error) {
	if err := l.trusted(unlocked); err != nil {
		return azcosmos.ItemResponse{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, l.h.cfg.Timeout)
	defer cancel()
	resp, err := call(ctx, azcosmos.NewPartitionKeyString(l.billingPartition()))
	if err == nil && resp.RequestCharge <= 0 {
		err = errForeign // only the account says what a request has cost
	}
	return resp, err
}

// billingPartition is the subscription, in the lower case in which it is the key.
func (l *look) billingPartition() string { return strings.ToLower(l.c.Partition) }

// billingID is the id of the document of one cluster, and of no other that has had
// its name: what the newest generation calls the cluster, or, where it has no such
// name, what follows from Cluster Service's id.
func (l *look) billingID(resources []resource) string {
	own := l.ownResource(resources)
	if id, err := uuid.Parse(own.properties.object("serviceProviderProperties").string("clusterUID")); err == nil {
		return id.String()
	}
	name := strings.ToLower(l.op.properties.string("externalId")) + "|" + l.ref.Cluster
	return uuid.NewSHA1(billingNamespace, []byte(name)).String()
}

// ownResource is the resource that the operation is about, zero where none that is
// linked to it is.
func (l *look) ownResource(resources []resource) resource {
	for _, r := range resources {
		if r.isResource(l.op.properties.string("externalId")) {
			return r
		}
	}
	return resource{}
}

// billingFailed says that a cluster's document needs a person. Its operation goes
// on: a customer must not wait for that.
func (l *look) billingFailed(action, reason string, err error) {
	l.h.metrics.billingFailed.WithLabelValues(action).Inc()
	fields := []zap.Field{zap.String("action", action), zap.String(logkey.Reason, reason)}
	if err != nil {
		fields = append(fields, logkey.Error(err))
	}
	l.log.Error("billing document is not as it should be", fields...)
}
