package alerts

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// A code span of a runbook is checked by what it begins with: a quote, a log line;
// opfeed and a blank, a command; OPFEED_, a variable; all that names a metric of
// ours, a query.
var span = regexp.MustCompile("`([^`]+)`")

// runbooks are the pages by name of their alert.
func runbooks(t *testing.T) map[string]string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(docs, "runbooks/*.md"))
	if err != nil {
		t.Fatal(err)
	}
	pages := map[string]string{}
	for _, path := range found {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		pages[strings.TrimSuffix(filepath.Base(path), ".md")] = string(text)
	}
	return pages
}

// spans are the code spans of all runbooks that begin with something, by runbook.
func spans(t *testing.T, begin string) (found [][2]string) {
	t.Helper()
	for name, page := range runbooks(t) {
		for _, m := range span.FindAllStringSubmatch(page, -1) {
			if strings.HasPrefix(m[1], begin) {
				found = append(found, [2]string{name, m[1]})
			}
		}
	}
	if len(found) == 0 {
		t.Fatalf("no runbook has a code span that begins with %q", begin)
	}
	return found
}

func TestEveryAlertHasARunbook(t *testing.T) {
	pages := runbooks(t)
	for _, name := range alertNames(t) {
		page, ok := pages[name]
		if !ok {
			t.Errorf("%s has no runbook", name)
			continue
		}
		var headings []string
		for line := range strings.Lines(page) {
			if strings.HasPrefix(line, "#") {
				headings = append(headings, strings.TrimSpace(line))
			}
		}
		want := []string{"# " + name, "## For customers", "## Look first", "## Do", "## Do not", "## When it ends by itself"}
		if !slices.Equal(headings, want) {
			t.Errorf("%s has the headings %q, want %q", name, headings, want)
		}
		if !strings.Contains(page, "(../alerts/README.md#how-to-run-what-runbooks-name)") {
			t.Errorf("%s: its runbook does not lead to how its commands are run", name)
		}
		for _, r := range parse(t).Groups[0].Rules {
			if r.Alert == name && !strings.Contains(page, "**"+r.Labels["severity"]+"**") && !strings.Contains(page, "**"+r.Labels["severity"]+".**") {
				t.Errorf("%s: its runbook does not say that it is %s", name, r.Labels["severity"])
			}
		}
		delete(pages, name)
	}
	for name := range pages {
		t.Errorf("there is no alert %s, but a runbook", name)
	}
}

func TestRunbooksHaveQueriesThatParse(t *testing.T) {
	var rules strings.Builder
	rules.WriteString("groups:\n  - name: runbooks\n    rules:\n")
	for name, page := range runbooks(t) {
		for _, m := range span.FindAllStringSubmatch(page, -1) {
			if strings.Contains(m[1], "opfeed_") {
				fmt.Fprintf(&rules, "      - record: r%x\n        expr: %q\n", name+m[1], m[1])
			}
		}
	}
	checkRules(t, []byte(rules.String()))
}

// TestRunbooksNameLogLinesThatExist looks for each in the code.
func TestRunbooksNameLogLinesThatExist(t *testing.T) {
	var code strings.Builder
	err := filepath.WalkDir("../..", func(path string, entry os.DirEntry, err error) error {
		if err != nil || entry.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return err
		}
		text, err := os.ReadFile(path)
		code.Write(text)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range spans(t, `"`) {
		if !strings.Contains(code.String(), s[1]) {
			t.Errorf("%s: nothing logs %s", s[0], s[1])
		}
	}
}

func TestRunbooksNameVariablesThatExist(t *testing.T) {
	page, err := os.ReadFile(filepath.Join(docs, "configuration.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range spans(t, "OPFEED_") {
		if !strings.Contains(string(page), "`"+s[1]+"`") {
			t.Errorf("%s: no variable %s", s[0], s[1])
		}
	}
}

// TestRunbooksNameCommandsThatExist runs each without a configuration: it must not
// come further than to miss that.
func TestRunbooksNameCommandsThatExist(t *testing.T) {
	path := filepath.Join(t.TempDir(), "opfeed")
	build := exec.CommandContext(t.Context(), "go", "build", "-o", path, "../../cmd/opfeed")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build opfeed: %v\n%s", err, out)
	}
	understood := func(ctx context.Context, command string) (bool, string) {
		cmd := exec.CommandContext(ctx, path, strings.Fields(command)[1:]...)
		cmd.Env = []string{} // none, not ours
		out, _ := cmd.CombinedOutput()
		return strings.HasPrefix(string(out), "opfeed: wrong configuration"), string(out)
	}
	for _, s := range spans(t, "opfeed ") {
		if ok, out := understood(t.Context(), s[1]); !ok {
			t.Errorf("%s: %s: %s", s[0], s[1], out)
		}
	}
	for _, command := range []string{"opfeed leases lst", "opfeed leases list --lag", "opfeed operations show"} {
		if ok, _ := understood(t.Context(), command); ok {
			t.Errorf("%s is understood", command)
		}
	}
}
