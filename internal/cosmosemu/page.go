package cosmosemu

import (
	"bytes"
	"cmp"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"opfeed/internal/cosmosemu/sql"
	"opfeed/internal/epk"
)

// page is one answer to a query in the making.
type page struct {
	statement *sql.Statement
	from      *continuation
	items     int
	documents [][]byte
	bytes     int
	next      *continuation // nil: the end
	wanted    []uint32      // hashes of Statement.Mentions; nil: not known yet
}

// runQuery answers with one page. Rows come in the order of creation, or in
// that of ORDER BY. A page without ORDER BY is of one segment, see continuation.
func (s *Server) runQuery(x *exchange, c *container, scope *queryScope, statement *sql.Statement) (*reply, error) {
	from, err := x.continued(c)
	if err != nil {
		return nil, err
	}
	pg := &page{statement: statement, from: from}
	if pg.items, err = x.maxItems(); err != nil {
		return nil, err
	}
	routes := c.routes(x.now)
	_, ordered := statement.NeedsWholeResult()
	low, high, after := scope.low, scope.high, uint64(0)
	if !ordered {
		low, high = scope.segment(from, routes)
		after = from.Serial
	}
	owners := routes.between(low, high)
	for _, p := range owners {
		if err := x.admit(p); err != nil {
			return nil, err
		}
	}
	documents, err := scope.gather(x, owners, low, high, after)
	if err != nil {
		return nil, err
	}
	switch {
	case statement.Aggregates():
		pg.aggregate(documents)
	case ordered:
		pg.sorted(documents)
	default:
		pg.plain(documents)
		if pg.next != nil {
			pg.next.Min, pg.next.Max = low, high
		} else if epk.Compare(high, scope.high) < 0 {
			pg.next = &continuation{Query: from.Query, Min: high}
		}
	}
	return s.queryReply(x, c.rid, "Documents", pg, s.pageCharge(x, pg, len(owners))), nil
}

// pageCharge is the price of a page of a query, or of the plain list of items.
func (s *Server) pageCharge(x *exchange, pg *page, partitions int) float64 {
	if x.isQuery() {
		return s.prices().query(partitions, pg.bytes)
	}
	reads := 0.0
	for _, row := range pg.documents {
		reads += s.prices().read(len(row))
	}
	return s.prices().feed(reads)
}

// segment is where in the scope a page looks: where the one before has stopped,
// or in the next range. A token that was forged leads nowhere else.
func (q *queryScope) segment(from *continuation, routes *routing) (low, high string) {
	low, high = q.low, q.high
	if epk.Compare(low, from.Min) < 0 && epk.Compare(from.Min, high) < 0 {
		low = from.Min
	}
	end := from.Max
	if end == "" {
		end = routes.of(low).max
	}
	if epk.Compare(low, end) < 0 && epk.Compare(end, high) < 0 {
		high = end
	}
	return low, high
}

// gather returns what the owners have in [low, high) and in the scope, created
// after a serial, in the order of creation.
func (q *queryScope) gather(x *exchange, owners []*partition, low, high string, after uint64) ([]*document, error) {
	var key *string
	if q.whole {
		key = &q.prefix
	}
	var all []*document
	for _, p := range owners {
		documents, lsn, err := x.list(p, key, after)
		if err != nil {
			return nil, err
		}
		if err := x.arrive(p, lsn); err != nil {
			return nil, err
		}
		cut := epk.Compare(p.min, low) < 0 || epk.Compare(high, p.max) < 0
		if !q.whole && (cut || q.prefix != "") {
			documents = slices.DeleteFunc(documents, func(d *document) bool {
				return !strings.HasPrefix(d.slot.partition, q.prefix) || !epk.Contains(low, high, d.slot.epk)
			})
		}
		if all == nil {
			all = documents // mostly all there is
		} else {
			all = append(all, documents...)
		}
	}
	if len(owners) > 1 {
		slices.SortFunc(all, bySerial)
	}
	return all, nil
}

func (s *Server) queryReply(x *exchange, rid, list string, pg *page, charge float64) *reply {
	var body bytes.Buffer
	body.WriteString(`{"_rid":"` + rid + `","` + list + `":[`)
	body.Write(bytes.Join(pg.documents, []byte(",")))
	body.WriteString(`],"_count":` + strconv.Itoa(len(pg.documents)) + `}`)
	r := &reply{status: http.StatusOK, body: body.Bytes(), charge: charge}
	r.set("x-ms-item-count", strconv.Itoa(len(pg.documents)))
	if pg.next != nil {
		r.set("x-ms-continuation", pg.next.String())
	}
	if x.isQuery() {
		r.set("x-ms-documentdb-query-metrics",
			"totalExecutionTimeInMs=0.00;outputDocumentCount="+strconv.Itoa(len(pg.documents))+
				";outputDocumentSize="+strconv.Itoa(pg.bytes))
	}
	x.setIndexMetrics(r, pg.statement)
	return r
}

