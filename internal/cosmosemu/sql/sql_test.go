package sql_test

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"opfeed/internal/cosmosemu/sql"
)

const document = `{"id":"a","n":5,"t":"Text","b":true,"z":null,"e":"","l":[1,"x",{"k":1,"m":2}],"o":{"p":{"q":7},"a b":8},
	"resourceID":"/subscriptions/S/x/y","resourceType":"Microsoft.X/operations","properties":{"status":"Accepted","externalId":"/A/b"}}`

func decode(t *testing.T, text string) any {
	t.Helper()
	var value any
	if err := json.Unmarshal([]byte(text), &value); err != nil {
		t.Fatal(err)
	}
	return value
}

var parameters = map[string]any{
	"@n": 5.0, "@s": "Text", "@list": []any{"Text", "x"}, "@null": nil,
	"@resourceType": "microsoft.x/OPERATIONS", "@prefix": "/SUBSCRIPTIONS/s/", "@externalId": "/a",
}

// now is when all queries are run.
var now = time.Date(2000, 1, 1, 1, 0, 1, 234_000_000, time.UTC)

func bind(t *testing.T, query string) *sql.Statement {
	t.Helper()
	parsed, err := sql.Parse(query)
	if err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	statement, err := parsed.Bind(parameters, now)
	if err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	return statement
}

