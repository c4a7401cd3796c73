package alerts

import (
	"flag"
	"os"
	"path/filepath"
	"testing"
)

var writeFiles = flag.Bool("alerts.write", false, "write the rules into docs/alerts instead of comparing")

const docs = "../../docs"

// TestFilesAreWrittenFromTheTemplate holds docs/alerts to the template.
func TestFilesAreWrittenFromTheTemplate(t *testing.T) {
	for name, want := range map[string][]byte{
		"opfeed.rules.yaml":   Rules(1),
		"prometheusrule.yaml": PrometheusRule(),
	} {
		path := filepath.Join(docs, "alerts", name)
		if *writeFiles {
			if err := os.WriteFile(path, want, 0o644); err != nil {
				t.Fatal(err)
			}
			continue
		}
		have, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if string(have) != string(want) {
			t.Errorf("docs/alerts/%s is not what the template says; \"make alerts\" writes it", name)
		}
	}
}
