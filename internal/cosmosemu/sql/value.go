package sql

import (
	"cmp"
	"encoding/json"
	"strings"
)

// A value is what encoding/json decodes into an any – nil, bool, float64,
// string, []any, map[string]any – or Undefined.

// Undefined is the value of what is not there.
type Undefined struct{}

func isUndefined(v any) bool {
	_, is := v.(Undefined)
	return is
}

// equal is JSON equality: strict in type, deep, without order among the
// properties of an object. Neither side is Undefined.
func equal(a, b any) bool {
	switch a := a.(type) {
	case nil:
		return b == nil
	case bool:
		b, ok := b.(bool)
		return ok && a == b
	case float64:
		b, ok := b.(float64)
		return ok && a == b
	case string:
		b, ok := b.(string)
		return ok && a == b
	case []any:
		b, ok := b.([]any)
		if !ok || len(a) != len(b) {
			return false
		}
		for i := range a {
			if !equal(a[i], b[i]) {
				return false
			}
		}
		return true
	case map[string]any:
		b, ok := b.(map[string]any)
		return ok && len(a) == len(b) && includes(b, a)
	default:
		return false
	}
}

// includes reports whether whole has every property of part, with equal value.
func includes(whole, part map[string]any) bool {
	for name, value := range part {
		if other, ok := whole[name]; !ok || !equal(value, other) {
			return false
		}
	}
	return true
}

// compare orders two values of one type. It is false for types that differ or
// have no order.
func compare(a, b any) (int, bool) {
	switch a := a.(type) {
	case nil:
		return 0, b == nil
	case bool:
		if b, ok := b.(bool); ok {
			return cmp.Compare(rank(a), rank(b)), true
		}
	case float64:
		if b, ok := b.(float64); ok {
			return cmp.Compare(a, b), true
		}
	case string:
		if b, ok := b.(string); ok {
			return strings.Compare(a, b), true
		}
	}
	return 0, false
}

// Order is the order of ORDER BY: undefined, null, false, true, numbers,
// strings, arrays, objects. Arrays and objects are not ordered among
// themselves.
func Order(a, b any) int {
	if c := cmp.Compare(rank(a), rank(b)); c != 0 {
		return c
	}
	c, _ := compare(a, b)
	return c
}

const (
	rankUndefined = iota
	rankNull
	rankFalse
	rankTrue
	rankNumber
	rankString
	rankArray
	rankObject
)

func rank(v any) int {
	switch v := v.(type) {
	case Undefined:
		return rankUndefined
	case nil:
		return rankNull
	case bool:
		if v {
			return rankTrue
		}
		return rankFalse
	case float64:
		return rankNumber
	case string:
		return rankString
	case []any:
		return rankArray
	default:
		return rankObject
	}
}

// Canonical is a text that two values share if they are equal: JSON, with the
// properties of objects in the order of their names.
func Canonical(v any) string {
	text, err := json.Marshal(v)
	if err != nil {
		return "" // not reached: values are what JSON can hold
	}
	return string(text)
}

// maxPattern bounds, in bytes, what LIKE, RegexMatch and the full text functions
// look for: their time grows with its length times that of the text.
const maxPattern = 1000

// text is undefined for what would be larger than any document: no query should
// be able to make memory run out.
func text(value string) any {
	const longest = 2 << 20
	if len(value) > longest {
		return Undefined{}
	}
	return value
}
