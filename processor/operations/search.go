package operations

import (
	"context"
	"fmt"
)

const (
	isOperation = `(STRINGEQUALS(c.resourceType, "` + typeOperation + `", true) OR STRINGEQUALS(c.resourceType, "` + typeOperationOld + `", true))`
	notDeleted  = `(NOT IS_DEFINED(c.deletionTimestamp) OR IS_NULL(c.deletionTimestamp))`

	resourcesOfOperation = `SELECT * FROM c WHERE (STRINGEQUALS(c.properties.activeOperationId, @name, true)` +
		` OR STRINGEQUALS(c.properties.serviceProviderProperties.activeOperationId, @name, true)` +
		` OR STRINGEQUALS(c.properties.serviceProviderProperties.revokeCredentialsOperationId, @name, true)) AND ` + notDeleted

	documentsOfResource = `SELECT c.id, c.resourceType, c.deletionTimestamp FROM c WHERE (STRINGEQUALS(c.properties.resourceId, @id, true)` +
		` OR STRINGEQUALS(c.resourceID, @id, true) OR STRINGEQUALS(c.properties.cosmosMetadata.resourceID, @id, true)) AND ` + notDeleted

	// More than operationName makes that name of: it is asked of each row.
	operationsByName = `SELECT * FROM c WHERE ` + isOperation + ` AND (CONTAINS(c.properties.operationId, @name, true)` +
		` OR CONTAINS(c.properties.resourceId, @name, true) OR CONTAINS(c.resourceID, @name, true)` +
		` OR CONTAINS(c.id, @name, true)) AND ` + notDeleted
)

// find calls each for every resource of the partition that a query with one
// parameter finds. Nothing is remembered between two calls. It fails where no
// replica is as new as the session token: one that lags would hide resources, and
// the operation would end without them. Failures in a row end that, too: see
// unprovenTries.
func (l *look) find(ctx context.Context, text, parameter, value string, each func(resource)) error {
	return query(ctx, l.h.cfg, l.h.deps.Resources, search{
		text: text, partition: l.c.Partition, parameters: parameters{{Name: parameter, Value: value}},
		session: l.session, strict: l.c.Attempt < unprovenTries,
	}, func(row []byte) {
		if d, ok := parseDocument(row); ok && !d.isOperation() && !d.deleted {
			each(resource{d})
		}
	})
}

// resources finds every document of the partition that names an operation as its
// active one.
func (l *look) resources(ctx context.Context, name string) ([]resource, error) {
	if name == "" {
		return nil, nil
	}
	var list []resource
	err := l.find(ctx, resourcesOfOperation, "@name", name, func(r resource) { list = append(list, r) })
	if err != nil {
		return nil, fmt.Errorf("find resources of operation: %w", err)
	}
	return list, nil
}

// isBare tells whether the resource that an operation is about has no document
// left: none that names the operation, and none of the resource itself.
func (l *look) isBare(ctx context.Context) (bool, error) {
	linked, err := l.resources(ctx, l.op.name)
	id := l.op.properties.string("externalId")
	if err != nil || len(linked) > 0 || id == "" {
		return false, err
	}
	bare := true
	err = l.find(ctx, documentsOfResource, "@id", id, func(resource) { bare = false })
	if err != nil {
		return false, fmt.Errorf("find resource of operation: %w", err)
	}
	return bare, nil
}

// named finds the operations of a partition that a link means by name. What does
// not decode counts as active: it may be, and then it is quarantined and shown.
func (h *Handler) named(ctx context.Context, partition, name, session string) ([]operation, error) {
	var list []operation
	s := search{text: operationsByName, partition: partition, parameters: parameters{{Name: "@name", Value: name}}, session: session}
	err := query(ctx, h.cfg, h.deps.Resources, s, func(row []byte) {
		d, ok := parseDocument(row)
		if !ok || !sameName(operationName(d), name) {
			return
		}
		op, _ := parseOperation(d) // zero when at fault: no status
		list = append(list, op)
	})
	if err != nil {
		return nil, fmt.Errorf("find operation of link: %w", err)
	}
	return list, nil
}
