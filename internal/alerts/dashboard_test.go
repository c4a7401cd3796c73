package alerts

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// dashboard is what the tests read of docs/dashboard/opfeed.json.
type dashboard struct {
	SchemaVersion int
	Templating    struct {
		List []struct {
			Name, Type string
			Definition string
		}
	}
	Panels []panel
}

type panel struct {
	ID          int
	Type, Title string
	GridPos     struct{ H, W, X, Y int }
	Targets     []struct {
		RefID        string
		Expr         string
		LegendFormat string
		Datasource   struct{ UID string }
	}
}

func readDashboard(t *testing.T) dashboard {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(docs, "dashboard/opfeed.json"))
	if err != nil {
		t.Fatal(err)
	}
	var d dashboard
	if err := json.NewDecoder(bytes.NewReader(text)).Decode(&d); err != nil {
		t.Fatal(err)
	}
	return d
}

// queries are those of all panels, by panel and letter, as Prometheus would get
// them but for the values of the variables within strings.
func (d dashboard) queries() map[string]string {
	found := map[string]string{}
	for _, p := range d.Panels {
		for _, target := range p.Targets {
			found[fmt.Sprintf("dashboard, %d %s, %s", p.ID, p.Title, target.RefID)] =
				strings.NewReplacer("$__rate_interval", "2m", "$__range", "3h").Replace(target.Expr)
		}
	}
	return found
}

var (
	legend   = regexp.MustCompile(`{{(\w+)}}`)
	variable = regexp.MustCompile(`\$(\w+)`)
	// What a variable of the dashboard is taken from: label_values(metric, label).
	definition = regexp.MustCompile(`^label_values\((.*), \w+\)$`)
)

// TestDashboard: rows in the wanted order, each panel a place of its own, a data
// source that can be chosen, variables and legends that exist, queries that parse.
func TestDashboard(t *testing.T) {
	d := readDashboard(t)
	var rows []string
	ids, taken := map[int]bool{}, map[[2]int]string{}
	variables := []string{"__rate_interval", "__range"}
	for _, v := range d.Templating.List {
		variables = append(variables, v.Name)
	}
	if d.SchemaVersion < 39 || !slices.Contains(variables, "datasource") {
		t.Errorf("schema version %d, variables %q", d.SchemaVersion, variables)
	}
	for _, p := range d.Panels {
		if ids[p.ID] {
			t.Errorf("two panels have the id %d", p.ID)
		}
		ids[p.ID] = true
		for x := range p.GridPos.W {
			for y := range p.GridPos.H {
				at := [2]int{p.GridPos.X + x, p.GridPos.Y + y}
				if other, ok := taken[at]; ok || at[0] >= 24 {
					t.Fatalf("%q lies on %q, or beside the page", p.Title, other)
				}
				taken[at] = p.Title
			}
		}
		if p.Type == "row" {
			rows = append(rows, p.Title)
			continue
		}
		if len(p.Targets) == 0 {
			t.Errorf("%q shows nothing", p.Title)
		}
		for _, target := range p.Targets {
			if target.Datasource.UID != "${datasource}" {
				t.Errorf("%q: data source %q cannot be chosen", p.Title, target.Datasource.UID)
			}
			for _, v := range variable.FindAllStringSubmatch(target.Expr, -1) {
				if !slices.Contains(variables, v[1]) {
					t.Errorf("%q: no variable %s", p.Title, v[0])
				}
			}
			q, err := read(target.Expr)
			if err != nil {
				t.Errorf("%q: %v", p.Title, err)
			}
			for _, label := range legend.FindAllStringSubmatch(target.LegendFormat, -1) {
				if !slices.ContainsFunc(q.selectors, func(s selector) bool { return slices.Contains(s.kept, label[1]) }) {
					t.Errorf("%q: the legend has %s, which the query does not keep", p.Title, label[0])
				}
			}
		}
	}
	want := []string{"Is it healthy?", "Feed", "Work", "Operations", "Cluster Service", "Cosmos DB", "Leases", "Notifications"}
	if !slices.Equal(rows, want) {
		t.Errorf("rows: have %q, want %q", rows, want)
	}
	var rules strings.Builder
	rules.WriteString("groups:\n  - name: dashboard\n    rules:\n")
	for where, query := range d.queries() {
		fmt.Fprintf(&rules, "      - record: q%x\n        expr: %q\n", where, query)
	}
	checkRules(t, []byte(rules.String()))
}
