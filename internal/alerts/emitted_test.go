package alerts

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestMetricsAreEmitted holds every query to what a running service emits:
// without any one metric, label or value that a rule or the dashboard needs it
// fails. And the runbook of readiness has its conditions, all and no other.
func TestMetricsAreEmitted(t *testing.T) {
	c := emitted(t)
	c.add("up", nil) // Prometheus itself emits these
	for _, name := range alertNames(t) {
		c.add("ALERTS", map[string]string{"alertname": name, "alertstate": "firing"})
	}
	check := func(where, query string) {
		for _, problem := range append(c.problems(query), c.unproven(query)...) {
			t.Errorf("%s: %s", where, problem)
		}
	}
	for _, r := range parse(t).Groups[0].Rules {
		check(r.Alert, r.Expr)
	}
	d := readDashboard(t)
	for where, query := range d.queries() {
		check(where, query)
	}
	for name, page := range runbooks(t) {
		for _, m := range span.FindAllStringSubmatch(page, -1) {
			if strings.Contains(m[1], "opfeed_") {
				check("runbook "+name, m[1])
			}
		}
	}
	var told []string
	for _, m := range regexp.MustCompile("(?m)^  - `(\\w+)`: ").FindAllStringSubmatch(runbooks(t)["OpfeedNotReady"], -1) {
		told = append(told, m[1])
	}
	if have := c["opfeed_condition"]["condition"]; !slices.Equal(slices.Sorted(slices.Values(told)), slices.Sorted(slices.Values(have))) {
		t.Errorf("the conditions are %q, and the runbook of OpfeedNotReady has %q", have, told)
	}
	for _, v := range d.Templating.List {
		if v.Type == "query" {
			check("variable "+v.Name, fmt.Sprintf("sum by (%s) (%s)", v.Name, definition.FindStringSubmatch(v.Definition)[1]))
		}
	}
}
