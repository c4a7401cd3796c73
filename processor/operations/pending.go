package operations

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"opfeed/processor/dispatch"
)

const (
	linked = `SELECT c.id, c.partitionKey, c._etag, c.properties.activeOperationId AS link,` +
		` c.properties.serviceProviderProperties.activeOperationId AS newLink,` +
		` c.properties.serviceProviderProperties.revokeCredentialsOperationId AS revokeLink FROM c` +
		` WHERE (LENGTH(c.properties.activeOperationId) > 0 OR LENGTH(c.properties.serviceProviderProperties.activeOperationId) > 0` +
		` OR LENGTH(c.properties.serviceProviderProperties.revokeCredentialsOperationId) > 0)` +
		` AND ` + notDeleted

	// In whatever case it is spelled, as parseOperation reads it.
	ended = `IS_STRING(c.properties.status) AND ARRAY_CONTAINS(@lower, LOWER(c.properties.status))`

	// A status that is no string is listed as well: looking at it quarantines it.
	// Both conditions, since no index serves LOWER: the first keeps the service from
	// loading all that has ended in its usual spelling.
	active = `NOT IS_DEFINED(c.properties.status) OR NOT ARRAY_CONTAINS(@terminal, c.properties.status) AND NOT (` + ended + `)`

	// Of those that have ended. Only strings compare with a string, and an index
	// serves the comparison.
	owed = `c.properties.` + fieldNotify + ` > ""`

	pendingWhere = ` FROM c WHERE ` + isOperation + ` AND ` + notDeleted + ` AND `

	pendingIDs = `SELECT c.id, c.partitionKey, c._etag, c._ts, c.properties.status, c.properties.operationId, c.properties.resourceId, c.resourceID` + pendingWhere
	pendingAll = `SELECT *` + pendingWhere
)

// Statuses that never change again, as written and in lower case.
var (
	terminals      = []string{Succeeded, Failed, Canceled}
	terminalsLower = []string{strings.ToLower(Succeeded), strings.ToLower(Failed), strings.ToLower(Canceled)}

	endings = parameters{{Name: "@terminal", Value: terminals}, {Name: "@lower", Value: terminalsLower}} // of active
)

// Pending lists, of all partitions, the operations that have not ended or that are
// owed to ARM, and then the resources whose active operation has ended. The latter
// have Written zero. With documents the operations come with theirs. Operations that
// cannot be addressed are yielded, too: looking at them says what is wrong.
//
// Links are read first, what has ended last: an operation that ends meanwhile is
// found ended, or with the next list, and none is missed.
func (h *Handler) Pending(ctx context.Context, session string, documents bool, yield func(dispatch.Change)) error {
	links := map[linkKey][]dispatch.Change{}
	err := query(ctx, h.cfg, h.deps.Resources, search{text: linked, session: session}, func(row []byte) {
		o, ok := parseObject(row)
		if !ok {
			return
		}
		c := listed(o, session)
		names := map[string]bool{}
		for _, place := range []string{"link", "newLink", "revokeLink"} {
			names[strings.ToLower(o.string(place))] = true
		}
		for name := range names {
			if name != "" {
				key := linkKey{c.Partition, name}
				links[key] = append(links[key], c)
			}
		}
	})
	if err != nil {
		return fmt.Errorf("list links: %w", err)
	}
	s := search{text: pendingIDs, session: session, parameters: endings}
	if documents {
		s.text = pendingAll
	}
	if h.deps.Notify != nil {
		s.text += `(` + active + ` OR ` + owed + `)`
	} else {
		s.text += `(` + active + `)`
	}
	err = query(ctx, h.cfg, h.deps.Resources, s, func(row []byte) {
		o, ok := parseObject(row)
		if !ok {
			return
		}
		c := listed(o, session)
		d := document{envelope: o, properties: o, id: c.ID}
		c.Written = d.stored()
		if documents {
			c.Document, d.properties = row, o.object("properties")
		}
		if !slices.Contains(terminalsLower, strings.ToLower(d.properties.string("status"))) {
			// The links of one that is only owed are still to be followed.
			delete(links, linkKey{c.Partition, strings.ToLower(operationName(d))})
		}
		yield(c)
	})
	if err != nil {
		return fmt.Errorf("list operations: %w", err)
	}
	found, err := h.followable(ctx, session, links)
	if err != nil {
		return fmt.Errorf("list ended operations of links: %w", err)
	}
	yieldOnce(found, yield)
	return nil
}

// linkKey is an operation as a link names it.
type linkKey struct{ partition, name string }

func listed(o object, session string) dispatch.Change {
	return dispatch.Change{
		Key:  dispatch.Key{Partition: o.string("partitionKey"), ID: o.string("id")},
		ETag: o.string("_etag"), Session: session, Source: dispatch.List,
	}
}

// yieldOnce yields a resource once even if it names two operations.
func yieldOnce(list []dispatch.Change, yield func(dispatch.Change)) {
	done := map[dispatch.Key]bool{}
	for _, c := range list {
		if !done[c.Key] {
			done[c.Key] = true
			yield(c)
		}
	}
}
