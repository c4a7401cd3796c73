package sql

import (
	"encoding/json"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Lengths and positions are in characters (Unicode code points). The service
// may count UTF-16 units: not verified.
var textFunctions = []function{
	of1("LENGTH", func(s string) any { return float64(utf8.RuneCountInString(s)) }),
	of1("LOWER", func(s string) any { return strings.ToLower(s) }),
	of1("UPPER", func(s string) any { return strings.ToUpper(s) }),
	of1("TRIM", func(s string) any { return strings.TrimSpace(s) }),
	of1("LTRIM", func(s string) any { return strings.TrimLeftFunc(s, unicode.IsSpace) }),
	of1("RTRIM", func(s string) any { return strings.TrimRightFunc(s, unicode.IsSpace) }),
	of1("REVERSE", func(s string) any {
		characters := []rune(s)
		slices.Reverse(characters)
		return string(characters)
	}),
	ofAny("CONCAT", 2, func(list []string) any { return text(strings.Join(list, "")) }),
	of3("REPLACE", replace),
	of2("REPLICATE", replicate),
	of2("LEFT", func(s string, length float64) any { return substring(s, 0, length) }),
	of2("RIGHT", func(s string, length float64) any {
		start := float64(utf8.RuneCountInString(s)) - length
		return substring(s, max(start, 0), length)
	}),
	of3("SUBSTRING", substring),
	withDefault(of3("INDEX_OF", indexOf), 0.0),
	of1("TOSTRING", toString),
	of1("STRINGTONUMBER", func(s string) any { return parsed[float64](s) }),
	of1("STRINGTOBOOLEAN", func(s string) any { return parsed[bool](s) }),
	of1("STRINGTOARRAY", func(s string) any { return parsed[[]any](s) }),
	of1("STRINGTOOBJECT", func(s string) any { return parsed[map[string]any](s) }),
	of1("STRINGTONULL", func(s string) any {
		if strings.TrimSpace(s) == "null" {
			return nil
		}
		return Undefined{}
	}),
}

var searches = []function{
	search("STRINGEQUALS", func(a, b string) bool { return a == b }),
	search("STARTSWITH", strings.HasPrefix),
	search("ENDSWITH", strings.HasSuffix),
	search("CONTAINS", strings.Contains),
	withDefault(of3("REGEXMATCH", regexMatch), ""),
	fullText("FULLTEXTCONTAINS", 2, func(found, _ int) bool { return found > 0 }),
	fullText("FULLTEXTCONTAINSALL", -1, func(found, all int) bool { return found == all }),
	fullText("FULLTEXTCONTAINSANY", -1, func(found, _ int) bool { return found > 0 }),
}

// search compares two strings, without case if the third argument is true.
func search(name string, match func(a, b string) bool) function {
	return withDefault(of3(name, func(a, b string, ignoreCase bool) any {
		if ignoreCase {
			return match(strings.ToLower(a), strings.ToLower(b))
		}
		return match(a, b)
	}), false)
}

// replace is undefined for an empty text to replace, as in Microsoft's own
// evaluator (azure-cosmos-dotnet-v3, OfflineEngine).
func replace(s, old, with string) any {
	if old == "" {
		return Undefined{}
	}
	const longest = 4 << 20
	if n := strings.Count(s, old); len(s)+n*(len(with)-len(old)) > longest {
		return Undefined{}
	}
	return text(strings.ReplaceAll(s, old, with))
}

// replicate is undefined for more than 10,000 characters, the service's limit.
func replicate(s string, times float64) any {
	const longest = 10_000
	if times < 0 || times > longest || float64(utf8.RuneCountInString(s))*times > longest {
		return Undefined{}
	}
	return strings.Repeat(s, int(times))
}

// substring is empty for what lies outside, and undefined for broken numbers.
func substring(s string, start, length float64) any {
	characters := []rune(s)
	switch {
	case !whole(start) || !whole(length):
		return Undefined{}
	case start < 0 || start >= float64(len(characters)) || length <= 0:
		return ""
	}
	end := min(start+length, float64(len(characters)))
	return string(characters[int(start):int(end)])
}

// indexOf is -1 for what is not there from start on.
func indexOf(s, part string, start float64) any {
	characters := []rune(s)
	if !whole(start) || start < 0 || start > float64(len(characters)) {
		return Undefined{}
	}
	before, rest := string(characters[:int(start)]), string(characters[int(start):])
	skipped, _, found := strings.Cut(rest, part)
	if !found {
		return -1.0
	}
	return float64(utf8.RuneCountInString(before) + utf8.RuneCountInString(skipped))
}

// toString writes numbers in Go's shortest form; the service's is another for
// very large and very small ones.
func toString(value any) any {
	switch value := value.(type) {
	case string:
		return value
	case float64:
		return strconv.FormatFloat(value, 'g', -1, 64)
	default:
		return text(Canonical(value))
	}
}

// parsed reads JSON of one type.
func parsed[T any](s string) any {
	var value any
	if json.Unmarshal([]byte(s), &value) != nil || !is[T](value) {
		return Undefined{}
	}
	return value
}

// regexMatch takes the modifiers i, m and s. It is undefined for what Go's
// regexp, which never takes exponential time, does not know: look-around,
// back-references, and the modifier x.
func regexMatch(s, expression, modifiers string) any {
	if len(expression) > maxPattern || strings.Trim(modifiers, "ims") != "" {
		return Undefined{}
	}
	if modifiers != "" {
		expression = "(?" + modifiers + ")" + expression
	}
	compiled, err := regexp.Compile(expression)
	if err != nil {
		return Undefined{}
	}
	return compiled.MatchString(s)
}

// fullText counts how many of the phrases a text has. It takes up to most
// arguments; a negative number means any.
func fullText(name string, most int, enough func(found, all int) bool) function {
	f := ofAny(name, 2, func(list []string) any {
		in, found := words(list[0]), 0
		for _, phrase := range list[1:] {
			if len(phrase) > maxPattern {
				return Undefined{}
			}
			if hasPhrase(in, words(phrase)) {
				found++
			}
		}
		return enough(found, len(list)-1)
	})
	f.max = most
	return f
}

// words cuts a text into its words, in lower case. The service also stems them
// and leaves out stop words.
func words(s string) []string {
	return strings.FieldsFunc(strings.ToLower(s), func(c rune) bool { return !unicode.IsLetter(c) && !unicode.IsDigit(c) })
}

func hasPhrase(in, phrase []string) bool {
	if len(phrase) == 0 {
		return false
	}
	for at := 0; at+len(phrase) <= len(in); at++ {
		if slices.Equal(in[at:at+len(phrase)], phrase) {
			return true
		}
	}
	return false
}
