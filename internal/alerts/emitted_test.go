package alerts

import (
	"fmt"
	"os"
	"path/filepath"
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

// TestLabelsOfTargetsAreTold: where a target has a label of one name with a metric,
// Prometheus renames the metric's, and all that asks for it finds nothing. That
// cannot be seen here, so who sets up the scraping must be told.
func TestLabelsOfTargetsAreTold(t *testing.T) {
	raw, err := os.ReadFile(filepath.Join(docs, "alerts/README.md"))
	if err != nil {
		t.Fatal(err)
	}
	readme := string(raw)
	ofTargets := []string{"cluster", "container", "endpoint", "instance", "job", "namespace", "node", "pod", "service"}
	for name, labels := range emitted(t) {
		for label := range labels {
			told := strings.Contains(readme, "`honorLabels: true`") && strings.Contains(readme, "a label `"+label+"`")
			if slices.Contains(ofTargets, label) && !told {
				t.Errorf("%s: a ServiceMonitor has a label %s, too, and docs/alerts/README.md does not say what to do", name, label)
			}
		}
	}
}
