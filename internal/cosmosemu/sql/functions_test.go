package sql_test

import (
	"encoding/json"
	"strings"
	"testing"

	"opfeed/internal/cosmosemu/sql"
)

// value is the JSON of an expression on the document, or "undefined".
func value(t *testing.T, expression string) string {
	t.Helper()
	got, ok := bind(t, "SELECT VALUE "+expression+" FROM c").Select(decode(t, document))
	if !ok {
		return "undefined"
	}
	text, err := json.Marshal(got)
	if err != nil {
		t.Fatalf("%s: %v", expression, err)
	}
	return string(text)
}

// TestOperators has, for each operator: normal, undefined, of a wrong type.
func TestOperators(t *testing.T) {
	for expression, want := range map[string]string{
		"c.missing ?? 1": "1", "c.n ?? 1": "5", "c.z ?? 1": "null", "c.missing ?? c.absent": "undefined",
		"c.missing ?? c.absent ?? 2": "2", "c.missing ?? 1 = 1": "true",
		"c.b ? 1 : 2": "1", "NOT c.b ? 1 : 2": "2", "c.missing ? 1 : 2": "2", "c.n ? 1 : 2": "2", "c.n = 5 ? c.t : c.e": `"Text"`,
		"c.b ? c.missing : 2": "undefined", "c.missing ? 1 : c.b ? 2 : 3": "2", "c.b ? c.missing ? 1 : 2 : 3": "2",
		"c.t || 'x'": `"Textx"`, "c.t || c.missing": "undefined", "c.t || 1": "undefined", "c.t || 'x' = 'Textx'": "true",

		"c.n & 4": "4", "c.n | 8": "13", "c.n ^ 1": "4", "~c.n": "-6", "c.n << 2": "20", "-8 >> 1": "-4", "-8 >>> 28": "15",
		"1 << 33": "2", "4294967301 & 7": "5", "5.9 & 7": "5", "-1 >>> 0": "4294967295", "1 | 2 ^ 2 & 2": "1", "1 << 1 + 1": "4",
		"c.t & 1": "undefined", "c.missing | 1": "undefined", "~c.t": "undefined", "(c.n & 1) = 1": "true", "1e300 & 1": "0",

		"c.t LIKE 'Text'": "true", "c.t LIKE 'text'": "false", "c.t LIKE 'T%'": "true", "c.t LIKE '%x%'": "true", "c.t LIKE '%z%'": "false",
		"c.t LIKE 'T__t'": "true", "c.t LIKE 'T_t'": "false", "c.t LIKE '[R-T]ex[^a-s]'": "true", "c.t LIKE '[^T]%'": "false", "c.t LIKE '[abcT]%'": "true",
		"c.t NOT LIKE 'T%'": "false", "c.t LIKE 1": "undefined", "c.n LIKE '5'": "undefined", "c.missing LIKE '%'": "undefined", "c.missing NOT LIKE '%'": "undefined",
		"'a%b' LIKE 'a!%b' ESCAPE '!'": "true", "'axb' LIKE 'a!%b' ESCAPE '!'": "false", "'a_b' LIKE 'a[_]b'": "true", "'axb' LIKE 'a[_]b'": "false",
		"'' LIKE '%'": "true", "'' LIKE ''": "true", "'' LIKE '_'": "false", "'a' LIKE ''": "false", "'[' LIKE '['": "true", "'üx' LIKE '_x'": "true",
		"'aXbXc' LIKE '%X%c'": "true", "'aXbX' LIKE '%X'": "true", "'aXb' LIKE '%X'": "false", "c.t LIKE 'T%' AND c.n = 5": "true",
		"c.t LIKE 'T' || '%'": "true", "'a-b' LIKE 'a[-]b'": "true",

		"c.n BETWEEN 1 + 1 AND 9 - 1 AND c.b": "true", "c.n NOT BETWEEN 1 AND 2": "true", "c.t BETWEEN 'A' AND 'Z'": "true", "c.t BETWEEN 1 AND 2": "undefined",
		"c.n IN (c.missing, 5)": "true", "c.n IN (c.missing)": "false", "c.o IN ({'a b': 8, p: {q: 7}})": "true",
		"[c.n, {x: [c.t, {y: c.b ? 'yes' : 'no'}]}]": `[5,{"x":["Text",{"y":"yes"}]}]`, "{\"a\": c.missing, 'b': {}}": `{"b":{}}`,
		"[c.l[2].k, c.l[1]][0]": "1", "{a: {b: 3}}.a.b": "3", "c[\"o\"].p['q']": "7",
		"c.n -- five\n + 1": "6", "c.n - -1": "6",
	} {
		if got := value(t, expression); got != want {
			t.Errorf("%s is %s, want %s", expression, got, want)
		}
	}
}

