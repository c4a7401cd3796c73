package sql_test

import (
	"encoding/json"
	"errors"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"

	"opfeed/internal/cosmosemu/sql"
)

func TestAggregates(t *testing.T) {
	documents := []string{`{"n":2,"s":"b","m":1}`, `{"n":3,"s":"a","m":"x"}`, `{"n":7}`, `{"o":[1],"z":null}`}
	for query, want := range map[string]string{
		"SELECT VALUE COUNT(1) FROM c": "4", "SELECT VALUE COUNT(c.n) FROM c": "3", "SELECT VALUE COUNT(c.missing) FROM c": "0",
		"SELECT COUNT(1) AS n FROM c": `{"n":4}`, "SELECT count(1) FROM c": `{"$1":4}`, "SELECT COUNT(c.z), SUM(c.n) AS sum FROM c": `{"$1":1,"sum":12}`,
		"SELECT VALUE SUM(c.n) FROM c": "12", "SELECT VALUE SUM(c.m) FROM c": "undefined", "SELECT VALUE SUM(c.missing) FROM c": "0", "SELECT VALUE SUM(c.z) FROM c": "undefined",
		"SELECT VALUE AVG(c.n) FROM c": "4", "SELECT VALUE AVG(c.m) FROM c": "undefined", "SELECT VALUE AVG(c.missing) FROM c": "undefined",
		"SELECT VALUE MIN(c.n) FROM c": "2", "SELECT VALUE MAX(c.n) FROM c": "7", "SELECT VALUE MIN(c.s) FROM c": `"a"`, "SELECT VALUE MAX(c.m) FROM c": `"x"`,
		"SELECT VALUE MIN(c.m) FROM c": "1", "SELECT VALUE MAX(c.o) FROM c": "undefined", "SELECT VALUE MIN(c.missing) FROM c": "undefined",
		"SELECT MIN(c.missing) AS low, MAX(c.n) AS high FROM c": `{"high":7}`,
		"SELECT VALUE COUNT(1) + 1 FROM c":                      "5", "SELECT VALUE SUM(c.n * 2) / COUNT(c.n) FROM c": "8",
		`SELECT VALUE [{"item": {"sum": SUM(c.n), "count": COUNT(c.n)}}] FROM c`: `[{"item":{"sum":12,"count":3}}]`,
		"SELECT VALUE COUNT(1) FROM c WHERE c.n > 2":                             "2", "SELECT VALUE COUNT(1) FROM c WHERE false": "0",
	} {
		statement := bind(t, query)
		if !statement.Aggregates() {
			t.Fatalf("%s: no aggregate", query)
		}
		total := statement.Aggregation()
		for _, document := range documents {
			if value := decode(t, document); statement.Matches(value) {
				total.Add(value)
			}
		}
		got, ok := total.Result()
		if want == "undefined" {
			if ok {
				t.Errorf("%s: got %v", query, got)
			}
		} else if !ok || !reflect.DeepEqual(got, decode(t, want)) {
			t.Errorf("%s: got %v, want %s", query, got, want)
		}
	}
}

func TestWithoutFrom(t *testing.T) {
	for query, want := range map[string]string{
		"SELECT 1": `{"$1":1}`, "SELECT VALUE 1": "1", "SELECT 1 AS one, 'x' AS x": `{"one":1,"x":"x"}`, "SELECT VALUE @n + 1": "6",
	} {
		statement := bind(t, query)
		got, ok := statement.Select(nil)
		if statement.From() || !ok || !reflect.DeepEqual(got, decode(t, want)) {
			t.Errorf("%s: got %v, want %s", query, got, want)
		}
	}
	if !bind(t, "SELECT VALUE 1 FROM c").From() {
		t.Error("FROM c is no FROM")
	}
}

func TestOrder(t *testing.T) {
	documents := []string{`{"id":1,"a":1,"b":"x"}`, `{"id":2,"a":1}`, `{"id":3,"a":"1","b":"x"}`, `{"id":4,"a":1,"b":"y"}`, `{"id":5}`}
	for query, want := range map[string][]float64{
		"SELECT * FROM c ORDER BY c.a, c.b":           {5, 2, 1, 4, 3},
		"SELECT * FROM c ORDER BY c.a ASC, c.b DESC":  {5, 4, 1, 2, 3},
		"SELECT * FROM c ORDER BY c.a DESC, c.b":      {3, 2, 1, 4, 5},
		"SELECT * FROM c ORDER BY c.a DESC, c.b DESC": {3, 4, 1, 2, 5},
	} {
		statement := bind(t, query)
		type row struct {
			id  float64
			key sql.Key
		}
		var rows []row
		for _, text := range documents {
			value := decode(t, text)
			encoded, err := json.Marshal(statement.Key(value))
			if err != nil {
				t.Fatal(err)
			}
			var key sql.Key // as a continuation brings it back
			if err := json.Unmarshal(encoded, &key); err != nil || statement.Compare(key, statement.Key(value)) != 0 {
				t.Fatalf("%s became %v, %v", encoded, key, err)
			}
			rows = append(rows, row{value.(map[string]any)["id"].(float64), key})
		}
		slices.SortStableFunc(rows, func(a, b row) int { return statement.Compare(a.key, b.key) })
		var got []float64
		for _, row := range rows {
			got = append(got, row.id)
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s: got %v, want %v", query, got, want)
		}
	}
	var key sql.Key
	if err := json.Unmarshal([]byte("[[1,2]]"), &key); err == nil {
		t.Errorf("a key with two values was read as %v", key)
	}
}

