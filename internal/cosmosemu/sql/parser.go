package sql

import (
	"fmt"
)

// Bounds on a query, so that none exhausts the stack or takes for ever.
const (
	maxText      = 512 << 10 // bytes: the service's limit
	maxDepth     = 200       // nested brackets and prefixes
	maxOperators = 50_000    // operators, dots and brackets behind a path
	maxIn        = 6_000     // values after IN
)

type parser struct {
	tokens    []token
	at        int
	depth     int
	operators int

	names      []token    // identifiers that must be the alias of FROM
	paths      [][]string // properties, as far as they are read
	parameters []string

	// Aggregates may stand in the selection, but not in each other.
	aggregating aggregating
	aggregates  []aggregate
	outside     *token // the first identifier in the selection but outside of them
}

func newParser(text string) (*parser, error) {
	if len(text) > maxText {
		return nil, span{0, len(text)}.refuse(codeSyntax, "The query is longer than %d bytes.", maxText)
	}
	tokens, err := lex(text)
	return &parser{tokens: tokens}, err
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
		return p.peek().unexpected(text)
	}
	return nil
}

// since is the text from a token that was read to the last one that was.
func (p *parser) since(first token) span {
	return span{first.start, p.tokens[p.at-1].end}
}

// nest counts one level more; the caller calls the function that it returns.
func (p *parser) nest() (func(), error) {
	if p.depth++; p.depth > maxDepth {
		return nil, p.peek().refuse(codeSyntax, "The query is nested too deeply.")
	}
	return func() { p.depth-- }, nil
}

func (p *parser) operator() error {
	if p.operators++; p.operators > maxOperators {
		return p.peek().refuse(codeSyntax, "The query has more than %d operators.", maxOperators)
	}
	return nil
}

// postfix reads a primary and the path that follows it.
func (p *parser) postfix() (expression, error) {
	e, err := p.primary()
	for err == nil {
		switch {
		case p.accept("."):
			name := p.next()
			switch {
			case name.kind != tokenName:
				return nil, name.unexpected("the name of a property")
			case reserved[name.upper]:
				return nil, name.unexpected(fmt.Sprintf("the name of a property; write [\"%s\"] for one that is a keyword", name))
			}
			e = property{e, name.text}
		case p.accept("["):
			e, err = p.subscript(e)
		default:
			if names, ok := path(e); ok && len(names) > 0 {
				p.paths = append(p.paths, names)
			}
			return e, nil
		}
		if err == nil {
			err = p.operator()
		}
	}
	return nil, err
}

func (p *parser) subscript(of expression) (expression, error) {
	t := p.next()
	switch {
	case t.kind == tokenString:
		return property{of, t.text}, p.expect("]")
	case t.kind == tokenNumber && t.number == float64(int32(t.number)):
		return element{of, int(t.number)}, p.expect("]")
	default:
		return nil, t.unexpected("a string or a whole number between [ and ]")
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
		return nil, t.unsupported("a subquery is")
	case (t.is("EXISTS") || t.is("ARRAY") || t.is("ALL") || t.is("FIRST") || t.is("LAST")) && p.peek().is("("):
		return nil, t.unsupported("%s with a subquery is", t.upper)
	case t.is("("):
		e, err := p.expression(powerAny)
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
		p.identifier(t)
		return root{}, nil
	default:
		return nil, t.unexpected("")
	}
}

// identifier keeps the name for later: the alias that it must be comes after the
// selection.
func (p *parser) identifier(t token) {
	p.names = append(p.names, t)
	if p.aggregating == aggregateAllowed && p.outside == nil {
		p.outside = &t
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
		item, err := p.expression(powerAny)
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
			return nil, name.unexpected("the name of a property")
		}
		if err := p.expect(":"); err != nil {
			return nil, err
		}
		value, err := p.expression(powerAny)
		if err != nil {
			return nil, err
		}
		result.names, result.values = append(result.names, name.text), append(result.values, value)
	}
	return result, nil
}

func (p *parser) call(name token) (expression, error) {
	if newTally, ok := aggregates[name.upper]; ok {
		return p.aggregate(name, newTally)
	}
	f, ok := functions[functionKey(name.text)]
	if !ok {
		return nil, name.refuse(codeFunction, "'%s' is not a recognized built-in function name.", name)
	}
	arguments, err := p.list("(", ")")
	if err != nil {
		return nil, err
	}
	if n := len(arguments); n < f.min || f.max >= 0 && n > f.max {
		return nil, p.since(name).refuse(codeArguments, "The %s function does not take %d argument(s).", f.name, n)
	}
	return call{f, arguments}, nil
}

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
