package cosmosemu

import (
	"net/http"

	"opfeed/internal/cosmosemu/sql"
	"opfeed/internal/epk"
)

// executionInfo is the service's partitioned query execution info, by which a
// client sends a query to each partition and puts the answers together.
type executionInfo struct {
	Version int          `json:"partitionedQueryExecutionInfoVersion"`
	Info    *sql.Plan    `json:"queryInfo"`
	Ranges  []queryRange `json:"queryRanges"`
}

// queryRange is a range of effective partition keys.
type queryRange struct {
	Min            string `json:"min"`
	Max            string `json:"max"`
	IsMinInclusive bool   `json:"isMinInclusive"`
	IsMaxInclusive bool   `json:"isMaxInclusive"`
}

// planQuery answers how a query is to be spread over the partitions. It is the
// same for one partition and for many.
func (s *Server) planQuery(x *exchange) (*reply, error) {
	c, err := s.container(x)
	if err != nil {
		return nil, err
	}
	statement, err := x.parseQuery()
	if err != nil {
		return nil, err
	}
	info, err := x.executionInfo(c, statement)
	if err != nil {
		return nil, err
	}
	return &reply{status: http.StatusOK, body: encode(info), charge: s.prices().Metadata}, nil
}

func (x *exchange) executionInfo(c *container, statement *sql.Statement) (*executionInfo, error) {
	const version = 2
	plan, err := statement.Plan()
	if err != nil {
		return nil, refuseQuery(err)
	}
	d := c.definition.Load()
	key, err := x.givenKey(d)
	if err != nil {
		return nil, err
	}
	if key == nil {
		key = d.keyFrom(statement)
	}
	return &executionInfo{version, plan, []queryRange{d.queryRange(key)}}, nil
}

// queryRange is where the items of a partition key, of a prefix of one, or of
// none are. That the range of a whole key includes its maximum is how the
// service's own library describes it, from memory and not verified.
func (d *definition) queryRange(key partitionKey) queryRange {
	switch position := d.epk(key); {
	case len(key) == 0:
		return queryRange{epk.Min, epk.Max, true, false}
	case len(key) < len(d.paths):
		return queryRange{position, position + epk.Max, true, false}
	default:
		return queryRange{position, position, true, true}
	}
}

// crossPartition is the refusal of a query that the gateway does not put
// together, with the plan by which the client can.
func (x *exchange) crossPartition(c *container, statement *sql.Statement, clause string) error {
	info, err := x.executionInfo(c, statement)
	if err != nil {
		return err
	}
	f := refuse(http.StatusBadRequest, "%s It has %s.", notServed, clause).because(substatusCrossPartition)
	f.info = string(encode(info))
	return f
}
