package operations

import (
	"context"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"go.uber.org/zap"

	"opfeed/internal/logkey"
	"opfeed/processor/dispatch"
)

const (
	// orphanSearch is how often the partition of an orphan is searched whole again.
	orphanSearch = time.Hour
	// orphanLag is how far a query may lag, and the database's clock be behind
	// ours, without an operation being missed until the next whole search.
	orphanLag = 5 * time.Minute
	// maxPartitions bounds one query.
	maxPartitions = 100

	endedOperations = `SELECT c.id, c.partitionKey, c.properties.status, c.properties.operationId, c.properties.resourceId, c.resourceID FROM c` +
		` WHERE ` + isOperation + ` AND ` + notDeleted + ` AND ` + ended + ` AND `
	endedIn    = endedOperations + `ARRAY_CONTAINS(@partitions, c.partitionKey)`
	endedSince = endedOperations + `c._ts >= @since`
)

// orphans are the links that were found to name no operation. They may stay so
// for ever, and must not cost a query each time they are listed; but any of them
// may come to name one that has ended, without its resource being changed. What
// is remembered is up to when that has not happened, so that one query for what
// was written since does for all of them.
type orphans struct {
	mu    sync.Mutex
	known map[linkKey]orphan // replaced as a whole
}

// orphan is a link that names no operation.
type orphan struct {
	asked    time.Time               // no operation of that name had ended by then
	searched time.Time               // when its partition was last searched whole
	logged   map[dispatch.Key]string // resources that have it, with their ETags
}

func (o *orphans) all() map[linkKey]orphan {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.known
}

func (o *orphans) replace(known map[linkKey]orphan) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.known = known
}

// followable returns those of the links, which name no active operation, whose
// operation has ended. The others are orphans: logged once per version of their
// resource, and counted.
func (h *Handler) followable(ctx context.Context, session string, links map[linkKey][]dispatch.Change) ([]dispatch.Change, error) {
	now, known := time.Now(), h.orphans.all()
	searches, searched := orphanSearches(known, links, now)
	var list []dispatch.Change
	for _, s := range searches {
		s.session = session
		err := query(ctx, h.cfg, h.deps.Resources, s, func(row []byte) {
			o, _ := parseObject(row)
			key := linkKey{o.string("partitionKey"), strings.ToLower(operationName(document{envelope: o, properties: o, id: o.string("id")}))}
			list = append(list, links[key]...)
			delete(links, key)
		})
		if err != nil {
			return nil, err
		}
	}
	left, count := map[linkKey]orphan{}, 0
	for key, resources := range links {
		o := orphan{asked: now, searched: known[key].searched, logged: map[dispatch.Key]string{}}
		if searched[key.partition] {
			o.searched = now
		}
		for _, c := range resources {
			count++
			if known[key].logged[c.Key] != c.ETag {
				h.orphaned(key, c)
			}
			o.logged[c.Key] = c.ETag
		}
		left[key] = o
	}
	h.orphans.replace(left)
	h.metrics.orphans.Set(float64(count))
	return list, nil
}

// orphanSearches are the queries that find what has ended of links: whole
// partitions for those that are new or were not searched for long, and all that
// was written since they were last asked for the others.
func orphanSearches(known map[linkKey]orphan, links map[linkKey][]dispatch.Change, now time.Time) (list []search, searched map[string]bool) {
	searched = map[string]bool{}
	for key := range links {
		if now.Sub(known[key].searched) >= orphanSearch {
			searched[key.partition] = true
		}
	}
	var since time.Time
	for key := range links {
		if asked := known[key].asked; !searched[key.partition] && (since.IsZero() || asked.Before(since)) {
			since = asked
		}
	}
	find := func(text, name string, value any) {
		list = append(list, search{text: text, parameters: parameters{{Name: "@lower", Value: terminalsLower}, {Name: name, Value: value}}})
	}
	for partitions := range slices.Chunk(slices.Sorted(maps.Keys(searched)), maxPartitions) {
		find(endedIn, "@partitions", partitions)
	}
	if !since.IsZero() {
		find(endedSince, "@since", since.Add(-orphanLag).Unix())
	}
	return list, searched
}

func (h *Handler) orphaned(key linkKey, c dispatch.Change) {
	h.metrics.leftAlone.WithLabelValues(reasonNoOperation).Inc()
	h.log.Info("resource names an operation that does not exist",
		zap.String(logkey.SubscriptionID, clip(c.Partition, maxLogged)), zap.String(logkey.DocumentID, clip(c.ID, maxLogged)),
		zap.String(logkey.OperationID, clip(key.name, maxLogged)), zap.Stringer(logkey.Source, c.Source))
}
