package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"opfeed/internal/cosmosemu"
	"opfeed/internal/workload"
)

// loadWait is how long up and load wait for the rest. The service may be
// restarted meanwhile, and it waits 2 minutes before it believes that an object
// is gone which it never saw.
const loadWait = 180 * time.Second

// trafficFlags are those that up and load share.
type trafficFlags struct {
	duration      time.Duration
	rate          float64
	subscriptions int
	documents     string
	report        string
}

func (t *trafficFlags) register(fs *flag.FlagSet) {
	fs.DurationVar(&t.duration, "for", 0, "how long operations are started; 0: until interrupted")
	fs.Float64Var(&t.rate, "rate", 2.5, "operations a second")
	fs.IntVar(&t.subscriptions, "subscriptions", 50, "how many subscriptions they are spread over")
	fs.StringVar(&t.documents, "documents", "", "`folder` of JSON documents to load first")
	fs.StringVar(&t.report, "report", "", "`file` to write the report to, as JSON")
}

func (t *trafficFlags) config(seed uint64) workload.Config {
	c := workload.DefaultConfig()
	c.Database, c.Rate, c.Subscriptions, c.Seed = database, t.rate, t.subscriptions, seed
	c.For, c.Documents = t.duration, t.documents
	return c
}

// check finds what is wrong with the flags before anything is opened.
func (t *trafficFlags) check(c workload.Config) error {
	var errs []error
	if err := c.Validate(); err != nil {
		errs = append(errs, err)
	}
	if t.documents != "" {
		if info, err := os.Stat(t.documents); err != nil {
			errs = append(errs, fmt.Errorf("--documents: %w", err))
		} else if !info.IsDir() {
			errs = append(errs, fmt.Errorf("--documents: %s is not a folder", t.documents))
		}
	}
	if t.report != "" {
		if _, err := os.Stat(filepath.Dir(t.report)); err != nil {
			errs = append(errs, fmt.Errorf("--report: %w", err))
		}
	}
	return errors.Join(errs...)
}

func load(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	fs := flag.NewFlagSet("load", flag.ContinueOnError)
	var t trafficFlags
	t.register(fs)
	cosmosURL := fs.String("cosmos", "", "`URL` of the Cosmos DB emulator")
	keyFile := fs.String("cosmos-key-file", "", "`file` with the key of the account; default: the emulators' well-known key")
	csURL := fs.String("cs", "", "`URL` of the Cluster Service simulator")
	var serviceURLs []string
	fs.Func("service", "`URL` of a replica of opfeed, as operators reach it (OPFEED_ADMIN_LISTEN), to ask it what it holds, quarantined, recovered and left alone; once for each replica; without it that is not measured", func(url string) error {
		serviceURLs = append(serviceURLs, url)
		return nil
	})
	seed := fs.Uint64("seed", 1, "the same seed gives the same operations")
	if code, done := parse(fs, args, stdout, stderr); done {
		return code
	}
	c := t.config(*seed)
	c.CosmosURL, c.CosmosKey, c.ClusterServiceURL, c.ServiceURLs = *cosmosURL, cosmosemu.WellKnownKey, *csURL, serviceURLs
	c.Drain = loadWait
	if *keyFile != "" {
		key, err := os.ReadFile(*keyFile)
		if err != nil {
			return misused(fs, stderr, fmt.Errorf("--cosmos-key-file: %w", err))
		}
		c.CosmosKey = strings.TrimSpace(string(key))
	}
	if err := t.check(c); err != nil {
		return misused(fs, stderr, err)
	}
	show := newScreen(stdout)
	return drive(ctx, "load", c, workload.Deps{Say: show.say}, t, nil, show, stderr)
}

// drive runs the front end, shows how it goes, and writes the report. It stops
// early if trouble delivers.
func drive(ctx context.Context, name string, c workload.Config, deps workload.Deps, t trafficFlags, trouble <-chan error, show *screen, stderr io.Writer) int {
	front, err := workload.New(c, deps)
	if err != nil {
		return failed(stderr, name, err)
	}
	working, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	r, err := show.follow(working, cancel, front, trouble)
	interrupted := ctx.Err() != nil
	if err != nil {
		if interrupted {
			fmt.Fprintln(stderr, "opfeed-dev: interrupted before the end")
		}
		return failed(stderr, name, err)
	}
	for _, m := range r.Mismatches {
		show.say("mismatch: %s", m)
	}
	show.say("\n%s", strings.TrimSuffix(r.Words(), "\n"))
	if t.report != "" {
		if err := writeReport(t.report, r); err != nil {
			return failed(stderr, name, err)
		}
	}
	if cause := context.Cause(working); cause != nil && !interrupted {
		return failed(stderr, name, cause)
	}
	// Who interrupts traffic without an end has not lost what is pending.
	if interrupted && t.duration == 0 {
		r.Operations.Pending = 0
	}
	if r.Refused > 0 {
		show.say("%d requests could not be carried out", r.Refused)
	}
	if r.Lost() || r.Refused > 0 {
		return exitBad
	}
	return exitOK
}

func writeReport(file string, r workload.Report) error {
	body, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return fmt.Errorf("encode report: %w", err)
	}
	if err := os.WriteFile(file, append(body, '\n'), 0o600); err != nil {
		return fmt.Errorf("write report: %w", err)
	}
	return nil
}
