package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"syscall"
	"time"

	"github.com/sourcegraph/conc"

	"opfeed/internal/cosmosemu"
	"opfeed/internal/envconf"
	"opfeed/internal/inproc"
	"opfeed/internal/service"
	"opfeed/internal/workload"
)

// team is the replicas that up runs. In one process they are as separate as in
// several: each has its own name, address, metrics, log and clients. Not even
// the address of Cosmos DB is one: azcosmos keeps what it knows of an account
// by address, for the whole process, and lets all wait while one asks. The
// addresses differ in the port alone, so that the leases, whose ids begin with
// the host, are the same.
type team []*replica

type replica struct {
	name      string
	url, page string // of what is for the cluster, and for operators
	listeners [2]net.Listener
	service   *service.Service
}

func (f upFlags) team(ctx context.Context, s *servers, emulator *cosmosemu.Server, csURL string, arm *workload.ARM, stderr io.Writer) (all team, err error) {
	log, level, err := service.NewLogger(f.logging, service.FormatConsole, stderr)
	if err != nil {
		return nil, fmt.Errorf("make log: %w", err)
	}
	listeners, err := listenOn(ctx, f.listen, f.replicas)
	if err != nil {
		return nil, err
	}
	pages, err := listenOn(ctx, f.page, f.replicas)
	if err != nil {
		closeAll(listeners)
		return nil, err
	}
	for i, l := range listeners {
		all = append(all, &replica{
			name: fmt.Sprintf("replica-%d", i+1),
			url:  "http://" + l.Addr().String(), page: "http://" + pages[i].Addr().String(),
			listeners: [2]net.Listener{l, pages[i]},
		})
	}
	for _, r := range all {
		c := service.DefaultConfig()
		if c.Cosmos.Endpoint, err = s.serve(ctx, "127.0.0.1:0", emulator); err != nil {
			all.close()
			return nil, err
		}
		c.Instance, c.PageURL = r.name, r.page+"/"
		c.Cosmos.Key, c.Cosmos.Database = envconf.Secret(cosmosemu.WellKnownKey), database
		c.Cosmos.Locks, c.Cosmos.PartitionKeys = "Locks", "PartitionKeys"
		c.Cosmos.Billing, c.Location = billing, location
		c.CS.URL = csURL
		c.LogLevel, c.LogFormat = f.logging, service.FormatConsole
		r.service, err = service.New(c, service.Deps{ARM: inproc.New(arm),
			Listener: r.listeners[0], AdminListener: r.listeners[1], Log: log.Named(r.name), Level: level})
		if err != nil {
			all.close()
			return nil, fmt.Errorf("make %s: %w", r.name, err)
		}
	}
	return all, nil
}

// close closes the addresses; those of replicas that ran are closed already.
func (all team) close() {
	for _, r := range all {
		closeAll(r.listeners[:])
	}
}

func closeAll(listeners []net.Listener) {
	for _, l := range listeners {
		_ = l.Close()
	}
}

// pages are where the replicas say how they are.
func (all team) pages() []string {
	var urls []string
	for _, r := range all {
		urls = append(urls, r.page)
	}
	return urls
}

// run starts all. What ends one in trouble is delivered; wait returns when all
// have ended.
func (all team) run(ctx context.Context) (trouble <-chan error, wait func()) {
	failures := make(chan error, len(all))
	var group conc.WaitGroup
	for _, r := range all {
		group.Go(func() {
			if err := r.service.Run(ctx); err != nil {
				failures <- fmt.Errorf("%s: %w", r.name, err)
			}
		})
	}
	return failures, group.Wait
}

// notReady waits until all are ready, and names the first that is not in time.
func (all team) notReady(ctx context.Context) string {
	ctx, cancel := context.WithTimeout(ctx, readyWait)
	defer cancel()
	for _, r := range all {
		if !ready(ctx, r.url, nil) {
			return r.name
		}
	}
	return ""
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

// listenOn listens on an address, and, for the second and further ones, on the
// next ports that are free; port 0 stands for any free one each time.
func listenOn(ctx context.Context, address string, count int) (all []net.Listener, err error) {
	defer func() {
		if err != nil {
			closeAll(all)
			all = nil
		}
	}()
	first, err := listen(ctx, address)
	if err != nil {
		return nil, err
	}
	all = append(all, first)
	host, given, err := net.SplitHostPort(address)
	if err != nil {
		return all, fmt.Errorf("listen after %s: %w", address, err)
	}
	bound, err := netip.ParseAddrPort(first.Addr().String())
	if err != nil {
		return all, fmt.Errorf("listen after %s: %w", address, err)
	}
	for port := int(bound.Port()); len(all) < count; {
		if port++; given == "0" {
			port = 0
		}
		switch l, err := listen(ctx, net.JoinHostPort(host, strconv.Itoa(port))); {
		case err == nil:
			all = append(all, l)
		case !errors.Is(err, syscall.EADDRINUSE):
			return all, err
		}
	}
	return all, nil
}
