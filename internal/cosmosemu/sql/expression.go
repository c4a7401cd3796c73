package sql

import (
	"math"
	"time"
)

// row is what an expression is evaluated against.
type row struct {
	document   any
	parameters map[string]any
	now        time.Time
	results    []any // of the aggregates
}

type expression interface {
	eval(r *row) any
}

type (
	literal   struct{ value any }
	parameter struct{ name string }
	root      struct{} // the alias of FROM
	property  struct {
		of   expression
		name string
	}
	element struct {
		of    expression
		index int
	}
	array  struct{ items []expression }
	object struct {
		names  []string
		values []expression
	}
	not  struct{ of expression }
	sign struct {
		operator string
		of       expression
	}
	and         struct{ left, right expression }
	or          struct{ left, right expression }
	coalesce    struct{ left, right expression }
	conditional struct{ condition, yes, no expression }
	binary      struct {
		operator    string
		left, right expression
	}
	in struct {
		of   expression
		list []expression
	}
	between struct{ of, low, high expression }
	like    struct {
		of, pattern expression
		escape      string // empty: none
	}
	call struct {
		function  *function
		arguments []expression
	}
	aggregated struct{ number int }
)

func (e literal) eval(*row) any     { return e.value }
func (e parameter) eval(r *row) any { return r.parameters[e.name] }
func (root) eval(r *row) any        { return r.document }

func (e property) eval(r *row) any {
	if object, ok := e.of.eval(r).(map[string]any); ok {
		if value, ok := object[e.name]; ok {
			return value
		}
	}
	return Undefined{}
}

func (e element) eval(r *row) any {
	if list, ok := e.of.eval(r).([]any); ok && e.index < len(list) {
		return list[e.index]
	}
	return Undefined{}
}

// eval leaves out what is undefined, as JSON would.
func (e array) eval(r *row) any {
	list := make([]any, 0, len(e.items))
	for _, item := range e.items {
		if value := item.eval(r); !isUndefined(value) {
			list = append(list, value)
		}
	}
	return list
}

func (e object) eval(r *row) any {
	result := make(map[string]any, len(e.names))
	for i, name := range e.names {
		if value := e.values[i].eval(r); !isUndefined(value) {
			result[name] = value
		}
	}
	return result
}

func (e not) eval(r *row) any {
	if value, ok := e.of.eval(r).(bool); ok {
		return !value
	}
	return Undefined{}
}

func (e sign) eval(r *row) any {
	value, ok := e.of.eval(r).(float64)
	switch {
	case !ok:
		return Undefined{}
	case e.operator == "-":
		return number(-value)
	case e.operator == "~":
		return float64(^toInt32(value))
	default:
		return value
	}
}

// eval is false if either side is, even if the other is undefined.
func (e and) eval(r *row) any {
	left, leftKnown := e.left.eval(r).(bool)
	if leftKnown && !left {
		return false
	}
	right, rightKnown := e.right.eval(r).(bool)
	switch {
	case rightKnown && !right:
		return false
	case leftKnown && rightKnown:
		return true
	default:
		return Undefined{}
	}
}

// eval is true if either side is, even if the other is undefined.
func (e or) eval(r *row) any {
	left, leftKnown := e.left.eval(r).(bool)
	if leftKnown && left {
		return true
	}
	right, rightKnown := e.right.eval(r).(bool)
	switch {
	case rightKnown && right:
		return true
	case leftKnown && rightKnown:
		return false
	default:
		return Undefined{}
	}
}

// eval takes null as it is: only undefined is replaced.
func (e coalesce) eval(r *row) any {
	if value := e.left.eval(r); !isUndefined(value) {
		return value
	}
	return e.right.eval(r)
}

// eval takes any condition but true for false.
func (e conditional) eval(r *row) any {
	if e.condition.eval(r) == true {
		return e.yes.eval(r)
	}
	return e.no.eval(r)
}

func (e binary) eval(r *row) any {
	left, right := e.left.eval(r), e.right.eval(r)
	if isUndefined(left) || isUndefined(right) {
		return Undefined{}
	}
	switch e.operator {
	case "=":
		return equal(left, right)
	case "!=", "<>":
		return !equal(left, right)
	case "<", "<=", ">", ">=":
		return relation(e.operator, left, right)
	case "||":
		a, ok := left.(string)
		b, both := right.(string)
		if ok && both {
			return text(a + b)
		}
		return Undefined{}
	default:
		return arithmetic(e.operator, left, right)
	}
}

func relation(operator string, left, right any) any {
	order, ok := compare(left, right)
	if !ok {
		return Undefined{}
	}
	switch operator {
	case "<":
		return order < 0
	case "<=":
		return order <= 0
	case ">":
		return order > 0
	default:
		return order >= 0
	}
}

func arithmetic(operator string, left, right any) any {
	a, ok := left.(float64)
	b, both := right.(float64)
	if !ok || !both {
		return Undefined{}
	}
	switch operator {
	case "+":
		return number(a + b)
	case "-":
		return number(a - b)
	case "*":
		return number(a * b)
	case "/":
		return number(a / b)
	case "%":
		return number(math.Mod(a, b))
	default:
		return float64(bitwise(operator, toInt32(a), toInt32(b)))
	}
}

// bitwise works on 32 bits, like JavaScript: >>> alone knows no sign.
func bitwise(operator string, a, b int32) int64 {
	shift := uint32(b) & 31
	switch operator {
	case "&":
		return int64(a & b)
	case "|":
		return int64(a | b)
	case "^":
		return int64(a ^ b)
	case "<<":
		return int64(a << shift)
	case ">>":
		return int64(a >> shift)
	default:
		return int64(uint32(a) >> shift)
	}
}

// toInt32 keeps the lowest 32 bits of the whole part.
func toInt32(value float64) int32 {
	return int32(uint32(int64(math.Mod(math.Trunc(value), 1<<32))))
}

// number is undefined for what JSON cannot hold.
func number(value float64) any {
	if math.IsNaN(value) || math.IsInf(value, 0) {
		return Undefined{}
	}
	return value
}

func (e in) eval(r *row) any {
	value := e.of.eval(r)
	if isUndefined(value) {
		return Undefined{}
	}
	for _, item := range e.list {
		if other := item.eval(r); !isUndefined(other) && equal(value, other) {
			return true
		}
	}
	return false
}

func (e like) eval(r *row) any {
	value, ok := e.of.eval(r).(string)
	pattern, both := e.pattern.eval(r).(string)
	if !ok || !both || len(pattern) > maxPattern {
		return Undefined{}
	}
	return parsePattern(pattern, e.escape).matches(value)
}

func (e between) eval(r *row) any {
	value := e.of.eval(r)
	low := relation(">=", value, e.low.eval(r))
	high := relation("<=", value, e.high.eval(r))
	return and{literal{low}, literal{high}}.eval(r)
}

func (e call) eval(r *row) any {
	arguments := make([]any, len(e.arguments))
	for i, argument := range e.arguments {
		arguments[i] = argument.eval(r)
		if isUndefined(arguments[i]) && !e.function.takesUndefined {
			return Undefined{}
		}
	}
	return e.function.call(r, arguments)
}

// eval is the aggregate's result once all rows were added.
func (e aggregated) eval(r *row) any {
	if e.number < len(r.results) {
		return r.results[e.number]
	}
	return Undefined{}
}
