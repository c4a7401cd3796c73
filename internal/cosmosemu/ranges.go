package cosmosemu

import (
	"encoding/json"
	"net/http"
	"strconv"
)

// mostRanges keeps containers to what the service gives without being asked for
// more.
const mostRanges = 100

// rangesFor is how many ranges a container with so many request units per second
// starts with.
func rangesFor(throughput int) int {
	const most = 10_000 // of one physical partition
	return max(1, (throughput-1)/most+1)
}

// wantedRanges reads the throughput that a new container is to have.
func (x *exchange) wantedRanges() (int, error) {
	throughput := 0
	if text := x.header("x-ms-offer-throughput"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil {
			return 0, refuse(http.StatusBadRequest, "x-ms-offer-throughput %.50q is not a number", text)
		}
		throughput = n
	}
	if text := x.header("x-ms-cosmos-offer-autopilot-settings"); text != "" {
		var settings struct {
			MaxThroughput int `json:"maxThroughput"`
		}
		if err := json.Unmarshal([]byte(text), &settings); err != nil {
			return 0, refuse(http.StatusBadRequest, "x-ms-cosmos-offer-autopilot-settings: %v", err)
		}
		throughput = settings.MaxThroughput
	}
	ranges := rangesFor(throughput)
	if ranges > mostRanges {
		return 0, refuse(http.StatusBadRequest, "a container has at most %d partition key ranges here", mostRanges)
	}
	return ranges, nil
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
