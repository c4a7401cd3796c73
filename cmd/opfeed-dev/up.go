package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"time"

	"opfeed/internal/cosmosemu"
	"opfeed/internal/service"
	"opfeed/internal/workload"
)

const (
	// readyWait is how long up waits for the replicas to be ready before the
	// traffic begins.
	readyWait = 15 * time.Second
	// probeTimeout bounds one question: one that hangs must not take all of that.
	probeTimeout = time.Second

	mostReplicas = 9
	mostRanges   = 100 // that the emulator gives
)

type upFlags struct {
	traffic          trafficFlags
	listen, page     string
	logging          string
	admin            *string
	speed            *float64
	seed             *uint64
	replicas, ranges int
}

func up(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	fs := flag.NewFlagSet("up", flag.ContinueOnError)
	var f upFlags
	f.traffic.register(fs)
	f.speed, f.seed = simulatorFlags(fs)
	fs.StringVar(&f.listen, "listen", "127.0.0.1:8080", "`address` of the first replica's probes and metrics; the others take the next free ports")
	fs.StringVar(&f.page, "page", "127.0.0.1:8090", "`address` of the first replica's page; the others take the next free ports")
	f.admin = adminFlag(fs, "faults, log of requests, clock, splits and merges of Cosmos DB")
	fs.StringVar(&f.logging, "log-level", "warn", "least level of the replicas' log, to standard error: debug, info, warn, error")
	fs.IntVar(&f.replicas, "replicas", 1, fmt.Sprintf("number of replicas, up to %d", mostReplicas))
	fs.IntVar(&f.ranges, "ranges", 0, "how many partition key ranges the container Resources begins with; 0: as many as replicas")
	if code, done := parse(fs, args, stdout, stderr); done {
		return code
	}
	if err := f.check(stderr); err != nil {
		return misused(fs, stderr, err)
	}
	if f.ranges == 0 {
		f.ranges = f.replicas
	}
	return f.run(ctx, stdout, stderr)
}

func (f upFlags) check(stderr io.Writer) error {
	c := f.traffic.config(*f.seed)
	// The addresses are not known yet, and are not the user's affair.
	c.CosmosURL, c.CosmosKey, c.ClusterServiceURL = "-", cosmosemu.WellKnownKey, "-"
	problems := []error{f.traffic.check(c)}
	if !(*f.speed > 0) {
		problems = append(problems, errSpeed)
	}
	if f.replicas < 1 || f.replicas > mostReplicas {
		problems = append(problems, fmt.Errorf("--replicas %d: must be 1 to %d", f.replicas, mostReplicas))
	}
	if f.ranges < 0 || f.ranges > mostRanges {
		problems = append(problems, fmt.Errorf("--ranges %d: must be 1 to %d", f.ranges, mostRanges))
	}
	if _, _, err := service.NewLogger(f.logging, service.FormatConsole, stderr); err != nil {
		problems = append(problems, fmt.Errorf("--log-level: %w", err))
	}
	return errors.Join(problems...)
}

func (f upFlags) run(ctx context.Context, stdout, stderr io.Writer) int {
	var s servers
	defer s.close()
	emulator, err := newCosmos(f.ranges, 0)
	if err != nil {
		return failed(stderr, "up", err)
	}
	c := f.traffic.config(*f.seed)
	c.CosmosKey, c.Drain, c.Billing = cosmosemu.WellKnownKey, loadWait, billing
	if c.CosmosURL, err = s.serve(ctx, "127.0.0.1:0", emulator); err != nil {
		return failed(stderr, "up", err)
	}
	clusterService, _ := newClusterService(*f.speed, *f.seed)
	if c.ClusterServiceURL, err = s.serve(ctx, "127.0.0.1:0", clusterService); err != nil {
		return failed(stderr, "up", err)
	}
	show, arm := newScreen(stdout), workload.NewARM(1)
	team, err := f.team(ctx, &s, emulator, c.ClusterServiceURL, arm, show.beside(stderr))
	if err != nil {
		return failed(stderr, "up", err)
	}
	defer team.close()
	c.ServiceURLs = team.pages()

	// First of all, before the replicas may have anything to log: people look
	// before they read.
	for _, r := range team {
		fmt.Fprintf(stdout, "page of %-9s %s/\n", r.name, r.page)
	}
	fmt.Fprintf(stdout, "Cosmos DB         %s (request units: /_emulator/stats)\n", c.CosmosURL)
	fmt.Fprintf(stdout, "Cluster Service   %s (journal: /_simulator/journal)\n", c.ClusterServiceURL)
	for _, r := range team {
		fmt.Fprintf(stdout, "opfeed %-10s %s (/healthz, /readyz, /metrics)\n", r.name, r.url)
	}
	if err := (adminPort{*f.admin, emulator.Admin(), stdout}).serve(ctx, &s); err != nil {
		return failed(stderr, "up", err)
	}
	fmt.Fprintln(stdout)

	// The replicas go on until the front end has seen the end of its operations,
	// whatever stops the front end.
	serving, stop := context.WithCancel(context.WithoutCancel(ctx))
	trouble, ended := team.run(serving)
	if idle := team.notReady(ctx); idle != "" && ctx.Err() == nil {
		fmt.Fprintf(stdout, "%s is not ready after %v; the operations begin nevertheless.\n", idle, readyWait)
	}
	code := drive(ctx, "up", c, workload.Deps{ARM: arm, Say: show.say}, f.traffic, trouble, show, stderr)
	stop()
	ended()
	select {
	case err := <-trouble:
		return failed(stderr, "up", err)
	default:
		return code
	}
}
