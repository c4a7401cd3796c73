package system_test

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"net/http"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/data/azcosmos"
	"github.com/sourcegraph/conc"

	"opfeed/internal/alerts"
)

// What TestFlood is; `make flood`.
var (
	floodRun   = flag.Bool("flood", false, "run TestFlood")
	floodWrite = flag.Bool("flood.write", false, "TestFlood writes docs/flood.md and docs/flood.svg, if it passes")
)

// deluge is how much, and how long.
type deluge struct {
	subscriptions, each int           // of the flood
	within              time.Duration // it is written
	lasts               time.Duration // Cluster Service stays slow
	before              time.Duration // quiet
	quiet               int           // subscriptions
	rate                float64       // operations a second in them
	slow                int           // times, Cluster Service
	speed               int           // of Cluster Service, in times that of the real one: a create takes two or three sweeps, which are not scaled
	list                string        // the interval of the backstop's list
	scale               float64       // of the rules' times
	budget              int           // RU/s: several times what the quiet traffic takes
	drain               time.Duration // all of the flood has ended, after Cluster Service is mended
}

var (
	wholeFlood = deluge{
		subscriptions: 20, each: 2000, within: 20 * time.Second, lasts: 60 * time.Second, before: 20 * time.Second,
		quiet: 500, rate: 10, slow: 10, speed: 300, list: "1m", scale: 1. / 30, budget: 5000, drain: 4 * time.Minute,
	}
	// Slower, since less of it could not overload anything.
	shortFlood = deluge{
		subscriptions: 4, each: 300, within: 3 * time.Second, lasts: 20 * time.Second, before: 8 * time.Second,
		quiet: 100, rate: 10, slow: 40, speed: 300, list: "15s", scale: 1. / 30, budget: 2500, drain: 4 * time.Minute,
	}
)

const floodRanges, floodReplicas = 3, 2

// flooded is TestFlood under way.
type flooded struct {
	*fleet
	deluge
	monitor *monitor
	scribe  *scribe
	prober  *prober

	began, ended time.Time
	phases       []phase
}

