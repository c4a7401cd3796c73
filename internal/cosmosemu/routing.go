package cosmosemu

import (
	"net/http"
	"strings"

	"opfeed/internal/epk"
)

// routing is which partition owns which keys of a container. It is immutable: a
// change makes a new one with a higher version.
type routing struct {
	version int
	live    []*partition // in the order of keys, without gaps
}

// newRouting starts a container with one partition for all keys.
func newRouting(owner *container) *routing {
	return &routing{version: 1, live: []*partition{newPartition(owner, "0", epk.Min, epk.Max)}}
}

// of returns the owner of a key.
func (r *routing) of(key string) *partition {
	for _, p := range r.live {
		if epk.Contains(p.min, p.max, key) {
			return p
		}
	}
	return r.live[len(r.live)-1] // not reached: the live ranges have no gaps
}

// byID returns the partition with the id that a client read from pkranges,
// perhaps with the container's resource id and a comma in front.
func (r *routing) byID(id string) (*partition, error) {
	if i := strings.LastIndexByte(id, ','); i >= 0 {
		id = id[i+1:]
	}
	for _, p := range r.live {
		if p.id == id {
			return p, nil
		}
	}
	return nil, refuse(http.StatusGone, "the partition key range %q does not exist, or not any more", id).
		because(substatusRangeGone)
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
