package sql

import (
	"fmt"
	"slices"
)

// Query is a query that has been read. It is immutable.
type Query struct {
	text       string
	start      int        // of SELECT
	from       span       // FROM name; empty: the query is of one row, nothing
	alias      string     // of the documents
	where      expression // nil: every document
	filter     span       // the text of where
	paths      [][]string // that WHERE looks at
	selected   selection
	aggregates []aggregate
	order      []orderItem
	ordered    span // ORDER BY …
	top        bound
	offset     bound
	limit      bound
	parameters []string
}

// selection is what a row becomes.
type selection struct {
	distinct bool
	star     bool
	value    expression // SELECT VALUE
	names    []string
	fields   []expression
	spans    []span // of each field, or of value, without AS and the name
	end      int
}

type orderItem struct {
	of         expression
	at         span
	descending bool
}

// bound is a row count: not there, a number, or a parameter.
type bound struct{ of expression }

// Parse reads a query.
func Parse(text string) (*Query, error) {
	p, err := newParser(text)
	if err != nil {
		return nil, err
	}
	q := &Query{text: text}
	if err := p.query(q); err != nil {
		return nil, err
	}
	return q, nil
}

// ParseCondition reads what guards a patch: FROM alias WHERE expression.
func ParseCondition(text string) (*Query, error) {
	p, err := newParser(text)
	if err != nil {
		return nil, err
	}
	q := &Query{text: text, selected: selection{star: true}}
	alias, err := p.from()
	if err != nil {
		return nil, err
	}
	if err := p.expect("WHERE"); err != nil {
		return nil, err
	}
	if q.where, err = p.expression(powerAny); err != nil {
		return nil, err
	}
	if len(p.parameters) > 0 {
		return nil, p.peek().unsupported("a parameter (%s) in a condition is", p.parameters[0])
	}
	return q, p.end(alias)
}

// query reads the clauses in their order.
func (p *parser) query(q *Query) (err error) {
	q.start = p.peek().start
	if err := p.expect("SELECT"); err != nil {
		return err
	}
	if err := p.selection(q); err != nil {
		return err
	}
	if from := p.peek(); from.is("FROM") {
		if q.alias, err = p.from(); err != nil {
			return err
		}
		q.from = p.since(from)
	}
	if err := p.where(q); err != nil {
		return err
	}
	if t := p.peek(); t.is("GROUP") {
		return t.unsupported("GROUP BY is")
	}
	if err := p.order(q); err != nil {
		return err
	}
	if err := p.window(q); err != nil {
		return err
	}
	if len(q.aggregates) > 0 && (q.order != nil || q.top.of != nil || q.limit.of != nil) {
		return span{0, len(q.text)}.unsupported("%s with ORDER BY, TOP or OFFSET LIMIT is", q.aggregates[0].name)
	}
	q.parameters = p.parameters
	if err := p.end(q.alias); err != nil {
		return err
	}
	if q.selected.star && q.alias == "" {
		return span{0, len(q.text)}.refuse(codeSyntax, "'SELECT *' is not valid if FROM clause is omitted.")
	}
	return nil
}

// from reads FROM with the name of the container and perhaps an alias, and
// returns the one that documents go by.
func (p *parser) from() (alias string, err error) {
	if err := p.expect("FROM"); err != nil {
		return "", err
	}
	name := p.next()
	if name.kind != tokenName || reserved[name.upper] {
		return "", name.unexpected("a name after FROM")
	}
	if next := p.peek(); next.is(".") || next.is("[") || next.is("IN") || next.is("JOIN") || next.is(",") {
		return "", next.unsupported("FROM with more than one container name (%s) is", next)
	}
	alias, err = p.alias(name.text)
	if next := p.peek(); err == nil && (next.is("IN") || next.is("JOIN")) {
		err = next.unsupported("%s is", next.upper)
	}
	return alias, err
}

// alias reads [AS] name, or returns the fallback.
func (p *parser) alias(fallback string) (string, error) {
	as := p.accept("AS")
	switch t := p.peek(); {
	case t.kind == tokenName && !reserved[t.upper]:
		return p.next().text, nil
	case as:
		return "", t.unexpected("a name after AS")
	default:
		return fallback, nil
	}
}

