package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"

	"opfeed/internal/operator"
)

const operationsUsage = `usage: opfeed operations COMMAND

  list      what is active, owed to ARM or quarantined, oldest first
  show ID   everything about one operation: its document, its resources, what Cluster
            Service says of it now, what follows from that, its quarantine
  retry ID  take it out of quarantine; replicas look at it again within a minute or so
  help      print this

ID is a document's id (or its last part), the operation's name (the end of its
operationId), its whole operationId, or the whole ARM id of its resource: then the
operation on that which has not ended, else the last.

Flags, before or after ID:
  --subscription S  look in this subscription alone
  --all             list: those that have ended, too
  --json            list, show: for programs

They take the environment variables of opfeed run (see opfeed config); only those of
Cosmos DB are needed. Without OPFEED_CS_URL show does not ask Cluster Service.
`

// operationsFlags are the flags of all commands; each takes those that it knows.
type operationsFlags struct {
	subscription string
	all, json    bool
}

// operationsCommand is one command on operations.
type operationsCommand struct {
	flags string // initials of those that it takes
	id    bool   // takes an ID
	run   func(ctx context.Context, o *operator.Operator, w io.Writer, f operationsFlags, id string) error
}

var operationsCommands = map[string]operationsCommand{
	"list": {"saj", false, func(ctx context.Context, o *operator.Operator, w io.Writer, f operationsFlags, _ string) error {
		return o.List(ctx, w, operator.ListOptions{Subscription: f.subscription, All: f.all, JSON: f.json})
	}},
	"show": {"sj", true, func(ctx context.Context, o *operator.Operator, w io.Writer, f operationsFlags, id string) error {
		return o.Show(ctx, w, operator.ShowOptions{ID: id, Subscription: f.subscription, JSON: f.json})
	}},
	"retry": {"s", true, func(ctx context.Context, o *operator.Operator, w io.Writer, f operationsFlags, id string) error {
		return o.Retry(ctx, w, f.subscription, id)
	}},
}

// operate runs a command on operations.
func operate(ctx context.Context, args []string, stdout, stderr io.Writer, environ []string) int {
	misuse := func(problem string) int {
		return misused(stderr, operationsUsage, problem)
	}
	if len(args) == 0 {
		return misuse("a command on operations is missing")
	}
	name := args[0]
	if name == "help" || name == "-h" || name == "-help" || name == "--help" {
		return printTo(stdout, stderr, operationsUsage)
	}
	command, ok := operationsCommands[name]
	if !ok {
		return misuse(fmt.Sprintf("unknown command %q on operations", name))
	}
	f, rest, err := command.parse(name, args[1:])
	switch {
	case errors.Is(err, flag.ErrHelp):
		return printTo(stdout, stderr, operationsUsage)
	case err != nil:
		return misuse(err.Error())
	case command.id && (len(rest) == 0 || rest[0] == ""):
		return misuse(name + " needs an ID")
	case command.id && len(rest) > 1:
		return misuse(fmt.Sprintf("%s takes one ID, but there is %q, too", name, rest[1]))
	case !command.id && len(rest) > 0:
		return misuse(fmt.Sprintf("%s takes no argument, but there is %q", name, rest[0]))
	}
	id := ""
	if command.id {
		id = rest[0]
	}
	return withOperator(ctx, stderr, environ, func(o *operator.Operator) error { return command.run(ctx, o, stdout, f, id) })
}

// parse takes flags before, between and after arguments.
func (c operationsCommand) parse(name string, args []string) (f operationsFlags, rest []string, err error) {
	set := flags(name)
	for _, initial := range c.flags {
		switch initial {
		case 's':
			set.StringVar(&f.subscription, "subscription", "", "")
		case 'a':
			set.BoolVar(&f.all, "all", false, "")
		case 'j':
			set.BoolVar(&f.json, "json", false, "")
		}
	}
	rest, err = parseAround(set, args)
	return f, rest, err
}
