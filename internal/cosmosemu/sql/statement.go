package sql

import (
	"maps"
	"slices"
)

// Statement is a query with values for its parameters, ready to run. It is
// safe for concurrent use.
type Statement struct {
	query      *Query
	parameters map[string]any
	top        int
	offset     int
	limit      int
}

// Bind gives the parameters their values, by name with the @.
func (q *Query) Bind(parameters map[string]any) (*Statement, error) {
	for _, name := range q.parameters {
		if _, ok := parameters[name]; !ok {
			return nil, errorf("parameter %s has no value", name)
		}
	}
	s := &Statement{query: q, parameters: maps.Clone(parameters)}
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
			return nil, errorf("TOP, OFFSET and LIMIT take whole numbers")
		}
		*count.to = int(value)
	}
	return s, nil
}

// Filters reports whether there is a WHERE.
func (s *Statement) Filters() bool { return s.query.where != nil }

// Matches reports whether WHERE is true for the document.
func (s *Statement) Matches(document any) bool {
	if s.query.where == nil {
		return true
	}
	value, ok := s.query.where.eval(s.row(document)).(bool)
	return ok && value
}

// Star reports whether documents are selected as they are: SELECT *.
func (s *Statement) Star() bool { return s.query.selected.star }

// Count reports whether the query counts, see Counts and CountResult.
func (s *Statement) Count() bool { return s.query.selected.count != nil }

// Counts reports whether a document that matches is counted.
func (s *Statement) Counts(document any) bool {
	return !isUndefined(s.query.selected.count.eval(s.row(document)))
}

// CountResult is the one row of a query that counts.
func (s *Statement) CountResult(n int) any {
	if names := s.query.selected.names; len(names) > 0 {
		return map[string]any{names[0]: float64(n)}
	}
	return float64(n)
}

// Select returns what a document that matches is shown as. It is false for
// SELECT VALUE of something undefined, which is no row.
func (s *Statement) Select(document any) (any, bool) {
	selected := &s.query.selected
	if selected.star {
		return document, true
	}
	r := s.row(document)
	if selected.value != nil {
		value := selected.value.eval(r)
		return value, !isUndefined(value)
	}
	return object{selected.names, selected.fields}.eval(r), true
}

// Ordered reports whether there is an ORDER BY, and whether it is descending.
func (s *Statement) Ordered() (ordered, descending bool) {
	return s.query.order != nil, s.query.descending
}

// OrderKey is the value that the document is ordered by, to be compared with
// Order.
func (s *Statement) OrderKey(document any) any {
	return s.query.order.eval(s.row(document))
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
	switch {
	case s.query.order != nil:
		return "ORDER BY", true
	case s.query.selected.count != nil:
		return "COUNT", true
	case s.query.top.of != nil:
		return "TOP", true
	case s.query.limit.of != nil:
		return "OFFSET LIMIT", true
	default:
		return "", false
	}
}

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

func isConstant(e expression) bool {
	switch e.(type) {
	case literal, parameter:
		return true
	default:
		return false
	}
}

func (s *Statement) row(document any) *row {
	return &row{document: document, parameters: s.parameters}
}
