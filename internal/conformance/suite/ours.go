package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// ourOptions are flags of the test program of internal/conformance, handed on
// unless they are empty.
type ourOptions struct {
	endpoint, keyFile, caFile, admin, throughput string
	insecure                                     bool
}

func (o *ourOptions) addTo(flags *flag.FlagSet) {
	flags.StringVar(&o.endpoint, "endpoint", "", "`URL` of the account to test; without it, the emulator, and Microsoft's tests, too")
	flags.StringVar(&o.keyFile, "key-file", "", "`file` with the account's key; without it, the emulators' well-known key")
	flags.StringVar(&o.caFile, "ca-file", "", "`file` with the certificate that signed the endpoint's")
	flags.BoolVar(&o.insecure, "insecure", false, "take any certificate of the endpoint")
	flags.StringVar(&o.admin, "admin", "", "`URL` where the endpoint splits ranges on command")
	flags.StringVar(&o.throughput, "throughput", "", "request `units` per second to provision; 0 for a serverless account; without it, 1000")
}

// args are for a process that runs in another folder.
func (o *ourOptions) args() ([]string, error) {
	keyFile, err := absolute(o.keyFile)
	if err != nil {
		return nil, fmt.Errorf("find the key: %w", err)
	}
	caFile, err := absolute(o.caFile)
	if err != nil {
		return nil, fmt.Errorf("find the certificate: %w", err)
	}
	var args []string
	for _, f := range [][2]string{
		{"endpoint", o.endpoint}, {"key-file", keyFile}, {"ca-file", caFile}, {"admin", o.admin}, {"throughput", o.throughput},
	} {
		if f[1] != "" {
			args = append(args, "-"+f[0]+"="+f[1])
		}
	}
	if o.insecure {
		args = append(args, "-insecure")
	}
	return args, nil
}

// absolute is for a path that a process in another folder will open.
func absolute(path string) (string, error) {
	if path == "" {
		return "", nil
	}
	return filepath.Abs(path)
}

// runOurs runs the tests of internal/conformance in a process of their own.
func runOurs(ctx context.Context, stdout io.Writer, o ourOptions) (score, error) {
	var total score
	args, err := o.args()
	if err != nil {
		return total, err
	}
	args = append([]string{"test", "-json", "-count=1", "-parallel=8", "-timeout=10m", "./internal/conformance", "-args"}, args...)
	cmd := exec.CommandContext(ctx, "go", args...) //nolint:gosec // Whoever runs this gives the arguments.
	// Interrupted, the tests remove their database before they end.
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 90 * time.Second
	var trouble strings.Builder
	cmd.Stderr = &trouble
	events, err := cmd.StdoutPipe()
	if err != nil {
		return total, fmt.Errorf("start: %w", err)
	}
	if err := cmd.Start(); err != nil {
		return total, fmt.Errorf("start: %w", err)
	}
	total, readErr := report(stdout, events)
	_, _ = io.Copy(io.Discard, events)
	err = cmd.Wait()
	switch {
	case context.Cause(ctx) != nil:
		return total, context.Cause(ctx)
	case readErr != nil:
		return total, readErr
	case err != nil && total.failed == 0:
		return total, fmt.Errorf("%w: %s", err, trouble.String())
	case total == score{}:
		return total, errors.New("there are none")
	}
	fmt.Fprintf(stdout, "Ours: %d of %d passed\n", total.passed, total.passed+total.failed+total.skipped)
	return total, nil
}

// event is a line of go test -json.
type event struct {
	Action  string  `json:"Action"`
	Test    string  `json:"Test"`
	Output  string  `json:"Output"`
	Elapsed float64 `json:"Elapsed"` // seconds
}

// report prints a line for each test as it ends, its whole output if it failed
// or was skipped, and counts. A part of a test belongs to the test.
func report(stdout io.Writer, events io.Reader) (score, error) {
	var total score
	outputs := map[string]*strings.Builder{}
	for decoder := json.NewDecoder(events); ; {
		var e event
		if err := decoder.Decode(&e); errors.Is(err, io.EOF) {
			return total, nil
		} else if err != nil {
			return total, fmt.Errorf("read the results: %w", err)
		}
		name, part, _ := strings.Cut(e.Test, "/")
		output := outputs[name]
		if output == nil {
			output = &strings.Builder{}
			outputs[name] = output
		}
		took := time.Duration(e.Elapsed * float64(time.Second))
		switch {
		case e.Action == "output" || e.Action == "build-output":
			output.WriteString(e.Output)
		case part != "":
		case name == "" && e.Action == "fail" && total.failed == 0:
			return total, fmt.Errorf("the tests did not run: %s", output)
		case name == "":
		case e.Action == "pass":
			fmt.Fprint(stdout, line(true, name, took))
			total.passed++
		case e.Action == "fail":
			fmt.Fprint(stdout, line(false, name, took), output)
			total.failed++
		case e.Action == "skip":
			fmt.Fprintf(stdout, "skipped: %s: %s\n", name, reason(output.String()))
			total.skipped++
		}
	}
}

// reason is what a test said last before it was skipped, without the line of
// the source.
func reason(output string) string {
	last := ""
	for text := range strings.Lines(output) {
		text = strings.TrimSpace(text)
		if text != "" && !strings.HasPrefix(text, "--- ") && !strings.HasPrefix(text, "=== ") {
			last = text
		}
	}
	if _, after, found := strings.Cut(last, ".go:"); found {
		_, last, _ = strings.Cut(after, ": ")
	}
	return last
}
