package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

const azcosmos = "github.com/Azure/azure-sdk-for-go/sdk/data/azcosmos"

// suite is Microsoft's tests, compiled.
type suite struct {
	folder  string // of the sources
	version string
	program string
	tests   []string
}

// runMicrosoft runs each test in a process of its own, against an emulator of
// its own: the tests use the same names, and azcosmos keeps what it knows of
// them for the life of the process.
func runMicrosoft(ctx context.Context, stdout io.Writer, all bool) (score, error) {
	var total score
	scratch, err := os.MkdirTemp("", "opfeed-conformance-")
	if err != nil {
		return total, fmt.Errorf("make a folder: %w", err)
	}
	defer os.RemoveAll(scratch)
	s, err := compile(ctx, filepath.Join(scratch, "azcosmos.test"))
	if err != nil {
		return total, err
	}
	skips, err := readSkips(s.tests)
	if err != nil {
		return total, err
	}
	a, err := listen(ctx, scratch)
	if err != nil {
		return total, err
	}
	defer a.close()

	fmt.Fprintf(stdout, "azcosmos %s: %d tests need an emulator\n", s.version, len(s.tests))
	var removable []string
	for _, name := range s.tests {
		reason, listed := skips[name]
		if listed && !all {
			fmt.Fprintf(stdout, "skipped: %s: %s\n", name, reason)
			total.skipped++
			continue
		}
		a.renew()
		started := time.Now()
		output, passed := s.run(ctx, name, a.certificate)
		if err := context.Cause(ctx); err != nil {
			return total, err
		}
		fmt.Fprint(stdout, line(passed, name, time.Since(started)))
		switch {
		case passed:
			total.passed++
			if listed {
				removable = append(removable, name)
			}
		case listed:
			fmt.Fprintf(stdout, "as expected: %s\n", reason)
			total.skipped++
		default:
			fmt.Fprintln(stdout, output)
			total.failed++
		}
	}
	for _, name := range removable {
		fmt.Fprintf(stdout, "passes, and need not be skipped any more: %s\n", name)
	}
	fmt.Fprintf(stdout, "Microsoft: %d of %d passed\n", total.passed, len(s.tests))
	return total, nil
}

// compile builds the tests of the version that go.mod names.
func compile(ctx context.Context, program string) (*suite, error) {
	if _, err := goTool(ctx, "test", "-c", "-o", program, azcosmos); err != nil {
		return nil, fmt.Errorf("compile the tests of azcosmos: %w", err)
	}
	out, err := goTool(ctx, "list", "-m", "-json=Dir,Version", azcosmos)
	if err != nil {
		return nil, fmt.Errorf("find the sources of azcosmos: %w", err)
	}
	var module struct {
		Dir     string `json:"Dir"`
		Version string `json:"Version"`
	}
	if err := json.Unmarshal(out, &module); err != nil {
		return nil, fmt.Errorf("find the sources of azcosmos: %w", err)
	}
	tests, err := scan(module.Dir)
	if err != nil {
		return nil, err
	}
	return &suite{module.Dir, module.Version, program, tests}, nil
}

// run runs one test. Exit code 0 is not enough: it may have been skipped, or
// not be there.
func (s *suite) run(ctx context.Context, name, certificate string) (output string, passed bool) {
	const timeout = 90 * time.Second
	ctx, cancel := context.WithTimeout(ctx, timeout+10*time.Second)
	defer cancel()
	//nolint:gosec // We have compiled the program, and read the name from its source.
	cmd := exec.CommandContext(ctx, s.program, "-test.v", "-test.run", "^"+name+"$", "-test.timeout", timeout.String())
	cmd.Dir = s.folder
	cmd.Env = append(os.Environ(), "EMULATOR=1", "SSL_CERT_FILE="+certificate)
	out, err := cmd.CombinedOutput()
	return string(out), err == nil && strings.Contains(string(out), "--- PASS: "+name+" ")
}

// goTool runs the go command. Its error holds what the command said.
func goTool(ctx context.Context, args ...string) ([]byte, error) {
	out, err := exec.CommandContext(ctx, "go", args...).Output() //nolint:gosec // The arguments are written in this file.
	if failure := (*exec.ExitError)(nil); errors.As(err, &failure) {
		err = fmt.Errorf("%w: %s", err, failure.Stderr)
	}
	return out, err
}
