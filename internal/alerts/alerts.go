// Package alerts holds the rules by which Prometheus wakes somebody: one template,
// whose every time can be scaled, so that a test of minutes evaluates what
// production evaluates in hours.
//
// What each alert means, and what to do, is in docs/runbooks.
package alerts

import (
	_ "embed"
	"fmt"
	"strings"
)

//go:embed rules.yaml
var template string

const written = "# Written by \"make alerts\" from internal/alerts. Do not edit.\n"

// Rules returns a Prometheus rule file. Every duration in it is that of
// production times scale: how long an expression must hold, the windows of
// ranges, and what is compared with an age. Counts and ratios stay as they are. A
// scale that is not positive panics.
func Rules(scale float64) []byte { return []byte(written + scaled(template, scale)) }

// PrometheusRule returns the rules of production as the resource that the
// prometheus-operator reads.
func PrometheusRule() []byte {
	var b strings.Builder
	b.WriteString(written)
	b.WriteString(`apiVersion: monitoring.coreos.com/v1
kind: PrometheusRule
metadata:
  name: opfeed
  namespace: opfeed
  labels:
    app.kubernetes.io/name: opfeed
    app.kubernetes.io/part-of: opfeed
spec:
`)
	for line := range strings.Lines(scaled(template, 1)) {
		if strings.TrimSpace(line) != "" {
			line = "  " + line
		}
		b.WriteString(line)
	}
	return []byte(b.String())
}

func scaled(template string, scale float64) string {
	if !(scale > 0) {
		panic(fmt.Sprintf("alerts: scale %v is not positive", scale))
	}
	return times.ReplaceAllStringFunc(template, func(found string) string { return rewrite(found, scale) })
}
