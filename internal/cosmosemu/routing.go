package cosmosemu

import (
	"net/http"
	"slices"
	"strings"
	"time"

	"opfeed/internal/epk"
)

// routing is which partition owns which keys of a container. It is immutable: a
// change makes a new one.
type routing struct {
	version int          // grows when live changes
	live    []*partition // in the order of keys, without gaps
	held    []*heldSplit // of live partitions
}

// newRouting starts a container with partitions of about the same share of the
// keys that occur.
func newRouting(owner *container, ranges int) *routing {
	r := &routing{version: 1}
	low := epk.Min
	for i := range ranges {
		high := epk.Max
		if i+1 < ranges {
			high = formatKey(keySpace / uint64(ranges) * uint64(i+1))
		}
		r.live = append(r.live, newPartition(owner, owner.newRangeID(), low, high))
		low = high
	}
	return r
}

// of returns the owner of a key.
func (r *routing) of(key string) *partition {
	i, _ := slices.BinarySearchFunc(r.live, key, func(p *partition, key string) int {
		if epk.Compare(p.max, key) <= 0 {
			return -1
		}
		return 1
	})
	return r.live[min(i, len(r.live)-1)] // keys that do not occur have the last one
}

// byID returns the partition with the id that a client read from pkranges,
// perhaps with the container's resource id and a comma in front. It refuses
// what was split or merged, or is being split.
func (r *routing) byID(id string) (*partition, error) {
	if i := strings.LastIndexByte(id, ','); i >= 0 {
		id = id[i+1:]
	}
	i := slices.IndexFunc(r.live, func(p *partition) bool { return p.id == id })
	if i < 0 {
		return nil, refuse(http.StatusGone, "the partition key range %q does not exist, or not any more", id).
			because(substatusRangeGone)
	}
	if r.hold(r.live[i]) != nil {
		return nil, refuse(http.StatusGone, "the partition key range %q is being split", id).because(substatusRangeSplitting)
	}
	return r.live[i], nil
}

// between returns the partitions that own keys in [low, high).
func (r *routing) between(low, high string) []*partition {
	var list []*partition
	for _, p := range r.live {
		if epk.Compare(p.min, high) < 0 && epk.Compare(low, p.max) < 0 {
			list = append(list, p)
		}
	}
	return list
}

// hold returns the split of a partition that waits; nil if there is none.
func (r *routing) hold(p *partition) *heldSplit {
	i := slices.IndexFunc(r.held, func(h *heldSplit) bool { return h.parent == p })
	if i < 0 {
		return nil
	}
	return r.held[i]
}

// due returns a split whose hold is over; nil if there is none.
func (r *routing) due(now time.Time) *heldSplit {
	i := slices.IndexFunc(r.held, func(h *heldSplit) bool { return !h.until.IsZero() && !now.Before(h.until) })
	if i < 0 {
		return nil
	}
	return r.held[i]
}

// holding is this routing with one more split that waits.
func (r *routing) holding(h *heldSplit) *routing {
	return &routing{version: r.version, live: r.live, held: append(slices.Clone(r.held), h)}
}

// replacing is this routing with neighbours replaced by their heirs.
func (r *routing) replacing(neighbours, heirs []*partition) *routing {
	at := slices.Index(r.live, neighbours[0])
	return &routing{
		version: r.version + 1,
		live:    slices.Replace(slices.Clone(r.live), at, at+len(neighbours), heirs...),
		held: slices.DeleteFunc(slices.Clone(r.held), func(h *heldSplit) bool {
			return slices.Contains(neighbours, h.parent)
		}),
	}
}
