package system_test

import (
	"context"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"opfeed/internal/inproc"
	"opfeed/internal/service"
)

// family is one metric: as docs/metrics.md has it, or as a replica shows it.
type family struct {
	kind   string                     // counter, gauge or histogram
	values map[string]map[string]bool // by label; nil: any
	series map[string]bool            // of a replica
}

func (f *family) String() string {
	return fmt.Sprintf("%s by %v", f.kind, slices.Sorted(maps.Keys(f.values)))
}

// families gathers those of a replica, but for Go's own.
func families(t *testing.T, from *prometheus.Registry) map[string]*family {
	t.Helper()
	gathered, err := from.Gather()
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]*family{}
	for _, g := range gathered {
		name := g.GetName()
		if strings.HasPrefix(name, "go_") || strings.HasPrefix(name, "process_") || strings.HasPrefix(name, "promhttp_") {
			continue
		}
		f := &family{kind: strings.ToLower(g.GetType().String()), values: map[string]map[string]bool{}, series: map[string]bool{}}
		for _, m := range g.GetMetric() {
			series := []string{name}
			for _, l := range m.GetLabel() {
				if f.values[l.GetName()] == nil {
					f.values[l.GetName()] = map[string]bool{}
				}
				f.values[l.GetName()][l.GetValue()] = true
				series = append(series, fmt.Sprintf("%s=%q", l.GetName(), l.GetValue()))
			}
			f.series[strings.Join(series, " ")] = true
		}
		all[name] = f
	}
	return all
}

// metricsPage is docs/metrics.md: what it says of each metric, of the labels that
// several share, and where it translates other names.
type metricsPage struct {
	families map[string]*family
	shared   map[string]map[string]bool // values by label
	others   string
}

var (
	metricRow = regexp.MustCompile("(?m)^\\| `(opfeed_\\w+)` \\| (\\w+) \\|([^|]*)\\|[^|]+\\|[^|]+\\|[^|]+\\|$")
	labelRow  = regexp.MustCompile("(?m)^\\| `(\\w+)` \\| ([^|]+) \\|$")
	label     = regexp.MustCompile("`(\\w+)`(?: \\(([^)]*)\\))?")
	tableRow  = regexp.MustCompile("(?m)^\\| `opfeed_")
)

func readMetricsPage(t *testing.T) metricsPage {
	t.Helper()
	text, err := os.ReadFile("../../docs/metrics.md")
	if err != nil {
		t.Fatal(err)
	}
	tables, rest, ok := strings.Cut(string(text), "\n## Labels\n")
	labels, others, more := strings.Cut(rest, "\n## What others ask for\n")
	if !ok || !more {
		t.Fatal("the page has no part about labels, or none about what others ask for")
	}
	page := metricsPage{families: map[string]*family{}, shared: map[string]map[string]bool{}, others: others}
	for _, m := range metricRow.FindAllStringSubmatch(tables, -1) {
		if page.families[m[1]] != nil {
			t.Errorf("%s is there twice", m[1])
		}
		f := &family{kind: m[2], values: map[string]map[string]bool{}}
		for _, l := range label.FindAllStringSubmatch(m[3], -1) {
			f.values[l[1]] = valuesOf(l[2], ",")
		}
		page.families[m[1]] = f
	}
	if n := len(tableRow.FindAllString(tables, -1)); n != len(page.families) {
		t.Fatalf("%d of %d rows are read", len(page.families), n)
	}
	for _, m := range labelRow.FindAllStringSubmatch(labels, -1) {
		values := map[string]bool{}
		for part := range strings.SplitSeq(m[2], ";") {
			part, _, _ = strings.Cut(part, ":")
			maps.Copy(values, valuesOf(part, ","))
		}
		page.shared[m[1]] = values
	}
	return page
}

func valuesOf(text, separator string) map[string]bool {
	if text == "" {
		return nil
	}
	values := map[string]bool{}
	for v := range strings.SplitSeq(text, separator) {
		values[strings.TrimSpace(v)] = true
	}
	return values
}

// free are the labels whose values are not written in the code, and what they are.
var free = map[string]*regexp.Regexp{
	"range":      regexp.MustCompile(`^(\d+|[0-9A-F]*-[0-9A-F]+)$`),
	"code":       regexp.MustCompile(`^(\d{3}|error)$`),
	"version":    nil,
	"revision":   nil,
	"go_version": nil,
}

// holds checks that a replica shows no label's value that the page does not have.
func (p metricsPage) holds(t *testing.T, have map[string]*family) {
	t.Helper()
	for name, f := range have {
		if p.families[name] == nil {
			t.Errorf("%s is not on the page", name)
			continue
		}
		for label, values := range f.values {
			known := p.families[name].values[label]
			if known == nil {
				known = p.shared[label]
			}
			is, isFree := free[label]
			for value := range values {
				switch {
				case isFree && (is == nil || is.MatchString(value)):
				case known[value]:
				default:
					t.Errorf("%s shows %s=%q, which is not on the page", name, label, value)
				}
			}
		}
	}
}