// TestExpressions evaluates to true, false, or undefined.
func TestExpressions(t *testing.T) {
	for text, want := range map[string]string{
		"c.n = 5": "true", "c.n = 5.0": "true", "c.n = '5'": "false", "c.n != '5'": "true", "c.n <> 5": "false",
		"c.z = null": "true", "c.n != null": "true", "c.missing = null": "undefined", "c.missing != 1": "undefined",
		"c.missing = c.missing": "undefined", "undefined = undefined": "undefined",
		"c.l = [1, 'x', {'m': 2, \"k\": 1}]": "true", "c.o = {p: {q: 7}}": "false",
		"c.n > 4": "true", "c.n >= 5": "true", "c.n < 5": "false", "c.n <= 5": "true",
		"c.n > '4'": "undefined", "c.t > 4": "undefined", "c.missing > 4": "undefined", "c.l > 4": "undefined",
		"c.t > 'Tex'": "true", "'a' < 'B'": "false", "true > false": "true",

		"true AND undefined": "undefined", "false AND undefined": "false", "undefined AND false": "false",
		"undefined AND true": "undefined", "undefined AND undefined": "undefined", "1 AND true": "undefined",
		"true OR undefined": "true", "undefined OR true": "true", "false OR undefined": "undefined",
		"undefined OR false": "undefined", "NOT undefined": "undefined", "NOT 1": "undefined", "NOT true": "false", "NOT (NOT true)": "true", "not NOT true": "true",
		"true OR false AND false": "true", "(true OR false) AND false": "false", "NOT false AND false": "false",
		"true or FALSE and not true": "true",

		"c.n IN (1, 5)": "true", "c.n IN ('5')": "false", "c.missing IN (1)": "undefined", "c.n NOT IN (1)": "true",
		"c.n in (c.missing, @n)": "true", "c.n BETWEEN 1 AND 5": "true", "c.n BETWEEN 6 AND 7": "false",
		"c.n NOT BETWEEN 6 AND 7 AND true": "true", "c.t BETWEEN 1 AND 2": "undefined", "c.n BETWEEN 'a' AND 1": "false",

		"1 + 2 * 3 = 7": "true", "(1 + 2) * 3 = 9": "true", "7 % 4 = 3": "true", "1 - 2 - 3 = -4": "true", "8 / 4 / 2 = 1": "true",
		"1 / 0 = 1": "undefined", "'a' + 'b' = 'ab'": "undefined", "- c.n = -5": "true", "+c.n = 5": "true", "-c.t = 1": "undefined",
		"'a' || 'b' = 'ab'": "true", "'a' || 1 = 'a1'": "undefined", "1 + 1 = 2 AND 2 > 1": "true",

		"c['n'] = 5": "true", `c["o"]["a b"] = 8`: "true", "c.o.p.q = 7": "true", "c.l[1] = 'x'": "true", "c.l[2].m = 2": "true",
		"c.l[9] = 1": "undefined", "c.n.x = 1": "undefined", "c.l.x = 1": "undefined", "c.N = 5": "undefined", "c.o[0] = 1": "undefined",
		"@n = c.n": "true", "@null = c.z": "true",
		`'it\'s' = "it's"`: "true", `"\u0041\n\/\"" = 'A\n/"'`: "true", `"\ud83d\ude00" = '😀'`: "true",
		"1e2 = 100": "true", ".5 = 0.5": "true", "1E-2 = 0.01": "true",

		"IS_DEFINED(c.n)": "true", "IS_DEFINED(c.missing)": "false", "NOT IS_DEFINED(c.missing)": "true", "IS_DEFINED(c.z)": "true",
		"IS_NULL(c.z)": "true", "IS_NULL(c.missing)": "false", "IS_STRING(c.t)": "true", "IS_STRING(c.n)": "false", "IS_STRING(c.missing)": "false",
		"IS_NUMBER(c.n)": "true", "IS_BOOL(c.b)": "true", "IS_ARRAY(c.l)": "true", "IS_OBJECT(c.o)": "true", "IS_OBJECT(c.l)": "false",
		"IS_PRIMITIVE(c.z)": "true", "IS_PRIMITIVE(c.o)": "false", "isdefined(c.n)": "true",
		"LENGTH(c.t) = 4": "true", "LENGTH(c.e) > 0": "false", "LENGTH(c.missing) > 0": "undefined", "LENGTH(c.n) > 0": "undefined",
		"LENGTH('ü→😀') = 3": "true", "LOWER(c.t) = 'text'": "true", "UPPER(c.t) = 'TEXT'": "true", "LOWER(c.n) = '5'": "undefined",
		"REPLACE(c.t, 't', '') = 'Tex'": "true", "REPLACE(c.t, '', 'x') = 'Text'": "undefined", "REPLACE(c.t, 1, 'x') = 'Text'": "undefined",
		"CONCAT('a', 'b', 'c') = 'abc'": "true", "CONCAT('a', c.missing) = 'a'": "undefined", "CONCAT('a', 1) = 'a1'": "undefined",
		"STARTSWITH(c.t, 'Te')": "true", "STARTSWITH(c.t, 'te')": "false", "STARTSWITH(c.t, 'te', true)": "true", "STARTSWITH(c.t, 'te', false)": "false",
		"STARTSWITH(c.missing, 'te')": "undefined", "STARTSWITH(c.n, 'te')": "undefined", "STARTSWITH(c.t, 'te', 1)": "undefined",
		"ENDSWITH(c.t, 'xt')": "true", "CONTAINS(c.t, 'EX', true)": "true", "CONTAINS(c.t, 'EX')": "false",
		"STRINGEQUALS(c.t, 'tEXT', true)": "true", "STRING_EQUALS(c.t, 'tEXT')": "false", "StringEquals(c.t, 'Text')": "true",
		"ARRAY_CONTAINS(c.l, 1)": "true", "ARRAY_CONTAINS(c.l, 2)": "false", "ARRAYCONTAINS(@list, c.t)": "true",
		"ARRAY_CONTAINS(c.l, {'k': 1})": "false", "ARRAY_CONTAINS(c.l, {'k': 1}, true)": "true", "ARRAY_CONTAINS(c.n, 1)": "undefined",
		"ARRAY_CONTAINS(c.l, c.missing)": "undefined", "ARRAY_CONTAINS(c.l, 1, 'x')": "undefined", "ARRAY_LENGTH(c.l) = 3": "true",
	} {
		statement := bind(t, "SELECT VALUE "+text+" FROM c")
		got := "undefined"
		if value, ok := statement.Select(decode(t, document)); ok {
			encoded, err := json.Marshal(value)
			if err != nil {
				t.Fatal(err)
			}
			got = string(encoded)
		}
		if got != want {
			t.Errorf("%s is %s, want %s", text, got, want)
		}
		if matches := bind(t, "SELECT * FROM c WHERE "+text).Matches(decode(t, document)); matches != (want == "true") {
			t.Errorf("WHERE %s selects: %t", text, matches)
		}
	}
}