// TestFunctions has, for each function: normal, undefined, of a wrong type.
func TestFunctions(t *testing.T) {
	for expression, want := range map[string]string{
		"IS_INTEGER(5)": "true", "IS_INTEGER(5.5)": "false", "IS_INTEGER('5')": "false", "IS_INTEGER(c.missing)": "false",
		"IS_FINITE_NUMBER(c.n)": "true", "IS_FINITE_NUMBER(c.t)": "false", "IS_FINITE_NUMBER(c.missing)": "false",
		"IIF(c.b, 1, 2)": "1", "IIF(false, 1, 2)": "2", "IIF(c.missing, 1, 2)": "2", "IIF(c.n, 1, 2)": "2", "IIF(c.b, c.missing, 2)": "undefined",

		"TRIM('  a b ')": `"a b"`, "LTRIM('  a ')": `"a "`, "RTRIM(' a  ')": `" a"`, "TRIM(1)": "undefined", "LTRIM(c.missing)": "undefined", "RTRIM(null)": "undefined",
		"REVERSE('aü😀')": `"😀üa"`, "REVERSE(1)": "undefined", "REVERSE(c.missing)": "undefined",
		"REPLICATE('ab', 3)": `"ababab"`, "REPLICATE('a', 0)": `""`, "REPLICATE('a', -1)": "undefined", "REPLICATE('ab', 5001)": "undefined",
		"REPLICATE('a', 1e300)": "undefined", "REPLICATE('', 1e300)": "undefined", "REPLICATE(1, 2)": "undefined", "REPLICATE('a', c.missing)": "undefined",
		"LEFT(c.t, 2)": `"Te"`, "LEFT(c.t, 9)": `"Text"`, "LEFT(c.t, -1)": `""`, "LEFT(c.t, 1.5)": "undefined", "LEFT(c.n, 1)": "undefined", "LEFT(c.missing, 1)": "undefined",
		"RIGHT(c.t, 2)": `"xt"`, "RIGHT(c.t, 9)": `"Text"`, "RIGHT(c.t, 0)": `""`, "RIGHT(c.t, -1)": `""`, "RIGHT(c.t, 0.5)": "undefined", "RIGHT(1, 1)": "undefined",
		"SUBSTRING(c.t, 1, 2)": `"ex"`, "SUBSTRING(c.t, 1, 99)": `"ext"`, "SUBSTRING(c.t, 4, 1)": `""`, "SUBSTRING(c.t, -1, 1)": `""`, "SUBSTRING(c.t, 1, 1e300)": `"ext"`,
		"SUBSTRING(c.t, '1', 2)": "undefined", "SUBSTRING(c.missing, 1, 2)": "undefined", "SUBSTRING('aüb', 1, 1)": `"ü"`,
		"INDEX_OF(c.t, 'x')": "2", "INDEX_OF(c.t, 'z')": "-1", "INDEX_OF('abab', 'a', 1)": "2", "INDEX_OF('üb', 'b')": "1", "INDEX_OF(c.t, 'x', -1)": "undefined",
		"INDEX_OF(c.t, 1)": "undefined", "INDEX_OF(c.missing, 'x')": "undefined", "INDEX_OF(c.t, 'x', 1e300)": "undefined",
		"TOSTRING(c.n)": `"5"`, "TOSTRING(1.5)": `"1.5"`, "TOSTRING(c.t)": `"Text"`, "TOSTRING(null)": `"null"`, "TOSTRING(c.b)": `"true"`,
		"TOSTRING([1, 'a'])": `"[1,\"a\"]"`, "TOSTRING(c.missing)": "undefined",
		"StringToNumber('1.5')": "1.5", "StringToNumber('x')": "undefined", "StringToNumber(1)": "undefined", "StringToNumber(' 2 ')": "2",
		"StringToBoolean('true')": "true", "StringToBoolean('True')": "undefined", "StringToArray('[1]')": "[1]", "StringToArray('{}')": "undefined",
		"StringToObject('{\"a\":1}')": `{"a":1}`, "StringToObject('[]')": "undefined", "StringToNull('null')": "null", "StringToNull('x')": "undefined",
		"CONCAT(c.t, c.t)": `"TextText"`, "LENGTH(CONCAT(REPLICATE('a', 9000), 'b'))": "9001",

		"RegexMatch(c.t, '^T.*t$')": "true", "RegexMatch(c.t, '^t')": "false", "RegexMatch(c.t, '^t', 'i')": "true", "RegexMatch(c.t, '(')": "undefined",
		"RegexMatch(c.t, 'T', 'x')": "undefined", "RegexMatch(c.n, '5')": "undefined", "RegexMatch(c.missing, 'x')": "undefined",
		"RegexMatch('a\\nb', '^b', 'm')": "true", "RegexMatch(REPLICATE('a', 10000), '(a+)+$')": "true",
		"FullTextContains('The Search, engine', 'search')": "true", "FullTextContains('research', 'search')": "false", "FullTextContains(c.n, 'a')": "undefined",
		"FullTextContains('red bike lane', 'BIKE LANE')": "true", "FullTextContains('red bike lane', 'red lane')": "false", "FullTextContains(c.missing, 'a')": "undefined",
		"FullTextContainsAll('red bike lane', 'lane', 'red')": "true", "FullTextContainsAll('red bike', 'lane', 'red')": "false", "FullTextContainsAll('a', 1)": "undefined",
		"FullTextContainsAny('red bike', 'lane', 'red')": "true", "FullTextContainsAny('red bike', 'lane')": "false", "FullTextContains('a', '')": "false",

		"ABS(-c.n)": "5", "CEILING(1.2)": "2", "FLOOR(-1.2)": "-2", "ROUND(2.5)": "3", "ROUND(-2.5)": "-3", "ROUND(1.256, 2)": "1.26", "ROUND(1, 99)": "undefined",
		"TRUNC(-1.9)": "-1", "SIGN(-3)": "-1", "SIGN(0)": "0", "SIGN(3)": "1", "SQRT(9)": "3", "SQRT(-1)": "undefined", "SQUARE(3)": "9",
		"POWER(2, 10)": "1024", "POWER(10, 999)": "undefined", "LOG(1)": "0", "LOG(8, 2)": "3", "LOG(0)": "undefined", "LOG10(100)": "2", "EXP(0)": "1", "PI() > 3": "true",
		"ABS('1')": "undefined", "ROUND(c.missing)": "undefined", "POWER(2, 'x')": "undefined", "SIGN(c.b)": "undefined",

		"ARRAY_CONCAT(c.l, [9], [])": `[1,"x",{"k":1,"m":2},9]`, "ARRAY_CONCAT(c.l, 9)": "undefined", "ARRAY_CONCAT(c.missing, [])": "undefined",
		"ARRAY_SLICE(c.l, 1)": `["x",{"k":1,"m":2}]`, "ARRAY_SLICE(c.l, 0, 1)": "[1]", "ARRAY_SLICE(c.l, -2, 1)": `["x"]`, "ARRAY_SLICE(c.l, -9, 1)": "[1]",
		"ARRAY_SLICE(c.l, 9)": "[]", "ARRAY_SLICE(c.l, 1, 0)": "[]", "ARRAY_SLICE(c.l, 0.5)": "undefined", "ARRAY_SLICE(c.n, 0)": "undefined", "ARRAY_SLICE(c.l, -1e300, 1e300)": `[1,"x",{"k":1,"m":2}]`,
		"ARRAY_CONTAINS_ANY(c.l, 7, 1)": "true", "ARRAY_CONTAINS_ANY(c.l, 7)": "false", "ARRAY_CONTAINS_ALL(c.l, 1, 'x')": "true", "ARRAY_CONTAINS_ALL(c.l, 1, 7)": "false",
		"ARRAY_CONTAINS_ANY(c.n, 1)": "undefined", "ARRAY_CONTAINS_ALL(c.l, c.missing)": "undefined",
		"ARRAY_CONTAINS([null], null)": "true", "ARRAY_CONTAINS([null], c.z)": "true", "ARRAY_CONTAINS_ANY([null], null)": "true",
		"ARRAY_CONTAINS(c.l, {k: 1, m: 2})": "true", "ARRAY_CONTAINS(c.l, {k: 2}, true)": "false", "ARRAY_CONTAINS(c.l, 1, true)": "true",
		"array_length(c.l)": "3", "Array_Contains(c.l, 1)": "true",
	} {
		if got := value(t, expression); got != want {
			t.Errorf("%s is %s, want %s", expression, got, want)
		}
	}
}