// busy starts a replica that has something of everything: operations that are
// pending, one that has ended, and a budget.
func (w *world) busy() (*replica, *person) {
	w.cs = atLeisure()
	w.tellsARM()
	w.tune = func(c *service.Config) { c.Cosmos.RUBudget = 4000 }
	r, p := w.start(inproc.New(w.cosmos)), w.person()
	p.plant(clusterID("a"), "installing")
	p.plant(clusterID("b"), "ready")
	p.put(operation("s", "op-a", "Create", "a"), operation("s", "op-b", "Create", "b"), operation("s", "op-c", "Create", "absent"))
	time.Sleep(2 * time.Minute)
	return r, p
}

// TestMetricsPage holds docs/metrics.md to a replica, and the replica to it: names,
// types, labels and their values. What the code presets is there before anything
// has happened.
func TestMetricsPage(t *testing.T) {
	t.Parallel()
	page := readMetricsPage(t)
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		r, _ := w.busy()
		have := families(t, r.registry)
		page.holds(t, have)
		for name, want := range page.families {
			f := have[name]
			if f == nil {
				t.Errorf("%s is on the page and not shown", name)
				continue
			}
			if f.String() != want.String() {
				t.Errorf("%s is a %s, on the page a %s", name, f, want)
			}
			for label, values := range want.values {
				for value := range values {
					if f.kind != "gauge" && !f.values[label][value] {
						t.Errorf("%s is not preset: no %s=%q", name, label, value)
					}
				}
			}
		}
	})
}

