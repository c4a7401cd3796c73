// Command opfeed-dev runs everything that opfeed needs on one machine: an
// emulated Cosmos DB, a simulated Cluster Service, a front end that starts
// operations, and, with up, replicas of the service itself.
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
)

// Exit codes.
const (
	exitOK    = 0
	exitBad   = 1 // it could not run, or operations were lost or mismatched
	exitUsage = 2
)

const usage = `Usage: opfeed-dev COMMAND [FLAGS]

Commands:
  up      emulated Cosmos DB, simulated Cluster Service, front end and one
          or more replicas of opfeed, in one process; nothing else is needed
  cosmos  the emulated Cosmos DB alone, database and containers created
  cs      the simulated Cluster Service alone
  load    the front end alone, against "cosmos" and "cs"
  help    this text

"opfeed-dev COMMAND -h" lists the flags of a command. Exit status: 0 if no
operation was lost or mismatched, 1 otherwise, 2 for wrong usage.
`

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	// A second signal ends the process at once.
	context.AfterFunc(ctx, stop)
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	if len(args) == 0 {
		fmt.Fprint(stderr, usage)
		return exitUsage
	}
	commands := map[string]func(context.Context, []string, io.Writer, io.Writer) int{
		"up": up, "cosmos": cosmos, "cs": clusterService, "load": load,
	}
	switch name := args[0]; name {
	case "help", "-h", "-help", "--help":
		fmt.Fprint(stdout, usage)
		return exitOK
	default:
		command, ok := commands[name]
		if !ok {
			fmt.Fprintf(stderr, "opfeed-dev: unknown command %q\n\n%s", name, usage)
			return exitUsage
		}
		return command(ctx, args[1:], stdout, stderr)
	}
}

// parse reads flags. done is false when the command should go on.
func parse(fs *flag.FlagSet, args []string, stdout, stderr io.Writer) (code int, done bool) {
	fs.SetOutput(io.Discard)
	err := fs.Parse(args)
	if err == nil && fs.NArg() > 0 {
		err = fmt.Errorf("unexpected argument %q", fs.Arg(0))
	}
	switch {
	case errors.Is(err, flag.ErrHelp):
		help(fs, stdout)
		return exitOK, true
	case err != nil:
		return misused(fs, stderr, err), true
	}
	return exitOK, false
}

func misused(fs *flag.FlagSet, stderr io.Writer, err error) int {
	help(fs, stderr)
	fmt.Fprintf(stderr, "\nopfeed-dev %s: %v\n", fs.Name(), err) // last: what stands before all flags is not seen
	return exitUsage
}

func help(fs *flag.FlagSet, w io.Writer) {
	fmt.Fprintf(w, "Usage: opfeed-dev %s [FLAGS]\n\nFlags:\n", fs.Name())
	fs.SetOutput(w)
	fs.PrintDefaults()
	fs.SetOutput(io.Discard)
}

func failed(stderr io.Writer, name string, err error) int {
	fmt.Fprintf(stderr, "opfeed-dev %s: %v\n", name, err)
	return exitBad
}
