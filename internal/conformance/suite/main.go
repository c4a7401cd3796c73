// Command suite runs what shows that the emulator is Cosmos DB, as far as its
// clients can tell: Microsoft's tests of azcosmos, unchanged, and our own, which
// run against any account. docs/conformance.md describes both; `make
// conformance` is how to start it, from the root of the module.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"
)

// Exit codes.
const (
	exitOK     = 0
	exitFailed = 1 // a test failed, or the tests could not be run
	exitUsage  = 2
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	// A second signal ends the process at once.
	context.AfterFunc(ctx, stop)
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

// run ends its output with one line that counts the tests of both suites.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	all := false
	var o ourOptions
	flags := flag.NewFlagSet("suite", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.BoolVar(&all, "all", false, "also try the tests that docs/conformance.md says are skipped")
	o.addTo(flags)
	if err := flags.Parse(args); errors.Is(err, flag.ErrHelp) {
		return exitOK
	} else if err != nil {
		return exitUsage
	}
	if flags.NArg() > 0 {
		fmt.Fprintf(stderr, "suite: unexpected argument %q\n", flags.Arg(0))
		return exitUsage
	}
	total, err := runBoth(ctx, stdout, all, o)
	if err != nil {
		fmt.Fprintf(stderr, "suite: %v\n", err)
		return exitFailed
	}
	fmt.Fprintf(stdout, "%d passed, %d failed, %d skipped\n", total.passed, total.failed, total.skipped)
	if total.failed > 0 {
		return exitFailed
	}
	return exitOK
}

func runBoth(ctx context.Context, stdout io.Writer, all bool, o ourOptions) (score, error) {
	var total score
	if o.endpoint == "" {
		microsoft, err := runMicrosoft(ctx, stdout, all)
		if err != nil {
			return total, fmt.Errorf("run Microsoft's tests: %w", err)
		}
		total.add(microsoft)
	} else {
		fmt.Fprintln(stdout, "Microsoft: not run, the addresses in its tests are those of an emulator")
	}
	ours, err := runOurs(ctx, stdout, o)
	if err != nil {
		return total, fmt.Errorf("run our tests: %w", err)
	}
	total.add(ours)
	return total, nil
}

// score counts tests.
type score struct{ passed, failed, skipped int }

func (s *score) add(other score) {
	s.passed += other.passed
	s.failed += other.failed
	s.skipped += other.skipped
}

// line is what is printed of a test that ran.
func line(passed bool, name string, took time.Duration) string {
	word := "FAIL"
	if passed {
		word = "pass"
	}
	return fmt.Sprintf("%s %6.2f s  %s\n", word, took.Seconds(), name)
}
