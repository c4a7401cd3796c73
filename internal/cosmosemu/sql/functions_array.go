package sql

import (
	"math"
	"slices"
)

var arrayFunctions = []function{
	of1("ARRAY_LENGTH", func(list []any) any { return float64(len(list)) }),
	withDefault(of3("ARRAY_CONTAINS", arrayContains), false),
	arraySearch("ARRAY_CONTAINS_ANY", slices.ContainsFunc[[]any]),
	arraySearch("ARRAY_CONTAINS_ALL", func(wanted []any, has func(any) bool) bool {
		return !slices.ContainsFunc(wanted, func(value any) bool { return !has(value) })
	}),
	ofAny("ARRAY_CONCAT", 2, func(lists [][]any) any {
		const longest = 1 << 20
		n := 0
		for _, list := range lists {
			n += len(list)
		}
		if n > longest {
			return Undefined{}
		}
		return slices.Concat(append([][]any{{}}, lists...)...)
	}),
	withDefault(of3("ARRAY_SLICE", arraySlice), math.MaxInt32*1.0),
}

// arrayContains looks for a value in an array; with partial, an object with
// these properties, and perhaps more, will do.
func arrayContains(list []any, value any, partial bool) any {
	wanted, isObject := value.(map[string]any)
	return slices.ContainsFunc(list, func(item any) bool {
		has, ok := item.(map[string]any)
		return equal(item, value) || partial && ok && isObject && includes(has, wanted)
	})
}

// arraySearch looks for the values that follow the array.
func arraySearch(name string, search func(wanted []any, has func(any) bool) bool) function {
	return function{name: name, min: 2, max: -1, call: func(_ *row, arguments []any) any {
		list, ok := arguments[0].([]any)
		if !ok {
			return Undefined{}
		}
		return search(arguments[1:], func(value any) bool { return arrayContains(list, value, false) == true })
	}}
}

// arraySlice counts a negative start from the end.
func arraySlice(list []any, start, length float64) any {
	if !whole(start) || !whole(length) {
		return Undefined{}
	}
	n := float64(len(list))
	if start < 0 {
		start = max(start+n, 0)
	}
	if start >= n || length <= 0 {
		return []any{}
	}
	return list[int(start):int(min(start+length, n))]
}
