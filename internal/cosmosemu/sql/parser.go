package sql

import (
	"slices"
)

// maxDepth bounds nesting, so that no query exhausts the stack.
const maxDepth = 200

type parser struct {
	tokens     []token
	at         int
	depth      int
	alias      string
	parameters []string
}

func (p *parser) peek() token { return p.tokens[p.at] }

func (p *parser) next() token {
	t := p.tokens[p.at]
	if t.kind != tokenEnd {
		p.at++
	}
	return t
}

// accept consumes the token if it is this keyword or symbol.
func (p *parser) accept(text string) bool {
	if p.peek().is(text) {
		p.at++
		return true
	}
	return false
}

func (p *parser) expect(text string) error {
	if !p.accept(text) {
		return errorf("syntax error: expected %s, found %s", text, p.peek())
	}
	return nil
}

// Binding powers, loosest first.
const (
	powerOr = iota + 1
	powerAnd
	powerCompare
	powerConcat
	powerSum
	powerProduct
)

var powers = map[string]int{
	"OR": powerOr, "AND": powerAnd,
	"=": powerCompare, "!=": powerCompare, "<>": powerCompare,
	"<": powerCompare, "<=": powerCompare, ">": powerCompare, ">=": powerCompare,
	"IN": powerCompare, "BETWEEN": powerCompare, "NOT": powerCompare,
	"||": powerConcat,
	"+":  powerSum, "-": powerSum,
	"*": powerProduct, "/": powerProduct, "%": powerProduct,
}

// unknownOperators are refused by name where an operator may stand.
var unknownOperators = []string{"??", "?", "&", "|", "^", "~", "LIKE"}

func operatorPower(t token) int {
	switch t.kind {
	case tokenName:
		return powers[t.upper]
	case tokenSymbol:
		return powers[t.text]
	default:
		return 0
	}
}

// expression reads operators that bind at least as tightly as power.
func (p *parser) expression(power int) (expression, error) {
	if p.depth++; p.depth > maxDepth {
		return nil, errorf("the query is nested too deeply")
	}
	defer func() { p.depth-- }()
	left, err := p.unary()
	if err != nil {
		return nil, err
	}
	for {
		t := p.peek()
		if slices.ContainsFunc(unknownOperators, t.is) {
			return nil, errorf("operator %s is not supported", t.text)
		}
		binding := operatorPower(t)
		if binding == 0 || binding < power {
			return left, nil
		}
		p.next()
		if left, err = p.infix(left, t, binding); err != nil {
			return nil, err
		}
	}
}

func (p *parser) infix(left expression, t token, binding int) (expression, error) {
	switch {
	case t.is("NOT"):
		if !p.peek().is("IN") && !p.peek().is("BETWEEN") {
			return nil, errorf("syntax error: expected IN or BETWEEN after NOT, found %s", p.peek())
		}
		positive, err := p.infix(left, p.next(), binding)
		return not{positive}, err
	case t.is("IN"):
		list, err := p.list("(", ")")
		if err == nil && len(list) == 0 {
			err = errorf("syntax error: IN needs at least one value")
		}
		return in{left, list}, err
	case t.is("BETWEEN"):
		low, err := p.expression(powerCompare + 1)
		if err != nil {
			return nil, err
		}
		if err := p.expect("AND"); err != nil {
			return nil, err
		}
		high, err := p.expression(powerCompare + 1)
		return between{left, low, high}, err
	}
	right, err := p.expression(binding + 1)
	switch {
	case err != nil:
		return nil, err
	case t.is("AND"):
		return and{left, right}, nil
	case t.is("OR"):
		return or{left, right}, nil
	default:
		return binary{t.text, left, right}, nil
	}
}

func (p *parser) unary() (expression, error) {
	t := p.peek()
	if !t.is("NOT") && !t.is("-") && !t.is("+") {
		return p.postfix()
	}
	p.next()
	if p.depth++; p.depth > maxDepth {
		return nil, errorf("the query is nested too deeply")
	}
	defer func() { p.depth-- }()
	operand, err := p.unary()
	switch {
	case err != nil:
		return nil, err
	case t.is("-"):
		return minus{operand}, nil
	case t.is("+"):
		return plus{operand}, nil
	}
	if next := p.peek(); operatorPower(next) > powerAnd {
		return nil, errorf("NOT before an unparenthesised %s is ambiguous: write NOT (…)", next.text)
	}
	return not{operand}, nil
}

