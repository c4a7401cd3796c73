package sql

// Binding powers, loosest first.
const (
	powerConditional = iota + 1
	powerCoalesce
	powerOr
	powerAnd
	powerCompare
	powerBitOr
	powerBitXor
	powerBitAnd
	powerConcat
	powerShift
	powerSum
	powerProduct

	powerAny = powerConditional
)

var powers = map[string]int{
	"?": powerConditional, "??": powerCoalesce, "OR": powerOr, "AND": powerAnd,
	"=": powerCompare, "!=": powerCompare, "<>": powerCompare,
	"<": powerCompare, "<=": powerCompare, ">": powerCompare, ">=": powerCompare,
	"IN": powerCompare, "BETWEEN": powerCompare, "LIKE": powerCompare, "NOT": powerCompare,
	"|": powerBitOr, "^": powerBitXor, "&": powerBitAnd,
	"||": powerConcat,
	"<<": powerShift, ">>": powerShift, ">>>": powerShift,
	"+": powerSum, "-": powerSum,
	"*": powerProduct, "/": powerProduct, "%": powerProduct,
}

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

func isBitwise(power int) bool { return power >= powerBitOr && power <= powerBitAnd }

// expression reads operators that bind at least as tightly as power.
func (p *parser) expression(power int) (expression, error) {
	leave, err := p.nest()
	if err != nil {
		return nil, err
	}
	defer leave()
	left, err := p.unary()
	for err == nil {
		t := p.peek()
		binding := operatorPower(t)
		if binding == 0 || binding < power {
			return left, nil
		}
		p.next()
		if err = p.operator(); err == nil {
			left, err = p.infix(left, t, binding)
		}
		if err == nil {
			err = p.ambiguous(binding)
		}
	}
	return nil, err
}

// ambiguous refuses a bitwise operator and a comparison side by side: C reads
// one thing, the eye another, and the service's reading is not documented.
func (p *parser) ambiguous(before int) error {
	after := operatorPower(p.peek())
	if isBitwise(before) && after == powerCompare || before == powerCompare && isBitwise(after) {
		return p.peek().unsupported("a bitwise operator beside a comparison without parentheses is ambiguous and")
	}
	return nil
}

// operand reads what stands beside a comparison.
func (p *parser) operand() (expression, error) { return p.expression(powerBitAnd + 1) }

func (p *parser) infix(left expression, t token, binding int) (expression, error) {
	switch {
	case t.is("NOT"):
		if next := p.peek(); !next.is("IN") && !next.is("BETWEEN") && !next.is("LIKE") {
			return nil, next.unexpected("IN, BETWEEN or LIKE")
		}
		positive, err := p.infix(left, p.next(), binding)
		return not{positive}, err
	case t.is("IN"):
		return p.in(left)
	case t.is("BETWEEN"):
		return p.between(left)
	case t.is("LIKE"):
		return p.like(left)
	case t.is("?"):
		return p.conditional(left)
	}
	tighter := binding + 1
	if binding == powerCompare {
		tighter = powerBitAnd + 1
	}
	right, err := p.expression(tighter)
	switch {
	case err != nil:
		return nil, err
	case t.is("AND"):
		return and{left, right}, nil
	case t.is("OR"):
		return or{left, right}, nil
	case t.is("??"):
		return coalesce{left, right}, nil
	default:
		return binary{t.text, left, right}, nil
	}
}

func (p *parser) in(left expression) (expression, error) {
	open := p.peek()
	list, err := p.list("(", ")")
	switch {
	case err != nil:
		return nil, err
	case len(list) == 0:
		return nil, p.since(open).refuse(codeSyntax, "Syntax error, incorrect syntax near ')'. IN takes at least one value.")
	case len(list) > maxIn:
		return nil, p.since(open).refuse(codeSyntax, "IN takes at most %d values.", maxIn)
	}
	return in{left, list}, nil
}

func (p *parser) between(left expression) (expression, error) {
	low, err := p.operand()
	if err != nil {
		return nil, err
	}
	if err := p.expect("AND"); err != nil {
		return nil, err
	}
	high, err := p.operand()
	return between{left, low, high}, err
}

func (p *parser) like(left expression) (expression, error) {
	pattern, err := p.operand()
	if err != nil || !p.accept("ESCAPE") {
		return like{left, pattern, ""}, err
	}
	escape := p.next()
	if escape.kind != tokenString || len([]rune(escape.text)) != 1 {
		return nil, escape.unexpected("a string of one character after ESCAPE")
	}
	return like{left, pattern, escape.text}, nil
}

func (p *parser) conditional(condition expression) (expression, error) {
	yes, err := p.expression(powerConditional)
	if err != nil {
		return nil, err
	}
	if err := p.expect(":"); err != nil {
		return nil, err
	}
	no, err := p.expression(powerConditional)
	return conditional{condition, yes, no}, err
}

func (p *parser) unary() (expression, error) {
	t := p.peek()
	if !t.is("NOT") && !t.is("-") && !t.is("+") && !t.is("~") {
		return p.postfix()
	}
	p.next()
	leave, err := p.nest()
	if err != nil {
		return nil, err
	}
	defer leave()
	operand, err := p.unary()
	switch {
	case err != nil:
		return nil, err
	case !t.is("NOT"):
		return sign{t.text, operand}, nil
	}
	if next := p.peek(); operatorPower(next) > powerAnd {
		return nil, next.unsupported("NOT before an unparenthesised %s is ambiguous and", next)
	}
	return not{operand}, nil
}
