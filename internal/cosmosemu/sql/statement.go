package sql

import (
	"maps"
	"slices"
	"strings"
	"time"
)

// Statement is a query with values for its parameters, ready to run. It is
// safe for concurrent use.
type Statement struct {
	query      *Query
	parameters map[string]any
	now        time.Time
	top        int
	offset     int
	limit      int
}

// Bind gives the parameters their values, by name with the @. For the functions of
// time it is now.
func (q *Query) Bind(parameters map[string]any, now time.Time) (*Statement, error) {
	for _, name := range q.parameters {
		if _, ok := parameters[name]; !ok {
			return nil, span{}.refuse(codeIdentifier, "The parameter '%s' has no value.", name)
		}
	}
	s := &Statement{query: q, parameters: maps.Clone(parameters), now: now}
	for _, count := range []struct {
		from bound
		to   *int
	}{{q.top, &s.top}, {q.offset, &s.offset}, {q.limit, &s.limit}} {
		*count.to = -1
		if count.from.of == nil {
			continue
		}
		value, ok := count.from.of.eval(&row{parameters: parameters}).(float64)
		if !ok || value < 0 || value != float64(int32(value)) {
			return nil, span{}.refuse(codeSyntax, "TOP, OFFSET and LIMIT take whole numbers.")
		}
		*count.to = int(value)
	}
	return s, nil
}

// From reports whether the query is about documents. Without FROM it is about
// one row, nil: SELECT 1.
func (s *Statement) From() bool { return s.query.from != span{} }

// Filters reports whether there is a WHERE.
func (s *Statement) Filters() bool { return s.query.where != nil }

// Matches reports whether WHERE is true for the document.
func (s *Statement) Matches(document any) bool {
	return s.query.where == nil || s.query.where.eval(s.row(document)) == true
}

// Star reports whether documents are selected as they are: SELECT *.
func (s *Statement) Star() bool { return s.query.selected.star }

// Distinct reports whether of equal rows only the first is to be shown, see
// Canonical.
func (s *Statement) Distinct() bool { return s.query.selected.distinct }

// Select returns what a document that matches is shown as. It is false for
// SELECT VALUE of something undefined, which is no row.
func (s *Statement) Select(document any) (any, bool) {
	return s.query.selected.of(s.row(document))
}

func (s *selection) of(r *row) (any, bool) {
	switch {
	case s.star:
		return r.document, true
	case s.value != nil:
		value := s.value.eval(r)
		return value, !isUndefined(value)
	default:
		return object{s.names, s.fields}.eval(r), true
	}
}

// Aggregates reports whether all rows become one, see Aggregation.
func (s *Statement) Aggregates() bool { return len(s.query.aggregates) > 0 }

// Aggregation adds up documents. It is not safe for concurrent use.
type Aggregation struct {
	statement *Statement
	tallies   []tally
}

// Aggregation starts without a document.
func (s *Statement) Aggregation() *Aggregation {
	a := &Aggregation{statement: s}
	for _, aggregate := range s.query.aggregates {
		a.tallies = append(a.tallies, aggregate.newTally())
	}
	return a
}

// Add adds a document that matches.
func (a *Aggregation) Add(document any) {
	r := a.statement.row(document)
	for i, aggregate := range a.statement.query.aggregates {
		if value := aggregate.argument.eval(r); !isUndefined(value) {
			a.tallies[i].add(value)
		}
	}
}

// Result is the one row. It is false if that is undefined.
func (a *Aggregation) Result() (any, bool) {
	r := a.statement.row(nil)
	for _, t := range a.tallies {
		r.results = append(r.results, t.result())
	}
	return a.statement.query.selected.of(r)
}

// Window is how many rows to leave out and how many to take at most; a
// negative maximum means all.
func (s *Statement) Window() (skip, maximum int) {
	if s.top >= 0 {
		return 0, s.top
	}
	return max(s.offset, 0), s.limit
}

// NeedsWholeResult reports whether the parts that several partitions return
// cannot simply be put one after the other. It names the clause.
func (s *Statement) NeedsWholeResult() (clause string, needs bool) {
	switch q := s.query; {
	case q.order != nil:
		return "ORDER BY", true
	case len(q.aggregates) > 0:
		return q.aggregates[0].name, true
	case q.selected.distinct:
		return "DISTINCT", true
	case q.top.of != nil:
		return "TOP", true
	case q.limit.of != nil:
		return "OFFSET LIMIT", true
	default:
		return "", false
	}
}

// FilterPaths returns the properties that WHERE looks at, by the names that lead
// to each, in the order of the text and perhaps more than once.
func (s *Statement) FilterPaths() [][]string { return s.query.paths }

// Equals returns the constant that WHERE demands of a property: no document
// with another value can match. It is false if there is no such constant.
func (s *Statement) Equals(names []string) (any, bool) {
	return s.equals(s.query.where, names)
}

func (s *Statement) equals(e expression, names []string) (any, bool) {
	switch e := e.(type) {
	case and:
		if value, ok := s.equals(e.left, names); ok {
			return value, true
		}
		return s.equals(e.right, names)
	case binary:
		if e.operator != "=" {
			return nil, false
		}
		for _, sides := range [][2]expression{{e.left, e.right}, {e.right, e.left}} {
			if found, ok := path(sides[0]); ok && slices.Equal(found, names) && isConstant(sides[1]) {
				return sides[1].eval(s.row(nil)), true
			}
		}
	}
	return nil, false
}

// Mentions returns texts of which WHERE demands one: no document matches that has
// none of them, whatever the case of its letters, as the value of some property
// that is not the system's or, if the text ends with a slash, as the beginning of
// one. None: there is no such demand.
func (s *Statement) Mentions() []string {
	if s.query.where == nil {
		return nil
	}
	return s.mentions(s.query.where)
}

func (s *Statement) mentions(e expression) []string {
	switch e := e.(type) {
	case and:
		if left := s.mentions(e.left); left != nil {
			return left
		}
		return s.mentions(e.right)
	case or:
		left, right := s.mentions(e.left), s.mentions(e.right)
		if left == nil || right == nil {
			return nil
		}
		return slices.Concat(left, right)
	case binary:
		if e.operator == "=" {
			return s.mentioned(e.left, e.right)
		}
	case call:
		switch e.function.name {
		case "STRINGEQUALS":
			return s.mentioned(e.arguments[0], e.arguments[1])
		case "STARTSWITH":
			if !isConstant(e.arguments[1]) {
				return nil
			}
			if texts := s.mentioned(e.arguments[0], e.arguments[1]); len(texts) == 1 && strings.HasSuffix(texts[0], "/") {
				return texts
			}
		}
	}
	return nil
}

// mentioned is the text that one side has to be if the other is a property.
func (s *Statement) mentioned(a, b expression) []string {
	for _, sides := range [][2]expression{{a, b}, {b, a}} {
		names, ok := path(sides[0])
		if !ok || len(names) == 0 || strings.HasPrefix(names[0], "_") || !isConstant(sides[1]) {
			continue
		}
		if value, ok := sides[1].eval(s.row(nil)).(string); ok {
			return []string{value}
		}
	}
	return nil
}

func isConstant(e expression) bool {
	switch e.(type) {
	case literal, parameter:
		return true
	default:
		return false
	}
}

func (s *Statement) row(document any) *row {
	return &row{document: document, parameters: s.parameters, now: s.now}
}