func (p *parser) selection(q *Query) (err error) {
	s := &q.selected
	s.distinct = p.accept("DISTINCT")
	if p.accept("TOP") {
		if q.top, err = p.bound("TOP"); err != nil {
			return err
		}
	}
	p.aggregating = aggregateAllowed
	switch {
	case p.accept("*"):
		s.star = true
	case p.accept("VALUE"):
		first := p.peek()
		s.value, err = p.expression(powerAny)
		s.spans = []span{p.since(first)}
	default:
		err = p.fields(s)
	}
	if err != nil {
		return err
	}
	p.aggregating = aggregateRefused
	s.end = p.tokens[p.at-1].end
	q.aggregates = p.aggregates
	if t := p.outside; t != nil && len(q.aggregates) > 0 {
		return t.refuse(codeSyntax, "The reference to '%s' is invalid in the select list because it is not contained in an aggregate function.", t)
	}
	return nil
}

func (p *parser) fields(s *selection) error {
	for {
		if err := p.field(s); err != nil {
			return err
		}
		if !p.accept(",") {
			return nil
		}
	}
}

func (p *parser) field(s *selection) error {
	first := p.peek()
	field, err := p.expression(powerAny)
	if err != nil {
		return err
	}
	at := p.since(first)
	name := ""
	switch of := field.(type) {
	case property:
		name = of.name
	case root:
		name = first.text
	}
	if name, err = p.alias(name); err != nil {
		return err
	}
	if name == "" {
		unnamed := 1
		for slices.Contains(s.names, fmt.Sprintf("$%d", unnamed)) {
			unnamed++
		}
		name = fmt.Sprintf("$%d", unnamed)
	}
	if slices.Contains(s.names, name) {
		return at.refuse(codeSyntax, "The property name '%s' is selected twice.", name)
	}
	s.names, s.fields, s.spans = append(s.names, name), append(s.fields, field), append(s.spans, at)
	return nil
}

func (p *parser) where(q *Query) (err error) {
	if !p.accept("WHERE") {
		return nil
	}
	first := p.peek()
	p.paths = nil
	q.where, err = p.expression(powerAny)
	q.filter, q.paths = p.since(first), p.paths
	return err
}

func (p *parser) order(q *Query) error {
	first := p.peek()
	if !p.accept("ORDER") {
		return nil
	}
	if err := p.expect("BY"); err != nil {
		return err
	}
	for {
		item, err := p.orderItem()
		if err != nil {
			return err
		}
		q.order = append(q.order, item)
		if !p.accept(",") {
			q.ordered = p.since(first)
			return nil
		}
	}
}

func (p *parser) orderItem() (orderItem, error) {
	first := p.peek()
	of, err := p.expression(powerAny)
	if err != nil {
		return orderItem{}, err
	}
	item := orderItem{of: of, at: p.since(first)}
	if names, ok := path(of); !ok || len(names) == 0 {
		return orderItem{}, item.at.unsupported("ORDER BY anything but the path of a property is")
	}
	if item.descending = p.accept("DESC"); !item.descending {
		p.accept("ASC")
	}
	return item, nil
}

func (p *parser) window(q *Query) (err error) {
	t := p.peek()
	if !p.accept("OFFSET") {
		return nil
	}
	if q.top.of != nil {
		return t.refuse(codeSyntax, "Syntax error, incorrect syntax near 'OFFSET'. TOP and OFFSET LIMIT exclude each other.")
	}
	if q.offset, err = p.bound("OFFSET"); err != nil {
		return err
	}
	if err := p.expect("LIMIT"); err != nil {
		return err
	}
	q.limit, err = p.bound("LIMIT")
	return err
}

func (p *parser) bound(clause string) (bound, error) {
	switch t := p.next(); {
	case t.kind == tokenNumber && t.number >= 0 && t.number == float64(int32(t.number)):
		return bound{literal{t.number}}, nil
	case t.kind == tokenParameter:
		p.parameters = append(p.parameters, t.text)
		return bound{parameter{t.text}}, nil
	default:
		return bound{}, t.unexpected("a whole number after " + clause)
	}
}

// end demands that nothing is left, and that every identifier was the alias.
func (p *parser) end(alias string) error {
	if t := p.peek(); t.kind != tokenEnd {
		return t.unexpected("")
	}
	for _, name := range p.names {
		if name.text != alias {
			return name.refuse(codeIdentifier, "Identifier '%s' could not be resolved.", name)
		}
	}
	return nil
}

// path returns the property names that lead from the document to e.
func path(e expression) ([]string, bool) {
	switch e := e.(type) {
	case root:
		return nil, true
	case property:
		names, ok := path(e.of)
		return append(names, e.name), ok
	default:
		return nil, false
	}
}
