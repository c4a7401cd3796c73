package cosmosemu

import (
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"time"

	"opfeed/internal/cosmosemu/sql"
	"opfeed/internal/epk"
)

// notServed is the phrase by which SDKs know that they must put the answer
// together themselves.
const notServed = "The provided cross partition query can not be directly served by the gateway. " +
	"This is a first chance (internal) exception that all newer clients will know how to handle gracefully."

// parseQuery reads {"query", "parameters"}.
func (x *exchange) parseQuery() (*sql.Statement, error) {
	if _, err := checkJSON(x.body); err != nil {
		return nil, refuse(http.StatusBadRequest, "%v", err)
	}
	var sent struct {
		Query      string `json:"query"`
		Parameters []struct {
			Name  string `json:"name"`
			Value any    `json:"value"`
		} `json:"parameters"`
	}
	if err := json.Unmarshal(x.body, &sent); err != nil {
		return nil, refuse(http.StatusBadRequest, "the query is malformed: %v", err)
	}
	query, err := sql.Parse(sent.Query)
	if err != nil {
		return nil, refuseQuery(err)
	}
	parameters := make(map[string]any, len(sent.Parameters))
	for _, p := range sent.Parameters {
		if _, twice := parameters[p.Name]; twice || !strings.HasPrefix(p.Name, "@") {
			return nil, refuse(http.StatusBadRequest, "the parameter %.100q is given twice, or its name is malformed", p.Name)
		}
		parameters[p.Name] = p.Value
	}
	statement, err := query.Bind(parameters, x.now)
	if err != nil {
		return nil, refuseQuery(err)
	}
	return statement, nil
}

// refuseQuery tells where the query is wrong in the form of the service.
func refuseQuery(err error) error {
	var malformed *sql.Error
	if errors.As(err, &malformed) {
		return refuse(http.StatusBadRequest, "%s", malformed.Report())
	}
	return err
}

// queryScope is where a query looks.
type queryScope struct {
	low, high string // effective partition keys, high not included
	prefix    string // of the partition key, see partitionKey.key
	whole     bool   // prefix is a whole key: one logical partition
}

// queryItems is POST of a query to a container's items.
func (s *Server) queryItems(x *exchange) (*reply, error) {
	c, err := s.container(x)
	if err != nil {
		return nil, err
	}
	statement, err := x.parseQuery()
	if err != nil {
		return nil, err
	}
	scope, err := x.queryScope(c, statement)
	if err != nil {
		return nil, err
	}
	if !statement.From() {
		return s.selectConstant(x, c, scope, statement)
	}
	return s.runQuery(x, c, scope, statement)
}

// selectConstant answers a query without FROM, which is about one row of
// nothing.
func (s *Server) selectConstant(x *exchange, c *container, scope *queryScope, statement *sql.Statement) (*reply, error) {
	p := c.routes(x.now).of(scope.low)
	if err := x.admit(p); err != nil {
		return nil, err
	}
	lsn, err := p.position()
	if err != nil {
		return nil, err
	}
	if err := x.arrive(p, lsn); err != nil {
		return nil, err
	}
	nothing := []*document{{user: []byte("null"), slot: &slot{}}}
	pg := &page{statement: statement, from: &continuation{}, items: 1}
	if statement.Aggregates() {
		pg.aggregate(nothing)
	} else {
		pg.sorted(nothing)
	}
	return s.queryReply(x, c.rid, "Documents", pg, s.prices().query(1, pg.bytes)), nil
}

// listItems is the plain list of a container's items.
func (s *Server) listItems(x *exchange) (*reply, error) {
	c, err := s.container(x)
	if err != nil {
		return nil, err
	}
	scope, err := x.givenScope(c)
	if err != nil {
		return nil, err
	}
	return s.runQuery(x, c, scope, selectAll)
}

var selectAll = func() *sql.Statement {
	query, err := sql.Parse("SELECT * FROM c")
	if err != nil {
		panic(err)
	}
	statement, err := query.Bind(nil, time.Time{})
	if err != nil {
		panic(err)
	}
	return statement
}()

// givenScope follows the headers: one range, one key, a key's prefix, or all.
func (x *exchange) givenScope(c *container) (*queryScope, error) {
	d := c.definition.Load()
	key, err := x.givenKey(d)
	if err != nil {
		return nil, err
	}
	scope := &queryScope{prefix: key.key(), whole: len(key) == len(d.paths)}
	scope.low, scope.high, err = x.keyRange(c, c.routes(x.now), key)
	return scope, err
}

// queryScope also finds the partition key in the query itself, and refuses what
// the service's gateway does not put together.
func (x *exchange) queryScope(c *container, statement *sql.Statement) (*queryScope, error) {
	scope, err := x.givenScope(c)
	if err != nil || scope.whole || x.header("x-ms-documentdb-partitionkeyrangeid") != "" {
		return scope, err
	}
	d := c.definition.Load()
	if key := d.keyFrom(statement); key != nil && scope.holds(key, d.epk(key)) {
		x.kind = kindQuery
		low := d.epk(key)
		return &queryScope{low: low, high: low + epk.Max, prefix: key.key(), whole: true}, nil
	}
	if scope.prefix == "" && !x.flag("x-ms-documentdb-query-enablecrosspartition") {
		return nil, refuse(http.StatusBadRequest,
			"cross partition query is required but disabled: set x-ms-documentdb-query-enablecrosspartition or a partition key")
	}
	if clause, needs := statement.NeedsWholeResult(); needs {
		return nil, x.crossPartition(c, statement, clause)
	}
	return scope, nil
}

// holds reports whether a whole partition key is in the scope.
func (q *queryScope) holds(key partitionKey, position string) bool {
	return strings.HasPrefix(key.key(), q.prefix) && epk.Contains(q.low, q.high, position)
}

// keyFrom returns the partition key that the query's WHERE demands; nil if it
// does not.
func (d *definition) keyFrom(statement *sql.Statement) partitionKey {
	key := make(partitionKey, 0, len(d.paths))
	for _, path := range d.paths {
		value, ok := statement.Equals(path)
		if !ok {
			return nil
		}
		switch value := value.(type) {
		case string:
			key = append(key, epk.String(value))
		case float64:
			key = append(key, epk.Number(value))
		case bool:
			key = append(key, epk.Bool(value))
		case nil:
			key = append(key, epk.Null)
		default:
			return nil
		}
	}
	return key
}

// epk is the position of a partition key among the container's ranges.
func (d *definition) epk(key partitionKey) string { return epk.V2(key...) }
