package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"runtime/debug"
	"time"

	"github.com/sourcegraph/conc"

	"opfeed/cs/cssim"
	"opfeed/internal/cosmosemu"
	"opfeed/internal/workload"
)

const (
	database = "opfeed"
	billing  = "Billing" // container
	location = "local"   // of all clusters
)

// newCosmos is the emulator with the containers that opfeed and its front ends
// use: Resources with so many ranges and so much throughput, which is enforced
// unless it is 0.
func newCosmos(ranges, throughput int) (*cosmosemu.Server, error) {
	s := cosmosemu.New(cosmosemu.Options{EnforceThroughput: throughput != 0})
	forever, lock := int32(-1), int32(10)
	err := s.Create(database,
		cosmosemu.Container{ID: "Resources", PartitionKey: "/partitionKey", DefaultTTL: &forever, Ranges: ranges, Throughput: throughput},
		cosmosemu.Container{ID: "Leases", PartitionKey: "/id", DefaultTTL: &forever},
		cosmosemu.Container{ID: "Locks", PartitionKey: "/id", DefaultTTL: &lock},
		cosmosemu.Container{ID: "PartitionKeys", PartitionKey: "/partitionKey"},
		cosmosemu.Container{ID: billing, PartitionKey: "/subscriptionId"},
	)
	if err != nil {
		return nil, fmt.Errorf("create containers: %w", err)
	}
	return s, nil
}

// newClusterService is the simulator, with a little latency, a few failures,
// and a counter of calls; admin is what its administrator asks.
func newClusterService(speed float64, seed uint64) (calls, admin http.Handler) {
	s := cssim.New(cssim.Options{
		Speed: speed, Seed: seed, Latency: 2 * time.Millisecond, LatencyJitter: 8 * time.Millisecond,
		FailureRate: 0.05,
	})
	return workload.CountCalls(s), s.Admin()
}

func cosmos(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	fs := flag.NewFlagSet("cosmos", flag.ContinueOnError)
	listen := fs.String("listen", "127.0.0.1:8081", "`address` to listen on")
	admin := adminFlag(fs, "faults, log of requests, clock, splits and merges")
	ranges := fs.Int("ranges", 1, "how many partition key ranges the container Resources begins with")
	throughput := fs.Int("throughput", 0, "throughput of Resources in `RU/s`, enforced; the other containers then have 400; 0: no limit")
	if code, done := parse(fs, args, stdout, stderr); done {
		return code
	}
	boundMemory()
	s, err := newCosmos(*ranges, *throughput)
	if err != nil {
		return misused(fs, stderr, err)
	}
	return serveAlone(ctx, "cosmos", *listen, s, adminPort{*admin, s.Admin(), stdout}, stderr, func(url string) {
		fmt.Fprintf(stdout, "Cosmos DB emulator at %s, request units at %s/_emulator/stats\n", url, url)
		fmt.Fprint(stdout, "For opfeed run:\n")
		fmt.Fprintf(stdout, "export OPFEED_COSMOS_ENDPOINT=%s\n", url)
		fmt.Fprintf(stdout, "export OPFEED_COSMOS_KEY=%s\n", cosmosemu.WellKnownKey)
		fmt.Fprintf(stdout, "export OPFEED_COSMOS_DATABASE=%s\n", database)
		fmt.Fprint(stdout, "export OPFEED_COSMOS_LOCKS_CONTAINER=Locks\n")
		fmt.Fprint(stdout, "export OPFEED_COSMOS_PARTITION_KEYS_CONTAINER=PartitionKeys\n")
		fmt.Fprintf(stdout, "export OPFEED_COSMOS_BILLING_CONTAINER=%s\n", billing)
		fmt.Fprintf(stdout, "export OPFEED_LOCATION=%s\n", location)
	})
}

// boundMemory lets the garbage collector work harder rather than let a million
// items of 1 KB need more than 3 GB: they live in half of that, and the
// collector would let the heap grow to twice what lives. It costs nothing
// before that; the variable GOMEMLIMIT overrides it.
func boundMemory() {
	const limit = 2560 << 20
	if debug.SetMemoryLimit(-1) == math.MaxInt64 {
		debug.SetMemoryLimit(limit)
	}
}

func clusterService(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	fs := flag.NewFlagSet("cs", flag.ContinueOnError)
	listen := fs.String("listen", "127.0.0.1:8082", "`address` to listen on")
	admin := adminFlag(fs, "faults, log of requests, journal and objects")
	speed, seed := simulatorFlags(fs)
	if code, done := parse(fs, args, stdout, stderr); done {
		return code
	}
	if !(*speed > 0) {
		return misused(fs, stderr, errSpeed)
	}
	calls, control := newClusterService(*speed, *seed)
	return serveAlone(ctx, "cs", *listen, calls, adminPort{*admin, control, stdout}, stderr, func(url string) {
		fmt.Fprintf(stdout, "Cluster Service simulator at %s, journal at %s/_simulator/journal\n", url, url)
		fmt.Fprintf(stdout, "For opfeed run:\nexport OPFEED_CS_URL=%s\n", url)
	})
}

var errSpeed = errors.New("--speed must be above 0")

func simulatorFlags(fs *flag.FlagSet) (speed *float64, seed *uint64) {
	return fs.Float64("speed", 60, "how many times faster than the real one Cluster Service works"),
		fs.Uint64("seed", 1, "what is drawn by lot follows from it")
}

// serveAlone serves until ctx ends.
func serveAlone(ctx context.Context, name, address string, h http.Handler, admin adminPort, stderr io.Writer, tell func(url string)) int {
	var s servers
	defer s.close()
	url, err := s.serve(ctx, address, h)
	if err != nil {
		return failed(stderr, name, err)
	}
	if err := admin.serve(ctx, &s); err != nil {
		return failed(stderr, name, err)
	}
	tell(url)
	select {
	case <-ctx.Done():
		return exitOK
	case err := <-s.failures():
		return failed(stderr, name, err)
	}
}

// servers are HTTP servers that end together. The zero value is ready.
type servers struct {
	group  conc.WaitGroup
	list   []*http.Server
	failed chan error
}

func (s *servers) failures() <-chan error { return s.failed }

// serve listens on address and returns the URL.
func (s *servers) serve(ctx context.Context, address string, h http.Handler) (string, error) {
	l, err := listen(ctx, address)
	if err != nil {
		return "", err
	}
	if s.failed == nil {
		s.failed = make(chan error, 16) // more than there are servers
	}
	server := &http.Server{Handler: h, ReadHeaderTimeout: 5 * time.Second, IdleTimeout: 2 * time.Minute}
	s.list = append(s.list, server)
	s.group.Go(func() {
		if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			s.failed <- fmt.Errorf("serve %s: %w", address, err)
		}
	})
	return "http://" + l.Addr().String(), nil
}

// close ends all of them, requests under way included: their clients have
// ended before.
func (s *servers) close() {
	for _, server := range s.list {
		_ = server.Close()
	}
	s.group.Wait()
}

func listen(ctx context.Context, address string) (net.Listener, error) {
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", address)
	if err != nil {
		return nil, fmt.Errorf("listen on %s: %w", address, err)
	}
	return l, nil
}
