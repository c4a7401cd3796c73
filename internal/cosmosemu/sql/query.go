package sql

import (
	"fmt"
	"slices"
)

// Query is a query that has been read. It is immutable.
type Query struct {
	where      expression // nil: every document
	selected   selection
	order      expression // nil: none
	descending bool
	top        bound
	offset     bound
	limit      bound
	parameters []string
}

// selection is what a row becomes.
type selection struct {
	star   bool
	value  expression // SELECT VALUE
	names  []string
	fields []expression
	count  expression // COUNT(expr), by name names[0] or alone
}

// bound is a row count: not there, a number, or a parameter.
type bound struct{ of expression }

// Parse reads a query.
func Parse(text string) (*Query, error) {
	tokens, err := lex(text)
	if err != nil {
		return nil, err
	}
	p := &parser{tokens: tokens}
	return p.query()
}

// ParseCondition reads what guards a patch: FROM alias WHERE expression.
func ParseCondition(text string) (*Query, error) {
	tokens, err := lex(text)
	if err != nil {
		return nil, err
	}
	p := &parser{tokens: tokens}
	q := &Query{selected: selection{star: true}}
	if err := p.from(); err != nil {
		return nil, err
	}
	if err := p.expect("WHERE"); err != nil {
		return nil, err
	}
	if q.where, err = p.expression(powerOr); err != nil {
		return nil, err
	}
	if len(p.parameters) > 0 {
		return nil, errorf("a condition has no parameters: %s", p.parameters[0])
	}
	return q, p.end()
}

// query reads FROM before SELECT, because the selection uses its alias.
func (p *parser) query() (*Query, error) {
	q := &Query{}
	if err := p.expect("SELECT"); err != nil {
		return nil, err
	}
	start := p.at
	if err := p.skipToFrom(); err != nil {
		return nil, err
	}
	if err := p.from(); err != nil {
		return nil, err
	}
	rest := p.at
	p.at = start
	if err := p.selection(q); err != nil {
		return nil, err
	}
	if !p.peek().is("FROM") {
		return nil, errorf("syntax error: unexpected %s", p.peek())
	}
	p.at = rest
	if err := p.clauses(q); err != nil {
		return nil, err
	}
	q.parameters = p.parameters
	return q, p.end()
}

func (p *parser) skipToFrom() error {
	for !p.peek().is("FROM") || p.at > 0 && p.tokens[p.at-1].is(".") {
		if p.next().kind == tokenEnd {
			return errorf("a query without FROM is not supported")
		}
	}
	return nil
}

func (p *parser) from() error {
	if err := p.expect("FROM"); err != nil {
		return err
	}
	name := p.next()
	if name.kind != tokenName || reserved[name.upper] {
		return errorf("syntax error: expected a name after FROM, found %s", name)
	}
	p.alias = name.text
	if p.peek().is(".") || p.peek().is("[") || p.peek().is("IN") || p.peek().is("JOIN") || p.peek().is(",") {
		return errorf("FROM with more than one container name is not supported: %s", p.peek())
	}
	as := p.accept("AS")
	if t := p.peek(); t.kind == tokenName && !reserved[t.upper] {
		p.alias = p.next().text
	} else if as {
		return errorf("syntax error: expected a name after AS, found %s", t)
	}
	if p.peek().is("IN") || p.peek().is("JOIN") {
		return errorf("%s is not supported", p.peek().upper)
	}
	return nil
}

func (p *parser) selection(q *Query) (err error) {
	if p.peek().is("DISTINCT") {
		return errorf("DISTINCT is not supported")
	}
	if p.accept("TOP") {
		if q.top, err = p.bound("TOP"); err != nil {
			return err
		}
	}
	s := &q.selected
	if p.accept("*") {
		s.star = true
		return nil
	}
	if p.accept("VALUE") {
		if s.count, err = p.count(); err == nil && s.count == nil {
			s.value, err = p.expression(powerOr)
		}
		return err
	}
	for {
		if err := p.field(s); err != nil {
			return err
		}
		if !p.accept(",") {
			break
		}
		if s.count != nil {
			return errorf("COUNT must be the only selected expression")
		}
	}
	return nil
}

func (p *parser) field(s *selection) error {
	count, err := p.count()
	if err != nil {
		return err
	}
	var field expression
	if count != nil {
		if len(s.fields) > 0 {
			return errorf("COUNT must be the only selected expression")
		}
		s.count = count
	} else if field, err = p.expression(powerOr); err != nil {
		return err
	}
	name := ""
	switch of := field.(type) {
	case property:
		name = of.name
	case root:
		name = p.alias
	}
	as := p.accept("AS")
	if t := p.peek(); t.kind == tokenName && !reserved[t.upper] {
		name = p.next().text
	} else if as {
		return errorf("syntax error: expected a name after AS, found %s", t)
	}
	if name == "" {
		name = fmt.Sprintf("$%d", len(s.names)+1)
	}
	if slices.Contains(s.names, name) {
		return errorf("%q is selected twice", name)
	}
	s.names, s.fields = append(s.names, name), append(s.fields, field)
	return nil
}

// count reads COUNT(expr), or nothing.
func (p *parser) count() (expression, error) {
	if !p.peek().is("COUNT") || !p.tokens[p.at+1].is("(") {
		return nil, nil
	}
	p.next()
	arguments, err := p.list("(", ")")
	if err != nil {
		return nil, err
	}
	if len(arguments) != 1 {
		return nil, errorf("COUNT takes one argument")
	}
	return arguments[0], nil
}

func (p *parser) clauses(q *Query) (err error) {
	if p.accept("WHERE") {
		if q.where, err = p.expression(powerOr); err != nil {
			return err
		}
	}
	if p.peek().is("GROUP") {
		return errorf("GROUP BY is not supported")
	}
	if p.accept("ORDER") {
		if err := p.order(q); err != nil {
			return err
		}
	}
	if p.accept("OFFSET") {
		if q.offset, err = p.bound("OFFSET"); err != nil {
			return err
		}
		if err := p.expect("LIMIT"); err != nil {
			return err
		}
		if q.limit, err = p.bound("LIMIT"); err != nil {
			return err
		}
		if q.top.of != nil {
			return errorf("TOP and OFFSET LIMIT exclude each other")
		}
	}
	if q.selected.count != nil && (q.order != nil || q.top.of != nil || q.limit.of != nil) {
		return errorf("COUNT with ORDER BY, TOP or OFFSET LIMIT is not supported")
	}
	return nil
}

func (p *parser) order(q *Query) (err error) {
	if err := p.expect("BY"); err != nil {
		return err
	}
	if q.order, err = p.expression(powerOr); err != nil {
		return err
	}
	if _, ok := path(q.order); !ok {
		return errorf("ORDER BY takes the path of a property")
	}
	if q.descending = p.accept("DESC"); !q.descending {
		p.accept("ASC")
	}
	if p.peek().is(",") {
		return errorf("ORDER BY with several paths (a composite index) is not supported")
	}
	return nil
}

func (p *parser) bound(clause string) (bound, error) {
	switch t := p.next(); {
	case t.kind == tokenNumber && t.number >= 0 && t.number == float64(int32(t.number)):
		return bound{literal{t.number}}, nil
	case t.kind == tokenParameter:
		p.parameters = append(p.parameters, t.text)
		return bound{parameter{t.text}}, nil
	default:
		return bound{}, errorf("syntax error: expected a whole number after %s, found %s", clause, t)
	}
}

func (p *parser) end() error {
	if t := p.peek(); t.kind != tokenEnd {
		return errorf("syntax error: unexpected %s", t)
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
