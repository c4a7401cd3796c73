package sql

import (
	"math"
	"slices"
	"strings"
	"time"
)

// function is a built-in. Unless it takes undefined arguments, it is undefined
// if one of them is.
type function struct {
	name           string // for messages
	min, max       int    // arguments; max < 0: any number
	takesUndefined bool
	call           func(r *row, arguments []any) any
}

// functions has the built-ins by upper-case name without underscores: the
// service takes ARRAYCONTAINS for ARRAY_CONTAINS.
var functions = index(slices.Concat(typeChecks, textFunctions, searches, numberFunctions, arrayFunctions, clocks))

func index(list []function) map[string]*function {
	byName := make(map[string]*function, len(list))
	for i := range list {
		byName[functionKey(list[i].name)] = &list[i]
	}
	return byName
}

func functionKey(name string) string {
	return strings.ReplaceAll(strings.ToUpper(name), "_", "")
}

// of1 makes a function of one argument that is undefined for another type.
func of1[A any](name string, f func(A) any) function {
	return function{name: name, min: 1, max: 1, call: func(_ *row, arguments []any) any {
		if a, ok := as[A](arguments[0]); ok {
			return f(a)
		}
		return Undefined{}
	}}
}

// of2 makes a function of two arguments.
func of2[A, B any](name string, f func(A, B) any) function {
	return function{name: name, min: 2, max: 2, call: func(_ *row, arguments []any) any {
		a, ok := as[A](arguments[0])
		b, both := as[B](arguments[1])
		if ok && both {
			return f(a, b)
		}
		return Undefined{}
	}}
}

// of3 makes a function of three arguments.
func of3[A, B, C any](name string, f func(A, B, C) any) function {
	return function{name: name, min: 3, max: 3, call: func(_ *row, arguments []any) any {
		a, first := as[A](arguments[0])
		b, second := as[B](arguments[1])
		c, third := as[C](arguments[2])
		if first && second && third {
			return f(a, b, c)
		}
		return Undefined{}
	}}
}

// ofAny makes a function of least or more arguments of one type.
func ofAny[A any](name string, least int, f func([]A) any) function {
	return function{name: name, min: least, max: -1, call: func(_ *row, arguments []any) any {
		list, ok := allOf[A](arguments)
		if !ok {
			return Undefined{}
		}
		return f(list)
	}}
}

// as is the value as a T. Null is one of the values of any.
func as[T any](v any) (T, bool) {
	value, ok := v.(T)
	_, anything := any(&value).(*any)
	return value, ok || anything
}

func allOf[A any](values []any) ([]A, bool) {
	list := make([]A, len(values))
	for i, value := range values {
		var ok bool
		if list[i], ok = as[A](value); !ok {
			return nil, false
		}
	}
	return list, true
}

// withDefault lets the last argument be left out.
func withDefault(f function, value any) function {
	call := f.call
	f.min--
	f.call = func(r *row, arguments []any) any {
		if len(arguments) < f.max {
			arguments = append(arguments, value)
		}
		return call(r, arguments)
	}
	return f
}

var typeChecks = []function{
	typeCheck("IS_DEFINED", func(v any) bool { return !isUndefined(v) }),
	typeCheck("IS_NULL", func(v any) bool { return v == nil }),
	typeCheck("IS_BOOL", is[bool]),
	typeCheck("IS_NUMBER", is[float64]),
	typeCheck("IS_FINITE_NUMBER", is[float64]), // JSON has no others
	typeCheck("IS_INTEGER", func(v any) bool { n, ok := v.(float64); return ok && n == math.Trunc(n) }),
	typeCheck("IS_STRING", is[string]),
	typeCheck("IS_ARRAY", is[[]any]),
	typeCheck("IS_OBJECT", is[map[string]any]),
	typeCheck("IS_PRIMITIVE", func(v any) bool {
		return v == nil || is[bool](v) || is[float64](v) || is[string](v)
	}),
	{name: "IIF", min: 3, max: 3, takesUndefined: true, call: func(_ *row, a []any) any {
		if a[0] == true {
			return a[1]
		}
		return a[2]
	}},
}

// typeCheck is true or false, never undefined.
func typeCheck(name string, check func(any) bool) function {
	return function{name: name, min: 1, max: 1, takesUndefined: true, call: func(_ *row, a []any) any {
		return check(a[0])
	}}
}

func is[T any](v any) bool {
	_, ok := v.(T)
	return ok
}

// The clock stands still for one page of a query.
var clocks = []function{
	clock("GetCurrentDateTime", func(now time.Time) any { return now.UTC().Format("2006-01-02T15:04:05.0000000Z") }),
	clock("GetCurrentTimestamp", func(now time.Time) any { return float64(now.UnixMilli()) }),
	clock("GetCurrentTicks", func(now time.Time) any { return float64(now.UnixNano() / 100) }),
}

func clock(name string, f func(time.Time) any) function {
	return function{name: name, call: func(r *row, _ []any) any { return f(r.now) }}
}
