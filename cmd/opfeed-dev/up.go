package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"

	"github.com/sourcegraph/conc"

	"opfeed/internal/cosmosemu"
	"opfeed/internal/envconf"
	"opfeed/internal/inproc"
	"opfeed/internal/service"
	"opfeed/internal/workload"
)

const (
	// readyWait is how long up waits for the replica to be ready before the
	// traffic begins.
	readyWait = 15 * time.Second
	// probeTimeout bounds one question: one that hangs must not take all of that.
	probeTimeout = time.Second
)

type upFlags struct {
	traffic         trafficFlags
	listen, logging string
	admin           *string
	speed           *float64
	seed            *uint64
	replicas        int
}

func up(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	fs := flag.NewFlagSet("up", flag.ContinueOnError)
	var f upFlags
	f.traffic.register(fs)
	f.speed, f.seed = simulatorFlags(fs)
	fs.StringVar(&f.listen, "listen", "127.0.0.1:8080", "`address` of the replica's own HTTP")
	f.admin = adminFlag(fs, "faults, log of requests, clock, splits and merges of Cosmos DB")
	fs.StringVar(&f.logging, "log-level", "warn", "least level of the replica's log, to standard error: debug, info, warn, error")
	fs.IntVar(&f.replicas, "replicas", 1, "number of replicas; more than 1 is not possible yet")
	if code, done := parse(fs, args, stdout, stderr); done {
		return code
	}
	c := f.traffic.config(*f.seed)
	// The addresses are not known yet, and are not the user's affair.
	c.CosmosURL, c.CosmosKey, c.ClusterServiceURL = "-", cosmosemu.WellKnownKey, "-"
	problems := f.traffic.check(c)
	if !(*f.speed > 0) {
		problems = errors.Join(problems, errSpeed)
	}
	switch {
	case f.replicas > 1:
		problems = errors.Join(problems, fmt.Errorf("--replicas %d: only one replica can run: leases cannot be shared out among several yet", f.replicas))
	case f.replicas < 1:
		problems = errors.Join(problems, fmt.Errorf("--replicas %d: must be 1", f.replicas))
	}
	if _, err := service.NewLogger(f.logging, service.FormatConsole, stderr); err != nil {
		problems = errors.Join(problems, fmt.Errorf("--log-level: %w", err))
	}
	if problems != nil {
		return misused(fs, stderr, problems)
	}
	return f.run(ctx, stdout, stderr)
}

func (f upFlags) run(ctx context.Context, stdout, stderr io.Writer) int {
	var s servers
	defer s.close()
	emulator, err := newCosmos(1, 0)
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
	l, err := listen(ctx, f.listen)
	if err != nil {
		return failed(stderr, "up", err)
	}
	c.ServiceURL = "http://" + l.Addr().String()
	show, arm := newScreen(stdout), workload.NewARM(1)
	replica, err := f.replica(c.CosmosURL, c.ClusterServiceURL, arm, l, show.beside(stderr))
	if err != nil {
		_ = l.Close()
		return failed(stderr, "up", err)
	}

	// First of all, before the replica may have anything to log.
	fmt.Fprintf(stdout, "Cosmos DB        %s (request units: /_emulator/stats)\n", c.CosmosURL)
	fmt.Fprintf(stdout, "Cluster Service  %s (journal: /_simulator/journal)\n", c.ClusterServiceURL)
	fmt.Fprintf(stdout, "opfeed           %s (/healthz, /readyz, /metrics, /api/v1/snapshot)\n", c.ServiceURL)
	if err := (adminPort{*f.admin, emulator.Admin(), stdout}).serve(ctx, &s); err != nil {
		_ = l.Close()
		return failed(stderr, "up", err)
	}
	fmt.Fprintln(stdout)

	// The replica goes on until the front end has seen the end of its
	// operations, whatever stops the front end.
	serving, stop := context.WithCancel(context.WithoutCancel(ctx))
	trouble := make(chan error, 1)
	var group conc.WaitGroup
	group.Go(func() {
		if err := replica.Run(serving); err != nil {
			trouble <- fmt.Errorf("replica: %w", err)
		}
	})
	if !ready(ctx, c.ServiceURL, nil) && ctx.Err() == nil {
		fmt.Fprintf(stdout, "The replica is not ready after %v; the operations begin nevertheless.\n", readyWait)
	}
	code := drive(ctx, "up", c, workload.Deps{ARM: arm, Say: show.say}, f.traffic, trouble, show, stderr)
	stop()
	group.Wait()
	select {
	case err := <-trouble:
		return failed(stderr, "up", err)
	default:
		return code
	}
}

func (f upFlags) replica(cosmosURL, csURL string, arm *workload.ARM, l net.Listener, stderr io.Writer) (*service.Service, error) {
	log, err := service.NewLogger(f.logging, service.FormatConsole, stderr)
	if err != nil {
		return nil, fmt.Errorf("make log: %w", err)
	}
	c := service.DefaultConfig()
	c.Cosmos.Endpoint, c.Cosmos.Key, c.Cosmos.Database = cosmosURL, envconf.Secret(cosmosemu.WellKnownKey), database
	c.Cosmos.Locks, c.Cosmos.PartitionKeys = "Locks", "PartitionKeys"
	c.Cosmos.Billing, c.Location = billing, location
	c.CS.URL = csURL
	c.LogLevel, c.LogFormat = f.logging, service.FormatConsole
	s, err := service.New(c, service.Deps{ARM: inproc.New(arm), Listener: l, Log: log})
	if err != nil {
		return nil, fmt.Errorf("make replica: %w", err)
	}
	return s, nil
}

// ready waits until the replica says that it is. A nil transport is the network.
func ready(ctx context.Context, url string, transport http.RoundTripper) bool {
	client := &http.Client{Transport: transport, Timeout: probeTimeout}
	ctx, cancel := context.WithTimeout(ctx, readyWait)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, url+"/readyz", nil)
		if err != nil {
			return false
		}
		if resp, err := client.Do(req); err == nil {
			_ = resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return true
			}
		}
		select {
		case <-ctx.Done():
			return false
		case <-tick.C:
		}
	}
}