// matches does not decode a document that no WHERE wants to see, nor one that the
// WHERE cannot be true for.
func (pg *page) matches(d *document) bool {
	if !pg.statement.Filters() {
		return true
	}
	if pg.wanted == nil {
		pg.wanted = hashes(pg.statement.Mentions())
	}
	return d.mentions(pg.wanted) && pg.statement.Matches(d.value())
}

// shows reports whether a document that matches is a row.
func (pg *page) shows(d *document) bool {
	if pg.statement.Star() {
		return true
	}
	_, ok := pg.statement.Select(d.value())
	return ok
}

// add puts a document on the page, if it shows at all.
func (pg *page) add(d *document) {
	row := d.raw()
	if !pg.statement.Star() {
		value, ok := pg.statement.Select(d.value())
		if !ok {
			return
		}
		row = encode(value)
	}
	pg.documents = append(pg.documents, row)
	pg.bytes += len(row)
}

func (pg *page) full() bool {
	return len(pg.documents) >= pg.items || pg.bytes >= maxPageBytes
}

// plain fills the page in the order of creation. A full page always has a
// successor, even if that turns out to be empty.
func (pg *page) plain(documents []*document) {
	for _, d := range documents {
		if !pg.matches(d) {
			continue
		}
		pg.add(d)
		if pg.full() {
			pg.next = &continuation{Query: pg.from.Query, Serial: d.slot.serial}
			return
		}
	}
}

func (pg *page) aggregate(documents []*document) {
	total := pg.statement.Aggregation()
	for _, d := range documents {
		if pg.matches(d) {
			total.Add(d.value())
		}
	}
	if value, ok := total.Result(); ok {
		row := encode(value)
		pg.documents, pg.bytes = [][]byte{row}, len(row)
	}
}

// sortedRow is a document with its place in the order.
type sortedRow struct {
	document *document
	key      sql.Key
}

// sorted fills the page of a query that needs all rows at hand: ORDER BY,
// DISTINCT, TOP, OFFSET LIMIT.
func (pg *page) sorted(documents []*document) {
	rows := pg.rows(documents)
	skip, maximum := pg.statement.Window()
	from := pg.from
	next := continuation{Query: from.Query, Rows: from.Rows, Skipped: from.Skipped}
	if from.Serial == 0 {
		rows = rows[min(len(rows), from.Rows+from.Skipped):]
	}
	for i, row := range rows {
		if maximum >= 0 && next.Rows >= maximum {
			return
		}
		if next.Skipped < skip {
			next.Skipped++
			continue
		}
		next.Rows++
		pg.add(row.document)
		if pg.full() && i+1 < len(rows) && (maximum < 0 || next.Rows < maximum) {
			next.Serial, next.Key = row.document.slot.serial, row.key
			if pg.statement.Distinct() || len(next.String()) > maxToken {
				next.Serial, next.Key = 0, nil
			}
			pg.next = &next
			return
		}
	}
}

// rows returns what matches, in order, without what earlier pages had.
func (pg *page) rows(documents []*document) []sortedRow {
	ordered, descending := pg.statement.Ordered()
	var rows []sortedRow
	for _, d := range documents {
		if pg.matches(d) && pg.shows(d) {
			row := sortedRow{document: d}
			if ordered {
				row.key = pg.statement.Key(d.value())
			}
			rows = append(rows, row)
		}
	}
	compare := func(a, b sql.Key, first, second uint64) int {
		created := cmp.Compare(first, second)
		if descending {
			created = -created
		}
		return cmp.Or(pg.statement.Compare(a, b), created)
	}
	slices.SortFunc(rows, func(a, b sortedRow) int {
		return compare(a.key, b.key, a.document.slot.serial, b.document.slot.serial)
	})
	if pg.statement.Distinct() {
		rows = pg.distinct(rows)
	}
	if pg.from.Serial == 0 {
		return rows
	}
	return slices.DeleteFunc(rows, func(row sortedRow) bool {
		return compare(row.key, pg.from.Key, row.document.slot.serial, pg.from.Serial) <= 0
	})
}

// distinct leaves of the rows that are shown alike only the first.
func (pg *page) distinct(rows []sortedRow) []sortedRow {
	seen := map[string]bool{}
	return slices.DeleteFunc(rows, func(row sortedRow) bool {
		value, _ := pg.statement.Select(row.document.value())
		shown := sql.Canonical(value)
		again := seen[shown]
		seen[shown] = true
		return again
	})
}

// metadataFeed lists or queries databases or containers. All fit on one page.
func (s *Server) metadataFeed(x *exchange, list, rid string, objects [][]byte, statement *sql.Statement) (*reply, error) {
	if statement == nil {
		statement = selectAll
	}
	if clause, needs := statement.NeedsWholeResult(); needs {
		return nil, refuse(http.StatusBadRequest, "%s is not supported here", clause)
	}
	pg := &page{statement: statement}
	for i, object := range objects {
		d := &document{user: object, slot: &slot{serial: uint64(i + 1)}}
		if pg.matches(d) {
			pg.add(d)
		}
	}
	return s.queryReply(x, rid, list, pg, s.prices().Metadata), nil
}