// TestShapes runs the queries that resource providers send.
func TestShapes(t *testing.T) {
	for query, want := range map[string]bool{
		"SELECT * FROM c": true,
		"SELECT * FROM c WHERE (NOT IS_DEFINED(c.resourceID) OR IS_NULL(c.resourceID))":                                                                                                                                                             false,
		"SELECT * FROM c WHERE LENGTH(c.resourceID) > 0 AND (NOT IS_DEFINED(c.deletionTimestamp)) AND STRINGEQUALS(c.resourceType, @resourceType, true)":                                                                                            true,
		"SELECT * FROM c WHERE STARTSWITH(c.resourceID, @prefix, true) AND (NOT IS_DEFINED(c.deletionTimestamp)) AND (LENGTH(c.resourceID) - LENGTH(REPLACE(c.resourceID, '/', ''))) = 4":                                                           true,
		`SELECT * FROM c WHERE STRINGEQUALS(c.resourceType, "microsoft.x/operations", true) AND LENGTH(c.resourceID) > 0 AND (NOT IS_DEFINED(c.deletionTimestamp)) AND NOT ARRAYCONTAINS(["Succeeded", "Failed", "Canceled"], c.properties.status)`: true,
		`SELECT * FROM c WHERE LENGTH(c.resourceID) > 0 AND (NOT IS_DEFINED(c.deletionTimestamp)) AND (STRINGEQUALS(c.resourceType, "T1", true) OR STRINGEQUALS(c.resourceType, "T2", true))`:                                                       false,
		`SELECT * FROM c WHERE (STRINGEQUALS(c.properties.externalId, @externalId, true) OR STARTSWITH(c.properties.externalId, CONCAT(@externalId, "/"), true))`:                                                                                   true,
		"SELECT * FROM c WHERE NOT IS_DEFINED(c.deletionTime)":                                                                   true,
		`select * from docs c where c["o"]["a b"] = 8`:                                                                           true,
		"SELECT * FROM root r WHERE (r.id = @s AND r.n = @n) OR (r.id IN (@s, 'a') AND IS_NULL(r.z))":                            true,
		"SELECT * FROM c WHERE NOT ARRAYCONTAINS([\"Succeeded\"], c.properties.missing)":                                         false,
		"SELECT * FROM c WHERE NOT ARRAYCONTAINS([\"Succeeded\"], c.properties.missing) OR NOT IS_DEFINED(c.properties.missing)": true,
		"SELECT * FROM c AS x WHERE x.n BETWEEN 1 AND 9 AND x.t = 'Text' ORDER BY x.n":                                           true,
	} {
		if got := bind(t, query).Matches(decode(t, document)); got != want {
			t.Errorf("%s: %t", query, got)
		}
	}
}

func TestSelect(t *testing.T) {
	for query, want := range map[string]string{
		"SELECT c.id FROM c":                                `{"id":"a"}`,
		"SELECT c.id, c.n AS number, c.missing FROM c":      `{"id":"a","number":5}`,
		"SELECT c.o.p, c['o']['a b'], c.l[0], 1 + 1 FROM c": `{"p":{"q":7},"a b":8,"$1":1,"$2":2}`,
		"SELECT c.missing FROM c":                           `{}`,
		"SELECT x.id name FROM c x":                         `{"name":"a"}`,
		"SELECT VALUE c.o FROM c":                           `{"p":{"q":7},"a b":8}`,
		"SELECT VALUE {'k': c.n, m: c.missing} FROM c":      `{"k":5}`,
		"SELECT VALUE [c.n, c.missing] FROM c":              `[5]`,
		"SELECT TOP 3 VALUE c.n FROM c":                     `5`,
	} {
		got, ok := bind(t, query).Select(decode(t, document))
		if !ok || !reflect.DeepEqual(got, decode(t, want)) {
			t.Errorf("%s: got %v, want %s", query, got, want)
		}
	}
}

