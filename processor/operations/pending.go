package operations

import (
	"context"
	"fmt"
	"strings"
	"time"

	"opfeed/processor/dispatch"
)

const (
	linked = `SELECT c.id, c.partitionKey, c._etag, c.properties.activeOperationId AS link,` +
		` c.properties.serviceProviderProperties.activeOperationId AS newLink FROM c` +
		` WHERE (LENGTH(c.properties.activeOperationId) > 0 OR LENGTH(c.properties.serviceProviderProperties.activeOperationId) > 0)` +
		` AND ` + notDeleted

	// A status that is no string is listed as well: looking at it quarantines it.
	active = `NOT IS_DEFINED(c.properties.status) OR NOT ARRAY_CONTAINS(@terminal, c.properties.status)`

	pendingWhere = ` FROM c WHERE ` + isOperation + ` AND ` + notDeleted + ` AND (` + active + `)`

	pendingIDs = `SELECT c.id, c.partitionKey, c._etag, c._ts, c.properties.operationId, c.properties.resourceId, c.resourceID` + pendingWhere
	pendingAll = `SELECT *` + pendingWhere
)

// Pending lists, of all partitions, the operations that have not ended, and then
// the resources whose active operation is not one of those. The latter have
// Written zero. With documents the operations come with theirs. Rows that cannot
// be addressed are yielded, too: looking at them says what is wrong.
//
// Links are read first: an operation that ends between the two queries shows as
// a link without operation, which costs a look, and none is missed.
func (h *Handler) Pending(ctx context.Context, session string, documents bool, yield func(dispatch.Change)) error {
	links := map[linkKey][]dispatch.Change{}
	err := query(ctx, h.cfg, h.deps.Resources, search{text: linked, session: session}, func(row []byte) {
		o, ok := parseObject(row)
		if !ok {
			return
		}
		c := listed(o, session)
		for _, name := range []string{o.string("link"), o.string("newLink")} {
			if name != "" {
				key := linkKey{c.Partition, strings.ToLower(name)}
				links[key] = append(links[key], c)
			}
		}
	})
	if err != nil {
		return fmt.Errorf("list links: %w", err)
	}
	s := search{text: pendingIDs, session: session}
	if documents {
		s.text = pendingAll
	}
	s.parameters = append(s.parameters, parameter("@terminal", []string{Succeeded, Failed, Canceled}))
	err = query(ctx, h.cfg, h.deps.Resources, s, func(row []byte) {
		o, ok := parseObject(row)
		if !ok {
			return
		}
		c := listed(o, session)
		c.Written = o.seconds("_ts")
		d := document{envelope: o, properties: o, id: c.ID}
		if documents {
			c.Document, d.properties = row, o.object("properties")
		}
		delete(links, linkKey{c.Partition, strings.ToLower(operationName(d))})
		yield(c)
	})
	if err != nil {
		return fmt.Errorf("list operations: %w", err)
	}
	yieldOnce(links, yield)
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
func yieldOnce(links map[linkKey][]dispatch.Change, yield func(dispatch.Change)) {
	done := map[dispatch.Key]bool{}
	for _, list := range links {
		for _, c := range list {
			if !done[c.Key] {
				done[c.Key] = true
				yield(c)
			}
		}
	}
}

// seconds returns a member that counts seconds since 1970, or zero.
func (o object) seconds(name string) time.Time {
	n, err := parseInt(o[name])
	if err != nil || n <= 0 {
		return time.Time{}
	}
	return time.Unix(n, 0)
}
