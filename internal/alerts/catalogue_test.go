package alerts

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
)

// targetLabels are what Prometheus adds to each series; of job and instance it
// always does, of the others in Kubernetes.
var targetLabels = []string{"job", "instance", "cluster", "namespace", "pod"}

// catalogue is what is emitted: of each series the values of each label.
type catalogue map[string]map[string][]string

// gather adds what a registry has.
func (c catalogue) gather(t *testing.T, from prometheus.Gatherer) {
	t.Helper()
	families, err := from.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, family := range families {
		for _, m := range family.GetMetric() {
			labels := map[string]string{}
			for _, l := range m.GetLabel() {
				labels[l.GetName()] = l.GetValue()
			}
			if h := m.GetHistogram(); h != nil {
				c.add(family.GetName()+"_count", labels)
				c.add(family.GetName()+"_sum", labels)
				labels["le"] = "+Inf"
				c.add(family.GetName()+"_bucket", labels)
				continue
			}
			c.add(family.GetName(), labels)
		}
	}
}

func (c catalogue) add(name string, labels map[string]string) {
	if c[name] == nil {
		c[name] = map[string][]string{}
	}
	for label, value := range labels {
		if !slices.Contains(c[name][label], value) {
			c[name][label] = append(c[name][label], value)
		}
	}
}

// without returns a catalogue that lacks one series.
func (c catalogue) without(name string) catalogue {
	less := maps.Clone(c)
	delete(less, name)
	return less
}

// problems says what of a query is not emitted: metrics, their labels, and the
// values that labels are compared with.
func (c catalogue) problems(query string) (found []string) {
	q, err := read(query)
	if err != nil {
		return []string{err.Error()}
	}
	say := func(format string, args ...any) { found = append(found, fmt.Sprintf(format, args...)) }
	for _, s := range q.selectors {
		labels, ok := c[s.metric]
		if !ok {
			say("nothing emits %s", s.metric)
			continue
		}
		for _, m := range s.matchers {
			if slices.Contains(targetLabels, m.label) {
				continue
			}
			values, ok := labels[m.label]
			if !ok {
				say("%s has no label %s", s.metric, m.label)
				continue
			}
			for value := range strings.SplitSeq(m.value, "|") {
				start, more := strings.CutSuffix(value, ".*")
				if !slices.ContainsFunc(values, func(v string) bool { return v == value || more && strings.HasPrefix(v, start) }) {
					say("%s is never %q in %s, only %q", m.label, value, s.metric, values)
				}
			}
		}
		for _, label := range s.own {
			if _, ok := labels[label]; !ok && !slices.Contains(targetLabels, label) {
				say("%s has no label %s, by which it is summed up", s.metric, label)
			}
		}
	}
	for _, label := range q.matched {
		if slices.Contains(targetLabels, label) {
			continue
		}
		if !slices.ContainsFunc(q.selectors, func(s selector) bool { _, ok := c[s.metric][label]; return ok }) {
			say("no metric has the label %s, by which series are matched", label)
		}
	}
	return found
}

// unproven says which series of a query could be taken away without any problem.
func (c catalogue) unproven(query string) (found []string) {
	q, err := read(query)
	if err != nil {
		return []string{err.Error()}
	}
	for _, s := range q.selectors {
		if len(c.without(s.metric).problems(query)) == 0 {
			found = append(found, s.metric)
		}
	}
	return found
}
