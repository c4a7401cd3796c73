package operations

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"go.uber.org/zap"

	"opfeed/cs"
	"opfeed/internal/logkey"
)

// With a resource goes what is kept below it: a cluster's node pools and external
// auths, and the companions that service providers keep beside each. They name no
// operation, so nothing else would ever end them. Front ends give a child that is
// deleted by itself, or with its cluster, an operation of its own; such a child is
// left to it.

const resourcesBelow = `SELECT * FROM c WHERE (STARTSWITH(c.resourceID, @below, true) OR STARTSWITH(c.properties.resourceId, @below, true)` +
	` OR STARTSWITH(c.properties.cosmosMetadata.resourceID, @below, true)) AND ` + notDeleted

const (
	// typesBelow begins the type of everything that lies below a cluster.
	typesBelow = typeCluster + "/"
	// typeControllers ends the types of what controllers keep of their own work.
	// They look for it after its subject has gone, and remove it themselves.
	typeControllers = "controllers"
)

// commitErasing commits list. Where that erases the very resource that op has
// deleted, what lies below goes, too: as much as fits with the list, and all else
// before it, so that whatever stops us in between, the operation has not ended and
// the next look finds the rest.
func (l *look) commitErasing(ctx context.Context, op operation, erase bool, resources []resource, list []write, skipped int) (commit, error) {
	if !erase || !op.takesChildren(resources, list) {
		return l.commit(ctx, list, skipped)
	}
	children, err := l.children(ctx, op, list)
	if err != nil {
		return commit{}, err
	}
	below, more := writes(l.writable(children), op.name, op.status, true, time.Now())
	before := max(0, len(below)-max(0, maxBatch-len(list)))
	for batch := range slices.Chunk(below[:before], maxBatch) {
		c, err := l.commit(ctx, batch, 0)
		if err != nil || c.verdict != committed {
			return c, err
		}
		l.session = c.session
		l.erasedBelow(op, c, len(batch))
	}
	c, err := l.commit(ctx, append(list, below[before:]...), skipped+more)
	if err == nil && c.verdict == committed {
		l.erasedBelow(op, c, len(below)-before)
	}
	return c, err
}

func (l *look) erasedBelow(op operation, c commit, n int) {
	if n > 0 {
		l.h.log.With(op.fields()...).Info("resources below the deleted one erased", zap.Int("resources", n),
			zap.Float32(logkey.RequestCharge, c.charge))
	}
}

// takesChildren tells whether list erases the resource that op deletes, which is
// still linked to it. A late delete whose resource was made anew meanwhile finds
// that linked to another operation, and its children are none of its business.
func (op operation) takesChildren(resources []resource, list []write) bool {
	id := op.properties.string("externalId")
	kind := kindOfID(id)
	if kind == 0 {
		return false
	}
	if ref, err := cs.ParseRef(op.internalID); op.internalID != "" && (err != nil || ref.Kind != kind) {
		return false // a node pool that is gone takes no cluster with it
	}
	list = list[:min(len(list), maxBatch)]
	return slices.ContainsFunc(resources, func(r resource) bool {
		return r.isResource(id) && r.follows(op.name) && slices.ContainsFunc(list, func(w write) bool { return w.id == r.id })
	})
}

// children finds what goes with the resource of op, but for what is in list.
func (l *look) children(ctx context.Context, op operation, list []write) ([]resource, error) {
	id := op.properties.string("externalId")
	var found []resource
	left := 0
	err := l.find(ctx, resourcesBelow, "@below", id+"/", func(r resource) {
		switch {
		case !r.isBelow(id) || slices.ContainsFunc(list, func(w write) bool { return w.id == r.id }):
		case r.followsAnother(op.name):
			left++
		default:
			found = append(found, r)
		}
	})
	if err != nil {
		return nil, fmt.Errorf("find resources below the deleted one: %w", err)
	}
	if left > 0 {
		l.h.log.With(op.fields()...).Info("resources below the deleted one are left to operations of their own", zap.Int("resources", left))
	}
	return found, nil
}

// ids are the ARM ids that a document gives itself, in lower case.
func (d document) ids() []string {
	var ids []string
	for _, id := range []string{
		d.envelope.string("resourceID"), d.properties.string("resourceId"), d.properties.object("cosmosMetadata").string("resourceID"),
	} {
		if id != "" {
			ids = append(ids, strings.ToLower(id))
		}
	}
	return ids
}

// isResource tells whether a document is the resource of that id. One that gives
// itself several ids is the resource of none.
func (r resource) isResource(id string) bool {
	ids, id := r.ids(), strings.ToLower(id)
	return len(ids) > 0 && !slices.ContainsFunc(ids, func(own string) bool { return own != id })
}

// isBelow tells whether a document is of those that go with the resource of that
// id. What is erased does not come back, so it must say nothing to the contrary.
func (r resource) isBelow(id string) bool {
	ids, below := r.ids(), strings.ToLower(id)+"/"
	return !r.deleted && strings.HasPrefix(r.resourceType, typesBelow) && !strings.HasSuffix(r.resourceType, typeControllers) &&
		len(ids) > 0 && !slices.ContainsFunc(ids, func(own string) bool { return len(own) <= len(below) || !strings.HasPrefix(own, below) })
}

// followsAnother tells whether an operation other than name is active on r.
func (r resource) followsAnother(name string) bool {
	return slices.ContainsFunc(r.links(), func(link string) bool { return !sameName(link, name) })
}

// kindOfID returns what an ARM id is the id of, 0 for nothing that is handled here.
func kindOfID(id string) cs.Kind {
	s := strings.Split(strings.ToLower(id), "/")
	if len(s) < 9 || slices.Contains(s[1:], "") || s[0] != "" || s[1] != "subscriptions" || s[3] != "resourcegroups" || s[5] != "providers" {
		return 0
	}
	switch kind := s[6] + "/" + s[7]; {
	case len(s) == 9 && kind == typeCluster:
		return cs.Cluster
	case len(s) == 11 && kind+"/"+s[9] == typeNodePool:
		return cs.NodePool
	case len(s) == 11 && kind+"/"+s[9] == typeExternalAuth:
		return cs.ExternalAuth
	}
	return 0
}
