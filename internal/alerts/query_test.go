package alerts

import (
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// query is what a query of Prometheus needs. It is read by its words, not by its
// grammar, which promtool checks.
type query struct {
	selectors []selector
	matched   []string // labels of on, ignoring, group_left and group_right
}

type selector struct {
	metric   string
	matchers []matcher
	kept     []string // labels of the aggregations around it
	own      []string // of them, those that it must have
}

type matcher struct{ label, op, value string }

var (
	word = regexp.MustCompile(`^(?:` +
		`\s+` + // nothing
		`|"(?:[^"\\]|\\.)*"` + // a string
		`|\[[^\]]*\]` + // a window
		`|[a-zA-Z_:][a-zA-Z0-9_:]*` + // a name
		`|[0-9][0-9a-z.]*` + // a number, a duration
		`|=~|!~|!=|==|<=|>=` +
		`|.)`)
	names    = regexp.MustCompile(`^[a-zA-Z_:]`)
	notNames = []string{"and", "or", "unless", "bool", "offset"}
)

// words cuts a query, without blanks.
func words(text string) (found []string) {
	for text != "" {
		w := word.FindString(text)
		if w == "" { // a line break, which the dot does not match
			w = text[:1]
		}
		if strings.TrimSpace(w) != "" {
			found = append(found, w)
		}
		text = text[len(w):]
	}
	return found
}

// read understands what rules and dashboard use. Aggregations have their labels in
// front, sum by (a) (b); without is not used.
func read(text string) (q query, err error) {
	w := words(text)
	at := func(i int) string {
		if i < len(w) {
			return w[i]
		}
		return ""
	}
	list := func(i int) (labels []string, next int) { // from its opening parenthesis
		for i++; i < len(w) && w[i] != ")"; i++ {
			if w[i] != "," {
				labels = append(labels, w[i])
			}
		}
		return labels, i + 1
	}
	var open [][]string // labels that each open parenthesis keeps
	// What stands behind and, or unless, gives no labels to what is around both.
	from := map[int]bool{} // by how many are open
	for i := 0; i < len(w); {
		switch word := w[i]; {
		case word == "without":
			return q, fmt.Errorf("without is not understood: %s", text)
		case word == "by":
			var labels []string
			if labels, i = list(i + 1); at(i) != "(" {
				return q, fmt.Errorf("by does not stand in front: %s", text)
			}
			open = append(open, labels)
			i++
		case word == "on", word == "ignoring", word == "group_left", word == "group_right":
			if at(i+1) != "(" {
				return q, fmt.Errorf("%s without a list: %s", word, text)
			}
			var labels []string
			labels, i = list(i + 1)
			q.matched = append(q.matched, labels...)
		case word == "(":
			open = append(open, nil)
			i++
		case word == ")":
			if len(open) == 0 {
				return q, fmt.Errorf("a parenthesis too many: %s", text)
			}
			delete(from, len(open))
			open = open[:len(open)-1]
			i++
		case word == "and", word == "unless", word == "or":
			from[len(open)] = word != "or"
			i++
		case names.MatchString(word) && at(i+1) != "(" && at(i+1) != "by" && !slices.Contains(notNames, word):
			s := selector{metric: word}
			for depth, own := len(open), true; depth > 0; depth-- {
				own = own && !from[depth]
				s.kept = slices.Concat(open[depth-1], s.kept)
				if own {
					s.own = slices.Concat(open[depth-1], s.own)
				}
			}
			if i++; at(i) == "{" {
				if s.matchers, i, err = matchers(w, i); err != nil {
					return q, fmt.Errorf("%w: %s", err, text)
				}
			}
			q.selectors = append(q.selectors, s)
		default:
			i++
		}
	}
	if len(q.selectors) == 0 {
		return q, fmt.Errorf("no metric: %s", text)
	}
	return q, nil
}

// matchers reads from an opening brace to what is behind the closing one.
func matchers(w []string, i int) (found []matcher, next int, err error) {
	for i++; i < len(w) && w[i] != "}"; {
		if i+2 >= len(w) || !strings.HasPrefix(w[i+2], `"`) {
			return nil, i, fmt.Errorf("matchers are not understood")
		}
		found = append(found, matcher{w[i], w[i+1], strings.Trim(w[i+2], `"`)})
		if i += 3; i < len(w) && w[i] == "," {
			i++
		}
	}
	return found, i + 1, nil
}

func TestRead(t *testing.T) {
	have, err := read("sum by (job, kind) (rate(a_total{x=~\"1|2\", y!=\"}\"}[5m])) / on (job)\n  max by (job) (max_over_time(b{}[$__rate_interval])) > 3e2 and vector(1) unless c offset 5m or (d)")
	if err != nil {
		t.Fatal(err)
	}
	want := query{
		selectors: []selector{
			{"a_total", []matcher{{"x", "=~", "1|2"}, {"y", "!=", "}"}}, []string{"job", "kind"}, []string{"job", "kind"}},
			{"b", nil, []string{"job"}, []string{"job"}}, {"c", nil, nil, nil}, {"d", nil, nil, nil},
		},
		matched: []string{"job"},
	}
	if fmt.Sprintf("%q", have) != fmt.Sprintf("%q", want) {
		t.Errorf("\nhave %q\nwant %q", have, want)
	}
	for _, text := range []string{"", "1", "sum without (a) (b)", "sum(b) by (a)", "a)", `a{b}`, "a / on b"} {
		if q, err := read(text); err == nil {
			t.Errorf("%q is understood: %q", text, q)
		}
	}
}

func TestProblems(t *testing.T) {
	c := catalogue{"a": {"x": {"1", "2"}}, "b": {}, "c_bucket": {"le": {"+Inf"}}}
	for text, want := range map[string][]string{
		`a + b`: nil,
		`sum by (x, job) (a{x=~"1|2", job="$job"})`:                 nil,
		`histogram_quantile(0.9, sum by (le) (rate(c_bucket[5m])))`: nil,
		`a and ignoring (x) b`:                                      nil,
		`d`:                                                         {"nothing emits d"},
		`a{y="1"}`:                                                  {"a has no label y"},
		`a{x!~"1|3"}`:                                               {`x is never "3" in a, only ["1" "2"]`},
		`sum by (x) (a + b)`:                                        {"b has no label x, by which it is summed up"},
		`sum by (x) (a and on (job) (time() - b > 3))`:    nil,
		`sum by (x) (a and on (job) max by (x) (b) or b)`: {"b has no label x, by which it is summed up", "b has no label x, by which it is summed up"},
		`a and on (y) b`: {"no metric has the label y, by which series are matched"},
	} {
		if have := c.problems(text); !reflect.DeepEqual(have, want) {
			t.Errorf("%s:\nhave %q\nwant %q", text, have, want)
		}
	}
	if have := c.unproven("a + b"); have != nil {
		t.Errorf("could be taken away: %q", have)
	}
}