// TestRefused names what is wrong.
func TestRefused(t *testing.T) {
	for query, names := range map[string]string{
		"":                                                                    "SELECT",
		"UPDATE c":                                                            "UPDATE",
		"SELECT * FROM":                                                       "after FROM",
		"SELECT * FROM c WHERE":                                               "end of query",
		"SELECT * FROM c x y":                                                 "'y'",
		"SELECT * FROM c WHERE d.n = 1":                                       "'d'",
		"SELECT * FROM docs c WHERE docs.n = 1":                               "'docs'",
		"SELECT * FROM c.list":                                                "FROM",
		"SELECT * FROM c IN c.list":                                           "FROM",
		"SELECT * FROM c JOIN x IN c.list":                                    "JOIN",
		"SELECT * FROM c, d":                                                  "FROM",
		"SELECT * FROM c GROUP BY c.n":                                        "GROUP BY",
		"SELECT * FROM c ORDER BY c.n + 1":                                    "ORDER BY",
		"SELECT * FROM c ORDER BY LOWER(c.n)":                                 "ORDER BY",
		"SELECT * FROM c OFFSET 1":                                            "LIMIT",
		"SELECT TOP 1 * FROM c OFFSET 1 LIMIT 1":                              "TOP",
		"SELECT TOP -1 * FROM c":                                              "TOP",
		"SELECT TOP 1.5 * FROM c":                                             "TOP",
		"SELECT * FROM c WHERE COUNT(1) > 1":                                  "COUNT",
		"SELECT c.n, c.n FROM c":                                              "twice",
		"SELECT *, c.n FROM c":                                                ",",
		"SELECT":                                                              "end of query",
		"SELECT *":                                                            "FROM",
		"SELECT c.n":                                                          "'c'",
		"SELECT c.n, COUNT(1) FROM c":                                         "'c'",
		"SELECT COUNT(1), c FROM c":                                           "'c'",
		"SELECT VALUE COUNT(SUM(c.n)) FROM c":                                 "SUM",
		"SELECT COUNT() FROM c":                                               "COUNT",
		"SELECT MAX(1, 2) FROM c":                                             "MAX",
		"SELECT MAX(c.n) FROM c ORDER BY c.n":                                 "MAX",
		"SELECT TOP 1 COUNT(1) FROM c":                                        "COUNT",
		"SELECT * FROM c ORDER BY c.n,":                                       "end of query",
		"SELECT * FROM c ORDER BY c":                                          "ORDER BY",
		"SELECT * FROM c ORDER BY c.l[0]":                                     "ORDER BY",
		"SELECT * FROM c ORDER BY COUNT(1)":                                   "COUNT",
		"SELECT * FROM c WHERE c.t LIKE 'x' ESCAPE 'xx'":                      "ESCAPE",
		"SELECT * FROM c WHERE c.t LIKE 'x' ESCAPE 1":                         "ESCAPE",
		"SELECT * FROM c WHERE c.b ? 1":                                       ":",
		"SELECT * FROM c WHERE c.n & 1 = 1":                                   "bitwise",
		"SELECT * FROM c WHERE 1 = c.n | 1":                                   "bitwise",
		"SELECT * FROM c WHERE c.n << 1 | 1 > 0":                              "bitwise",
		"SELECT * FROM c WHERE ARRAY(SELECT 1)":                               "ARRAY",
		"SELECT -- * FROM c":                                                  "end of query",
		"SELECT * FROM c WHERE GetCurrentTicks(1)":                            "GetCurrentTicks",
		"SELECT * FROM c WHERE NOT c.n = 1":                                   "NOT",
		"SELECT * FROM c WHERE NOT c.n IN (1)":                                "NOT",
		"SELECT * FROM c WHERE c.n NOT 1":                                     "LIKE",
		"SELECT * FROM c WHERE c.n IN ()":                                     "IN",
		"SELECT * FROM c WHERE SOUNDEX(c.n)":                                  "SOUNDEX",
		"SELECT * FROM c WHERE udf.f(c.n)":                                    "udf",
		"SELECT * FROM c WHERE LENGTH() = 1":                                  "LENGTH",
		"SELECT * FROM c WHERE LENGTH(1, 2) = 1":                              "LENGTH",
		"SELECT * FROM c WHERE EXISTS(SELECT 1)":                              "EXISTS",
		"SELECT * FROM c WHERE c.n = (SELECT 1)":                              "subquery",
		"SELECT * FROM c WHERE c.value = 1":                                   "value",
		"SELECT * FROM c WHERE c[@n] = 1":                                     "[",
		"SELECT * FROM c WHERE c[1.5] = 1":                                    "[",
		"SELECT * FROM c WHERE c.n = 'open":                                   "unclosed",
		`SELECT * FROM c WHERE c.n = "\x41"`:                                  "escape",
		`SELECT * FROM c WHERE c.n = "\ud800"`:                                "escape",
		"SELECT * FROM c WHERE c.n = 0x1F":                                    "0x1F",
		"SELECT * FROM c WHERE c.n = 1_000":                                   "1_000",
		"SELECT * FROM c WHERE c.n = 1e999":                                   "1e999",
		"SELECT * FROM c WHERE c.n = #":                                       "#",
		"SELECT * FROM c WHERE c.n = @":                                       "parameter",
		"SELECT * FROM c WHERE c.n == 1":                                      "=",
		"SELECT * FROM c; DROP":                                               ";",
		"SELECT * FROM c WHERE " + strings.Repeat("(", 5000):                  "deeply",
		"SELECT * FROM c WHERE " + strings.Repeat("NOT ", 5000) + "c.b":       "deeply",
		"SELECT * FROM c WHERE c.n = " + strings.Repeat("- ", 5000) + "1":     "deeply",
		"SELECT * FROM c WHERE c.n = " + strings.Repeat("[", 5000) + "1":      "deeply",
		"SELECT * FROM c WHERE c.n = " + strings.Repeat("{a:", 5000) + "1":    "deeply",
		"SELECT * FROM c WHERE c.n = " + strings.Repeat("LOWER(", 5000) + "1": "deeply",
	} {
		_, err := sql.Parse(query)
		if err == nil || !strings.Contains(err.Error(), names) {
			t.Errorf("%.100s: got %v, want %q in it", query, err, names)
		}
	}
	parsed, err := sql.Parse("SELECT TOP @n * FROM c WHERE c.a = @a")
	if err != nil {
		t.Fatal(err)
	}
	for _, bad := range []map[string]any{{"@n": 1.0}, {"@a": 1.0}, {"@n": "1", "@a": 1.0}, {"@n": -1.0, "@a": 1.0}} {
		if _, err := parsed.Bind(bad, now); err == nil {
			t.Errorf("bound with %v", bad)
		}
	}
}

