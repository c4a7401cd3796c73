package sql

type aggregating uint8

const (
	aggregateRefused aggregating = iota
	aggregateAllowed
	aggregateNested
)

// aggregate is a function over all rows that match. As an expression it is the
// number of its tally.
type aggregate struct {
	name     string // upper case
	argument expression
	at       span // of the argument
	newTally func() tally
}

// tally is what an aggregate has counted so far. Nothing undefined is added.
type tally interface {
	add(value any)
	result() any
}

var aggregates = map[string]func() tally{
	"COUNT": func() tally { return new(countTally) },
	"SUM":   func() tally { return new(sumTally) },
	"AVG":   func() tally { return new(averageTally) },
	"MIN":   func() tally { return &extremeTally{sign: -1} },
	"MAX":   func() tally { return &extremeTally{sign: 1} },
}

func (p *parser) aggregate(name token, newTally func() tally) (expression, error) {
	switch p.aggregating {
	case aggregateRefused:
		return nil, name.refuse(codeSyntax, "The aggregate %s can stand only in the SELECT clause.", name)
	case aggregateNested:
		return nil, name.refuse(codeSyntax, "The aggregate %s stands inside of another one.", name)
	case aggregateAllowed:
	}
	p.aggregating = aggregateNested
	defer func() { p.aggregating = aggregateAllowed }()
	first := p.tokens[p.at+1] // after the bracket
	arguments, err := p.list("(", ")")
	if err != nil {
		return nil, err
	}
	if len(arguments) != 1 {
		return nil, p.since(name).refuse(codeArguments, "The %s function does not take %d argument(s).", name.upper, len(arguments))
	}
	at := span{first.start, p.tokens[p.at-2].end}
	p.aggregates = append(p.aggregates, aggregate{name.upper, arguments[0], at, newTally})
	return aggregated{len(p.aggregates) - 1}, nil
}

// countTally counts what is defined.
type countTally float64

func (n *countTally) add(any)     { *n++ }
func (n *countTally) result() any { return float64(*n) }

// sumTally is undefined once something is added that is no number. That it is 0
// without anything is not verified.
type sumTally struct {
	sum     float64
	invalid bool
}

func (t *sumTally) add(value any) {
	n, ok := value.(float64)
	t.sum += n
	t.invalid = t.invalid || !ok
}

func (t *sumTally) result() any {
	if t.invalid {
		return Undefined{}
	}
	return number(t.sum)
}

// averageTally is undefined without anything, and once something is added that
// is no number.
type averageTally struct {
	sumTally
	n float64
}

func (t *averageTally) add(value any) {
	t.sumTally.add(value)
	t.n++
}

func (t *averageTally) result() any {
	sum, ok := t.sumTally.result().(float64)
	if !ok {
		return Undefined{}
	}
	return number(sum / t.n)
}

// extremeTally is the first or last value in the order of ORDER BY. It is
// undefined without anything, and once an array or object is added.
type extremeTally struct {
	sign    int
	value   any
	some    bool
	invalid bool
}

func (t *extremeTally) add(value any) {
	t.invalid = t.invalid || rank(value) >= rankArray
	if !t.some || t.sign*Order(value, t.value) > 0 {
		t.some, t.value = true, value
	}
}

func (t *extremeTally) result() any {
	if t.invalid || !t.some {
		return Undefined{}
	}
	return t.value
}
