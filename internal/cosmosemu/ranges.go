package cosmosemu

import (
	"net/http"
	"strconv"
)

// mostRanges keeps containers to what the service gives without being asked for
// more.
const mostRanges = 100

// ranges is how many a container with this throughput starts with; nil is the
// least.
func (t *throughput) ranges() int {
	const most = 10_000 // RU/s of one physical partition
	if t == nil {
		return 1
	}
	return (t.perSecond() + most - 1) / most
}

// listRanges answers with the live ranges, or 304 for a client that knows them.
// azcosmos asks until it gets that.
func (s *Server) listRanges(x *exchange) (*reply, error) {
	c, err := s.container(x)
	if err != nil {
		return nil, err
	}
	routes := c.routes(x.now)
	etag := strconv.Quote(strconv.Itoa(routes.version))
	if x.header("If-None-Match") == etag {
		r := &reply{status: http.StatusNotModified, charge: s.prices().Metadata}
		r.set("etag", etag)
		return r, nil
	}
	list := make([]any, len(routes.live))
	for i, p := range routes.live {
		lsn, err := p.position()
		if err != nil {
			return nil, err
		}
		parents := p.parents
		if parents == nil {
			parents = []string{}
		}
		list[i] = map[string]any{
			"id": p.id, "_rid": c.rid, "_self": c.self() + "pkranges/" + p.id + "/", "_etag": etag,
			"_ts":          c.definition.Load().ts,
			"minInclusive": p.min, "maxExclusive": p.max,
			"ridPrefix": i, "throughputFraction": 1 / float64(len(routes.live)), "status": "online",
			"parents": parents, "ownedArchivalPKRangeIds": []string{}, "lsn": lsn,
		}
	}
	body := encode(map[string]any{"_rid": c.rid, "PartitionKeyRanges": list, "_count": len(list)})
	r := &reply{status: http.StatusOK, body: body, charge: s.prices().Metadata}
	r.set("etag", etag)
	r.set("x-ms-item-count", strconv.Itoa(len(list)))
	return r, nil
}