// TestMentions holds that what is demanded is the least of what could match.
func TestMentions(t *testing.T) {
	for query, want := range map[string]string{
		"SELECT * FROM c":                                                               "[]",
		"SELECT * FROM c WHERE c.a = 'x'":                                               "[x]",
		"SELECT * FROM c WHERE 'x' = c.a.b":                                             "[x]",
		"SELECT * FROM c WHERE c.a = 1":                                                 "[]",
		"SELECT * FROM c WHERE c.a != 'x'":                                              "[]",
		"SELECT * FROM c WHERE c._etag = 'x'":                                           "[]",
		"SELECT * FROM c WHERE c = 'x'":                                                 "[]",
		"SELECT * FROM c WHERE NOT (c.a = 'x')":                                         "[]",
		"SELECT * FROM c WHERE LOWER(c.a) = 'x'":                                        "[]",
		"SELECT * FROM c WHERE c.a = 'x' OR c.b = 'y'":                                  "[x y]",
		"SELECT * FROM c WHERE c.a = 'x' OR c.b > 1":                                    "[]",
		"SELECT * FROM c WHERE c.b > 1 AND c.a = 'x'":                                   "[x]",
		"SELECT * FROM c WHERE c.a = 'x' AND c.b = 'y'":                                 "[x]",
		"SELECT * FROM c WHERE (STRINGEQUALS(c.a, 'x', true) OR c.b = 'y') AND c.n = 1": "[x y]",
		"SELECT * FROM c WHERE STRING_EQUALS('x', c.a)":                                 "[x]",
		"SELECT * FROM c WHERE STRINGEQUALS(c.a, c.b)":                                  "[]",
		"SELECT * FROM c WHERE STARTSWITH(c.a, 'x/', true)":                             "[x/]",
		"SELECT * FROM c WHERE STARTSWITH(c.a, 'x')":                                    "[]",
		"SELECT * FROM c WHERE STARTSWITH('x/', c.a)":                                   "[]",
		"SELECT * FROM c WHERE CONTAINS(c.a, 'x')":                                      "[]",
	} {
		if got := fmt.Sprint(bind(t, query).Mentions()); got != want {
			t.Errorf("%s: %s, want %s", query, got, want)
		}
	}
}

