// Command opfeed keeps the asynchronous operations of an Azure resource provider
// moving: it reads them from the change feed of a Cosmos DB container, asks
// Cluster Service how far they are, and writes the answer back.
//
// It is configured by environment variables alone; `opfeed config` lists them.
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

	"github.com/sourcegraph/conc"

	"opfeed/internal/service"
	"opfeed/internal/tracing"
)

// Exit codes.
const (
	exitOK      = 0
	exitFailure = 1
	exitUsage   = 2 // wrong arguments or wrong configuration; nothing was opened
)

const usage = `usage: opfeed COMMAND

  run         serve until SIGTERM or SIGINT; a second one ends at once
  operations  list operations, show one, take one out of quarantine; see opfeed operations help
  leases      list who reads which range, free one, read one from elsewhere; see opfeed leases help
  lag         how far each range is behind the end of its change feed; --json for programs
  config      print all environment variables as a table in Markdown
  version     print which build this is
  help        print this

Exit codes: 0 stopped as asked, or done; 1 failed, or not found; 2 wrong arguments or configuration.
`

func main() {
	ctx := stopOnSignal(context.Background(), os.Stderr, os.Exit)
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr, os.Environ()))
}

// stopOnSignal returns a context that the first SIGTERM or SIGINT ends. The
// second calls exit, with 128 and the signal's number as shells do.
func stopOnSignal(ctx context.Context, stderr io.Writer, exit func(int)) context.Context {
	ctx, cancel := context.WithCancel(ctx)
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT)
	go func() { // until the process ends
		<-signals
		cancel()
		second := <-signals
		_, _ = fmt.Fprintln(stderr, "opfeed: second signal, ending at once")
		code := exitFailure
		if n, ok := second.(syscall.Signal); ok {
			code = 128 + int(n)
		}
		exit(code)
	}()
	return ctx
}

// run is the whole command but for signals and the process's exit.
func run(ctx context.Context, args []string, stdout, stderr io.Writer, environ []string) int {
	commands := map[string]func() int{
		"run":     func() int { return serve(ctx, stdout, stderr, environ) },
		"config":  func() int { return printTo(stdout, stderr, configuration()) },
		"version": func() int { return printTo(stdout, stderr, version()) },
		"help":    func() int { return printTo(stdout, stderr, usage) },
	}
	top := flags("opfeed")
	if code, ok := parse(top, args, stdout, stderr); !ok {
		return code
	}
	switch top.Arg(0) {
	case "operations":
		return operate(ctx, top.Args()[1:], stdout, stderr, environ)
	case "leases":
		return manageLeases(ctx, top.Args()[1:], stdout, stderr, environ)
	case "lag":
		return showLag(ctx, top.Args()[1:], stdout, stderr, environ)
	}
	command := commands[top.Arg(0)]
	if command == nil {
		problem := "a command is missing"
		if top.NArg() > 0 {
			problem = fmt.Sprintf("unknown command %q", top.Arg(0))
		}
		return refuse(stderr, problem)
	}
	sub := flags(top.Arg(0))
	if code, ok := parse(sub, top.Args()[1:], stdout, stderr); !ok {
		return code
	}
	if sub.NArg() > 0 {
		return refuse(stderr, fmt.Sprintf("%s takes no argument, but there is %q", sub.Name(), sub.Arg(0)))
	}
	return command()
}

// serve runs the service. Standard error is its log.
func serve(ctx context.Context, stdout, stderr io.Writer, environ []string) int {
	cfg, err := service.Load(environ)
	if err != nil {
		_, _ = fmt.Fprintf(stderr, "opfeed: wrong configuration (see opfeed config):\n%v\n", err)
		return exitUsage
	}
	log, level, err := service.NewLogger(cfg.LogLevel, cfg.LogFormat, stderr)
	if err != nil {
		_, _ = fmt.Fprintf(stderr, "opfeed: %v\n", err)
		return exitUsage
	}
	spans := tracing.FromEnvironment(ctx, environ, stdout,
		tracing.Process{Name: "opfeed", Version: service.ReadBuild().Version, Instance: cfg.Instance}, log)
	s, err := service.New(cfg, service.Deps{Log: log, Level: level, Tracing: spans.Tracers()})
	if err != nil {
		_, _ = fmt.Fprintf(stderr, "opfeed: %v\n", err)
		return exitUsage
	}
	if spans != nil {
		end := beside(ctx, spans.Run)
		defer end()
	}
	if err := s.Run(ctx); err != nil {
		_, _ = fmt.Fprintf(stderr, "opfeed: %v\n", err)
		return exitFailure
	}
	return exitOK
}

// beside runs something until the function that it returns is called, also when ctx
// has ended before.
func beside(ctx context.Context, run func(context.Context) error) (end func()) {
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	var group conc.WaitGroup
	group.Go(func() { _ = run(ctx) })
	return func() {
		cancel()
		group.Wait()
	}
}

// flags returns a set of its own: a dependency registers flags on the global one.
func flags(name string) *flag.FlagSet {
	f := flag.NewFlagSet(name, flag.ContinueOnError)
	f.SetOutput(io.Discard)
	return f
}

// parse reports whether to go on, and with which code to end if not.
func parse(f *flag.FlagSet, args []string, stdout, stderr io.Writer) (int, bool) {
	switch err := f.Parse(args); {
	case errors.Is(err, flag.ErrHelp):
		return printTo(stdout, stderr, usage), false
	case err != nil:
		return refuse(stderr, err.Error()), false
	default:
		return exitOK, true
	}
}

// parseAround takes flags before, between and after arguments, which it returns.
func parseAround(f *flag.FlagSet, args []string) (rest []string, err error) {
	for {
		if err := f.Parse(args); err != nil {
			return nil, err
		}
		if f.NArg() == 0 {
			return rest, nil
		}
		if ended := len(args) - f.NArg(); ended > 0 && args[ended-1] == "--" {
			return append(rest, f.Args()...), nil // nothing behind it is a flag
		}
		rest, args = append(rest, f.Arg(0)), f.Args()[1:]
	}
}

func refuse(stderr io.Writer, problem string) int {
	return misused(stderr, usage, problem)
}

// misused tells last what is wrong: what stands before 20 lines is not seen.
func misused(stderr io.Writer, usage, problem string) int {
	_, _ = fmt.Fprintf(stderr, "%s\nopfeed: %s\n", usage, problem)
	return exitUsage
}

func printTo(stdout, stderr io.Writer, text string) int {
	if _, err := io.WriteString(stdout, text); err != nil {
		_, _ = fmt.Fprintf(stderr, "opfeed: %v\n", err)
		return exitFailure
	}
	return exitOK
}