func TestClock(t *testing.T) {
	for expression, want := range map[string]string{
		"GetCurrentDateTime()": `"2000-01-01T01:00:01.2340000Z"`, "GetCurrentTimestamp()": "946688401234", "GetCurrentTicks()": "9466884012340000",
	} {
		if got := value(t, expression); got != want {
			t.Errorf("%s is %s, want %s", expression, got, want)
		}
	}
}

// TestBounded holds that a short query cannot make much of little.
func TestBounded(t *testing.T) {
	big := "REPLICATE('a', 10000)"
	for _, expression := range []string{
		"REPLACE(" + big + ", 'a', " + big + ")",
		"CONCAT(" + big + strings.Repeat(", "+big, 300) + ")",
		big + strings.Repeat(" || "+big, 300),
		big + " LIKE '" + strings.Repeat("%a", 501) + "'", "RegexMatch(c.t, " + big + ")", "FullTextContains(c.t, " + big + ")",
	} {
		if got := value(t, expression); got != "undefined" {
			t.Errorf("%.50s has %d bytes", expression, len(got))
		}
	}
	if got := value(t, "LENGTH("+big+") BETWEEN 1 AND 10000 AND "+big+" LIKE '"+strings.Repeat("%a", 499)+"b'"); got != "false" {
		t.Errorf("LIKE: %s", got)
	}
	query, err := sql.Parse("SELECT VALUE ARRAY_CONCAT(@list, @list) FROM c")
	if err != nil {
		t.Fatal(err)
	}
	for n, want := range map[int]bool{1 << 19: true, 1<<19 + 1: false} {
		statement, err := query.Bind(map[string]any{"@list": make([]any, n)}, now)
		if err != nil {
			t.Fatal(err)
		}
		if list, ok := statement.Select(nil); ok != want {
			t.Errorf("twice %d items: %d, %t", n, len(list.([]any)), ok)
		}
	}
}
