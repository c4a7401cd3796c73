package sql

import (
	"strings"
	"unicode/utf8"
)

// function is a built-in. Unless it takes undefined arguments, it is undefined
// if one of them is.
type function struct {
	name           string // for messages
	min, max       int    // arguments; max < 0: any number
	takesUndefined bool
	call           func(arguments []any) any
}

// functions has the built-ins by upper-case name without underscores: the
// service takes ARRAYCONTAINS for ARRAY_CONTAINS.
var functions = index(
	typeCheck("IS_DEFINED", func(v any) bool { return !isUndefined(v) }),
	typeCheck("IS_NULL", func(v any) bool { return v == nil }),
	typeCheck("IS_BOOL", is[bool]),
	typeCheck("IS_NUMBER", is[float64]),
	typeCheck("IS_STRING", is[string]),
	typeCheck("IS_ARRAY", is[[]any]),
	typeCheck("IS_OBJECT", is[map[string]any]),
	typeCheck("IS_PRIMITIVE", func(v any) bool {
		return v == nil || is[bool](v) || is[float64](v) || is[string](v)
	}),

	function{name: "LENGTH", min: 1, max: 1, call: func(a []any) any {
		if text, ok := a[0].(string); ok {
			return float64(utf8.RuneCountInString(text))
		}
		return Undefined{}
	}},
	mapping("LOWER", strings.ToLower),
	mapping("UPPER", strings.ToUpper),
	function{name: "CONCAT", min: 2, max: -1, call: func(a []any) any {
		texts, ok := allStrings(a)
		if !ok {
			return Undefined{}
		}
		return strings.Join(texts, "")
	}},
	function{name: "REPLACE", min: 3, max: 3, call: func(a []any) any {
		texts, ok := allStrings(a)
		if !ok {
			return Undefined{}
		}
		if texts[1] == "" {
			return texts[0]
		}
		return strings.ReplaceAll(texts[0], texts[1], texts[2])
	}},

	search("STRINGEQUALS", func(a, b string) bool { return a == b }),
	search("STARTSWITH", strings.HasPrefix),
	search("ENDSWITH", strings.HasSuffix),
	search("CONTAINS", strings.Contains),

	function{name: "ARRAY_LENGTH", min: 1, max: 1, call: func(a []any) any {
		if list, ok := a[0].([]any); ok {
			return float64(len(list))
		}
		return Undefined{}
	}},
	function{name: "ARRAY_CONTAINS", min: 2, max: 3, call: arrayContains},
)

func index(list ...function) map[string]*function {
	byName := make(map[string]*function, len(list))
	for i := range list {
		byName[functionKey(list[i].name)] = &list[i]
	}
	return byName
}

func functionKey(name string) string {
	return strings.ReplaceAll(strings.ToUpper(name), "_", "")
}

// typeCheck is true or false, never undefined.
func typeCheck(name string, check func(any) bool) function {
	return function{name: name, min: 1, max: 1, takesUndefined: true, call: func(a []any) any { return check(a[0]) }}
}

func is[T any](v any) bool {
	_, ok := v.(T)
	return ok
}

func mapping(name string, change func(string) string) function {
	return function{name: name, min: 1, max: 1, call: func(a []any) any {
		if text, ok := a[0].(string); ok {
			return change(text)
		}
		return Undefined{}
	}}
}

// search compares two strings, without case if the third argument is true.
func search(name string, match func(a, b string) bool) function {
	return function{name: name, min: 2, max: 3, call: func(a []any) any {
		texts, ok := allStrings(a[:2])
		if !ok {
			return Undefined{}
		}
		if len(a) == 2 {
			return match(texts[0], texts[1])
		}
		ignoreCase, ok := a[2].(bool)
		if !ok {
			return Undefined{}
		}
		if ignoreCase {
			return match(strings.ToLower(texts[0]), strings.ToLower(texts[1]))
		}
		return match(texts[0], texts[1])
	}}
}

// arrayContains looks for a value in an array; with true as third argument an
// object with these properties, and perhaps more, will do.
func arrayContains(a []any) any {
	list, ok := a[0].([]any)
	if !ok {
		return Undefined{}
	}
	partial := false
	if len(a) == 3 {
		if partial, ok = a[2].(bool); !ok {
			return Undefined{}
		}
	}
	wanted, isObject := a[1].(map[string]any)
	for _, item := range list {
		if equal(item, a[1]) {
			return true
		}
		if whole, ok := item.(map[string]any); ok && isObject && partial && includes(whole, wanted) {
			return true
		}
	}
	return false
}

func allStrings(values []any) ([]string, bool) {
	texts := make([]string, len(values))
	for i, value := range values {
		text, ok := value.(string)
		if !ok {
			return nil, false
		}
		texts[i] = text
	}
	return texts, true
}