func TestEquals(t *testing.T) {
	for query, want := range map[string]any{
		"SELECT * FROM c WHERE c.o.p = 'x'":                      "x",
		"SELECT * FROM c WHERE 'x' = c.o.p":                      "x",
		"SELECT * FROM c WHERE c.n = 1 AND (c.b AND c.o.p = @n)": 5.0,
		"SELECT * FROM c WHERE c['o']['p'] = 'x' ORDER BY c.n":   "x",
		"SELECT * FROM c":                              nil,
		"SELECT * FROM c WHERE c.o.p != 'x'":           nil,
		"SELECT * FROM c WHERE c.o.p = 'x' OR c.n = 1": nil,
		"SELECT * FROM c WHERE NOT (c.o.p = 'x')":      nil,
		"SELECT * FROM c WHERE c.o.p = c.n":            nil,
		"SELECT * FROM c WHERE c.o.p.q = 'x'":          nil,
	} {
		got, ok := bind(t, query).Equals([]string{"o", "p"})
		if ok != (want != nil) || ok && got != want {
			t.Errorf("%s: got %v, %t", query, got, ok)
		}
	}
}

// FuzzParse demands that what parses can be run, and the rest refused with a
// message.
func FuzzParse(f *testing.F) {
	for _, query := range []string{
		"SELECT * FROM c", "SELECT TOP 5 c.id, c[\"n\"] AS x FROM docs c WHERE c.n IN (1, @n) AND NOT IS_DEFINED(c.l[0]) ORDER BY c.n DESC",
		"SELECT VALUE COUNT(1) FROM c WHERE c.n BETWEEN -1 AND 1e3 OFFSET 1 LIMIT 2", "SELECT VALUE {'a': [1, 'x\\u0041']} FROM c",
		"SELECT * FROM c WHERE ARRAYCONTAINS([\"a\"], c.t) OR STRINGEQUALS(c.t, @s, true) OR c.t || 'x' = CONCAT(c.t, 'x')",
		"SELECT DISTINCT c.n, c.t FROM c WHERE c.t LIKE '%[a-x]_' ESCAPE '!' ORDER BY c.n DESC, c.t OFFSET 1 LIMIT 2",
		"SELECT COUNT(1) AS n, AVG(c.n), MIN(c.t) FROM c WHERE (c.n & 1) = 1 -- odd\n AND c.b ? true : c.missing ?? false",
		"SELECT VALUE [{\"item\": SUM(c.n)}] FROM c", "SELECT VALUE RegexMatch(REPLICATE('ab', 9), '(a|b)*', 'i')",
		"SELECT VALUE SUBSTRING(REVERSE(c.t), INDEX_OF(c.t, 'e'), 1e300) FROM c", "SELECT ~c.n >>> 33, ARRAY_SLICE(c.l, -1e300, 1e300) FROM c",
	} {
		f.Add(query)
	}
	var value any
	if err := json.Unmarshal([]byte(document), &value); err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, query string) {
		parsed, err := sql.Parse(query)
		if err != nil {
			if err.Error() == "" {
				t.Error("an error without a message")
			}
			return
		}
		statement, err := parsed.Bind(parameters, now)
		if err != nil {
			return
		}
		statement.Matches(value)
		statement.Window()
		statement.Equals([]string{"n"})
		key := statement.Key(value)
		if statement.Compare(key, key) != 0 {
			t.Errorf("%q: the key %v differs from itself", query, key)
		}
		row, ok := statement.Select(value)
		if statement.Aggregates() {
			total := statement.Aggregation()
			total.Add(value)
			row, ok = total.Result()
		}
		if _, err := json.Marshal(row); ok && err != nil {
			t.Errorf("%q selects what is no JSON: %v", query, err)
		}
		plan, err := statement.Plan()
		if err != nil || plan.Rewritten == "" {
			return
		}
		if _, err := sql.Parse(strings.ReplaceAll(plan.Rewritten, "{documentdb-formattableorderbyquery-filter}", "true")); err != nil {
			t.Errorf("%q is rewritten to %q: %v", query, plan.Rewritten, err)
		}
	})
}