// TestOtherNamesAreTranslated: every expression on the page is one, of metrics and
// labels that there are; so are the metrics that other pages name.
func TestOtherNamesAreTranslated(t *testing.T) {
	t.Parallel()
	page := readMetricsPage(t)
	var expressions []string
	for _, m := range regexp.MustCompile("`([^`\n]*opfeed_[^`\n]*)`").FindAllStringSubmatch(page.others, -1) {
		expressions = append(expressions, strings.ReplaceAll(m[1], `\|`, "|"))
	}
	_, rules, _ := strings.Cut(page.others, "```yaml\n")
	rules, _, found := strings.Cut(rules, "```")
	if len(expressions) < 25 || !found {
		t.Fatalf("%d expressions, rules: %t", len(expressions), found)
	}
	selector := regexp.MustCompile(`(opfeed_[a-z_]+)(?:\{([^}]*)\})?`)
	matcher := regexp.MustCompile(`(\w+)(=~?)"([^"]*)"`)
	for _, text := range append(expressions, rules) {
		for _, m := range selector.FindAllStringSubmatch(text, -1) {
			f := page.named(m[1])
			if f == nil {
				t.Errorf("%s in %s: there is no such metric", m[1], text)
				continue
			}
			for _, pair := range matcher.FindAllStringSubmatch(m[2], -1) {
				values, ok := f.values[pair[1]]
				if values == nil {
					values = page.shared[pair[1]]
				}
				for value := range strings.SplitSeq(pair[3], "|") {
					if !ok || values != nil && !values[value] {
						t.Errorf("%s in %s: nothing has %s=%q", m[1], text, pair[1], value)
					}
				}
			}
		}
		for _, by := range regexp.MustCompile(`by \(([^)]*)\) \((?:rate\()?(opfeed_\w+)`).FindAllStringSubmatch(text, -1) {
			for l := range valuesOf(by[1], ",") {
				if f := page.named(by[2]); f != nil && l != "le" && !hasLabel(f, l) {
					t.Errorf("%s has no label %s, in %s", by[2], l, text)
				}
			}
		}
	}

	pages, err := filepath.Glob("../../docs/*.md")
	if err != nil || len(pages) < 10 {
		t.Fatalf("%d pages, %v", len(pages), err)
	}
	for _, name := range pages {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range regexp.MustCompile("`(opfeed_[a-z_]*[a-z])").FindAllStringSubmatch(string(text), -1) {
			if page.named(m[1]) == nil {
				t.Errorf("%s: there is no metric %s", filepath.Base(name), m[1])
			}
		}
	}

	promtool, err := exec.LookPath("promtool")
	if err != nil {
		t.Skip("SKIPPED: promtool is not installed, the expressions are not parsed")
	}
	var all strings.Builder
	all.WriteString(rules + "  - name: expressions\n    rules:\n")
	for i, e := range expressions {
		fmt.Fprintf(&all, "      - record: opfeed:%d\n        expr: |\n          %s\n", i, e)
	}
	file := filepath.Join(t.TempDir(), "rules.yaml")
	if err := os.WriteFile(file, []byte(all.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if out, err := exec.CommandContext(ctx, promtool, "check", "rules", file).CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

// named finds a metric by its name or that of one of its series; nil if there is none.
func (p metricsPage) named(series string) *family {
	if f := p.families[series]; f != nil {
		return f
	}
	for _, suffix := range []string{"_bucket", "_sum", "_count"} {
		if base, ok := strings.CutSuffix(series, suffix); ok {
			if f := p.families[base]; f != nil && f.kind == "histogram" {
				return f
			}
		}
	}
	return nil
}

func hasLabel(f *family, label string) bool {
	_, ok := f.values[label]
	return ok
}

// TestHostileDocumentsAddNoSeries: whatever they say, every label has one of the few
// values on the page, and the second hundred adds nothing to what the first has
// shown. Each is counted by what is wrong with it.
func TestHostileDocumentsAddNoSeries(t *testing.T) {
	t.Parallel()
	page := readMetricsPage(t)
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		r, p := w.busy()
		before := families(t, r.registry)
		quarantined := 0.0
		wave := func(which string) map[string]*family {
			t.Helper()
			for n := range 10 {
				evil := fmt.Sprintf("%s-%d-\u202e\"}\n<script>", which, n)
				for i, spoil := range hostile {
					id := fmt.Sprintf("%s-%d-%d", which, n, i)
					d := operation("evil-"+which, id, "Create", "a")
					spoil(d, d["properties"].(doc), evil)
					p.put(d)
				}
			}
			time.Sleep(10 * time.Minute)
			return families(t, r.registry)
		}
		first := wave("first")
		second := wave("second")
		page.holds(t, second)
		for name, f := range second {
			for series := range f.series {
				if strings.Contains(series, "<script") || strings.Contains(series, "evil") {
					t.Errorf("a document shows: %s", series)
				}
				if !first[name].series[series] {
					t.Errorf("%s: new with the second wave", series)
				}
			}
		}
		total := func(all map[string]*family) (n int) {
			for _, f := range all {
				n += len(f.series)
			}
			return n
		}
		t.Logf("%d series before, %d after %d hostile documents, %d after twice as many", total(before), total(first), 10*len(hostile), total(second))
		if total(first) > total(before)+100 {
			t.Error("they add many series")
		}
		reasons := map[string]float64{}
		gathered, err := r.registry.Gather()
		if err != nil {
			t.Fatal(err)
		}
		for _, g := range gathered {
			if g.GetName() == "opfeed_quarantined_total" {
				for _, m := range g.GetMetric() {
					reasons[m.GetLabel()[0].GetValue()] = m.GetCounter().GetValue()
					quarantined += m.GetCounter().GetValue()
				}
			}
		}
		if reasons["undecodable"] != 2*10*5 || reasons["unaddressable"] != 2*10 || quarantined != reasons["undecodable"]+reasons["unaddressable"] {
			t.Errorf("quarantined: %v", reasons)
		}
	})
}

// hostile are the ways to spoil an operation that is well.
var hostile = []func(envelope, properties doc, evil string){
	// Undecodable.
	func(_, properties doc, evil string) { properties["internalId"] = "/api/clusters_mgmt/v1/" + evil },
	func(_, properties doc, evil string) { properties["internalId"] = []any{evil} },
	func(_, properties doc, evil string) { properties["status"] = doc{evil: evil} },
	func(_, properties doc, evil string) { properties["request"] = doc{evil: evil} },
	func(envelope, _ doc, evil string) { envelope["properties"] = evil },
	// Unaddressable.
	func(envelope, _ doc, _ string) { envelope["id"] = fmt.Sprint(envelope["id"], `"x`) },
	// Odd, and nobody's fault.
	func(_, properties doc, evil string) { properties["request"] = evil },
	func(_, properties doc, evil string) { properties["status"] = evil },
	func(_, properties doc, evil string) { properties["internalId"] = clusterID("h" + evil[:7]) },
	func(_, properties doc, evil string) {
		properties["internalId"], properties["externalId"] = "", "/"+evil+"/x/"+evil
	},
	func(_, properties doc, evil string) {
		properties["operationId"], properties["externalId"], properties["error"] = evil, evil, evil
	},
	func(_, properties doc, evil string) {
		properties["status"], properties["notificationUri"] = "Canceled", "https://"+evil+".example/"+evil
	},
	func(envelope, properties doc, evil string) {
		properties["startTime"], properties["lastTransitionTime"], envelope["ttl"] = evil, evil, 604800
	},
	func(envelope, _ doc, evil string) { envelope["resourceType"] = evil },
}
