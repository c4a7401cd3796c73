package sql

import (
	"math"
	"slices"
	"strconv"
	"strings"
)

// Plan tells a client how to put the answers of several partitions together. Its
// JSON is the queryInfo of the service's query plan, as far as SDKs read it; the
// text of Rewritten follows the service's in form, but not to the letter.
type Plan struct {
	Distinct           string            `json:"distinctType"` // None, Ordered, Unordered
	Top                *int              `json:"top"`
	Offset             *int              `json:"offset"`
	Limit              *int              `json:"limit"`
	OrderBy            []string          `json:"orderBy"` // Ascending, Descending
	OrderByExpressions []string          `json:"orderByExpressions"`
	GroupByExpressions []string          `json:"groupByExpressions"` // always empty
	GroupByAliases     []string          `json:"groupByAliases"`
	Aggregates         []string          `json:"aggregates"` // of SELECT VALUE
	AliasToAggregate   map[string]string `json:"groupByAliasToAggregateType"`
	Rewritten          string            `json:"rewrittenQuery"` // to send to each partition; empty: the query as it is
	SelectValue        bool              `json:"hasSelectValue"`
}

// orderByFilter is what a client replaces by true, or by where it goes on.
const orderByFilter = "({documentdb-formattableorderbyquery-filter})"

// aggregateTypes are the names that plans have for aggregates.
var aggregateTypes = map[string]string{"COUNT": "Count", "SUM": "Sum", "AVG": "Average", "MIN": "Min", "MAX": "Max"}

// Plan is an error for an aggregate that is part of an expression: clients can
// add up aggregates only as they are.
func (s *Statement) Plan() (*Plan, error) {
	q := s.query
	plan := &Plan{
		Distinct: "None", OrderBy: []string{}, OrderByExpressions: []string{}, GroupByExpressions: []string{},
		GroupByAliases: []string{}, Aggregates: []string{}, AliasToAggregate: map[string]string{},
		SelectValue: q.selected.value != nil,
	}
	for bound, value := range map[**int]int{&plan.Top: s.top, &plan.Offset: s.offset, &plan.Limit: s.limit} {
		if value >= 0 {
			*bound = &value
		}
	}
	for _, item := range q.order {
		direction := "Ascending"
		if item.descending {
			direction = "Descending"
		}
		plan.OrderBy = append(plan.OrderBy, direction)
		plan.OrderByExpressions = append(plan.OrderByExpressions, q.part(item.at))
	}
	switch {
	case len(q.aggregates) > 0:
		return plan, s.planAggregates(plan)
	case q.selected.distinct && q.ordersItsSelection():
		plan.Distinct = "Ordered"
	case q.selected.distinct:
		plan.Distinct = "Unordered"
	}
	switch {
	case len(q.order) > 0:
		plan.Rewritten = s.rewriteOrdered()
	case q.limit.of != nil:
		plan.Rewritten = s.rewritten(q.part(span{q.start, q.selected.end}))
	}
	return plan, nil
}

// ordersItsSelection reports whether equal rows are next to each other.
func (q *Query) ordersItsSelection() bool {
	fields := q.selected.fields
	if q.selected.value != nil {
		fields = []expression{q.selected.value}
	}
	if len(fields) != 1 || len(q.order) == 0 {
		return false
	}
	selected, ok := path(fields[0])
	first, _ := path(q.order[0].of)
	return ok && slices.Equal(selected, first)
}

func (s *Statement) planAggregates(plan *Plan) error {
	q := s.query
	fields := q.selected.fields
	if plan.SelectValue {
		fields = []expression{q.selected.value}
	}
	var parts []string
	for i, field := range fields {
		of, ok := field.(aggregated)
		if !ok {
			return q.selected.spans[i].refuse(codeSyntax, "Compositions of aggregates and other expressions are not allowed.")
		}
		kind, part := aggregateTypes[q.aggregates[of.number].name], q.partial(&q.aggregates[of.number])
		if plan.SelectValue {
			plan.Aggregates = []string{kind}
			plan.Rewritten = s.rewritten("SELECT VALUE [" + part + "]")
			return nil
		}
		name := q.selected.names[i]
		plan.GroupByAliases = append(plan.GroupByAliases, name)
		plan.AliasToAggregate[name] = kind
		parts = append(parts, Canonical(name)+": "+part)
	}
	plan.Rewritten = s.rewritten("SELECT {" + strings.Join(parts, ", ") + "} AS payload")
	return nil
}

// partial is what each partition returns for an aggregate.
func (q *Query) partial(a *aggregate) string {
	of := "(" + q.part(a.at) + ")"
	switch a.name {
	case "AVG":
		return `{"item": {"sum": SUM` + of + `, "count": COUNT` + of + `}}`
	case "MIN", "MAX":
		name := Canonical(strings.ToLower(a.name))
		return `{"item": ` + a.name + of + `, "item2": {` + name + ": " + a.name + of + `, "count": COUNT` + of + `}}`
	default:
		return `{"item": ` + a.name + of + `}`
	}
}

// rewriteOrdered shows what the client sorts by beside what it returns.
func (s *Statement) rewriteOrdered() string {
	q := s.query
	var text strings.Builder
	text.WriteString("SELECT ")
	if q.selected.distinct {
		text.WriteString("DISTINCT ")
	}
	if s.top >= 0 {
		text.WriteString("TOP " + strconv.Itoa(s.top) + " ")
	}
	items := make([]string, len(q.order))
	for i, item := range q.order {
		items[i] = `{"item": ` + q.part(item.at) + `}`
	}
	text.WriteString(q.alias + "._rid, [" + strings.Join(items, ", ") + "] AS orderByItems, " + q.payload() + " AS payload")
	return s.rewritten(text.String())
}

// payload is the selection as one expression.
func (q *Query) payload() string {
	switch {
	case q.selected.star:
		return q.alias
	case q.selected.value != nil:
		return q.part(q.selected.spans[0])
	}
	fields := make([]string, len(q.selected.names))
	for i, name := range q.selected.names {
		fields[i] = Canonical(name) + ": " + q.part(q.selected.spans[i])
	}
	return "{" + strings.Join(fields, ", ") + "}"
}

// rewritten is the query with another selection. Each partition must return the
// rows that OFFSET leaves out: they may be the first ones of the whole.
func (s *Statement) rewritten(selection string) string {
	q := s.query
	lines := []string{selection, q.part(q.from)}
	switch filter := q.part(q.filter); {
	case len(q.order) == 0 && q.where != nil:
		lines = append(lines, "WHERE "+filter)
	case len(q.order) > 0 && q.where != nil:
		lines = append(lines, "WHERE (("+filter+") AND "+orderByFilter+")")
	case len(q.order) > 0:
		lines = append(lines, "WHERE "+orderByFilter)
	}
	if len(q.order) > 0 {
		lines = append(lines, q.part(q.ordered))
	}
	if s.limit >= 0 {
		lines = append(lines, "OFFSET 0 LIMIT "+strconv.Itoa(min(s.offset+s.limit, math.MaxInt32)))
	}
	return strings.Join(lines, "\n")
}

func (q *Query) part(at span) string { return q.text[at.start:at.end] }