// postfix reads a primary and the path that follows it.
func (p *parser) postfix() (expression, error) {
	e, err := p.primary()
	for err == nil {
		switch {
		case p.accept("."):
			name := p.next()
			if name.kind != tokenName {
				return nil, errorf("syntax error: expected a property name, found %s", name)
			}
			if reserved[name.upper] {
				return nil, errorf("syntax error: %s is a keyword: write [\"%s\"]", name, name.text)
			}
			e = property{e, name.text}
		case p.accept("["):
			e, err = p.subscript(e)
		default:
			return e, nil
		}
	}
	return nil, err
}

func (p *parser) subscript(of expression) (expression, error) {
	t := p.next()
	if err := p.expect("]"); err != nil {
		return nil, err
	}
	switch {
	case t.kind == tokenString:
		return property{of, t.text}, nil
	case t.kind == tokenNumber && t.number == float64(int32(t.number)):
		return element{of, int(t.number)}, nil
	default:
		return nil, errorf("only a string or a whole number is supported between [ and ], found %s", t)
	}
}

func (p *parser) primary() (expression, error) {
	t := p.next()
	switch {
	case t.kind == tokenNumber:
		return literal{t.number}, nil
	case t.kind == tokenString:
		return literal{t.text}, nil
	case t.kind == tokenParameter:
		p.parameters = append(p.parameters, t.text)
		return parameter{t.text}, nil
	case t.is("TRUE"), t.is("FALSE"):
		return literal{t.is("TRUE")}, nil
	case t.is("NULL"):
		return literal{nil}, nil
	case t.is("UNDEFINED"):
		return literal{Undefined{}}, nil
	case t.is("SELECT"):
		return nil, errorf("subqueries are not supported")
	case t.is("EXISTS"), t.is("ARRAY") && p.peek().is("("):
		return nil, errorf("%s with a subquery is not supported", t.upper)
	case t.is("("):
		e, err := p.expression(powerOr)
		if err != nil {
			return nil, err
		}
		return e, p.expect(")")
	case t.is("["):
		p.at--
		items, err := p.list("[", "]")
		return array{items}, err
	case t.is("{"):
		return p.object()
	case t.kind == tokenName && p.peek().is("("):
		return p.call(t)
	case t.kind == tokenName && !reserved[t.upper]:
		if t.text != p.alias {
			return nil, errorf("identifier %q could not be resolved", t.text)
		}
		return root{}, nil
	default:
		return nil, errorf("syntax error: unexpected %s", t)
	}
}

// list reads expressions between two brackets.
func (p *parser) list(open, end string) ([]expression, error) {
	if err := p.expect(open); err != nil {
		return nil, err
	}
	var items []expression
	for !p.accept(end) {
		if len(items) > 0 {
			if err := p.expect(","); err != nil {
				return nil, err
			}
		}
		item, err := p.expression(powerOr)
		if err != nil {
			return nil, err
		}
		items = append(items, item)
	}
	return items, nil
}

func (p *parser) object() (expression, error) {
	var result object
	for !p.accept("}") {
		if len(result.names) > 0 {
			if err := p.expect(","); err != nil {
				return nil, err
			}
		}
		name := p.next()
		if name.kind != tokenString && name.kind != tokenName {
			return nil, errorf("syntax error: expected a property name, found %s", name)
		}
		if err := p.expect(":"); err != nil {
			return nil, err
		}
		value, err := p.expression(powerOr)
		if err != nil {
			return nil, err
		}
		result.names, result.values = append(result.names, name.text), append(result.values, value)
	}
	return result, nil
}

func (p *parser) call(name token) (expression, error) {
	f, ok := functions[functionKey(name.text)]
	switch {
	case aggregates[name.upper]:
		return nil, errorf("aggregate %s is not supported here: COUNT must be the only selected expression", name.upper)
	case !ok:
		return nil, errorf("function %q is not supported", name.text)
	}
	arguments, err := p.list("(", ")")
	if err != nil {
		return nil, err
	}
	if n := len(arguments); n < f.min || f.max >= 0 && n > f.max {
		return nil, errorf("function %s does not take %d arguments", f.name, n)
	}
	return call{f, arguments}, nil
}

var aggregates = map[string]bool{"COUNT": true, "SUM": true, "AVG": true, "MIN": true, "MAX": true}

// reserved words are neither aliases nor, after a dot, properties.
var reserved = func() map[string]bool {
	words := map[string]bool{}
	for _, word := range []string{
		"AND", "ARRAY", "AS", "ASC", "BETWEEN", "BY", "DESC", "DISTINCT", "ESCAPE", "EXISTS", "FALSE", "FROM",
		"GROUP", "IN", "JOIN", "LIKE", "LIMIT", "NOT", "NULL", "OFFSET", "OR", "ORDER", "SELECT", "TOP", "TRUE",
		"UDF", "UNDEFINED", "VALUE", "WHERE",
	} {
		words[word] = true
	}
	return words
}()