// TestFlood floods the service, as real processes, with far too much, and then does
// to it, one after the other, what else goes wrong. A real Prometheus evaluates the
// project's own rules, their times scaled, and has to see each trouble before it
// hurts, and nothing else. Nothing is lost meanwhile, and whoever did not flood
// hardly notices.
func TestFlood(t *testing.T) {
	if !*floodRun {
		t.Skip("SKIPPED: takes 5 minutes; make flood")
	}
	program := needPrometheus(t)
	size := wholeFlood
	if testing.Short() {
		size = shortFlood
	}
	f := &flooded{deluge: size, fleet: newFleet(t, floodRanges, floodReplicas, size.speed,
		"OPFEED_LIST_INTERVAL="+size.list, "OPFEED_COSMOS_RU_BUDGET="+fmt.Sprint(size.budget))}
	f.begin()
	f.scribe = f.fleet.scribe()
	traffic, stop := context.WithCancel(t.Context())
	var writing conc.WaitGroup
	defer writing.Wait()
	defer stop()
	writing.Go(func() { f.scribe.quiet(traffic, size.quiet, size.rate) })
	pause(t, 3*time.Second) // to come into step: what a start costs is no concern here
	f.prober = f.probe()
	f.monitor = f.watch(program, alerts.Rules(size.scale), size.scale)
	f.began = time.Now()

	f.run(traffic)
	f.end(stop, writing.Wait)

	v, err := f.scribe.judge(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	r := f.report(v)
	t.Log("\n" + r.table())
	for _, one := range r.rows {
		if one.kept() {
			continue
		}
		complain := t.Errorf
		if one.ok && testing.Short() { // it may run on a slow machine
			complain = t.Logf
		}
		complain("NOT KEPT: %s: %s: %s, want %s", one.phase, one.what, one.seen, one.bound)
	}
	if *floodWrite && !t.Failed() {
		r.write(t)
	}
	for i := range f.seats {
		f.stop(i)
	}
}

// run goes through the phases.
func (f *flooded) run(ctx context.Context) {
	f.t.Helper()
	s := func(n float64) time.Duration { return time.Duration(n * float64(time.Second)) }
	minutes := func(n float64) time.Duration { // of a rule
		return time.Duration(n * f.scale * float64(time.Minute))
	}
	f.phase(phase{name: "before", what: "quiet traffic"}, func() { pause(f.t, f.before) }, func() {})

	flood := phase{
		name: "flood", what: fmt.Sprintf("%d operations in each of %d subscriptions, written within %.0f s; Cluster Service answers %d times slower", f.each, f.subscriptions, f.within.Seconds(), f.slow),
		must: map[string]time.Duration{
			"OpfeedOverloaded":             s(5) + f.within + minutes(2),
			"OpfeedRequestUnitsNearBudget": f.within + minutes(15),
		},
		may: map[string]string{
			"OpfeedSweepOverrun":   "who waits for a first look keeps others from their next",
			"OpfeedLagGrowing":     "a position does not pass what has not been looked at",
			"OpfeedOperationStuck": "by the scale of the rules an operation is stuck after less than a minute",
		},
	}
	if f.lasts <= minutes(15) {
		delete(flood.must, "OpfeedRequestUnitsNearBudget")
		flood.may["OpfeedRequestUnitsNearBudget"] = "the burst is over before the rule's window and its time have passed"
	}
	f.phase(flood, func() {
		f.fault(f.csURL+"/_simulator", map[string]any{
			"name": "slow", "match": map[string]any{"agent": "opfeed"},
			// 2 to 10 ms is what the simulator takes by itself.
			"effect": map[string]any{"before": fmt.Sprintf("%dms", 2*(f.slow-1)), "jitter": fmt.Sprintf("%dms", 8*(f.slow-1))},
		})
		until := time.Now().Add(f.lasts)
		f.scribe.flood(ctx, f.subscriptions, f.each, f.within)
		f.t.Logf("%d operations are written, %d have ended", f.subscriptions*f.each, f.subscriptions*f.each-f.scribe.unended(false))
		reaches(ctx, until)
	}, func() {
		f.mend(f.csURL + "/_simulator")
		if !within(f.t, f.drain, func() bool { return f.scribe.unended(false) == 0 }) {
			f.t.Errorf("%d operations have not ended %v after Cluster Service was mended", f.scribe.unended(false), f.drain)
		}
	})

	f.phase(phase{
		name: "silent feed", what: "the change feed of one range answers 304 for ever",
		must: map[string]time.Duration{"OpfeedRecovered": s(75)},
		may: map[string]string{
			"OpfeedOperationStuck": "what is found by the list alone is a minute late, which is half an hour by the scale of the rules",
		},
	}, func() {
		f.fault(f.cosmosURL+"/_emulator", map[string]any{
			"name": "silent", "match": map[string]any{"kind": "feed", "container": "Resources", "agent": "opfeed", "range": "0"},
			"effect": map[string]any{"feed": "silent"},
		})
		f.alerted("OpfeedRecovered")
	}, func() { f.mend(f.cosmosURL + "/_emulator") })

	poison := f.scribe.poison()
	f.phase(phase{
		name: "poison", what: "an operation document whose status is a number",
		must: map[string]time.Duration{"OpfeedQuarantined": s(5) + minutes(1)},
	}, func() {
		poison.write()
		f.alerted("OpfeedQuarantined")
	}, poison.mend)

	f.phase(phase{
		name: "outage", what: "Cluster Service answers nobody",
		must: map[string]time.Duration{"OpfeedClusterServiceFailing": s(20) + minutes(10)},
		may: map[string]string{
			"OpfeedOperationStuck": "no operation ends meanwhile, and by the scale of the rules one is stuck after less than a minute",
		},
	}, func() {
		f.fault(f.csURL+"/_simulator", map[string]any{
			"name": "outage", "match": map[string]any{"agent": "opfeed"}, "effect": map[string]any{"reply": "reset"},
		})
		f.alerted("OpfeedClusterServiceFailing")
	}, func() { f.mend(f.csURL + "/_simulator") })

	f.phase(phase{
		name: "throttled", what: "three of ten requests to Cosmos DB are answered with 429",
		must: map[string]time.Duration{"OpfeedThrottled": s(10) + minutes(15)},
	}, func() {
		f.fault(f.cosmosURL+"/_emulator", map[string]any{
			"name": "throttled", "match": map[string]any{"agent": "opfeed"}, "when": map[string]any{"probability": 0.3},
			"effect": map[string]any{"status": 429, "substatus": 3200, "header": map[string]string{"x-ms-retry-after-ms": "20"}}, // scaled, as the rules are
		})
		f.alerted("OpfeedThrottled")
	}, func() { f.mend(f.cosmosURL + "/_emulator") })
}

// recovers is how long after a trouble all alerts must have resolved: the longest
// window of a rule that fires here is a quarter of an hour, and an operation that was
// held up takes a while.
func (d deluge) recovers() time.Duration {
	return 30*time.Second + time.Duration(15*d.scale*float64(time.Minute))
}

// phase makes a trouble, takes it away, and waits until no alert fires any more.
func (f *flooded) phase(p phase, trouble, mend func()) {
	f.t.Helper()
	p.begin = time.Now()
	f.t.Logf("%4.0f s  %s: %s", time.Since(f.began).Seconds(), p.name, p.what)
	trouble()
	f.t.Logf("%4.0f s  it ends; firing: %s", time.Since(f.began).Seconds(), strings.Join(f.monitor.firing(), " "))
	mend()
	p.mended = time.Now()
	calm := time.Time{}
	within(f.t, 2*f.recovers(), func() bool {
		pause(f.t, time.Second)
		if len(f.monitor.firing()) > 0 {
			calm = time.Time{}
		} else if calm.IsZero() {
			calm = time.Now()
		}
		return !calm.IsZero() && (len(p.must) == 0 || time.Since(calm) > 3*time.Second)
	})
	p.end = time.Now()
	f.phases = append(f.phases, p)
}

// end lets the quiet traffic end, and what is left of it.
func (f *flooded) end(stop, wait func()) {
	f.t.Helper()
	stop()
	wait()
	within(f.t, time.Minute, func() bool { return f.scribe.unended(true) == 0 })
	f.ended = time.Now()
	for _, words := range f.scribe.trouble {
		f.t.Errorf("the front end: %s", words)
	}
}

// alerted waits for an alert, for longer than it may take.
func (f *flooded) alerted(name string) {
	f.t.Helper()
	within(f.t, 2*time.Minute, func() bool { return slices.Contains(f.monitor.firing(), name) })
}

// fault lets an emulated server fail on command; mend ends all that.
func (f *flooded) fault(admin string, rule map[string]any) {
	f.t.Helper()
	body, err := json.Marshal(rule)
	if err == nil {
		err = f.scribe.post(f.t.Context(), admin+"/faults", body)
	}
	if err != nil {
		f.t.Fatalf("add fault: %v", err)
	}
}

func (f *flooded) mend(admin string) {
	f.t.Helper()
	req, err := http.NewRequestWithContext(f.t.Context(), http.MethodDelete, admin+"/faults", nil)
	if err != nil {
		f.t.Fatal(err)
	}
	resp, err := f.scribe.http.Do(req)
	if err != nil {
		f.t.Fatal(err)
	}
	_ = resp.Body.Close()
}

// poison is an operation that does not decode, until it is mended.
type poison struct {
	*scribe
	good *written
}

func (s *scribe) poison() *poison {
	single, state := draw(floodedIn("poisoned", 0), 0, true)
	if err := s.plant(s.t.Context(), single.Target.Object(), state); err != nil {
		s.t.Fatal(err)
	}
	return &poison{s, &written{Single: single, quiet: true}}
}

func (p *poison) write() {
	p.t.Helper()
	p.good.Written = time.Now()
	operation, resource, err := p.good.Documents()
	if err != nil {
		p.t.Fatal(err)
	}
	p.put(resource)
	var d map[string]any
	if err := json.Unmarshal(operation, &d); err != nil {
		p.t.Fatal(err)
	}
	d["properties"].(map[string]any)["status"] = 3
	bad, err := json.Marshal(d)
	if err != nil {
		p.t.Fatal(err)
	}
	p.put(bad)
}

// mend writes what should have been written.
func (p *poison) mend() {
	p.t.Helper()
	p.good.Written = time.Now()
	operation, resource, err := p.good.Documents()
	if err != nil {
		p.t.Fatal(err)
	}
	p.add([]*written{p.good})
	p.put(resource)
	p.put(operation)
}

func (p *poison) put(document []byte) {
	p.t.Helper()
	key := azcosmos.NewPartitionKeyString(p.good.Target.Subscription)
	if _, err := p.container.UpsertItem(p.t.Context(), key, document, nil); err != nil {
		p.t.Fatal(err)
	}
}

// machine is what the figures were measured on.
func machine() string {
	return fmt.Sprintf("%d cores, %s/%s, %s", runtime.NumCPU(), runtime.GOOS, runtime.GOARCH, runtime.Version())
}
