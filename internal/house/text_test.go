package house_test

import (
	"path"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// The patterns are put together from parts, so that this file passes them.
var (
	machinePath = regexp.MustCompile(`(^|[^A-Za-z0-9_.-])/(wo` + `rk|fa` + `rm|ho` + `me|ro` + `ot|Us` + `ers)/`)
	openEnd     = regexp.MustCompile(`\b(TO` + `DO|FIX` + `ME|XX` + `X|HA` + `CK)\b`)
	testFunc    = regexp.MustCompile(`(?m)^func ((?:Test|Fuzz)\w+)\(`)
	testName    = regexp.MustCompile("`((?:Test|Fuzz)\\w+)`")
)

func TestNoMachinePaths(t *testing.T) {
	for _, name := range files(t) {
		text := read(t, name)
		if strings.IndexByte(text, 0) >= 0 { // not a text
			continue
		}
		if found := machinePath.FindString(text); found != "" {
			t.Errorf("%s: a path of one machine: %q", name, found)
		}
	}
}

func TestNothingLeftOpen(t *testing.T) {
	for _, name := range files(t) {
		if path.Ext(name) != ".go" {
			continue
		}
		if found := openEnd.FindString(read(t, name)); found != "" {
			t.Errorf("%s: holds %q; do it, or open an issue", name, found)
		}
	}
}

func TestDecisionsHaveTheirHeadings(t *testing.T) {
	records, err := filepath.Glob(filepath.Join(root, "docs/decisions/*.md"))
	if err != nil || len(records) == 0 {
		t.Fatalf("no decision records: %v", err)
	}
	numbered := regexp.MustCompile(`^\d{4}-[a-z0-9-]+\.md$`)
	for _, record := range records {
		name := filepath.Base(record)
		if !numbered.MatchString(name) {
			t.Errorf("%s: a decision record is called NNNN-title.md", name)
		}
		text := "\n" + read(t, path.Join("docs/decisions", name))
		for _, heading := range []string{"Context", "Decision", "Alternatives", "Consequence"} {
			if !strings.Contains(text, "\n## "+heading+"\n") {
				t.Errorf("%s: no heading %q", name, "## "+heading)
			}
		}
	}
}

// What an invariant is guarded by must exist.
func TestInvariantsNameTestsThatExist(t *testing.T) {
	exists := map[string]bool{}
	for _, name := range files(t) {
		if strings.HasSuffix(name, "_test.go") {
			for _, f := range testFunc.FindAllStringSubmatch(read(t, name), -1) {
				exists[f[1]] = true
			}
		}
	}
	named := testName.FindAllStringSubmatch(read(t, "docs/invariants.md"), -1)
	if len(named) == 0 {
		t.Error("docs/invariants.md names no test")
	}
	for _, n := range named {
		if !exists[n[1]] {
			t.Errorf("docs/invariants.md: there is no test %s", n[1])
		}
	}
}
