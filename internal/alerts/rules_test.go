package alerts

import (
	"bytes"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"gopkg.in/yaml.v3"
)

// ruleFile is a rule file as Prometheus reads it.
type ruleFile struct {
	Groups []struct {
		Name  string `yaml:"name"`
		Rules []rule `yaml:"rules"`
	} `yaml:"groups"`
}

type rule struct {
	Alert       string            `yaml:"alert"`
	Expr        string            `yaml:"expr"`
	For         string            `yaml:"for,omitempty"`
	Labels      map[string]string `yaml:"labels"`
	Annotations map[string]string `yaml:"annotations"`
}

// parse reads the rules of production.
func parse(t *testing.T) ruleFile {
	t.Helper()
	var f ruleFile
	d := yaml.NewDecoder(bytes.NewReader(Rules(1)))
	d.KnownFields(true)
	if err := d.Decode(&f); err != nil {
		t.Fatal(err)
	}
	if len(f.Groups) != 1 || len(f.Groups[0].Rules) == 0 {
		t.Fatalf("want one group of rules, have %+v", f)
	}
	return f
}

func (f ruleFile) marshal(t *testing.T) []byte {
	t.Helper()
	text, err := yaml.Marshal(f)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// alertNames are the names of all alerts, each once, sorted.
func alertNames(t *testing.T) []string {
	t.Helper()
	var names []string
	for _, r := range parse(t).Groups[0].Rules {
		names = append(names, r.Alert)
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// TestEveryAlertIsComplete: a severity that is one of two, the three annotations,
// and tests of its own.
func TestEveryAlertIsComplete(t *testing.T) {
	var tested []string
	for _, path := range testFiles(t) {
		if name := strings.TrimSuffix(filepath.Base(path), ".yaml"); !slices.Contains([]string{health, clusters, forgotten}, name) {
			tested = append(tested, name)
		}
	}
	if names := alertNames(t); !slices.Equal(names, tested) {
		t.Errorf("alerts:           %q\ndocs/alerts/tests: %q", names, tested)
	}
	for _, r := range parse(t).Groups[0].Rules {
		if s := r.Labels["severity"]; s != "critical" && s != "warning" {
			t.Errorf("%s: severity %q", r.Alert, s)
		}
		if r.Annotations["summary"] == "" || r.Annotations["description"] == "" {
			t.Errorf("%s: no summary, or no description", r.Alert)
		}
		if have, want := r.Annotations["runbook_url"], "docs/runbooks/"+r.Alert+".md"; have != want {
			t.Errorf("%s: runbook %q, want %q", r.Alert, have, want)
		}
	}
}

// TestOverviewNamesEveryAlert: with its severities.
func TestOverviewNamesEveryAlert(t *testing.T) {
	page, err := os.ReadFile(filepath.Join(docs, "alerts/README.md"))
	if err != nil {
		t.Fatal(err)
	}
	have := map[string]string{}
	for _, row := range regexp.MustCompile(`(?m)^\| \[(\w+)\]\(\.\./runbooks/(\w+)\.md\) \| ([a-z, ]+) \|`).FindAllStringSubmatch(string(page), -1) {
		if row[1] != row[2] {
			t.Errorf("%s: the link leads to %s", row[1], row[2])
		}
		have[row[1]] = row[3]
	}
	want := map[string]string{}
	for _, r := range parse(t).Groups[0].Rules {
		severities := append(strings.Split(want[r.Alert], ", "), r.Labels["severity"])
		slices.Sort(severities)
		want[r.Alert] = strings.Join(slices.DeleteFunc(severities, func(s string) bool { return s == "" }), ", ")
	}
	if !maps.Equal(have, want) {
		t.Errorf("docs/alerts/README.md has %q, the rules %q", have, want)
	}
}

// Files of tests of all alerts: in which none may fire, and in which each must, of
// one cluster alone; and one of a whole day.
const health, clusters, forgotten = "health", "clusters", "forgotten"

// TestClustersAreKeptApart: whatever a rule sums up or compares it does within one
// job of one cluster; and the test of two clusters lets every alert fire.
func TestClustersAreKeptApart(t *testing.T) {
	job := []string{"cluster", "namespace", "job"}
	has := func(labels []string) bool { return len(labels) >= len(job) && slices.Equal(labels[:len(job)], job) }
	for _, r := range parse(t).Groups[0].Rules {
		q, err := read(r.Expr)
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range q.selectors {
			if !has(s.kept) && !strings.Contains(r.Expr, "absent_over_time("+s.metric) {
				t.Errorf("%s: %s is summed up by %q", r.Alert, s.metric, s.kept)
			}
		}
		for _, m := range regexp.MustCompile(`\bon \(([^)]*)\)`).FindAllStringSubmatch(r.Expr, -1) {
			if !has(strings.Split(m[1], ", ")) {
				t.Errorf("%s: series are matched by %s", r.Alert, m[1])
			}
		}
	}
	page, err := os.ReadFile(filepath.Join(docs, "alerts/tests", clusters+".yaml"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range alertNames(t) {
		if !strings.Contains(string(page), `alertname="`+name+`"`) {
			t.Errorf("the test of two clusters does not expect %s", name)
		}
	}
}

var (
	anyDuration = regexp.MustCompile(`\b\d+(ms|s|m|h|d)\b`)
	// More than a count of two digits would be, and no count of the rules.
	seconds = regexp.MustCompile(`_seconds\S*\)* +[<>] +\d`)
)

// TestEveryDurationScales: none is written as it is, in the template.
func TestEveryDurationScales(t *testing.T) {
	for line := range strings.Lines(template) {
		line, _, _ = strings.Cut(line, " #")
		key, _, _ := strings.Cut(strings.TrimSpace(line), ":")
		if strings.HasPrefix(strings.TrimSpace(line), "#") || key == "description" { // for people
			continue
		}
		left := times.ReplaceAllString(line, "")
		if found := anyDuration.FindString(left); found != "" {
			t.Errorf("%q does not scale, in %q", found, line)
		}
		if found := seconds.FindString(line); found != "" {
			t.Errorf("an age is compared with what does not scale, in %q", line)
		}
	}
}

func TestScaled(t *testing.T) {
	const text = `x[<5m>:<30s>] > <15m in seconds> for <1h> "<name>" {{ $value }} < 5m`
	for scale, want := range map[float64]string{
		1:        `x[5m:30s] > 900 for 1h "<name>" {{ $value }} < 5m`,
		2:        `x[10m:1m] > 1800 for 2h "<name>" {{ $value }} < 5m`,
		1. / 30:  `x[10s:1s] > 30 for 2m "<name>" {{ $value }} < 5m`,
		1. / 240: `x[1s250ms:125ms] > 3.75 for 15s "<name>" {{ $value }} < 5m`,
		1e-9:     `x[1ms:1ms] > 0.001 for 1ms "<name>" {{ $value }} < 5m`,
	} {
		if have := scaled(text, scale); have != want {
			t.Errorf("scale %v:\nhave %s\nwant %s", scale, have, want)
		}
	}
	defer func() {
		if recover() == nil {
			t.Error("a scale of 0 is taken")
		}
	}()
	Rules(0)
}
