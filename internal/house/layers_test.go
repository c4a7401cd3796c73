package house_test

import (
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// belowAll is the layer of packages that any other may import.
const belowAll = -1

// room is a row of the table in docs/architecture.md.
type room struct {
	layer   int
	imports []string
}

func TestLayers(t *testing.T) {
	table, err := rooms(read(t, "docs/architecture.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, problem := range compare(table, packages(t)) {
		t.Error(problem)
	}
}

func TestPackagesHaveDocComments(t *testing.T) {
	for _, p := range packages(t) {
		want := "Package " + p.Name + " "
		if p.Name == "main" {
			want = "Command " + path.Base(p.ImportPath) + " "
		}
		if !strings.HasPrefix(p.Doc, want) {
			t.Errorf("%s: the package needs a doc comment that begins with %q, has %q", p.name(), want, p.Doc)
		}
	}
}

// rooms reads the table whose header begins with "package | layer".
func rooms(markdown string) (map[string]room, error) {
	table := map[string]room{}
	inside := false
	for line := range strings.Lines(markdown) {
		cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), "|")
		for i := range cells {
			cells[i] = strings.TrimSpace(cells[i])
		}
		switch {
		case len(cells) == 4 && cells[0] == "package" && cells[1] == "layer":
			inside = true
		case !inside || strings.HasPrefix(cells[0], "---"):
		case len(cells) != 4:
			inside = false
		default:
			name := strings.Trim(cells[0], "`")
			if _, twice := table[name]; twice {
				return nil, fmt.Errorf("docs/architecture.md: two rows for %s", name)
			}
			row, err := readRoom(cells[1], cells[3])
			if err != nil {
				return nil, fmt.Errorf("docs/architecture.md: row of %s: %w", name, err)
			}
			table[name] = row
		}
	}
	if len(table) == 0 {
		return nil, fmt.Errorf("docs/architecture.md: no table of packages")
	}
	return table, nil
}

func readRoom(layer, imports string) (room, error) {
	row := room{layer: belowAll}
	if layer != "–" {
		n, err := strconv.Atoi(layer)
		if err != nil || n < 0 {
			return room{}, fmt.Errorf("layer %q is neither a number nor –", layer)
		}
		row.layer = n
	}
	if imports != "–" {
		for name := range strings.SplitSeq(imports, ",") {
			row.imports = append(row.imports, strings.Trim(strings.TrimSpace(name), "`"))
		}
	}
	return row, nil
}

// compare says where the code and the table differ. An import of a package
// below all need not be in the row.
func compare(table map[string]room, all []listed) []string {
	var problems []string
	say := func(format string, args ...any) { problems = append(problems, fmt.Sprintf(format, args...)) }
	exists := map[string]bool{}
	for _, p := range all {
		name := p.name()
		exists[name] = true
		from, ok := table[name]
		if !ok {
			say("%s has no row in docs/architecture.md", name)
			continue
		}
		for _, path := range p.Imports {
			target, ours := strings.CutPrefix(path, module+"/")
			if !ours {
				continue
			}
			to, ok := table[target]
			switch {
			case !ok: // said at its own turn
			case to.layer == belowAll && from.layer == belowAll:
				say("%s imports %s: a package below all imports none of ours", name, target)
			case to.layer == belowAll:
			case !slices.Contains(from.imports, target):
				say("%s imports %s, which its row in docs/architecture.md does not name", name, target)
			case to.layer >= from.layer:
				say("%s (layer %d) imports %s (layer %d): imports point to a lower layer", name, from.layer, target, to.layer)
			}
		}
	}
	for name := range table {
		if !exists[name] {
			say("docs/architecture.md has a row for %s, which does not exist", name)
		}
	}
	slices.Sort(problems)
	return problems
}

func TestCompare(t *testing.T) {
	table, err := rooms(`
| package | layer | its one job | imports of ours |
|---|---|---|---|
| ` + "`low`" + ` | 0 | x | – |
| ` + "`in/mid`" + ` | 1 | x | low, gone |
| ` + "`key`" + ` | – | x | – |
| ` + "`ghost`" + ` | 2 | x | – |

| package | what | another | table |
`)
	if err != nil {
		t.Fatal(err)
	}
	pkg := func(name string, imports ...string) listed {
		p := listed{ImportPath: module + "/" + name}
		for _, i := range imports {
			p.Imports = append(p.Imports, module+"/"+i)
		}
		return p
	}
	for _, c := range []struct {
		packages []listed
		want     []string
	}{
		{[]listed{pkg("low", "key"), pkg("in/mid", "low", "key"), pkg("key"), pkg("ghost")}, nil},
		{[]listed{pkg("low", "in/mid"), pkg("in/mid"), pkg("key"), pkg("ghost")},
			[]string{"low imports in/mid, which its row in docs/architecture.md does not name"}},
		{[]listed{pkg("low"), pkg("in/mid"), pkg("key", "low"), pkg("ghost")},
			[]string{"key imports low, which its row in docs/architecture.md does not name"}},
		{[]listed{pkg("low"), pkg("in/mid"), pkg("key"), pkg("new")},
			[]string{"docs/architecture.md has a row for ghost, which does not exist", "new has no row in docs/architecture.md"}},
	} {
		if got := compare(table, c.packages); !slices.Equal(got, c.want) {
			t.Errorf("%v:\n got %q\nwant %q", c.packages, got, c.want)
		}
	}
	table["low"] = room{layer: 0, imports: []string{"in/mid"}}
	got := compare(table, []listed{pkg("low", "in/mid"), pkg("in/mid"), pkg("key"), pkg("ghost")})
	if want := []string{"low (layer 0) imports in/mid (layer 1): imports point to a lower layer"}; !slices.Equal(got, want) {
		t.Errorf("an upward import that its row names:\n got %q\nwant %q", got, want)
	}
}
