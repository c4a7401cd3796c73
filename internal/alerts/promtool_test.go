package alerts

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// promtool returns a command of promtool, Debian's package prometheus. Without it
// the test is skipped, or fails where somebody has said that the tools are there.
func promtool(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	path, err := exec.LookPath("promtool")
	switch {
	case err == nil:
	case os.Getenv("REQUIRE_TOOLS") == "1":
		t.Fatalf("promtool is missing, and REQUIRE_TOOLS is 1: %v", err)
	default:
		t.Skip("SKIPPED: promtool is missing: apt-get install prometheus")
	}
	return exec.CommandContext(t.Context(), path, args...)
}

// checkRules has promtool read a rule file.
func checkRules(t *testing.T, rules []byte) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "rules.yaml")
	if err := os.WriteFile(path, rules, 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := promtool(t, "check", "rules", path).CombinedOutput(); err != nil {
		t.Errorf("promtool: %v\n%s", err, out)
	}
}

func TestRulesAreValid(t *testing.T) {
	for name, scale := range map[string]float64{"production": 1, "a thirtieth": 1. / 30, "a thousandth": 1e-3, "tenfold": 10} {
		t.Run(name, func(t *testing.T) { checkRules(t, Rules(scale)) })
	}
	t.Run("resource", func(t *testing.T) {
		_, spec, found := strings.Cut(string(PrometheusRule()), "\nspec:\n")
		if !found {
			t.Fatal("no spec")
		}
		var rules strings.Builder
		for line := range strings.Lines(spec) {
			rules.WriteString(strings.TrimPrefix(line, "  "))
		}
		if rules.String() != scaled(template, 1) {
			t.Error("the spec is not the rules of production")
		}
		checkRules(t, []byte(rules.String()))
	})
}

// TestAlerts plays to each alert what it is there for, and what only looks so.
func TestAlerts(t *testing.T) {
	for _, path := range testFiles(t) {
		t.Run(strings.TrimSuffix(filepath.Base(path), ".yaml"), func(t *testing.T) {
			if out, err := promtool(t, "test", "rules", path).CombinedOutput(); err != nil {
				t.Errorf("promtool: %v\n%s", err, out)
			}
		})
	}
}

// TestAlertsCanFail spoils each rule in turn: one that never fires, and one that
// does not wait, or always fires, must fail the tests of its alert.
func TestAlertsCanFail(t *testing.T) {
	for i, r := range parse(t).Groups[0].Rules {
		for how, spoil := range map[string]func(*rule){
			"never": func(r *rule) { r.Expr = "vector(0) > 1" },
			"at once": func(r *rule) {
				if r.For == "" {
					r.Expr = "vector(1)"
				}
				r.For = ""
			},
		} {
			t.Run(r.Alert+"/"+r.Labels["severity"]+"/"+how, func(t *testing.T) {
				f := parse(t)
				spoil(&f.Groups[0].Rules[i])
				wantFailure(t, r.Alert, f)
			})
		}
	}
}

// wantFailure runs the tests of an alert over other rules.
func wantFailure(t *testing.T, alert string, rules ruleFile) {
	t.Helper()
	dir := t.TempDir()
	tests, err := os.ReadFile(filepath.Join(docs, "alerts/tests", alert+".yaml"))
	if err != nil {
		t.Fatal(err)
	}
	tests = bytes.Replace(tests, []byte("../opfeed.rules.yaml"), []byte("rules.yaml"), 1)
	for name, text := range map[string][]byte{"rules.yaml": rules.marshal(t), "tests.yaml": tests} {
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	out, err := promtool(t, "test", "rules", filepath.Join(dir, "tests.yaml")).CombinedOutput()
	if err == nil {
		t.Error("its tests do not notice")
	} else if !bytes.Contains(out, []byte("got:")) {
		t.Errorf("promtool has not come to evaluate anything: %v\n%s", err, out)
	}
}

func testFiles(t *testing.T) []string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(docs, "alerts/tests/*.yaml"))
	if err != nil || len(found) == 0 {
		t.Fatalf("no tests of alerts: %v", err)
	}
	return found
}
