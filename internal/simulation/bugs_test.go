package simulation_test

import (
	"os/exec"
	"path/filepath"
	"testing"
)

// Code that moves takes the planted bugs with it: each must still fit. That each is
// found is what `make bugs` shows.
func TestBugsCanBePlanted(t *testing.T) {
	patches, err := filepath.Glob("bugs/*.patch")
	if err != nil || len(patches) < 12 {
		t.Fatalf("%d patches, %v", len(patches), err)
	}
	for _, patch := range patches {
		file, err := filepath.Abs(patch)
		if err != nil {
			t.Fatal(err)
		}
		check := exec.CommandContext(t.Context(), "git", "apply", "--check", file)
		check.Dir = "../.."
		if out, err := check.CombinedOutput(); err != nil {
			t.Errorf("%s: %v\n%s", patch, err, out)
		}
	}
}
