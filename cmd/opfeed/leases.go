package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"

	"opfeed/internal/operator"
)

const leasesUsage = `usage: opfeed leases COMMAND

  list                       who reads which range, where it stands, how far it is behind
  release TOKEN              free a lease where it stands; who runs takes it anew
  reset TOKEN --to POSITION  free it and read its range from POSITION: beginning, now,
                             or after a time like 2006-01-02T15:04:05Z
  help                       print this

TOKEN is the lease's, as list shows it; -- before one that begins with a dash.

Flags, before or after TOKEN:
  --all     release, reset: all leases instead of TOKEN
  --yes     release, reset: do it; without it they say what they would do
  --force   release, reset: even while the owner looks live
  --no-lag  list: do not ask for the lag, which costs a request for each range
  --json    for programs

They take the environment variables of opfeed run (see opfeed config); only those of
Cosmos DB are needed. opfeed lag [--json] shows the lag alone, and its total.
`

// leasesFlags are the flags of all commands; each takes those that it knows.
type leasesFlags struct {
	operator.LeaseOptions

	noLag bool
}

// leasesCommand is one command on leases.
type leasesCommand struct {
	changes bool // takes a TOKEN, or --all
	resets  bool
	run     func(ctx context.Context, o *operator.Operator, w io.Writer, f leasesFlags) error
}

var leasesCommands = map[string]leasesCommand{
	"list": {false, false, func(ctx context.Context, o *operator.Operator, w io.Writer, f leasesFlags) error {
		return o.ListLeases(ctx, w, !f.noLag, f.JSON)
	}},
	"release": {true, false, func(ctx context.Context, o *operator.Operator, w io.Writer, f leasesFlags) error {
		return o.Release(ctx, w, f.LeaseOptions)
	}},
	"reset": {true, true, func(ctx context.Context, o *operator.Operator, w io.Writer, f leasesFlags) error {
		return o.Reset(ctx, w, f.LeaseOptions)
	}},
}

// manageLeases runs a command on leases.
func manageLeases(ctx context.Context, args []string, stdout, stderr io.Writer, environ []string) int {
	misuse := func(problem string) int {
		return misused(stderr, leasesUsage, problem)
	}
	if len(args) == 0 {
		return misuse("a command on leases is missing")
	}
	name := args[0]
	if name == "help" || name == "-h" || name == "-help" || name == "--help" {
		return printTo(stdout, stderr, leasesUsage)
	}
	command, ok := leasesCommands[name]
	if !ok {
		return misuse(fmt.Sprintf("unknown command %q on leases", name))
	}
	f, err := command.parse(name, args[1:])
	switch {
	case errors.Is(err, flag.ErrHelp):
		return printTo(stdout, stderr, leasesUsage)
	case err != nil:
		return misuse(err.Error())
	}
	return withOperator(ctx, stderr, environ, func(o *operator.Operator) error { return command.run(ctx, o, stdout, f) })
}

func (c leasesCommand) parse(name string, args []string) (f leasesFlags, err error) {
	set := flags(name)
	set.BoolVar(&f.JSON, "json", false, "")
	if c.changes {
		set.BoolVar(&f.All, "all", false, "")
		set.BoolVar(&f.Yes, "yes", false, "")
		set.BoolVar(&f.Force, "force", false, "")
	} else {
		set.BoolVar(&f.noLag, "no-lag", false, "")
	}
	if c.resets {
		set.StringVar(&f.To, "to", "", "")
	}
	rest, err := parseAround(set, args)
	if err != nil {
		return f, err
	}
	switch {
	case !c.changes && len(rest) > 0:
		return f, fmt.Errorf("%s takes no argument, but there is %q", name, rest[0])
	case !c.changes:
		return f, nil
	case f.All && len(rest) > 0:
		return f, fmt.Errorf("%s takes a TOKEN or --all, but there is %q, too", name, rest[0])
	case !f.All && (len(rest) == 0 || rest[0] == ""):
		return f, fmt.Errorf("%s needs a TOKEN, or --all", name)
	case len(rest) > 1:
		return f, fmt.Errorf("%s takes one TOKEN, but there is %q, too", name, rest[1])
	case c.resets && f.To == "":
		return f, fmt.Errorf("%s needs --to POSITION", name)
	}
	if !f.All {
		f.Token = rest[0]
	}
	if c.resets {
		return f, operator.CheckTo(f.To)
	}
	return f, nil
}

// showLag is opfeed lag.
func showLag(ctx context.Context, args []string, stdout, stderr io.Writer, environ []string) int {
	set := flags("lag")
	json := set.Bool("json", false, "")
	if code, ok := parse(set, args, stdout, stderr); !ok {
		return code
	}
	if set.NArg() > 0 {
		return refuse(stderr, fmt.Sprintf("lag takes no argument, but there is %q", set.Arg(0)))
	}
	return withOperator(ctx, stderr, environ, func(o *operator.Operator) error { return o.Lag(ctx, stdout, *json) })
}