func TestCanonical(t *testing.T) {
	for _, test := range []struct {
		a, b string
		same bool
	}{
		{`{"a":1,"b":[{"c":2,"d":3}]}`, `{"b":[{"d":3,"c":2.0}],"a":1e0}`, true},
		{`1`, `"1"`, false}, {`[1,2]`, `[2,1]`, false}, {`null`, `"null"`, false}, {`{"a":null}`, `{}`, false},
	} {
		if (sql.Canonical(decode(t, test.a)) == sql.Canonical(decode(t, test.b))) != test.same {
			t.Errorf("%s and %s", test.a, test.b)
		}
	}
}

func TestFilterPaths(t *testing.T) {
	got := bind(t, "SELECT c.x FROM c WHERE c.a.b = 1 AND (c['d e'] > 2 OR LENGTH(c.f[0]) = c.g) ORDER BY c.y").FilterPaths()
	if want := [][]string{{"a", "b"}, {"d e"}, {"g"}}; !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

const filter = "({documentdb-formattableorderbyquery-filter})"

// TestPlan has the fields that differ from those of SELECT *.
func TestPlan(t *testing.T) {
	for query, want := range map[string]string{
		"SELECT * FROM c":                               `{}`,
		"SELECT VALUE c.n FROM c":                       `{"hasSelectValue":true}`,
		"SELECT TOP 5 * FROM c":                         `{"top":5}`,
		"SELECT DISTINCT c.n FROM c":                    `{"distinctType":"Unordered"}`,
		"SELECT * FROM c WHERE c.n = 1":                 `{}`,
		"SELECT * FROM c WHERE c.n=1 OFFSET 2 LIMIT @n": `{"offset":2,"limit":5,"rewrittenQuery":"SELECT *\nFROM c\nWHERE c.n=1\nOFFSET 0 LIMIT 7"}`,
		"SELECT * FROM c ORDER BY c.id": `{"orderBy":["Ascending"],"orderByExpressions":["c.id"],
			"rewrittenQuery":"SELECT c._rid, [{\"item\": c.id}] AS orderByItems, c AS payload\nFROM c\nWHERE ` + filter + `\nORDER BY c.id"}`,
		"SELECT TOP 3 x.a, x.b AS y, 1 FROM c AS x WHERE x.a OR x.b ORDER BY x.a DESC, x['b']": `{"top":3,
			"orderBy":["Descending","Ascending"],"orderByExpressions":["x.a","x['b']"],
			"rewrittenQuery":"SELECT TOP 3 x._rid, [{\"item\": x.a}, {\"item\": x['b']}] AS orderByItems, {\"a\": x.a, \"y\": x.b, \"$1\": 1} AS payload` +
			`\nFROM c AS x\nWHERE ((x.a OR x.b) AND ` + filter + `)\nORDER BY x.a DESC, x['b']"}`,
		"SELECT DISTINCT VALUE c.n FROM c ORDER BY c.n OFFSET 1 LIMIT 2": `{"distinctType":"Ordered","hasSelectValue":true,"offset":1,"limit":2,
			"orderBy":["Ascending"],"orderByExpressions":["c.n"],"rewrittenQuery":"SELECT DISTINCT c._rid, [{\"item\": c.n}] AS orderByItems, c.n AS payload` +
			`\nFROM c\nWHERE ` + filter + `\nORDER BY c.n\nOFFSET 0 LIMIT 3"}`,
		"SELECT VALUE COUNT(1) FROM c":               `{"aggregates":["Count"],"hasSelectValue":true,"rewrittenQuery":"SELECT VALUE [{\"item\": COUNT(1)}]\nFROM c"}`,
		"SELECT VALUE SUM(c.n) FROM c WHERE c.n > 0": `{"aggregates":["Sum"],"hasSelectValue":true,"rewrittenQuery":"SELECT VALUE [{\"item\": SUM(c.n)}]\nFROM c\nWHERE c.n > 0"}`,
		"SELECT VALUE AVG( c.n ) FROM c": `{"aggregates":["Average"],"hasSelectValue":true,
			"rewrittenQuery":"SELECT VALUE [{\"item\": {\"sum\": SUM(c.n), \"count\": COUNT(c.n)}}]\nFROM c"}`,
		"SELECT VALUE min(c.n) FROM c": `{"aggregates":["Min"],"hasSelectValue":true,
			"rewrittenQuery":"SELECT VALUE [{\"item\": MIN(c.n), \"item2\": {\"min\": MIN(c.n), \"count\": COUNT(c.n)}}]\nFROM c"}`,
		"SELECT COUNT(1) AS n, SUM(c.n) FROM c": `{"groupByAliases":["n","$1"],"groupByAliasToAggregateType":{"n":"Count","$1":"Sum"},
			"rewrittenQuery":"SELECT {\"n\": {\"item\": COUNT(1)}, \"$1\": {\"item\": SUM(c.n)}} AS payload\nFROM c"}`,
	} {
		plan, err := bind(t, query).Plan()
		if err != nil {
			t.Errorf("%s: %v", query, err)
			continue
		}
		encoded, err := json.Marshal(plan)
		if err != nil {
			t.Fatal(err)
		}
		whole := decode(t, `{"distinctType":"None","top":null,"offset":null,"limit":null,"orderBy":[],"orderByExpressions":[],"groupByExpressions":[],
			"groupByAliases":[],"aggregates":[],"groupByAliasToAggregateType":{},"rewrittenQuery":"","hasSelectValue":false}`).(map[string]any)
		maps.Copy(whole, decode(t, strings.ReplaceAll(want, "\n\t\t\t", " ")).(map[string]any))
		if got := decode(t, string(encoded)); !reflect.DeepEqual(got, any(whole)) {
			t.Errorf("%s:\n got %v\nwant %v", query, got, whole)
		}
		if plan.Rewritten != "" {
			bind(t, strings.ReplaceAll(plan.Rewritten, filter, "(true)"))
		}
	}
	if _, err := bind(t, "SELECT VALUE COUNT(1) + 1 FROM c").Plan(); err == nil || !strings.Contains(err.Error(), "Compositions") {
		t.Errorf("got %v", err)
	}
}

// TestReport holds the form of the service's refusals.
func TestReport(t *testing.T) {
	for query, want := range map[string]string{
		"SELECT * FRM c":                     `{"errors":[{"severity":"Error","location":{"start":9,"end":12},"code":"SC1001","message":"Syntax error, incorrect syntax near 'FRM'."}]}`,
		"SELECT * FROM c WHERE SOUNDEX(c.n)": `{"errors":[{"severity":"Error","location":{"start":22,"end":29},"code":"SC2005","message":"'SOUNDEX' is not a recognized built-in function name."}]}`,
		"SELECT d.n FROM c":                  `{"errors":[{"severity":"Error","location":{"start":7,"end":8},"code":"SC2001","message":"Identifier 'd' could not be resolved."}]}`,
		"SELECT * FROM c GROUP BY c.n":       `{"errors":[{"severity":"Error","location":{"start":16,"end":21},"code":"NotSupported","message":"GROUP BY is not supported by the emulator"}]}`,
	} {
		_, err := sql.Parse(query)
		var refused *sql.Error
		if !errors.As(err, &refused) || refused.Report() != want {
			t.Errorf("%s: got %v", query, err)
		}
	}
}

// TestLimits holds the bounds on the size of a query, at both sides of each.
func TestLimits(t *testing.T) {
	for _, test := range []struct {
		query string
		names string // empty: accepted
	}{
		{"SELECT * FROM c WHERE c.n IN (1" + strings.Repeat(",1", 5_999) + ")", ""},
		{"SELECT * FROM c WHERE c.n IN (1" + strings.Repeat(",1", 6_000) + ")", "6000"},
		{"SELECT * FROM c WHERE " + strings.Repeat("true AND ", 49_999) + "true", ""},
		{"SELECT * FROM c WHERE " + strings.Repeat("true AND ", 50_001) + "true", "operators"},
		{"SELECT * FROM c WHERE c" + strings.Repeat(".a", 50_001), "operators"},
		{"SELECT * FROM c WHERE " + strings.Repeat("(", 150) + "true" + strings.Repeat(")", 150), ""},
		{"SELECT * FROM c " + strings.Repeat(" ", 512<<10-16), ""},
		{"SELECT * FROM c " + strings.Repeat(" ", 512<<10), "longer"},
		{"SELECT VALUE " + strings.Repeat("true ? 1 : ", 5000) + "1", "deeply"},
	} {
		query, err := sql.Parse(test.query)
		if test.names != "" {
			if err == nil || !strings.Contains(err.Error(), test.names) {
				t.Errorf("%.50s: got %v, want %q in it", test.query, err, test.names)
			}
			continue
		}
		if err != nil {
			t.Errorf("%.50s: %v", test.query, err)
			continue
		}
		statement, err := query.Bind(nil, now)
		if err != nil {
			t.Fatal(err)
		}
		statement.Matches(decode(t, document))
	}
}
